//! Why a restart might help: the errors in a node's journal of the last quarter of an hour, by kind, and what keeps crashing.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{Reading, host};
use crate::{
    clients::ssh::{Command, End},
    domain::{ids::NodeRole, known_issue::KnownIssues, node::Node, supervisor::Service},
    handlers::{Look, hosts, parts},
};

/// What a journal tells.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The errors, most frequent first; or why they cannot be told.
    pub errors: Result<Vec<Sign>, String>,
    /// How often each `service.group` was started, under which Supervisor's process.
    starts: BTreeMap<(String, u32), usize>,
}

/// One kind of error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// What tells it from others, for people.
    pub name: String,
    /// The same, to be kept with a plan: free text may hold a secret, and is kept as a digest.
    pub key: String,
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
/// What stands for the patterns of known issues where a role has none: it lets nothing more through.
const NO_PATTERN: &str = "^@exit ";
/// Above what the script prints.
const MOST_OUTPUT: usize = 512 * 1024;
/// Longest name of a kind of error, in characters.
const LONGEST_NAME: usize = 60;

/// Errors, known issues and starts, the newest of them; the last line tells how `journalctl` ended, whose own complaint is on standard error.
const SCRIPT: &str = r#"LC_ALL=C; export LC_ALL
{ journalctl -u hab-sup -q --no-pager -o short-iso --since "$1"; printf '@exit %s\n' "$?"; } |
grep -aE -e 'ERROR|FATAL|panicked|[[]err: |[(]SV[)]: Starting service|^@exit ' -e "$2" | tail -n 2000 | tail -c 400000
"#;

/// The same for a person at the node.
pub fn by_hand() -> Command {
    let since = format!("-{MINUTES}min");
    Command::new([
        "journalctl",
        "-u",
        "hab-sup",
        "--no-pager",
        "--since",
        &since,
    ])
}

/// What a node's journal of the last minutes tells.
pub async fn evidence(look: &Look, node: &Node) -> Evidence {
    match lines(look, node, &format!("-{MINUTES}min"), PATIENCE).await {
        Ok(entries) => of(&entries, look.commands.known_issues(), &node.role),
        Err(why) => Evidence {
            errors: Err(why),
            starts: BTreeMap::new(),
        },
    }
}

/// The same from a moment of the node's own clock on.
pub async fn since(
    look: &Look,
    node: &Node,
    clock: i64,
    patience: Duration,
) -> Result<Vec<Sign>, String> {
    let entries = lines(look, node, &format!("@{clock}"), patience).await?;
    of(&entries, look.commands.known_issues(), &node.role).errors
}

/// One line of the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    at: Timestamp,
    pid: u32,
    message: String,
    line: String,
}

async fn lines(
    look: &Look,
    node: &Node,
    since: &str,
    patience: Duration,
) -> Result<Vec<Entry>, String> {
    let known = look.commands.known_issues().filter(&node.role);
    let known = known.as_deref().unwrap_or(NO_PATTERN);
    let command = Command::script(SCRIPT, [since, known])
        .limit(MOST_OUTPUT)
        .timeout(patience);
    let answer = look.clients.ssh.run(&host(node), &command).await;
    let answer = answer.map_err(|error| hosts::unanswered(&error).1)?;
    let text = answer.text();
    let (entries, exit) = text.rsplit_once("@exit ").unwrap_or((&text, "255"));
    let exit: u32 = exit.trim().parse().unwrap_or(255);
    if exit != 0 || answer.end != End::Exit(0) {
        return Err(format!(
            "journalctl: {}",
            parts::reason(&answer.complaint(), exit)
        ));
    }
    // The first may be cut in its middle; then it begins with no time and is no entry.
    Ok(entries.lines().filter_map(entry).collect())
}

/// `2017-11-16T00:35:46+0000 ip-10-0-0-147 hab[40751]: builder-api.live(O): ERROR:…`
fn entry(line: &str) -> Option<Entry> {
    let (at, rest) = line.split_once(' ')?;
    let (head, message) = rest.split_once("]: ")?;
    let (_, pid) = head.rsplit_once('[')?;
    Some(Entry {
        at: Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", at).ok()?,
        pid: pid.parse().ok()?,
        message: message.to_owned(),
        line: line.to_owned(),
    })
}

fn of(entries: &[Entry], known: &KnownIssues, role: &NodeRole) -> Evidence {
    let mut starts = BTreeMap::new();
    let mut kinds: BTreeMap<String, Sign> = BTreeMap::new();
    for entry in entries {
        if let Some((group, _)) = entry.message.split_once("(SV): Starting service") {
            *starts.entry((group.to_owned(), entry.pid)).or_default() += 1;
            continue;
        }
        let Some((name, key)) = name(&entry.message, known, role) else {
            continue;
        };
        kinds
            .entry(name.clone())
            .and_modify(|sign| {
                sign.count += 1;
                sign.last = entry.at;
                sign.line.clone_from(&entry.line);
            })
            .or_insert_with(|| Sign {
                name,
                key,
                count: 1,
                first: entry.at,
                last: entry.at,
                line: entry.line.clone(),
            });
    }
    let mut errors: Vec<Sign> = kinds.into_values().collect();
    errors.sort_by(|one, other| {
        let by_count = other.count.cmp(&one.count);
        by_count.then_with(|| one.name.cmp(&other.name))
    });
    Evidence {
        errors: Ok(errors),
        starts,
    }
}

