//! habops' own and only memory: operations, offers, deliveries, the outbox, incidents, locks, the audit (design section 7).
//!
//! One `SQLite` file, safe for several processes. One thread writes (group commit), a few connections read. Every
//! step of an operation is a compare-and-swap in one transaction with what is said about it; nothing true is kept in the process.

mod accept;
mod chain;
mod claim;
mod effects;
mod error;
mod incidents;
mod leases;
mod locks;
mod memos;
mod offers;
mod open;
mod operations;
mod outbox;
mod queue;
mod readers;
mod records;
mod rows;
mod settle;
mod signals;
mod step;
mod sweep;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use self::{
    accept::{Accept, Accepted, MakeWishes},
    error::Error,
    leases::{AtWork, LEASE},
    locks::Locked,
    memos::{Memo, Swap},
    offers::UseOffer,
    outbox::DeadLetter,
    signals::{Dealt, Heard},
    step::{Change, End, Stepped},
    sweep::Swept,
};
use self::{
    error::Fault,
    queue::Haste,
    readers::Readers,
    writer::{Tx, Writer},
};
use crate::domain::ids::Owner;

/// How long `SQLite` waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a write may take, its turn in the queue included.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// `[store]`: where habops keeps what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sqlite:<file>`, relative to the configuration file's directory. The directory must exist; the file is made, readable
    /// by its owner alone.
    pub url: String,
    /// How long outputs, deliveries and sent messages are kept. The audit and the timelines stay for ever.
    #[serde(with = "crate::domain::duration")]
    pub keep: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "sqlite:habops.db".to_owned(),
            keep: Duration::from_hours(90 * 24),
        }
    }
}

/// What time it is; tests move it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long a write and its fsync took, measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsyncTook(pub Duration);

/// The memory. Cheap to clone; all clones share one writing thread, which ends with the last of them.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    keep: Duration,
    clock: Clock,
    owner: Owner,
    writer: Writer,
    readers: Readers,
    wished: Arc<Notify>,
    works: leases::Works,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.inner.path)
            .field("owner", &self.inner.owner)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// This process, as it owns operations and claims.
    pub fn owner(&self) -> &Owner {
        &self.inner.owner
    }

    /// What time it is here.
    pub fn now(&self) -> Timestamp {
        (self.inner.clock)()
    }

    /// How many transactions this process has committed: with group commit far fewer than writes.
    pub fn commits(&self) -> u64 {
        self.inner.writer.commits()
    }

    /// Writes something and waits until the disk has it.
    pub async fn check(&self) -> Result<FsyncTook, Error> {
        let begun = Instant::now();
        let write = |tx: &Tx<'_>| Ok(memos::note(tx, "check", &format!("\"{}\"", tx.now))?);
        self.inner
            .writer
            .run(Haste::Now, WRITE_TIMEOUT, None, write)
            .await?;
        Ok(FsyncTook(begun.elapsed()))
    }

    async fn write<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.inner
            .writer
            .run(Haste::Soon, WRITE_TIMEOUT, None, run)
            .await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.inner.readers.read(read).await
    }
}
