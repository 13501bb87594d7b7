//! Hands wishes to one poster at a time: a claim is a lease, and one that lapses comes back doubtful.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, named_params, params};
use secrecy::SecretString;

use super::{
    Tx,
    outbox::{Parent, output, parent},
    rows::{int, ns, of_json, read, read_some, uint},
};
use crate::domain::{
    actor::Actor,
    ids::{ChannelId, MessageTs, OperationId, UserId},
    message::{About, Carrier, Due, Lane, MessageKey, Under},
};

/// How long a poster may take until its claim lapses.
const CLAIM_LEASE: Duration = Duration::from_secs(30);
/// How long a wish waits for a message that nobody wished for, until it goes without.
const PARENT_PATIENCE: Duration = Duration::from_mins(1);
/// How long Slack takes answers at a reply address, and how many.
pub(super) const REPLY_LIFE: Duration = Duration::from_mins(30);
const REPLY_USES: i64 = 5;

/// Rows that may be claimed. New messages and files take turns within channel and lane: only the first of each is a candidate,
/// found by hopping from one channel and lane to the next in the index, so that a long queue costs nothing.
/// Everything else (edits, ephemerals, pins, and what failed so often that it would hold up the others) is one by itself.
const CANDIDATES: &str = "
WITH RECURSIVE head (row, channel, lane) AS (
    SELECT row, channel, lane FROM outbox WHERE row = (
        SELECT row FROM outbox WHERE queued = 1 AND blocked = 0 ORDER BY channel, lane, row LIMIT 1)
    UNION ALL
    SELECT next.row, next.channel, next.lane FROM head JOIN outbox AS next ON next.row = coalesce(
        (SELECT row FROM outbox WHERE queued = 1 AND blocked = 0 AND channel = head.channel AND lane > head.lane
         ORDER BY lane, row LIMIT 1),
        (SELECT row FROM outbox WHERE queued = 1 AND blocked = 0 AND channel > head.channel
         ORDER BY channel, lane, row LIMIT 1))
)
SELECT row, lane FROM outbox WHERE state = 'waiting' AND blocked = 0 AND queued = 0 AND due_at <= :now
UNION ALL
SELECT outbox.row, outbox.lane FROM head JOIN outbox ON outbox.row = head.row
WHERE outbox.state = 'waiting' AND outbox.due_at <= :now
ORDER BY lane, row LIMIT :limit";

/// Claims up to `limit` rows.
pub(super) fn claim(tx: &Tx<'_>, limit: usize) -> rusqlite::Result<Vec<Due>> {
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET state = 'waiting', doubtful = 1, claimed_by = NULL, claimed_until = NULL, due_at = :now \
             WHERE state = 'claimed' AND claimed_until <= :now",
        )?
        .execute(named_params! {":now": ns(tx.now)})?;
    let rows: Vec<i64> = tx
        .conn
        .prepare_cached(CANDIDATES)?
        .query_map(
            named_params! {":now": ns(tx.now), ":limit": int(limit as u64)},
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    if rows.is_empty() {
        release_orphans(tx)?;
    }
    rows.into_iter().map(|row| claim_one(tx, row)).collect()
}

/// What waits for a message that nobody ever wished for goes without it: every answer is seen somewhere (law 3).
fn release_orphans(tx: &Tx<'_>) -> rusqlite::Result<()> {
    let since = ns(tx.now).saturating_sub(ns_of(PARENT_PATIENCE));
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET blocked = 0 WHERE blocked = 1 AND pins = 0 AND wished_at <= ?1 \
             AND NOT EXISTS (SELECT 1 FROM outbox AS parent WHERE parent.key = outbox.waits_for)",
        )?
        .execute([since])?;
    Ok(())
}

/// A duration in the unit of the rows.
pub(super) fn ns_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn claim_one(tx: &Tx<'_>, row: i64) -> rusqlite::Result<Due> {
    let (mut due, under) = tx
        .conn
        .prepare_cached(
            "SELECT row, key, channel, under, carrier, lane, output, redacted, about, seq, ts, attempts, doubtful \
             FROM outbox WHERE row = ?1",
        )?
        .query_row([row], due)?;
    let above = match (&due.carrier, &under) {
        (Carrier::Pin(key), _) | (_, Under::Key(key)) => Some(parent(tx, key)?),
        (_, Under::Channel | Under::Ts(_)) => None,
    };
    if let Some(Parent::There(channel, ts)) = above {
        if matches!(due.carrier, Carrier::Pin(_)) {
            due.posted = Some(ts);
        } else {
            due.thread = Some(ts);
        }
        due.channel = channel;
    } else if let Under::Ts(ts) = under {
        due.thread = Some(ts);
    }
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET state = 'claimed', claimed_by = ?2, claimed_until = ?3, claimed_seq = seq, \
             attempts = attempts + 1, channel = ?4 WHERE row = ?1",
        )?
        .execute(params![
            row,
            tx.owner.as_str(),
            ns(tx.now + CLAIM_LEASE),
            due.channel.as_str()
        ])?;
    if let (Carrier::Ephemeral(user), Some(operation)) = (&due.carrier, due.about.operation) {
        due.reply = reply(tx, operation, user)?;
    }
    Ok(due)
}

fn due(row: &Row<'_>) -> rusqlite::Result<(Due, Under)> {
    let due = Due {
        row: row.get("row")?,
        key: MessageKey(row.get("key")?),
        channel: ChannelId::new(row.get::<_, String>("channel")?),
        thread: None,
        carrier: read(row, "carrier")?,
        posted: row.get::<_, Option<String>>("ts")?.map(MessageTs::new),
        seq: uint(row.get("seq")?),
        lane: lane(row)?,
        output: output(row)?,
        about: read::<About>(row, "about")?,
        doubtful: row.get("doubtful")?,
        attempts: u32::try_from(row.get::<_, i64>("attempts")?).unwrap_or(u32::MAX),
        reply: None,
    };
    Ok((due, read_some(row, "under")?.unwrap_or(Under::Channel)))
}

/// The lane of a row.
pub(super) fn lane(row: &Row<'_>) -> rusqlite::Result<Lane> {
    Ok(match row.get::<_, i64>("lane")? {
        0 => Lane::Confirm,
        1 => Lane::Verdict,
        _ => Lane::Progress,
    })
}

/// The operation's reply address, while it is good and only for the person whose it is. Counts the use.
fn reply(
    tx: &Tx<'_>,
    operation: OperationId,
    user: &UserId,
) -> rusqlite::Result<Option<SecretString>> {
    let since = ns(tx.now).saturating_sub(ns_of(REPLY_LIFE));
    let found = tx
        .conn
        .prepare_cached(
            "SELECT address, actor FROM reply_addresses JOIN operations ON operations.id = operation \
             WHERE operation = ?1 AND uses < ?2 AND reply_addresses.received_at > ?3",
        )?
        .query_row(params![int(operation.0), REPLY_USES, since], |row| {
            let actor: Actor = of_json(row.get_ref(1)?.as_str()?)?;
            Ok((row.get::<_, String>(0)?, actor))
        })
        .optional()?;
    let Some((address, actor)) = found else {
        return Ok(None);
    };
    if actor.user() != Some(user) {
        return Ok(None);
    }
    tx.conn
        .prepare_cached("UPDATE reply_addresses SET uses = uses + 1 WHERE operation = ?1")?
        .execute([int(operation.0)])?;
    Ok(Some(SecretString::from(address)))
}
