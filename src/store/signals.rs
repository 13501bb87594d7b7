//! What came in by itself (a webhook, a reaction, somebody who joined): stored before it is acknowledged, dealt with after, once.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde_json::{Value, json};

use super::{
    Error, Store, Tx,
    accept::remember,
    chain, incidents,
    memos::note,
    offers,
    operations::operation_id,
    outbox,
    queue::Haste,
    rows::{int, json as text_of, ns, of_json, read, time},
};
use crate::domain::{
    actor::Actor,
    audit::Event,
    ids::{IncidentId, OperationId, UserId},
    inbound::Signal,
    incident::TimelineEntry,
    message::Wish,
    operation::Offer,
    paging::PagerDutyIncident,
};

/// How long the sender can be kept waiting: PagerDuty for five seconds, Slack for three.
const HEAR_TIMEOUT: Duration = Duration::from_secs(1);
/// PagerDuty incidents that one incident keeps by name; a storm has more, which only count.
const MOST_PAGES: usize = 100;

/// A stored signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Names it for [`Store::deal`].
    pub row: i64,
    /// When it came in.
    pub received_at: Timestamp,
    /// What it is.
    pub signal: Signal,
}

/// What a signal leads to. Written at once, with the signal forgotten.
#[derive(Debug, Default)]
pub struct Dealt {
    /// What is already known under this key is not written again, as when two people pin the same message.
    pub once: Option<String>,
    /// What PagerDuty told of which incident, and whether it triggered anew.
    pub pagerduty: Option<(IncidentId, PagerDutyIncident, bool)>,
    /// Lines for the timeline; the audit gets those of PagerDuty too.
    pub timeline: Vec<TimelineEntry>,
    /// What is to be seen.
    pub wishes: Vec<Wish>,
    /// The buttons of the wishes.
    pub offers: Vec<Offer>,
}

impl Store {
    /// Stores a signal, if none of its keys was seen before. Whether it is new.
    pub async fn hear(
        &self,
        keys: Vec<String>,
        received: Timestamp,
        signal: &Signal,
    ) -> Result<bool, Error> {
        let signal = serde_json::to_string(signal).map_err(|error| Error::Fault {
            file: self.path().display().to_string(),
            why: format!("a signal cannot be written: {error}"),
        })?;
        let run = move |tx: &Tx<'_>| {
            for key in &keys {
                if known(tx, key)? {
                    return Ok(false);
                }
            }
            for key in &keys {
                remember(tx, key, received, None)?;
            }
            tx.conn
                .prepare_cached("INSERT INTO signals (signal, received_at) VALUES (?1, ?2)")?
                .execute(params![signal, ns(received)])?;
            Ok(true)
        };
        self.inner
            .writer
            .run(Haste::Now, HEAR_TIMEOUT, None, run)
            .await
    }

    /// What is still to be dealt with, oldest first.
    pub async fn heard(&self, limit: usize) -> Result<Vec<Heard>, Error> {
        self.read(move |conn| {
            conn.prepare_cached("SELECT id, signal, received_at FROM signals ORDER BY id LIMIT ?1")?
                .query_map([int(limit as u64)], |row| {
                    Ok(Heard {
                        row: row.get("id")?,
                        received_at: time(row, "received_at")?,
                        signal: read(row, "signal")?,
                    })
                })?
                .collect()
        })
        .await
    }

    /// Writes what a signal leads to and forgets it; `false` where another process did already.
    pub async fn deal(&self, row: i64, dealt: Dealt) -> Result<bool, Error> {
        self.write(move |tx| {
            let mine = tx
                .conn
                .prepare_cached("DELETE FROM signals WHERE id = ?1")?
                .execute([row])?;
            if mine == 0 {
                return Ok(false);
            }
            if let Some(key) = &dealt.once
                && !remember(tx, key, tx.now, None)?
            {
                return Ok(true);
            }
            if let Some((incident, told, triggered)) = &dealt.pagerduty {
                learn(tx, *incident, told, *triggered)?;
            }
            for line in &dealt.timeline {
                if line.actor == Actor::PagerDuty {
                    let event = Event::Incident {
                        incident: line.incident.to_string(),
                        what: line.text.clone(),
                    };
                    chain::append(tx, &line.actor, None, &[event])?;
                }
            }
            incidents::tell(tx, &dealt.timeline)?;
            offers::insert(tx, &dealt.offers, None)?;
            outbox::put(tx, &dealt.wishes)?;
            Ok(true)
        })
        .await
    }

    /// The operation that was made of the delivery with that key, where there was one.
    pub async fn delivered(&self, key: &str) -> Result<Option<OperationId>, Error> {
        let key = key.to_owned();
        self.read(move |conn| {
            let found = conn
                .prepare_cached("SELECT operation FROM deliveries WHERE key = ?1")?
                .query_row([key], |row| row.get::<_, Option<i64>>(0))
                .optional()?;
            Ok(found.flatten().map(operation_id))
        })
        .await
    }

    /// Takes or keeps a turn that one process has at a time, and that lapses after `lasts`. Whether this process has it.
    pub async fn turn(&self, name: &str, lasts: Duration) -> Result<bool, Error> {
        let name = format!("turn:{name}");
        self.write(move |tx| {
            let held: Option<String> = tx
                .conn
                .prepare_cached("SELECT value FROM memos WHERE name = ?1")?
                .query_row([&name], |row| row.get(0))
                .optional()?;
            let held: Value = held
                .as_deref()
                .map(of_json)
                .transpose()?
                .unwrap_or_default();
            let mine = held["owner"] == tx.owner.as_str();
            let lapsed = held["until"]
                .as_i64()
                .is_none_or(|until| until <= ns(tx.now));
            if !mine && !lapsed {
                return Ok(false);
            }
            let held = json!({"owner": tx.owner, "until": ns(tx.now + lasts)});
            note(tx, &name, &text_of(&held)?)?;
            Ok(true)
        })
        .await
    }

    /// Notes what somebody is called.
    pub async fn call(&self, user: &UserId, name: &str) -> Result<(), Error> {
        let (user, name) = (user.clone(), name.to_owned());
        self.write(move |tx| {
            tx.conn
                .prepare_cached("INSERT OR REPLACE INTO people (user, name) VALUES (?1, ?2)")?
                .execute(params![user.as_str(), name])?;
            Ok(())
        })
        .await
    }
}

fn known(tx: &Tx<'_>, key: &str) -> rusqlite::Result<bool> {
    tx.conn
        .prepare_cached("SELECT 1 FROM deliveries WHERE key = ?1")?
        .exists([key])
}

/// Notes what PagerDuty told of an incident of its own.
pub(super) fn learn(
    tx: &Tx<'_>,
    id: IncidentId,
    told: &PagerDutyIncident,
    triggered: bool,
) -> rusqlite::Result<()> {
    let Some(mut incident) = incidents::find(tx.conn, id)? else {
        return Ok(());
    };
    let pages = &mut incident.pagerduty;
    match pages.iter().position(|known| known.id == told.id) {
        Some(at) => pages[at].learn(told),
        None if pages.len() < MOST_PAGES => pages.push(told.clone()),
        None => {}
    }
    tx.conn
        .prepare_cached(
            "UPDATE incidents SET pagerduty = ?2, triggers = triggers + ?3 WHERE id = ?1",
        )?
        .execute(params![
            int(id.0),
            text_of(&incident.pagerduty)?,
            i64::from(triggered)
        ])?;
    Ok(())
}
