//! `/habops airlock`: where each worker's build network is, by the three probes of Builder's `airlock.sh`, and what puts it right.
//!
//! An interface that is missing on the host is normal once it is in the namespace, so the namespace is asked first.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Handler, Look, Result, Work, hosts};
use crate::{
    clients::ssh::{Command, End, Host, Output as Answer},
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        node::Node,
        outcome::Outcome,
        output::{HostOutcome, HostState, Output, Part, Status},
    },
};

/// Which workers; resolved when it was authorized.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    target: Option<String>,
}

/// The word in the registry.
pub struct Airlock;

/// Whose build network it is.
const ROLE: &str = "worker";
/// The second network interface of a worker.
const INTERFACE: &str = "ens4";
/// Where a worker keeps its build namespace.
const NAMESPACE: &str = "/hab/svc/builder-worker/data/network/airlock-ns";
/// Longest one probe may take on a worker.
const PATIENCE: Duration = Duration::from_secs(15);
/// An address is a few lines.
const MOST_OUTPUT: usize = 64 * 1024;

impl Handler for Airlock {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(_plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let workers: Vec<Host> = workers(look).map(Host::from).collect();
        if workers.is_empty() {
            let said = "There is no worker among these nodes; only workers have a build network.";
            return Err(Refusal::usage(said)
                .or_else("All workers", "airlock")
                .into());
        }
        let answers = look
            .clients
            .ssh
            .on_each(&workers, |host| probe(look, host))
            .await;
        let found: Vec<(&str, Probed)> = answers
            .into_iter()
            .map(|(host, probed)| (host.name.as_str(), probed))
            .collect();
        Ok(output(&found).into())
    }

    fn by_hand(_plan: &Args, look: &Look) -> Vec<String> {
        let probes = [has_namespace(), inside(), on_the_host()];
        workers(look)
            .flat_map(|node| {
                probes
                    .iter()
                    .filter_map(|probe| hosts::by_hand(node, probe))
            })
            .collect()
    }
}

fn workers(look: &Look) -> impl Iterator<Item = &Node> {
    let nodes = look.asked.nodes.iter();
    nodes.filter(|node| node.role.as_str() == ROLE)
}

/// Where a worker's build network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    NotAttached,
    NoInterface,
    NotBooted,
    Well,
}

impl Verdict {
    /// From the probes: whether the namespace is there, and whether the interface has an address where it belongs then.
    fn of(namespace: bool, address: bool) -> Self {
        match (namespace, address) {
            (true, true) => Self::Well,
            (true, false) => Self::NoInterface,
            (false, true) => Self::NotBooted,
            (false, false) => Self::NotAttached,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Well => "OK",
            Self::NoInterface => "ISSUE: namespace without interface",
            Self::NotBooted => "WARN: worker not booted",
            Self::NotAttached => "ISSUE: interface not attached",
        }
    }

    /// What it means and what puts it right.
    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Well => None,
            Self::NoInterface => Some(
                "The build namespace is there and the interface is not in it: builds have no network. Where no build is running, destroy the namespace and restart the Supervisor; the worker makes a new one as it boots.",
            ),
            Self::NotBooted => Some(
                "The interface is still on the host and there is no namespace: most likely the worker service has not booted up. Its journal says why.",
            ),
            Self::NotAttached => Some(
                "The second network interface is nowhere: it is not attached to the machine. No command helps; attach it in EC2, device index 1, then restart the Supervisor.",
            ),
        }
    }

    /// The command that comes next for these workers.
    fn next(self, workers: &str) -> Option<String> {
        match self {
            Self::NoInterface => Some(format!("airlock destroy {workers}")),
            Self::NotBooted => Some(format!("services {workers}")),
            Self::Well | Self::NotAttached => None,
        }
    }
}

/// A worker's verdict with the interface's address where it has one; or how it stands in its row, and why.
type Probed = std::result::Result<(Verdict, Option<String>), (HostState, String)>;

fn has_namespace() -> Command {
    bounded(Command::new(["sudo", "-n", "test", "-d", NAMESPACE]))
}

fn inside() -> Command {
    let (user, net) = (
        format!("--user={NAMESPACE}/userns"),
        format!("--net={NAMESPACE}/netns"),
    );
    let words = [
        "sudo", "-n", "nsenter", &user, &net, "ip", "address", "show", "dev", INTERFACE,
    ];
    bounded(Command::new(words))
}

fn on_the_host() -> Command {
    bounded(Command::new([
        "sudo", "-n", "ip", "address", "show", "dev", INTERFACE,
    ]))
}

fn bounded(command: Command) -> Command {
    command.limit(MOST_OUTPUT).timeout(PATIENCE)
}

async fn probe(look: &Look, host: &Host) -> Probed {
    let mut nodes = look.asked.nodes.iter();
    let node = nodes.find(|node| node.name.as_str() == host.name);
    if let Some(why) = node.and_then(hosts::not_running) {
        return Err((HostState::Skipped, why));
    }
    let namespace = match asked(look, host, &has_namespace()).await? {
        answer if answer.end == End::Exit(0) => true,
        answer if answer.end == End::Exit(1) && answer.stderr.is_empty() => false,
        answer => return Err((HostState::Failed, complaint(&answer))),
    };
    let second = if namespace { inside() } else { on_the_host() };
    let address = address(&asked(look, host, &second).await?);
    Ok((Verdict::of(namespace, address.is_some()), address))
}

