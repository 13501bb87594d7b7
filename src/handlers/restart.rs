//! `/habops restart`: a node's Supervisor or one service on it: evidence, a card, one node at a time, a verdict.

mod builds;
mod card;
mod deed;
mod evidence;
mod fingerprint;
mod guard;
mod lock_files;
mod order;
mod reading;
mod verdict;
mod witness;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{
    evidence::{Evidence, evidence},
    reading::{Reading, read},
    witness::{Watched, Witness},
};
use super::{Handler, Look, Result, Work, hold::SUPERVISOR, hosts};
use crate::{
    clients::ssh::Host,
    domain::{
        journey::{Cleared, Proposal},
        node::Node,
        outcome::Outcome,
        output::HostState,
        supervisor::ServiceState,
    },
};

/// What was typed.
#[derive(Deserialize)]
pub struct Args {
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    all: bool,
}

/// What would be restarted, on which nodes, and by which errors it is judged afterwards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    what: What,
    nodes: Vec<OfNode>,
    /// What `--force` overrides.
    forced: Option<String>,
}

/// The whole Supervisor, or one service by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Supervisor,
    Service(String),
}

impl What {
    /// As people say it.
    fn name(&self) -> &str {
        match self {
            Self::Supervisor => SUPERVISOR,
            Self::Service(name) => name,
        }
    }

    /// Whether a loaded service goes down with it.
    fn takes(&self, service: &str) -> bool {
        match self {
            Self::Supervisor => true,
            Self::Service(name) => name == service,
        }
    }
}

/// What the plan keeps of one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OfNode {
    node: String,
    /// Why it is left out, where it is.
    unreachable: Option<String>,
    /// The errors that were found before, as [`evidence::Sign::key`] keeps them.
    errors: Vec<String>,
    /// Errors in other nodes' journals that tell of this one.
    #[serde(default)]
    elsewhere: Vec<Watched>,
    /// Services whose process is not to be compared: they crash, or came up just now.
    unsteady: Vec<String>,
    /// What is locked while it is restarted.
    locks: Vec<String>,
    /// What the card is about: this node's part of the fingerprint.
    world: Value,
}

/// The word in the registry.
pub struct Restart;

/// One node as it was found: its state and its errors, or why it could not be asked.
struct Found<'a> {
    node: &'a Node,
    reading: std::result::Result<Reading, (HostState, String)>,
    evidence: Evidence,
}

impl Handler for Restart {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        let what = guard::what(&args, look)?;
        // Lines that are only shown need neither a reason nor a node that answers.
        let shown_only = look.asked.flags.by_hand;
        if !shown_only {
            guard::not_a_whole_role(&args, look).await?;
        }
        let found = find(look, &what).await;
        let forced = if shown_only {
            None
        } else {
            guard::can_be_done(&what, &found, look)?;
            guard::nobody_is_at_it(&what, &found, look).await?;
            let forced = guard::cooled_down(&args, &what, &found, look).await?;
            guard::has_a_reason(&what, &found, look)?;
            forced
        };
        let plan = Plan {
            nodes: found.iter().map(|found| of_node(found, &what)).collect(),
            what,
            forced,
        };
        Ok(Proposal {
            preview: card::preview(&args, &plan, &found, look).await,
            fingerprint: fingerprint::of(&plan, found.iter().map(|it| (it.node, &it.reading))),
            plan,
        })
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        order::run(plan, work).await
    }

    async fn fingerprint(_args: Args, plan: &Plan, look: &Look) -> Result<Value> {
        let nodes = &look.asked.nodes;
        let reads: Vec<_> = nodes.iter().map(|node| read(look, node)).collect();
        let now: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
        Ok(fingerprint::of(plan, nodes.iter().zip(&now)))
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        let mut lines = Vec::new();
        for node in &look.asked.nodes {
            lines.extend(evidence::by_hand(node, look));
            let commands = deed::by_hand(&plan.what, &look.settings.services).into_iter();
            lines.extend(commands.filter_map(|command| hosts::by_hand(node, &command)));
        }
        lines
    }
}

/// Nodes that are looked at at the same time, for a card.
const AT_ONCE: usize = 16;

/// Looks at every node: its state and its errors, both at once.
async fn find<'a>(look: &'a Look, what: &What) -> Vec<Found<'a>> {
    let nodes = look.asked.nodes.iter();
    let finds: Vec<_> = nodes.map(|node| find_one(look, node, what)).collect();
    stream::iter(finds).buffered(AT_ONCE).collect().await
}

async fn find_one<'a>(look: &Look, node: &'a Node, what: &What) -> Found<'a> {
    let (reading, evidence) = tokio::join!(read(look, node), evidence(look, node, what));
    Found {
        node,
        reading,
        evidence,
    }
}

fn of_node(found: &Found<'_>, what: &What) -> OfNode {
    let mut of = OfNode {
        node: found.node.name.to_string(),
        unreachable: None,
        errors: found.evidence.keys(),
        elsewhere: found
            .evidence
            .elsewhere
            .iter()
            .filter_map(Witness::watched)
            .collect(),
        unsteady: Vec::new(),
        locks: guard::locks(what, found),
        world: Value::Null,
    };
    match &found.reading {
        Err((_, why)) => of.unreachable = Some(why.clone()),
        Ok(reading) => {
            let unsteady = reading.services().iter().filter(|service| {
                what.takes(service.name())
                    && (found.evidence.crashes(reading, service)
                        || service.state != ServiceState::Up
                        || service.elapsed.is_some_and(|up| up < SETTLED))
            });
            of.unsteady = unsteady.map(|service| service.name().to_owned()).collect();
        }
    }
    of.world = fingerprint::of_node(what, &of, found.node, &found.reading);
    of
}

/// Seconds a process must have lived to be one that a card can be about.
const SETTLED: u64 = 60;

/// The node as SSH addresses it.
fn host(node: &Node) -> Host {
    Host::from(node)
}
