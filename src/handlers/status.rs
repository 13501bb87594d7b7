//! `/habops status`: how each node is, worst first. One script a node, all nodes at once.

mod reading;

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::reading::Reading;
use super::{
    Handler, Look, Result, Work, hosts,
    supervisor::{self, Silent},
};
use crate::{
    clients::ssh::{Command, Error, Host},
    domain::{
        journey::{Cleared, Proposal},
        node::{Fleet, Node},
        outcome::Outcome,
        output::{HostOutcome, HostState, Output, Part, Status as Ended},
        supervisor::ServiceState,
    },
};

/// The nodes come with the command; the target itself was resolved when it was authorized.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    target: Option<String>,
}

/// The word in the registry.
pub struct Status;

/// Longest a node may take once connected: `hab` on a busy node takes seconds, not minutes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Far above what a healthy node prints (2 KiB).
const MOST_OUTPUT: usize = 64 * 1024;
/// A clock further off than this makes log lines of two nodes misleading to compare.
const CLOCK_TOLERANCE: f64 = 2.0;
/// Share of a disk or of memory in use from which it is worth saying, in per cent.
const FULL: u64 = 90;

impl Handler for Status {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(_plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let nodes = &look.asked.nodes;
        let running: Vec<&Node> = nodes.iter().filter(|node| node.is_running()).collect();
        let targets: Vec<Host> = running.iter().copied().map(Host::from).collect();
        let ssh = &look.clients.ssh;
        let mut answers = std::pin::pin!(ssh.fan_out(&targets, |host| ask(look, host)));
        let stopped: Vec<(u8, HostOutcome)> = nodes
            .iter()
            .filter(|node| !node.is_running())
            .map(not_running)
            .collect();
        let mut rows = hosts::Awaited::of(&targets);
        let mut silent = Silent::default();
        while let Some((at, answer)) = answers.next().await {
            let answer = answer.map(|(reading, why)| {
                silent.add(running[at].name.as_str(), why);
                reading
            });
            rows.answered(at, row(running[at], answer));
            // Whoever reads it need not wait for the one that hangs.
            let so_far = rows.so_far().chain(&stopped).cloned();
            work.report(
                Output::new(Ended::Running, rows.standing())
                    .with(Part::Hosts(worst_first(so_far.collect()))),
            );
        }
        let mut rows = rows.all();
        rows.extend(stopped);
        let fleet = look.clients.fleet.snapshot().await;
        Ok(output(rows, &fleet).text_of(silent.line()).into())
    }

    fn by_hand(_plan: &Args, look: &Look) -> Vec<String> {
        look.asked
            .nodes
            .iter()
            .filter_map(|node| hosts::by_hand(node, &supervisor::command()))
            .collect()
    }
}

/// The one script. Every part may fail without hurting the others; `@@` begins a part, `@exit` tells how it ended. Its words are the
/// parts to leave out.
pub const SCRIPT: &str = r#"LC_ALL=C; export LC_ALL; left_out=" $* "
part() { case $left_out in *" $1 "*) return;; esac; printf '\n@@%s\n' "$1"; shift; "$@" 2>&1; printf '\n@exit %s\n' "$?"; }
part date date -u +%s.%N
part unit systemctl show hab-sup -p ActiveState -p SubState -p MainPID -p ActiveEnterTimestamp -p NRestarts
part services sudo -n hab sup status
part uptime cat /proc/uptime
part load cat /proc/loadavg
part cpus nproc
part memory cat /proc/meminfo
part disk df -P -k / /hab
"#;

fn script(left_out: &[&str]) -> Command {
    Command::script(SCRIPT, left_out.iter().copied())
        .limit(MOST_OUTPUT)
        .timeout(PATIENCE)
}

/// How a node is, and why it was not the gateway that told of its services, where that should have.
async fn ask(look: &Look, host: &Host) -> std::result::Result<(Reading, Option<String>), Error> {
    let ssh = &look.clients.ssh;
    let read = async |left_out: &[&str]| {
        let answer = ssh.run(host, &script(left_out)).await?;
        Ok::<_, Error>(Reading::of(&answer.text(), Timestamp::now(), answer.took))
    };
    let Some(gateway) = &look.clients.supervisor else {
        return Ok((read(&[]).await?, None));
    };
    // A node that is not reached is told at once: the script's error ends both.
    let told = async { Ok(gateway.services(host).await) };
    let (mut reading, told) = tokio::try_join!(read(&["services"]), told)?;
    let (services, why) = match told {
        Ok(services) => (reading::loaded(services), None),
        Err(why) => {
            let answer = ssh.run(host, &supervisor::command()).await?;
            (reading::of_hab(&answer), Some(why.to_string()))
        }
    };
    reading.services = services;
    Ok((reading, why))
}

fn not_running(node: &Node) -> (u8, HostOutcome) {
    let state = node
        .ec2
        .as_ref()
        .map_or("unknown", |ec2| ec2.state.as_str());
    let said = format!("{state} in EC2");
    (
        2,
        HostOutcome {
            node: node.name.to_string(),
            state: HostState::Skipped,
            said,
            facts: facts(node, None),
        },
    )
}

