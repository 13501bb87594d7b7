//! `/habops tail`: the journals of nodes as they are written, in one message, until its time is over or somebody presses Stop.

mod follow;
mod ring;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::follow::Following;
use super::{
    Handler, Look, Result, Work, hosts,
    journal::{self, FOLLOW, follow_words},
    logs::{pattern, unit},
};
use crate::{
    clients::ssh::Command,
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        pattern::Pattern,
    },
};

/// Which nodes, and for how long.
#[derive(Deserialize)]
pub struct Args {
    target: String,
    #[serde(rename = "for", with = "crate::domain::duration")]
    length: Duration,
    #[serde(default)]
    grep: Option<String>,
    unit: String,
}

/// What is followed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tail {
    /// The nodes, as typed.
    target: String,
    #[serde(with = "crate::domain::duration")]
    length: Duration,
    pattern: Option<Pattern>,
    unit: String,
}

/// The word in the registry.
pub struct TailHandler;

/// Longest that is followed.
const LONGEST: Duration = Duration::from_mins(10);
/// Each node is a connection and a process there for as long as it takes.
const MOST_NODES: usize = 16;
/// What the node's own bound is longer by: it is for when we are gone.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes from one node, after which it is stopped: a storm of ten minutes is 20 MB.
const MOST_BYTES: usize = 64 * 1024 * 1024;

impl Handler for TailHandler {
    type Args = Args;
    type Plan = Tail;

    const ENDS_ITSELF: bool = true;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Tail>> {
        let refused =
            |why: String| Err(Refusal::usage(why).or_else("help tail", "help tail").into());
        if args.length > LONGEST {
            return refused("`--for` is at most 10m; look back with `logs` for more.".to_owned());
        }
        let nodes = look.asked.nodes.len();
        if nodes > MOST_NODES {
            return refused(format!(
                "{nodes} nodes are too many to follow at once; name {MOST_NODES} at most."
            ));
        }
        Ok(Proposal::just(Tail {
            target: args.target,
            length: args.length,
            pattern: args.grep.as_deref().map(pattern).transpose()?,
            unit: unit(&args.unit)?,
        }))
    }

    async fn run(plan: &Cleared<Tail>, work: &Work) -> Result<Outcome> {
        Ok(Following::new(plan.plan(), work).until_over().await.into())
    }

    fn by_hand(plan: &Tail, look: &Look) -> Vec<String> {
        let seconds = plan.length.as_secs().to_string();
        let mut words = vec![
            "timeout".to_owned(),
            seconds,
            "journalctl".to_owned(),
            "-f".to_owned(),
        ];
        words.push(format!("--unit={}", plan.unit));
        let grep = plan.pattern.as_ref().map(journal::grep_by_hand);
        let piped: Vec<Command> = std::iter::once(Command::new(words)).chain(grep).collect();
        let nodes = look.asked.nodes.iter();
        nodes
            .filter_map(|node| hosts::by_hand_piped(node, &piped))
            .collect()
    }
}

impl Tail {
    fn command(&self) -> Command {
        Command::script(FOLLOW, follow_words(&self.unit, self.pattern.as_ref()))
            .limit(MOST_BYTES)
            .timeout(self.length + GRACE)
            .held()
    }
}
