//! The journey's values (design section 2), with private fields, and the pure functions that alone make them.
//!
//! None of them derives `Deserialize`: what was not cleared cannot run, what was not redacted cannot be posted, and neither
//! compiles. What waits in the store is revived through [`revive`] from words that are parsed again.

mod permission;

pub use permission::{may, thawed};

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use self::permission::environments;
use super::{
    actor::{Actor, Membership, Standing},
    command::{ArgKind, CommandSpec, Confirm},
    failure::Refusal,
    ids::{Environment, IncidentId},
    node::Node,
    operation::Operation,
    output::Output,
    place::Place,
    records::Freeze,
    redact::Rules,
    routing::Route,
};

/// The flags of every command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--incident <id>`
    pub incident: Option<IncidentId>,
    /// `--here`
    pub here: bool,
    /// `--by-hand`
    pub by_hand: bool,
    /// `--reason <text>`
    pub reason: Option<String>,
    /// `--json`, at a terminal
    pub json: bool,
}

/// Understood: which command, which arguments.
#[derive(Clone, Debug)]
pub struct Parsed {
    spec: Arc<CommandSpec>,
    args: Map<String, Value>,
    flags: Flags,
    text: String,
}

impl Parsed {
    /// For [`super::parse::parse`], which checked every argument against the specification.
    pub(super) fn understood(
        spec: Arc<CommandSpec>,
        args: Map<String, Value>,
        flags: Flags,
        text: String,
    ) -> Self {
        Self {
            spec,
            args,
            flags,
            text,
        }
    }

    /// The command.
    pub fn spec(&self) -> &Arc<CommandSpec> {
        &self.spec
    }

    /// Its arguments, by name.
    pub fn args(&self) -> &Map<String, Value> {
        &self.args
    }

    /// Its flags.
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// What was typed, normalised.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it changes anything outside: with `--by-hand` the lines are shown and nothing is done.
    pub fn changes(&self) -> bool {
        self.spec.changes && !self.flags.by_hand
    }

    /// What was typed for nodes, where the command takes any.
    pub fn target(&self) -> Option<&str> {
        let arg = self
            .spec
            .args
            .iter()
            .find(|arg| arg.kind == ArgKind::Target)?;
        self.args.get(&arg.name)?.as_str()
    }

    /// Whether the command has an argument for nodes at all.
    pub fn takes_target(&self) -> bool {
        self.spec.args.iter().any(|arg| arg.kind == ArgKind::Target)
    }
}

/// This person may, here, on these nodes; the nodes are frozen.
#[derive(Clone, Debug)]
pub struct Authorized {
    parsed: Parsed,
    actor: Actor,
    nodes: Vec<Node>,
    environments: BTreeSet<Environment>,
    confirm: Confirm,
}

/// May this person run this command on these nodes? Needs the role of every environment touched, and the strictest confirmation
/// of them. While an environment is frozen, every change in it is refused.
pub fn authorize(
    parsed: Parsed,
    standing: &Standing,
    nodes: Vec<Node>,
    freezes: &[Freeze],
    default_environment: &Environment,
) -> Result<Authorized, Refusal> {
    let environments = environments(&parsed, &nodes, default_environment);
    may(&parsed.spec, &environments, standing)?;
    if parsed.changes() {
        thawed(&parsed.spec, &environments, freezes)?;
    }
    let mut confirm = Confirm::Never;
    // Nobody need say yes to lines that are only shown.
    for environment in environments.iter().filter(|_| !parsed.flags.by_hand) {
        let of = parsed
            .spec
            .confirm
            .of(environment)
            .cloned()
            .unwrap_or(Confirm::SecondPerson);
        confirm = confirm.max(of);
    }
    Ok(Authorized {
        actor: standing.actor.clone(),
        parsed,
        nodes,
        environments,
        confirm,
    })
}

impl Authorized {
    /// What was understood.
    pub fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// Who asked.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The nodes, as they were when it was authorized.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The environments it touches.
    pub fn environments(&self) -> &BTreeSet<Environment> {
        &self.environments
    }

    /// The strictest confirmation among them.
    pub fn confirm(&self) -> &Confirm {
        &self.confirm
    }
}

