//! What the watchers remember, changed together with what is said about it: all of it or nothing, so that nothing is told twice,
//! and nothing is forgotten between the noting and the telling.

use futures_util::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, named_params, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Error, Store, Tx, chain, incidents, offers, operations, outbox,
    rows::{ns, of_json},
};
use crate::domain::{
    actor::Actor,
    audit::Event,
    ids::{ChannelId, OperationId},
    incident::TimelineEntry,
    message::{Destination, MessageKey, Wish},
    operation::{Offer, Operation},
};

/// Operations that a packet looks through at most.
const MOST_CHANGES: usize = 2_000;

/// One memo: its name, what it must hold for the change to happen, what it holds afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Memo {
    /// `oncall:PI7DH85`.
    pub name: String,
    /// What is noted now; absent where nothing may be.
    pub before: Option<Value>,
    /// What is noted from then on.
    pub after: Value,
}

/// Memos that change together, with what is said about it.
#[derive(Debug)]
pub struct Swap {
    /// Each must be as it says; otherwise nothing changes.
    pub memos: Vec<Memo>,
    /// In whose name the events are.
    pub by: Actor,
    /// For the audit.
    pub events: Vec<Event>,
    /// What is to be seen.
    pub wishes: Vec<Wish>,
    /// The buttons of the wishes.
    pub offers: Vec<Offer>,
    /// For the incidents' timelines.
    pub timeline: Vec<TimelineEntry>,
}

impl Store {
    /// Changes the memos if each is as it says, and writes what is said about it in the same transaction. Whether it did.
    pub async fn swap(&self, swap: Swap) -> Result<bool, Error> {
        self.write(move |tx| {
            for memo in &swap.memos {
                if noted(tx, &memo.name)? != memo.before.as_ref().map(ToString::to_string) {
                    return Ok(false);
                }
            }
            for memo in &swap.memos {
                note(tx, &memo.name, &memo.after.to_string())?;
            }
            if !swap.events.is_empty() {
                chain::append(tx, &swap.by, None, &swap.events)?;
            }
            incidents::tell(tx, &swap.timeline)?;
            offers::insert(tx, &swap.offers, None)?;
            outbox::put(tx, &swap.wishes)?;
            Ok(true)
        })
        .await
    }

    /// Where copies of an operation's card stand, `op-17:again:…`.
    pub async fn copies(
        &self,
        operation: OperationId,
    ) -> Result<Vec<(MessageKey, Destination)>, Error> {
        let (from, to) = (format!("{operation}:again:"), format!("{operation}:again;"));
        self.read(move |conn| {
            conn.prepare_cached(
                "SELECT key, channel, under FROM outbox WHERE key >= ?1 AND key < ?2 ORDER BY key",
            )?
            .query_map([from, to], |row| {
                let to = Destination {
                    channel: ChannelId::new(row.get::<_, String>(1)?),
                    thread: of_json(row.get_ref(2)?.as_str()?)?,
                };
                Ok((MessageKey(row.get(0)?), to))
            })?
            .collect()
        })
        .await
    }

    /// For [`crate::domain::records::Records`]: every memo of that kind, in the order of their names. One that an older habops wrote
    /// otherwise is passed over.
    pub(super) fn memos<T: DeserializeOwned + Send + 'static>(
        &self,
        kind: &'static str,
    ) -> BoxFuture<'_, Result<Vec<T>, Error>> {
        let (from, to) = (format!("{kind}:"), format!("{kind};"));
        self.read(move |conn| {
            let read = conn
                .prepare_cached(
                    "SELECT value FROM memos WHERE name >= ?1 AND name < ?2 ORDER BY name",
                )?
                .query_map([from, to], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<String>>>()?;
            let understood = read
                .iter()
                .filter_map(|text| serde_json::from_str(text).ok());
            Ok(understood.collect())
        })
        .boxed()
    }

    /// For [`crate::domain::records::Records`]: changes that were begun since then, newest first.
    pub(super) async fn begun_since(&self, since: Timestamp) -> Result<Vec<Operation>, Error> {
        let since = ns(since);
        self.read(move |conn| {
            operations::select(
                conn,
                "WHERE changes = 1 AND started_at >= :since ORDER BY id DESC LIMIT :limit",
                named_params! {":since": since, ":limit": super::rows::int(MOST_CHANGES as u64)},
            )
        })
        .await
    }
}

/// Writes a memo, whatever it held.
pub(super) fn note(tx: &Tx<'_>, name: &str, value: &str) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached("INSERT OR REPLACE INTO memos (name, value, at) VALUES (?1, ?2, ?3)")?
        .execute(params![name, value, ns(tx.now)])?;
    Ok(())
}

/// What a memo holds.
pub(super) fn noted(tx: &Tx<'_>, name: &str) -> rusqlite::Result<Option<String>> {
    tx.conn
        .prepare_cached("SELECT value FROM memos WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}