/// Runs a probe. What sudo refuses is no answer: it would look as if the interface were missing.
async fn asked(
    look: &Look,
    host: &Host,
    probe: &Command,
) -> std::result::Result<Answer, (HostState, String)> {
    let answer = look.clients.ssh.run(host, probe).await;
    let answer = answer.map_err(|error| hosts::unanswered(&error))?;
    if answer.complaint().starts_with("sudo:") || !matches!(answer.end, End::Exit(_)) {
        return Err((HostState::Failed, complaint(&answer)));
    }
    Ok(answer)
}

fn complaint(answer: &Answer) -> String {
    let said = answer.complaint();
    let first = said.lines().find(|line| !line.trim().is_empty());
    first.map_or_else(
        || match &answer.end {
            End::Exit(status) => format!("a probe ended with {status}"),
            End::Signal(signal) => format!("a probe was ended by signal {signal}"),
            End::Vanished => "the connection closed before a probe had ended".to_owned(),
        },
        |line| line.trim().to_owned(),
    )
}

/// `10.0.2.242/24` of `inet 10.0.2.242/24 brd …`.
fn address(answer: &Answer) -> Option<String> {
    let text = answer.text();
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("inet "))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn output(found: &[(&str, Probed)]) -> Output {
    let mut verdicts: Vec<(Verdict, &str, Option<&str>)> = found
        .iter()
        .filter_map(|(node, probed)| {
            let (verdict, address) = probed.as_ref().ok()?;
            Some((*verdict, *node, address.as_deref()))
        })
        .collect();
    verdicts.sort();
    let silent = found.len() - verdicts.len();
    let well = verdicts
        .iter()
        .filter(|(verdict, ..)| *verdict == Verdict::Well)
        .count();
    // A worker that does not run was not tried, so it did not fail.
    let failed = |(_, probed): &&(&str, Probed)| matches!(probed, Err((state, _)) if *state != HostState::Skipped);
    let status = match found.iter().filter(failed).count() {
        0 => Status::Done,
        _ if silent == found.len() => Status::Failed,
        _ => Status::Partly,
    };
    let title = match (well, verdicts.len()) {
        (_, 0) => format!(
            "No worker could be probed: none of {} answered",
            found.len()
        ),
        (1, 1) => format!("The build network of {} is as it should be", verdicts[0].1),
        (well, all) if well == all => {
            format!("The build network of all {all} workers is as it should be")
        }
        (well, all) => format!(
            "The build network of {} of {all} workers is not as it should be",
            all - well
        ),
    };
    let mut output = Output::new(status, title);
    if !verdicts.is_empty() {
        let row = |(verdict, node, address): &(Verdict, &str, Option<&str>)| {
            vec![
                (*node).to_owned(),
                verdict.word().to_owned(),
                address.unwrap_or("–").to_owned(),
            ]
        };
        let columns = ["worker", "verdict", INTERFACE].map(str::to_owned).to_vec();
        output = output.with(Part::Table {
            columns,
            rows: verdicts.iter().map(row).collect(),
        });
    }
    for verdict in [
        Verdict::NotAttached,
        Verdict::NoInterface,
        Verdict::NotBooted,
    ] {
        let of: Vec<&str> = verdicts
            .iter()
            .filter(|(is, ..)| *is == verdict)
            .map(|(_, node, _)| *node)
            .collect();
        let Some(advice) = verdict.advice().filter(|_| !of.is_empty()) else {
            continue;
        };
        output = output.text(format!("{}: {advice}", of.join(", ")));
        if let Some(command) = verdict.next(&of.join(",")) {
            output = output.with(Part::Next {
                label: command.clone(),
                command,
            });
        }
    }
    if silent > 0 {
        output = output.with(Part::Hosts(
            found
                .iter()
                .map(|(node, probed)| host(node, probed))
                .collect(),
        ));
    }
    output
}

fn host(node: &str, probed: &Probed) -> HostOutcome {
    let (state, said) = match probed {
        Ok((verdict, _)) => (HostState::Done, verdict.word().to_owned()),
        Err((state, said)) => (*state, said.clone()),
    };
    HostOutcome::new(node, state, said)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(text: &str) -> Answer {
        Answer {
            stdout: text.into(),
            stderr: Vec::new(),
            end: End::Exit(0),
            cut: false,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn an_interface_without_an_address_is_none() {
        let up = "3: ens4: <UP> mtu 9001\n    inet 10.0.2.242/24 brd 10.0.2.255 scope global ens4\n    inet6 fe80::1/64 scope link\n";
        assert_eq!(address(&answer(up)).as_deref(), Some("10.0.2.242/24"));
        let bare = "3: ens4: <UP> mtu 9001\n    inet6 fe80::1/64 scope link\n";
        assert_eq!(address(&answer(bare)), None);
        assert_eq!(address(&answer("")), None);
    }

    #[test]
    fn several_workers_in_need_of_the_same_get_one_button() {
        let lost = |node| (node, Ok((Verdict::NoInterface, None)));
        let well = ("w-2", Ok((Verdict::Well, Some("10.0.2.2/24".to_owned()))));
        let told = output(&[lost("w-0"), lost("w-1"), well]);
        assert_eq!(
            told.title,
            "The build network of 2 of 3 workers is not as it should be"
        );
        let next: Vec<&Part> = told
            .parts
            .iter()
            .filter(|part| matches!(part, Part::Next { .. }))
            .collect();
        assert!(
            matches!(next.as_slice(), [Part::Next { command, .. }] if command == "airlock destroy w-0,w-1"),
            "{next:?}"
        );
    }
}
