//! The catalogue as a whole: what is embedded, what is refused and in which words, what is generated.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use habops::{
    catalogue::{Catalogue, check_handlers, docs, manifest},
    domain::command::Source,
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

/// Name, what stands in the sound file, what stands there instead.
type Break = (&'static str, &'static str, &'static str);

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

const RUNBOOKS: &[Break] = &[
    ("on nothing", "on = \"{target}\"\n", ""),
    ("on no placeholder", "\"{target}\"", "\"target\""),
    ("on no nodes", "\"{target}\"", "\"{unit}\""),
    (
        "on nodes that may be left out",
        "help = \"A node.\"",
        "help = \"A node.\"\noptional = true",
    ),
    (
        "a placeholder inside a word",
        "\"{unit}\"]",
        "\"{unit}.service\"]",
    ),
    ("a placeholder of nothing", "\"{unit}\"]", "\"{unti}\"]"),
    ("a placeholder of nodes", "\"{unit}\"]", "\"{target}\"]"),
    (
        "a placeholder that may be left out",
        "help = \"A unit.\"",
        "help = \"A unit.\"\noptional = true",
    ),
    (
        "free text as an option",
        "kind = \"service\"",
        "kind = \"text\"",
    ),
    (
        "a pipe",
        "\"--disk-usage\"",
        "\"--disk-usage\", \"|\", \"sort\"",
    ),
    ("a subshell", "\"--disk-usage\"", "\"$(reboot)\""),
    ("a quoted word", "\"--disk-usage\"", "\"'--since today'\""),
    ("an empty word", "\"--disk-usage\"", "\"\""),
    (
        "a shell",
        "\"journalctl\", \"--disk-usage\"",
        "\"sh\", \"-c\", \"uptime\"",
    ),
    (
        "a shell further on",
        "\"journalctl\", \"--disk-usage\"",
        "\"hab\", \"pkg\", \"exec\", \"core/bash\", \"bash\"",
    ),
    (
        "a program by its path",
        "\"journalctl\"",
        "\"/usr/bin/sudo\"",
    ),
    ("a program that is typed", "\"journalctl\"", "\"{unit}\""),
    ("no words", "\"journalctl\", \"--disk-usage\"", ""),
    ("sudo in a look", "changes = true", "changes = false"),
    ("sudo that may ask", "\"sudo\", \"-n\"", "\"sudo\""),
    (
        "sudo for anything",
        "\"systemctl\", \"restart\"",
        "\"rm\", \"-r\"",
    ),
    (
        "sudo for more of systemctl",
        "\"restart\", \"{unit}\"",
        "\"mask\", \"{unit}\"",
    ),
    (
        "sudo further on",
        "\"journalctl\"",
        "\"timeout\", \"5\", \"sudo\"",
    ),
    ("a step without words for people", "say = \"look\", ", ""),
    ("an unknown key", "expect =", "expects ="),
    ("expecting nothing", "expect = \"ok\"", "expect = \"\""),
    ("too many at once", "timeout = \"30s\"", "at_once = 1000"),
    ("a time-out of days", "\"30s\"", "\"2d\""),
    ("no steps", "steps = [", "steps = []\nmore = ["),
];

const QUERIES: &[Break] = &[
    (
        "a change",
        "changes = false",
        "changes = true\ninverse = \"none\"",
    ),
    ("an unknown database", "builder_originsrv", "builder_router"),
    ("an unknown scope", "by-name", "by_name"),
    (
        "the one shard of a sharded database",
        "\"by-name\"",
        "\"shard_0\"",
    ),
    (
        "a shard of one that is not sharded",
        "builder_originsrv",
        "builder_jobsrv",
    ),
    (
        "no key, and no argument that could be it",
        "scope = \"by-name\"\nkey = \"origin\"\n",
        "scope = \"by-id\"\n",
    ),
    (
        "a key that is no argument",
        "key = \"origin\"",
        "key = \"name\"",
    ),
    ("a key of the wrong kind", "\"by-name\"", "\"by-id\""),
    (
        "a key that may be left out",
        "help = \"The",
        "optional = true\nhelp = \"The",
    ),
    ("a key where none is needed", "\"by-name\"", "\"all\""),
    (
        "a parameter of nothing",
        "name = $1",
        "name = $1 AND id = $2",
    ),
    (
        "an argument that is not used",
        "key = \"origin\"\nsql = \"SELECT id, name, owner_id FROM origins WHERE name = $1\"",
        "key = \"origin\"\nsql = \"SELECT id FROM origins\"\n[[arg]]\nname = \"id\"\nkind = \"integer\"\nhelp = \"x\"",
    ),
    (
        "an argument that is no value",
        "kind = \"text\"",
        "kind = \"target\"",
    ),
    ("an unknown key", "sql =", "sqll ="),
];

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
fn a_runbook_that_would_not_run_what_it_says_is_refused() {
    insta::assert_snapshot!(table(RUNBOOK, RUNBOOKS));
}

#[test]
fn a_query_on_the_wrong_shard_or_with_loose_arguments_is_refused() {
    insta::assert_snapshot!(table(QUERY, QUERIES));
}

#[test]
fn without_a_key_the_first_argument_that_fits_picks_the_shard() {
    let text = QUERY.replace("key = \"origin\"\n", "");
    let dir = overlay(&[("find.toml", &text)]);
    let catalogue = Catalogue::with_overlay(dir.path(), &[]).unwrap();
    let Source::Query(query) = &catalogue.commands.get("find").unwrap().source else {
        panic!("it is a query");
    };
    assert_eq!(query.key.as_deref(), Some("origin"));
}

/// The same query with other SQL, over both sharded and unsharded databases.
fn sql(database: &str, sql: &str) -> String {
    let scope = if database == "builder_jobsrv" {
        "shard_0"
    } else {
        "all"
    };
    let text = format!(
        "summary = \"Look.\"\nchanges = false\nrole = \"member\"\nconfirm = \"never\"\n\
         [query]\ndatabase = \"{database}\"\nscope = \"{scope}\"\nsql = '''{sql}'''\n"
    );
    faults(&[("q.toml", &text)])
}

#[rstest]
#[case(
    "builder_jobsrv",
    "SELECT id, project_name, group_state, created_at FROM groups WHERE group_state IN ('Queued','Pending','Dispatching') ORDER BY created_at"
)]
#[case(
    "builder_jobsrv",
    "SELECT job_state, count(*) AS many FROM jobs GROUP BY 1 ORDER BY many DESC LIMIT 20"
)]
#[case(
    "builder_jobsrv",
    "SELECT b.ident, b.job_id, b.quarantined, j.project_name FROM busy_workers b LEFT JOIN jobs j ON j.id = b.job_id"
)]
#[case(
    "builder_jobsrv",
    "SELECT id FROM jobs WHERE job_state = 'Processing' AND build_started_at < now() - interval '60 minutes'"
)]
#[case(
    "builder_jobsrv",
    "SELECT id::text, date_trunc('hour', created_at), CASE WHEN archived THEN 'yes' ELSE 'no' END FROM jobs WHERE NOT scheduler_sync OR sync_count > 0"
)]
#[case(
    "builder_jobsrv",
    "SELECT extract(epoch FROM created_at) FROM jobs WHERE worker LIKE 'a%' AND id BETWEEN 1 AND 9 OFFSET 5"
)]
#[case(
    "builder_sessionsrv",
    "SELECT name, email FROM accounts WHERE lower(name) = 'reset'"
)]
#[case(
    "builder_sessionsrv",
    "SELECT count(id) FILTER (WHERE created_at > timestamp '2018-01-01') FROM account_tokens"
)]
#[case(
    "builder_originsrv",
    "SELECT DISTINCT c.name FROM origin_channels c JOIN origin_channel_packages p ON p.channel_id = c.id JOIN origin_packages k ON k.id = p.package_id WHERE k.ident = 'core/redis/4.0.1/20171014212634'"
)]
fn a_harmless_select_is_taken(#[case] database: &str, #[case] select: &str) {
    assert_eq!(sql(database, select), "none");
}

