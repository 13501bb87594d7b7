//! What the nodes told, as an output: the errors over time, the excerpt, a row a node, the whole text as a file with its hash.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::{
    Look,
    journal::{Answer, CLOCK_TOLERANCE, Fault, Query},
};
use crate::domain::{
    journal::{self, Item, ONLY_ERRORS, Told},
    known_issue::Tally,
    output::{HostOutcome, HostState, INLINE_LOG, Output, Part, Status},
};

/// What was asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The nodes, as typed.
    pub target: String,
    /// What of each.
    pub query: Query,
}

/// Room for the excerpt in the message, in bytes: longer, it would come as a file of its own.
const EXCERPT: usize = INLINE_LOG - 100;
/// Known issues that are named; `diagnose` names all.
const MOST_ISSUES: usize = 6;

/// Puts it together; the answers are in the order of the nodes.
pub fn output(asked: &Asked, look: &Look, answers: &[Result<Answer, Fault>]) -> Output {
    let names: Vec<String> = look
        .asked
        .nodes
        .iter()
        .map(|node| node.name.to_string())
        .collect();
    let told: Vec<Told<'_>> = names
        .iter()
        .zip(answers)
        .filter_map(|(node, answer)| {
            Some(Told {
                node,
                entries: &answer.as_ref().ok()?.entries,
            })
        })
        .collect();
    let rows: Vec<HostOutcome> = names
        .iter()
        .zip(answers)
        .map(|(node, answer)| row(node, answer))
        .collect();
    let lines: usize = told.iter().map(|told| told.entries.len()).sum();
    let mut output = Output::new(status(&rows), title(asked, &told, lines));
    if let Some((unit, points)) = journal::errors_a_minute(&told) {
        output = output.with(Part::Chart {
            title: format!("errors a {unit}, UTC"),
            points,
        });
    }
    let seen = seen(look, &told);
    if !seen.is_empty() {
        output = output.with(Part::Facts(seen.clone()));
    }
    let items: Vec<(&str, Item)> = told
        .iter()
        .flat_map(|told| {
            let issue = |message: &str| sign_of(look, told.node, message);
            let items = journal::digest(told.entries, &issue).into_iter();
            items.map(|item| (told.node, item))
        })
        .collect();
    let excerpt = journal::excerpt(items, names.len() > 1, EXCERPT, asked.query.around);
    if !excerpt.text.is_empty() {
        let of = if names.len() > 1 {
            asked.target.clone()
        } else {
            names.concat()
        };
        output = output.with(Part::Log {
            of,
            text: excerpt.text.trim_end().to_owned(),
        });
    }
    output = output.with(Part::Hosts(rows));
    if lines > 0 {
        output = with_file(output, asked, look, &told);
    }
    let output = with_next_steps(output, asked, &told, excerpt.left_out);
    if seen.is_empty() {
        return output;
    }
    with_diagnosis(output, asked, &told)
}

/// The name of the known issue that a line of a node is a sign of.
pub fn sign_of(look: &Look, node: &str, message: &str) -> Option<String> {
    let node = look
        .asked
        .nodes
        .iter()
        .find(|known| known.name.as_str() == node)?;
    let mut signs = look.commands.known_issues().of_line(&node.role, message);
    signs.next().map(|signature| signature.name.clone())
}

