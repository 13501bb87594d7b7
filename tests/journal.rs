//! `logs` and `tail` on real parts: OpenSSH servers whose journalctl is the real one over journal files that systemd-journal-remote
//! made, as it is or refusing `--grep` like systemd 229; and on the sandbox's nodes, through Slack.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{
    farm::{Farm, Layout, user},
    world::{
        World,
        program::{Ran, Running, habops},
        words,
    },
};

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";
/// 2017-11-16 00:35:46 UTC, the guide's own moment.
pub const THEN: i64 = 1_510_792_546;
const SECOND: i64 = 1_000_000;
/// How long anything that must come may take.
const SOON: Duration = Duration::from_mins(1);

/// One entry, of the Supervisor's unit.
pub struct Said<'m> {
    pub micros: i64,
    pub message: &'m [u8],
}

/// At that many seconds after the guide's moment.
fn at(seconds: i64, message: &str) -> Said<'_> {
    Said {
        micros: (THEN + seconds) * SECOND,
        message: message.as_bytes(),
    }
}

/// Nodes with journals, and a configuration that reaches them.
pub struct Nodes {
    farm: Farm,
    dir: TempDir,
}

impl Nodes {
    /// `live-builder-worker-0` and so on, whose journals are empty.
    pub fn new(many: usize, refuses_grep: bool) -> Self {
        assert!(
            Path::new(REMOTE).exists(),
            "no {REMOTE}: apt-get install -y systemd-journal-remote"
        );
        let dir = tempfile::Builder::new()
            .prefix("journals")
            .tempdir()
            .unwrap();
        for node in 0..many {
            let bin = dir.path().join(format!("bin-{node}"));
            fs::create_dir_all(&bin).unwrap();
            fs::create_dir_all(dir.path().join(format!("journal-{node}"))).unwrap();
            let refuses = if refuses_grep {
                "for word; do case $word in --grep*|-g*|--output-fields*) echo \"journalctl: unrecognized option '$word'\" >&2; exit 1;; esac; done\n"
            } else {
                ""
            };
            let tool = bin.join("journalctl");
            let journal = dir.path().join(format!("journal-{node}"));
            let script = format!(
                "#!/bin/sh\n{refuses}exec /usr/bin/journalctl --directory={} \"$@\"\n",
                journal.display()
            );
            fs::write(&tool, script).unwrap();
            fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = |node| {
            format!(
                "{}:/usr/bin:/bin",
                dir.path().join(format!("bin-{node}")).display()
            )
        };
        let farm = Farm::laid_out(&Layout {
            nodes: many,
            path: Some(&path),
            ..Layout::default()
        });
        let nodes = Self { farm, dir };
        nodes.configure();
        nodes
    }

    fn configure(&self) {
        let names: Vec<String> = (0..self.farm.hosts().len()).map(name).collect();
        self.farm
            .know(&format!("{} {}\n", names.join(","), self.farm.host_key()));
        let mut toml = String::from(
            "[store]\nurl = \"sqlite:habops.db\"\n[fleet]\ndefault_environment = \"live\"\n",
        );
        for (name, host) in names.iter().zip(self.farm.hosts()) {
            let _ = writeln!(
                toml,
                "[[fleet.node]]\nname = \"{name}\"\nenvironment = \"live\"\nrole = \"worker\"\naddress = \"{}\"\nport = {}",
                host.address, host.port
            );
        }
        let _ = writeln!(
            toml,
            "[ssh]\nuser = \"{}\"\nidentity_file = \"{}\"\nknown_hosts = \"{}\"\nconnect_timeout = \"30s\"\n[policy]\nconsole = [\"member\"]",
            user(),
            self.farm.file("user").display(),
            self.farm.file("known_hosts").display()
        );
        fs::write(self.config(), toml).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("habops.toml")
    }

    pub fn journal(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("journal-{node}"))
    }

