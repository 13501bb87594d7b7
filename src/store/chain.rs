//! The audit in the store: appended inside the transaction it tells of, read in order, verified in one pass.

use std::{cell::RefCell, time::Duration};

use rusqlite::{OptionalExtension, Row, params};

use super::{
    Error, Store, Tx,
    operations::operation_id,
    rows::{int, json, of_json, uint},
};
use crate::domain::{
    actor::Actor,
    audit::{Event, Hash, Record, Verified, verify},
    ids::OperationId,
};

/// How long a walk over the whole audit may take.
const WALK_TIMEOUT: Duration = Duration::from_mins(10);
const COLUMNS: &str = "seq, at, actor, operation, event, previous, hash";

/// Adds events at the end of the chain. The transaction holds the write lock, so nobody else can add between.
pub(super) fn append(
    tx: &Tx<'_>,
    actor: &Actor,
    operation: Option<OperationId>,
    events: &[Event],
) -> rusqlite::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let last = tx
        .conn
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((uint(row.get(0)?), Hash(row.get(1)?))))
        .optional()?;
    let (mut seq, mut previous) = last.unwrap_or((0, Hash::zero()));
    let mut insert = tx.conn.prepare_cached(
        "INSERT INTO audit (seq, at, actor, operation, event, previous, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for event in events {
        seq += 1;
        let record = Record::next(seq, tx.now, actor.clone(), operation, event, previous);
        insert.execute(params![
            int(record.seq),
            record.at.to_string(),
            json(&record.actor)?,
            record.operation.map(|id| int(id.0)),
            record.event,
            record.previous.0,
            record.hash.0,
        ])?;
        previous = record.hash;
    }
    Ok(())
}

/// A record as kept. What cannot be read any more was tampered with: it comes back with a hash that cannot be right, so that
/// verification names it instead of stopping with an error.
fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let text = |column| row.get::<_, String>(column);
    let whole = || -> rusqlite::Result<Record> {
        Ok(Record {
            seq: uint(row.get("seq")?),
            at: of_json(&format!("\"{}\"", text("at")?))?,
            actor: of_json(&text("actor")?)?,
            operation: row.get::<_, Option<i64>>("operation")?.map(operation_id),
            event: text("event")?,
            previous: Hash(text("previous")?),
            hash: Hash(text("hash")?),
        })
    };
    if let Ok(record) = whole() {
        return Ok(record);
    }
    Ok(Record {
        seq: uint(row.get("seq")?),
        at: jiff::Timestamp::UNIX_EPOCH,
        actor: Actor::Habops,
        operation: None,
        event: text("event").unwrap_or_default(),
        previous: Hash(text("previous").unwrap_or_default()),
        hash: Hash("unreadable".to_owned()),
    })
}

impl Store {
    /// Adds events that belong to no step, like the program's start.
    pub async fn audit_event(
        &self,
        actor: Actor,
        operation: Option<OperationId>,
        events: Vec<Event>,
    ) -> Result<(), Error> {
        self.write(move |tx| Ok(append(tx, &actor, operation, &events)?))
            .await
    }

    /// Up to `limit` records from that sequence number on, oldest first.
    pub async fn audit_records(&self, from: u64, limit: usize) -> Result<Vec<Record>, Error> {
        self.read(move |conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM audit WHERE seq >= ?1 ORDER BY seq LIMIT ?2"
            ))?
            .query_map([int(from), int(limit as u64)], record)?
            .collect()
        })
        .await
    }

    /// The newest records, newest first.
    pub async fn newest_audit_records(&self, limit: usize) -> Result<Vec<Record>, Error> {
        self.read(move |conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM audit ORDER BY seq DESC LIMIT ?1"
            ))?
            .query_map([int(limit as u64)], record)?
            .collect()
        })
        .await
    }

    /// Walks the whole chain, one record in memory at a time. `head` is a hash noted earlier: it proves that nothing was cut off.
    pub async fn verify(&self, head: Option<&Hash>) -> Result<Verified, Error> {
        let head = head.cloned();
        let walk = move |conn: &rusqlite::Connection| {
            let mut select =
                conn.prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
            let unreadable = RefCell::new(None);
            let records = select.query_map([], record)?.map_while(|found| {
                found
                    .map_err(|error| *unreadable.borrow_mut() = Some(error))
                    .ok()
            });
            let verified = verify(records, head.as_ref());
            match unreadable.into_inner() {
                Some(error) => Err(error),
                None => Ok(verified),
            }
        };
        self.inner.readers.read_within(WALK_TIMEOUT, walk).await
    }
}
