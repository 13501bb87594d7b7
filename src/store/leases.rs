//! Who works on an operation. A process that lives says so again and again, for each operation that it really works on: what it has
//! lost sight of lapses, as if the process were gone, and is recovered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{named_params, params};

use super::{
    Error, Store,
    operations::ACTIVE,
    rows::{int, ns},
};
use crate::domain::ids::OperationId;

/// How long a process is believed to live after it last said so.
pub const LEASE: Duration = Duration::from_secs(20);

/// What this process works on, and how many of its tasks do.
pub(super) type Works = Arc<Mutex<HashMap<OperationId, usize>>>;

/// While it lives this process works on the operation, and [`Store::renew`] says so.
#[derive(Debug)]
pub struct AtWork {
    works: Works,
    id: OperationId,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut works = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = works.get_mut(&self.id) {
            *tasks -= 1;
            if *tasks == 0 {
                works.remove(&self.id);
            }
        }
    }
}

impl Store {
    /// Keeps the lease of an operation that this process owns for as long as what is returned lives.
    pub fn at_work(&self, id: OperationId) -> AtWork {
        let works = Arc::clone(&self.inner.works);
        let mut tasks = works.lock().unwrap_or_else(PoisonError::into_inner);
        *tasks.entry(id).or_default() += 1;
        drop(tasks);
        AtWork { works, id }
    }

    fn works(&self) -> Vec<u64> {
        let works = self.inner.works.lock();
        let works = works.unwrap_or_else(PoisonError::into_inner);
        works.keys().map(|id| id.0).collect()
    }

    /// Whether this process works on it, whatever its lease says.
    pub fn is_at_work(&self, id: OperationId) -> bool {
        let works = self.inner.works.lock();
        works
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&id)
    }

    /// Says that this process lives: renews the lease of all it works on, and counts them. Every five seconds.
    pub async fn renew(&self) -> Result<usize, Error> {
        let ids = self.works();
        if ids.is_empty() {
            return Ok(0);
        }
        self.write(move |tx| {
            let sql = format!(
                "UPDATE operations SET lease_until = ?1 WHERE {ACTIVE} AND owner = ?2 \
                 AND id IN (SELECT value FROM json_each(?3))"
            );
            Ok(tx.conn.prepare_cached(&sql)?.execute(params![
                ns(tx.now + LEASE),
                tx.owner.as_str(),
                super::rows::json(&ids)?
            ])?)
        })
        .await
    }

    /// Makes this process the owner of a lapsed operation; the new fence, or nothing where another was faster.
    pub async fn take_over(&self, id: OperationId, fence: u64) -> Result<Option<u64>, Error> {
        self.write(move |tx| {
            let sql = format!(
                "UPDATE operations SET owner = :owner, lease_until = :until, fence = fence + 1 WHERE id = :id \
                 AND fence = :fence AND {ACTIVE} AND (lease_until IS NULL OR lease_until <= :now)"
            );
            let taken = tx.conn.prepare_cached(&sql)?.execute(named_params! {
                ":owner": tx.owner.as_str(),
                ":until": ns(tx.now + LEASE),
                ":now": ns(tx.now),
                ":id": int(id.0),
                ":fence": int(fence),
            })?;
            Ok((taken == 1).then_some(fence + 1))
        })
        .await
    }

    /// Whether this process still holds it under that fence and its lease has not lapsed: asked before each node is touched.
    pub async fn holds(&self, id: OperationId, fence: u64) -> Result<bool, Error> {
        let (owner, now) = (self.owner().clone(), ns(self.now()));
        self.read(move |conn| {
            conn.prepare_cached(&format!(
                "SELECT 1 FROM operations WHERE id = ?1 AND fence = ?2 AND owner = ?3 AND lease_until > ?4 AND {ACTIVE}"
            ))?
            .exists(params![int(id.0), int(fence), owner.as_str(), now])
        })
        .await
    }
}
