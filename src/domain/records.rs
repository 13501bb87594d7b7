//! The doors between layers: what surfaces submit through, what handlers may read, what the poster drains.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{
    audit::Record,
    handoff::Handoff,
    ids::{Environment, IncidentId, OperationId},
    inbound::{Ack, Delivery},
    incident::{Incident, TimelineEntry},
    message::{Due, Posted},
    operation::Operation,
    roster::Seen,
    story::Story,
};

/// Where everything that comes in is handed over. Returns once it is stored (law 1); nothing slow happens in it.
pub trait Inbox: Send + Sync {
    /// Stores the delivery, or says why it cannot be.
    fn accept(&self, delivery: Delivery) -> BoxFuture<'_, Ack>;
}

/// A freeze: while it holds, every change in that environment is refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Freeze {
    /// Where; absent means everywhere.
    pub environment: Option<Environment>,
    /// Why, in the words of whoever froze it.
    pub why: String,
    /// Who.
    pub by: super::actor::Actor,
    /// When.
    pub at: Timestamp,
}

/// A change that is about to reach a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The node.
    pub node: String,
    /// What is done to it, for people: `restart of hab-sup`.
    pub what: String,
    /// What `--force` overrode, and why.
    pub forced: Option<(String, String)>,
}

/// The change that reached a node last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// What was done to it, for people.
    pub what: String,
    /// By which operation.
    pub operation: OperationId,
    /// Who asked for it.
    pub by: super::actor::Actor,
    /// When.
    pub at: Timestamp,
}

/// The read-only view of habops' own memory that handlers get.
pub trait Records: Send + Sync {
    /// One operation.
    fn operation(&self, id: OperationId) -> BoxFuture<'_, anyhow::Result<Option<Operation>>>;
    /// The newest operations, newest first.
    fn operations(
        &self,
        incident: Option<IncidentId>,
        limit: usize,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Operation>>>;
    /// Operations that wait for a yes, oldest first.
    fn awaiting(&self) -> BoxFuture<'_, anyhow::Result<Vec<Operation>>>;
    /// One incident.
    fn incident(&self, id: IncidentId) -> BoxFuture<'_, anyhow::Result<Option<Incident>>>;
    /// Open incidents, or all of them, newest first.
    fn incidents(
        &self,
        closed_too: bool,
        limit: usize,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Incident>>>;
    /// Everything about an incident, for its export.
    fn story(&self, id: IncidentId) -> BoxFuture<'_, anyhow::Result<Option<Story>>>;
    /// An incident's timeline, oldest first.
    fn timeline(&self, id: IncidentId) -> BoxFuture<'_, anyhow::Result<Vec<TimelineEntry>>>;
    /// Operations that change something and were begun since then, newest first.
    fn changes_since(&self, since: Timestamp) -> BoxFuture<'_, anyhow::Result<Vec<Operation>>>;
    /// What was last seen of each schedule that is watched.
    fn on_call(&self) -> BoxFuture<'_, anyhow::Result<Vec<Seen>>>;
    /// The newest handoff of each schedule, accepted or not.
    fn handoffs(&self) -> BoxFuture<'_, anyhow::Result<Vec<Handoff>>>;
    /// What is frozen now.
    fn freezes(&self) -> BoxFuture<'_, anyhow::Result<Vec<Freeze>>>;
    /// The operation that holds the first of these locks that is held.
    fn lock_holder<'a>(
        &'a self,
        names: &'a [String],
    ) -> BoxFuture<'a, anyhow::Result<Option<OperationId>>>;
    /// The change that reached a node last.
    fn touched<'a>(&'a self, node: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Touched>>>;
    /// The newest audit records, newest first.
    fn audit(&self, limit: usize) -> BoxFuture<'_, anyhow::Result<Vec<Record>>>;
}

/// The outbox as the poster sees it.
pub trait Outbox: Send + Sync {
    /// Claims up to `limit` wishes that are due for this process, most urgent lane first, and marks them doubtful until settled.
    fn claim(&self, limit: usize) -> BoxFuture<'_, anyhow::Result<Vec<Due>>>;
    /// Says what came of a claimed wish.
    fn settle<'a>(&'a self, due: &'a Due, posted: Posted) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Returns when there may be something new to claim, or after a while.
    fn wait(&self) -> BoxFuture<'_, ()>;
}
