//! The catalogue as a whole: what is embedded, what is refused, what is generated.

use habops::catalogue::{Catalogue, docs, manifest};

fn embedded() -> Catalogue {
    Catalogue::embedded().unwrap_or_else(|faults| panic!("{faults}"))
}

#[test]
fn the_embedded_commands_are_without_fault() {
    let names: Vec<String> = embedded()
        .commands
        .iter()
        .map(|spec| spec.name.to_string())
        .collect();
    insta::assert_snapshot!(names.join("\n"), @"");
}

#[test]
fn the_table_for_the_readme() {
    insta::assert_snapshot!(docs::markdown(&embedded().commands));
    println!("{:#}", manifest::manifest(&embedded().commands));
}
