//! PagerDuty's incidents, and what its webhooks tell of them (`facts/external-apis.md` 1.7).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::redact::Rules;

/// One of PagerDuty's incidents, as far as it is known here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagerDutyIncident {
    /// PagerDuty's own id, `PGR0VU2`.
    pub id: String,
    /// What is wrong, in PagerDuty's words.
    #[serde(default)]
    pub title: Option<String>,
    /// Its page.
    #[serde(default)]
    pub url: Option<String>,
    /// Where it stands; absent while nobody has told.
    #[serde(default)]
    pub status: Option<PagerDutyStatus>,
    /// The service it is about.
    #[serde(default)]
    pub service: Option<Named>,
    /// `high` or `low`.
    #[serde(default)]
    pub urgency: Option<String>,
    /// `P1`, where the account uses priorities.
    #[serde(default)]
    pub priority: Option<String>,
    /// Who has it, by name.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// When it was triggered, or first heard of.
    #[serde(default)]
    pub triggered_at: Option<Timestamp>,
}

impl PagerDutyIncident {
    /// One of which only the id is known.
    pub fn of_id(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// The same without secrets in what people wrote.
    fn redacted(mut self, rules: &Rules) -> Self {
        let names = self.service.iter_mut().map(|service| &mut service.name);
        let texts = self.title.iter_mut().chain(names);
        for text in texts.chain(&mut self.assignees) {
            *text = rules.redact(text).0.into_owned();
        }
        self
    }

    /// Whether it is over, as far as is known.
    pub fn is_resolved(&self) -> bool {
        self.status == Some(PagerDutyStatus::Resolved)
    }

    /// What is known now: the newer word, and the older where the newer is silent.
    pub fn learn(&mut self, newer: &Self) {
        fn some<T: Clone>(known: &mut Option<T>, newer: Option<&T>) {
            if let Some(newer) = newer {
                *known = Some(newer.clone());
            }
        }
        some(&mut self.title, newer.title.as_ref());
        some(&mut self.url, newer.url.as_ref());
        some(&mut self.status, newer.status.as_ref());
        some(&mut self.service, newer.service.as_ref());
        some(&mut self.urgency, newer.urgency.as_ref());
        self.priority.clone_from(&newer.priority);
        self.assignees.clone_from(&newer.assignees);
        self.triggered_at = self.triggered_at.or(newer.triggered_at);
    }
}

/// Where a PagerDuty incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PagerDutyStatus {
    /// Nobody has taken it.
    Triggered,
    /// Somebody works on it.
    Acknowledged,
    /// Over.
    Resolved,
}

impl PagerDutyStatus {
    /// PagerDuty's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// Something of PagerDuty's with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// PagerDuty's id.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// PagerDuty's id of the event: the second key that tells a redelivery.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// Who did it, by name; absent where PagerDuty itself did.
    pub by: Option<String>,
    /// The PagerDuty incident it is about.
    pub incident: PagerDutyIncident,
    /// What was written: a note, a message to a responder.
    #[serde(default)]
    pub text: Option<String>,
    /// Whom it is about: the responder, or the policy that was asked.
    #[serde(default)]
    pub whom: Option<Named>,
    /// Whether [`Event::whom`] is a person.
    #[serde(default)]
    pub is_person: bool,
    /// What the responder answered.
    #[serde(default)]
    pub state: Option<String>,
}

/// What a webhook can tell that an incident's record keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It begins.
    Triggered,
    /// Somebody took it.
    Acknowledged,
    /// Nobody has it any more.
    Unacknowledged,
    /// It is over.
    Resolved,
    /// It is not over after all.
    Reopened,
    /// Somebody else has it.
    Reassigned,
    /// It went to another escalation policy.
    Delegated,
    /// It went one level up.
    Escalated,
    /// It is more or less important.
    PriorityUpdated,
    /// Somebody was asked to help.
    ResponderAdded,
    /// They answered.
    ResponderReplied,
    /// A note was written.
    Annotated,
    /// A status update was sent to whom it concerns.
    StatusUpdatePublished,
}

impl Kind {
    /// All of them, by PagerDuty's `event_type`.
    pub const ALL: [(&str, Self); 13] = [
        ("incident.triggered", Self::Triggered),
        ("incident.acknowledged", Self::Acknowledged),
        ("incident.unacknowledged", Self::Unacknowledged),
        ("incident.resolved", Self::Resolved),
        ("incident.reopened", Self::Reopened),
        ("incident.reassigned", Self::Reassigned),
        ("incident.delegated", Self::Delegated),
        ("incident.escalated", Self::Escalated),
        ("incident.priority_updated", Self::PriorityUpdated),
        ("incident.responder.added", Self::ResponderAdded),
        ("incident.responder.replied", Self::ResponderReplied),
        ("incident.annotated", Self::Annotated),
        (
            "incident.status_update_published",
            Self::StatusUpdatePublished,
        ),
    ];

