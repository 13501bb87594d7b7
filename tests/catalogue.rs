//! The catalogue as a whole: what is embedded, what is refused and in which words, what is generated.

#[path = "catalogue/files.rs"]
mod files;
#[path = "catalogue/generated.rs"]
mod generated;
#[path = "catalogue/overlay.rs"]
mod overlay;
#[path = "catalogue/queries.rs"]
mod queries;
#[path = "catalogue/runbooks.rs"]
mod runbooks;

use habops::catalogue::Catalogue;

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

/// Name, what stands in the sound file, what stands there instead.
type Break = (&'static str, &'static str, &'static str);

/// Each broken file beside what is said of it.
fn table(sound: &str, breaks: &[Break]) -> String {
    let mut said = String::new();
    for (name, from, to) in breaks {
        let faults = broken(sound, from, to);
        assert_ne!(faults, "none", "{name}");
        said.extend([name, "\n    ", &faults.replace('\n', "\n    "), "\n"]);
    }
    said
}
