//! What comes in: kept once, by its key, before anybody is told that it was heard (laws 1 and 2).

use std::{fmt, time::Duration};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, named_params, params};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Error, Fault, Store, Tx, chain, incidents,
    leases::LEASE,
    operations::operation_id,
    outbox,
    queue::Haste,
    rows::{int, json, ns, of_json, some_json, word},
};
use crate::domain::{
    actor::Actor,
    audit::Event,
    ids::{CommandName, OperationId},
    inbound::Via,
    incident::Incident,
    journey::Redacted,
    message::Wish,
    operation::{Offer, State},
    place::Whence,
};

/// How long a sender can be kept waiting for the acknowledgement (law 1).
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes the wishes of a new operation, once its number is known.
pub type MakeWishes = Box<dyn FnOnce(OperationId) -> Vec<Wish> + Send>;

/// Words that came in, to be kept as an operation.
pub struct Accept {
    /// What makes a second delivery of it recognisable.
    pub key: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// Normalised, secrets masked.
    pub text: String,
    /// The command it was understood as.
    pub command: Option<CommandName>,
    /// Who.
    pub actor: Actor,
    /// Where.
    pub whence: Whence,
    /// How.
    pub via: Via,
    /// Where an ephemeral answer can be sent for 30 minutes.
    pub reply: Option<SecretString>,
    /// A yes given beforehand (`--yes`).
    pub yes: bool,
    /// `Received` or, where it was refused at once, `Refused`.
    pub state: State,
    /// What a refused one was told.
    pub output: Option<Redacted>,
    /// For the audit, in the actor's name.
    pub events: Vec<Event>,
    /// What is to be seen of it.
    pub wishes: MakeWishes,
    /// The buttons of those wishes; each with its operation left empty gets the new one.
    pub offers: Vec<Offer>,
}

impl Accept {
    /// For [`Accept::wishes`] where nothing is to be seen.
    pub fn no_wishes() -> MakeWishes {
        Box::new(|_| Vec::new())
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept")
            .field("key", &self.key)
            .field("text", &self.text)
            .field("actor", &self.actor)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Kept. This process owns it, with fence 1; a refused one is at its end already.
    New {
        /// Its number.
        id: OperationId,
        /// The incidents that are open at this moment, oldest first.
        open: Vec<Incident>,
    },
    /// Came before; the operation that was made of it then, where one was.
    Duplicate(Option<OperationId>),
}

impl Store {
    /// Keeps words that came in, once, and makes an operation of them. On [`Error::Busy`] nothing comes of it: should it
    /// have been written at the last moment after all, it ends refused.
    pub async fn accept(&self, accept: Accept) -> Result<Accepted, Error> {
        let run = move |tx: &Tx<'_>| insert(tx, accept);
        self.inner
            .writer
            .run(Haste::Now, ACCEPT_TIMEOUT, Some(end_unheard), run)
            .await
    }

    /// Whether this delivery comes for the first time: for what makes no operation, like a button.
    pub async fn first_time(&self, key: impl Into<String>) -> Result<bool, Error> {
        let key = key.into();
        let run = move |tx: &Tx<'_>| Ok(remember(tx, &key, tx.now, None)?);
        self.inner
            .writer
            .run(Haste::Now, ACCEPT_TIMEOUT, None, run)
            .await
    }
}

fn insert(tx: &Tx<'_>, accept: Accept) -> Result<Accepted, Fault> {
    let before = tx
        .conn
        .prepare_cached("SELECT operation FROM deliveries WHERE key = ?1")?
        .query_row([&accept.key], |row| row.get::<_, Option<i64>>(0))
        .optional()?;
    if let Some(operation) = before {
        return Ok(Accepted::Duplicate(operation.map(operation_id)));
    }
    let ended = accept.state.is_end();
    tx.conn
        .prepare_cached(
            "INSERT INTO operations (text, command, actor, whence, via, yes, state, received_at, ended_at, owner, lease_until, \
             fence, output, redacted) VALUES (:text, :command, :actor, :whence, :via, :yes, :state, :received_at, :ended_at, \
             :owner, :lease_until, 1, :output, :redacted)",
        )?
        .execute(named_params! {
            ":text": accept.text,
            ":command": accept.command.as_ref().map(CommandName::as_str),
            ":actor": json(&accept.actor)?,
            ":whence": json(&accept.whence)?,
            ":via": word(accept.via)?,
            ":yes": accept.yes,
            ":state": accept.state.word(),
            ":received_at": ns(accept.received_at),
            ":ended_at": ended.then(|| ns(tx.now)),
            ":owner": tx.owner.as_str(),
            ":lease_until": (!ended).then(|| ns(tx.now + LEASE)),
            ":output": some_json(accept.output.as_ref())?,
            ":redacted": int(accept.output.as_ref().map_or(0, Redacted::removed)),
        })?;
    let id = operation_id(tx.conn.last_insert_rowid());
    remember(tx, &accept.key, accept.received_at, Some(id))?;
    if let Some(reply) = &accept.reply {
        tx.conn
            .prepare_cached(
                "INSERT INTO reply_addresses (operation, address, received_at) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![
                int(id.0),
                reply.expose_secret(),
                ns(accept.received_at)
            ])?;
    }
    chain::append(tx, &accept.actor, Some(id), &accept.events)?;
    super::offers::insert(tx, &accept.offers, Some(id))?;
    outbox::put(tx, &(accept.wishes)(id))?;
    Ok(Accepted::New {
        id,
        open: incidents::open(tx.conn)?,
    })
}

