//! One file or folder per outside system: its configuration, its client, its errors. The address always comes from the configuration.
//! The outside systems, one file or folder each: what it is reached by, what may go wrong there.

pub mod ec2;
pub mod fleet;
pub mod slack;
pub mod ssh;
