//! What a change holds of habops' memory while it runs: named locks, and the record that it reaches a node.

use futures_util::future::BoxFuture;

use super::{Look, Result, Work};
use crate::domain::{
    failure::Refusal, node::Node, operation::Operation, records::Touch, service::Services,
};

/// The unit of every node's Supervisor.
pub const SUPERVISOR: &str = "hab-sup";

/// The pipeline's side of it, for the operation of one [`Work`].
pub trait Hold: Send + Sync {
    /// Takes all of these locks until the operation ends, or none; then the operation that has one of them.
    fn lock<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, anyhow::Result<Option<Operation>>>;

    /// Writes that the node is touched now. `false` where another process has taken over the operation.
    fn touch(&self, touch: Touch) -> BoxFuture<'_, anyhow::Result<bool>>;
}

impl Look {
    /// Refused where another operation has one of these locks: earlier than the change itself could tell.
    pub async fn nobody_holds(&self, names: &[String]) -> Result<()> {
        let Some(holder) = self.records.lock_holder(names).await? else {
            return Ok(());
        };
        match self.records.operation(holder).await? {
            Some(holder) => Err(held_by(&holder).into()),
            None => Ok(()),
        }
    }
}

impl Work {
    /// Takes all of these locks until the operation ends. Refused where another operation has one of them.
    pub async fn lock(&self, names: &[String]) -> Result<()> {
        match self.hold.lock(names).await? {
            None => Ok(()),
            Some(holder) => Err(held_by(&holder).into()),
        }
    }

    /// Writes, in the audit too, that a change reaches a node now. Asked before each node is touched, as
    /// [`may_touch`](Self::may_touch) is, which it includes.
    pub async fn touch(&self, touch: Touch) -> std::result::Result<(), String> {
        match self.hold.touch(touch).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("not begun: another process has taken over this operation".to_owned()),
            Err(error) => Err(format!("not begun: it cannot be recorded: {error:#}")),
        }
    }
}

/// Says who holds what is asked for, and how to look at it.
pub fn held_by(holder: &Operation) -> Refusal {
    let since = holder
        .started_at
        .map(|at| format!(" since {}", at.strftime("%H:%M:%S UTC")))
        .unwrap_or_default();
    let id = holder.id;
    Refusal::not_now(format!(
        "{id} by {} is at it{since}: {}. Wait for its end, or `cancel {id}`.",
        holder.actor, holder.text
    ))
    .or_else(format!("why {id}"), format!("why {id}"))
    .because_of(id)
}

/// The name of the lock of one service on a node; the Supervisor is one of them.
pub fn lock_of(node: &Node, service: &str) -> String {
    format!("node:{}:{service}", node.name)
}

/// The names of the locks of all that can run on a node: of its Supervisor, and of every service of the fleet.
pub fn locks_of_whole(node: &Node, services: &Services) -> Vec<String> {
    let services = services.iter().map(|(_, service)| service.name.as_str());
    let all = std::iter::once(SUPERVISOR).chain(services);
    all.map(|service| lock_of(node, service)).collect()
}
