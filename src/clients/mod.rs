//! The outside systems, one file or folder each: what it is reached by, what may go wrong there.

pub mod slack;
pub mod ssh;