/// Each known issue that was seen: how often, where, when, and what it means.
fn seen(look: &Look, told: &[Told<'_>]) -> Vec<(String, String)> {
    let known = look.commands.known_issues();
    let mut seen = Vec::new();
    for told in told {
        let node = look
            .asked
            .nodes
            .iter()
            .find(|node| node.name.as_str() == told.node);
        let Some(node) = node else { continue };
        let mut tally = Tally::new(known, &node.role);
        for entry in told.entries {
            tally.line(entry.at, &entry.message);
        }
        seen.extend(tally.found().into_iter().map(|sighting| {
            let said = format!(
                "{} on {}, {} to {}: {}",
                counted(
                    usize::try_from(sighting.lines).unwrap_or(usize::MAX),
                    "line"
                ),
                told.node,
                sighting.first.strftime("%Y-%m-%d %H:%M:%S"),
                sighting.last.strftime("%H:%M:%S UTC"),
                sighting.signature.means
            );
            (sighting.signature.name.clone(), said)
        }));
    }
    seen.truncate(MOST_ISSUES);
    seen
}

/// What the known issues call for is the diagnosis' to say.
fn with_diagnosis(output: Output, asked: &Asked, told: &[Told<'_>]) -> Output {
    let since = journal::span(told).map(|(first, _)| first.strftime("%Y-%m-%dT%H:%M:%SZ"));
    let since = since
        .map(|since| format!(" --since {since}"))
        .unwrap_or_default();
    output.with(Part::Next {
        label: "Diagnose".to_owned(),
        command: format!("diagnose {}{since}", asked.target),
    })
}

fn title(asked: &Asked, told: &[Told<'_>], lines: usize) -> String {
    let Query { pattern, unit, .. } = &asked.query;
    let with = pattern
        .as_ref()
        .map(|it| format!(" with `{}`", it.as_str()))
        .unwrap_or_default();
    let Some((first, last)) = journal::span(told) else {
        return format!(
            "{}: no line of {unit}{with} {}",
            asked.target,
            when(&asked.query)
        );
    };
    let (from, day) = (
        first.strftime("%Y-%m-%d %H:%M:%S"),
        last.strftime("%Y-%m-%d"),
    );
    let to = if from.to_string().starts_with(&day.to_string()) {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S"
    };
    format!(
        "{}: {}{with}, {}, {from} to {} UTC",
        asked.target,
        counted(lines, "line"),
        counted(journal::errors(told), "error"),
        last.strftime(to)
    )
}

/// The time asked for, in words.
fn when(query: &Query) -> String {
    let at = |moment: Timestamp| moment.strftime("%Y-%m-%d %H:%M:%S UTC");
    match (query.around, query.since, query.until) {
        (Some(around), ..) => format!("within ten minutes of {}", at(around)),
        (_, Some(since), Some(until)) => format!("from {} to {}", at(since), at(until)),
        (_, Some(since), None) => format!("since {}", at(since)),
        (_, None, Some(until)) => format!("up to {}", at(until)),
        (_, None, None) => "in the journal".to_owned(),
    }
}

fn status(rows: &[HostOutcome]) -> Status {
    let read = rows
        .iter()
        .filter(|row| row.state == HostState::Done)
        .count();
    match read {
        all if all == rows.len() => Status::Done,
        0 => Status::Failed,
        _ => Status::Partly,
    }
}

fn row(node: &str, answer: &Result<Answer, Fault>) -> HostOutcome {
    let (state, said) = match answer {
        Err(fault) => fault.row(),
        Ok(answer) => (HostState::Done, said(node, answer)),
    };
    HostOutcome::new(node, state, said)
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

fn said(node: &str, answer: &Answer) -> String {
    let told = [Told {
        node,
        entries: &answer.entries,
    }];
    let mut said = format!(
        "{}, {}",
        counted(answer.entries.len(), "line"),
        counted(journal::errors(&told), "error")
    );
    if let Some(left) = &answer.left {
        let _ = write!(said, " ({left})");
    }
    said.push_str(&clock(answer.skew));
    said
}

/// `; clock +0.0 s`, and what was done about one that is off.
pub fn clock(skew: SignedDuration) -> String {
    let seconds = skew.as_secs_f64();
    if skew.abs() < CLOCK_TOLERANCE {
        return format!("; clock {seconds:+.1} s");
    }
    let side = if skew.is_negative() {
        "behind"
    } else {
        "ahead"
    };
    format!(
        "; its clock is {:.0} s {side}, so its times are corrected here",
        seconds.abs()
    )
}

/// The whole text, and its hash: it is redacted once more as one text, so that nothing changes it any more on its way.
fn with_file(output: Output, asked: &Asked, look: &Look, told: &[Told<'_>]) -> Output {
    let whole = journal::whole(told);
    let (text, removed) = look.secrets.rules().redact(&whole);
    look.secrets.count(removed);
    let text = text.into_owned();
    let hash = hex::encode(Sha256::digest(&text));
    let stamp = journal::span(told).map_or_else(String::new, |(first, last)| {
        format!(
            "-{}-{}",
            first.strftime("%Y%m%dT%H%M%SZ"),
            last.strftime("%H%M%SZ")
        )
    });
    let target: String = asked
        .target
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(60)
        .collect();
    let name = format!("{target}{stamp}.log");
    output
        .with(Part::Facts(vec![("sha256 of the file".to_owned(), hash)]))
        .with(Part::File { name, text })
}

fn with_next_steps(
    mut output: Output,
    asked: &Asked,
    told: &[Told<'_>],
    left_out: usize,
) -> Output {
    let query = &asked.query;
    if left_out > 0 && query.pattern.is_none() && journal::errors(told) > 0 {
        let mut command = format!("logs {}", asked.target);
        let times = [
            ("since", query.since),
            ("until", query.until),
            ("around", query.around),
        ];
        for (name, moment) in times {
            if let Some(moment) = moment {
                let _ = write!(
                    command,
                    " --{name} {}",
                    moment.strftime("%Y-%m-%dT%H:%M:%SZ")
                );
            }
        }
        if query.unit != "hab-sup" {
            let _ = write!(command, " --unit {}", query.unit);
        }
        let _ = write!(command, " --grep '{ONLY_ERRORS}'");
        output = output.with(Part::Next {
            label: "Only errors".to_owned(),
            command,
        });
    }
    output
}
