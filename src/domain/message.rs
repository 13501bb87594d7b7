//! What is to be seen in Slack: the rows of the outbox.
//!
//! A row is a *wish*: "a message with this key shows this output". A newer wish for the same key replaces an older one that
//! was not sent yet, which is how edits coalesce; the poster brings Slack to the newest wish and keeps the message's `ts`.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    actor::Actor,
    ids::{ChannelId, IncidentId, MessageTs, OperationId, UserId},
    journey::Redacted,
};

/// The key of one visible thing: `op-17`, `op-17:end`, `op-17:file:0`, `op-17:link`, `inc-3:card`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageKey(pub String);

impl MessageKey {
    /// An operation's root message.
    pub fn operation(operation: OperationId) -> Self {
        Self(operation.to_string())
    }

    /// Something that belongs to an operation: `op-17:<what>`.
    pub fn of_operation(operation: OperationId, what: &str) -> Self {
        Self(format!("{operation}:{what}"))
    }

    /// An incident's card.
    pub fn card(incident: IncidentId) -> Self {
        Self(format!("{incident}:card"))
    }
}

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The channel.
    pub channel: ChannelId,
    /// The thread, if any.
    pub thread: Under,
}

/// Which thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Under {
    /// None: the channel itself.
    Channel,
    /// Under that message.
    Ts(MessageTs),
    /// Under a message of ours that may not be posted yet; this one waits for it.
    Key(MessageKey),
}

/// What kind of visible thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// A message, edited in place when its wish changes.
    Message,
    /// Only that person sees it. Tried by the operation's reply address first. Cannot be read back, so a doubtful one is said again in a direct message, which can.
    Ephemeral(UserId),
    /// A file in the thread.
    File {
        /// File name.
        name: String,
        /// Its whole redacted text.
        text: String,
    },
    /// Pins the message of that key.
    Pin(MessageKey),
}

/// Which goes first when there is a queue: confirmations, then ends, then everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// A card that asks, an incident's card, an announcement.
    Confirm,
    /// An end.
    Verdict,
    /// Progress; may be skipped when a newer one is there.
    Progress,
}

/// A wish as written by the pipeline.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which visible thing.
    pub key: MessageKey,
    /// Where.
    pub to: Destination,
    /// What kind.
    pub carrier: Carrier,
    /// In which lane.
    pub lane: Lane,
    /// What it shows.
    pub output: Redacted,
    /// Whose it is.
    pub about: About,
}

/// Whose message it is: becomes the message's metadata and its context line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The operation.
    pub operation: Option<OperationId>,
    /// The incident.
    pub incident: Option<IncidentId>,
    /// The operation's state word at that moment.
    pub state: String,
    /// Who asked.
    pub actor: Actor,
    /// What was typed, normalised.
    pub typed: String,
    /// When it was asked.
    pub at: Timestamp,
    /// Done at a terminal while Slack was away.
    #[serde(default)]
    pub back_filled: bool,
}

/// A wish as handed to the poster.
#[derive(Debug)]
pub struct Due {
    /// Row id; names the claim.
    pub row: i64,
    /// Which visible thing.
    pub key: MessageKey,
    /// The channel.
    pub channel: ChannelId,
    /// The thread, resolved.
    pub thread: Option<MessageTs>,
    /// What kind.
    pub carrier: Carrier,
    /// The message's own time stamp, if it is posted already: then it is an edit. For [`Carrier::Pin`] the message to pin.
    pub posted: Option<MessageTs>,
    /// The wish's number; goes into the metadata as `seq`.
    pub seq: u64,
    /// In which lane.
    pub lane: Lane,
    /// What it shows.
    pub output: Redacted,
    /// Whose it is.
    pub about: About,
    /// A previous try may have got through: read back before posting again.
    pub doubtful: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// Where an ephemeral may go first. A credential.
    pub reply: Option<SecretString>,
}

/// What the poster says of a wish it tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is there.
    Sent {
        /// Its time stamp, where it has one.
        ts: Option<MessageTs>,
    },
    /// Surely not there; try again after this long.
    NotDone {
        /// How long to wait.
        retry_after: Option<Duration>,
        /// Why, for `/readyz` and the log.
        why: String,
    },
    /// Not tried at all, because it is not its turn (edits are paced, a bucket is empty): comes back after this long, as it was.
    Later {
        /// How long to wait.
        after: Duration,
    },
    /// May be there; read back before the next try.
    Doubtful {
        /// Why.
        why: String,
    },
    /// Will never get there; the sentence says what a person can do.
    Refused {
        /// Plain advice.
        advice: String,
    },
}
