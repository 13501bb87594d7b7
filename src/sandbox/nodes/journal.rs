//! A node's journal, made up when it is read: the same question about the same past always has the same answer, and
//! nothing has to tick for new lines to appear.

mod chatter;

use jiff::Timestamp;

use super::state::{CrashLoop, Event, LogStyle, Node, SECOND, Service, Trouble, TroubleKind, mix};
use super::supervisor::starting;

/// The grid on which a service's ordinary lines fall.
const BUCKET: i64 = 20 * SECOND;
/// The time between two errors of a trouble.
const TROUBLE_EVERY: i64 = 3 * SECOND;
/// The grid of lines that have nothing to do with Habitat.
const SYSTEM_BUCKET: i64 = 300 * SECOND;
/// Keeps those lines apart from the others' dice.
const SYSTEM_SALT: u64 = 0x6372_6f6e;
/// The time between the lines of one dump.
const NEXT_LINE: i64 = 13;

/// The module that routes.
const ROUTER: &str = "habitat_builder_router::server";

/// One entry of the journal.
pub type Entry = Event;

/// The entries from a time up to another, both included, oldest first and no two at one time.
pub fn entries(node: &Node, from: i64, to: i64) -> Vec<Entry> {
    let from = from.max(node.journal_from);
    let mut all: Vec<Entry> = node.events.clone();
    for (index, service) in node.services.iter().enumerate() {
        ordinary(node, index, service, from, to, &mut all);
    }
    for trouble in &node.troubles {
        errors(node, trouble, from, to, &mut all);
    }
    for service in &node.services {
        crashes(node, service, from, to, &mut all);
    }
    system(node, from, to, &mut all);
    all.retain(|entry| (from..=to).contains(&entry.at));
    all.sort_by_key(|entry| entry.at);
    let mut last = i64::MIN;
    for entry in &mut all {
        entry.at = entry.at.max(last + 1);
        last = entry.at;
    }
    all
}

/// The starts of the cells of a grid that touch a stretch of time.
fn cells(from: i64, to: i64, size: i64) -> impl Iterator<Item = i64> {
    let first = from.div_euclid(size);
    (first..=to.div_euclid(size)).map(move |cell| cell * size)
}

/// The lines a service writes when all is well, while it is up.
fn ordinary(
    node: &Node,
    index: usize,
    service: &Service,
    from: i64,
    to: i64,
    all: &mut Vec<Entry>,
) {
    let salt = node.seed ^ mix(index as u64 + 77);
    for cell in cells(from, to, BUCKET) {
        let dice = mix(salt ^ cell.cast_unsigned());
        // The front speaks more than those behind it.
        let lines = if service.name().ends_with("-proxy") {
            dice % 3
        } else {
            u64::from(dice.is_multiple_of(3))
        };
        for line in 0..lines {
            let dice = mix(dice ^ line);
            let at = cell + i64::try_from(dice % BUCKET.cast_unsigned()).unwrap_or(0);
            if service.at(at).is_none_or(|step| step.pid.is_none()) {
                continue;
            }
            say(
                node,
                service,
                at,
                &chatter::line(node, service.name(), at, mix(dice ^ 5)),
                all,
            );
        }
    }
}

/// Adds a line of a service's output, by the Supervisor that ran at the time.
fn say(node: &Node, service: &Service, at: i64, words: &str, all: &mut Vec<Entry>) {
    let Some(run) = node.run_at(at) else { return };
    all.push(Entry {
        at,
        identifier: "hab".into(),
        pid: run.pid,
        unit: "hab-sup.service".into(),
        message: format!("{}(O): {words}", service.group),
    });
}

/// The head of a line in the style of the node's era.
fn logged(node: &Node, at: i64, level: &str, module: &str, words: &str) -> String {
    match node.log_style {
        LogStyle::Plain => format!("{level}:{module}: {words}"),
        LogStyle::Dated => format!(
            "{level} {}: {module}: {words}",
            clock(at, "%Y-%m-%dT%H:%M:%SZ")
        ),
    }
}

/// A time of the node's clock, in UTC.
pub fn clock(at: i64, format: &str) -> String {
    Timestamp::from_microsecond(at)
        .map(|time| time.strftime(format).to_string())
        .unwrap_or_default()
}

/// The errors of a trouble: the guide's own lines.
fn errors(node: &Node, trouble: &Trouble, from: i64, to: i64, all: &mut Vec<Entry>) {
    let Some(service) = node.services.first() else {
        return;
    };
    let end = trouble.until.unwrap_or(i64::MAX).min(to);
    if end < from || end < trouble.from {
        return;
    }
    let skipped = ((from - trouble.from).max(0) / TROUBLE_EVERY - 1).max(0);
    let mut at = trouble.from + skipped * TROUBLE_EVERY;
    while at < end {
        let lines = match trouble.kind {
            TroubleKind::Timeout => timeout(node, at),
            TroubleKind::NoShard => vec![no_shard(node, at); 3],
            TroubleKind::NoShardTold => vec![
                logged(
                    node,
                    at,
                    "DEBUG",
                    ROUTER,
                    "OnMessage, message-id=SessionGet, protocol=sessionsrv",
                ),
                no_shard(node, at),
            ],
            TroubleKind::NoDatastore => vec![logged(
                node,
                at,
                "ERROR",
                "habitat_builder_db::pool",
                "Error initializing connection pool to Postgres, will retry: Connection refused (os error 111)",
            )],
            TroubleKind::TooManyClients => {
                vec!["FATAL:  sorry, too many clients already".to_owned()]
            }
        };
        for (line, words) in (0..).zip(&lines) {
            say(node, service, at + line * NEXT_LINE, words, all);
        }
        at += TROUBLE_EVERY;
    }
}

