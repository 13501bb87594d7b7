//! Who does something, and what is known of them at that moment.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::ids::{Role, TeamId, UserId};

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// A person in Slack.
    Person {
        /// Their workspace.
        team: TeamId,
        /// Their immutable id.
        user: UserId,
    },
    /// Whoever may run `habops do` on the machine.
    Console {
        /// The login name, for the record only.
        login: String,
    },
    /// habops by the clock. May look, never change.
    Habops,
    /// PagerDuty's webhook. May look, never change.
    #[serde(rename = "pagerduty")]
    PagerDuty,
}

impl Actor {
    /// A Slack person.
    pub fn person(team: impl Into<TeamId>, user: impl Into<UserId>) -> Self {
        Self::Person {
            team: team.into(),
            user: user.into(),
        }
    }

    /// The Slack user id, for a person.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Person { user, .. } => Some(user),
            _ => None,
        }
    }
}

impl fmt::Display for Actor {
    /// `<@U…>` for a person: the renderer makes a name of it where it can.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person { user, .. } => write!(f, "<@{user}>"),
            Self::Console { login } => write!(f, "{login} at the console"),
            Self::Habops => f.write_str("habops"),
            Self::PagerDuty => f.write_str("PagerDuty"),
        }
    }
}

/// What Slack says of a person. An absent flag counts as the worse case (law 7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Their workspace.
    pub team: Option<TeamId>,
    /// Their name, for people.
    pub name: String,
    /// Whether Slack says this is a bot.
    pub is_bot: Option<bool>,
    /// A guest of several channels.
    pub is_restricted: Option<bool>,
    /// A guest of one channel.
    pub is_ultra_restricted: Option<bool>,
    /// From a workspace that shares no channel with ours.
    pub is_stranger: Option<bool>,
    /// Deactivated.
    pub deleted: Option<bool>,
    /// IANA time zone, for local times.
    pub time_zone: Option<String>,
    /// E-mail, to find the PagerDuty user.
    pub email: Option<String>,
}

/// What an actor is and may be at one moment: the input of every permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub actor: Actor,
    /// Whether they are one of us at all.
    pub membership: Membership,
    /// The roles they hold now; they do not imply each other.
    pub roles: BTreeSet<Role>,
}

/// Whether an actor is one of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// A full member of the bot's own workspace.
    Full,
    /// At the console, with the policy's console roles.
    Console,
    /// A machine: may look, never change.
    Machine,
    /// Nobody of ours; the sentence says why.
    Outside(String),
}

impl Membership {
    /// Whether this profile is a full member of that workspace. Anything unknown is a no.
    pub fn of(profile: Option<&Profile>, team: &TeamId, home: &TeamId) -> Self {
        let outside = |why: &str| Self::Outside(why.to_owned());
        if team != home {
            return outside(
                "only people of this workspace may use habops; you come from another one",
            );
        }
        let Some(profile) = profile else {
            return outside("Slack does not know you, so habops cannot tell what you may do");
        };
        if profile.team.as_ref().is_some_and(|of| of != home) {
            return outside(
                "only people of this workspace may use habops; you come from another one",
            );
        }
        if profile.deleted != Some(false) {
            return outside(
                "your Slack account is deactivated, or Slack does not say that it is active",
            );
        }
        if profile.is_bot != Some(false) {
            return outside("bots may not use habops");
        }
        if profile.is_restricted != Some(false) || profile.is_ultra_restricted != Some(false) {
            return outside("guests may not use habops; ask a full member of the workspace");
        }
        // Slack leaves `is_stranger` out for members of the own workspace, whose team was compared above.
        if profile.is_stranger == Some(true) {
            return outside(
                "only people of this workspace may use habops; you come from another one",
            );
        }
        Self::Full
    }
}
