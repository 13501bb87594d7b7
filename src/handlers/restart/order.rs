//! The order of a restart: one node at a time, no further than the first that does not recover, stopped between two nodes.

use super::{
    OfNode, Plan, What, deed,
    deed::Done,
    evidence, fingerprint, lock_files,
    reading::{Reading, read},
    verdict::{self, Judged, Verdict},
};
use crate::{
    domain::{
        fingerprint::differences,
        journey::Cleared,
        node::Node,
        outcome::Outcome,
        output::{HostOutcome, HostState, Output, Part, Status},
        records::Touch,
    },
    handlers::{Result, Work},
};

/// What came of one node.
struct Ended {
    state: HostState,
    said: String,
    verdict: Option<Verdict>,
    parts: Vec<Part>,
    rows: Vec<Vec<String>>,
}

impl Ended {
    /// It was left as it was.
    fn untouched(state: HostState, said: impl Into<String>) -> Self {
        Self {
            state,
            said: said.into(),
            verdict: None,
            parts: Vec::new(),
            rows: Vec::new(),
        }
    }
}

/// Restarts the nodes of a plan.
pub async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
    let (nodes, plan) = (plan.authorized().nodes(), plan.plan());
    let locks: Vec<String> = plan.nodes.iter().flat_map(|it| it.locks.clone()).collect();
    work.lock(&locks).await?;
    let mut ended: Vec<(&Node, Ended)> = Vec::new();
    let mut stopped_at: Option<String> = None;
    let mut cancelled = false;
    for node in nodes {
        let skipped = if let Some(why) = &stopped_at {
            Some(format!("not begun: {why}"))
        } else if work.stopped() {
            cancelled = true;
            Some("not begun: cancelled before".to_owned())
        } else {
            None
        };
        if let Some(why) = skipped {
            ended.push((node, Ended::untouched(HostState::Skipped, why)));
            continue;
        }
        let tell = |step: String| {
            work.report(
                Output::new(Status::Running, format!("{}: {step}", node.name))
                    .with(Part::Hosts(rows(&ended, Some((node, &step))))),
            );
        };
        let Some(planned) = plan.nodes.iter().find(|it| it.node == node.name.as_str()) else {
            continue;
        };
        let one = match &planned.unreachable {
            Some(why) => Ended::untouched(HostState::Unreachable, format!("left out: {why}")),
            None => on_node(plan, planned, node, work, tell).await,
        };
        if one.verdict != Some(Verdict::Recovered) && planned.unreachable.is_none() {
            let said = one.verdict.map_or("was not restarted", Verdict::words);
            stopped_at = Some(format!("{} {said}", node.name));
        }
        ended.push((node, one));
    }
    Ok(output(plan, ended, cancelled, work).into())
}

/// The one node, from the last look before it to its verdict.
async fn on_node(
    plan: &Plan,
    planned: &OfNode,
    node: &Node,
    work: &Work,
    tell: impl Fn(String),
) -> Ended {
    let look = &work.look;
    let before = read(look, node).await;
    let world = fingerprint::of_node(&plan.what, planned, node, &before);
    let before = match before {
        Ok(before) => before,
        Err((state, why)) => return Ended::untouched(state, format!("not begun: {why}")),
    };
    let changed = differences(&planned.world, &world);
    if !changed.is_empty() {
        let said: Vec<String> = changed
            .iter()
            .map(|it| format!("{} {}", it.of, it.said()))
            .collect();
        let why = format!(
            "not begun, because it has changed since it was approved: {}",
            said.join(", ")
        );
        return Ended::untouched(HostState::Skipped, why);
    }
    let touch = Touch {
        node: node.name.to_string(),
        what: format!("restart of {}", plan.what.name()),
        forced: plan.forced.clone().zip(look.asked.flags.reason.clone()),
    };
    if let Err(why) = work.touch(touch).await {
        return Ended::untouched(HostState::Skipped, why);
    }
    tell(format!("restarting {}", plan.what.name()));
    let judged = match deed::restart(look, node, &plan.what, &before).await {
        Done::Not(state, why) => return Ended::untouched(state, format!("not restarted: {why}")),
        Done::Up(up) => verdict::watch(work, node, &plan.what, planned, &up, tell).await,
        Done::Down { why, last } => {
            let errors = evidence::since(look, node, before.clock, verdict::PATIENCE).await;
            let lines = errors.unwrap_or_default();
            let newest = lines.iter().take(verdict::MOST_LINES);
            Judged {
                verdict: Verdict::DidNotComeUp,
                why,
                after: last,
                lines: newest.map(|sign| sign.line.clone()).collect(),
            }
        }
    };
    let mut parts = Vec::new();
    if judged.verdict != Verdict::Recovered && !judged.lines.is_empty() {
        parts.push(Part::Log {
            of: format!("{}, since the restart", node.name),
            text: judged.lines.join("\n"),
        });
    }
    if judged.verdict == Verdict::DidNotComeUp {
        let names = before.services().iter();
        let names: Vec<String> = names.map(|service| service.name().to_owned()).collect();
        let left = lock_files::left(look, node, plan, &names).await;
        parts.extend(left.map(Part::Text));
    }
    Ended {
        state: if judged.verdict == Verdict::Recovered {
            HostState::Done
        } else {
            HostState::Failed
        },
        said: format!("{}: {}", judged.verdict.words(), judged.why),
        verdict: Some(judged.verdict),
        parts,
        rows: compared(node, &plan.what, &before, judged.after.as_ref()),
    }
}

