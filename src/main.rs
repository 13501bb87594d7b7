//! The `habops` program.

fn main() {}
