//! One file or folder per outside system: its configuration, its client, its errors. The address always comes from the configuration.

pub mod slack;
pub mod ssh;
