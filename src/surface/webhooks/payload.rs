//! A webhook's body becomes an event. Tolerant of what is not used; what is not understood is answered 202 and ignored.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::paging::{Event, Kind, Named, PagerDutyIncident, PagerDutyStatus};

/// Longest text that is kept of a note or a message, in characters.
const LONGEST: usize = 3_000;
/// Longest name, in characters.
const LONGEST_NAME: usize = 200;
/// Assignees that are named.
const MOST_NAMED: usize = 10;
/// Longest id.
const LONGEST_ID: usize = 64;

/// Why a webhook means nothing to us. Holds nothing of what people wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// No JSON of that shape.
    #[error("it cannot be read")]
    Malformed,
    /// An event that changes nothing here, or a ping.
    #[error("habops does not use this kind of event")]
    NotUsed,
}

#[derive(Deserialize)]
struct Envelope {
    event: Told,
}

#[derive(Deserialize)]
struct Told {
    id: String,
    event_type: String,
    occurred_at: Timestamp,
    #[serde(default)]
    agent: Option<Reference>,
    #[serde(default)]
    data: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Reference {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    status: Option<PagerDutyStatus>,
    #[serde(default)]
    service: Option<Reference>,
    #[serde(default)]
    urgency: Option<String>,
    #[serde(default)]
    priority: Option<Reference>,
    #[serde(default)]
    assignees: Option<Vec<Reference>>,
    #[serde(default)]
    created_at: Option<Timestamp>,
}

/// What only refers to an incident: a note, a responder, a status update.
#[derive(Deserialize)]
struct Beside {
    incident: Reference,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    user: Option<Reference>,
    #[serde(default)]
    escalation_policy: Option<Reference>,
}

/// Reads a body whose signature was good.
pub(super) fn read(body: &[u8]) -> Result<Event, Unheard> {
    let Envelope { event } = serde_json::from_slice(body).map_err(|_| Unheard::Malformed)?;
    let kind = Kind::of(&event.event_type).ok_or(Unheard::NotUsed)?;
    let mut read = Event {
        id: cut(&event.id, LONGEST_ID),
        kind,
        at: event.occurred_at,
        by: event.agent.as_ref().and_then(name),
        incident: PagerDutyIncident::default(),
        text: None,
        whom: None,
        is_person: false,
        state: None,
    };
    if kind.describes_the_incident() {
        let data: Described = serde_json::from_value(event.data).map_err(|_| Unheard::Malformed)?;
        read.incident = described(data, event.occurred_at, kind);
    } else {
        let data: Beside = serde_json::from_value(event.data).map_err(|_| Unheard::Malformed)?;
        let id = data.incident.id.as_deref().and_then(word);
        read.incident = PagerDutyIncident {
            title: data
                .incident
                .summary
                .as_deref()
                .map(|it| cut(it, LONGEST_NAME)),
            url: data.incident.html_url,
            ..PagerDutyIncident::of_id(id.ok_or(Unheard::Malformed)?)
        };
        let text = data.content.or(data.message);
        read.text = text
            .filter(|text| !text.trim().is_empty())
            .map(|text| cut(text.trim(), LONGEST));
        read.is_person = data.user.is_some();
        read.whom = data
            .user
            .or(data.escalation_policy)
            .as_ref()
            .and_then(named);
        read.state = data.state.map(|state| cut(&state, LONGEST_ID));
    }
    if read.incident.id.is_empty() {
        return Err(Unheard::Malformed);
    }
    Ok(read)
}

fn described(data: Described, at: Timestamp, kind: Kind) -> PagerDutyIncident {
    let begun = (kind == Kind::Triggered).then_some(at);
    PagerDutyIncident {
        id: word(&data.id).unwrap_or_default(),
        title: data.title.map(|title| cut(&title, LONGEST_NAME)),
        url: data.html_url.filter(|url| url.starts_with("https://")),
        status: data.status,
        service: data.service.as_ref().and_then(named),
        urgency: data.urgency.map(|it| cut(&it, LONGEST_ID)),
        priority: data.priority.as_ref().and_then(name),
        assignees: data
            .assignees
            .unwrap_or_default()
            .iter()
            .filter_map(name)
            .take(MOST_NAMED)
            .collect(),
        triggered_at: data.created_at.or(begun),
    }
}

fn name(of: &Reference) -> Option<String> {
    let name = of.summary.as_deref().or(of.id.as_deref())?;
    Some(cut(name, LONGEST_NAME))
}

fn named(of: &Reference) -> Option<Named> {
    let name = name(of)?;
    Some(Named {
        id: of.id.as_deref().and_then(word)?,
        name,
    })
}

/// An id of PagerDuty's: it becomes a word of a command, so it must be one.
fn word(id: &str) -> Option<String> {
    let plain = !id.is_empty() && id.len() <= LONGEST_ID;
    (plain && id.chars().all(|c| c.is_ascii_alphanumeric())).then(|| id.to_owned())
}

fn cut(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::{Kind, PagerDutyStatus, Unheard, read};

    const PUBLISHED: &str = include_str!("published.json");

    #[test]
    fn the_published_example_is_understood() {
        let event = read(PUBLISHED.as_bytes()).unwrap();
        assert_eq!(event.kind, Kind::PriorityUpdated);
        assert_eq!(event.by.as_deref(), Some("Tenex Engineer"));
        let incident = event.incident;
        assert_eq!(incident.id, "PGR0VU2");
        assert_eq!(incident.title.as_deref(), Some("A little bump in the road"));
        assert_eq!(incident.status, Some(PagerDutyStatus::Triggered));
        assert_eq!(incident.service.unwrap().id, "PF9KMXH");
        assert_eq!(incident.priority.as_deref(), Some("P1"));
        assert_eq!(incident.assignees, ["User 123"]);
    }

    fn with(event_type: &str, data: Value) -> Vec<u8> {
        let mut body: Value = serde_json::from_str(PUBLISHED).unwrap();
        body["event"]["event_type"] = json!(event_type);
        body["event"]["data"] = data;
        body.to_string().into_bytes()
    }

    #[test]
    fn a_responder_and_a_note_refer_to_their_incident() {
        let incident =
            json!({"id": "PGR0VU2", "type": "incident_reference", "summary": "A little bump"});
        let user = json!({"id": "PANA001", "type": "user_reference", "summary": "Ana Lima"});
        let body = with(
            "incident.responder.added",
            json!({"type": "incident_responder", "incident": incident, "user": user, "escalation_policy": null,
                "message": "please look", "state": "pending"}),
        );
        let event = read(&body).unwrap();
        assert_eq!(event.whom.as_ref().unwrap().id, "PANA001");
        assert!(event.is_person);
        assert_eq!(
            event.line(),
            "Ana Lima was asked to help by Tenex Engineer: please look"
        );
        let body = with(
            "incident.annotated",
            json!({"type": "incident_note", "id": "P1", "incident": incident, "content": "restarted it", "trimmed": false}),
        );
        let event = read(&body).unwrap();
        assert_eq!(event.incident.id, "PGR0VU2");
        assert_eq!(event.line(), "note by Tenex Engineer: restarted it");
    }

    #[rstest]
    #[case::a_ping("pagey.ping", json!({"message": "Hello"}), Unheard::NotUsed)]
    #[case::a_service("service.updated", json!({}), Unheard::NotUsed)]
    #[case::to_come("incident.something.new", json!({}), Unheard::NotUsed)]
    #[case::no_data("incident.triggered", json!(null), Unheard::Malformed)]
    #[case::no_word_for_an_id("incident.triggered", json!({"id": "P1 --here"}), Unheard::Malformed)]
    #[case::a_note_of_nothing("incident.annotated", json!({"content": "x"}), Unheard::Malformed)]
    fn what_is_not_understood_is_told_apart(
        #[case] event_type: &str,
        #[case] data: Value,
        #[case] why: Unheard,
    ) {
        assert_eq!(read(&with(event_type, data)).unwrap_err(), why);
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        assert_eq!(read(b"").unwrap_err(), Unheard::Malformed);
        assert_eq!(read(b"{\"event\":7}").unwrap_err(), Unheard::Malformed);
    }
}
