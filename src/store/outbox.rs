//! The outbox: one row a visible thing, holding the newest wish for it. A newer wish replaces one that was not sent yet.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{OptionalExtension, Row, named_params};

use super::{
    Error, Fault, Store, Tx, claim, effects, incidents, offers,
    rows::{int, json, ns, read, uint},
    settle,
};
use crate::domain::{
    ids::{ChannelId, MessageTs},
    incident::Home,
    journey::Redacted,
    message::{About, Carrier, Due, Lane, MessageKey, Posted, Under, Wish},
    operation::Offer,
    output::Output,
    records::Outbox,
};

/// How often the poster looks without being woken: another process may have written.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A wish that Slack will never show.
#[derive(Debug)]
pub struct DeadLetter {
    /// Names it for [`Store::bury`].
    pub row: i64,
    /// Which visible thing.
    pub key: MessageKey,
    /// Where it should have gone.
    pub channel: ChannelId,
    /// How urgent it was.
    pub lane: Lane,
    /// What it shows.
    pub output: Redacted,
    /// Whose it is.
    pub about: About,
    /// What a person can do about it.
    pub advice: String,
}

impl Store {
    /// Wishes for these things to be seen.
    pub async fn put(&self, wishes: Vec<Wish>) -> Result<(), Error> {
        self.put_with(wishes, Vec::new()).await
    }

    /// Wishes for these things to be seen, with their buttons.
    pub async fn put_with(&self, wishes: Vec<Wish>, buttons: Vec<Offer>) -> Result<(), Error> {
        self.write(move |tx| {
            offers::insert(tx, &buttons, None)?;
            Ok(put(tx, &wishes)?)
        })
        .await
    }

    /// How old the oldest wish is that is not to be seen yet.
    pub async fn oldest_waiting(&self) -> Result<Option<Duration>, Error> {
        let now = ns(self.now());
        self.read(move |conn| {
            let oldest: Option<i64> = conn
                .prepare_cached(
                    "SELECT min(wished_at) FROM outbox WHERE state IN ('waiting', 'claimed')",
                )?
                .query_row([], |row| row.get(0))?;
            Ok(oldest.map(|at| Duration::from_nanos(uint(now.saturating_sub(at)))))
        })
        .await
    }

    /// How many wishes are not to be seen yet.
    pub async fn waiting(&self) -> Result<usize, Error> {
        self.count("SELECT count(*) FROM outbox WHERE state IN ('waiting', 'claimed')")
            .await
    }

    async fn count(&self, sql: &'static str) -> Result<usize, Error> {
        self.read(move |conn| {
            conn.prepare_cached(sql)?
                .query_row([], |row| row.get::<_, i64>(0))
        })
        .await
        .map(|count| usize::try_from(count).unwrap_or(0))
    }

    /// Where the message of that key is, once it is posted.
    pub async fn message_ts(
        &self,
        key: &MessageKey,
    ) -> Result<Option<(ChannelId, MessageTs)>, Error> {
        let key = key.0.clone();
        self.read(move |conn| {
            conn.prepare_cached("SELECT channel, ts FROM outbox WHERE key = ?1 AND ts IS NOT NULL")?
                .query_row([key], |row| {
                    Ok((
                        ChannelId::new(row.get::<_, String>(0)?),
                        MessageTs::new(row.get::<_, String>(1)?),
                    ))
                })
                .optional()
        })
        .await
    }

    /// Wishes given up that nobody was told of yet, oldest first.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT row, key, channel, lane, output, redacted, about, said FROM outbox \
                 WHERE settled_at IS NOT NULL AND state = 'dead' AND told = 0 ORDER BY settled_at LIMIT 64",
            )?
            .query_map([], dead_letter)?
            .collect()
        })
        .await
    }

    /// Notes that a dead letter was dealt with, together with what is to be seen instead. Whether this process was the one.
    pub async fn bury(&self, row: i64, instead: Vec<Wish>) -> Result<bool, Error> {
        self.write(move |tx| {
            let buried = tx
                .conn
                .prepare_cached(
                    "UPDATE outbox SET told = 1 WHERE row = ?1 AND state = 'dead' AND told = 0",
                )?
                .execute([row])?;
            if buried == 1 {
                put(tx, &instead)?;
            }
            Ok(buried == 1)
        })
        .await
    }
}

impl Outbox for Store {
    fn claim(&self, limit: usize) -> BoxFuture<'_, anyhow::Result<Vec<Due>>> {
        self.write(move |tx| Ok(claim::claim(tx, limit)?))
            .map(|due| due.map_err(Into::into))
            .boxed()
    }

    fn settle<'a>(&'a self, due: &'a Due, posted: Posted) -> BoxFuture<'a, anyhow::Result<()>> {
        let claim = settle::Claim::of(due);
        self.write(move |tx| Ok::<_, Fault>(settle::settle(tx, &claim, &posted)?))
            .map(|settled| settled.map_err(Into::into))
            .boxed()
    }

    fn wait(&self) -> BoxFuture<'_, ()> {
        async {
            let _ = tokio::time::timeout(LOOK_EVERY, self.inner.wished.notified()).await;
        }
        .boxed()
    }
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        row: row.get("row")?,
        key: MessageKey(row.get("key")?),
        channel: ChannelId::new(row.get::<_, String>("channel")?),
        lane: claim::lane(row)?,
        output: output(row)?,
        about: read(row, "about")?,
        advice: row.get::<_, Option<String>>("said")?.unwrap_or_default(),
    })
}

/// The output of a row; only redacted ones are ever written.
pub(super) fn output(row: &Row<'_>) -> rusqlite::Result<Redacted> {
    Ok(Redacted::restored(
        read::<Output>(row, "output")?,
        uint(row.get("redacted")?),
    ))
}

