//! `[runbook]` commands: fixed words on nodes, step by step, with no Rust of their own.

use std::time::Duration;

use anyhow::anyhow;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Handler, Look, Result, Work, hold, hosts};
use crate::{
    clients::ssh::{Command, End, Host, Output as Answer},
    domain::{
        command::{Runbook, Source},
        journey::{Cleared, Proposal},
        node::Node,
        outcome::Outcome,
        output::{HostOutcome, HostState, Output, Part, Status},
        records::Touch,
    },
};

/// What runs on each node: placeholders are filled.
#[derive(Clone, Deserialize, Serialize)]
pub struct Plan {
    steps: Vec<FilledStep>,
    at_once: usize,
    #[serde(with = "crate::domain::duration")]
    timeout: Duration,
}

/// One step with its words complete.
#[derive(Clone, Deserialize, Serialize)]
struct FilledStep {
    say: String,
    words: Vec<String>,
    expect: Option<String>,
    #[serde(default)]
    exits: Vec<u32>,
}

/// Runs any runbook; which one, the command's own file says.
pub struct RunbookHandler;

/// Longest one step may take where its file says nothing.
const PATIENCE: Duration = Duration::from_mins(1);
/// Of each step's output this much is kept.
const MOST_OUTPUT: usize = 256 * 1024;
/// Nodes at once for a runbook that only looks.
const LOOKS_AT_ONCE: usize = 16;

impl Handler for RunbookHandler {
    type Args = Map<String, Value>;
    type Plan = Plan;

    async fn plan(args: Map<String, Value>, look: &Look) -> Result<Proposal<Plan>> {
        let Source::Runbook(runbook) = &look.asked.spec.source else {
            return Err(anyhow!("{} is not a runbook", look.asked.spec.name).into());
        };
        let plan = filled(runbook, &args, look.asked.spec.changes);
        let nodes = &look.asked.nodes;
        if look.asked.spec.changes && !look.asked.flags.by_hand {
            look.nobody_holds(&locks(nodes, look)).await?;
        }
        let names: Vec<String> = nodes.iter().map(|node| node.name.to_string()).collect();
        let steps = plan
            .steps
            .iter()
            .map(|step| vec![step.say.clone(), by_words(&step.words)])
            .collect();
        let preview = Output::new(
            Status::Waiting,
            format!("{}: {}", look.asked.spec.name, names.join(", ")),
        )
        .with(Part::Table {
            columns: vec!["step".to_owned(), "runs".to_owned()],
            rows: steps,
        })
        .text(if plan.at_once == 1 {
            "One node after the other; the first that fails stops it.".to_owned()
        } else {
            format!("{} nodes at once.", plan.at_once)
        });
        let fingerprint = nodes
            .iter()
            .map(|node| {
                (
                    node.name.to_string(),
                    json!([node.instance_id, node.address, node.port]),
                )
            })
            .collect();
        Ok(Proposal {
            plan,
            preview,
            fingerprint: Value::Object(fingerprint),
        })
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let nodes = plan.authorized().nodes();
        let plan = plan.plan();
        let changes = work.look.asked.spec.changes;
        if changes {
            work.lock(&locks(nodes, &work.look)).await?;
        }
        let (mut rows, mut logs, mut failed) = (Vec::new(), Vec::new(), false);
        for group in nodes.chunks(plan.at_once.max(1)) {
            if work.stopped() || (failed && changes) {
                rows.extend(group.iter().map(|node| {
                    skipped(
                        node,
                        if work.stopped() {
                            "cancelled before it began"
                        } else {
                            "not begun: an earlier node failed"
                        },
                    )
                }));
                continue;
            }
            let on_nodes: Vec<_> = group.iter().map(|node| on_node(node, plan, work)).collect();
            let mut answers = futures_util::stream::iter(on_nodes).buffered(plan.at_once.max(1));
            while let Some((row, text)) = answers.next().await {
                failed |= row.state != HostState::Done;
                if !text.trim().is_empty() {
                    logs.push(Part::Log {
                        of: row.node.clone(),
                        text,
                    });
                }
                rows.push(row);
            }
            work.report(
                Output::new(
                    Status::Running,
                    format!("{} of {} nodes", rows.len(), nodes.len()),
                )
                .with(Part::Hosts(rows.clone())),
            );
        }
        let spec = &work.look.asked.spec;
        let mut output = output(&spec.name.to_string(), rows, logs, work.stopped());
        if let Source::Runbook(runbook) = &spec.source {
            output.parts.extend(next(runbook, nodes));
        }
        Ok(output.into())
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        let lines = look.asked.nodes.iter().flat_map(|node| {
            plan.steps
                .iter()
                .filter_map(|step| hosts::by_hand(node, &Command::new(step.words.clone())))
        });
        lines.collect()
    }
}

