//! Why a restart might help: the errors in a node's journal of the last quarter of an hour, by kind, and what keeps crashing.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::{
    Reading, What, host,
    witness::{self, Witness},
};
use crate::{
    domain::{
        ids::NodeRole,
        journal::Entry,
        known_issue::{KnownIssues, Level},
        node::Node,
        pattern::Pattern,
        supervisor::Service,
    },
    handlers::{
        Look, hosts,
        journal::{self, Clock, Query},
    },
};

/// What a journal tells.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The errors, most frequent first; or why they cannot be told.
    pub errors: Result<Vec<Sign>, String>,
    /// The same in the journals of other nodes that tell of this one.
    pub elsewhere: Vec<Witness>,
    starts: Starts,
}

/// One kind of error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// What tells it from others, for people.
    pub name: String,
    /// The same, to be kept with a plan: free text may hold a secret, and is kept as a digest.
    pub key: String,
    /// Whether it is an error. A warning is shown, but heals by itself or tells of what may come: no evidence.
    pub level: Level,
    /// How many lines.
    pub count: usize,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// The last of them, whole.
    pub line: String,
}

/// How far back it is looked for.
pub const MINUTES: u32 = 15;
/// Longest a node may take to search its journal for a card.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many starts under one Supervisor in that time are a crash loop.
const CRASHES: usize = 3;
/// Of so many of them at most: the newest.
const MOST_LINES: usize = 2_000;
/// And of so many bytes.
const MOST_BYTES: usize = 400 * 1024;
/// What an error says that is no known issue.
const ERRORS: [&str; 3] = ["ERROR", "FATAL", "panicked"];
/// What a Supervisor says when it starts a service.
const STARTS: &str = "(SV): Starting service";
/// What is looked for, beside known issues.
const FILTER: [&str; 3] = [
    "ERROR|FATAL|panicked",
    r"\[err: ",
    r"\(SV\): Starting service",
];
/// Longest name of a kind of error, in characters.
const LONGEST_NAME: usize = 60;

/// The same for a person at the node.
pub fn by_hand(node: &Node, look: &Look) -> Option<String> {
    let query = query(look, node, (Clock::Ours, last_minutes(look)), PATIENCE).ok()?;
    hosts::by_hand_piped(node, &query.by_hand())
}

/// What a node's journal of the last minutes tells.
pub async fn evidence(look: &Look, node: &Node, what: &What) -> Evidence {
    let (own, elsewhere) = tokio::join!(
        entries(look, node, (Clock::Ours, last_minutes(look)), PATIENCE),
        witness::witnesses(look, node, what)
    );
    let (errors, starts) = match own {
        Ok(entries) => {
            let (signs, starts) = of(&entries, look.commands.known_issues(), &node.role);
            (Ok(signs), starts)
        }
        Err(why) => (Err(why), BTreeMap::new()),
    };
    Evidence {
        errors,
        elsewhere,
        starts,
    }
}

/// The errors from a moment of the node's own clock on.
pub async fn since(
    look: &Look,
    node: &Node,
    clock: i64,
    patience: Duration,
) -> Result<Vec<Sign>, String> {
    let since = Timestamp::from_second(clock).map_err(|_| "its clock is out of range")?;
    let entries = entries(look, node, (Clock::Theirs, since), patience).await?;
    Ok(of(&entries, look.commands.known_issues(), &node.role).0)
}

/// The moment from which on errors are evidence.
pub fn last_minutes(look: &Look) -> Timestamp {
    look.asked.now - SignedDuration::from_mins(MINUTES.into())
}

fn query(
    look: &Look,
    node: &Node,
    (clock, since): (Clock, Timestamp),
    patience: Duration,
) -> Result<Query, String> {
    let pattern = look.commands.known_issues().filter(&node.role, &FILTER)?;
    Ok(Query {
        clock,
        ..newest(pattern, since, patience)
    })
}

