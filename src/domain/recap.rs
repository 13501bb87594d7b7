//! What somebody who has just come in must know of an incident: from the records alone.

use jiff::Timestamp;

use super::{
    incident::{EntryKind, Incident, IncidentState, TimelineEntry},
    operation::{Operation, State},
    output::{Output, Part, Status},
};

/// Looks, changes and notes that a recap tells at most: the newest of each.
const LOOKS: usize = 5;
const CHANGES: usize = 10;
const NOTES: usize = 5;
/// Operations that are enough to make a recap of.
pub const LOOK_BACK: usize = 500;

/// What a recap is made of.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// Its operations, newest first.
    pub operations: &'a [Operation],
    /// What waits for a yes anywhere.
    pub awaiting: &'a [Operation],
    /// Its timeline, oldest first.
    pub timeline: &'a [TimelineEntry],
    /// Now.
    pub now: Timestamp,
}

/// The symptoms, what was tried and what came of it, who holds what, what waits for approval.
pub fn recap(of: Records<'_>) -> Output {
    let incident = of.incident;
    let title = format!(
        "{}: {} · {}",
        incident.id,
        incident.title,
        how_long(incident, of.now)
    );
    let mut output = Output::new(Status::Done, title).with(Part::Facts(holders(of)));
    let told = [
        ("Seen", looks(of)),
        ("Tried", changes(of)),
        ("Waits for a yes", waiting(of)),
        ("Noted", notes(of)),
    ];
    for (heading, lines) in told {
        if !lines.is_empty() {
            output = output.text(format!("{heading}:\n{}", lines.join("\n")));
        } else if heading == "Tried" {
            output = output.text("Nothing was tried so far.");
        }
    }
    output
}

/// `open for 1 h 5 min`, `closed after 40 min`.
pub fn how_long(incident: &Incident, now: Timestamp) -> String {
    let (word, end) = match (incident.state, incident.closed_at) {
        (IncidentState::Closed, Some(at)) => ("closed after", at),
        _ => ("open for", now),
    };
    format!("{word} {}", lasted(incident.opened_at, end))
}

