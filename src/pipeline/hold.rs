//! What a running change holds of the store, as its handler may ask for it.

use anyhow::Context as _;
use futures_util::future::BoxFuture;

use super::Pipeline;
use crate::{
    domain::{ids::OperationId, operation::Operation, records::Touch},
    handlers::hold::Hold,
    store::{Locked, Store},
};

/// One operation's door to its locks. Its end, whoever writes it, lets go of them.
struct Door {
    store: Store,
    id: OperationId,
    fence: u64,
}

impl Pipeline {
    /// The door for an operation held under that fence.
    pub(super) fn door(&self, id: OperationId, fence: u64) -> std::sync::Arc<dyn Hold> {
        std::sync::Arc::new(Door {
            store: self.parts.store.clone(),
            id,
            fence,
        })
    }
}

impl Hold for Door {
    fn lock<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, anyhow::Result<Option<Operation>>> {
        Box::pin(async move {
            let holder = match self
                .store
                .lock_all(names, self.id)
                .await
                .context("cannot take the lock")?
            {
                Locked::Held => return Ok(None),
                Locked::By(holder) => holder,
                Locked::NotYours => self.id, // over already, or another process works on it
            };
            let holder = self
                .store
                .operation(holder)
                .await
                .context("cannot read who holds the lock")?;
            Ok(Some(holder.context("the lock's operation is gone")?))
        })
    }

    fn touch(&self, touch: Touch) -> BoxFuture<'_, anyhow::Result<bool>> {
        Box::pin(async move { Ok(self.store.touch(self.id, self.fence, touch).await?) })
    }
}