    /// Adds entries to a node's journal, oldest first.
    pub fn says(&self, node: usize, entries: &[Said<'_>]) {
        let mut export = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            write!(
                export,
                "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=ip-10-0-0-{node}\n\
                 SYSLOG_IDENTIFIER=hab\n_PID=40751\n_SYSTEMD_UNIT=hab-sup.service\nPRIORITY=6\nMESSAGE\n",
                entry.micros,
                number + 1
            )
            .unwrap();
            export.extend((entry.message.len() as u64).to_le_bytes());
            export.extend(entry.message);
            export.extend(b"\n\n");
        }
        let mut remote = Command::new(REMOTE)
            .arg("-o")
            .arg(self.journal(node).join("all.journal"))
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        remote.stdin.take().unwrap().write_all(&export).unwrap();
        let output = remote.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs a command to its end.
    fn does(&self, line: &[&str]) -> Ran {
        let config = self.config();
        let mut words = vec!["do", "--json", "--config", config.to_str().unwrap(), "--"];
        words.extend(line);
        habops(&words)
    }

    /// Runs it, and reads what it says.
    fn asks(&self, line: &[&str]) -> Value {
        let ran = self.does(line);
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
    }

    /// Whether a process still has a node's journal open.
    fn is_read(&self) -> bool {
        let dir = self.dir.path().join("journal-").display().to_string();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
            .any(|line| String::from_utf8_lossy(&line).contains(&dir))
    }
}

fn name(node: usize) -> String {
    format!("live-builder-worker-{node}")
}

/// The file that comes with an answer; empty where none does.
fn file(said: &Value) -> String {
    let parts = said["parts"].as_array().unwrap();
    let text = parts.iter().find_map(|part| part["file"]["text"].as_str());
    text.unwrap_or_default().to_owned()
}

/// The messages in it, without time, node and process.
fn messages(said: &Value) -> Vec<String> {
    let text = file(said);
    let message = |line: &str| {
        line.split_once("]: ")
            .map(|(_, message)| message.to_owned())
    };
    text.lines().filter_map(message).collect()
}

fn part<'v>(said: &'v Value, kind: &str) -> &'v Value {
    let parts = said["parts"].as_array().unwrap();
    parts
        .iter()
        .map(|part| &part[kind])
        .find(|part| !part.is_null())
        .unwrap_or(&Value::Null)
}

/// Waits until it holds, looking often.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ten nodes with thirty lines each, ten seconds apart, a millisecond between one node and the next.
fn ten(refuses_grep: bool) -> Nodes {
    let nodes = Nodes::new(10, refuses_grep);
    for node in 0..10_i64 {
        let line = |number: i64| {
            let level = if number % 10 == 0 { "ERROR" } else { "INFO" };
            format!(
                "builder-worker.live(O): {level}:habitat_builder_worker: job {number} of {node}, msg: net:route:{node}"
            )
        };
        let lines: Vec<String> = (0..30).map(line).collect();
        let said = lines.iter().zip(0..).map(|(line, number)| Said {
            micros: (THEN + number * 10) * SECOND + node * 1_000,
            message: line.as_bytes(),
        });
        nodes.says(usize::try_from(node).unwrap(), &said.collect::<Vec<_>>());
    }
    nodes
}

/// Whether these messages are those of these numbers on that node, in order.
fn are_jobs(said: &Value, numbers: std::ops::Range<u32>, node: usize) -> bool {
    let messages = messages(said);
    let wanted = numbers.map(|number| format!("job {number} of {node}"));
    let wanted: Vec<String> = wanted.collect();
    messages.len() == wanted.len()
        && messages
            .iter()
            .zip(&wanted)
            .all(|(line, job)| line.contains(job))
}