/// The newest lines that count.
pub fn newest(pattern: Option<Pattern>, since: Timestamp, patience: Duration) -> Query {
    Query {
        since: Some(since),
        pattern,
        bytes: MOST_BYTES,
        patience,
        ..Query::newest(MOST_LINES)
    }
}

async fn entries(
    look: &Look,
    node: &Node,
    since: (Clock, Timestamp),
    patience: Duration,
) -> Result<Vec<Entry>, String> {
    let query = query(look, node, since, patience)?;
    let answer = journal::read(look, &host(node), &query).await;
    Ok(answer.map_err(|fault| fault.row().1)?.entries)
}

/// How often each `service.group` was started, under which Supervisor's process.
type Starts = BTreeMap<(String, u32), usize>;

/// The errors in a journal of a node of that role, most frequent first, and the starts.
pub fn of(entries: &[Entry], known: &KnownIssues, role: &NodeRole) -> (Vec<Sign>, Starts) {
    let mut starts = Starts::new();
    let mut kinds: BTreeMap<String, Sign> = BTreeMap::new();
    for entry in entries {
        if let Some((group, _)) = entry.message.split_once(STARTS) {
            let pid = entry.pid.unwrap_or_default();
            *starts.entry((group.to_owned(), pid)).or_default() += 1;
            continue;
        }
        let Some(Kind { name, key, level }) = name(&entry.message, known, role) else {
            continue;
        };
        kinds
            .entry(name.clone())
            .and_modify(|sign| {
                sign.count += 1;
                sign.last = entry.at;
                sign.line = line(entry);
            })
            .or_insert_with(|| Sign {
                name,
                key,
                level,
                count: 1,
                first: entry.at,
                last: entry.at,
                line: line(entry),
            });
    }
    let mut errors: Vec<Sign> = kinds.into_values().collect();
    errors.sort_by(|one, other| {
        let by_count = other.count.cmp(&one.count);
        by_count.then_with(|| one.name.cmp(&other.name))
    });
    (errors, starts)
}

/// `2017-11-16T00:35:46Z hab[40751]: builder-api.live(O): ERROR:…`
fn line(entry: &Entry) -> String {
    format!(
        "{} {}",
        entry.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        entry.said()
    )
}

/// What tells one kind of error from others, for people and as it is kept, and how bad it is.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    name: String,
    key: String,
    level: Level,
}

/// The known issue, the network error's code and site, or the words without what changes from line to line. Nothing for what is
/// no error, and for the head of a dump, whose error stands before it.
fn name(message: &str, known: &KnownIssues, role: &NodeRole) -> Option<Kind> {
    let said = message.split_once("): ").map_or(message, |(_, said)| said);
    let network = said.split_once("[err: ").and_then(|(_, error)| {
        let (error, _) = error.split_once(']')?;
        Some(error.replacen(", msg: ", " ", 1))
    });
    if let Some(issue) = known.of_line(role, message).next() {
        let (key, level) = (issue.name.clone(), issue.level);
        let name = network.map_or(key.clone(), |error| format!("{error} ({key})"));
        return Some(Kind { name, key, level });
    }
    let level = Level::Error;
    if let Some(name) = network {
        let key = name.clone();
        return Some(Kind { name, key, level });
    }
    let is_error = ERRORS.iter().any(|word| said.contains(word));
    if !is_error || said.ends_with("Error handling:") {
        return None;
    }
    let mut name = String::new();
    let mut characters = said.chars();
    for character in characters.by_ref().take(LONGEST_NAME) {
        if !character.is_ascii_digit() {
            name.push(character);
        } else if !name.ends_with('#') {
            name.push('#');
        }
    }
    if characters.next().is_some() {
        name.push('\u{2026}');
    }
    let key = hex::encode(&Sha256::digest(&name)[..8]);
    Some(Kind { name, key, level })
}

