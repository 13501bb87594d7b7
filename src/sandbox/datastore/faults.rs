//! What can go wrong with the datastore on purpose, by name.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use tokio::sync::Mutex;
use tokio_postgres::Client;

use super::{
    super::fault::{Fault, FaultState},
    Datastore,
};

const DOWN: &str = "datastore-down";
const LOCKED: &str = "shard-locked";
const MISSING: &str = "shard-missing";

/// The faults the page offers: name, title, about.
const FAULTS: [(&str, &str, &str); 3] = [
    (
        DOWN,
        "The datastore is down",
        "PostgreSQL is stopped: connections are cut and new ones refused.",
    ),
    (
        LOCKED,
        "shard_41 is locked",
        "Somebody holds an exclusive lock on shard_41.origins of builder_originsrv.",
    ),
    (
        MISSING,
        "shard_97 is missing",
        "The schema shard_97 of builder_originsrv is gone, as after a restore that was cut short.",
    ),
];

const DATABASE: &str = "builder_originsrv";
const LOCK: &str = "BEGIN; LOCK TABLE shard_41.origins IN ACCESS EXCLUSIVE MODE";
const HIDE: &str = "ALTER SCHEMA shard_97 RENAME TO hidden_97";
const SHOW: &str = "ALTER SCHEMA hidden_97 RENAME TO shard_97";

/// The faults that are wished for, and what was done about them.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Inner>);

#[derive(Default)]
struct Inner {
    wanted: StdMutex<BTreeSet<&'static str>>,
    /// Held by whoever brings about what is wanted: one after the other.
    now: Mutex<Now>,
}

/// How it is.
#[derive(Default)]
struct Now {
    is_down: bool,
    is_hidden: bool,
    /// The lock lasts as long as its connection.
    lock: Option<Client>,
}

impl Faults {
    fn wanted(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        let wanted = self.0.wanted.lock();
        wanted.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault for Datastore {
    fn list(&self) -> Vec<FaultState> {
        let wanted = self.faults.wanted();
        FAULTS
            .iter()
            .map(|&(name, title, about)| FaultState {
                name: name.into(),
                title: title.into(),
                about: about.into(),
                on: Some(wanted.contains(name)),
                group: "datastore".into(),
            })
            .collect()
    }

    fn set(&self, name: &str, on: bool) -> bool {
        let Some(&(name, ..)) = FAULTS.iter().find(|(known, ..)| *known == name) else {
            return false;
        };
        let mut wanted = self.faults.wanted();
        let is_new = if on {
            wanted.insert(name)
        } else {
            wanted.remove(name)
        };
        if is_new {
            let datastore = self.clone();
            tokio::spawn(async move {
                if let Err(why) = datastore.becomes_as_wanted().await {
                    tracing::error!(
                        "the fault {name} does not come about, or does not end: {why:#}"
                    );
                }
            });
        }
        true
    }
}

impl Datastore {
    /// Brings about the faults that are on by now, and ends the others. What cannot be done to a server that is down is done once it
    /// is back: that is a change as well.
    async fn becomes_as_wanted(&self) -> Result<()> {
        let mut now = self.faults.0.now.lock().await;
        let wanted = self.faults.wanted().clone();
        if wanted.contains(DOWN) {
            if !now.is_down {
                now.is_down = true;
                now.lock = None;
                self.goes_down().await?;
            }
            return Ok(());
        }
        if now.is_down {
            self.comes_back().await?;
            now.is_down = false;
        }
        if !wanted.contains(LOCKED) {
            now.lock = None;
        } else if now.lock.is_none() {
            let client = self.connect(DATABASE).await?;
            client.batch_execute(LOCK).await?;
            now.lock = Some(client);
        }
        let hides = wanted.contains(MISSING);
        if hides != now.is_hidden {
            let client = self.connect(DATABASE).await?;
            client
                .batch_execute(if hides { HIDE } else { SHOW })
                .await?;
            now.is_hidden = hides;
        }
        Ok(())
    }
}