#[test]
fn sql_that_could_do_or_show_more_is_refused() {
    let sessions = [
        "SELECT * FROM accounts",
        "SELECT a.* FROM accounts a",
        "SELECT accounts FROM accounts",
        "SELECT t FROM account_tokens t",
        "SELECT count(t) FROM account_tokens t",
        "SELECT count(t.*) FROM account_tokens t",
        "SELECT token FROM account_tokens",
        "SELECT \"token\" FROM account_tokens",
        "SELECT t.token FROM account_tokens t",
        "SELECT token(t) FROM account_tokens t",
        "SELECT (t).token FROM account_tokens t",
        "SELECT x.b FROM account_tokens AS x(a, b, c, d)",
        "SELECT id FROM account_tokens WHERE token LIKE 'a%'",
        "SELECT id FROM account_tokens ORDER BY token",
        "SELECT count(*) AS token FROM account_tokens GROUP BY token",
        "SELECT id AS token FROM account_tokens ORDER BY token || ''",
        "SELECT min(token) FROM account_tokens",
        "SELECT id FROM account_tokens ORDER BY id, token",
        "SELECT a.id FROM account_tokens a JOIN account_tokens b USING (token)",
        "SELECT a.id FROM account_tokens a NATURAL JOIN accounts b",
        "SELECT id FROM accounts, accounts",
        "SELECT ctid FROM accounts",
        "SELECT id FROM shard_0.accounts",
        "SELECT rolname FROM pg_roles",
        "SELECT id FROM accounts FOR UPDATE",
        "SELECT id INTO other FROM accounts",
        "SELECT id FROM accounts; DELETE FROM accounts",
        "SELECT id FROM accounts -- all",
        "SELECT id FROM accounts /* all */",
        "SELECT id FROM accounts WHERE name = E'\\x41'",
        "SELECT id FROM accounts WHERE name = $$a$$",
        "SELECT id FROM accounts WHERE name = U&'a'",
        "SELECT id FROM accounts WHERE name = 'ä'",
        "SELECT id FROM accounts WHERE id IN (SELECT account_id FROM account_tokens)",
        "SELECT id FROM accounts WHERE EXISTS (SELECT 1)",
        "SELECT (SELECT 1)",
        "SELECT id FROM (SELECT id FROM accounts) a",
        "SELECT id FROM accounts UNION SELECT id FROM account_tokens",
        "WITH gone AS (DELETE FROM accounts RETURNING id) SELECT id FROM gone",
        "WITH a AS (SELECT 1) INSERT INTO accounts SELECT 1",
        "TABLE accounts",
        "VALUES (1)",
        "COPY accounts TO STDOUT",
        "COPY (SELECT id FROM accounts) TO PROGRAM 'sh'",
        "INSERT INTO accounts (name) VALUES ('a')",
        "UPDATE accounts SET name = 'a'",
        "DELETE FROM accounts",
        "DROP TABLE accounts",
        "EXPLAIN ANALYZE DELETE FROM accounts",
        "SET search_path TO shard_1",
        "SELECT pg_sleep(60)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT nextval('accounts_id_seq')",
        "SELECT set_config('search_path', 'x', false)",
        "SELECT query_to_xml('select token from account_tokens', true, true, '')",
        "SELECT pg_catalog.count(id) FROM accounts",
        "SELECT id FROM generate_series(1, 9) id",
        "SELECT account_creation_report('2017-09-01')",
        "SELECT row_number() OVER (ORDER BY id) FROM accounts",
        "SELECT ROW(id, name) FROM accounts",
        "SELECT ARRAY[id] FROM accounts",
        "SELECT id::regclass FROM accounts",
        "SELECT current_user",
        "SELECT id FROM accounts WHERE name ~ '(a+)+$'",
        "SELECT id FROM accounts LIMIT ?",
        "SELECT id FROM accounts TABLESAMPLE SYSTEM (1)",
        "SELECT",
        "",
        "nonsense",
    ];
    let mut said = String::new();
    for select in sessions {
        let faults = sql("builder_sessionsrv", select);
        assert_ne!(faults, "none", "{select}");
        said.extend([select, "\n    ", &faults.replace('\n', "\n    "), "\n"]);
    }
    let origins = [
        "SELECT body FROM origin_secret_keys",
        "SELECT body FROM origin_private_encryption_keys",
        "SELECT body FROM origin_integrations",
        "SELECT body FROM origin_project_integrations",
        "SELECT vcs_auth_token FROM origin_projects",
    ];
    for select in origins {
        let faults = sql("builder_originsrv", select);
        assert_ne!(faults, "none", "{select}");
        said.extend([select, "\n    ", &faults, "\n"]);
    }
    insta::assert_snapshot!(said);
}

