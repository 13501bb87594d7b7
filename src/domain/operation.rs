//! An operation: one command's journey, as the store keeps it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    actor::Actor,
    command::Confirm,
    ids::{CommandName, Environment, IncidentId, OperationId, Owner},
    inbound::Via,
    node::Node,
    output::Output,
    place::{Place, Whence},
};

/// Where an operation stands (design section 7). Each step is a compare-and-swap on its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Stored, not looked at yet.
    Received,
    /// May not, or typed wrong.
    Refused,
    /// Waits for the asker to say which incident.
    Choosing,
    /// Waits for a yes.
    Awaiting,
    /// Has its yes; about to run.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody said anything in time.
    Expired,
    /// Under way.
    Running,
    /// Ended well.
    Done,
    /// Ended well in part.
    Partly,
    /// Ended badly.
    Failed,
    /// Stopped by a person.
    Cancelled,
    /// The program ended in the middle.
    Interrupted,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 13] = [
        Self::Received,
        Self::Refused,
        Self::Choosing,
        Self::Awaiting,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Running,
        Self::Done,
        Self::Partly,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// The word kept in the store and shown by `do --json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Refused => "refused",
            Self::Choosing => "choosing",
            Self::Awaiting => "awaiting",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Running => "running",
            Self::Done => "done",
            Self::Partly => "partly",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// The state of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nothing more will happen to it.
    pub fn is_end(self) -> bool {
        !matches!(
            self,
            Self::Received | Self::Choosing | Self::Awaiting | Self::Approved | Self::Running
        )
    }

    /// Whether the step from here to there is one of design section 7.
    pub fn may_become(self, next: Self) -> bool {
        use State::{
            Approved, Awaiting, Cancelled, Choosing, Denied, Done, Expired, Failed, Interrupted,
            Partly, Received, Refused, Running,
        };
        match self {
            Received => matches!(
                next,
                Refused | Choosing | Awaiting | Running | Failed | Cancelled | Interrupted
            ),
            Choosing => matches!(next, Received | Expired | Cancelled | Refused),
            Awaiting => matches!(next, Approved | Denied | Expired | Cancelled | Refused),
            Approved => matches!(next, Running | Refused | Failed | Cancelled | Interrupted),
            Running => matches!(
                next,
                Done | Partly | Failed | Cancelled | Interrupted | Refused
            ),
            Refused | Denied | Expired | Done | Partly | Failed | Cancelled | Interrupted => false,
        }
    }
}

/// One operation, as kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// `op-17`.
    pub id: OperationId,
    /// What was typed, normalised, secrets masked.
    pub text: String,
    /// The command it was understood as; absent where it was not.
    pub command: Option<CommandName>,
    /// Who asked.
    pub actor: Actor,
    /// Where it was typed.
    pub whence: Whence,
    /// How.
    pub via: Via,
    /// Where it stands.
    pub state: State,
    /// When it came in.
    pub received_at: Timestamp,
    /// When it began to run.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The incident that hears of it.
    pub incident: Option<IncidentId>,
    /// Where its answer goes; absent for a terminal with no incident.
    pub answer: Option<Place>,
    /// Whether a change was begun: `started` is in the audit.
    pub changes: bool,
    /// Environments it touches.
    pub environments: BTreeSet<Environment>,
    /// The nodes it was authorized for.
    pub nodes: Vec<Node>,
    /// What would be done, and what the card showed; present from `awaiting` on.
    pub proposal: Option<StoredProposal>,
    /// The process that works on it.
    pub owner: Option<Owner>,
    /// Until when that process is believed to live.
    pub lease_until: Option<Timestamp>,
    /// Counts the owners it had; checked before each node is touched.
    pub fence: u64,
    /// A person asked for it to stop.
    pub cancel_requested: bool,
    /// The redacted answer, once there is one.
    pub output: Option<Output>,
    /// What redaction removed from it.
    pub redacted: u64,
    /// The incident named with `--incident` or chosen with a button.
    pub chosen: Option<IncidentId>,
    /// Whoever waits at the terminal said yes beforehand (`--yes`).
    #[serde(default)]
    pub yes: bool,
    /// Until when it waits in `choosing` or `awaiting`.
    #[serde(default)]
    pub waits_until: Option<Timestamp>,
}

impl Operation {
    /// One that has just been stored.
    pub fn received(
        id: OperationId,
        text: String,
        command: Option<CommandName>,
        actor: Actor,
        whence: Whence,
        via: Via,
        received_at: Timestamp,
    ) -> Self {
        Self {
            id,
            text,
            command,
            actor,
            whence,
            via,
            state: State::Received,
            received_at,
            started_at: None,
            ended_at: None,
            incident: None,
            answer: None,
            changes: false,
            environments: BTreeSet::new(),
            nodes: Vec::new(),
            proposal: None,
            owner: None,
            lease_until: None,
            fence: 1,
            cancel_requested: false,
            output: None,
            redacted: 0,
            chosen: None,
            waits_until: None,
            yes: false,
        }
    }
}

/// A plan that waits for its yes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredProposal {
    /// The handler's plan.
    pub plan: Value,
    /// What the card shows, redacted.
    pub preview: Output,
    /// What the world looked like; read again at the click (law 4).
    pub fingerprint: Value,
    /// Who must say yes.
    pub confirm: Confirm,
    /// Until when.
    pub expires_at: Timestamp,
    /// Who said yes, and when.
    pub approved_by: Option<(Actor, Timestamp)>,
    /// The person a `named:<arg>` confirmation means.
    #[serde(default)]
    pub named: Option<String>,
}

/// What a button stands for. Single use: `used_by` is set by a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The opaque id.
    pub id: super::ids::OfferId,
    /// Which button.
    pub action: super::output::Action,
    /// The operation it belongs to.
    pub operation: Option<OperationId>,
    /// The command it enters, as typed.
    pub command: Option<String>,
    /// The incident it chooses.
    pub incident: Option<IncidentId>,
    /// Until when it counts.
    pub expires_at: Option<Timestamp>,
    /// Who used it.
    pub used_by: Option<Actor>,
}
