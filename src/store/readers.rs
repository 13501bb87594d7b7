//! The connections that only read: a few, opened when first needed, beside the one that writes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::Semaphore;

use super::{error::Error, open::be_patient};

/// How many reads run at the same time.
const AT_ONCE: usize = 4;
/// How long a read may take, its turn included.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Reads, in one snapshot, off the async threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.read_within(READ_TIMEOUT, read).await
    }

    /// The same for what may take longer, like a walk over the whole audit.
    pub(super) async fn read_within<T: Send + 'static>(
        &self,
        within: Duration,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let work = async {
            let turn = Arc::clone(&self.turns)
                .acquire_owned()
                .await
                .map_err(|_| Error::closed(&self.path))?;
            let (idle, path) = (Arc::clone(&self.idle), self.path.clone());
            let task = tokio::task::spawn_blocking(move || {
                let _turn = turn; // held until the read is over, also when nobody waits for it any more
                let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = kept.map_or_else(|| open(&path), Ok)?;
                let value = {
                    let snapshot = connection.unchecked_transaction()?;
                    read(&snapshot)
                };
                if value.is_ok() {
                    idle.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(connection);
                }
                value
            });
            match task.await {
                Ok(value) => value.map_err(|error| Error::of(&self.path, &error)),
                Err(error) => Err(Error::Fault {
                    file: self.path.display().to_string(),
                    why: format!("a read panicked: {error}"),
                }),
            }
        };
        tokio::time::timeout(within, work)
            .await
            .unwrap_or_else(|_| Err(Error::busy(&self.path, within)))
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(be_patient))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