/// Writes wishes: a new row, or the newest wish in the row of that key.
pub(super) fn put(tx: &Tx<'_>, wishes: &[Wish]) -> rusqlite::Result<()> {
    for wish in wishes {
        put_one(tx, wish)?;
    }
    if !wishes.is_empty() {
        tx.wake_poster();
    }
    Ok(())
}

fn put_one(tx: &Tx<'_>, wish: &Wish) -> rusqlite::Result<()> {
    let (waits_for, pins) = match (&wish.carrier, &wish.to.thread) {
        (Carrier::Pin(key), _) => (Some(key), true),
        (_, Under::Key(key)) => (Some(key), false),
        _ => (None, false),
    };
    let blocked = match waits_for {
        Some(key) => match (parent(tx, key)?, pins) {
            (Parent::There(..), _) | (Parent::Never, false) => false,
            (Parent::NotYet | Parent::Unknown, _) | (Parent::Never, true) => true,
        },
        None => false,
    };
    // New messages and files keep their order; what one person sees, and pins, need none.
    let queued = matches!(wish.carrier, Carrier::Message | Carrier::File { .. });
    tx.conn.prepare_cached(UPSERT)?.execute(named_params! {
        ":key": wish.key.0,
        ":operation": wish.about.operation.map(|id| int(id.0)),
        ":channel": wish.to.channel.as_str(),
        ":under": json(&wish.to.thread)?,
        ":waits_for": waits_for.map(|key| key.0.as_str()),
        ":pins": pins,
        ":carrier": json(&wish.carrier)?,
        ":lane": wish.lane as i64,
        ":output": json(&wish.output)?,
        ":redacted": int(wish.output.removed()),
        ":about": json(&wish.about)?,
        ":blocked": blocked,
        ":queued": queued,
        ":now": ns(tx.now),
    })?;
    Ok(())
}

/// A newer wish keeps the row, so its turn and its `ts`; a claimed row stays claimed, and is due again once that claim is settled.
/// What is to be seen already exactly so is no new wish. A dead row gets a new life. A more urgent lane does not wait for a pace.
const UPSERT: &str = "
INSERT INTO outbox (key, operation, channel, under, waits_for, pins, carrier, lane, output, redacted, about, state, blocked,
                    queued, wished_at, due_at)
VALUES (:key, :operation, :channel, :under, :waits_for, :pins, :carrier, :lane, :output, :redacted, :about, 'waiting', :blocked,
        :queued, :now, :now)
ON CONFLICT (key) DO UPDATE SET
    operation  = excluded.operation,
    channel    = CASE WHEN ts IS NULL THEN excluded.channel ELSE channel END,
    under      = CASE WHEN ts IS NULL THEN excluded.under ELSE under END,
    waits_for  = CASE WHEN ts IS NULL THEN excluded.waits_for ELSE waits_for END,
    blocked    = CASE WHEN ts IS NULL THEN excluded.blocked ELSE 0 END,
    queued     = CASE WHEN ts IS NOT NULL THEN 0 WHEN state IN ('sent', 'dead') THEN excluded.queued ELSE queued END,
    pins       = excluded.pins,
    carrier    = excluded.carrier,
    output     = excluded.output,
    redacted   = excluded.redacted,
    about      = excluded.about,
    seq        = seq + 1,
    wished_at  = CASE WHEN state IN ('sent', 'dead') OR (state = 'claimed' AND seq = claimed_seq)
                      THEN excluded.wished_at ELSE wished_at END,
    due_at     = CASE WHEN state IN ('sent', 'dead') OR excluded.lane < lane THEN excluded.due_at ELSE due_at END,
    attempts   = CASE state WHEN 'dead' THEN 0 ELSE attempts END,
    doubtful   = CASE state WHEN 'dead' THEN 0 ELSE doubtful END,
    settled_at = NULL,
    told       = 0,
    lane       = excluded.lane,
    state      = CASE state WHEN 'claimed' THEN 'claimed' ELSE 'waiting' END
WHERE state <> 'sent' OR output <> excluded.output OR about <> excluded.about OR carrier <> excluded.carrier";

/// The message that another stands under, or pins.
pub(super) enum Parent {
    /// It is posted, there.
    There(ChannelId, MessageTs),
    /// It waits itself.
    NotYet,
    /// It will never have a thread.
    Never,
    /// Nobody wished for it, or its row was swept.
    Unknown,
}

pub(super) fn parent(tx: &Tx<'_>, key: &MessageKey) -> rusqlite::Result<Parent> {
    let row = tx
        .conn
        .prepare_cached("SELECT channel, ts, state FROM outbox WHERE key = ?1")?
        .query_row([&key.0], |row| {
            let channel: String = row.get(0)?;
            let ts: Option<String> = row.get(1)?;
            let state: String = row.get(2)?;
            Ok((channel, ts, state))
        })
        .optional()?;
    Ok(match row {
        Some((channel, Some(ts), _)) => Parent::There(channel.into(), ts.into()),
        Some((_, None, state)) if state == "sent" || state == "dead" => Parent::Never,
        Some(_) => Parent::NotYet,
        None => card(tx, key)?.unwrap_or(Parent::Unknown),
    })
}

/// The card of an incident that is older than what the outbox keeps.
fn card(tx: &Tx<'_>, key: &MessageKey) -> rusqlite::Result<Option<Parent>> {
    let Some(id) = effects::incident_of_card(&key.0) else {
        return Ok(None);
    };
    let home = incidents::find(tx.conn, id)?.map(|incident| incident.home);
    Ok(match home {
        Some(Home::Card {
            channel,
            ts: Some(ts),
        }) => Some(Parent::There(channel, ts)),
        _ => None,
    })
}
