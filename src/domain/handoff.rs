//! The handoff: who came on call instead of whom, what they should know, and whether they have taken it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    actor::Actor,
    command::Commands,
    ids::IncidentId,
    incident::Incident,
    operation::{Operation, State},
    output::{Output, Part},
    parse::parse,
    roster::{Change, Schedule, names},
};

/// Rows of each table in a packet; the rest is counted.
const MOST_ROWS: usize = 25;

/// A change of who is on call that was told, and whether somebody has taken it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handoff {
    /// On which schedule.
    pub schedule: Schedule,
    /// What changed, oldest first; several where habops slept through some. Whoever the last one brought is to accept.
    pub changes: Vec<Change>,
    /// When it was told.
    pub told_at: Timestamp,
    /// The message in the channel where habops lives, without its Accept button.
    pub told: Output,
    /// Who took it, and when.
    #[serde(default)]
    pub accepted: Option<(Actor, Timestamp)>,
    /// Whether everybody was told that nobody took it.
    #[serde(default)]
    pub reminded: bool,
}

impl Handoff {
    /// The change that counts now.
    pub fn last(&self) -> Option<&Change> {
        self.changes.last()
    }

    /// What names its message, and nothing else: `handoff:PI7DH85:1764000000`.
    pub fn key(&self) -> String {
        let at = self.last().map_or(self.told_at, |change| change.at);
        format!("handoff:{}:{}", self.schedule.id, at.as_nanosecond())
    }

    /// One line: who is on call, and instead of whom.
    pub fn title(&self) -> String {
        let Some(Change { from, to, .. }) = self.last() else {
            return format!("On call for {}", self.schedule.name);
        };
        let verb = if to.len() > 1 { "are" } else { "is" };
        let who = names(to);
        let who = if to.is_empty() { "Nobody" } else { &who };
        format!(
            "{who} {verb} on call for {}, after {}",
            self.schedule.name,
            names(from)
        )
    }

    /// The changes before the last one, which nobody was there to tell.
    pub fn missed(&self) -> Option<Part> {
        let (_, missed) = self.changes.split_last()?;
        if missed.is_empty() {
            return None;
        }
        let rows = missed.iter().map(|change| {
            let at = change.at.strftime("%Y-%m-%d %H:%M UTC").to_string();
            vec![at, names(&change.from), names(&change.to)]
        });
        Some(Part::Table {
            columns: ["meanwhile", "from", "to"].map(str::to_owned).to_vec(),
            rows: rows.collect(),
        })
    }
}

/// A package that runs in acceptance and not yet in live, as far as habops' own records tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// The package, as it was typed.
    pub ident: String,
    /// The channel it is in.
    pub channel: String,
    /// Since when.
    pub at: Timestamp,
}

/// What a packet tells, read from the records.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    /// From when on changes are told.
    pub since: Timestamp,
    /// Open incidents.
    pub incidents: Vec<Incident>,
    /// Changes that were begun, newest first.
    pub made: Vec<Operation>,
    /// Promoted to acceptance and not to live.
    pub promoted: Vec<Promoted>,
    /// Confirmations that wait.
    pub waiting: Vec<Operation>,
}

impl Packet {
    /// Only what belongs to one incident.
    #[must_use]
    pub fn of(&self, incident: IncidentId) -> Self {
        let own = |operations: &[Operation]| {
            let own = operations.iter().filter(|it| it.incident == Some(incident));
            own.cloned().collect()
        };
        Self {
            since: self.since,
            incidents: Vec::new(),
            made: own(&self.made),
            promoted: Vec::new(),
            waiting: own(&self.waiting),
        }
    }

