//! Asking a node's journal: filtered and capped there, read from the end, streamed; without its secrets before anybody sees a line.
//!
//! `journalctl -o json` is what every version prints the same: the time to the microsecond, and a message with a line break in it on one
//! line. systemd 229 has no `--grep`; whether a node has it is tried with each question, on the node, in the same script.

mod script;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::script::{FOLLOW, READ, follow_words};
use super::{Look, Secrets, hosts};
use crate::{
    clients::ssh::{Command, Error, Host, Line},
    domain::{
        journal::{Cleaner, Entry},
        output::HostState,
        pattern::Pattern,
        redact::Stream,
    },
};

/// Longest a node may search its journal for a person who looks at it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A clock that is further off makes the times of two nodes misleading to compare, so they are corrected by it.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(2);
/// How far `around` looks to either side.
const AROUND: SignedDuration = SignedDuration::from_mins(10);
/// Most of one entry on the wire: without `--output-fields` journalctl prints some thirty fields of it.
const ENTRY_ON_THE_WIRE: usize = 4 * 1024;
/// However few they are.
const LEAST_ON_THE_WIRE: usize = 256 * 1024;
/// And of all entries of one node.
const MOST_ON_THE_WIRE: usize = 8 * 1024 * 1024;
/// Complaints of the node that are kept.
const COMPLAINTS: usize = 8;

/// What is asked of each node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The systemd unit.
    pub unit: String,
    /// Whose times the next three are.
    pub clock: Clock,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Up to then.
    pub until: Option<Timestamp>,
    /// The lines nearest to this moment, instead of the newest.
    pub around: Option<Timestamp>,
    /// Only lines in which this is found.
    pub pattern: Option<Pattern>,
    /// So many lines of each node, at most.
    pub lines: usize,
    /// So many bytes of messages of each node, at most.
    pub bytes: usize,
    /// Longest a node may search.
    #[serde(with = "crate::domain::duration")]
    pub patience: Duration,
}

/// What a person would pipe a journal into for a pattern: every node's `grep` has it, not every node's `journalctl`.
pub fn grep_by_hand(pattern: &Pattern) -> Command {
    let how = if pattern.ignores_case() {
        "-aiP"
    } else {
        "-aP"
    };
    Command::new(["grep", "--line-buffered", how, "-e", pattern.as_str()])
}

/// Whose clock a time was read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    /// Ours: on a node whose clock is off it is another time.
    Ours,
    /// The node's own: what it told of itself before.
    Theirs,
}

/// What a node's journal told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Oldest first, without secrets; times corrected where the node's clock is off.
    pub entries: Vec<Entry>,
    /// How far the node's clock is ahead; zero where it is not to be told from the way there.
    pub skew: SignedDuration,
    /// What was not read, and why.
    pub left: Option<String>,
}

/// Why a node's journal was not read.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The node was not reached, or the command not run.
    Unanswered(Error),
    /// It was, and says why not.
    Said(String),
}

impl Fault {
    /// How the node stands in its row, and one line.
    pub fn row(&self) -> (HostState, String) {
        match self {
            Self::Unanswered(error) => hosts::unanswered(error),
            Self::Said(said) => (HostState::Failed, said.clone()),
        }
    }
}

impl Query {
    /// The newest lines of the Supervisor's unit.
    pub fn newest(lines: usize) -> Self {
        Self {
            unit: "hab-sup".to_owned(),
            clock: Clock::Ours,
            since: None,
            until: None,
            around: None,
            pattern: None,
            lines,
            bytes: 256 * 1024,
            patience: PATIENCE,
        }
    }