/// Notes the key; `false` when it was there.
pub(super) fn remember(
    tx: &Tx<'_>,
    key: &str,
    at: Timestamp,
    operation: Option<OperationId>,
) -> rusqlite::Result<bool> {
    let noted = tx
        .conn
        .prepare_cached(
            "INSERT INTO deliveries (key, received_at, operation) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![key, ns(at), operation.map(|id| int(id.0))])?;
    Ok(noted == 1)
}

/// The sender was told that it cannot be kept, and that nothing is done; yet it was kept. So it ends, and never begins.
fn end_unheard(accepted: &Accepted, tx: &Tx<'_>) -> Result<(), Fault> {
    let Accepted::New { id, .. } = accepted else {
        return Ok(());
    };
    let actor: Option<String> = tx
        .conn
        .prepare_cached(
            "UPDATE operations SET state = :refused, ended_at = :now, lease_until = NULL \
             WHERE id = :id AND state = :received AND owner = :owner RETURNING actor",
        )?
        .query_row(
            named_params! {
                ":refused": State::Refused.word(),
                ":received": State::Received.word(),
                ":now": ns(tx.now),
                ":id": int(id.0),
                ":owner": tx.owner.as_str(),
            },
            |row| row.get(0),
        )
        .optional()?;
    if let Some(actor) = actor {
        let why = "it was stored too late: the asker had been told that it cannot be".to_owned();
        chain::append(tx, &of_json(&actor)?, Some(*id), &[Event::Refused { why }])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::{Accept, Accepted, Haste, OperationId, State, Timestamp, end_unheard, insert};
    use crate::{
        domain::{actor::Actor, inbound::Via, place::Whence},
        store::{Config, Store, Tx},
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_its_sender_was_told_is_not_kept_ends_refused_and_never_begins() {
        let dir = tempfile::tempdir().unwrap();
        let clock = std::sync::Arc::new(Timestamp::now);
        let store = Store::open(&Config::default(), dir.path(), clock, "one".into()).unwrap();
        let accept = Accept {
            key: "k".to_owned(),
            received_at: Timestamp::now(),
            text: "restart live-builder-api-0".to_owned(),
            command: Some("restart".into()),
            actor: Actor::person("THOME", "UANA"),
            whence: Whence::Terminal,
            via: Via::Slash,
            reply: None,
            yes: false,
            state: State::Received,
            output: None,
            events: Vec::new(),
            wishes: Accept::no_wishes(),
            offers: Vec::new(),
        };
        let (go, gone) = mpsc::channel::<()>();
        let slow = move |tx: &Tx<'_>| {
            let accepted = insert(tx, accept);
            let _ = gone.recv(); // as a disk that takes its time
            accepted
        };
        let writer = &store.inner.writer;
        let within = Duration::from_millis(50);
        let told: Result<Accepted, _> = writer
            .run(Haste::Now, within, Some(end_unheard), slow)
            .await;
        told.unwrap_err();
        drop(go);
        while store.operation(OperationId(1)).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        store.check().await.unwrap(); // behind what puts it right
        let operation = store.operation(OperationId(1)).await.unwrap().unwrap();
        assert_eq!(operation.state, State::Refused);
        assert!(store.lapsed().await.unwrap().is_empty());
        let audit = store.audit_records(1, 10).await.unwrap();
        assert!(audit[0].event.contains("refused"), "{audit:?}");
    }
}
