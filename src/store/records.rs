//! The read-only view that handlers get.

use std::collections::BTreeMap;

use futures_util::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    Error, Store, incidents,
    operations::{self, operation_id},
    rows::{int, of_json},
};
use crate::domain::{
    audit::{Event, Hash, Record},
    handoff::Handoff,
    ids::{IncidentId, OperationId, UserId},
    incident::{Incident, TimelineEntry},
    operation::Operation,
    records::{Freeze, Records, Touched},
    roster::Seen,
    story::{Chapter, MOST_CHAPTERS, Story},
};

fn told<'a, T: 'a>(
    answer: impl Future<Output = Result<T, Error>> + Send + 'a,
) -> BoxFuture<'a, anyhow::Result<T>> {
    answer.map(|answer| answer.map_err(Into::into)).boxed()
}

impl Records for Store {
    fn operation(&self, id: OperationId) -> BoxFuture<'_, anyhow::Result<Option<Operation>>> {
        told(Self::operation(self, id))
    }

    fn operations(
        &self,
        incident: Option<IncidentId>,
        limit: usize,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Operation>>> {
        told(self.read(move |conn| {
            let limit = int(limit as u64);
            match incident.map(|id| int(id.0)) {
                Some(incident) => operations::select(
                    conn,
                    "WHERE incident = :incident ORDER BY id DESC LIMIT :limit",
                    named_params! {":incident": incident, ":limit": limit},
                ),
                None => operations::select(
                    conn,
                    "ORDER BY id DESC LIMIT :limit",
                    named_params! {":limit": limit},
                ),
            }
        }))
    }

    fn awaiting(&self) -> BoxFuture<'_, anyhow::Result<Vec<Operation>>> {
        told(self.read(|conn| {
            operations::select(
                conn,
                "WHERE ended_at IS NULL AND state = 'awaiting' ORDER BY id LIMIT 256",
                &[],
            )
        }))
    }

    fn incident(&self, id: IncidentId) -> BoxFuture<'_, anyhow::Result<Option<Incident>>> {
        told(Self::incident(self, id))
    }

    fn incidents(
        &self,
        closed_too: bool,
        limit: usize,
    ) -> BoxFuture<'_, anyhow::Result<Vec<Incident>>> {
        told(Self::incidents(self, closed_too, limit))
    }

    fn timeline(&self, id: IncidentId) -> BoxFuture<'_, anyhow::Result<Vec<TimelineEntry>>> {
        told(Self::timeline(self, id))
    }

    fn story(&self, id: IncidentId) -> BoxFuture<'_, anyhow::Result<Option<Story>>> {
        let now = self.now();
        told(self.read(move |conn| story(conn, id, now)))
    }

    fn changes_since(&self, since: Timestamp) -> BoxFuture<'_, anyhow::Result<Vec<Operation>>> {
        told(self.begun_since(since))
    }

    fn on_call(&self) -> BoxFuture<'_, anyhow::Result<Vec<Seen>>> {
        told(self.memos("oncall"))
    }

    fn handoffs(&self) -> BoxFuture<'_, anyhow::Result<Vec<Handoff>>> {
        told(self.memos("handoff"))
    }

    fn freezes(&self) -> BoxFuture<'_, anyhow::Result<Vec<Freeze>>> {
        told(Self::freezes(self))
    }

    fn lock_holder<'a>(
        &'a self,
        names: &'a [String],
    ) -> BoxFuture<'a, anyhow::Result<Option<OperationId>>> {
        told(Self::lock_holder(self, names))
    }

    fn touched<'a>(&'a self, node: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Touched>>> {
        told(Self::touched(self, node))
    }

    fn audit(&self, limit: usize) -> BoxFuture<'_, anyhow::Result<Vec<Record>>> {
        told(self.newest_audit_records(limit))
    }
}

/// Everything about an incident, in one snapshot.
fn story(conn: &Connection, id: IncidentId, now: Timestamp) -> rusqlite::Result<Option<Story>> {
    let Some(incident) = incidents::find(conn, id)? else {
        return Ok(None);
    };
    let mut operations = operations::select(
        conn,
        "WHERE incident = :incident ORDER BY id DESC LIMIT :limit",
        named_params! {":incident": int(id.0), ":limit": int(MOST_CHAPTERS as u64)},
    )?;
    operations.reverse();
    let all: i64 = conn
        .prepare_cached("SELECT count(*) FROM operations WHERE incident = ?1")?
        .query_row([int(id.0)], |row| row.get(0))?;
    let mut hashes = hashes(conn, id)?;
    let chapters: Vec<Chapter> = operations
        .into_iter()
        .map(|operation| Chapter {
            sha256: hashes.remove(&operation.id),
            operation,
        })
        .collect();
    let people = conn
        .prepare_cached("SELECT user, name FROM people")?
        .query_map([], |row| {
            Ok((UserId::new(row.get::<_, String>(0)?), row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let head: Option<String> = conn
        .prepare_cached("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(Some(Story {
        left_out: usize::try_from(all)
            .unwrap_or_default()
            .saturating_sub(chapters.len()),
        timeline: incidents::timeline(conn, id)?,
        incident,
        chapters,
        people,
        head: head.unwrap_or_else(|| Hash::zero().0),
        told_at: now,
    }))
}

/// What each operation of an incident said, as the audit has it.
fn hashes(conn: &Connection, id: IncidentId) -> rusqlite::Result<BTreeMap<OperationId, String>> {
    let mut found = BTreeMap::new();
    let mut select = conn.prepare_cached(
        "SELECT operation, event FROM audit WHERE operation IN (SELECT id FROM operations WHERE incident = ?1) ORDER BY seq",
    )?;
    let mut rows = select.query([int(id.0)])?;
    while let Some(row) = rows.next()? {
        let event: Event = of_json(row.get_ref("event")?.as_str()?)?;
        if let Event::Finished { output_sha256, .. } = event {
            found.insert(operation_id(row.get("operation")?), output_sha256);
        }
    }
    Ok(found)
}
