//! What came of a claimed wish, and what follows from it for the wishes that stand under it.

use std::time::Duration;

use rusqlite::{OptionalExtension, named_params, params};

use super::{
    Tx,
    claim::ns_of,
    effects::card_posted,
    rows::{int, ns},
};
use crate::domain::{
    ids::MessageTs,
    message::{Carrier, Due, Posted},
};

/// First pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// After how many failures of its own a new message holds up no later one any more.
const STUCK: i64 = 5;
/// How long something is tried at least.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);

/// What a settlement needs to know of its claim.
pub(super) struct Claim {
    row: i64,
    seq: i64,
    attempt: i64,
    is_message: bool,
    channel: String,
    used_reply_of: Option<i64>,
}

impl Claim {
    pub(super) fn of(due: &Due) -> Self {
        Self {
            row: due.row,
            seq: int(due.seq),
            attempt: i64::from(due.attempts) + 1,
            is_message: matches!(due.carrier, Carrier::Message),
            channel: due.channel.as_str().to_owned(),
            used_reply_of: due
                .reply
                .as_ref()
                .and(due.about.operation)
                .map(|id| int(id.0)),
        }
    }
}

/// A row at the moment of settling.
struct Now {
    key: String,
    ts: Option<String>,
    claimed: bool,
    /// By this very claim.
    mine: bool,
    seq: i64,
    wished_at: i64,
}

/// Writes what came of it. From a claim that lapsed meanwhile only what is certain is kept: the message's time stamp.
pub(super) fn settle(tx: &Tx<'_>, claim: &Claim, posted: &Posted) -> rusqlite::Result<()> {
    let Some(now) = look(tx, claim)? else {
        return Ok(());
    };
    match posted {
        Posted::Sent { ts } => sent(tx, claim, &now, ts.as_ref()),
        _ if !now.mine => Ok(()),
        Posted::Later { after } => later(tx, claim, *after),
        Posted::Refused { advice } => dead(tx, claim, &now, advice),
        Posted::NotDone { retry_after, why } => retry(tx, claim, &now, *retry_after, false, why),
        Posted::Doubtful { why } => retry(tx, claim, &now, None, true, why),
    }
}

fn look(tx: &Tx<'_>, claim: &Claim) -> rusqlite::Result<Option<Now>> {
    tx.conn
        .prepare_cached(
            "SELECT key, ts, state = 'claimed', coalesce(claimed_by = :owner, 0) AND attempts = :attempt, seq, \
             wished_at FROM outbox WHERE row = :row",
        )?
        .query_row(
            named_params! {":owner": tx.owner.as_str(), ":attempt": claim.attempt, ":row": claim.row},
            |row| {
                let claimed = row.get(2)?;
                Ok(Now {
                    key: row.get(0)?,
                    ts: row.get(1)?,
                    claimed,
                    mine: claimed && row.get(3)?,
                    seq: row.get(4)?,
                    wished_at: row.get(5)?,
                })
            },
        )
        .optional()
}

fn sent(tx: &Tx<'_>, claim: &Claim, now: &Now, ts: Option<&MessageTs>) -> rusqlite::Result<()> {
    // What only one person sees, a file and a pin cannot be edited: their time stamps would mislead. A message that was gone when it
    // was to be edited was posted anew: from now on that is the one.
    let is_new = |ts: &&MessageTs| match &now.ts {
        None => true,
        Some(known) => now.mine && known != ts.as_str(),
    };
    let ts = ts.filter(|_| claim.is_message).filter(is_new);
    if let Some(ts) = ts {
        tx.conn
            .prepare_cached(
                "UPDATE outbox SET ts = ?2, channel = ?3, blocked = 0, queued = 0 WHERE row = ?1",
            )?
            .execute(params![claim.row, ts.as_str(), claim.channel])?;
        card_posted(tx, &now.key, &claim.channel, ts.as_str())?;
        unblock(tx, &now.key, true)?;
    }
    if now.claimed && !now.mine {
        return Ok(()); // somebody else is at it and says what came of it
    }
    if now.seq == claim.seq {
        tx.conn
            .prepare_cached(
                "UPDATE outbox SET state = 'sent', queued = 0, blocked = 0, attempts = 0, doubtful = 0, claimed_by = NULL, \
                 claimed_until = NULL, settled_at = ?2, said = NULL WHERE row = ?1",
            )?
            .execute([claim.row, ns(tx.now)])?;
        unblock(tx, &now.key, false)?;
        return Ok(());
    }
    // A newer wish came meanwhile: due at once, as an edit where there is a message by now.
    if now.mine {
        tx.conn
            .prepare_cached(
                "UPDATE outbox SET state = 'waiting', attempts = 0, doubtful = 0, claimed_by = NULL, claimed_until = NULL, \
                 due_at = ?2, said = NULL WHERE row = ?1",
            )?
            .execute([claim.row, ns(tx.now)])?;
    }
    tx.wake_poster();
    Ok(())
}