#[rstest]
#[case::with_grep(false)]
#[case::as_systemd_229(true)]
fn ten_nodes_are_one_view_in_the_order_of_time(#[case] refuses_grep: bool) {
    let nodes = ten(refuses_grep);
    let said = nodes.asks(&["logs", "live", "--lines", "1000"]);
    assert_eq!(said["state"], "done", "{said}");
    let text = file(&said);
    assert_eq!(text.lines().count(), 300);
    assert!(text.lines().is_sorted(), "{text}");
    for node in 0..10 {
        assert_eq!(text.matches(&format!(" {} hab[", name(node))).count(), 30);
    }
    assert!(
        !text.contains("ip-10-0-0-"),
        "the friendly name, not the journal's"
    );
    let hash = hex::encode(Sha256::digest(&text));
    assert_eq!(part(&said, "facts")[0], json!(["sha256 of the file", hash]));
    let title = said["title"].as_str().unwrap();
    let wanted = "300 lines, 30 errors, 2017-11-16 00:35:46 to 00:40:36 UTC";
    assert!(title.contains(wanted), "{title}");
    let points = part(&said, "chart")["points"].as_array().unwrap();
    assert_eq!(points.len(), 5, "{points:?}");
    for row in said["hosts"].as_array().unwrap() {
        let told = row["said"].as_str().unwrap();
        assert!(told.starts_with("30 lines, 3 errors; clock "), "{told}");
    }
    // The newest, when fewer are asked for, and that is said.
    let said = nodes.asks(&["logs", "live-builder-worker-3", "--lines", "5"]);
    assert!(are_jobs(&said, 25..30, 3), "{said}");
    let told = said["hosts"][0]["said"].as_str().unwrap();
    assert!(told.contains("more than 5 lines"), "{told}");
}

#[rstest]
#[case::with_grep(false)]
#[case::as_systemd_229(true)]
fn a_pattern_finds_the_same_lines_whoever_searches(#[case] refuses_grep: bool) {
    let nodes = ten(refuses_grep);
    for (pattern, found) in [
        (r"net:route:[37]", 60),
        ("job 1 of", 10),
        ("job 1 OF", 0),
        ("error", 30),
        (r"job \d of", 100),
        (r"^builder-worker\.live\(O\): ERROR.*net:route:\d$", 30),
        (r"(job|msg)+ (1|2)\d of (4|5),", 40),
        ("40751", 0),
    ] {
        let said = nodes.asks(&["logs", "live", "--lines", "1000", "--grep", pattern]);
        assert_eq!(messages(&said).len(), found, "{pattern}: {said}");
        assert!(file(&said).lines().is_sorted());
    }
}

#[rstest]
#[case::with_grep(false)]
#[case::as_systemd_229(true)]
fn times_are_utc_and_hold_at_both_ends(#[case] refuses_grep: bool) {
    let nodes = ten(refuses_grep);
    let window = [
        "logs",
        "live",
        "--since",
        "2017-11-16 00:36:06",
        "--until",
        "2017-11-16 00:36:26",
    ];
    let said = nodes.asks(&[&window[..], &["--lines", "1000"]].concat());
    let of_node_0 = messages(&said)
        .iter()
        .filter(|line| line.contains("of 0,"))
        .count();
    // The other nodes' last line is some milliseconds late.
    assert_eq!((of_node_0, messages(&said).len()), (3, 3 + 9 * 2), "{said}");
    let node = "live-builder-worker-0";
    let around = [
        "logs",
        node,
        "--around",
        "2017-11-16 00:38:00",
        "--lines",
        "6",
    ];
    let said = nodes.asks(&around);
    assert!(are_jobs(&said, 11..17, 0), "{said}");
    let said = nodes.asks(&["logs", "live", "--since", "2017-11-17 00:00"]);
    let title = said["title"].as_str().unwrap();
    let wanted = "no line of hab-sup since 2017-11-17 00:00:00 UTC";
    assert!(title.contains(wanted), "{title}");
    let both = [&around[..], &["--since", "15m"]].concat();
    assert_eq!(nodes.asks(&both)["state"], "refused");
}