/// Which incident, channel and thread hears the answer.
#[derive(Clone, Debug)]
pub struct Routed {
    authorized: Authorized,
    route: Route,
    answer: Option<Place>,
}

impl Routed {
    /// The incident whose place it goes to.
    pub fn incident(&self) -> Option<IncidentId> {
        match &self.route {
            Route::Incident { incident, .. } => Some(*incident),
            _ => None,
        }
    }

    /// Joins what may be done with where it is heard.
    pub fn new(authorized: Authorized, route: Route, answer: Option<Place>) -> Self {
        Self {
            authorized,
            route,
            answer,
        }
    }

    /// What may be done.
    pub fn authorized(&self) -> &Authorized {
        &self.authorized
    }

    /// Which rule decided.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The place itself, where it is known already.
    pub fn answer(&self) -> Option<&Place> {
        self.answer.as_ref()
    }
}

/// What a handler proposes: the plan, what the card shows, and what the world looked like.
#[derive(Clone, Debug)]
pub struct Proposal<P> {
    /// What would be run.
    pub plan: P,
    /// What the card shows.
    pub preview: Output,
    /// What must be the same when it is approved: instance ids, pids, desired states. `null` where nothing need be.
    pub fingerprint: Value,
}

impl<P> Proposal<P> {
    /// A proposal that needs no card: for commands that change nothing.
    pub fn just(plan: P) -> Self {
        Self {
            plan,
            preview: Output::new(super::output::Status::Waiting, ""),
            fingerprint: Value::Null,
        }
    }
}

/// Exactly what would happen.
#[derive(Clone, Debug)]
pub struct Planned {
    routed: Routed,
    proposal: Proposal<Value>,
}

impl Planned {
    /// Joins a routed command with what its handler proposes.
    pub fn new(routed: Routed, proposal: Proposal<Value>) -> Self {
        Self { routed, proposal }
    }

    /// The command on its way.
    pub fn routed(&self) -> &Routed {
        &self.routed
    }

    /// What would be done.
    pub fn proposal(&self) -> &Proposal<Value> {
        &self.proposal
    }
}

/// A planned command out of the store: its words are parsed again, its nodes, environments and plan are the stored ones.
/// For the pipeline alone; absent where the operation holds no proposal.
pub fn revive(parsed: Parsed, operation: &Operation) -> Option<Planned> {
    let stored = operation.proposal.as_ref()?;
    let authorized = Authorized {
        parsed,
        actor: operation.actor.clone(),
        nodes: operation.nodes.clone(),
        environments: operation.environments.clone(),
        confirm: stored.confirm.clone(),
    };
    let route = match (operation.incident, &operation.answer) {
        (Some(incident), at) => Route::Incident {
            incident,
            at: at.clone(),
            link_asker: false,
        },
        (None, Some(place)) => Route::Typed(place.clone()),
        (None, None) => Route::Terminal,
    };
    let proposal = Proposal {
        plan: stored.plan.clone(),
        preview: stored.preview.clone(),
        fingerprint: stored.fingerprint.clone(),
    };
    Some(Planned::new(
        Routed::new(authorized, route, operation.answer.clone()),
        proposal,
    ))
}

/// A yes, with everything that makes it count.
#[derive(Clone, Debug)]
pub struct Approval<'a> {
    /// The clicker, as they stand now.
    pub by: &'a Standing,
    /// Now.
    pub at: Timestamp,
    /// Until when the card counts.
    pub expires_at: Timestamp,
    /// What the world looks like now.
    pub fingerprint: &'a Value,
}

/// What comes of asking whether a plan may run.
#[derive(Debug)]
pub enum Clearing {
    /// It may.
    Cleared(Cleared<Value>),
    /// It needs a yes first.
    NeedsApproval(Planned),
}