impl Evidence {
    /// The errors that were found, as they are kept with a plan.
    pub fn keys(&self) -> Vec<String> {
        let errors = self.errors.iter().flatten();
        errors
            .filter(|sign| sign.is_error())
            .map(|sign| sign.key.clone())
            .collect()
    }

    /// Whether an error speaks for a restart, here or elsewhere.
    pub fn has_errors(&self) -> bool {
        let elsewhere = self.elsewhere.iter().map(|witness| &witness.errors);
        let mut all = std::iter::once(&self.errors).chain(elsewhere);
        all.any(|errors| errors.iter().flatten().any(Sign::is_error))
    }

    /// How often a service was started by the Supervisor that runs now.
    pub fn starts(&self, reading: &Reading, service: &Service) -> usize {
        let pid = reading.unit.pid.unwrap_or_default();
        let key = (service.group.clone(), pid);
        self.starts.get(&key).copied().unwrap_or_default()
    }

    /// Whether a service crashes soon after each start.
    pub fn crashes(&self, reading: &Reading, service: &Service) -> bool {
        self.starts(reading, service) >= CRASHES
    }
}

impl Sign {
    /// Whether it counts as evidence, and is watched for afterwards.
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }

    /// `TIMEOUT net:route:3: 58 lines, 20 a minute, 00:32:10 to 00:35:04 UTC`.
    pub fn said(&self) -> String {
        let clock = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
        let name = if self.is_error() {
            self.name.clone()
        } else {
            format!("{}, only a warning", self.name)
        };
        if self.count == 1 {
            return format!("{name}: 1 line, at {} UTC", clock(self.last));
        }
        let seconds = self.last.duration_since(self.first).as_secs().max(60);
        let count = i64::try_from(self.count).unwrap_or(i64::MAX);
        let a_minute = count.saturating_mul(60) / seconds;
        let rate = if a_minute == 0 {
            "less than one a minute".to_owned()
        } else {
            format!("{a_minute} a minute")
        };
        let last = self.last.strftime("%H:%M:%S");
        format!(
            "{name}: {} lines, {rate}, {} to {last} UTC",
            self.count,
            clock(self.first)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use rstest::rstest;

    use super::{Entry, FILTER, KnownIssues, Level, STARTS, name, of};
    use crate::domain::known_issue::Signature;

    fn signature(name: &str, role: &str, pattern: &str, level: Level) -> Signature {
        Signature {
            name: name.to_owned(),
            roles: vec![role.into()],
            cured_on: Vec::new(),
            pattern: regex::Regex::new(pattern).unwrap(),
            before: None,
            at_least: 3,
            within: None,
            level,
            means: String::new(),
            look_at: String::new(),
            next: Vec::new(),
            source: String::new(),
        }
    }

    /// Two of them: the API's time-outs, and what heals by itself.
    fn known() -> KnownIssues {
        let timeout = "err: TIMEOUT, msg: net:route:3";
        KnownIssues {
            signatures: vec![
                signature("api-timeout", "api", timeout, Level::Error),
                signature(
                    "worker-mismatch",
                    "jobsrv",
                    "Requeing job: ",
                    Level::Warning,
                ),
            ],
            symptoms: Vec::new(),
        }
    }

    #[rstest]
    #[case::known(
        "api",
        "builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout",
        "TIMEOUT net:route:3 (api-timeout)",
        "api-timeout"
    )]
    #[case::elsewhere(
        "worker",
        "builder-worker.live(O): ERROR 2018-02-07T16:56:53Z: x: [err: TIMEOUT, msg: net:route:3]",
        "TIMEOUT net:route:3",
        "TIMEOUT net:route:3"
    )]
    fn a_kind_of_error_has_one_name(
        #[case] role: &str,
        #[case] message: &str,
        #[case] told: &str,
        #[case] kept: &str,
    ) {
        let named = name(message, &known(), &role.into()).unwrap();
        assert_eq!((named.name.as_str(), named.key.as_str()), (told, kept));
        assert_eq!(named.level, Level::Error);
    }

    #[test]
    fn a_warning_is_told_and_is_no_evidence() {
        let line = entry(0, "builder-jobsrv.live(O): ERROR:x: Requeing job: 7");
        let (signs, _) = of(&[line], &known(), &"jobsrv".into());
        assert!(!signs[0].is_error());
        assert_eq!(
            signs[0].said(),
            "worker-mismatch, only a warning: 1 line, at 2017-11-16 00:00:00 UTC"
        );
    }

    #[rstest]
    #[case::known("x.live(O): [err: TIMEOUT, msg: net:route:3]")]
    #[case::network("x.live(O): WARN: [err: BUG, msg: x]")]
    #[case::fatal("x.live(O): FATAL: gone")]
    #[case::panic("thread 'main' panicked at 'x'")]
    #[case::start("x.live(SV): Starting service as user=hab, group=hab")]
    fn what_counts_is_let_through_by_the_node(#[case] line: &str) {
        let filter = known().filter(&"api".into(), &FILTER).unwrap().unwrap();
        let counts = line.contains(STARTS) || name(line, &known(), &"api".into()).is_some();
        assert!(counts && filter.is_match(line), "{line}");
        assert!(!filter.is_match("x.live(O): INFO: all is well"));
    }

    #[test]
    fn free_text_is_kept_as_a_digest_because_it_may_hold_a_secret() {
        let line = "builder-api.live(O): FATAL: cannot log in with hunter2 (os error 98)";
        let named = name(line, &known(), &"api".into()).unwrap();
        assert_eq!(named.name, "FATAL: cannot log in with hunter# (os error #)");
        assert!(
            named.key.len() == 16 && !named.key.contains("hunter"),
            "{named:?}"
        );
    }

    #[rstest]
    #[case::head_of_a_dump("builder-api.live(O): ERROR:iron::iron: Error handling:")]
    #[case::no_error("builder-api.live(O): INFO: all is well")]
    fn what_is_no_error_has_no_name(#[case] message: &str) {
        assert_eq!(name(message, &known(), &"api".into()), None);
    }

    fn entry(second: u32, said: &str) -> Entry {
        Entry {
            at: jiff::Timestamp::from_second(1_510_790_400 + i64::from(second)).unwrap(),
            process: "hab".to_owned(),
            pid: Some(40751),
            message: said.to_owned(),
        }
    }

    #[test]
    fn errors_are_counted_by_kind_with_their_rate() {
        let timeout = "builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout";
        let entries: Vec<_> = (0..60).map(|n| entry(n * 3, timeout)).collect();
        let (signs, _) = of(&entries, &known(), &"api".into());
        assert_eq!(
            signs[0].said(),
            "TIMEOUT net:route:3 (api-timeout): 60 lines, 20 a minute, 2017-11-16 00:00:00 to 00:02:57 UTC"
        );
        assert_eq!(
            signs[0].line,
            format!("2017-11-16T00:02:57Z hab[40751]: {timeout}")
        );
        assert_eq!(signs.len(), 1);
    }

    proptest! {
        /// Fails when `of` keeps only the last line of a kind, or counts a line that is no error.
        #[test]
        fn every_error_line_is_counted_once(seconds in proptest::collection::vec(0_u32..3_000, 0..40), noise in "\\PC{0,60}") {
            let mut entries: Vec<_> = seconds.iter().map(|s| entry(*s, "x.live(O): FATAL: gone 17")).collect();
            entries.push(entry(0, &noise));
            let (signs, _) = of(&entries, &known(), &"api".into());
            let counted: usize = signs.iter().map(|sign| sign.count).sum();
            prop_assert_eq!(counted, seconds.len());
            prop_assert!(signs.iter().all(|sign| sign.name == "FATAL: gone #"));
        }
    }
}
