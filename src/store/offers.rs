//! What buttons stand for. One is used once: by a compare-and-swap, not by a key.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Error, Store, Tx,
    operations::operation_id,
    rows::{int, json, ns, read_some, read_word, some_time, uint, word},
};
use crate::domain::{
    actor::Actor,
    ids::{IncidentId, OfferId, OperationId},
    operation::Offer,
};

/// What came of pressing a button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UseOffer {
    /// It counts; nobody else's press of it will.
    Won(Offer),
    /// Somebody was faster; `used_by` says who.
    Lost(Offer),
    /// Its time is over.
    Expired,
    /// There is no such button.
    Unknown,
}

impl Store {
    /// What a button stands for.
    pub async fn offer(&self, id: &OfferId) -> Result<Option<Offer>, Error> {
        let id = id.clone();
        self.read(move |conn| find(conn, &id)).await
    }

    /// Uses a button up. Whether this person may is asked before.
    pub async fn use_offer(&self, id: &OfferId, by: &Actor) -> Result<UseOffer, Error> {
        let (id, by) = (id.clone(), by.clone());
        self.write(move |tx| {
            let used = tx
                .conn
                .prepare_cached(
                    "UPDATE offers SET used_by = :by, used_at = :now WHERE id = :id AND used_by IS NULL \
                     AND (expires_at IS NULL OR expires_at > :now)",
                )?
                .execute(named_params! {":by": json(&by)?, ":now": ns(tx.now), ":id": id.as_str()})?;
            Ok(match find(tx.conn, &id)? {
                None => UseOffer::Unknown,
                Some(offer) if used == 1 => UseOffer::Won(offer),
                Some(offer) if offer.used_by.is_some() => UseOffer::Lost(offer),
                Some(_) => UseOffer::Expired,
            })
        })
        .await
    }
}

/// Keeps offers; those that name no operation, and are not about another one, belong to `operation`.
pub(super) fn insert(
    tx: &Tx<'_>,
    offers: &[Offer],
    operation: Option<OperationId>,
) -> rusqlite::Result<()> {
    for offer in offers {
        tx.conn
            .prepare_cached(
                "INSERT INTO offers (id, action, operation, command, incident, expires_at, made_at) \
                 VALUES (:id, :action, :operation, :command, :incident, :expires_at, :made_at)",
            )?
            .execute(named_params! {
                ":id": offer.id.as_str(),
                ":action": word(offer.action)?,
                ":operation": offer.operation.or(operation).map(|id| int(id.0)),
                ":command": offer.command,
                ":incident": offer.incident.map(|id| int(id.0)),
                ":expires_at": offer.expires_at.map(ns),
                ":made_at": ns(tx.now),
            })?;
    }
    Ok(())
}

fn find(conn: &Connection, id: &OfferId) -> rusqlite::Result<Option<Offer>> {
    conn.prepare_cached("SELECT id, action, operation, command, incident, expires_at, used_by FROM offers WHERE id = ?1")?
        .query_row([id.as_str()], offer)
        .optional()
}

fn offer(row: &Row<'_>) -> rusqlite::Result<Offer> {
    Ok(Offer {
        id: OfferId::new(row.get::<_, String>("id")?),
        action: read_word(row, "action")?,
        operation: row.get::<_, Option<i64>>("operation")?.map(operation_id),
        command: row.get("command")?,
        incident: row
            .get::<_, Option<i64>>("incident")?
            .map(|id| IncidentId(uint(id))),
        expires_at: some_time(row, "expires_at")?,
        used_by: read_some(row, "used_by")?,
    })
}
