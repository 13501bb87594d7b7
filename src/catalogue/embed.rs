//! Embeds the catalogue again when a file of it comes, goes or changes: cargo watches only what a build script names.

fn main() {
    println!("cargo::rerun-if-changed=commands");
}