    /// What a person would type on a node for the same, one into the other.
    pub fn by_hand(&self) -> Vec<Command> {
        let at = |moment: Timestamp| moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let (since, until) = match self.around {
            Some(around) => (Some(around - AROUND), Some(around + AROUND)),
            None => (self.since, self.until),
        };
        let mut words = ["journalctl", "--no-pager", "-u", &self.unit]
            .map(str::to_owned)
            .to_vec();
        for (name, value) in [("--since", since.map(at)), ("--until", until.map(at))] {
            words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        }
        let from_the_end = self.around.is_none();
        if from_the_end {
            words.push("--reverse".to_owned());
        }
        let lines = ["-n".to_owned(), self.lines.to_string()];
        let Some(pattern) = &self.pattern else {
            if from_the_end {
                words.extend(lines);
            }
            return vec![Command::new(words)];
        };
        let mut piped = vec![Command::new(words), grep_by_hand(pattern)];
        if from_the_end {
            let head = std::iter::once("head".to_owned());
            piped.push(Command::new(head.chain(lines)));
        }
        piped
    }

    /// The stretches of the journal that are read, oldest first, on a clock that is ahead by `skew`.
    fn stretches(&self, skew: SignedDuration) -> Vec<Stretch> {
        let there = |moment: Timestamp| moment.checked_add(skew).unwrap_or(moment);
        let Some(around) = self.around.map(there) else {
            return vec![Stretch {
                since: self.since.map(there),
                until: self.until.map(there),
                from_the_end: true,
                lines: self.lines,
            }];
        };
        let moment = SignedDuration::from_micros(1);
        vec![
            Stretch {
                since: Some(around - AROUND),
                until: Some(around - moment),
                from_the_end: true,
                lines: self.lines.div_ceil(2),
            },
            Stretch {
                since: Some(around),
                until: Some(around + AROUND),
                from_the_end: false,
                lines: (self.lines / 2).max(1),
            },
        ]
    }

    /// Whether it must be known how far the node's clock is off.
    fn minds_the_clock(&self) -> bool {
        let has_times = self.since.is_some() || self.until.is_some() || self.around.is_some();
        has_times && self.clock == Clock::Ours
    }
}

/// A part of a journal, read from one of its ends.
struct Stretch {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    from_the_end: bool,
    lines: usize,
}

impl Stretch {
    fn command(&self, query: &Query) -> Command {
        let bytes = self
            .lines
            .saturating_mul(ENTRY_ON_THE_WIRE)
            .clamp(LEAST_ON_THE_WIRE, MOST_ON_THE_WIRE);
        let mut words = script::search(query.pattern.as_ref());
        words.extend([
            self.lines.to_string(),
            bytes.to_string(),
            format!("--unit={}", query.unit),
        ]);
        words.extend(
            self.since
                .map(|since| format!("--since={}", on_the_clock(since))),
        );
        words.extend(
            self.until
                .map(|until| format!("--until={}", on_the_clock(until))),
        );
        if self.from_the_end {
            words.push("--reverse".to_owned());
        }
        // Twice: the node stops at its own bound, and complaints come on top.
        Command::script(READ, words)
            .limit(bytes + MOST_ON_THE_WIRE / 8)
            .timeout(query.patience)
    }
}

/// `@1510792546.123456`: what every version takes, whatever the node's time zone.
fn on_the_clock(moment: Timestamp) -> String {
    let micros = moment.as_microsecond();
    format!(
        "@{}.{:06}",
        micros.div_euclid(1_000_000),
        micros.rem_euclid(1_000_000)
    )
}

/// Reads a node's journal.
pub async fn read(look: &Look, host: &Host, query: &Query) -> Result<Answer, Fault> {
    let mut skew = SignedDuration::ZERO;
    let mut known = false;
    let mut answer = Answer::default();
    let mut raw = Vec::new();
    loop {
        for stretch in query.stretches(skew) {
            let mut read = Part::default();
            let one = one_stretch(
                look,
                host,
                query,
                &stretch,
                !known && query.minds_the_clock(),
                &mut read,
            )
            .await?;
            if !known {
                (answer.skew, known) = (read.skew, true);
            }
            if one == Told::ClockIsOff {
                break;
            }
            if stretch.from_the_end {
                read.entries.reverse();
            }
            raw.append(&mut read.entries);
            answer.left = answer.left.or(read.left);
        }
        // The times asked for are true times; on a clock that is off they are others.
        let off = answer.skew.abs() >= CLOCK_TOLERANCE && query.minds_the_clock();
        if !off || skew == answer.skew {
            break;
        }
        skew = answer.skew;
        raw.clear();
    }
    if answer.skew.abs() >= CLOCK_TOLERANCE {
        for entry in &mut raw {
            entry.at = entry.at.checked_sub(answer.skew).unwrap_or(entry.at);
        }
    }
    answer.entries = redacted(raw, &look.secrets);
    Ok(answer)
}