/// One node's row, and how bad it is: 0 is worst.
fn row(node: &Node, answer: std::result::Result<Reading, Error>) -> (u8, HostOutcome) {
    let name = node.name.to_string();
    match answer {
        Err(error) => {
            let (state, said) = hosts::unanswered(&error);
            (
                0,
                HostOutcome {
                    node: name,
                    state,
                    said,
                    facts: facts(node, None),
                },
            )
        }
        Ok(reading) => {
            let (rank, said) = judged(&reading);
            (
                rank,
                HostOutcome {
                    node: name,
                    state: HostState::Done,
                    said,
                    facts: facts(node, Some(&reading)),
                },
            )
        }
    }
}

/// How bad it is, and the one line that says why.
fn judged(reading: &Reading) -> (u8, String) {
    let services = match &reading.services {
        Err(why) => return (1, why.clone()),
        Ok(services) => services,
    };
    let down: Vec<&str> = services
        .iter()
        .filter(|service| service.state != ServiceState::Up)
        .map(super::super::domain::supervisor::Service::name)
        .collect();
    if !down.is_empty() {
        return (1, format!("{} down", down.join(", ")));
    }
    let mut remarks = Vec::new();
    if let Ok(disk) = &reading.disk
        && disk.used_percent >= FULL
    {
        remarks.push(format!("disk {}% full", disk.used_percent));
    }
    if let Ok(memory) = &reading.memory
        && memory.used_percent >= FULL
    {
        remarks.push(format!("memory {}% used", memory.used_percent));
    }
    if let Ok(skew) = reading.clock
        && skew.abs() > CLOCK_TOLERANCE
    {
        remarks.push(format!("clock {skew:+.1} s off"));
    }
    if remarks.is_empty() {
        (4, "up".to_owned())
    } else {
        (3, remarks.join(", "))
    }
}

/// The table's cells. What is missing is a dash with its reason, never a failed row.
fn facts(node: &Node, reading: Option<&Reading>) -> Vec<(String, String)> {
    let cell = |name: &str, value: String| (name.to_owned(), value);
    let none = || "–".to_owned();
    let told = |value: std::result::Result<String, String>| {
        value.unwrap_or_else(|why| format!("– ({why})"))
    };
    let ec2 = node
        .ec2
        .as_ref()
        .map_or_else(none, |ec2| match &ec2.checks {
            Some(checks) => format!("{}, checks {checks}", ec2.state),
            None => ec2.state.clone(),
        });
    let Some(reading) = reading else {
        let names = ["services", "supervisor", "load", "memory", "disk", "clock"];
        return names
            .into_iter()
            .map(|name| cell(name, none()))
            .chain([cell("EC2", ec2)])
            .collect();
    };
    let services = match &reading.services {
        Err(_) => none(),
        Ok(services) => services
            .iter()
            .map(reading::service_cell)
            .collect::<Vec<_>>()
            .join("; "),
    };
    vec![
        cell("services", services),
        cell("supervisor", told(reading.unit.clone())),
        cell("load", told(reading.load.clone())),
        cell(
            "memory",
            told(reading.memory.clone().map(|memory| memory.to_string())),
        ),
        cell(
            "disk",
            told(reading.disk.clone().map(|disk| disk.to_string())),
        ),
        cell(
            "clock",
            told(reading.clock.clone().map(|skew| format!("{skew:+.1} s"))),
        ),
        cell("EC2", ec2),
    ]
}

fn worst_first(mut rows: Vec<(u8, HostOutcome)>) -> Vec<HostOutcome> {
    rows.sort_by(|(one, a), (other, b)| one.cmp(other).then_with(|| a.node.cmp(&b.node)));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn output(rows: Vec<(u8, HostOutcome)>, fleet: &Fleet) -> Output {
    let total = rows.len();
    let well = rows.iter().filter(|(rank, _)| *rank >= 3).count();
    let rows = worst_first(rows);
    let reached = rows
        .iter()
        .filter(|row| row.state == HostState::Done)
        .count();
    let title = match rows.first() {
        Some(worst) if well < total => {
            format!("{well} of {total} nodes are up; worst: {}", in_short(worst))
        }
        Some(only) if total == 1 => format!("{} is up", only.node),
        _ => format!("All {total} nodes are up"),
    };
    // A node that EC2 has stopped was not tried, so it did not fail.
    let tried = rows
        .iter()
        .filter(|row| row.state != HostState::Skipped)
        .count();
    let status = match reached {
        all if all == tried => Ended::Done,
        0 => Ended::Failed,
        _ => Ended::Partly,
    };
    let output = Output::new(status, title).with(Part::Hosts(rows));
    let stale = hosts::stale(fleet, Timestamp::now());
    output.text_of(stale)
}

/// The node and what is wrong with it: the reason in full and the advice stand in the table, and are too long for a title.
fn in_short(host: &HostOutcome) -> String {
    let said = host.said.as_str();
    let end = [": ", "; "].iter().filter_map(|end| said.find(end)).min();
    let clause = &said[..end.unwrap_or(said.len())];
    if clause.contains(&host.node) {
        clause.to_owned()
    } else {
        format!("{}, {clause}", host.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_names_the_worst_node_once_and_leaves_the_advice_to_the_table() {
        let short = |said: &str| in_short(&HostOutcome::new("api-0", HostState::Unreachable, said));
        assert_eq!(
            short("the host key of api-0 (127.0.0.1:22) changed: known A, offered B; if not"),
            "the host key of api-0 (127.0.0.1:22) changed"
        );
        assert_eq!(short("stopped in EC2"), "api-0, stopped in EC2");
    }
}