#[rstest]
#[case::with_grep(false)]
#[case::as_systemd_229(true)]
fn hostile_values_and_lines_are_only_words(#[case] refuses_grep: bool) {
    let nodes = Nodes::new(1, refuses_grep);
    let (long, blow) = ("x".repeat(50_000), format!("{}!", "a".repeat(5_000)));
    let multi = "first\nsecond -----\n\u{1b}[31mthird";
    nodes.says(
        0,
        &[
            at(0, "$(touch pwned) `touch pwned` ; touch pwned"),
            at(1, multi),
            at(2, &long),
            Said {
                micros: (THEN + 3) * SECOND,
                message: b"not \xff utf-8",
            },
            at(4, &blow),
            at(5, "the last"),
        ],
    );
    let said = nodes.asks(&["logs", "live"]);
    let all = messages(&said);
    assert_eq!(
        all[1..4],
        ["first", "second -----", "\u{1b}[31mthird"],
        "{all:?}"
    );
    assert!(
        all[4].starts_with("xxxx") && all[4].len() < 5_000 && all[4].ends_with("bytes more)"),
        "{}",
        all[4].len()
    );
    assert!(all[5].contains("not \u{fffd} utf-8"), "{all:?}");
    assert_eq!(all.last().map(String::as_str), Some("the last"));

    for hostile in [
        "; touch pwned",
        "$(touch pwned)",
        "`touch pwned`",
        "x\ntouch pwned",
        "'; touch pwned; '",
        "\"; touch pwned; \"",
        "a|touch pwned",
    ] {
        let said = nodes.asks(&["logs", "live", &format!("--grep={hostile}")]);
        assert!(
            matches!(said["state"].as_str(), Some("done" | "refused")),
            "{hostile}: {said}"
        );
        let said = nodes.asks(&["logs", "live", &format!("--unit={hostile}")]);
        assert_eq!(said["state"], "refused", "{hostile}: {said}");
    }
    for option in [
        "--grep=--file=/etc/passwd",
        "--grep=-v",
        "--unit=--file=/etc/passwd",
        "--since=--file=x",
        "--lines=-1",
        "--lines=999999",
    ] {
        let said = nodes.asks(&["logs", "live", option]);
        assert_eq!(said["state"], "refused", "{option}: {said}");
    }
    // A pattern that takes PCRE2 longer than a person lives.
    let said = nodes.asks(&["logs", "live", "--grep", "(a+)+$"]);
    assert_eq!(said["state"], "done", "{said}");
    let said = nodes.asks(&["logs", "live", "--grep", "(a+)+!"]);
    assert_eq!(messages(&said).len(), 1, "{said}");
    let pwned = |dir: &Path| {
        fs::read_dir(dir)
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name() == "pwned")
    };
    assert!(!pwned(nodes.farm.file("user").parent().unwrap()) && !pwned(nodes.dir.path()));
}

/// A key's line that is no real key's.
const OF_A_KEY: &str = "MIIEowIBAAKCAQEAv3bFq2l0dGxlIGZha2Uga2V5IGZvciBhIHRlc3QgMDEyMzQ1";

/// What must never leave a node, and the lines that hold it.
fn secrets() -> (Vec<&'static str>, Vec<(&'static str, &'static str)>) {
    let secrets = vec![
        "ca363a29d90875123456",
        "xoxb-1111",
        "2222222-wholetokenpart",
        "wholetokenpart",
        "AQEAv3bFq2l0dGxl",
        "dGFpbA8sHoRt1",
        "hunter22",
    ];
    let lines = vec![
        (
            "api",
            "    url: Url { generic_url: \"http://backend/v1/authenticate/ca363a29d90875123456\" }",
        ),
        ("api", "said xoxb-1111"),
        ("proxy", "GET /v1/status"),
        ("api", "2222222-wholetokenpart and more"),
        ("api", "-----BEGIN RSA PRIVATE KEY-----"),
        ("proxy", "GET /v1/status"),
        ("api", OF_A_KEY),
        ("api", "ERROR:habitat_net::conn: of another thread"),
        ("api", "dGFpbA8sHoRt1"),
        ("api", "-----END RSA PRIVATE KEY-----"),
        ("api", "postgres://hab:hunter22@127.0.0.1/db"),
        ("api", "the last"),
    ];
    (secrets, lines)
}