fn redacted(entries: Vec<Entry>, secrets: &Secrets) -> Vec<Entry> {
    let mut cleaner = Cleaner::new(Stream::new(secrets.rules().clone()));
    let entries = cleaner.all(entries);
    secrets.count(cleaner.removed());
    entries
}

/// What came of a stretch so far.
#[derive(Default)]
struct Part {
    /// In the order read, several lines of one entry in the same direction.
    entries: Vec<Entry>,
    skew: SignedDuration,
    left: Option<String>,
    complaints: Vec<String>,
}

/// Whether a stretch was read.
#[derive(PartialEq, Eq)]
enum Told {
    Entries,
    /// The times asked for are not the node's; nothing was read.
    ClockIsOff,
}

async fn one_stretch(
    look: &Look,
    host: &Host,
    query: &Query,
    stretch: &Stretch,
    minds_the_clock: bool,
    part: &mut Part,
) -> Result<Told, Fault> {
    let command = stretch.command(query);
    let mut lines = look
        .clients
        .ssh
        .stream(host, &command)
        .await
        .map_err(Fault::Unanswered)?;
    let sent = Timestamp::now();
    let (mut came, mut kept) = (0, 0);
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            // What a slow node told before its time was over counts.
            Err(fault @ Error::Timeout { .. }) if !part.entries.is_empty() => {
                part.left = Some(format!(
                    "{}, the rest is left out",
                    hosts::unanswered(&fault).1
                ));
                break;
            }
            Err(fault) => return Err(Fault::Unanswered(fault)),
        };
        match Said::of(&line) {
            Said::Clock(theirs) => {
                part.skew = skew(theirs, sent, Timestamp::now());
                if minds_the_clock && part.skew.abs() >= CLOCK_TOLERANCE {
                    return Ok(Told::ClockIsOff);
                }
            }
            Said::Complaint(said) if part.complaints.len() < COMPLAINTS => {
                part.complaints.push(said);
            }
            Said::Complaint(_) | Said::Ended => {}
            Said::Unread => part.left = Some("a line was too long to be read".to_owned()),
            Said::Entries(entries) => {
                came += 1;
                let found = entries.iter().any(|entry| {
                    query
                        .pattern
                        .as_ref()
                        .is_none_or(|it| it.is_match(&entry.message))
                });
                if !found {
                    continue;
                }
                kept += entries
                    .iter()
                    .map(|entry| entry.message.len())
                    .sum::<usize>();
                if kept > query.bytes && !part.entries.is_empty() {
                    part.left = Some(format!(
                        "more than {} KiB, the rest is left out",
                        query.bytes / 1024
                    ));
                    break;
                }
                if stretch.from_the_end {
                    part.entries.extend(entries.into_iter().rev());
                } else {
                    part.entries.extend(entries);
                }
            }
        }
    }
    if part.entries.is_empty() && !part.complaints.is_empty() {
        return Err(Fault::Said(why(&part.complaints)));
    }
    if part.left.is_none() && came >= stretch.lines {
        part.left = Some(format!(
            "more than {} lines, the rest is left out",
            query.lines
        ));
    }
    Ok(Told::Entries)
}

/// What a line of the scripts is.
pub(super) enum Said {
    /// The node's clock.
    Clock(Timestamp),
    /// Entries of the journal.
    Entries(Vec<Entry>),
    /// An entry that came in part only, and tells nothing.
    Unread,
    /// A program on the node ended as it should.
    Ended,
    /// Words of a program on the node that went wrong.
    Complaint(String),
}

