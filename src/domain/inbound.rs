//! The three things that come in: words, a button, a happening.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{
    actor::Actor,
    ids::{ChannelId, IncidentId, MessageTs, OfferId, OperationId},
    journey::Redacted,
    output::{Action, Output},
    paging,
    place::{Place, Whence},
    roster::{Change, Schedule, Seen, Shift},
};

/// Something that came in. `key` makes a second delivery of it recognisable (law 2).
#[derive(Debug)]
pub struct Delivery {
    /// `slack:trigger:<trigger_id>`, `slack:event:<event_id>`, `pagerduty:<X-Webhook-Id>`, `terminal:<random>`.
    pub key: String,
    /// When it came in.
    pub received: Timestamp,
    /// What it is.
    pub inbound: Inbound,
}

/// What came in.
#[derive(Debug)]
pub enum Inbound {
    /// Words.
    Typed(Typed),
    /// A button.
    Pressed(Pressed),
    /// Something that happened by itself.
    Signal(Signal),
}

/// Words that a person typed, in Slack or at a terminal, as the client sent them.
#[derive(Debug)]
pub struct Typed {
    /// The text after `/habops` or the mention; not normalised.
    pub text: String,
    /// Who.
    pub actor: Actor,
    /// Where.
    pub whence: Whence,
    /// How.
    pub via: Via,
    /// Where an ephemeral answer can be sent for 30 minutes. A credential: never logged.
    pub reply: Option<SecretString>,
    /// The message that held the words, for a mention or a shortcut.
    pub message: Option<MessageTs>,
    /// Whoever waits at the terminal says yes to `confirm = "self"` (`--yes`).
    pub yes: bool,
    /// The words before the mention of us: it came in the middle of a sentence, and maybe no command was meant.
    pub in_passing: bool,
}

/// How words were typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// `/habops …`
    Slash,
    /// `@habops …`
    Mention,
    /// The message shortcut.
    Shortcut,
    /// `habops do …`
    Terminal,
    /// A stored command behind a button.
    Button,
    /// A signal.
    Signal,
}

/// A button that a person pressed.
#[derive(Debug)]
pub struct Pressed {
    /// Which button it says it is.
    pub action: Action,
    /// Its opaque value.
    pub offer: OfferId,
    /// Who pressed it.
    pub actor: Actor,
    /// Where the message with the button is.
    pub place: Place,
    /// That message.
    pub message: Option<MessageTs>,
    /// Where an ephemeral answer can be sent for 30 minutes. A credential: never logged.
    pub reply: Option<SecretString>,
}

/// Something that happened by itself. May only look (design section 3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Signal {
    /// A confirmation's or a choice's time is over.
    Expired {
        /// The operation that waited.
        operation: OperationId,
    },
    /// Slack will not show something that nobody was told of yet.
    Undelivered,
    /// The incident's card shows a state that the incident has left.
    Behind {
        /// Which incident.
        incident: IncidentId,
    },
    /// The process that worked on it has not renewed its lease.
    Lapsed {
        /// The operation left behind.
        operation: OperationId,
    },
    /// Other people are on call than when it was last looked.
    ShiftChanged {
        /// The memo of the last look, exactly as it is kept.
        before: serde_json::Value,
        /// What is seen now.
        after: Box<Seen>,
        /// What changed in between, oldest first.
        changes: Vec<Change>,
    },
    /// Nobody accepted a handoff in time.
    HandoffUnaccepted {
        /// On which schedule.
        schedule: String,
    },
    /// Somebody's shift begins soon.
    ShiftSoon {
        /// On which schedule.
        schedule: Schedule,
        /// Whose, and when.
        shift: Box<Shift>,
        /// The memo of the last reminder, exactly as it is kept.
        before: Option<serde_json::Value>,
    },
    /// PagerDuty told of something.
    PagerDuty {
        /// What.
        event: Box<paging::Event>,
    },
    /// A person came into a channel.
    Joined {
        /// Who.
        who: Actor,
        /// Where.
        channel: ChannelId,
    },
    /// A person marked a message, to keep it on an incident's timeline.
    Marked {
        /// Who.
        by: Actor,
        /// Where the message is.
        channel: ChannelId,
        /// The message.
        message: MessageTs,
        /// How.
        how: Mark,
    },
    /// Something that was heard and stored still waits to be dealt with.
    Waiting,
}

/// How a message was marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Pinned.
    Pin,
    /// With this emoji.
    Reaction(String),
    /// With the shortcut in its menu: surely meant for us.
    Shortcut,
}

impl Signal {
    /// Whether it comes from outside and is heard once: it is stored before it is acknowledged, and dealt with after.
    pub fn is_kept(&self) -> bool {
        matches!(
            self,
            Self::PagerDuty { .. } | Self::Joined { .. } | Self::Marked { .. }
        )
    }

    /// A second key that tells a redelivery, besides the delivery's own.
    pub fn key(&self) -> Option<String> {
        match self {
            Self::PagerDuty { event } => Some(format!("pagerduty:event:{}", event.id)),
            _ => None,
        }
    }
}

/// What the surface tells the sender at once: the acknowledgement.
pub enum Ack {
    /// Stored and under way; the output is the placeholder, shown to the asker alone.
    Accepted {
        /// The operation that was made of it, where one was.
        operation: Option<OperationId>,
        /// What was understood and where the answer comes; absent for a button.
        said: Option<Output>,
    },
    /// Came before; nothing is done again.
    Duplicate,
    /// Cannot be stored (law 1).
    Unstored {
        /// Says so, and names the file.
        said: Output,
        /// A look is answered all the same, to the asker alone and marked *unrecorded*.
        later: Option<BoxFuture<'static, Redacted>>,
    },
}