/// Before and after: the unit and every service that went down.
fn compared(
    node: &Node,
    what: &What,
    before: &Reading,
    after: Option<&Reading>,
) -> Vec<Vec<String>> {
    let arrow = |was: &str, is: &str| {
        if was == is {
            was.to_owned()
        } else {
            format!("{was} \u{2192} {is}")
        }
    };
    let pid = |pid: Option<u32>| pid.map_or_else(|| "\u{2013}".to_owned(), |pid| pid.to_string());
    let unknown = "unknown".to_owned();
    let mut rows = Vec::new();
    if *what == What::Supervisor {
        let is = after.map(|after| &after.unit);
        rows.push(vec![
            node.name.to_string(),
            what.name().to_owned(),
            arrow(&before.unit.state, is.map_or(&unknown, |unit| &unit.state)),
            arrow(
                &pid(before.unit.pid),
                &is.map_or(unknown.clone(), |unit| pid(unit.pid)),
            ),
            arrow(
                super::card::since(&before.unit.started),
                is.map_or(&unknown, |unit| super::card::since(&unit.started)),
            ),
            String::new(),
        ]);
    }
    let up = |seconds: Option<u64>| {
        seconds.map_or_else(String::new, |seconds| {
            humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
        })
    };
    let taken = before
        .services()
        .iter()
        .filter(|service| what.takes(service.name()));
    rows.extend(taken.map(|was| {
        let is = after.and_then(|after| deed::service(after, was.name()));
        let of = |now: Option<String>| now.unwrap_or_else(|| unknown.clone());
        vec![
            node.name.to_string(),
            was.name().to_owned(),
            arrow(
                was.state.word(),
                &of(is.map(|it| it.state.word().to_owned())),
            ),
            arrow(&pid(was.pid), &of(is.map(|it| pid(it.pid)))),
            arrow(&up(was.elapsed), &of(is.map(|it| up(it.elapsed)))),
            arrow(&was.ident, &of(is.map(|it| it.ident.clone()))),
        ]
    }));
    rows
}

/// A row a node that has ended, and one for the node at hand.
fn rows(ended: &[(&Node, Ended)], at: Option<(&Node, &str)>) -> Vec<HostOutcome> {
    let row = |node: &Node, state, said: &str| HostOutcome::new(node.name.as_str(), state, said);
    let done = ended.iter().map(|(node, it)| row(node, it.state, &it.said));
    let at = at.map(|(node, step)| row(node, HostState::Skipped, step));
    done.chain(at).collect()
}

fn output(plan: &Plan, ended: Vec<(&Node, Ended)>, cancelled: bool, work: &Work) -> Output {
    let all = ended.len();
    let recovered = ended
        .iter()
        .filter(|(_, it)| it.verdict == Some(Verdict::Recovered))
        .count();
    let not_begun = ended
        .iter()
        .filter(|(_, it)| it.state == HostState::Skipped)
        .count();
    let status = match recovered {
        _ if cancelled => Status::Cancelled,
        done if done == all => Status::Done,
        0 => Status::Failed,
        _ => Status::Partly,
    };
    let title = title(&ended, recovered, not_begun);
    let title = if cancelled {
        let begun = all - not_begun;
        format!("Cancelled after {begun} of {all} nodes: {title}")
    } else {
        title
    };
    let mut output = Output::new(status, title).with(Part::Hosts(rows(&ended, None)));
    let table: Vec<Vec<String>> = ended.iter().flat_map(|(_, it)| it.rows.clone()).collect();
    if !table.is_empty() {
        let columns = ["node", "what", "state", "pid", "up", "release"];
        output = output.with(Part::Table {
            columns: columns.map(str::to_owned).to_vec(),
            rows: table,
        });
    }
    let next = next(&ended, work);
    for (_, it) in ended {
        output.parts.extend(it.parts);
    }
    if let Some(forced) = &plan.forced {
        output = output.text(format!("--force overrode {forced}."));
    }
    output.parts.extend(next);
    output
}

/// Every node with its verdict; those that recovered as a number where they are several.
fn title(ended: &[(&Node, Ended)], recovered: usize, not_begun: usize) -> String {
    let mut said = Vec::new();
    if recovered > 1 {
        said.push(format!(
            "{recovered} of {} nodes {}",
            ended.len(),
            Verdict::Recovered.words()
        ));
    }
    for (node, it) in ended {
        match it.verdict {
            Some(Verdict::Recovered) if recovered > 1 => {}
            Some(verdict) => said.push(format!("{} {}", node.name, verdict.words())),
            None if it.state == HostState::Skipped && ended.len() > 1 => {}
            None => said.push(format!("{} was not restarted", node.name)),
        }
    }
    if not_begun > 0 && ended.len() > 1 {
        said.push(format!("{not_begun} not begun"));
    }
    said.join("; ")
}

/// Where to look next, at the first node that is not well.
fn next(ended: &[(&Node, Ended)], work: &Work) -> Option<Part> {
    let (node, it) = ended.iter().find(|(_, it)| it.state == HostState::Failed)?;
    let known = |command: &str| work.look.commands.get(command).is_some();
    let command = match it.verdict {
        Some(Verdict::SameError) if known("diagnose") => format!("diagnose {}", node.name),
        Some(Verdict::DidNotComeUp) if known("logs") => format!("logs {} --since 15m", node.name),
        _ => format!("status {}", node.name),
    };
    Some(Part::Next {
        label: command.clone(),
        command,
    })
}
