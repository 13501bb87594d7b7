//! One file or folder per outside system; no type of a protocol library leaves its folder.

pub mod slack;