#[rstest]
#[case::with_grep(false)]
#[case::as_systemd_229(true)]
fn secrets_reach_neither_an_answer_nor_a_file_nor_the_store(#[case] refuses_grep: bool) {
    let nodes = Nodes::new(2, refuses_grep);
    let (secrets, lines) = secrets();
    for node in 0..2 {
        // On one node after the other line by line: merged, the keys stand within each other.
        let messages: Vec<String> = lines
            .iter()
            .map(|(of, line)| format!("builder-{of}.live(O): {line}"))
            .collect();
        let said = messages.iter().zip(0..).map(|(line, number)| Said {
            micros: (THEN + number) * SECOND + i64::try_from(node).unwrap(),
            message: line.as_bytes(),
        });
        nodes.says(node, &said.collect::<Vec<_>>());
    }
    let whole = nodes.does(&["logs", "live"]);
    let said: Value = serde_json::from_str(&whole.out).unwrap();
    assert!(
        file(&said).contains("ERROR:habitat_net::conn: of another thread"),
        "{said}"
    );
    assert_eq!(file(&said).matches("GET /v1/status").count(), 4);
    assert!(said["redacted"].as_u64().unwrap() >= 8, "{said}");
    let mut seen = whole.out + &whole.err;
    for pattern in ["MIIE", "[A-Za-z0-9]{20,}", "authenticate", "END"] {
        let ran = nodes.does(&["logs", "live", "--grep", pattern]);
        seen.push_str(&ran.out);
        seen.push_str(&ran.err);
    }
    seen.push_str(&nodes.does(&["logs", "live", "--lines", "4"]).out);
    for entry in fs::read_dir(nodes.dir.path()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("habops.db") {
            seen.push_str(&String::from_utf8_lossy(&fs::read(entry.path()).unwrap()));
        }
    }
    for secret in secrets {
        // What was typed to find it is the asker's own.
        let leaked = seen.lines().find(|line| line.contains(secret));
        assert!(leaked.is_none(), "{secret} in {}", leaked.unwrap());
    }
}

#[test]
fn a_tail_ends_by_itself_and_leaves_nothing_running() {
    let nodes = Nodes::new(2, false);
    nodes.says(0, &[at(0, "before")]);
    nodes.says(1, &[at(0, "before")]);
    let config = nodes.config();
    let line = [
        "do",
        "--json",
        "--config",
        config.to_str().unwrap(),
        "--",
        "tail",
        "live",
        "--for",
        "8s",
    ];
    let mut tail = Running::start(&line);
    until("both nodes are followed", || nodes.is_read());
    let said: Value = serde_json::from_str(&tail.first_line()).unwrap();
    assert_eq!(said["state"], "done", "{said}");
    assert!(
        said["title"].as_str().unwrap().contains("followed for"),
        "{said}"
    );
    until("nothing is left of it", || !nodes.is_read());
}

#[rstest]
#[case::with_grep(false)]
#[case::as_systemd_229(true)]
fn a_tail_whose_reader_dies_leaves_nothing_running(#[case] refuses_grep: bool) {
    let nodes = Nodes::new(1, refuses_grep);
    nodes.says(0, &[at(0, "before")]);
    let config = nodes.config();
    let line = [
        "do",
        "--config",
        config.to_str().unwrap(),
        "--",
        "tail",
        "live",
        "--for",
        "10m",
        "--grep",
        "error",
    ];
    let mut tail = Running::start(&line);
    until("the node is followed", || nodes.is_read());
    tail.is_killed();
    until("nothing is left of it", || !nodes.is_read());
}

