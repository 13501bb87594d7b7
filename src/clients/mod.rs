//! The outside systems, one file or folder each: what it is reached by, what may go wrong there.

pub mod ssh;
//! One file or folder per outside system; no type of a protocol library leaves its folder.

pub mod slack;
