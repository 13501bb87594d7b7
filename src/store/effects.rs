//! What an outcome does to habops' own records: written with the end that asks for it.

use rusqlite::{OptionalExtension, params};

use super::{
    Tx, chain, incidents,
    rows::{int, json, ns},
};
use crate::domain::{
    actor::Actor,
    audit::Event,
    ids::{Environment, IncidentId, OperationId, UserId},
    incident::{EntryKind, Home, Part, TimelineEntry},
    outcome::{Effect, OpenAt},
    paging::PagerDutyIncident,
    place::Place,
};

/// Applies them in order. An incident that is not there, or not open any more, is left alone: the end itself must be kept.
pub(super) fn apply(
    tx: &Tx<'_>,
    operation: OperationId,
    by: &Actor,
    effects: &[Effect],
) -> rusqlite::Result<()> {
    let doer = Doer { tx, operation, by };
    for effect in effects {
        match effect {
            Effect::OpenIncident {
                title,
                place,
                pagerduty,
            } => doer.open(title, place, pagerduty.as_deref())?,
            Effect::LinkIncident { incident, place } => doer.link(*incident, place)?,
            Effect::AddNote { incident, text } => doer.note(*incident, text)?,
            Effect::AssignPart {
                incident,
                part,
                user,
            } => doer.assign(*incident, *part, user)?,
            Effect::CloseIncident { incident } => doer.close(*incident)?,
            Effect::Freeze { environment, why } => doer.freeze(environment.as_ref(), why)?,
            Effect::Unfreeze { environment } => doer.unfreeze(environment.as_ref())?,
        }
    }
    Ok(())
}

struct Doer<'a> {
    tx: &'a Tx<'a>,
    operation: OperationId,
    by: &'a Actor,
}