/// May this plan run? It may where nobody need confirm it; otherwise the approval must be in time, by somebody who may, and
/// about the same world (law 4).
pub fn clear(planned: Planned, approval: Option<Approval<'_>>) -> Result<Clearing, Refusal> {
    let authorized = &planned.routed.authorized;
    let Some(approval) = approval else {
        return Ok(if authorized.confirm == Confirm::Never {
            Clearing::Cleared(Cleared::of(planned, None))
        } else {
            Clearing::NeedsApproval(planned)
        });
    };
    may_decide(authorized, approval.by)?;
    if approval.at >= approval.expires_at {
        return Err(
            Refusal::not_now("This confirmation has expired. Ask again for a fresh one.")
                .or_else("Ask again", authorized.parsed.text.clone()),
        );
    }
    if *approval.fingerprint != planned.proposal.fingerprint {
        return Err(Refusal::not_now("What this card was about has changed since it was posted, so nothing was done. Ask again for a fresh one.")
            .or_else("Ask again", authorized.parsed.text.clone()));
    }
    Ok(Clearing::Cleared(Cleared::of(
        planned,
        Some(approval.by.actor.clone()),
    )))
}

/// Whether this person may say yes or no to it.
pub fn may_decide(authorized: &Authorized, by: &Standing) -> Result<(), Refusal> {
    if let Confirm::Named(arg) = &authorized.confirm {
        let named = authorized.parsed.args.get(arg).and_then(Value::as_str);
        let is_named = by.membership == Membership::Full
            && by.actor.user().map(super::ids::UserId::as_str) == named;
        return if is_named {
            Ok(())
        } else {
            Err(Refusal::denied(format!(
                "Only <@{}> can accept this.",
                named.unwrap_or("nobody")
            )))
        };
    }
    may(&authorized.parsed.spec, &authorized.environments, by)?;
    if authorized.confirm == Confirm::SecondPerson {
        if by.actor == authorized.actor {
            return Err(Refusal::denied(
                "Somebody else has to approve this; you asked for it.",
            ));
        }
        if by.membership == Membership::Console {
            return Err(Refusal::denied(
                "Somebody in Slack has to approve this; a console is never the second person.",
            ));
        }
    }
    Ok(())
}

/// Needs no approval, or has it: the only value that can be executed.
#[derive(Clone, Debug)]
pub struct Cleared<P> {
    routed: Routed,
    plan: P,
    approved_by: Option<Actor>,
}

impl Cleared<Value> {
    fn of(planned: Planned, approved_by: Option<Actor>) -> Self {
        Self {
            routed: planned.routed,
            plan: planned.proposal.plan,
            approved_by,
        }
    }

    /// The same with the handler's own plan type.
    pub fn read<P: DeserializeOwned>(&self) -> Result<Cleared<P>, serde_json::Error> {
        let plan = P::deserialize(&self.plan)?;
        Ok(Cleared {
            routed: self.routed.clone(),
            plan,
            approved_by: self.approved_by.clone(),
        })
    }
}

impl<P> Cleared<P> {
    /// What is to be done.
    pub fn plan(&self) -> &P {
        &self.plan
    }

    /// Who may, on which nodes.
    pub fn authorized(&self) -> &Authorized {
        &self.routed.authorized
    }

    /// Where it is heard.
    pub fn routed(&self) -> &Routed {
        &self.routed
    }

    /// Who said yes, where somebody had to.
    pub fn approved_by(&self) -> Option<&Actor> {
        self.approved_by.as_ref()
    }
}

/// An output without secrets: the only thing that is posted or kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Redacted {
    output: Output,
    #[serde(skip)]
    removed: u64,
}

/// Removes every secret from an output.
pub fn redact(mut output: Output, rules: &Rules) -> Redacted {
    let mut removed = 0;
    output.each_text(&mut |text| {
        let (clean, count) = rules.redact(text);
        if count > 0 {
            *text = clean.into_owned();
            removed += count;
        }
    });
    Redacted { output, removed }
}

impl Redacted {
    /// Out of the store, where only redacted outputs are written. For the store alone (`tests/architecture.rs` holds that).
    pub fn restored(output: Output, removed: u64) -> Self {
        Self { output, removed }
    }

    /// The output.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The same, counting secrets that were removed from it before it took this form.
    #[must_use]
    pub fn counting(mut self, removed: u64) -> Self {
        self.removed = self.removed.max(removed);
        self
    }

    /// The same, and so many more secrets that were removed before they became part of it.
    #[must_use]
    pub fn and(mut self, more: u64) -> Self {
        self.removed += more;
        self
    }

    /// How many secrets were removed.
    pub fn removed(&self) -> u64 {
        self.removed
    }
}