/// A length in words: `less than a minute`, `40 min`, `1 h 5 min`.
pub fn lasted(from: Timestamp, to: Timestamp) -> String {
    match to.duration_since(from).as_secs().max(0) / 60 {
        0 => "less than a minute".to_owned(),
        minutes if minutes < 60 => format!("{minutes} min"),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// Whether an operation is about the incident's own record rather than about what is wrong.
pub fn is_about_the_record(operation: &Operation) -> bool {
    operation.command.as_ref().is_none_or(|name| {
        let name = name.as_str();
        // Acknowledging or resolving in PagerDuty is a change, and part of the story.
        (name.starts_with("incident ") && !operation.changes)
            || ["help", "recap", "approvals", "audit", "why", "self"].contains(&name)
    })
}

fn holders(of: Records<'_>) -> Vec<(String, String)> {
    let incident = of.incident;
    let person = |user: &Option<super::ids::UserId>| {
        user.as_ref()
            .map_or("nobody".to_owned(), |user| format!("<@{user}>"))
    };
    let mut facts = vec![
        ("since".to_owned(), stamp(incident.opened_at)),
        ("lead".to_owned(), person(&incident.lead)),
    ];
    if incident.scribe.is_some() {
        facts.push(("scribe".to_owned(), person(&incident.scribe)));
    }
    if let Some(told) = pagerduty(incident) {
        facts.push(("PagerDuty".to_owned(), told));
    }
    let runs: Vec<String> = of
        .operations
        .iter()
        .filter(|operation| matches!(operation.state, State::Running | State::Approved))
        .map(|operation| format!("{} {} by {}", operation.id, operation.text, operation.actor))
        .collect();
    if !runs.is_empty() {
        facts.push(("runs now".to_owned(), runs.join("; ")));
    }
    facts
}

/// `acknowledged, P1, Ana Lima has it, high urgency, triggered 3 times`.
pub fn pagerduty(incident: &Incident) -> Option<String> {
    let page = incident.page()?;
    let mut told: Vec<String> = Vec::new();
    told.extend(page.status.map(|status| status.word().to_owned()));
    told.extend(page.priority.clone());
    if !page.assignees.is_empty() {
        told.push(format!("{} has it", page.assignees.join(", ")));
    }
    told.extend(page.urgency.as_ref().map(|it| format!("{it} urgency")));
    if incident.triggers > 1 {
        told.push(format!("triggered {} times", incident.triggers));
    }
    if told.is_empty() {
        told.push(page.id.clone());
    }
    Some(told.join(", "))
}

/// The newest answer of each look.
fn looks(of: Records<'_>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for operation in of.operations {
        let is_look = !operation.changes && !is_about_the_record(operation);
        let typed = typed(operation);
        if !is_look || seen.contains(&typed) || lines.len() == LOOKS {
            continue;
        }
        if let Some(output) = operation
            .output
            .as_ref()
            .filter(|_| operation.state != State::Refused)
        {
            lines.push(format!(
                "{} {typed}: {}",
                when(operation.received_at, of.now),
                output.title
            ));
            seen.push(typed);
        }
    }
    lines.reverse();
    lines
}

/// What was changed, by whom, with whose yes, and what came of it.
fn changes(of: Records<'_>) -> Vec<String> {
    let ended = of
        .operations
        .iter()
        .filter(|operation| operation.changes && operation.state.is_end());
    let mut lines: Vec<String> = ended
        .take(CHANGES)
        .map(|operation| {
            let approved = operation
                .proposal
                .as_ref()
                .and_then(|proposal| proposal.approved_by.as_ref())
                .map(|(by, _)| format!(", approved by {by}"))
                .unwrap_or_default();
            format!(
                "{} {} by {}{approved}: {}",
                when(operation.received_at, of.now),
                typed(operation),
                operation.actor,
                verdict(operation)
            )
        })
        .collect();
    lines.reverse();
    lines
}

/// What was typed; of which incident it is needs no saying beside the incident itself.
pub fn typed(operation: &Operation) -> String {
    match operation.incident {
        Some(id) => operation.text.replace(&format!(" --incident {id}"), ""),
        None => operation.text.clone(),
    }
}

/// What came of an operation, in one line.
pub fn verdict(operation: &Operation) -> String {
    operation.output.as_ref().map_or_else(
        || operation.state.word().to_owned(),
        |output| output.title.clone(),
    )
}

fn waiting(of: Records<'_>) -> Vec<String> {
    of.awaiting
        .iter()
        .filter(|operation| operation.incident == Some(of.incident.id))
        .map(|operation| {
            let until = operation
                .waits_until
                .map(|until| format!(", until {} UTC", until.strftime("%H:%M:%S")))
                .unwrap_or_default();
            format!(
                "{} {} asked by {}{until}: `approve {}`",
                operation.id, operation.text, operation.actor, operation.id
            )
        })
        .collect()
}

fn notes(of: Records<'_>) -> Vec<String> {
    let notes: Vec<&TimelineEntry> = of
        .timeline
        .iter()
        .filter(|entry| entry.kind == EntryKind::Note)
        .collect();
    let newest = &notes[notes.len().saturating_sub(NOTES)..];
    newest
        .iter()
        .map(|entry| {
            let text: String = entry.text.chars().take(300).collect();
            format!("{} {}: {text}", when(entry.at, of.now), entry.actor)
        })
        .collect()
}

/// A moment with its date, UTC.
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A moment beside others: the date only where it is another day.
fn when(at: Timestamp, now: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    if day(at) == day(now) {
        at.strftime("%H:%M").to_string()
    } else {
        at.strftime("%m-%d %H:%M").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Incident, Operation, Output, Records, State, Status, TimelineEntry, Timestamp, recap,
    };
    use crate::domain::{
        actor::Actor,
        ids::{IncidentId, OperationId},
        inbound::Via,
        incident::{EntryKind, Home},
        output::Part,
        paging::{PagerDutyIncident, PagerDutyStatus},
        place::Whence,
    };

    fn operation(id: u64, text: &str, state: State, said: &str) -> Operation {
        let words: Vec<&str> = text.split(' ').collect();
        let command = match words[..] {
            ["incident", word, ..] => format!("incident {word}"),
            _ => words[0].to_owned(),
        };
        let at: Timestamp = format!("2026-11-27T14:{id:02}:00Z").parse().unwrap();
        let mut operation = Operation::received(
            OperationId(id),
            text.to_owned(),
            Some(command.as_str().into()),
            Actor::person("T", "U0ANA"),
            Whence::Machine,
            Via::Slash,
            at,
        );
        operation.state = state;
        operation.changes = command == "restart";
        operation.incident = Some(IncidentId(1));
        operation.output = state.is_end().then(|| Output::new(Status::Done, said));
        operation
    }

    #[test]
    fn whoever_joins_reads_the_symptoms_what_was_tried_and_what_waits() {
        let mut incident = Incident::opened(
            IncidentId(1),
            "login is slow".to_owned(),
            Actor::PagerDuty,
            "2026-11-27T14:01:00Z".parse().unwrap(),
            Home::Nowhere,
        );
        incident.lead = Some("U0BO".into());
        incident.triggers = 3;
        incident.pagerduty.push(PagerDutyIncident {
            status: Some(PagerDutyStatus::Acknowledged),
            assignees: vec!["Ana Lima".to_owned()],
            ..PagerDutyIncident::of_id("PGR0VU2")
        });
        let waits = operation(9, "restart live-builder-api-1", State::Awaiting, "");
        let operations = [
            waits.clone(),
            operation(8, "incident recap", State::Done, "noise"),
            operation(7, "restart live-builder-api-0", State::Done, "recovered"),
            operation(
                6,
                "status live/api --incident inc-1",
                State::Done,
                "1 of 1 nodes are up",
            ),
            operation(5, "status live/api", State::Done, "0 of 1 nodes are up"),
        ];
        let note = TimelineEntry {
            incident: incident.id,
            at: "2026-11-27T14:08:00Z".parse().unwrap(),
            actor: Actor::person("T", "U0BO"),
            kind: EntryKind::Note,
            text: "users can log in again".to_owned(),
            operation: None,
        };
        let said = recap(Records {
            incident: &incident,
            operations: &operations,
            awaiting: &[waits],
            timeline: &[note],
            now: "2026-11-27T15:06:00Z".parse().unwrap(),
        });
        assert_eq!(said.title, "inc-1: login is slow · open for 1 h 5 min");
        let text: Vec<String> = said
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Facts(facts) => facts
                    .iter()
                    .map(|(name, value)| format!("{name} = {value}"))
                    .collect::<Vec<_>>()
                    .join("\n"),
                other => format!("{other:?}"),
            })
            .collect();
        insta::assert_snapshot!(text.join("\n\n"), @r"
        since = 2026-11-27 14:01 UTC
        lead = <@U0BO>
        PagerDuty = acknowledged, Ana Lima has it, triggered 3 times

        Seen:
        14:06 status live/api: 1 of 1 nodes are up

        Tried:
        14:07 restart live-builder-api-0 by <@U0ANA>: recovered

        Waits for a yes:
        op-9 restart live-builder-api-1 asked by <@U0ANA>: `approve op-9`

        Noted:
        14:08 <@U0BO>: users can log in again
        ");
    }
}
