//! The catalogue as a whole: what is embedded, what is refused and in which words, what is generated.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use habops::{
    catalogue::{Catalogue, check_handlers, docs, manifest},
    domain::{
        command::Source,
        output::{Part, Status},
    },
};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

/// A complete command to break in one place.
const SOUND: &str = r#"summary = "Restart a node."
changes = true
role = { live = "operator", acceptance = "member" }
confirm = "self"
inverse = "none"
handler = "restart"

[[arg]]
name = "target"
kind = "target"
help = "A node."

[[arg]]
name = "service"
kind = "service"
optional = true
help = "One service."

[[example]]
text = "live-builder-api-0"
"#;

const RUNBOOK: &str = r#"summary = "Vacuum the journal of a node."
changes = true
role = "operator"
confirm = "self"
inverse = "none"

[runbook]
on = "{target}"
timeout = "30s"
steps = [
  { say = "look", run = ["journalctl", "--disk-usage"] },
  { say = "restart", run = ["sudo", "-n", "systemctl", "restart", "{unit}"], expect = "ok" },
]

[[arg]]
name = "target"
kind = "target"
help = "A node."

[[arg]]
name = "unit"
kind = "service"
help = "A unit."

[[example]]
text = "live-builder-api-0 hab-sup"
"#;

const QUERY: &str = r#"summary = "Find an origin."
changes = false
role = "member"
confirm = "never"

[query]
database = "builder_originsrv"
scope = "by-name"
key = "origin"
sql = "SELECT id, name, owner_id FROM origins WHERE name = $1"

[[arg]]
name = "origin"
kind = "text"
help = "The origin's name."

[[example]]
text = "core"
"#;

fn embedded() -> Catalogue {
    Catalogue::embedded().unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(files: &[(&str, &str)]) -> String {
    Catalogue::of(files).map_or_else(|faults| faults.to_string(), |_| "none".to_owned())
}

/// What is said when `from` in a sound file becomes `to`.
fn broken(sound: &str, from: &str, to: &str) -> String {
    assert!(sound.contains(from), "{from}");
    faults(&[("x.toml", &sound.replacen(from, to, 1))])
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

/// A new file alone does not make Cargo embed it again; touch `src/catalogue/mod.rs` where this fails.
#[test]
fn every_file_of_the_folder_is_embedded_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("commands")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    let embedded: Vec<String> = embedded().files.into_iter().map(|(file, _)| file).collect();
    assert_eq!(embedded, found);
}

#[test]
fn the_path_is_the_name_and_a_file_and_a_folder_may_have_one() {
    let files = [("jobs.toml", SOUND), ("jobs/show.toml", SOUND)];
    let catalogue = Catalogue::of(&files).unwrap();
    let names: Vec<&str> = catalogue.commands.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["jobs", "jobs show"]);
    let (file, sha256) = &catalogue.files[0];
    assert_eq!((file.as_str(), sha256.len()), ("jobs.toml", 64));
}

#[test]
fn all_faults_come_together_with_file_line_and_key() {
    let odd = r#"summry = "Restart."
changes = "yes"
confirm = "sel"
handler = "restart"

[[arg]]
name = "target"
kind = "targt"
help = "A node."
optinal = true

[[arg]]
name = "here"
kind = "flag"
help = "No."
"#;
    insta::assert_snapshot!(faults(&[("a.toml", odd), ("b/c.toml", "summary = \n"), ("Bad Name.toml", SOUND), ("d.txt", SOUND)]), @"");
}

#[rstest]
#[case::sound("summary", "summary")]
#[case::no_summary("summary = \"Restart a node.\"\n", "")]
#[case::empty_summary("Restart a node.", " ")]
#[case::no_changes("changes = true\n", "")]
#[case::no_role("role = { live = \"operator\", acceptance = \"member\" }\n", "")]
#[case::odd_role("\"operator\"", "\"Op erator\"")]
#[case::no_confirm("confirm = \"self\"\n", "")]
#[case::odd_confirm("\"self\"", "\"yes\"")]
#[case::named_nobody("\"self\"", "\"named:\"")]
#[case::named_unknown("\"self\"", "\"named:to\"")]
#[case::named_no_person("\"self\"", "\"named:target\"")]
#[case::confirm_forgets_an_environment("\"self\"", "{ live = \"self\" }")]
#[case::role_forgets_an_environment("{ live = \"operator\", acceptance = \"member\" }", "{ live = \"operator\" }\nexpires = \"soon\"")]
#[case::no_inverse("inverse = \"none\"\n", "")]
#[case::unknown_inverse("\"none\"", "\"y\"")]
#[case::unknown_key("handler =", "handlers =")]
#[case::two_sources("handler = \"restart\"", "handler = \"restart\"\nquery = {}")]
#[case::odd_handler("\"restart\"", "\"Restart\"")]
#[case::environment_of_nothing("confirm =", "environment_of = \"channel\"\nconfirm =")]
#[case::environment_of_nodes("confirm =", "environment_of = \"target\"\nconfirm =")]
#[case::personal_is_no_text("confirm =", "personal = \"yes\"\nconfirm =")]
#[case::unknown_kind("kind = \"service\"", "kind = \"servce\"")]
#[case::no_help("help = \"One service.\"\n", "")]
#[case::odd_name("name = \"service\"", "name = \"Service\"")]
#[case::two_of_one_name("name = \"service\"", "name = \"target\"")]
#[case::a_global_flag("name = \"service\"", "name = \"incident\"")]
#[case::required_after_optional("help = \"A node.\"", "help = \"A node.\"\noptional = true\n[[arg]]\nname = \"then\"\nkind = \"ident\"\nhelp = \"x\"")]
#[case::text_in_the_middle("kind = \"target\"", "kind = \"text\"")]
#[case::many_in_the_middle("help = \"A node.\"", "help = \"A node.\"\nmany = true")]
#[case::many_options("optional = true", "optional = true\noption = true\nmany = true")]
#[case::choice_of_nothing("kind = \"service\"", "kind = \"choice\"")]
#[case::choices_of_no_choice("kind = \"service\"", "kind = \"service\"\nchoices = [\"a\"]")]
#[case::a_choice_of_two_words("kind = \"service\"", "kind = \"choice\"\nchoices = [\"a b\"]")]
#[case::choices_are_no_texts("kind = \"service\"", "kind = \"choice\"\nchoices = [\"a\", 1]")]
#[case::odd_default("kind = \"service\"", "kind = \"integer\"\ndefault = \"many\"")]
#[case::flag_with_a_default("kind = \"service\"", "kind = \"flag\"\ndefault = \"yes\"")]
#[case::example_with_an_unknown_flag("live-builder-api-0", "live-builder-api-0 --grep x")]
#[case::example_without_text("text =", "txt =")]
#[case::not_toml("changes = true", "changes = = true")]
fn a_faulty_file_is_refused_in_plain_words(#[case] from: &str, #[case] to: &str) {
    let name = format!("file: {} → {}", from.escape_debug(), to.escape_debug());
    SAID.check("file", &name, &broken(SOUND, from, to));
}
