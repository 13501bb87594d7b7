//! Incidents, their timelines, and the freezes.

use rusqlite::{Connection, Row, ToSql, named_params, params};

use super::{
    Error, Store, Tx,
    operations::operation_id,
    rows::{int, json, ns, read, read_word, some_time, time, uint, word},
};
use crate::domain::{
    ids::{Environment, IncidentId, UserId},
    incident::{Incident, TimelineEntry},
    records::Freeze,
};

impl Store {
    /// The incidents whose card shows, or is wished to show, another state than theirs.
    pub async fn cards_behind(&self) -> Result<Vec<IncidentId>, Error> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT incidents.id FROM incidents JOIN outbox ON outbox.key = 'inc-' || incidents.id || ':card' \
                 WHERE outbox.state <> 'dead' AND json_extract(outbox.about, '$.state') <> incidents.state LIMIT 64",
            )?
            .query_map([], |row| Ok(IncidentId(uint(row.get(0)?))))?
            .collect()
        })
        .await
    }

    /// The incidents that are open, oldest first.
    pub async fn open_incidents(&self) -> Result<Vec<Incident>, Error> {
        self.read(open).await
    }

    /// One incident.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Error> {
        self.read(move |conn| find(conn, id)).await
    }

    /// Open incidents, or all of them, newest first.
    pub async fn incidents(&self, closed_too: bool, limit: usize) -> Result<Vec<Incident>, Error> {
        self.read(move |conn| {
            let rest = "WHERE :all OR state = 'open' ORDER BY id DESC LIMIT :limit";
            select(
                conn,
                rest,
                named_params! {":all": closed_too, ":limit": int(limit as u64)},
            )
        })
        .await
    }

    /// An incident's timeline, oldest first.
    pub async fn timeline(&self, id: IncidentId) -> Result<Vec<TimelineEntry>, Error> {
        self.read(move |conn| timeline(conn, id)).await
    }

    /// What is frozen now.
    pub async fn freezes(&self) -> Result<Vec<Freeze>, Error> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT environment, why, by, at FROM freezes ORDER BY environment",
            )?
            .query_map([], |row| {
                let environment: String = row.get("environment")?;
                Ok(Freeze {
                    environment: (!environment.is_empty()).then(|| Environment::new(environment)),
                    why: row.get("why")?,
                    by: read(row, "by")?,
                    at: time(row, "at")?,
                })
            })?
            .collect()
        })
        .await
    }
}

pub(super) fn timeline(conn: &Connection, id: IncidentId) -> rusqlite::Result<Vec<TimelineEntry>> {
    conn.prepare_cached(
        "SELECT incident, at, actor, kind, text, operation FROM timeline WHERE incident = ?1 ORDER BY at, id",
    )?
    .query_map([int(id.0)], entry)?
    .collect()
}

/// The open incidents as they are inside a transaction, oldest first.
pub(super) fn open(conn: &Connection) -> rusqlite::Result<Vec<Incident>> {
    select(conn, "WHERE state = 'open' ORDER BY id", &[])
}

fn select(
    conn: &Connection,
    rest: &str,
    params: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<Vec<Incident>> {
    conn.prepare_cached(&format!(
        "SELECT id, title, state, opened_by, opened_at, closed_at, home, links, lead, scribe, pagerduty, triggers FROM incidents {rest}"
    ))?
    .query_map(params, incident)?
    .collect()
}

pub(super) fn find(conn: &Connection, id: IncidentId) -> rusqlite::Result<Option<Incident>> {
    Ok(select(conn, "WHERE id = :id", named_params! {":id": int(id.0)})?.pop())
}

fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    Ok(Incident {
        id: IncidentId(uint(row.get("id")?)),
        title: row.get("title")?,
        state: read_word(row, "state")?,
        opened_by: read(row, "opened_by")?,
        opened_at: time(row, "opened_at")?,
        closed_at: some_time(row, "closed_at")?,
        home: read(row, "home")?,
        links: read(row, "links")?,
        lead: row.get::<_, Option<String>>("lead")?.map(UserId::new),
        scribe: row.get::<_, Option<String>>("scribe")?.map(UserId::new),
        pagerduty: read(row, "pagerduty")?,
        triggers: uint(row.get("triggers")?),
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<TimelineEntry> {
    Ok(TimelineEntry {
        incident: IncidentId(uint(row.get("incident")?)),
        at: time(row, "at")?,
        actor: read(row, "actor")?,
        kind: read_word(row, "kind")?,
        text: row.get("text")?,
        operation: row.get::<_, Option<i64>>("operation")?.map(operation_id),
    })
}

/// Adds lines to timelines.
pub(super) fn tell(tx: &Tx<'_>, lines: &[TimelineEntry]) -> rusqlite::Result<()> {
    for line in lines {
        tx.conn
            .prepare_cached(
                "INSERT INTO timeline (incident, at, actor, kind, text, operation) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                int(line.incident.0),
                ns(line.at),
                json(&line.actor)?,
                word(line.kind)?,
                line.text,
                line.operation.map(|id| int(id.0)),
            ])?;
    }
    Ok(())
}