    /// The kind of that `event_type`; absent for one that nothing is kept of.
    pub fn of(event_type: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(word, _)| *word == event_type)
            .map(|(_, kind)| *kind)
    }

    /// Whether the whole incident comes with it, rather than a reference to it.
    pub fn describes_the_incident(self) -> bool {
        !matches!(
            self,
            Self::ResponderAdded
                | Self::ResponderReplied
                | Self::Annotated
                | Self::StatusUpdatePublished
        )
    }
}

impl Event {
    /// The same without secrets in what people wrote: it is kept for ever (law 10).
    #[must_use]
    pub fn redacted(mut self, rules: &Rules) -> Self {
        let whom = self.whom.iter_mut().map(|whom| &mut whom.name);
        for text in self.text.iter_mut().chain(&mut self.by).chain(whom) {
            *text = rules.redact(text).0.into_owned();
        }
        self.incident = self.incident.redacted(rules);
        self
    }

    /// One line for people: `acknowledged by Tenex Engineer`.
    pub fn line(&self) -> String {
        let by = self
            .by
            .as_deref()
            .map(|by| format!(" by {by}"))
            .unwrap_or_default();
        let has = match self.incident.assignees.as_slice() {
            [] => "nobody".to_owned(),
            names => names.join(", "),
        };
        let whom = self.whom.as_ref().map_or("somebody", |whom| &whom.name);
        let text = self
            .text
            .as_deref()
            .map(|text| format!(": {text}"))
            .unwrap_or_default();
        match self.kind {
            Kind::Triggered => format!(
                "triggered: {}",
                self.incident.title.as_deref().unwrap_or(&self.incident.id)
            ),
            Kind::Acknowledged => format!("acknowledged{by}"),
            Kind::Unacknowledged => format!("no longer acknowledged; {has} has it"),
            Kind::Resolved => format!("resolved{by}"),
            Kind::Reopened => format!("reopened{by}"),
            Kind::Reassigned => format!("reassigned{by}; {has} has it"),
            Kind::Delegated => format!("delegated{by}; {has} has it"),
            Kind::Escalated => format!("escalated{by}; {has} has it"),
            Kind::PriorityUpdated => match &self.incident.priority {
                Some(priority) => format!("priority {priority}{by}"),
                None => format!("no priority any more{by}"),
            },
            Kind::ResponderAdded => format!("{whom} was asked to help{by}{text}"),
            Kind::ResponderReplied => format!(
                "{whom} answered: {}{text}",
                self.state.as_deref().unwrap_or("no word")
            ),
            Kind::Annotated => format!("note{by}{text}"),
            Kind::StatusUpdatePublished => format!("status update{by}{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Event, Kind, Named, PagerDutyIncident, PagerDutyStatus};

    fn event(kind: Kind) -> Event {
        Event {
            id: "01".to_owned(),
            kind,
            at: jiff::Timestamp::UNIX_EPOCH,
            by: Some("Tenex Engineer".to_owned()),
            incident: PagerDutyIncident {
                title: Some("A little bump".to_owned()),
                assignees: vec!["Ana".to_owned(), "Bo".to_owned()],
                priority: Some("P1".to_owned()),
                ..PagerDutyIncident::of_id("PGR0VU2")
            },
            text: Some("please look".to_owned()),
            whom: Some(Named {
                id: "P1".to_owned(),
                name: "Cyd".to_owned(),
            }),
            is_person: true,
            state: Some("joined".to_owned()),
        }
    }

    #[rstest]
    #[case(Kind::Triggered, "triggered: A little bump")]
    #[case(Kind::Acknowledged, "acknowledged by Tenex Engineer")]
    #[case(Kind::Reassigned, "reassigned by Tenex Engineer; Ana, Bo has it")]
    #[case(Kind::PriorityUpdated, "priority P1 by Tenex Engineer")]
    #[case(
        Kind::ResponderAdded,
        "Cyd was asked to help by Tenex Engineer: please look"
    )]
    #[case(Kind::ResponderReplied, "Cyd answered: joined: please look")]
    #[case(Kind::Annotated, "note by Tenex Engineer: please look")]
    fn each_kind_is_a_line(#[case] kind: Kind, #[case] line: &str) {
        assert_eq!(event(kind).line(), line);
    }

    #[test]
    fn what_is_learnt_later_counts_and_what_is_not_told_again_stays() {
        let mut known = event(Kind::Triggered).incident;
        known.url = Some("https://acme.pagerduty.com/incidents/PGR0VU2".to_owned());
        known.learn(&PagerDutyIncident {
            status: Some(PagerDutyStatus::Resolved),
            ..PagerDutyIncident::of_id("PGR0VU2")
        });
        assert!(known.is_resolved() && known.url.is_some() && known.title.is_some());
        assert!(known.assignees.is_empty(), "a resolved one is nobody's");
    }
}