impl Said {
    pub(super) fn of(line: &Line) -> Self {
        if line.stderr {
            return match line.text.as_str() {
                // 141 is what a program ends with whose output nobody wants any more; no line found is 1.
                "@end 0" | "@end 1" | "@end 141" | "@end 143" | "" => Self::Ended,
                other => Self::Complaint(other.to_owned()),
            };
        }
        if let Some(clock) = line.text.strip_prefix("@clock ") {
            return clock
                .parse()
                .ok()
                .and_then(at)
                .map_or(Self::Ended, Self::Clock);
        }
        let entries = if line.cut {
            Entry::salvage(&line.text)
        } else {
            Entry::read(&line.text)
        };
        match entries.is_empty() {
            true if line.text.starts_with('{') => Self::Unread,
            true => Self::Ended,
            false => Self::Entries(entries),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "microseconds of this era fit"
)]
fn at(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_microsecond((seconds * 1e6) as i64).ok()
}

/// How far the node's clock is ahead, told by something that happened there between two moments here.
pub(super) fn skew(theirs: Timestamp, sent: Timestamp, heard: Timestamp) -> SignedDuration {
    let took = heard.duration_since(sent);
    let skew = theirs.duration_since(sent) - took / 2;
    if skew.abs() <= took / 2 {
        SignedDuration::ZERO
    } else {
        skew
    }
}

/// The node's own words for what went wrong, and what to do.
fn why(complaints: &[String]) -> String {
    let said = complaints
        .iter()
        .find(|said| !said.starts_with('@'))
        .unwrap_or(&complaints[0]);
    let said: String = said.chars().take(200).collect();
    if said.contains("insufficient permissions") || said.contains("Permission denied") {
        return format!("{said} (is the SSH user in the group adm there?)");
    }
    if said.contains("not found") && said.contains("journalctl") {
        return "there is no journalctl on this node".to_owned();
    }
    said
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{Query, hosts, on_the_clock, skew};
    use crate::domain::pattern::Pattern;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_is_off_only_by_more_than_the_way_there() {
        let (sent, heard) = (
            moment("2017-11-16T00:00:00Z"),
            moment("2017-11-16T00:00:02Z"),
        );
        assert_eq!(
            skew(moment("2017-11-16T00:00:01.9Z"), sent, heard),
            SignedDuration::ZERO
        );
        assert_eq!(
            skew(moment("2017-11-15T23:59:20Z"), sent, heard),
            SignedDuration::from_secs(-41)
        );
    }

    #[test]
    fn the_lines_to_type_are_the_guides() {
        let query = Query {
            since: Some(moment("2017-11-13T10:00:00Z")),
            pattern: Some(Pattern::new("net:route:3").unwrap()),
            ..Query::newest(200)
        };
        assert_eq!(
            hosts::piped(&query.by_hand()).unwrap(),
            "journalctl --no-pager -u hab-sup --since '2017-11-13 10:00:00 UTC' --reverse | grep --line-buffered -aiP -e net:route:3 | head -n 200"
        );
        assert_eq!(
            hosts::piped(&Query::newest(200).by_hand()).unwrap(),
            "journalctl --no-pager -u hab-sup --reverse -n 200"
        );
    }

    #[test]
    fn a_moment_is_asked_for_as_every_version_takes_it_and_on_the_nodes_clock() {
        assert_eq!(
            on_the_clock(moment("2017-11-16T00:35:46.000007Z")),
            "@1510792546.000007"
        );
        let query = Query {
            around: Some(moment("2017-11-16T00:35:46Z")),
            ..Query::newest(9)
        };
        let stretches = query.stretches(SignedDuration::from_secs(-41));
        let told: Vec<_> = stretches
            .iter()
            .map(|one| (one.from_the_end, one.lines, one.until.map(on_the_clock)))
            .collect();
        assert_eq!(
            told,
            [
                (true, 5, Some("@1510792504.999999".to_owned())),
                (false, 4, Some("@1510793105.000000".to_owned()))
            ]
        );
    }
}
