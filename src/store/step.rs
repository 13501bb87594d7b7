//! The one way an operation moves: a compare-and-swap on its row, with everything that is said about it in the same transaction.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use rusqlite::{named_params, params};

use super::{
    Error, Fault, Store, Tx, chain, effects, incidents,
    leases::LEASE,
    offers,
    operations::standing,
    outbox,
    rows::{int, json, ns, of_json, some_json},
};
use crate::domain::{
    actor::Actor,
    audit::Event,
    ids::{CommandName, Environment, IncidentId, OperationId},
    incident::TimelineEntry,
    journey::Redacted,
    message::Wish,
    node::Node,
    operation::{Offer, State, StoredProposal},
    outcome::Effect,
    place::Place,
};

/// What a step writes besides the state. What is left out stays as it was.
#[derive(Debug, Default)]
pub struct Change {
    /// In whose name the events are; the operation's actor where absent.
    pub by: Option<Actor>,
    /// The fence it is held under. Needed to leave `running`; without it any other state that has an owner can be left by that
    /// owner alone.
    pub fence: Option<u64>,
    /// The command it was understood as.
    pub command: Option<CommandName>,
    /// The environments it touches.
    pub environments: Option<BTreeSet<Environment>>,
    /// The nodes it was authorized for.
    pub nodes: Option<Vec<Node>>,
    /// The incident that hears of it.
    pub incident: Option<IncidentId>,
    /// Where its answer goes.
    pub answer: Option<Place>,
    /// What would be done; its `expires_at` becomes `waits_until`.
    pub proposal: Option<StoredProposal>,
    /// Whether it changes something.
    pub changes: Option<bool>,
    /// The incident that was chosen.
    pub chosen: Option<IncidentId>,
    /// When it began; now, where it becomes `running` and this is absent.
    pub started_at: Option<Timestamp>,
    /// Until when it waits.
    pub waits_until: Option<Timestamp>,
    /// For the audit.
    pub events: Vec<Event>,
    /// What is to be seen.
    pub wishes: Vec<Wish>,
    /// For the incident's timeline.
    pub timeline: Vec<TimelineEntry>,
    /// The buttons of the wishes.
    pub offers: Vec<Offer>,
}

/// What an end writes.
#[derive(Debug)]
pub struct End {
    /// The end state.
    pub state: State,
    /// In whose name; the operation's actor where absent.
    pub by: Option<Actor>,
    /// The answer.
    pub output: Redacted,
    /// What it does to habops' own records. The store itself writes their audit events (`Incident`, `Freeze`) and timeline
    /// lines. `Announce` is none of its business: the caller makes a wish of it.
    pub effects: Vec<Effect>,
    /// For the audit.
    pub events: Vec<Event>,
    /// What is to be seen.
    pub wishes: Vec<Wish>,
    /// For the incident's timeline, besides what effects write.
    pub timeline: Vec<TimelineEntry>,
    /// The buttons of the wishes.
    pub offers: Vec<Offer>,
}

impl End {
    /// An end that says only this.
    pub fn new(state: State, output: Redacted) -> Self {
        Self {
            state,
            by: None,
            output,
            effects: Vec::new(),
            events: Vec::new(),
            wishes: Vec::new(),
            timeline: Vec::new(),
            offers: Vec::new(),
        }
    }
}

/// Whether the compare-and-swap was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// It was; everything is written.
    Won {
        /// The fence from here on. It grows whenever this process becomes the owner of what had none, or another.
        fence: u64,
    },
    /// It was not, and nothing is written: another was faster, or holds it.
    Lost {
        /// Where it stands; absent where there is no such operation.
        now: Option<State>,
    },
}

impl Stepped {
    /// Whether it was won.
    pub fn won(self) -> bool {
        matches!(self, Self::Won { .. })
    }

    /// The fence, where it was won.
    pub fn fence(self) -> Option<u64> {
        match self {
            Self::Won { fence } => Some(fence),
            Self::Lost { .. } => None,
        }
    }
}

impl Store {
    /// Moves an operation from one state to another, if it stands there and this process may move it, and writes what is said
    /// about it in the same transaction. Into `received`, `approved` and `running` it takes it as the owner with a fresh lease;
    /// into `choosing` and `awaiting` it lets go of it. For ends with an output see [`Store::finish`].
    pub async fn step(
        &self,
        id: OperationId,
        from: State,
        to: State,
        change: Change,
    ) -> Result<Stepped, Error> {
        self.write(move |tx| {
            let fence = match admit(tx, id, from, to, change.fence)? {
                Ok(fence) => fence,
                Err(lost) => return Ok(lost),
            };
            let fence = shift(tx, id, from, to, fence)?;
            fill(tx, id, to, &change)?;
            let said = Said {
                by: change.by,
                events: &change.events,
                wishes: &change.wishes,
                timeline: &change.timeline,
                offers: &change.offers,
            };
            said.write(tx, id)?;
            Ok(Stepped::Won { fence })
        })
        .await
    }

    /// Ends an operation, if it stands there under that fence: output, effects, audit, timeline, messages and the release of
    /// its locks, all or nothing.
    pub async fn finish(
        &self,
        id: OperationId,
        from: State,
        fence: u64,
        end: impl Into<Arc<End>>,
    ) -> Result<Stepped, Error> {
        let end = end.into();
        self.write(move |tx| {
            if !end.state.is_end() {
                return Err(Error::Impossible {
                    from,
                    to: end.state,
                }
                .into());
            }
            let fence = match admit(tx, id, from, end.state, Some(fence))? {
                Ok(fence) => fence,
                Err(lost) => return Ok(lost),
            };
            let fence = shift(tx, id, from, end.state, fence)?;
            tx.conn
                .prepare_cached("UPDATE operations SET output = ?2, redacted = ?3 WHERE id = ?1")?
                .execute(params![
                    int(id.0),
                    json(&end.output)?,
                    int(end.output.removed())
                ])?;
            let by = match &end.by {
                Some(by) => by.clone(),
                None => actor(tx, id)?,
            };
            effects::apply(tx, id, &by, &end.effects)?;
            let said = Said {
                by: Some(by),
                events: &end.events,
                wishes: &end.wishes,
                timeline: &end.timeline,
                offers: &end.offers,
            };
            said.write(tx, id)?;
            Ok(Stepped::Won { fence })
        })
        .await
    }
}