fn no_shard(node: &Node, at: i64) -> String {
    logged(
        node,
        at,
        "ERROR",
        ROUTER,
        "[err: NO_SHARD, msg: rt:route:2]",
    )
}

/// The lines of a service that crashes and is started again.
fn crashes(node: &Node, service: &Service, from: i64, to: i64, all: &mut Vec<Entry>) {
    for looping in &service.loops {
        let until = looping.until.unwrap_or(i64::MAX).min(to);
        let skipped = ((from - looping.from).max(0) / CrashLoop::EVERY - 1).max(0);
        let mut at = looping.from + skipped * CrashLoop::EVERY;
        while at < until {
            let panicked = "thread 'main' panicked at 'called `Result::unwrap()` on an `Err` value: NotConnected'";
            say(node, service, at, panicked, all);
            let started = at + CrashLoop::DOWN_FOR;
            if started < until
                && let Some(run) = node.run_at(started)
            {
                all.push(Entry {
                    at: started,
                    identifier: "hab".into(),
                    pid: run.pid,
                    unit: "hab-sup.service".into(),
                    message: starting(&node.role, service),
                });
            }
            at += CrashLoop::EVERY;
        }
    }
}

fn timeout(node: &Node, at: i64) -> Vec<String> {
    let code = format!("{:020x}", mix(node.seed ^ at.cast_unsigned()));
    vec![
        logged(
            node,
            at,
            "ERROR",
            "habitat_net::conn",
            "[err: TIMEOUT, msg: net:route:3], Connection recv timeout",
        ),
        logged(node, at, "ERROR", "iron::iron", "Error handling:"),
        "Request {".into(),
        format!("    url: Url {{ generic_url: \"http://backend/v1/authenticate/{code}\" }}"),
        "    method: Get".into(),
        "    remote_addr: V4(".into(),
        "    local_addr: V4(".into(),
        "}".into(),
        "Error was: NetError(code: TIMEOUT msg: \"net:route:3\")".into(),
    ]
}

/// What else is in a host's journal: cron and logins.
fn system(node: &Node, from: i64, to: i64, all: &mut Vec<Entry>) {
    for cell in cells(from, to, SYSTEM_BUCKET) {
        let dice = mix(node.seed ^ cell.cast_unsigned() ^ SYSTEM_SALT);
        let at = cell + i64::try_from(dice % 60_000_000).unwrap_or(0);
        let pid = 2000 + u32::try_from(dice >> 40 & 0x7fff).unwrap_or(0);
        let entry = |identifier: &str, unit: &str, message: String| Entry {
            at,
            identifier: identifier.into(),
            pid,
            unit: unit.into(),
            message,
        };
        all.push(if dice.is_multiple_of(2) {
            entry(
                "CRON",
                "cron.service",
                "(root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)".into(),
            )
        } else {
            let port = 30_000 + (dice >> 20 & 0x3fff);
            entry(
                "sshd",
                "ssh.service",
                format!(
                    "Connection closed by 10.0.0.{} port {port} [preauth]",
                    2 + (dice >> 34 & 0x3f)
                ),
            )
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::fleet::fleet;
    use super::super::state::machine_now;
    use super::*;

    fn node(name: &str) -> Node {
        fleet(machine_now())
            .into_iter()
            .find(|node| node.name == name)
            .unwrap()
    }

    #[test]
    fn the_past_does_not_change() {
        let node = node("live-builder-api-0");
        let now = node.now();
        let first = entries(&node, i64::MIN, now);
        let again = entries(&node, i64::MIN, now + 60 * SECOND);
        assert_eq!(first[..], again[..first.len()]);
        assert!(again.len() > first.len(), "and new lines come with time");
        let middle = first[first.len() / 2].at;
        let half = entries(&node, middle, now);
        // Several lines may be of one moment.
        let from = first.partition_point(|entry| entry.at < middle);
        assert_eq!(half[..], first[from..]);
    }

    #[test]
    fn the_guides_known_issues_are_in_the_journals() {
        let api = node("live-builder-api-0");
        let text: Vec<String> = entries(&api, i64::MIN, api.now())
            .into_iter()
            .map(|entry| entry.message)
            .collect();
        assert!(text.iter().any(|line| line == "builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout"));
        assert!(
            text.iter()
                .any(|line| line.contains("http://backend/v1/authenticate/"))
        );
        let router = node("live-builder-router-0");
        let yesterday = router.now() - 20 * 3600 * SECOND;
        let count = |from, to| {
            entries(&router, from, to)
                .iter()
                .filter(|entry| entry.message.contains("NO_SHARD"))
                .count()
        };
        assert_eq!(
            (count(i64::MIN, yesterday), count(yesterday, router.now())),
            (9, 0)
        );
    }

    #[test]
    fn a_trouble_adds_a_block_of_lines_each_three_seconds() {
        let mut api = node("live-builder-api-0");
        api.trouble(TroubleKind::Timeout, true);
        let from = api.now();
        let blocks = entries(&api, from - SECOND, from + 12 * SECOND);
        let timeouts = blocks
            .iter()
            .filter(|entry| entry.message.contains("Connection recv timeout"))
            .count();
        assert!((4..=5).contains(&timeouts), "{timeouts}");
    }

    #[test]
    fn acceptance_writes_the_newer_style() {
        let node = node("acceptance-builder-jobsrv-0");
        let head = regex::Regex::new(r"^builder-jobsrv\.acceptance\(O\): INFO \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: habitat_builder_jobsrv::server: ").unwrap();
        assert!(
            entries(&node, i64::MIN, node.now())
                .iter()
                .any(|entry| head.is_match(&entry.message))
        );
    }
}
