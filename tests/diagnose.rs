//! Known issues: the data, what is refused in it, and `diagnose` on journals that hold them.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    sync::LazyLock,
};

use habops::{
    catalogue::Catalogue,
    domain::{command::Commands, service::Services},
};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    string::string_regex,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;

use super::world::{World, everywhere, of_metadata, people::button, words};

/// One signature and one symptom beside a command, to break in one place.
const SOUND: &str = r#"summary = "Look for known issues."
changes = false
role = "member"
confirm = "never"
handler = "diagnose"

[[arg]]
name = "target"
kind = "target"
optional = true
help = "A node."

[[signature]]
name = "no-shard"
roles = ["router"]
pattern = 'err: NO_SHARD'
before = 'protocol=([a-z]+)'
at_least = 3
within = "5m"
level = "error"
means = "Nobody has registered."
look_at = "Which service."
next = ["diagnose {environment}/{service}", "diagnose {node}"]
source = "guide"

[[symptom]]
word = "login"
seen = "Nobody can sign in."
look_at = "The API."
next = ["diagnose {environment}/api"]
source = "guide"
"#;

const BREAKS: &[(&str, &str, &str)] = &[
    ("no name", "name = \"no-shard\"\n", ""),
    ("an odd name", "\"no-shard\"", "\"NO SHARD\""),
    ("a role's typo", "\"router\"", "\"ruoter\""),
    ("no role at all", "\"router\"", "\"The Router\""),
    ("no pattern", "pattern = 'err: NO_SHARD'\n", ""),
    (
        "a pattern that cannot be read",
        "'err: NO_SHARD'",
        "'err: (NO'",
    ),
    (
        "a pattern that grep reads otherwise",
        "'err: NO_SHARD'",
        "'err: \\w+'",
    ),
    (
        "a pattern from the line's begin",
        "'err: NO_SHARD'",
        "'^err'",
    ),
    ("a pattern of anything", "'err: NO_SHARD'", "'.*'"),
    (
        "a line before that tells nothing",
        "'protocol=([a-z]+)'",
        "'protocol='",
    ),
    (
        "a service that no line tells",
        "before = 'protocol=([a-z]+)'\n",
        "",
    ),
    ("no lines", "at_least = 3", "at_least = 0"),
    ("lines in any time", "within = \"5m\"\n", ""),
    ("lines in a week", "\"5m\"", "\"7d\""),
    ("an odd level", "\"error\"", "\"fatal\""),
    ("no meaning", "means = \"Nobody has registered.\"\n", ""),
    ("no source", "source = \"guide\"\n\n", "\n"),
    ("an unknown key", "look_at = \"Which", "look = \"Which"),
    ("a place that has no value", "{node}", "{nod}"),
    (
        "a next that is no command",
        "diagnose {node}",
        "daignose {node}",
    ),
    (
        "a next with an unknown flag",
        "diagnose {node}",
        "diagnose {node} --now",
    ),
    (
        "a cure on the node itself",
        "at_least = 3",
        "cured_on = [\"router\"]\nat_least = 3",
    ),
    (
        "a cure of nobody's lines",
        "roles = [\"router\"]",
        "cured_on = [\"jobsrv\"]",
    ),
    (
        "a cure's typo",
        "at_least = 3",
        "cured_on = [\"jobsvr\"]\nat_least = 3",
    ),
    ("a symptom's node", "{environment}/api", "{node}"),
    ("an odd word", "\"login\"", "\"log in\""),
    (
        "a symptom with nothing to do",
        "next = [\"diagnose {environment}/api\"]\n",
        "",
    ),
];