/// Whether this step may be made now: the fence it stands under, or who was faster.
fn admit(
    tx: &Tx<'_>,
    id: OperationId,
    from: State,
    to: State,
    fence: Option<u64>,
) -> Result<Result<u64, Stepped>, Fault> {
    if !from.may_become(to) || (from == State::Running && fence.is_none()) {
        return Err(Error::Impossible { from, to }.into());
    }
    let Some(now) = standing(tx, id)? else {
        return Ok(Err(Stepped::Lost { now: None }));
    };
    // Nobody owns what waits for a person, so there the state alone decides, and a fence where one was given.
    let waits = matches!(from, State::Choosing | State::Awaiting);
    let held = match fence {
        Some(fence) => now.fence == fence && (waits || now.owned),
        None => waits || now.owned,
    };
    if now.state != from || !held {
        return Ok(Err(Stepped::Lost {
            now: Some(now.state),
        }));
    }
    Ok(Ok(now.fence))
}

/// Writes state, owner, lease and times; the fence afterwards.
fn shift(
    tx: &Tx<'_>,
    id: OperationId,
    from: State,
    to: State,
    fence: u64,
) -> rusqlite::Result<u64> {
    let waited = matches!(from, State::Choosing | State::Awaiting);
    let works = !to.is_end() && !matches!(to, State::Choosing | State::Awaiting);
    let fence = if waited && works { fence + 1 } else { fence };
    // An ended operation keeps its last owner, for whoever reads the record.
    let owner_changes = works || !to.is_end();
    tx.conn
        .prepare_cached(
            "UPDATE operations SET state = :state, fence = :fence, lease_until = :lease_until, \
             owner = CASE WHEN :owner_changes THEN :owner ELSE owner END, \
             started_at = CASE WHEN :running THEN :now ELSE started_at END, \
             ended_at = CASE WHEN :ended THEN :now END, waits_until = NULL WHERE id = :id",
        )?
        .execute(named_params! {
            ":state": to.word(),
            ":fence": int(fence),
            ":lease_until": works.then(|| ns(tx.now + LEASE)),
            ":owner_changes": owner_changes,
            ":owner": works.then(|| tx.owner.as_str()),
            ":running": to == State::Running,
            ":ended": to.is_end(),
            ":now": ns(tx.now),
            ":id": int(id.0),
        })?;
    if to.is_end() {
        tx.conn
            .prepare_cached("DELETE FROM locks WHERE operation = ?1")?
            .execute([int(id.0)])?;
    }
    Ok(fence)
}

/// Fills in what became known with the step.
fn fill(tx: &Tx<'_>, id: OperationId, to: State, change: &Change) -> rusqlite::Result<()> {
    let waits_until = change
        .waits_until
        .or_else(|| change.proposal.as_ref().map(|proposal| proposal.expires_at))
        .filter(|_| matches!(to, State::Choosing | State::Awaiting));
    tx.conn
        .prepare_cached(
            "UPDATE operations SET command = coalesce(:command, command), environments = coalesce(:environments, environments), \
             nodes = coalesce(:nodes, nodes), incident = coalesce(:incident, incident), answer = coalesce(:answer, answer), \
             proposal = coalesce(:proposal, proposal), changes = coalesce(:changes, changes), chosen = coalesce(:chosen, chosen), \
             started_at = coalesce(:started_at, started_at), waits_until = :waits_until WHERE id = :id",
        )?
        .execute(named_params! {
            ":command": change.command.as_ref().map(CommandName::as_str),
            ":environments": some_json(change.environments.as_ref())?,
            ":nodes": some_json(change.nodes.as_ref())?,
            ":incident": change.incident.map(|incident| int(incident.0)),
            ":answer": some_json(change.answer.as_ref())?,
            ":proposal": some_json(change.proposal.as_ref())?,
            ":changes": change.changes,
            ":chosen": change.chosen.map(|incident| int(incident.0)),
            ":started_at": change.started_at.map(ns),
            ":waits_until": waits_until.map(ns),
            ":id": int(id.0),
        })?;
    Ok(())
}

/// What is said of a step, written with it.
struct Said<'a> {
    by: Option<Actor>,
    events: &'a [Event],
    wishes: &'a [Wish],
    timeline: &'a [TimelineEntry],
    offers: &'a [Offer],
}

impl Said<'_> {
    fn write(self, tx: &Tx<'_>, id: OperationId) -> Result<(), Fault> {
        if !self.events.is_empty() {
            let by = match self.by {
                Some(by) => by,
                None => actor(tx, id)?,
            };
            chain::append(tx, &by, Some(id), self.events)?;
        }
        incidents::tell(tx, self.timeline)?;
        offers::insert(tx, self.offers, Some(id))?;
        outbox::put(tx, self.wishes)?;
        Ok(())
    }
}

fn actor(tx: &Tx<'_>, id: OperationId) -> rusqlite::Result<Actor> {
    let text: String = tx
        .conn
        .prepare_cached("SELECT actor FROM operations WHERE id = ?1")?
        .query_row([int(id.0)], |row| row.get(0))?;
    of_json(&text)
}