/// An overlay directory of these files, with modes as they should be.
fn overlay(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (file, text) in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        mode(path.parent().unwrap(), 0o755);
        fs::write(&path, text).unwrap();
        mode(&path, 0o644);
    }
    dir
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn laid_over(dir: &TempDir, replace: &[&str]) -> String {
    let replace: Vec<String> = replace.iter().map(|name| (*name).to_owned()).collect();
    match Catalogue::with_overlay(dir.path(), &replace) {
        Ok(_) => "none".to_owned(),
        Err(faults) => faults
            .to_string()
            .replace(&dir.path().display().to_string(), "DIR"),
    }
}

#[test]
fn an_overlay_adds_runbooks_and_queries() {
    let dir = overlay(&[
        ("journal/vacuum.toml", RUNBOOK),
        ("origin.toml", QUERY),
        ("README.md", "Ours."),
        (".origin.toml.swp", "x"),
    ]);
    let catalogue = Catalogue::with_overlay(dir.path(), &[]).unwrap();
    let added = catalogue.commands.get("journal vacuum").unwrap();
    assert!(matches!(added.source, Source::Runbook(_)));
    assert!(
        added.file.ends_with("/journal/vacuum.toml"),
        "{}",
        added.file
    );
    assert!(catalogue.commands.get("origin").is_some());
    assert!(catalogue.commands.get("status").is_some());
    assert!(catalogue.files.iter().any(|(file, _)| *file == added.file));
}

