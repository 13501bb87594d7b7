//! Incidents: what binds operations, places and people together while something is wrong.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    actor::Actor,
    ids::{ChannelId, IncidentId, MessageTs, OperationId, UserId},
    paging::PagerDutyIncident,
    place::Place,
};

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// `inc-17`.
    pub id: IncidentId,
    /// What is wrong, in the words of whoever opened it.
    pub title: String,
    /// Open or closed.
    pub state: IncidentState,
    /// Who opened it.
    pub opened_by: Actor,
    /// When.
    pub opened_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Where its answers go.
    pub home: Home,
    /// More channels and threads that are bound to it.
    pub links: Vec<Place>,
    /// Who leads; the card names them.
    #[serde(default)]
    pub lead: Option<UserId>,
    /// Who keeps the notes.
    #[serde(default)]
    pub scribe: Option<UserId>,
    /// PagerDuty's incidents that belong to it, oldest first.
    #[serde(default)]
    pub pagerduty: Vec<PagerDutyIncident>,
    /// How often PagerDuty triggered for it; in a storm more than are kept.
    #[serde(default)]
    pub triggers: u64,
}

/// What a person can be in an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Leads.
    Lead,
    /// Keeps the notes.
    Scribe,
}

impl Part {
    /// `lead`, `scribe`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Scribe => "scribe",
        }
    }
}

/// Open or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// Under way.
    Open,
    /// Over.
    Closed,
}

/// Where an incident lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Home {
    /// In a thread under its own card; the card's time stamp is known once it is posted.
    Card {
        /// The channel of the card.
        channel: ChannelId,
        /// The card's time stamp, once posted.
        ts: Option<MessageTs>,
    },
    /// In a whole channel.
    Channel(ChannelId),
    /// Nowhere in Slack: opened at a terminal before Slack knew of it.
    Nowhere,
}

impl Incident {
    /// One that has just been opened.
    pub fn opened(id: IncidentId, title: String, by: Actor, at: Timestamp, home: Home) -> Self {
        Self {
            id,
            title,
            state: IncidentState::Open,
            opened_by: by,
            opened_at: at,
            closed_at: None,
            home,
            links: Vec::new(),
            lead: None,
            scribe: None,
            pagerduty: Vec::new(),
            triggers: 0,
        }
    }

    /// The newest of PagerDuty's incidents that is not resolved, or else the newest: what the card's buttons are about.
    pub fn page(&self) -> Option<&PagerDutyIncident> {
        let mut newest_first = self.pagerduty.iter().rev();
        newest_first
            .clone()
            .find(|page| !page.is_resolved())
            .or_else(|| newest_first.next())
    }

    /// Whether it is bound to that place itself: its card's thread, or a thread that was linked. A thread of its own goes
    /// before the channel that the thread is in.
    pub fn holds_thread(&self, place: &Place) -> bool {
        let Some(thread) = &place.thread else {
            return false;
        };
        let card = matches!(&self.home, Home::Card { channel, ts: Some(ts) } if *channel == place.channel && ts == thread);
        card || self.links.contains(place)
    }

    /// Whether it lives in that channel, as a whole or in a thread there.
    pub fn lives_in(&self, channel: &ChannelId) -> bool {
        let home = match &self.home {
            Home::Card { channel, .. } | Home::Channel(channel) => Some(channel),
            Home::Nowhere => None,
        };
        home == Some(channel) || self.links.iter().any(|link| link.channel == *channel)
    }

    /// Whether that place is bound to this incident: its home, a link, or any thread of a bound channel.
    pub fn holds(&self, place: &Place) -> bool {
        let home = match &self.home {
            Home::Card { channel, ts } => {
                place.channel == *channel && place.thread.is_some() && place.thread == *ts
            }
            Home::Channel(channel) => place.channel == *channel,
            Home::Nowhere => false,
        };
        home || self.links.iter().any(|link| {
            link.channel == place.channel && (link.thread.is_none() || link.thread == place.thread)
        })
    }
}

/// One line of an incident's timeline. Only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// The incident.
    pub incident: IncidentId,
    /// When it happened, UTC.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What kind of line.
    pub kind: EntryKind,
    /// The line.
    pub text: String,
    /// The operation it tells of.
    pub operation: Option<OperationId>,
}

/// Kinds of timeline lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// Opened, linked, closed.
    Incident,
    /// A person's note.
    Note,
    /// An operation's start.
    Started,
    /// An operation's end.
    Ended,
    /// Who said yes or no to what.
    Decision,
    /// What PagerDuty told.
    #[serde(rename = "pagerduty")]
    PagerDuty,
}
