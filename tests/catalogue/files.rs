//! The command files: every one is embedded, its path is its name, and each fault in it is told in plain words.

use std::{fs, path::Path};

use habops::catalogue::{Catalogue, check_handlers};
use rstest::rstest;

use super::{Break, QUERY, RUNBOOK, SOUND, embedded, faults, table};

#[test]
fn the_embedded_commands_are_without_fault() {
    let names: Vec<String> = embedded()
        .commands
        .iter()
        .map(|spec| spec.name.to_string())
        .collect();
    insta::assert_snapshot!(names.join("\n"), @r##"
    access
    airlock
    airlock destroy
    approvals
    approve
    audit
    cancel
    datastore connections
    datastore locks
    demote
    deny
    diagnose
    disk
    freeze
    handoff
    handoff accept
    handoff packet
    help
    incident ack
    incident annotate
    incident close
    incident export
    incident link
    incident list
    incident note
    incident open
    incident recap
    incident resolve
    incident role
    incident timeline
    jobs
    jobs cancel
    jobs cancel-dispatching
    jobs promote
    jobs show
    jobs start
    logs
    oncall
    page
    promote
    query account
    query counts
    query groups
    query jobs
    query members
    query origin
    query origins
    query package
    query project
    query recent
    query stuck
    query unsynced
    query workers
    recap
    recheck
    restart
    retry
    self
    sentinel restart
    sentinel status
    services
    shard
    status
    supervisor limits
    supervisor lock
    supervisor start
    tail
    unfreeze
    why
    "##);
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
    let names: Vec<&str> = catalogue
        .commands
        .iter()
        .map(|spec| spec.name.as_str())
        .collect();
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
    insta::assert_snapshot!(faults(&[("a.toml", odd), ("b/c.toml", "summary = \n"), ("Bad Name.toml", SOUND), ("d.txt", SOUND)]), @r##"
    Bad Name.toml: `Bad Name` cannot be a word of a command: use lower case letters, digits and hyphens
    a.toml:1: role: missing; a role such as "member", or a table by environment
    a.toml:1: summary: missing; one line that says what it does
    a.toml:1: summry: no such key; did you mean `summary`?
    a.toml:2: changes: must be true or false, but is of type string
    a.toml:3: confirm: `sel` is not one of never, self, second-person, named:<arg>
    a.toml:8: arg.kind: `targt` is not one of text, integer, choice, environment, target, service, ident, channel, person, duration, time, pattern, operation, incident, flag; did you mean `target`?
    a.toml:10: arg.optinal: no such key; did you mean `optional`?
    a.toml:12: arg.name: `--here` is a flag of every command; choose another name
    b/c.toml:1: not TOML: string values must be quoted, expected literal string
    d.txt: is not a .toml file; only commands belong here
    "##);
}

const FILE: &[Break] = &[
    ("no summary", "summary = \"Restart a node.\"\n", ""),
    ("empty summary", "Restart a node.", " "),
    ("no changes", "changes = true\n", ""),
    (
        "no role",
        "role = { live = \"operator\", acceptance = \"member\" }\n",
        "",
    ),
    ("odd role", "\"operator\"", "\"Op erator\""),
    ("no confirm", "confirm = \"self\"\n", ""),
    ("odd confirm", "\"self\"", "\"yes\""),
    ("named nobody", "\"self\"", "\"named:\""),
    ("named unknown", "\"self\"", "\"named:to\""),
    ("named no person", "\"self\"", "\"named:target\""),
    (
        "confirm forgets an environment",
        "\"self\"",
        "{ live = \"self\" }",
    ),
    (
        "role forgets an environment",
        "\"self\"",
        "{ live = \"self\", acceptance = \"never\", dev = \"never\" }",
    ),
    (
        "expires some day",
        "confirm =",
        "expires = \"soon\"\nconfirm =",
    ),
    (
        "an odd environment",
        "acceptance = \"member\" }",
        "Acceptance = \"member\" }",
    ),
    ("no inverse", "inverse = \"none\"\n", ""),
    ("unknown inverse", "\"none\"", "\"y\""),
    ("unknown key", "handler =", "handlers ="),
    (
        "two sources",
        "handler = \"restart\"",
        "handler = \"restart\"\nquery = {}",
    ),
    ("odd handler", "\"restart\"", "\"Restart\""),
    (
        "environment of nothing",
        "confirm =",
        "environment_of = \"channel\"\nconfirm =",
    ),
    (
        "environment of nodes",
        "confirm =",
        "environment_of = \"target\"\nconfirm =",
    ),
    (
        "personal is no text",
        "confirm =",
        "personal = \"yes\"\nconfirm =",
    ),
    ("unknown kind", "kind = \"service\"", "kind = \"servce\""),
    ("no help", "help = \"One service.\"\n", ""),
    ("odd name", "name = \"service\"", "name = \"Service\""),
    ("two of one name", "name = \"service\"", "name = \"target\""),
    ("a global flag", "name = \"service\"", "name = \"incident\""),
    (
        "required after optional",
        "help = \"A node.\"",
        "help = \"A node.\"\noptional = true\n[[arg]]\nname = \"then\"\nkind = \"ident\"\nhelp = \"x\"",
    ),
    ("text in the middle", "kind = \"target\"", "kind = \"text\""),
    (
        "many in the middle",
        "help = \"A node.\"",
        "help = \"A node.\"\nmany = true",
    ),
    (
        "many before two",
        "help = \"A node.\"",
        "help = \"A node.\"\nmany = true\n[[arg]]\nname = \"then\"\nkind = \"ident\"\nhelp = \"x\"",
    ),
    (
        "many options",
        "optional = true",
        "optional = true\noption = true\nmany = true",
    ),
    (
        "choice of nothing",
        "kind = \"service\"",
        "kind = \"choice\"",
    ),
    (
        "choices of no choice",
        "kind = \"service\"",
        "kind = \"service\"\nchoices = [\"a\"]",
    ),
    (
        "a choice of two words",
        "kind = \"service\"",
        "kind = \"choice\"\nchoices = [\"a b\"]",
    ),
    (
        "choices are no texts",
        "kind = \"service\"",
        "kind = \"choice\"\nchoices = [\"a\", 1]",
    ),
    (
        "odd default",
        "kind = \"service\"",
        "kind = \"integer\"\ndefault = \"many\"",
    ),
    (
        "flag with a default",
        "kind = \"service\"",
        "kind = \"flag\"\ndefault = \"yes\"",
    ),
    (
        "example with an unknown flag",
        "live-builder-api-0",
        "live-builder-api-0 --grep x",
    ),
    ("example without text", "text =", "txt ="),
    ("not toml", "changes = true", "changes = = true"),
];

#[test]
fn the_sound_files_are_sound() {
    for sound in [SOUND, RUNBOOK, QUERY] {
        assert_eq!(faults(&[("x.toml", sound)]), "none");
    }
}

#[test]
fn a_faulty_file_is_refused_in_plain_words() {
    insta::assert_snapshot!(table(SOUND, FILE));
}

#[test]
fn handlers_and_commands_name_each_other() {
    let files = [("x.toml", SOUND), ("y.toml", QUERY)];
    let commands = Catalogue::of(&files).unwrap().commands;
    check_handlers(&commands, &["restart"]).unwrap();
    insta::assert_snapshot!(check_handlers(&commands, &["restat", "status"]).unwrap_err(), @r##"
    handlers: no command names the handler `restat`
    handlers: no command names the handler `status`
    x.toml: handler: there is no handler `restart`; did you mean `restat`?
    "##);
}

#[rstest]
#[case::a_typo("restrat", "there is no command `restrat`; did you mean `restart`?")]
#[case::a_look("status", "`status` changes nothing, so nobody confirms it")]
#[case::somebody_named("handoff", "`handoff` waits for the person it names already")]
fn a_second_person_is_asked_for_only_where_one_can_be(#[case] name: &str, #[case] why: &str) {
    let commands = Catalogue::embedded().unwrap().commands;
    let fault = commands.with_second_person(&[name.to_owned()]).unwrap_err();
    assert_eq!(fault, why);
}
