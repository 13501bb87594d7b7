//! The command line as a contract (design section 9): what is printed where, and with which code the program ends.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::world::{
    Setup, World,
    nudge::{NUDGE, confirmed_by, restarts},
    overlay,
    program::{Ran, Running, habops},
};

/// The sandbox's fleet and store, with no bot.
fn alone() -> Setup {
    Setup::default().without_the_app()
}

/// Runs the program with this world's configuration, named after the word, as people do.
fn runs(world: &World, words: &[&str]) -> Ran {
    let config = world.config();
    let (word, rest) = words.split_first().unwrap();
    let mut all = vec![*word, "--config", config.to_str().unwrap()];
    all.extend(rest);
    habops(&all)
}

/// Runs a command and reads the one object that it prints.
fn does(world: &World, flags: &[&str], line: &[&str]) -> (i32, Value) {
    let words = [&["do", "--json"], flags, &["--"], line].concat();
    let ran = runs(world, &words);
    let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(ran.out.lines().count(), 1, "one object on one line");
    (ran.code, said)
}

fn keys(object: &Value) -> BTreeSet<&str> {
    let object = object.as_object().unwrap_or_else(|| panic!("{object}"));
    object.keys().map(String::as_str).collect()
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no `{from}`", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn the_sandbox_prints_one_line_of_json_and_writes_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("new");
    let mut sandbox = Running::start(&["sandbox", "--dir", below.to_str().unwrap()]);
    let said: Value = serde_json::from_str(&sandbox.first_line()).unwrap();
    let wanted = [
        "page",
        "slack_api",
        "ec2",
        "builder",
        "pagerduty",
        "datastore",
        "nodes",
        "config",
    ];
    assert_eq!(keys(&said), BTreeSet::from(wanted));
    let datastore = said["datastore"].as_str().unwrap_or_default();
    assert!(
        datastore.starts_with("postgres://hab:"),
        "PostgreSQL is not installed: apt-get install -y postgresql"
    );
    for node in said["nodes"].as_array().unwrap() {
        assert_eq!(keys(node), BTreeSet::from(["name", "address", "port"]));
    }
    for url in ["page", "slack_api", "ec2", "builder", "pagerduty"] {
        let url = said[url].as_str().unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    }
    let config = said["config"].as_str().unwrap().to_owned();
    assert_eq!(
        Path::new(&config),
        below.canonicalize().unwrap().join("habops.toml")
    );
    let ran = habops(&[
        "do", "--config", &config, "--json", "--", "status", "live/api",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(sandbox.is_told_to_stop(), 0);
    assert_eq!(sandbox.out().lines().count(), 1);
}

#[test]
fn the_demo_prints_its_address_once_it_takes_commands() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Running::start(&[
        "demo",
        "--listen",
        "127.0.0.1:0",
        "--dir",
        dir.path().to_str().unwrap(),
    ]);
    let line = demo.first_line();
    let url = line
        .strip_prefix("habops demo: ")
        .unwrap_or_else(|| panic!("{line}"));
    assert!(url.starts_with("http://127.0.0.1:"), "{line}");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    assert!(std::net::TcpStream::connect(address).is_ok(), "{address}");
    assert_eq!(demo.is_told_to_stop(), 0);
    assert_eq!(demo.out().lines().count(), 1);
    let elsewhere = habops(&["demo", "--listen", "192.0.2.1:80"]);
    assert_eq!(elsewhere.code, 2);
    assert!(elsewhere.err.contains("loopback"), "{elsewhere:?}");
}

#[test]
fn a_command_at_the_terminal_prints_one_object_and_ends_with_its_code() {
    let setup = alone()
        .instead("connect_timeout = \"5s\"", "connect_timeout = \"10s\"")
        .config("[log]\nlevel = \"debug\"\nformat = \"json\"");
    setup.run(async |world| {
        let (code, said) = does(world, &[], &["status", "live-builder-api-0"]);
        let wanted = [
            "operation",
            "command",
            "state",
            "title",
            "parts",
            "hosts",
            "redacted",
        ];
        assert_eq!(keys(&said), BTreeSet::from(wanted));
        assert_eq!(
            (code, &said["state"], &said["command"]),
            (0, &"done".into(), &"status".into())
        );
        assert_eq!(said["hosts"][0]["node"], "live-builder-api-0");
        assert_eq!(said["hosts"][0]["state"], "done");
        assert!(said["operation"].as_str().unwrap().starts_with("op-"));
        assert_eq!(said["redacted"], 0);

        world.breaks("frozen");
        let (code, said) = does(
            world,
            &[],
            &["status", "live-builder-worker-0,live-builder-worker-1"],
        );
        assert_eq!((code, &said["state"]), (1, &"partly".into()));
        let hosts = said["hosts"].as_array().unwrap();
        let of = |name: &str| hosts.iter().find(|host| host["node"] == name).unwrap();
        assert_eq!(of("live-builder-worker-0")["state"], "done");
        assert_eq!(of("live-builder-worker-1")["state"], "unreachable");
        world.mends("frozen");

        // For people: a table on standard output; one word may hold the whole line.
        let config = world.config();
        let ran = habops(&[
            "--config",
            config.to_str().unwrap(),
            "do",
            "--",
            "status live/api",
        ]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("live-builder-api-0 is up"), "{ran:?}");
        assert!(
            !ran.out.contains("INFO") && !ran.out.contains("\"level\""),
            "{ran:?}"
        );
        assert!(ran.err.lines().all(|line| line.starts_with('{')), "{ran:?}");
        assert!(ran.err.contains("\"level\""), "{ran:?}");
        // The ordinary log stays away from a terminal's answer.
        edit(&world.config(), "level = \"debug\"", "level = \"info\"");
        let ran = runs(world, &["do", "--", "status", "live/api"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    });
}

#[test]
fn what_was_typed_wrong_ends_with_two_and_the_nearest_name() {
    alone().run(async |world| {
        for (line, meant) in [
            (
                "status live-builder-apo-0",
                "did you mean `live-builder-api-0`?",
            ),
            ("statsu", "Did you mean `status`?"),
            ("status --hree", "did you mean `--here`?"),
            ("services", "`target` is missing"),
            ("status nowhere-at-all", "nowhere-at-all"),
            ("status live/aip", "did you mean `live/api`?"),
            ("status lvie/api", "did you mean `live/api`?"),
            ("status live-zzz-*", "`status` lists them all"),
            ("logs live/api --since yesterdayish", "is not a time"),
            ("status --incident inc-99", "`incident list` shows them"),
            ("approve op-999", "`approvals` lists what waits"),
        ] {
            let (code, said) = does(world, &[], &line.split(' ').collect::<Vec<_>>());
            assert_eq!((code, &said["state"]), (2, &"refused".into()), "{line}");
            let title = said["title"].as_str().unwrap();
            assert!(title.contains(meant), "{line}: {title}");
        }
        let missing = habops(&["do", "--", "status"]);
        assert_eq!(missing.code, 2);
        assert!(
            missing.err.contains("--config FILE is missing"),
            "{missing:?}"
        );
        let nowhere = habops(&["check", "--config", "/nowhere/habops.toml"]);
        assert_eq!(nowhere.code, 2);
        assert!(nowhere.err.contains("/nowhere/habops.toml"), "{nowhere:?}");
        for (words, meant) in [
            (&["satrt"][..], "'start'"),
            (&["do", "--josn", "--", "status"], "'--json'"),
            (&["check", "--cofnig", "x"], "'--config'"),
        ] {
            let ran = habops(words);
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
            assert!(ran.err.contains(meant), "{ran:?}");
        }
        assert_eq!(habops(&[]).code, 2);
        edit(&world.config(), "refresh = ", "refersh = ");
        edit(&world.config(), "[ssh]", "[ssh]\nuzer = \"me\"");
        let faulty = runs(world, &["start"]);
        assert_eq!(faulty.code, 2, "{faulty:?}");
        assert!(faulty.out.is_empty(), "{faulty:?}");
        for said in [
            "fleet.ec2.refersh",
            "did you mean `refresh`?",
            "ssh.uzer",
            "did you mean `user`?",
        ] {
            assert!(faulty.err.contains(said), "{said}: {faulty:?}");
        }
    });
}

#[test]
fn a_level_that_is_none_is_told_and_the_roles_may_be_called_otherwise() {
    let setup = alone()
        .config("[log]\nlevel = \"warn,russh=debug\"")
        .instead("console = [\"member\", \"operator\", \"release\"]", "")
        .instead("member = [\"*\"]", "everybody = [\"*\"]");
    setup.run(async |world| {
        let ran = runs(world, &["audit", "verify"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        edit(&world.config(), "russh=debug", "russh=banana");
        let ran = runs(world, &["audit", "verify"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        let said = "log.level: `russh=banana` is not a level";
        assert!(ran.err.contains(said), "{ran:?}");
    });
}

#[test]
fn who_may_not_is_refused_with_three() {
    let setup = alone().instead(
        "console = [\"member\", \"operator\", \"release\"]",
        "console = [\"member\"]",
    );
    setup.run(async |world| {
        let (code, said) = does(world, &[], &["freeze", "live", "disk full"]);
        assert_eq!((code, &said["state"]), (3, &"refused".into()));
        let title = said["title"].as_str().unwrap();
        assert!(
            title.contains("needs the role operator; you hold member"),
            "{title}"
        );
    });
}

#[test]
fn a_change_waits_with_four_until_somebody_says_yes() {
    let setup = alone()
        .command("nudge", NUDGE)
        .command("shove", &confirmed_by("second-person"));
    setup.run(async |world| {
        let restarts = || restarts(world, "live-builder-api-0");
        let (code, said) = does(world, &[], &["nudge", "live-builder-api-0"]);
        assert_eq!((code, &said["state"]), (4, &"awaiting".into()));
        assert_eq!(restarts(), 0);
        let waiting = said["operation"].as_str().unwrap().to_owned();
        let (code, said) = does(world, &["--yes"], &["nudge", "live-builder-api-0"]);
        assert_eq!((code, &said["state"]), (0, &"done".into()), "{said}");
        assert_eq!(restarts(), 1);
        let (code, _) = does(world, &[], &["approve", &waiting]);
        assert_eq!(code, 0);
        assert_eq!(world.ended(&waiting).await.state.word(), "done");
        assert_eq!(restarts(), 2);
        // A console is never the second person, with or without --yes.
        let (code, said) = does(world, &["--yes"], &["shove", "live-builder-api-0"]);
        assert_eq!((code, &said["state"]), (4, &"awaiting".into()), "{said}");
        let shoved = said["operation"].as_str().unwrap();
        let (code, _) = does(world, &["--yes"], &["approve", shoved]);
        assert_eq!(code, 3);
        assert_eq!(restarts(), 2);
        let (code, said) = does(world, &[], &["deny", shoved]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(world.ended(shoved).await.state.word(), "denied");
    });
}

#[test]
fn check_tells_of_everything_that_the_configuration_names() {
    alone().run(async |world| {
        let ran = runs(world, &["check", "--json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let findings: Value = serde_json::from_str(&ran.out).unwrap();
        let findings = findings.as_array().unwrap();
        for finding in findings {
            let wanted = ["name", "needed", "ok", "detail", "fix"];
            assert_eq!(keys(finding), BTreeSet::from(wanted));
        }
        let named = |name: &str| findings.iter().find(|finding| finding["name"] == name);
        for name in [
            "store",
            "catalogue",
            "slack auth.test",
            "slack apps.connections.open",
            "slack user groups",
            "node live-builder-api-0",
        ] {
            assert_eq!(
                named(name).unwrap_or_else(|| panic!("no {name}: {findings:#?}"))["ok"],
                true
            );
        }
        let ran = runs(world, &["check"]);
        assert!(ran.out.contains("live-builder-api-0"), "{ran:?}");

        let file = world.dir().join("habops.toml");
        let sound = fs::read_to_string(&file).unwrap();
        fs::write(&file, sound.replace("group:S0OPS", "group:S0GONE")).unwrap();
        let ran = runs(world, &["check"]);
        assert_eq!(ran.code, 0, "nobody needs a group to look: {ran:?}");
        assert!(ran.out.contains("there is no S0GONE"), "{ran:?}");
        fs::write(&file, sound).unwrap();

        world.breaks("hostkey");
        fs::write(world.dir().join("files/bot-token"), "xoxb-of-another-app").unwrap();
        let ran = runs(world, &["check", "--json"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let findings: Value = serde_json::from_str(&ran.out).unwrap();
        let of = |name: &str| {
            let mut all = findings.as_array().unwrap().iter();
            all.find(|finding| finding["name"] == name).unwrap().clone()
        };
        let slack = of("slack auth.test");
        assert_eq!(
            (&slack["needed"], &slack["ok"]),
            (&true.into(), &false.into())
        );
        assert!(
            slack["fix"].as_str().unwrap().contains("slack.bot_token"),
            "{slack}"
        );
        let node = of("node live-builder-jobsrv-0");
        assert!(
            node["fix"]
                .as_str()
                .unwrap()
                .contains("habops trust live-builder-jobsrv-0"),
            "{node}"
        );
    });
}

#[test]
fn a_host_key_is_pinned_by_a_person_and_nothing_else_is_touched() {
    alone().run(async |world| {
        let file = world.dir().join("files/known_hosts");
        let before = fs::read_to_string(&file).unwrap();
        let known = runs(world, &["trust", "live-builder-jobsrv-0"]);
        assert_eq!(known.code, 0, "{known:?}");
        assert!(known.out.contains("nothing to write"), "{known:?}");
        world.breaks("hostkey");
        let asked = runs(world, &["trust", "live-builder-jobsrv-0"]);
        assert_eq!(asked.code, 4, "{asked:?}");
        let fingerprints = |said: &str| {
            let words = said
                .split_whitespace()
                .filter(|word| word.starts_with("SHA256:"));
            words.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        assert_eq!(fingerprints(&asked.out).len(), 2, "{asked:?}");
        assert!(
            asked.out.contains("known") && asked.out.contains("offered"),
            "{asked:?}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        let written = runs(world, &["trust", "live-builder-jobsrv-0", "--yes"]);
        assert_eq!(written.code, 0, "{written:?}");
        let after = fs::read_to_string(&file).unwrap();
        for line in before
            .lines()
            .filter(|line| !line.contains("live-builder-jobsrv-0"))
        {
            assert!(after.contains(line), "lost: {line}");
        }
        let (code, _) = does(world, &[], &["status", "live-builder-jobsrv-0"]);
        assert_eq!(code, 0);
        let unknown = runs(world, &["trust", "live-builder-jobsv-0"]);
        assert_eq!(unknown.code, 2);
        assert!(
            unknown
                .err
                .contains("did you mean `live-builder-jobsrv-0`?"),
            "{unknown:?}"
        );
    });
}

#[test]
fn the_audit_is_listed_exported_and_tells_of_tampering() {
    alone().run(async |world| {
        for _ in 0..3 {
            does(world, &[], &["help"]);
        }
        let (code, said) = does(world, &[], &["diagnose", "live/router"]);
        assert_eq!((code, &said["hosts"][0]["state"]), (0, &"done".into()), "{said}");
        let asked = runs(world, &["do", "--", "incident", "list", "--json"]);
        let said: Value = serde_json::from_str(&asked.out).unwrap();
        assert_eq!(said["state"], "done", "{said}");
        let verified = runs(world, &["audit", "verify"]);
        assert_eq!(verified.code, 0, "{verified:?}");
        let words: Vec<&str> = verified.out.split_whitespace().collect();
        let ["ok", count, "records,", "head", head] = words[..] else {
            panic!("{verified:?}");
        };
        let exported = runs(world, &["audit", "export"]);
        assert_eq!(exported.out.lines().count().to_string(), count);
        for (at, line) in exported.out.lines().enumerate() {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["seq"], at + 1);
        }
        let listed = runs(world, &["audit", "list", "--limit", "2"]);
        assert_eq!(listed.out.lines().count(), 2);
        assert_eq!(listed.out.lines().next(), exported.out.lines().last());
        assert_eq!(runs(world, &["audit", "verify", "--head", head]).code, 0);
        let other = "0".repeat(63) + "1";
        assert_eq!(runs(world, &["audit", "verify", "--head", &other]).code, 1);
        assert_eq!(runs(world, &["audit", "verify", "--head", "abc"]).code, 2);

        let database = rusqlite::Connection::open(world.store.path()).unwrap();
        let tamper = "DROP TRIGGER audit_is_not_changed; UPDATE audit SET event = replace(event, 'help', 'kelp') WHERE seq = 5;";
        database.execute_batch(tamper).unwrap();
        let found = runs(world, &["audit", "verify"]);
        assert_eq!(found.code, 1, "{found:?}");
        assert!(found.out.starts_with("bad record 5"), "{found:?}");
        // The scene's own end wants a whole chain.
        database
            .execute_batch("UPDATE audit SET event = replace(event, 'kelp', 'help') WHERE seq = 5;")
            .unwrap();
    });
}

#[test]
fn an_incident_opened_at_the_terminal_is_exported_as_a_document() {
    alone().run(async |world| {
        let (code, said) = does(world, &[], &["incident", "open", "login is slow"]);
        assert_eq!(code, 0, "{said}");
        let incident = said["operation"].as_str().unwrap().replace("op-", "inc-");
        let (code, note) = does(world, &[], &["incident", "note", "the queue grows"]);
        assert_eq!(code, 0);
        for (format, holds) in [("md", "# "), ("html", "<html"), ("jsonl", "{")] {
            let ran = runs(
                world,
                &["incident", "export", &incident, "--format", format],
            );
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(
                ran.out.contains(holds) && ran.out.contains("the queue grows"),
                "{ran:?}"
            );
        }
        let unknown = runs(world, &["incident", "export", "inc-999"]);
        assert_eq!(unknown.code, 2, "{unknown:?}");
        // With the bot up, what was done meanwhile is shown, marked as back-filled.
        world.start().await;
        let card = world.shows(&format!("{incident}:card"), "open").await;
        let note = world
            .shows(note["operation"].as_str().unwrap(), "done")
            .await;
        assert_eq!(note.thread_ts, Some(card.ts));
        let said = super::world::words_of(note.blocks.as_ref().unwrap());
        assert!(said.contains("back-filled"), "{said}");
    });
}

#[test]
fn the_catalogue_is_printed_and_an_overlay_checked() {
    let listed = habops(&["commands"]);
    assert_eq!(listed.code, 0);
    assert!(
        listed.out.lines().any(|line| line.starts_with("status ")),
        "{listed:?}"
    );
    let table = habops(&["commands", "--markdown"]);
    assert!(
        table.out.contains("`status [target]`") && table.out.contains('|'),
        "{table:?}"
    );
    let manifest: Value = serde_json::from_str(&habops(&["commands", "--manifest"]).out).unwrap();
    assert_eq!(manifest["settings"]["socket_mode_enabled"], true);
    let dir = tempfile::tempdir().unwrap();
    overlay(dir.path(), &[("nudge".to_owned(), NUDGE.to_owned())]);
    let path = dir.path().to_str().unwrap();
    let good = habops(&["commands", "--check", path]);
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.out.starts_with("ok, "), "{good:?}");
    let bad = NUDGE.replace("role = ", "rule = ");
    overlay(dir.path(), &[("nudge".to_owned(), bad)]);
    let bad = habops(&["commands", "--check", path]);
    assert_eq!((bad.code, bad.out.as_str()), (2, ""), "{bad:?}");
    let fault = format!("{path}/nudge.toml:3: rule: ");
    assert!(
        bad.err.lines().any(|line| line.starts_with(&fault)),
        "{bad:?}"
    );
    assert_eq!(habops(&["commands", "--check", "/nowhere"]).code, 2);
}

const TOKENS: &str = r#"summary = "Count the tokens of an account."
changes = false
role = "operator"
confirm = "never"

[query]
database = "builder_sessionsrv"
scope = "by-id"
key = "account"
sql = "SELECT count(t.id) FROM account_tokens t WHERE t.account_id = $1"

[[arg]]
name = "account"
kind = "integer"
help = "Its id."

[[example]]
text = "721096872374083614"
"#;

#[test]
fn a_query_that_could_do_or_show_more_is_refused_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let check = |toml: String| {
        overlay(dir.path(), &[("tokens".to_owned(), toml)]);
        habops(&["commands", "--check", dir.path().to_str().unwrap()])
    };
    let sound = check(TOKENS.to_owned());
    assert_eq!(sound.code, 0, "{sound:?}");
    for (from, to, said) in [
        (
            "SELECT count(t.id) FROM",
            "DELETE FROM",
            "must be exactly one SELECT",
        ),
        ("= $1", "= $1; DELETE FROM accounts", "may not hold a `;`"),
        ("count(t.id)", "t", "`t` is a whole row; name the columns"),
        (
            "count(t.id)",
            "t.token",
            "the column `t.token` is not one that may be read",
        ),
        (
            "count(t.id)",
            "pg_sleep(60)",
            "the function `pg_sleep` is not one that may be used",
        ),
        (
            " WHERE t.account_id = $1",
            " WHERE t.account_id = $2",
            "`$2` is bound to no argument; there are 1",
        ),
    ] {
        assert!(TOKENS.contains(from), "{from}");
        let refused = check(TOKENS.replace(from, to));
        assert_eq!(
            (refused.code, refused.out.as_str()),
            (2, ""),
            "{to}: {refused:?}"
        );
        let line = format!("tokens.toml:10: query.sql: {said}");
        assert!(refused.err.contains(&line), "{to}: {refused:?}");
    }
}

#[test]
fn a_store_that_cannot_be_used_is_named_with_what_to_do() {
    alone().run(async |world| {
        let mut url = "sqlite:habops.db".to_owned();
        for (other, said) in [
            (
                "postgres://hab@127.0.0.1/habops",
                "PostgreSQL is not supported yet",
            ),
            (
                "sqlite:nowhere/habops.db",
                "nowhere does not exist; create it, or set [store] url",
            ),
            (
                "sqlite:/proc/habops.db",
                "check that the path is right and that habops may read and write",
            ),
            (
                "sqlite:files",
                "check that the path is right and that habops may read and write",
            ),
        ] {
            edit(
                &world.config(),
                &format!("url = \"{url}\""),
                &format!("url = \"{other}\""),
            );
            url = other.to_owned();
            for words in [
                &["do", "--", "status"][..],
                &["audit", "verify"],
                &["start"],
            ] {
                let ran = runs(world, words);
                assert_eq!(ran.code, 2, "{other} {ran:?}");
                assert!(ran.out.is_empty(), "{ran:?}");
                assert!(ran.err.contains(said), "{other}: {ran:?}");
            }
        }
    });
}

#[test]
fn tokens_and_keys_that_do_not_serve_end_with_two_and_a_sentence() {
    alone().run(async |world| {
        let files = world.dir().join("files");
        let swapped = |name: &str, text: &str, said: &str| {
            let (file, kept) = (files.join(name), fs::read(files.join(name)).unwrap());
            fs::write(&file, text).unwrap();
            let ran = runs(world, &["start"]);
            fs::write(&file, kept).unwrap();
            assert_eq!(ran.code, 2, "{name}: {ran:?}");
            assert!(ran.err.contains(said), "{name}: {ran:?}");
        };
        swapped("bot-token", "xoxb-wrong", "slack.bot_token");
        swapped("app-token", "xapp-wrong", "slack.app_token");
        swapped("bot-token", "xapp-wrong", "begins with xoxb-");
        swapped("bot-token", "xoxb-1\nxoxb-2", "more than one line");
        swapped("habitat-srv-admin", "no key at all", "habitat-srv-admin");
        fs::remove_file(files.join("app-token")).unwrap();
        let ran = runs(world, &["start"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("app-token"), "{ran:?}");
    });
}

#[test]
fn keys_and_host_keys_that_cannot_be_used_are_named_with_what_to_do() {
    alone().run(async |world| {
        let status = ["do", "--", "status", "live-builder-api-0"];
        let instead = |from: &str, to: &str| {
            edit(&world.config(), from, to);
            let ran = runs(world, &status);
            edit(&world.config(), to, from);
            ran
        };
        let identity = "identity_file = \"files/habitat-srv-admin\"";
        let hosts = "known_hosts = \"files/known_hosts\"";
        for (from, to, code, said) in [
            (
                identity,
                "identity_file = \"files/nowhere\"",
                2,
                "set [ssh] identity_file",
            ),
            (
                identity,
                "identity_file = \"files\"",
                2,
                "set [ssh] identity_file",
            ),
            (
                identity,
                "identity_file = \"files/habitat-srv-admin.pub\"",
                2,
                "not a private key",
            ),
            (hosts, "known_hosts = \"files\"", 2, "set [ssh] known_hosts"),
            (
                hosts,
                "known_hosts = \"files/nowhere\"",
                1,
                "run `habops trust NODE`",
            ),
        ] {
            let ran = instead(from, to);
            assert_eq!(ran.code, code, "{to}: {ran:?}");
            assert!((ran.out + &ran.err).contains(said), "{to}");
        }
        let file = world.dir().join("files/known_hosts");
        let known = fs::read_to_string(&file).unwrap();
        let others = |line: &&str| !line.contains("live-builder-api-0");
        let lines: Vec<&str> = known.lines().filter(others).collect();
        fs::write(&file, lines.join("\n")).unwrap();
        let ran = runs(world, &status);
        assert_eq!(ran.code, 1, "{ran:?}");
        for said in ["host key unknown", "habops trust live-builder-api-0"] {
            assert!(ran.out.contains(said), "{said}: {ran:?}");
        }
        fs::write(&file, known).unwrap();
        world.breaks("hostkey");
        let ran = runs(world, &["do", "--", "status", "live-builder-jobsrv-0"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        for said in ["host key changed", "habops trust live-builder-jobsrv-0"] {
            assert!(ran.out.contains(said), "{said}: {ran:?}");
        }
    });
}

#[test]
fn a_place_to_listen_or_to_write_that_cannot_be_had_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let demo = habops(&["demo", "--listen", &address, "--no-datastore"]);
    assert_eq!(demo.code, 2, "{demo:?}");
    assert!(
        demo.err.contains("choose another with --listen"),
        "{demo:?}"
    );
    for word in ["demo", "sandbox"] {
        let ran = habops(&[word, "--listen", "127.0.0.1:0", "--dir", "/proc/nowhere"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("choose another with --dir"), "{ran:?}");
    }
    alone().run(async |world| {
        let file = fs::read_to_string(world.config()).unwrap();
        let free = file.lines().find(|line| line.starts_with("admin = "));
        let taken = format!("admin = \"{address}\"");
        edit(&world.config(), free.unwrap(), &taken);
        let ran = runs(world, &["start"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("set http.admin"), "{ran:?}");
    });
}

#[test]
fn help_is_worth_reading_and_completions_are_printed() {
    let help = habops(&["--help"]);
    assert_eq!(help.code, 0);
    for word in [
        "start",
        "check",
        "do",
        "trust",
        "commands",
        "audit",
        "incident",
        "demo",
        "Exit codes",
    ] {
        assert!(help.out.contains(word), "{word}: {help:?}");
    }
    let completions = habops(&["completions", "bash"]);
    assert_eq!(completions.code, 0);
    assert!(completions.out.contains("_habops"), "{completions:?}");
    assert!(habops(&["--version"]).out.starts_with("habops "));
}
