//! Operations as rows.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};

use super::{
    Error, Store, Tx,
    rows::{int, ns, read, read_some, read_word, some_time, time, uint},
};
use crate::domain::{
    ids::{IncidentId, OperationId, Owner},
    operation::{Operation, State},
    output::Output,
};

/// Every column that [`operation`] reads.
const COLUMNS: &str = "id, text, command, actor, whence, via, yes, state, received_at, started_at, ended_at, waits_until, \
    incident, answer, changes, environments, nodes, proposal, owner, lease_until, fence, cancel_requested, output, redacted, chosen";

/// The states in which somebody works on it. Beside it stands `ended_at IS NULL`, which picks the small index.
pub(super) const ACTIVE: &str = "ended_at IS NULL AND state IN ('received', 'approved', 'running')";

/// The operation of that row id.
pub(super) fn operation_id(row: i64) -> OperationId {
    OperationId(uint(row))
}

fn operation(row: &Row<'_>) -> rusqlite::Result<Operation> {
    let incident = |column| -> rusqlite::Result<Option<IncidentId>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(uint).map(IncidentId))
    };
    let state: String = row.get("state")?;
    Ok(Operation {
        id: operation_id(row.get("id")?),
        text: row.get("text")?,
        command: row.get::<_, Option<String>>("command")?.map(Into::into),
        actor: read(row, "actor")?,
        whence: read(row, "whence")?,
        via: read_word(row, "via")?,
        yes: row.get("yes")?,
        state: State::of_word(&state).ok_or_else(|| {
            rusqlite::Error::FromSqlConversionFailure(
                0,
                rusqlite::types::Type::Text,
                format!("`{state}` is no state").into(),
            )
        })?,
        received_at: time(row, "received_at")?,
        started_at: some_time(row, "started_at")?,
        ended_at: some_time(row, "ended_at")?,
        waits_until: some_time(row, "waits_until")?,
        incident: incident("incident")?,
        answer: read_some(row, "answer")?,
        changes: row.get("changes")?,
        environments: read(row, "environments")?,
        nodes: read(row, "nodes")?,
        proposal: read_some(row, "proposal")?,
        owner: row.get::<_, Option<String>>("owner")?.map(Owner::new),
        lease_until: some_time(row, "lease_until")?,
        fence: uint(row.get("fence")?),
        cancel_requested: row.get("cancel_requested")?,
        output: read_some::<Output>(row, "output")?,
        redacted: uint(row.get("redacted")?),
        chosen: incident("chosen")?,
    })
}

/// The operations that `rest` picks: everything after `FROM operations`.
pub(super) fn select(
    conn: &Connection,
    rest: &str,
    params: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<Vec<Operation>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM operations {rest}"))?
        .query_map(params, operation)?
        .collect()
}

/// One operation.
pub(super) fn find(conn: &Connection, id: OperationId) -> rusqlite::Result<Option<Operation>> {
    Ok(select(conn, "WHERE id = :id", named_params! {":id": int(id.0)})?.pop())
}

impl Store {
    /// One operation.
    pub async fn operation(&self, id: OperationId) -> Result<Option<Operation>, Error> {
        self.read(move |conn| find(conn, id)).await
    }

    /// Operations that somebody worked on whose lease has lapsed, oldest first: for recovery.
    pub async fn lapsed(&self) -> Result<Vec<Operation>, Error> {
        let now = ns(self.now());
        self.read(move |conn| {
            let rest = format!(
                "WHERE {ACTIVE} AND (lease_until IS NULL OR lease_until <= :now) ORDER BY id LIMIT 256"
            );
            select(conn, &rest, named_params! {":now": now})
        })
        .await
    }

    /// Operations that waited for a yes or a choice for too long, oldest first.
    pub async fn overdue(&self) -> Result<Vec<Operation>, Error> {
        let now = ns(self.now());
        self.read(move |conn| {
            let rest = "WHERE ended_at IS NULL AND state IN ('choosing', 'awaiting') AND waits_until <= :now \
                        ORDER BY id LIMIT 256";
            select(conn, rest, named_params! {":now": now})
        })
        .await
    }

    /// Asks that it stop; its owner, on whatever process, watches for it. `false` where it is over already.
    pub async fn request_cancel(&self, id: OperationId) -> Result<bool, Error> {
        self.write(move |tx| {
            let asked = tx
                .conn
                .prepare_cached(
                    "UPDATE operations SET cancel_requested = 1 WHERE id = ?1 AND ended_at IS NULL",
                )?
                .execute([int(id.0)])?;
            Ok(asked == 1)
        })
        .await
    }

    /// Whether somebody asked that it stop.
    pub async fn cancel_requested(&self, id: OperationId) -> Result<bool, Error> {
        self.read(move |conn| {
            let asked = conn
                .prepare_cached("SELECT cancel_requested FROM operations WHERE id = ?1")?
                .query_row([int(id.0)], |row| row.get(0))
                .optional()?;
            Ok(asked.unwrap_or(false))
        })
        .await
    }
}

/// Where an operation stands, as far as a compare-and-swap needs to know.
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) fence: u64,
    pub(super) owned: bool,
}

/// Reads it inside the writing transaction.
pub(super) fn standing(tx: &Tx<'_>, id: OperationId) -> rusqlite::Result<Option<Standing>> {
    tx.conn
        .prepare_cached("SELECT state, fence, owner FROM operations WHERE id = ?1")?
        .query_row([int(id.0)], |row| {
            let state: String = row.get(0)?;
            let owner: Option<String> = row.get(2)?;
            Ok(Standing {
                // An unknown word is treated as an end: nothing more is done to it.
                state: State::of_word(&state).unwrap_or(State::Interrupted),
                fence: uint(row.get(1)?),
                owned: owner.as_deref() == Some(tx.owner.as_str()),
            })
        })
        .optional()
}
