//! `/habops logs`: journal lines of nodes in one view, in the order of time.

mod answer;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::Deserialize;

use self::answer::Asked;
pub(super) use self::answer::{clock, sign_of};
use super::{Handler, Look, Result, Work, hosts, journal};
use crate::{
    clients::ssh::Host,
    domain::{
        failure::{Failure, Refusal},
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Status},
        pattern::Pattern,
    },
};

/// Which lines of which nodes. The nodes were resolved when it was authorized.
#[derive(Deserialize)]
pub struct Args {
    target: String,
    #[serde(default)]
    since: Option<Timestamp>,
    #[serde(default)]
    until: Option<Timestamp>,
    #[serde(default)]
    around: Option<Timestamp>,
    #[serde(default)]
    grep: Option<String>,
    unit: String,
    lines: i64,
}

/// The word in the registry.
pub struct Logs;

/// Most lines of each node.
const MOST_LINES: i64 = 2_000;
/// Bytes of messages of all nodes together, and the least of one node however many there are.
const ALL_BYTES: usize = 1024 * 1024;
const LEAST_BYTES: usize = 16 * 1024;
/// Longest name of a unit.
const LONGEST_UNIT: usize = 100;

impl Handler for Logs {
    type Args = Args;
    type Plan = Asked;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Asked>> {
        Ok(Proposal::just(asked(args, look.asked.nodes.len())?))
    }

    async fn run(plan: &Cleared<Asked>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let Asked { target, query } = plan.plan();
        let targets: Vec<Host> = look.asked.nodes.iter().map(Host::from).collect();
        let ssh = &look.clients.ssh;
        let mut answers =
            std::pin::pin!(ssh.fan_out(&targets, |host| journal::read(look, host, query)));
        let mut told = hosts::Awaited::of(&targets);
        while let Some((at, answer)) = answers.next().await {
            told.answered(at, answer);
            let title = format!("{target}: {}", told.standing());
            work.report(Output::new(Status::Running, title));
        }
        let told = told.all();
        Ok(answer::output(plan.plan(), look, &told).into())
    }

    fn by_hand(plan: &Asked, look: &Look) -> Vec<String> {
        let nodes = look.asked.nodes.iter();
        nodes
            .filter_map(|node| hosts::by_hand_piped(node, &plan.query.by_hand()))
            .collect()
    }
}

fn asked(args: Args, nodes: usize) -> Result<Asked> {
    let refused = |why: &str| Err(Refusal::usage(why).or_else("help logs", "help logs").into());
    if args.around.is_some() && (args.since.is_some() || args.until.is_some()) {
        return refused("Say either `--around` or `--since` and `--until`.");
    }
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since >= until
    {
        return refused("`--since` must be before `--until`.");
    }
    if !(1..=MOST_LINES).contains(&args.lines) {
        return refused("`--lines` is from 1 to 2000, for each node.");
    }
    Ok(Asked {
        target: args.target,
        query: journal::Query {
            unit: unit(&args.unit)?,
            clock: journal::Clock::Ours,
            since: args.since,
            until: args.until,
            around: args.around,
            pattern: args.grep.as_deref().map(pattern).transpose()?,
            lines: usize::try_from(args.lines).unwrap_or(1),
            bytes: (ALL_BYTES / nodes.max(1)).max(LEAST_BYTES),
            patience: journal::PATIENCE,
        },
    })
}

/// The name of a systemd unit, as systemd allows it.
pub(super) fn unit(typed: &str) -> Result<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if typed.is_empty()
        || typed.len() > LONGEST_UNIT
        || typed.starts_with('-')
        || !typed.chars().all(allowed)
    {
        let why =
            format!("`{typed}` is not the name of a systemd unit like `hab-sup` or `ssh.service`.");
        return Err(Refusal::usage(why).into());
    }
    Ok(typed.to_owned())
}

/// A pattern that can be searched for.
pub(super) fn pattern(typed: &str) -> Result<Pattern> {
    Pattern::new(typed).map_err(|why| Failure::from(Refusal::usage(why)))
}