/// What tells one kind of error from others, and how that is kept: the known issue, the network error's code and site, or the
/// words without what changes from line to line. Nothing for what is no error, and for the head of a dump, whose error stands
/// before it.
fn name(message: &str, known: &KnownIssues, role: &NodeRole) -> Option<(String, String)> {
    let said = message.split_once("): ").map_or(message, |(_, said)| said);
    let network = said.split_once("[err: ").and_then(|(_, error)| {
        let (error, _) = error.split_once(']')?;
        Some(error.replacen(", msg: ", " ", 1))
    });
    let issue = known
        .of_line(role, message)
        .next()
        .map(|issue| issue.name.clone());
    match (issue, network) {
        (Some(issue), Some(error)) => return Some((format!("{error} ({issue})"), issue)),
        (Some(issue), None) => return Some((issue.clone(), issue)),
        (None, Some(error)) => return Some((error.clone(), error)),
        (None, None) => {}
    }
    let is_error = ["ERROR", "FATAL", "panicked"]
        .iter()
        .any(|word| said.contains(word));
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
    Some((name, key))
}

impl Evidence {
    /// The errors that were found, as they are kept with a plan.
    pub fn keys(&self) -> Vec<String> {
        let errors = self.errors.iter().flatten();
        errors.map(|sign| sign.key.clone()).collect()
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
    /// `TIMEOUT net:route:3: 58 lines, 20 a minute, 00:32:10 to 00:35:04 UTC`.
    pub fn said(&self) -> String {
        let clock = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
        if self.count == 1 {
            return format!("{}: 1 line, at {} UTC", self.name, clock(self.last));
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
            "{}: {} lines, {rate}, {} to {last} UTC",
            self.name,
            self.count,
            clock(self.first)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use rstest::rstest;

    use super::{KnownIssues, entry, name, of};
    use crate::domain::known_issue::{Level, Signature};

    /// One of them: the API's time-outs.
    fn known() -> KnownIssues {
        KnownIssues {
            signatures: vec![Signature {
                name: "api-timeout".to_owned(),
                roles: vec!["api".into()],
                pattern: regex::Regex::new("err: TIMEOUT, msg: net:route:3").unwrap(),
                before: None,
                at_least: 3,
                within: None,
                level: Level::Error,
                means: String::new(),
                look_at: String::new(),
                next: Vec::new(),
                source: String::new(),
            }],
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
        let named = name(message, &known(), &role.into());
        assert_eq!(named, Some((told.to_owned(), kept.to_owned())));
    }

    #[test]
    fn free_text_is_kept_as_a_digest_because_it_may_hold_a_secret() {
        let line = "builder-api.live(O): FATAL: cannot log in with hunter2 (os error 98)";
        let (name, key) = name(line, &known(), &"api".into()).unwrap();
        assert_eq!(name, "FATAL: cannot log in with hunter# (os error #)");
        assert!(key.len() == 16 && !key.contains("hunter"), "{key}");
    }

    #[rstest]
    #[case::head_of_a_dump("builder-api.live(O): ERROR:iron::iron: Error handling:")]
    #[case::no_error("builder-api.live(O): INFO: all is well")]
    fn what_is_no_error_has_no_name(#[case] message: &str) {
        assert_eq!(name(message, &known(), &"api".into()), None);
    }

    fn line(second: u32, said: &str) -> String {
        format!(
            "2017-11-16T00:{:02}:{:02}+0000 ip-10-0-0-147 hab[40751]: {said}",
            second / 60,
            second % 60
        )
    }

    #[test]
    fn errors_are_counted_by_kind_with_their_rate() {
        let timeout = "builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout";
        let text: Vec<String> = (0..60).map(|n| line(n * 3, timeout)).collect();
        let entries: Vec<_> = text.iter().filter_map(|line| entry(line)).collect();
        let signs = of(&entries, &known(), &"api".into()).errors.unwrap();
        assert_eq!(
            signs[0].said(),
            "TIMEOUT net:route:3 (api-timeout): 60 lines, 20 a minute, 2017-11-16 00:00:00 to 00:02:57 UTC"
        );
        assert_eq!(signs.len(), 1);
    }

    proptest! {
        /// Fails when `of` keeps only the last line of a kind, or when `entry` reads a line that has no time.
        #[test]
        fn every_error_line_is_counted_once(seconds in proptest::collection::vec(0_u32..3_000, 0..40), noise in "\\PC{0,60}") {
            let mut text: Vec<String> = seconds.iter().map(|s| line(*s, "x.live(O): FATAL: gone 17")).collect();
            text.push(noise);
            let entries: Vec<_> = text.iter().filter_map(|line| entry(line)).collect();
            let signs = of(&entries, &known(), &"api".into()).errors.unwrap();
            let counted: usize = signs.iter().map(|sign| sign.count).sum();
            prop_assert_eq!(counted, seconds.len());
            prop_assert!(signs.iter().all(|sign| sign.name == "FATAL: gone #"));
        }
    }
}
