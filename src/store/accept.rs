//! What comes in: kept once, by its key, before anybody is told that it was heard (laws 1 and 2).

use std::{fmt, time::Duration};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, named_params, params};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Error, Fault, Store, Tx, chain, incidents,
    operations::{LEASE, operation_id},
    outbox,
    queue::Haste,
    rows::{int, json, ns, some_json, word},
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
    /// Keeps words that came in, once, and makes an operation of them. On [`Error::Busy`] nobody works on it here, and should
    /// it have been written at the last moment after all, recovery finds it.
    pub async fn accept(&self, accept: Accept) -> Result<Accepted, Error> {
        let run = move |tx: &Tx<'_>| insert(tx, accept);
        self.inner
            .writer
            .run(Haste::Now, ACCEPT_TIMEOUT, Some(leave_to_recovery), run)
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

/// The sender was told that it could not be kept, yet it was: whoever recovers lapsed operations shall end it.
fn leave_to_recovery(accepted: &Accepted, tx: &Tx<'_>) -> Result<(), Fault> {
    if let Accepted::New { id, .. } = accepted {
        tx.conn
            .prepare_cached(
                "UPDATE operations SET owner = NULL, lease_until = 0 WHERE id = ?1 AND owner = ?2 AND ended_at IS NULL",
            )?
            .execute(params![int(id.0), tx.owner.as_str()])?;
    }
    Ok(())
}
