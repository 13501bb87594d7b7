//! Incidents: what binds operations, places and people together while something is wrong.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    actor::Actor,
    ids::{ChannelId, IncidentId, MessageTs, OperationId},
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
}