/// What waits for that message is due now; pins only where there is something to pin.
fn unblock(tx: &Tx<'_>, key: &str, pins_too: bool) -> rusqlite::Result<()> {
    let freed = tx
        .conn
        .prepare_cached("UPDATE outbox SET blocked = 0 WHERE waits_for = ?1 AND blocked = 1 AND (?2 OR pins = 0)")?
        .execute(params![key, pins_too])?;
    if freed > 0 {
        tx.wake_poster();
    }
    Ok(())
}

/// Not tried: as it was before the claim.
fn later(tx: &Tx<'_>, claim: &Claim, after: Duration) -> rusqlite::Result<()> {
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET state = 'waiting', attempts = attempts - 1, claimed_by = NULL, claimed_until = NULL, due_at = ?2 \
             WHERE row = ?1",
        )?
        .execute([claim.row, ns(tx.now).saturating_add(ns_of(after))])?;
    if let Some(operation) = claim.used_reply_of {
        tx.conn
            .prepare_cached(
                "UPDATE reply_addresses SET uses = uses - 1 WHERE operation = ?1 AND uses > 0",
            )?
            .execute([operation])?;
    }
    Ok(())
}

fn retry(
    tx: &Tx<'_>,
    claim: &Claim,
    now: &Now,
    retry_after: Option<Duration>,
    doubtful: bool,
    why: &str,
) -> rusqlite::Result<()> {
    if ns(tx.now).saturating_sub(now.wished_at) >= ns_of(GIVE_UP_AFTER) {
        let advice = format!("Slack did not take it for a day ({why}); read it with `habops do`");
        return dead(tx, claim, now, &advice);
    }
    // Where Slack says when to come back, the message itself did nothing wrong and keeps its turn.
    let counts = retry_after.is_none();
    let pause = retry_after.unwrap_or_else(|| pause(claim.attempt));
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET state = 'waiting', claimed_by = NULL, claimed_until = NULL, due_at = :due_at, \
             doubtful = :doubtful, said = :why, attempts = attempts - (NOT :counts), \
             queued = CASE WHEN :counts AND attempts >= :stuck THEN 0 ELSE queued END WHERE row = :row",
        )?
        .execute(named_params! {
            ":due_at": ns(tx.now).saturating_add(ns_of(pause)),
            ":doubtful": doubtful,
            ":why": why,
            ":counts": counts,
            ":stuck": STUCK,
            ":row": claim.row,
        })?;
    Ok(())
}

/// Doubles from attempt to attempt; the jitter keeps what failed together from coming back together.
fn pause(attempt: i64) -> Duration {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(6);
    let pause = FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE);
    pause.mul_f64(rand::random_range(0.75..=1.0))
}

fn dead(tx: &Tx<'_>, claim: &Claim, now: &Now, advice: &str) -> rusqlite::Result<()> {
    tracing::warn!(key = %now.key, "a message is given up: {advice}");
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET state = 'dead', queued = 0, blocked = 0, claimed_by = NULL, claimed_until = NULL, settled_at = ?2, \
             said = ?3 WHERE row = ?1",
        )?
        .execute(params![claim.row, ns(tx.now), advice])?;
    if now.ts.is_some() {
        return Ok(()); // only an edit died; what stands under the message stays there
    }
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET state = 'dead', blocked = 0, told = 1, settled_at = ?2, said = 'what it pins was never posted' \
             WHERE waits_for = ?1 AND pins = 1 AND blocked = 1",
        )?
        .execute(params![now.key, ns(tx.now)])?;
    unblock(tx, &now.key, false)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn the_pause_doubles_up_to_a_minute_and_jitters_downwards() {
        for (attempt, longest) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50, 60)] {
            for _ in 0..50 {
                let pause = pause(attempt);
                let longest = Duration::from_secs(longest);
                assert!(
                    pause <= longest && pause >= longest.mul_f64(0.74),
                    "{pause:?}"
                );
            }
        }
    }
}