/// What a change holds while it runs: all of its nodes, whatever its steps do there.
fn locks(nodes: &[Node], look: &Look) -> Vec<String> {
    let services = &look.settings.services;
    let locks = nodes
        .iter()
        .map(|node| hold::locks_of_whole(node, services));
    locks.flatten().collect()
}

/// The commands to offer with the result.
fn next(runbook: &Runbook, nodes: &[Node]) -> Vec<Part> {
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let filled = runbook
        .next
        .iter()
        .map(|next| next.replace(&runbook.on, &names.join(",")));
    filled
        .map(|command| Part::Next {
            label: command.clone(),
            command,
        })
        .collect()
}

fn filled(runbook: &Runbook, args: &Map<String, Value>, changes: bool) -> Plan {
    let fill = |word: &String| -> Option<String> {
        let Some(name) = word
            .strip_prefix('{')
            .and_then(|word| word.strip_suffix('}'))
        else {
            return Some(word.clone());
        };
        match args.get(name)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    };
    let steps = runbook
        .steps
        .iter()
        .map(|step| FilledStep {
            say: step.say.clone(),
            words: step.run.iter().filter_map(fill).collect(),
            expect: step.expect.clone(),
            exits: step.exits.clone(),
        })
        .collect();
    Plan {
        steps,
        at_once: runbook
            .at_once
            .unwrap_or(if changes { 1 } else { LOOKS_AT_ONCE }),
        timeout: runbook.timeout.unwrap_or(PATIENCE),
    }
}

fn by_words(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

fn skipped(node: &Node, why: &str) -> HostOutcome {
    HostOutcome::new(node.name.as_str(), HostState::Skipped, why)
}

/// A change is written down before it reaches the node (law 5).
async fn may_begin(node: &Node, work: &Work) -> std::result::Result<(), String> {
    let spec = &work.look.asked.spec;
    if !spec.changes {
        return work.may_touch().await;
    }
    let touch = Touch {
        node: node.name.to_string(),
        what: spec.name.to_string(),
        forced: None,
    };
    work.touch(touch).await
}

/// Every step on one node, until one does not end as it should.
async fn on_node(node: &Node, plan: &Plan, work: &Work) -> (HostOutcome, String) {
    let outcome = |state, said: String| HostOutcome::new(node.name.as_str(), state, said);
    let mut text = String::new();
    if let Err(why) = may_begin(node, work).await {
        return (outcome(HostState::Skipped, why), text);
    }
    let host = Host::from(node);
    for step in &plan.steps {
        let command = Command::new(step.words.clone())
            .limit(MOST_OUTPUT)
            .timeout(plan.timeout);
        match work.look.clients.ssh.run(&host, &command).await {
            Err(error) => {
                let state = if error.is_unreachable() || error.is_host_key() {
                    HostState::Unreachable
                } else {
                    HostState::Failed
                };
                return (outcome(state, format!("{}: {error}", step.say)), text);
            }
            Ok(answer) => {
                text.push_str(&answer.text());
                text.push_str(&answer.complaint());
                if let Some(why) = fell_short(step, &answer) {
                    return (
                        outcome(HostState::Failed, format!("{}: {why}", step.say)),
                        text,
                    );
                }
            }
        }
    }
    (
        outcome(
            HostState::Done,
            format!("{} of {} steps done", plan.steps.len(), plan.steps.len()),
        ),
        text,
    )
}

/// Why a step does not count as done.
fn fell_short(step: &FilledStep, answer: &Answer) -> Option<String> {
    match &answer.end {
        End::Exit(0) if step.exits.is_empty() => {}
        End::Exit(status) if step.exits.contains(status) => {}
        End::Exit(status) => return Some(format!("ended with {status}")),
        End::Signal(signal) => return Some(format!("ended by signal {signal}")),
        End::Vanished => {
            return Some(
                "the connection closed before it ended; whether it was done is unknown".to_owned(),
            );
        }
    }
    let expected = step.expect.as_ref()?;
    (!answer.text().contains(expected.as_str()))
        .then(|| format!("its output does not hold `{expected}`"))
}

fn output(name: &str, rows: Vec<HostOutcome>, logs: Vec<Part>, cancelled: bool) -> Output {
    let done = rows
        .iter()
        .filter(|row| row.state == HostState::Done)
        .count();
    let status = match done {
        _ if cancelled => Status::Cancelled,
        done if done == rows.len() => Status::Done,
        0 => Status::Failed,
        _ => Status::Partly,
    };
    let mut output = Output::new(
        status,
        format!("{name}: {done} of {} nodes done", rows.len()),
    )
    .with(Part::Hosts(rows));
    output.parts.extend(logs);
    output
}
