//! What can go wrong with the datastore on purpose, by name.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::{
    super::fault::{Fault, FaultState},
    Datastore,
};

/// The faults the page offers: name, title, about.
const FAULTS: [(&str, &str, &str); 3] = [
    (
        "datastore-down",
        "The datastore is down",
        "PostgreSQL is stopped: connections are cut and new ones refused.",
    ),
    (
        "shard-locked",
        "shard_41 is locked",
        "Somebody holds an exclusive lock on shard_41.origins of builder_originsrv.",
    ),
    (
        "shard-missing",
        "shard_97 is missing",
        "The schema shard_97 of builder_originsrv is gone, as after a restore that was cut short.",
    ),
];

const LOCK: &str = "BEGIN; LOCK TABLE shard_41.origins IN ACCESS EXCLUSIVE MODE";
const HIDE: &str = "ALTER SCHEMA shard_97 RENAME TO hidden_97";
const SHOW: &str = "ALTER SCHEMA hidden_97 RENAME TO shard_97";

/// The faults that are on, and what ends each.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Mutex<BTreeMap<&'static str, CancellationToken>>>);

impl Faults {
    fn on(&self) -> MutexGuard<'_, BTreeMap<&'static str, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault for Datastore {
    fn list(&self) -> Vec<FaultState> {
        let on = self.faults.on();
        FAULTS
            .iter()
            .map(|&(name, title, about)| FaultState {
                name: name.into(),
                title: title.into(),
                about: about.into(),
                on: on.contains_key(name),
                group: "datastore".into(),
            })
            .collect()
    }

    fn set(&self, name: &str, on: bool) -> bool {
        let Some(&(name, ..)) = FAULTS.iter().find(|(known, ..)| *known == name) else {
            return false;
        };
        let mut faults = self.faults.on();
        match (on, faults.remove(name)) {
            (false, Some(ends)) => ends.cancel(),
            (false, None) => {}
            (true, before) => {
                let begins = before.is_none();
                let ends = before.unwrap_or_default();
                faults.insert(name, ends.clone());
                if begins {
                    let datastore = self.clone();
                    tokio::spawn(async move {
                        if let Err(why) = datastore.breaks(name, ends).await {
                            tracing::error!("the fault {name} does not come about: {why:#}");
                        }
                    });
                }
            }
        }
        true
    }
}

impl Datastore {
    /// Brings a fault about, and mends it once it ends.
    async fn breaks(&self, name: &str, ends: CancellationToken) -> Result<()> {
        match name {
            "datastore-down" => {
                self.goes_down().await?;
                ends.cancelled().await;
                self.comes_back().await
            }
            "shard-locked" => {
                // The lock lasts as long as the connection.
                let client = self.connect("builder_originsrv").await?;
                client.batch_execute(LOCK).await?;
                ends.cancelled().await;
                Ok(())
            }
            _ => {
                let client = self.connect("builder_originsrv").await?;
                client.batch_execute(HIDE).await?;
                ends.cancelled().await;
                Ok(client.batch_execute(SHOW).await?)
            }
        }
    }
}
