//! Where something was said, and where an answer goes.

use serde::{Deserialize, Serialize};

use super::ids::{ChannelId, MessageTs};

/// A channel, or a thread in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The channel.
    pub channel: ChannelId,
    /// The thread's root, where it is a thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<MessageTs>,
}

impl Place {
    /// The channel itself.
    pub fn channel(channel: impl Into<ChannelId>) -> Self {
        Self {
            channel: channel.into(),
            thread: None,
        }
    }

    /// A thread of a channel.
    pub fn thread(channel: impl Into<ChannelId>, root: impl Into<MessageTs>) -> Self {
        Self {
            channel: channel.into(),
            thread: Some(root.into()),
        }
    }
}

/// Where and how something was typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whence {
    /// In Slack.
    Slack {
        /// The channel or thread.
        place: Place,
    },
    /// At a terminal.
    Terminal,
    /// By a machine: PagerDuty or the clock.
    Machine,
}

impl Whence {
    /// The place in Slack, where there is one.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Slack { place, .. } => Some(place),
            _ => None,
        }
    }
}