impl Doer<'_> {
    fn open(
        &self,
        title: &str,
        place: &OpenAt,
        pagerduty: Option<&PagerDutyIncident>,
    ) -> rusqlite::Result<()> {
        let id = IncidentId(self.operation.0);
        let home = match place {
            OpenAt::CardIn(channel) => Home::Card {
                channel: channel.clone(),
                ts: None,
            },
            OpenAt::Channel(channel) => Home::Channel(channel.clone()),
            // The pipeline has made the channel and names it, or has chosen another place.
            OpenAt::Nowhere | OpenAt::NewChannel { .. } => Home::Nowhere,
        };
        let pages: Vec<_> = pagerduty.into_iter().collect();
        self.tx
            .conn
            .prepare_cached(
                "INSERT INTO incidents (id, title, state, opened_by, opened_at, home, pagerduty) \
                 VALUES (?1, ?2, 'open', ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                int(id.0),
                title,
                json(self.by)?,
                ns(self.tx.now),
                json(&home)?,
                json(&pages)?
            ])?;
        self.tx
            .conn
            .prepare_cached("UPDATE operations SET incident = ?1 WHERE id = ?2")?
            .execute([int(id.0), int(self.operation.0)])?;
        self.happened(id, format!("opened: {title}"))
    }

    fn link(&self, id: IncidentId, place: &Place) -> rusqlite::Result<()> {
        let Some(mut incident) = incidents::find(self.tx.conn, id)? else {
            return Ok(());
        };
        if incident.links.contains(place) {
            return Ok(());
        }
        incident.links.push(place.clone());
        self.tx
            .conn
            .prepare_cached("UPDATE incidents SET links = ?2 WHERE id = ?1")?
            .execute(params![int(id.0), json(&incident.links)?])?;
        let thread = if place.thread.is_some() {
            "a thread in "
        } else {
            ""
        };
        self.happened(id, format!("linked: {thread}<#{}>", place.channel))
    }

    fn note(&self, id: IncidentId, text: &str) -> rusqlite::Result<()> {
        if incidents::find(self.tx.conn, id)?.is_none() {
            return Ok(());
        }
        self.line(id, EntryKind::Note, text.to_owned())
    }

    fn assign(&self, id: IncidentId, part: Part, user: &UserId) -> rusqlite::Result<()> {
        let sql = match part {
            Part::Lead => "UPDATE incidents SET lead = ?2 WHERE id = ?1",
            Part::Scribe => "UPDATE incidents SET scribe = ?2 WHERE id = ?1",
        };
        let known = self
            .tx
            .conn
            .prepare_cached(sql)?
            .execute(params![int(id.0), user.as_str()])?;
        if known == 0 {
            return Ok(());
        }
        self.happened(id, format!("{}: <@{user}>", part.word()))
    }

    fn close(&self, id: IncidentId) -> rusqlite::Result<()> {
        let closed = self
            .tx
            .conn
            .prepare_cached(
                "UPDATE incidents SET state = 'closed', closed_at = ?2 WHERE id = ?1 AND state = 'open'",
            )?
            .execute([int(id.0), ns(self.tx.now)])?;
        if closed == 0 {
            return Ok(());
        }
        self.happened(id, "closed".to_owned())
    }

    fn freeze(&self, environment: Option<&Environment>, why: &str) -> rusqlite::Result<()> {
        self.tx
            .conn
            .prepare_cached(
                "INSERT OR REPLACE INTO freezes (environment, why, by, at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                environment.map_or("", Environment::as_str),
                why,
                json(self.by)?,
                ns(self.tx.now)
            ])?;
        self.froze(environment, true, why)
    }

    /// Without an environment every freeze ends.
    fn unfreeze(&self, environment: Option<&Environment>) -> rusqlite::Result<()> {
        let ended = self
            .tx
            .conn
            .prepare_cached("DELETE FROM freezes WHERE ?1 IS NULL OR environment = ?1")?
            .execute([environment.map(Environment::as_str)])?;
        if ended == 0 {
            return Ok(());
        }
        self.froze(environment, false, "")
    }

    fn froze(&self, at: Option<&Environment>, frozen: bool, why: &str) -> rusqlite::Result<()> {
        let event = Event::Freeze {
            environment: at.map(ToString::to_string),
            frozen,
            why: why.to_owned(),
        };
        chain::append(self.tx, self.by, Some(self.operation), &[event])
    }

    fn happened(&self, incident: IncidentId, what: String) -> rusqlite::Result<()> {
        let event = Event::Incident {
            incident: incident.to_string(),
            what: what.clone(),
        };
        chain::append(self.tx, self.by, Some(self.operation), &[event])?;
        self.line(incident, EntryKind::Incident, what)
    }

    fn line(&self, incident: IncidentId, kind: EntryKind, text: String) -> rusqlite::Result<()> {
        incidents::tell(
            self.tx,
            &[TimelineEntry {
                incident,
                at: self.tx.now,
                actor: self.by.clone(),
                kind,
                text,
                operation: Some(self.operation),
            }],
        )
    }
}

/// The incident's card is posted: its thread is the incident's place from now on.
pub(super) fn card_posted(tx: &Tx<'_>, key: &str, channel: &str, ts: &str) -> rusqlite::Result<()> {
    let Some(id) = incident_of_card(key) else {
        return Ok(());
    };
    let home: Option<String> = tx
        .conn
        .prepare_cached("SELECT home FROM incidents WHERE id = ?1")?
        .query_row([int(id.0)], |row| row.get(0))
        .optional()?;
    let Some(home) = home else {
        return Ok(());
    };
    if let Home::Card { ts: None, .. } = super::rows::of_json(&home)? {
        let home = Home::Card {
            channel: channel.into(),
            ts: Some(ts.into()),
        };
        tx.conn
            .prepare_cached("UPDATE incidents SET home = ?2 WHERE id = ?1")?
            .execute(params![int(id.0), json(&home)?])?;
    }
    Ok(())
}

/// The incident whose card has that key.
pub(super) fn incident_of_card(key: &str) -> Option<IncidentId> {
    let id = key.strip_suffix(":card")?;
    id.starts_with("inc-").then(|| id.parse().ok())?
}
