//! What a change holds of habops' memory while it runs: named locks, and the record that it reaches a node.

use futures_util::future::BoxFuture;

use super::{Result, Work};
use crate::domain::{failure::Refusal, operation::Operation, records::Touch};

/// The pipeline's side of it, for the operation of one [`Work`].
pub trait Hold: Send + Sync {
    /// Takes all of these locks until the operation ends, or none; then the operation that has one of them.
    fn lock<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, anyhow::Result<Option<Operation>>>;

    /// Writes that the node is touched now. `false` where another process has taken over the operation.
    fn touch(&self, touch: Touch) -> BoxFuture<'_, anyhow::Result<bool>>;
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
}
