//! Identities as types of their own, so that a channel cannot be passed where a person is meant.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the outside's own word; nothing is checked.
            pub fn new(word: impl Into<String>) -> Self {
                Self(word.into())
            }

            /// The outside's own word.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                Self(word.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                Self(word)
            }
        }
    )+};
}

text_id! {
    /// A Slack workspace, `T…`.
    TeamId;
    /// A Slack person, `U…` or `W…`: the immutable id, never the name.
    UserId;
    /// A Slack channel, direct message or group, `C…`, `D…`, `G…`.
    ChannelId;
    /// A Slack message's time stamp, which is its id within a channel.
    MessageTs;
    /// A Slack user group, `S…`.
    GroupId;
    /// The opaque id a button carries. It says nothing and can be guessed by nobody.
    OfferId;
    /// `live`, `acceptance`: the `X-Environment` tag.
    Environment;
    /// What a node is for: `api`, `worker`, `datastore` …
    NodeRole;
    /// A word of the policy: `member`, `operator`, `release` …
    Role;
    /// A node's friendly name, `live-builder-api-0`.
    NodeName;
    /// A command's name as typed, words joined by one space: `incident open`.
    CommandName;
    /// One run of the program, random; owns leases.
    Owner;
}

impl ChannelId {
    /// Whether it is a conversation of one person with the bot, which nobody else can read.
    pub fn is_direct(&self) -> bool {
        self.0.starts_with('D')
    }
}

macro_rules! numbered_id {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}"), self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl FromStr for $name {
            type Err = String;

            /// Takes the id with or without its prefix, in any case.
            fn from_str(text: &str) -> Result<Self, String> {
                let lower = text.trim().to_ascii_lowercase();
                let digits = lower.strip_prefix(concat!($prefix, "-")).unwrap_or(&lower);
                digits
                    .parse()
                    .map(Self)
                    .map_err(|_| format!(concat!("`{}` is not an id like `", $prefix, "-17`"), text))
            }
        }
    )+};
}

numbered_id! {
    /// One command's journey, `op-17`: short enough to type on a phone.
    OperationId "op";
    /// An incident, `inc-17`: it carries the number of the operation that opened it, so no second counter can disagree.
    IncidentId "inc";
}
