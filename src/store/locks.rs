//! Named locks that belong to an operation, and the watchers' memos.

use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::{
    Error, Store, Tx,
    operations::{operation_id, standing},
    rows::{int, ns, of_json},
};
use crate::domain::ids::OperationId;

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
        let name = name.to_owned();
        self.write(move |tx| Ok(take(tx, &name, operation)?)).await
    }

    /// Lets go of it; `false` where the operation did not have it.
    pub async fn unlock(&self, name: &str, operation: OperationId) -> Result<bool, Error> {
        let name = name.to_owned();
        self.write(move |tx| {
            let gone = tx
                .conn
                .prepare_cached("DELETE FROM locks WHERE name = ?1 AND operation = ?2")?
                .execute(params![name, int(operation.0)])?;
            Ok(gone == 1)
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
        self.write(move |tx| {
            tx.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO memos (name, value, at) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![name, value, ns(tx.now)])?;
            Ok(())
        })
        .await
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
            let noted = tx
                .conn
                .prepare_cached("SELECT value FROM memos WHERE name = ?1")?
                .query_row([&name], |row| row.get::<_, String>(0))
                .optional()?;
            if noted != before {
                return Ok(false);
            }
            tx.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO memos (name, value, at) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![name, value, ns(tx.now)])?;
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
    let holder: i64 = tx
        .conn
        .prepare_cached("SELECT operation FROM locks WHERE name = ?1")?
        .query_row([name], |row| row.get(0))?;
    Ok(if operation_id(holder) == operation {
        Locked::Held
    } else {
        Locked::By(operation_id(holder))
    })
}