#[test]
fn in_slack_a_hostile_line_is_text_and_a_secret_is_nowhere() {
    World::run(async |world| {
        let (secrets, lines) = secrets();
        let mut hostile: Vec<String> = lines
            .iter()
            .map(|(of, line)| format!("builder-{of}.live(O): {line}"))
            .collect();
        hostile.push("builder-api.live(O): <!channel> ``` <@U0ANA> *bold* &amp; break".to_owned());
        // What a diagnosis and a restart show as their evidence.
        for _ in 0..3 {
            hostile.push("builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], GET /v1/authenticate/ca363a29d90875123456 as postgres://hab:hunter22@127.0.0.1/db".to_owned());
        }
        world.says("live-builder-api-0", &hostile);
        let ana = world.person("ana");
        let answer = ana.runs("/habops logs live-builder-api-0 --since 5m").await;
        let told = words(&answer);
        assert!(
            told.contains("<!channel> ``` <@U0ANA> *bold* &amp; break"),
            "{told}"
        );
        assert!(
            !answer.text.contains("<!channel>") && !answer.text.contains("<@U0ANA>"),
            "{}",
            answer.text
        );
        assert!(told.contains("removed"), "{told}");
        let diagnosis = ana.runs("/habops diagnose live-builder-api-0").await;
        let said = ana.types("/habops restart live-builder-api-0").await;
        let card = world.shows(&said.operation, "awaiting").await;
        for shown in [&diagnosis, &card] {
            let told = words(shown);
            assert!(told.contains("/v1/authenticate/[redacted"), "{told}");
        }
        ana.presses(&card, "Deny").await;
        world.shows(&said.operation, "denied").await;
        world.comes_to_rest().await;
        let seen = format!("{:?}", world.slack().journal());
        let mut stored = String::new();
        for entry in fs::read_dir(world.dir()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("habops.db") {
                stored.push_str(&String::from_utf8_lossy(&fs::read(entry.path()).unwrap()));
            }
        }
        for secret in secrets {
            assert!(!seen.contains(secret), "{secret} reached Slack");
            assert!(!stored.contains(secret), "{secret} reached the store");
        }
    });
}

#[test]
fn the_guides_storm_is_a_few_lines_a_number_and_the_next_step() {
    World::run(async |world| {
        let ana = world.person("ana");
        // Yesterday's, on the sandbox's router, whose journalctl is systemd 229's.
        let answer = ana
            .runs("/habops logs live/router --since 23h --grep no_shard")
            .await;
        let told = words(&answer);
        assert!(told.contains("9 lines with `no_shard`, 9 errors"), "{told}");
        assert!(
            told.contains("[err: NO_SHARD, msg: rt:route:2]") && told.contains("(9 times until"),
            "{told}"
        );
        assert!(told.contains("← no-shard"), "{told}");
        ana.presses(&answer, "Diagnose").await;
        let entered = async || {
            let mut all = world.operations().await.into_iter();
            all.find(|it| it.text.starts_with("diagnose live/router --since "))
        };
        let diagnosis = world.eventually("a diagnosis", entered).await;
        world.shows(&diagnosis.id.to_string(), "done").await;
        let answer = ana
            .runs("/habops logs live-builder-worker-2,live-builder-worker-0")
            .await;
        assert!(
            words(&answer).contains("its clock is 41 s behind, so its times are corrected here"),
            "{}",
            words(&answer)
        );
    });
}

#[test]
fn a_node_that_is_not_reached_is_a_row() {
    World::run(async |world| {
        world.breaks("down");
        let ana = world.person("ana");
        let answer = ana
            .runs("/habops logs live-builder-sessionsrv-0,live-builder-router-0")
            .await;
        let told = words(&answer);
        assert!(
            told.contains("cannot be reached") && told.contains("lines, "),
            "{told}"
        );
        ana.presses(&answer, "Retry what failed").await;
        world.mends("down");
        world.comes_to_rest().await;
    });
}

#[test]
fn a_tail_tells_as_lines_come_and_stops_when_told() {
    World::run(async |world| {
        world.breaks("timeout-storm");
        let ana = world.person("ana");
        let said = ana
            .types("/habops tail live-builder-api-0 --for 10m --grep timeout")
            .await;
        let running = world
            .until("the storm in the message", |slack| {
                let mut all = super::world::everywhere(slack);
                all.find(|message| {
                    words(message).contains("Connection recv timeout")
                        && words(message).contains("error")
                })
            })
            .await;
        ana.presses(&running, "Stop").await;
        let ended = world.shows(&said.operation, "cancelled").await;
        assert_eq!(ended.ts, running.ts);
        let told = words(&ended);
        assert!(
            told.contains("stopped after") && told.contains("Connection recv timeout"),
            "{told}"
        );
        world.mends("timeout-storm");
    });
}