#[test]
fn a_faulty_known_issue_is_refused_in_plain_words() {
    let mut said = String::new();
    for (what, from, to) in BREAKS {
        assert!(SOUND.contains(from), "{what}: no `{from}`");
        let broken = SOUND.replacen(from, to, 1);
        let faults = Catalogue::of(&[("diagnose.toml", &broken)])
            .map_or_else(|faults| faults.to_string(), |_| "none".to_owned());
        assert_ne!(faults, "none", "{what}");
        let _ = writeln!(said, "{what}\n    {}", faults.replace('\n', "\n    "));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn only_the_command_that_diagnoses_holds_known_issues() {
    let faults = Catalogue::of(&[("other.toml", SOUND)]).unwrap_err();
    insta::assert_snapshot!(faults, @r##"
    other.toml:13: signature: only `diagnose.toml` has them
    other.toml:26: symptom: only `diagnose.toml` has them
    "##);
}

/// An overlay whose `diagnose.toml` says this.
fn overlaid(text: &str) -> Result<Catalogue, String> {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = dir.path().join("diagnose.toml");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    Catalogue::with_overlay(dir.path(), &[]).map_err(|faults| {
        faults
            .to_string()
            .replace(&dir.path().display().to_string(), "DIR")
    })
}

const OURS: &str = r#"[[signature]]
name = "cache-cold"
roles = ["memcached"]
pattern = 'cache is cold'
level = "warning"
means = "The cache was emptied."
look_at = "Who emptied it."
next = ["status {node}"]
source = "ours"
"#;

#[test]
fn an_overlay_adds_known_issues_of_its_own() {
    let catalogue = overlaid(OURS).unwrap();
    let known = catalogue.commands.known_issues();
    let ours = known.signature("cache-cold").unwrap();
    assert_eq!(ours.next[0].as_str(), "status {node}");
    assert!(known.signature("api-timeout").is_some(), "habops' own stay");
    assert!(
        catalogue
            .files
            .iter()
            .any(|(file, _)| file.ends_with("/diagnose.toml") && !file.starts_with("commands/")),
        "the audit knows of the file"
    );
}

#[test]
fn an_overlay_neither_takes_a_known_name_nor_changes_the_command() {
    insta::assert_snapshot!(overlaid(&OURS.replace("cache-cold", "api-timeout")).unwrap_err(), @r##"DIR/diagnose.toml:2: signature.name: there is a signature `api-timeout` already"##);
    insta::assert_snapshot!(overlaid(&format!("handler = \"diagnose\"\n{OURS}")).unwrap_err(), @r##"DIR/diagnose.toml:1: handler: no such key"##);
}

static KNOWN: LazyLock<Commands> = LazyLock::new(|| Catalogue::embedded().unwrap().commands);

/// Lines as Builder's services write them, on nodes of which role, and the issue that each is a sign of.
const LINES: &[(&str, &str, &str)] = &[
    (
        "api",
        "builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout",
        "api-timeout",
    ),
    (
        "router",
        "builder-router.live(O): ERROR:habitat_builder_router::server: [err: NO_SHARD, msg: rt:route:2]",
        "no-shard",
    ),
    (
        "router",
        "builder-router.live(O): ERROR 2018-02-07T16:56:53Z: habitat_builder_router::server: [err: NO_SHARD, msg: rt:route:2]",
        "no-shard",
    ),
    (
        "router",
        "builder-router.live(O): WARN:habitat_builder_router::server: expiring server registration, \"7f3a\"",
        "registration-expires",
    ),
    (
        "jobsrv",
        "builder-jobsrv.live(O): ERROR:habitat_net::app: [err: REG_CONFLICT, msg: rt:register:1], retrying registration to RouteSrv",
        "registration-conflict",
    ),
    (
        "sessionsrv",
        "builder-sessionsrv.live(O): ERROR:habitat_net::conn: Failed to route request, no reachable RouteSrv",
        "no-router",
    ),
    (
        "jobsrv",
        "builder-jobsrv.acceptance(SV): Starting service as user=hab, group=hab",
        "restart-loop",
    ),
    (
        "worker",
        "builder-worker.live(O): FATAL: Could not find network interface ens4",
        "ens4-missing",
    ),
    (
        "worker",
        "builder-worker.live(O): Device \"ens4\" does not exist.",
        "ens4-missing",
    ),
    (
        "originsrv",
        "builder-originsrv.live(O): ERROR:habitat_builder_db::pool: Error initializing connection pool to Postgres, will retry: timed out",
        "no-datastore",
    ),
    (
        "originsrv",
        "builder-originsrv.live(O): ERROR:habitat_builder_originsrv: [err: DATA_STORE, msg: vt:origin-get:1], relation does not exist",
        "datastore-error",
    ),
    (
        "datastore",
        "builder-datastore.live(O): FATAL:  sorry, too many clients already",
        "too-many-clients",
    ),
    (
        "api",
        "builder-api.live(O): ERROR:hyper::server: Too many open files (os error 24)",
        "too-many-open-files",
    ),
    (
        "datastore",
        "builder-datastore.live(O): FATAL:  lock file \"postmaster.pid\" already exists",
        "datastore-lock",
    ),
    (
        "datastore",
        "builder-datastore.live(O): FATAL:  lock file \"/tmp/.s.PGSQL.5432.lock\" already exists",
        "datastore-lock",
    ),
    (
        "api",
        "Unable to start Habitat Supervisor because another instance is already running with the pid 1234",
        "supervisor-lock",
    ),
    (
        "api",
        "Unable to open the process lock at /hab/sup/default/LOCK",
        "supervisor-lock",
    ),
    (
        "router",
        "This Supervisor has been manually departed.",
        "departed",
    ),
    (
        "jobsrv",
        "builder-jobsrv.live(O): WARN:habitat_builder_jobsrv: Requeing job: 1019558817747509248",
        "worker-mismatch",
    ),
    (
        "jobsrv",
        "builder-jobsrv.live(O): WARN:habitat_builder_jobsrv: Unexpacted Busy heartbeat from unknown worker ip-10-0-0-240",
        "worker-mismatch",
    ),
    (
        "jobsrv",
        "builder-jobsrv.live(O): ERROR:habitat_builder_jobsrv: Unable to retrieve project: \"core/redis\" (group: 1), error: TIMEOUT",
        "no-project",
    ),
    (
        "worker",
        "builder-worker.live(O): Waiting for builder-github-app.pem",
        "no-github-key",
    ),
    (
        "worker",
        "builder-worker.live(O): ERROR: No 'network_gateway' config value specfied (user.toml)",
        "half-airlock",
    ),
    (
        "router",
        "builder-router.live(O): ERROR:habitat_net::app: Worker[3] restarting...",
        "dispatcher-died",
    ),
];

/// Whether `grep -E` on a node would let the line through.
fn greps(filter: &str, line: &str) -> bool {
    let mut grep = Command::new("grep")
        .args(["-E", "-q", "-e", filter])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = grep.stdin.take().unwrap();
    writeln!(input, "{line}").unwrap();
    drop(input);
    grep.wait().unwrap().success()
}

#[test]
fn each_known_line_is_the_sign_of_its_issue_and_passes_the_filter_on_the_node() {
    let known = KNOWN.known_issues();
    let mut untried: BTreeSet<&str> = known
        .signatures
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    for (role, line, issue) in LINES {
        let role = (*role).into();
        let found: Vec<&str> = known
            .of_line(&role, line)
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(found, [*issue], "{line}");
        let filter = known.filter(&role, &[]).unwrap().unwrap();
        let json = |line: &str| json!({ "MESSAGE": line }).to_string();
        let dull = "builder-api.live(O): INFO:habitat_builder_api::server: all is well";
        // Typed by a person over plain lines, and run by habops over journalctl's JSON.
        let both = [
            (
                filter.as_str().to_owned(),
                (*line).to_owned(),
                dull.to_owned(),
            ),
            (filter.for_grep(), json(line), json(dull)),
        ];
        for (filter, line, dull) in both {
            assert!(greps(&filter, &line), "{filter} does not pass {line}");
            assert!(!greps(&filter, &dull), "{filter} passes {dull}");
        }
        untried.remove(issue);
    }
    assert!(untried.is_empty(), "no line is tried for {untried:?}");
}

/// The lines among these that the real `grep -E` lets through.
fn let_through(filter: &str, lines: &[String]) -> usize {
    let mut grep = Command::new("grep")
        .args(["-a", "-E", "-c", "-e", filter])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = grep.stdin.take().unwrap();
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let counted = grep.wait_with_output().unwrap();
    let counted = String::from_utf8(counted.stdout).unwrap();
    counted.trim().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Fails when a signature is left out of the filter, when a role's is looked for on another, or when `for_grep` writes a quote as
    /// JSON does not.
    #[test]
    fn whatever_fits_a_signature_is_its_sign_and_reaches_us_from_the_node(
        before in "[ -~ä]{0,30}",
        after in "[ -~ä]{0,30}",
        seed in any::<u64>(),
    ) {
        let known = KNOWN.known_issues();
        let mut random = TestRunner::new_with_rng(
            ProptestConfig::default(),
            TestRng::from_seed(RngAlgorithm::ChaCha, &seed.to_le_bytes().repeat(4)),
        );
        let roles = Services::default();
        let roles: BTreeSet<&str> = roles.iter().map(|(_, service)| service.role.as_str()).collect();
        for role in roles {
            let role = role.into();
            let mut lines = Vec::new();
            for signature in &known.signatures {
                // What the pattern leaves open is printable, as in a journal.
                let pattern = signature.pattern.as_str().replace(r#"[^"]"#, "[ !#-~]");
                let fitting = string_regex(&pattern).unwrap().new_tree(&mut random).unwrap().current();
                let line = format!("{before}{fitting}{after}");
                let means = known.of_line(&role, &line).any(|found| found.name == signature.name);
                prop_assert_eq!(means, signature.is_on(&role), "{}: {}", signature.name, line);
                if means {
                    lines.push(json!({ "MESSAGE": line }).to_string());
                }
            }
            let filter = known.filter(&role, &[]).unwrap().unwrap();
            prop_assert_eq!(let_through(&filter.for_grep(), &lines), lines.len(), "{}: {:#?}", role, lines);
        }
    }
}

/// What happened hours ago is in these journals from the beginning.
const WITH_A_PAST: [&str; 3] = [
    "live-builder-api-0",
    "live-builder-router-0",
    "live-builder-worker-2",
];

/// Otherwise what a restart needs, and what a test finds, would hang on the time of day.
#[test]
fn a_node_that_nobody_broke_says_nothing_that_a_known_issue_is_told_by() {
    let known = KNOWN.known_issues();
    World::run(async |world| {
        let nodes = world.sandbox.nodes.list().iter();
        let mut lines = 0;
        for node in nodes.filter(|node| !WITH_A_PAST.contains(&node.name.as_str())) {
            let role = node.role.as_str().into();
            for line in world.sandbox.nodes.journal(&node.name) {
                let told: Vec<&str> = known
                    .of_line(&role, &line)
                    .map(|one| one.name.as_str())
                    // Each start of a service is such a line; the issue is many of them.
                    .filter(|issue| *issue != "restart-loop")
                    .collect();
                assert!(told.is_empty(), "{}: {told:?}: {line}", node.name);
                lines += 1;
            }
        }
        assert!(lines > 10_000, "{lines}");
    });
}

#[test]
fn a_storm_is_named_explained_and_answered_with_a_button() {
    World::run(async |world| {
        world.breaks("timeout-storm");
        let ana = world.person("ana");
        world
            .eventually("three errors in the journal", async || {
                let lines = world.sandbox.nodes.journal("live-builder-api-0");
                (lines
                    .iter()
                    .filter(|line| line.contains("Connection recv timeout"))
                    .count()
                    >= 5)
                    .then_some(())
            })
            .await;
        let said = ana.runs("/habops diagnose live/api").await;
        let told = words(&said);
        assert!(
            told.contains("Known issue: api-timeout on live-builder-api-0"),
            "{told}"
        );
        assert!(
            told.contains("[err: TIMEOUT, msg: net:route:3], Connection recv timeout"),
            "{told}"
        );
        assert!(told.contains("no answer from behind the router"), "{told}");
        assert!(
            button(&said, "restart live-builder-api-0").is_some(),
            "{told}"
        );
    });
}

#[test]
fn where_the_journals_say_nothing_people_are_asked_what_they_notice() {
    World::run(async |world| {
        let bo = world.person("bo");
        let said = bo.runs("/habops diagnose live/originsrv").await;
        let told = words(&said);
        assert!(
            told.contains("No known issue in the last 1h on 1 node"),
            "{told}"
        );
        assert!(
            told.contains("Nobody can sign in, or My Origins is empty."),
            "{told}"
        );
        bo.presses(&said, "login").await;
        let symptom = world
            .sees("operations", "keeps accounts and sessions")
            .await;
        assert!(button(&symptom, "diagnose live/api").is_some());
        bo.types("/habops diagnose --symptom lgoin").await;
        bo.hears("Did you mean `login`?").await;
    });
}

#[test]
fn a_node_that_does_not_answer_is_a_row_and_the_others_are_diagnosed() {
    World::run(async |world| {
        world.breaks("down");
        let ana = world.person("ana");
        let said = ana
            .runs("/habops diagnose live/router,live/sessionsrv")
            .await;
        let told = words(&said);
        assert!(told.contains("on 1 node"), "{told}");
        assert!(told.contains("live-builder-sessionsrv-0"), "{told}");
        assert!(told.contains("cannot be reached"), "{told}");
    });
}

#[test]
fn while_a_node_is_slow_the_message_says_how_far_it_is() {
    World::run(async |world| {
        world.breaks("frozen");
        let ana = world.person("ana");
        let said = ana.types("/habops diagnose live").await;
        world
            .until("how far it is", |slack| {
                everywhere(slack).find(|message| {
                    of_metadata(message, "key") == said.operation
                        && words(message).contains("waiting for live-builder-worker-1")
                })
            })
            .await;
        world.mends("frozen");
        let ended = world.ended(&said.operation).await;
        world.shows(&said.operation, ended.state.word()).await;
    });
}

#[test]
fn where_a_line_before_names_the_service_that_one_is_suggested() {
    World::run(async |world| {
        world.breaks("no-shard-login");
        let ana = world.person("ana");
        let said = ana.runs("/habops diagnose live/router").await;
        let told = words(&said);
        assert!(told.contains("Known issue: no-shard"), "{told}");
        assert!(told.contains("The lines before name sessionsrv."), "{told}");
        assert!(button(&said, "restart live/sessionsrv").is_some(), "{told}");
        assert!(button(&said, "restart live/jobsrv").is_none(), "{told}");
    });
}

#[test]
fn the_worst_of_several_issues_comes_first() {
    World::run(async |world| {
        for fault in ["no-datastore", "too-many-clients", "ens4-detached"] {
            world.breaks(fault);
        }
        let ana = world.person("ana");
        let told = words(&ana.runs("/habops diagnose live --since 2m").await);
        assert!(told.contains("3 known issues"), "{told}");
        for issue in ["no-datastore", "too-many-clients", "ens4-missing"] {
            assert!(told.contains(issue), "{issue}: {told}");
        }
        let probed = words(&ana.runs("/habops airlock live-builder-worker-1").await);
        assert!(probed.contains("ISSUE: interface not attached"), "{probed}");
    });
}