    /// As parts of an output; what there is nothing of is left out.
    pub fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let incidents = self.incidents.iter().map(|incident| {
            vec![
                incident.id.to_string(),
                incident.title.clone(),
                time(incident.opened_at),
            ]
        });
        table(
            &mut parts,
            ["open incident", "", "since"],
            incidents.collect(),
        );
        let made = self.made.iter().map(|operation| {
            vec![
                time(operation.started_at.unwrap_or(operation.received_at)),
                format!("{} {}", operation.id, operation.text),
                operation.actor.to_string(),
                verdict(operation),
            ]
        });
        table(
            &mut parts,
            ["changed", "what", "by", "verdict"],
            made.collect(),
        );
        let promoted = self
            .promoted
            .iter()
            .map(|it| vec![it.ident.clone(), it.channel.clone(), time(it.at)]);
        table(
            &mut parts,
            ["not promoted to live yet", "in", "since"],
            promoted.collect(),
        );
        let waiting = self.waiting.iter().map(|operation| {
            let until = operation
                .proposal
                .as_ref()
                .map(|proposal| proposal.expires_at);
            vec![
                format!("{} {}", operation.id, operation.text),
                operation.actor.to_string(),
                until.map(time).unwrap_or_default(),
            ]
        });
        table(
            &mut parts,
            ["waits for a yes", "asked by", "until"],
            waiting.collect(),
        );
        let watched = self
            .watched()
            .into_iter()
            .map(|(node, why)| vec![node, why]);
        table(&mut parts, ["node to watch", "because"], watched.collect());
        if parts.is_empty() {
            let since = time(self.since);
            parts.push(Part::Text(format!(
                "Nothing is open: no incident, no change since {since}, nothing waits for a yes."
            )));
        }
        parts
    }

    /// Nodes whose last change is under way, or did not end well.
    fn watched(&self) -> BTreeMap<String, String> {
        let mut last: BTreeMap<String, &Operation> = BTreeMap::new();
        for operation in &self.made {
            for node in &operation.nodes {
                last.entry(node.name.to_string()).or_insert(operation); // newest first
            }
        }
        last.into_iter()
            .filter(|(_, operation)| operation.state != State::Done)
            .map(|(node, operation)| {
                let why = format!(
                    "{} {}: {}",
                    operation.id,
                    operation.text,
                    operation.state.word()
                );
                (node, why)
            })
            .collect()
    }
}

