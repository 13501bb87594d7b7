//! Named locks that belong to an operation, what a change reached last, and the watchers' memos.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::{
    Error, Store, Tx, chain,
    memos::{note, noted},
    operations::{ACTIVE, operation_id, standing},
    rows::{int, ns, of_json, time},
};
use crate::domain::{
    actor::Actor,
    audit::Event,
    ids::OperationId,
    records::{Touch, Touched},
};

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    /// The operation has it, until it ends or lets go.
    Held,
    /// That operation has it.
    By(OperationId),
    /// The asking operation is over, or another process works on it by now: it gets nothing.
    NotYours,
}

impl Store {
    /// Takes a lock for an operation of this process. It lives as long as the operation: the lease is the operation's, and
    /// recovery, which ends the operation, frees it.
    pub async fn lock(&self, name: &str, operation: OperationId) -> Result<Locked, Error> {
        self.lock_all(&[name.to_owned()], operation).await
    }

    /// The same for several locks: all of them, or none where one is another's.
    pub async fn lock_all(
        &self,
        names: &[String],
        operation: OperationId,
    ) -> Result<Locked, Error> {
        let names = names.to_vec();
        self.write(move |tx| {
            for name in &names {
                if let Some(holder) = holder(tx.conn, name)?.filter(|id| *id != operation) {
                    return Ok(Locked::By(holder));
                }
            }
            for name in &names {
                match take(tx, name, operation)? {
                    Locked::Held => {}
                    refused => return Ok(refused),
                }
            }
            Ok(Locked::Held)
        })
        .await
    }

    /// Who holds the first of these that is held.
    pub async fn lock_holder(&self, names: &[String]) -> Result<Option<OperationId>, Error> {
        let names = names.to_vec();
        self.read(move |conn| {
            for name in &names {
                if let Some(held) = holder(conn, name)? {
                    return Ok(Some(held));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Writes that a change reaches a node now, in the audit too, before it does (law 5). `false`, and nothing is written,
    /// where this process does not hold the operation under that fence any more: then the node is not to be touched.
    pub async fn touch(
        &self,
        operation: OperationId,
        fence: u64,
        touch: Touch,
    ) -> Result<bool, Error> {
        self.write(move |tx| {
            let found = tx
                .conn
                .prepare_cached(&format!(
                    "SELECT actor FROM operations \
                     WHERE id = ?1 AND fence = ?2 AND owner = ?3 AND lease_until > ?4 AND {ACTIVE}"
                ))?
                .query_row(
                    params![int(operation.0), int(fence), tx.owner.as_str(), ns(tx.now)],
                    |row| row.get::<_, String>(0),
                )
                .optional()?;
            let Some(actor) = found else {
                return Ok(false);
            };
            let by: Actor = of_json(&actor)?;
            let mut events = vec![Event::Touched {
                node: touch.node.clone(),
                what: touch.what.clone(),
            }];
            events.extend(touch.forced.map(|(what, reason)| Event::Forced { what, reason }));
            chain::append(tx, &by, Some(operation), &events)?;
            tx.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO touched (node, what, operation, at) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![touch.node, touch.what, int(operation.0), ns(tx.now)])?;
            Ok(true)
        })
        .await
    }

    /// The change that reached a node last.
    pub async fn touched(&self, node: &str) -> Result<Option<Touched>, Error> {
        let node = node.to_owned();
        self.read(move |conn| {
            conn.prepare_cached(
                "SELECT what, operation, at, actor FROM touched JOIN operations ON operations.id = operation \
                 WHERE node = ?1",
            )?
            .query_row([node], |row| {
                Ok(Touched {
                    what: row.get("what")?,
                    operation: operation_id(row.get("operation")?),
                    by: of_json(row.get_ref("actor")?.as_str()?)?,
                    at: time(row, "at")?,
                })
            })
            .optional()
        })
        .await
    }

    /// What a watcher noted under that name.
    pub async fn get_state(&self, name: &str) -> Result<Option<Value>, Error> {
        let name = name.to_owned();
        self.read(move |conn| {
            conn.prepare_cached("SELECT value FROM memos WHERE name = ?1")?
                .query_row([name], |row| of_json(row.get_ref(0)?.as_str()?))
                .optional()
        })
        .await
    }

    /// Notes something under that name; the newest counts.
    pub async fn put_state(&self, name: &str, value: &Value) -> Result<(), Error> {
        let (name, value) = (name.to_owned(), value.to_string());
        self.write(move |tx| Ok(note(tx, &name, &value)?)).await
    }

    /// Notes something where nothing, or exactly `before`, was noted: for watchers of several processes. Whether it was.
    pub async fn swap_state(
        &self,
        name: &str,
        before: Option<&Value>,
        value: &Value,
    ) -> Result<bool, Error> {
        let (name, before, value) = (
            name.to_owned(),
            before.map(ToString::to_string),
            value.to_string(),
        );
        self.write(move |tx| {
            if noted(tx, &name)? != before {
                return Ok(false);
            }
            note(tx, &name, &value)?;
            Ok(true)
        })
        .await
    }
}

fn take(tx: &Tx<'_>, name: &str, operation: OperationId) -> rusqlite::Result<Locked> {
    let yours = standing(tx, operation)?.is_some_and(|now| now.owned && !now.state.is_end());
    if !yours {
        return Ok(Locked::NotYours);
    }
    tx.conn
        .prepare_cached(
            "INSERT INTO locks (name, operation, taken_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![name, int(operation.0), ns(tx.now)])?;
    Ok(match holder(tx.conn, name)? {
        Some(other) if other != operation => Locked::By(other),
        _ => Locked::Held,
    })
}

fn holder(conn: &Connection, name: &str) -> rusqlite::Result<Option<OperationId>> {
    let found: Option<i64> = conn
        .prepare_cached("SELECT operation FROM locks WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(found.map(operation_id))
}