#[test]
fn an_overlay_may_neither_add_handlers_nor_replace_nor_hide_a_command_unasked() {
    let dir = overlay(&[
        ("mine.toml", SOUND),
        ("status.toml", QUERY),
        ("status/live.toml", QUERY),
    ]);
    insta::assert_snapshot!(laid_over(&dir, &[]), @r##"
    DIR/mine.toml:6: handler: an overlay adds runbooks and queries; a handler is part of the program
    DIR/status.toml:1: `status` is a command of habops; name it in `[catalogue] replace` to replace it
    DIR/status/live.toml:1: `status live` typed today means `status` with an argument; name it in `[catalogue] replace` if it is to mean this
    "##);
    insta::assert_snapshot!(laid_over(&dir, &["status", "status live", "staus"]), @r##"
    DIR: `replace` names `staus`, which is not here; did you mean `status`?
    DIR/mine.toml:6: handler: an overlay adds runbooks and queries; a handler is part of the program
    "##);
}

#[test]
fn an_overlay_that_others_could_write_is_refused() {
    let dir = overlay(&[("a.toml", QUERY), ("b/c.toml", QUERY), ("d.toml", QUERY)]);
    mode(&dir.path().join("a.toml"), 0o664);
    mode(&dir.path().join("b"), 0o757);
    insta::assert_snapshot!(laid_over(&dir, &[]), @r##"
    DIR/a.toml: is writable by group or others (mode 0664), who could change what runs on nodes; `chmod go-w` it
    DIR/b: is writable by group or others (mode 0757), who could change what runs on nodes; `chmod go-w` it
    "##);
    mode(dir.path(), 0o775);
    insta::assert_snapshot!(laid_over(&dir, &[]), @r##"DIR: is writable by group or others (mode 0775), who could change what runs on nodes; `chmod go-w` it"##);
}

#[test]
fn a_link_out_of_the_overlay_is_refused_and_one_within_is_followed() {
    let elsewhere = overlay(&[("e.toml", QUERY)]);
    let dir = overlay(&[("..data/a.toml", QUERY)]);
    std::os::unix::fs::symlink("..data/a.toml", dir.path().join("a.toml")).unwrap();
    assert_eq!(laid_over(&dir, &[]), "none");
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("b")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("e.toml"), dir.path().join("c.toml")).unwrap();
    std::os::unix::fs::symlink("nowhere.toml", dir.path().join("d.toml")).unwrap();
    let said = laid_over(&dir, &[]).replace(&elsewhere.path().display().to_string(), "ELSEWHERE");
    insta::assert_snapshot!(said, @r##"
    DIR/b: is a link out of the directory, to ELSEWHERE
    DIR/c.toml: is a link out of the directory, to ELSEWHERE/e.toml
    DIR/d.toml: cannot be opened: No such file or directory (os error 2)
    "##);
}

#[test]
fn a_missing_overlay_and_odd_files_are_named() {
    let dir = overlay(&[
        ("Odd.toml", QUERY),
        ("a/b/c/d/e.toml", QUERY),
        ("ok.toml", QUERY),
    ]);
    fs::write(dir.path().join("bytes.toml"), [0xff, 0xfe]).unwrap();
    fs::write(dir.path().join("large.toml"), "#".repeat(70_000)).unwrap();
    for file in ["bytes.toml", "large.toml"] {
        mode(&dir.path().join(file), 0o644);
    }
    insta::assert_snapshot!(laid_over(&dir, &[]), @r##"
    DIR/Odd.toml: `Odd` cannot be a word of a command: use lower case letters, digits and hyphens
    DIR/a/b/c/d/e.toml: a command has at most 4 words
    DIR/bytes.toml: cannot be read: stream did not contain valid UTF-8
    DIR/large.toml: is larger than 65536 bytes
    "##);
    let missing = Catalogue::with_overlay(Path::new("no/such/dir"), &[]).unwrap_err();
    insta::assert_snapshot!(missing, @r##"no/such/dir: cannot be opened: No such file or directory (os error 2); make the directory, or leave out `[catalogue] dir`"##);
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

#[test]
fn the_table_for_the_readme() {
    insta::assert_snapshot!(docs::markdown(&embedded().commands));
}

#[test]
fn the_composer_gets_names_arguments_and_their_words() {
    let all = docs::completions_json(&embedded().commands);
    let open = all
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "incident open")
        .unwrap();
    insta::assert_json_snapshot!(open, @r##"
    {
      "arguments": [
        {
          "name": "title",
          "values": []
        },
        {
          "name": "--channel",
          "values": [
            "thread",
            "here",
            "new"
          ]
        },
        {
          "name": "--pd",
          "values": []
        }
      ],
      "name": "incident open",
      "summary": "Open an incident: its thread or channel hears every answer until it is closed.",
      "usage": "incident open <title> [--channel <thread|here|new>] [--pd <text>]"
    }
    "##);
}

#[test]
fn the_manifest_is_whole_and_within_slacks_limits() {
    let manifest = manifest::manifest(&embedded().commands);
    insta::assert_json_snapshot!(manifest);
    let long = |pointer: &str| {
        let text = manifest.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("{pointer}")).chars().count()
    };
    let limits = [
        ("/display_information/name", 1, 35),
        ("/display_information/description", 1, 140),
        // Slack takes a long description of 174 to 4,000 characters.
        ("/display_information/long_description", 174, 4_000),
        ("/features/bot_user/display_name", 1, 80),
        ("/features/shortcuts/0/name", 1, 24),
        ("/features/shortcuts/0/description", 1, 150),
        ("/features/shortcuts/0/callback_id", 1, 255),
        ("/features/slash_commands/0/command", 2, 32),
        ("/features/slash_commands/0/description", 1, 2_000),
        ("/features/slash_commands/0/usage_hint", 1, 1_000),
    ];
    for (pointer, least, most) in limits {
        let length = long(pointer);
        assert!(
            (least..=most).contains(&length),
            "{pointer} is {length} characters long"
        );
    }
    let count = |pointer: &str| {
        manifest
            .pointer(pointer)
            .and_then(Value::as_array)
            .unwrap()
            .len()
    };
    assert!(count("/oauth_config/scopes/bot") <= 255);
    assert!(count("/settings/event_subscriptions/bot_events") <= 100);
    assert!(count("/features/shortcuts") <= 10);
    assert!(count("/features/slash_commands") <= 50);
}

/// A second opinion, of a library that writes manifests for Slack.
#[test]
fn slack_morphism_reads_the_manifest_and_loses_nothing() {
    let ours = manifest::manifest(&embedded().commands);
    let read: slack_morphism::SlackAppManifest = serde_json::from_value(ours.clone()).unwrap();
    let theirs = serde_json::to_value(read).unwrap();
    for section in ["features", "oauth_config", "settings"] {
        // The library does not know of token rotation.
        let known = ours[section].as_object().unwrap().iter();
        for (key, value) in known.filter(|(key, _)| *key != "token_rotation_enabled") {
            assert_eq!(theirs[section][key], *value, "{section}.{key}");
        }
    }
}

/// Methods of the Web API that `clients/slack` names, read from its sources so that the list cannot fall behind.
fn methods_called() -> BTreeSet<String> {
    let method = regex::Regex::new(r#""((?:[a-z]+\.)+[a-zA-Z]+)""#).unwrap();
    let families = [
        "auth",
        "chat",
        "conversations",
        "files",
        "pins",
        "reactions",
        "usergroups",
        "users",
        "views",
    ];
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clients/slack");
    let mut called = BTreeSet::new();
    for entry in fs::read_dir(client).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        let named = method
            .captures_iter(&source)
            .map(|found| found[1].to_owned());
        called.extend(named.filter(|name| families.contains(&name.split('.').next().unwrap())));
    }
    // What the client calls the plain POST to an upload's own address; Slack has retired the method of that name.
    called.remove("files.upload");
    called
}

#[test]
fn every_method_called_has_its_scope_and_no_scope_is_without_use() {
    let called = methods_called();
    assert!(called.len() > 10, "{called:?}");
    let granted: BTreeSet<String> = manifest::NEEDS
        .iter()
        .flat_map(|need| need.methods)
        .map(|method| (*method).to_owned())
        .collect();
    assert_eq!(granted, called);
    for need in manifest::NEEDS {
        let called_by_slack = [
            "commands",
            "app_mentions:read",
            "pins:read",
            "reactions:read",
        ]
        .contains(&need.scope);
        assert_eq!(called_by_slack, need.methods.is_empty(), "{}", need.scope);
    }
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