fn table<const COLUMNS: usize>(
    parts: &mut Vec<Part>,
    columns: [&str; COLUMNS],
    mut rows: Vec<Vec<String>>,
) {
    if rows.is_empty() {
        return;
    }
    let more = rows.len().saturating_sub(MOST_ROWS);
    rows.truncate(MOST_ROWS);
    let columns = columns.map(str::to_owned).to_vec();
    parts.push(Part::Table { columns, rows });
    if more > 0 {
        parts.push(Part::Text(format!(
            "… and {more} more; `audit` has them all."
        )));
    }
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn verdict(operation: &Operation) -> String {
    let title = operation
        .output
        .as_ref()
        .map(|output| output.title.as_str());
    match (operation.state.is_end(), title) {
        (true, Some(title)) => format!("{}: {title}", operation.state.word()),
        _ => operation.state.word().to_owned(),
    }
}

/// What was promoted to another channel than stable and neither promoted further nor demoted since, from the operations that did
/// it, in any order.
pub fn not_live_yet(operations: &[Operation], commands: &Commands) -> Vec<Promoted> {
    let mut operations: Vec<&Operation> = operations
        .iter()
        .filter(|operation| matches!(operation.state, State::Done | State::Partly))
        .collect();
    operations.sort_by_key(|operation| operation.id);
    let mut pending: BTreeMap<String, Promoted> = BTreeMap::new();
    for operation in operations {
        let name = operation
            .command
            .as_ref()
            .map(super::ids::CommandName::as_str);
        let demotes = match name {
            Some("promote") => false,
            Some("demote") => true,
            _ => continue,
        };
        let Ok(parsed) = parse(&operation.text, commands, operation.received_at) else {
            continue; // typed for an older habops
        };
        let channel = parsed.args().get("channel").and_then(Value::as_str);
        let channel = channel.unwrap_or_default().to_owned();
        for ident in idents(parsed.args()) {
            if demotes || channel == "stable" {
                pending.retain(|known, _| !is_same_package(known, &ident));
            } else {
                let promoted = Promoted {
                    ident: ident.clone(),
                    channel: channel.clone(),
                    at: operation.ended_at.unwrap_or(operation.received_at),
                };
                pending.insert(ident, promoted);
            }
        }
    }
    pending.into_values().collect()
}

/// Every argument that looks like a package: `origin/name`, with or without version and release.
fn idents(args: &serde_json::Map<String, Value>) -> Vec<String> {
    let words = args.values().flat_map(|value| match value {
        Value::Array(many) => many.iter().collect::<Vec<_>>(),
        one => vec![one],
    });
    words
        .filter_map(Value::as_str)
        .filter(|word| word.contains('/'))
        .map(str::to_owned)
        .collect()
}

/// One of them may name the release and the other only the package.
fn is_same_package(one: &str, other: &str) -> bool {
    let parts = |ident: &str| ident.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (parts(one), parts(other));
    one.iter().zip(&other).all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ids::OperationId, inbound::Via, node::Node, output::Status, place::Whence,
        roster::Responder,
    };

    fn operation(id: u64, text: &str, state: State) -> Operation {
        let mut operation = Operation::received(
            OperationId(id),
            text.to_owned(),
            text.split(' ').next().map(Into::into),
            Actor::person("T1", "U1"),
            Whence::Terminal,
            Via::Terminal,
            Timestamp::UNIX_EPOCH,
        );
        operation.state = state;
        operation
    }

    fn person(name: &str) -> Responder {
        Responder {
            id: name.to_owned(),
            name: name.to_owned(),
            email: None,
            time_zone: None,
        }
    }

    fn handoff(changes: &[(&[&str], &[&str])]) -> Handoff {
        let people = |names: &[&str]| names.iter().map(|name| person(name)).collect();
        Handoff {
            schedule: Schedule {
                id: "PI7DH85".to_owned(),
                name: "Builder".to_owned(),
                url: None,
            },
            changes: changes
                .iter()
                .map(|(from, to)| Change {
                    at: Timestamp::UNIX_EPOCH,
                    from: people(from),
                    to: people(to),
                })
                .collect(),
            told_at: Timestamp::UNIX_EPOCH,
            told: Output::new(Status::Done, ""),
            accepted: None,
            reminded: false,
        }
    }

    #[test]
    fn the_title_says_who_after_whom_and_what_was_missed_is_listed() {
        let one = handoff(&[(&["Ana"], &["Bo", "Cyd"])]);
        assert_eq!(one.title(), "Bo and Cyd are on call for Builder, after Ana");
        assert!(one.missed().is_none());
        let two = handoff(&[(&["Ana"], &["Bo"]), (&["Bo"], &[])]);
        assert_eq!(two.title(), "Nobody is on call for Builder, after Bo");
        let Some(Part::Table { rows, .. }) = two.missed() else {
            panic!("nothing missed");
        };
        assert_eq!(rows[0][1..], ["Ana", "Bo"]);
    }

    #[test]
    fn a_node_is_watched_until_a_later_change_of_it_ends_well() {
        let node = |name: &str| Node {
            name: name.into(),
            environment: "live".into(),
            role: "api".into(),
            address: "127.0.0.1".to_owned(),
            port: 22,
            instance_id: None,
            ec2: None,
        };
        let on = |id, state, nodes: &[&str]| Operation {
            nodes: nodes.iter().map(|name| node(name)).collect(),
            ..operation(id, "restart x", state)
        };
        let packet = Packet {
            made: vec![
                on(3, State::Done, &["a"]),
                on(2, State::Failed, &["a", "b"]),
                on(1, State::Done, &["b"]),
            ],
            ..Packet::default()
        };
        let watched: Vec<String> = packet.watched().into_keys().collect();
        assert_eq!(watched, ["b"]);
    }

    #[test]
    fn a_package_is_the_same_with_and_without_its_release() {
        assert!(is_same_package(
            "core/builder-api",
            "core/builder-api/6234/20171120"
        ));
        assert!(!is_same_package(
            "core/builder-api/1/2",
            "core/builder-api/1/3"
        ));
        assert!(!is_same_package("core/builder-api", "core/builder-web"));
    }
}
