//! `/habops services`: what each Supervisor has loaded, in one table whatever its version prints.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Handler, Look, Result, Work, hosts,
    supervisor::{Silent, command, text},
};
use crate::{
    clients::{
        ssh::{End, Error, Host, Output as Answer},
        supervisor,
    },
    domain::{
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{HostOutcome, HostState, Output, Part, Status},
        supervisor::{Report, Service, ServiceState, read as read_status},
    },
};

/// Which nodes; resolved when it was authorized.
#[derive(Deserialize, Serialize)]
pub struct Args {
    target: String,
}

/// The word in the registry.
pub struct Services;

impl Handler for Services {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(_plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let targets: Vec<Host> = look.asked.nodes.iter().map(Host::from).collect();
        let asked = look.clients.ssh.on_each(&targets, |host| ask(look, host));
        let (mut rows, mut nodes, mut silent) = (Vec::new(), Vec::new(), Silent::default());
        for (host, (outcome, services, why)) in asked.await {
            rows.extend(services.iter().map(|service| {
                Row {
                    is_up: service.state == ServiceState::Up
                        && service
                            .desired
                            .as_ref()
                            .is_none_or(|it| *it == service.state),
                    cells: cells(&host.name, service),
                }
            }));
            nodes.push(outcome);
            silent.add(&host.name, why);
        }
        let fleet = look.clients.fleet.snapshot().await;
        Ok(output(rows, nodes)
            .text_of(silent.line())
            .text_of(hosts::stale(&fleet, Timestamp::now()))
            .into())
    }

    fn by_hand(_plan: &Args, look: &Look) -> Vec<String> {
        look.asked
            .nodes
            .iter()
            .filter_map(|node| hosts::by_hand(node, &command()))
            .collect()
    }
}

/// The gateway where there is one, else `hab`; and why it was not the gateway that told.
async fn ask(look: &Look, host: &Host) -> (HostOutcome, Vec<Service>, Option<String>) {
    let mut why = None;
    if let Some(gateway) = &look.clients.supervisor {
        match gateway.services(host).await {
            Ok(services) => return (listed(&host.name, &services), services, None),
            Err(supervisor::Error::Node(fault)) => {
                return (read(&host.name, Err(fault)).0, Vec::new(), None);
            }
            Err(supervisor::Error::Gateway(reason)) => why = Some(reason),
        }
    }
    let answer = look.clients.ssh.run(host, &command()).await;
    let (outcome, services) = read(&host.name, answer);
    (outcome, services, why)
}

/// The row of a node whose services are known.
fn listed(node: &str, services: &[Service]) -> HostOutcome {
    let is_up = |service: &&Service| service.state == ServiceState::Up;
    let said = match (services.iter().filter(is_up).count(), services.len()) {
        (_, 0) => "no services are loaded".to_owned(),
        (up, all) => format!("{up} of {all} services up"),
    };
    HostOutcome::new(node, HostState::Done, said)
}

fn read(node: &str, answer: std::result::Result<Answer, Error>) -> (HostOutcome, Vec<Service>) {
    let outcome = |state, said: String| HostOutcome::new(node, state, said);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let (state, said) = hosts::unanswered(&error);
            return (outcome(state, said), Vec::new());
        }
    };
    let exit = match &answer.end {
        End::Exit(status) => *status,
        End::Signal(signal) => {
            return (
                outcome(
                    HostState::Failed,
                    format!("hab was ended by signal {signal}"),
                ),
                Vec::new(),
            );
        }
        End::Vanished => {
            return (
                outcome(
                    HostState::Failed,
                    "the connection closed before hab had ended".to_owned(),
                ),
                Vec::new(),
            );
        }
    };
    match read_status(&text(&answer), exit) {
        Report::Services(services) => (listed(node, &services), services),
        Report::Nothing => (listed(node, &[]), Vec::new()),
        Report::NotRunning => {
            let said =
                "the Supervisor is not running (exit 3): `sudo systemctl start hab-sup` starts it";
            (outcome(HostState::Failed, said.to_owned()), Vec::new())
        }
        Report::NotLoaded => (
            outcome(
                HostState::Failed,
                "nothing is loaded (exit 2): `sudo hab svc load <ident>` loads a package"
                    .to_owned(),
            ),
            Vec::new(),
        ),
        Report::Unknown(line) => {
            let complaint = answer.complaint();
            let why = complaint
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or(&line)
                .trim();
            (
                outcome(
                    HostState::Failed,
                    format!("hab sup status ended with {exit}: {why}"),
                ),
                Vec::new(),
            )
        }
    }
}

/// A service in the table; up only where it is meant to be.
struct Row {
    is_up: bool,
    cells: Vec<String>,
}

fn cells(node: &str, service: &Service) -> Vec<String> {
    let none = || "–".to_owned();
    let mut ident = service.ident.split('/').skip(2);
    vec![
        node.to_owned(),
        service.name().to_owned(),
        match &service.desired {
            Some(desired) if *desired != service.state => {
                format!("{}, wanted {}", service.state.word(), desired.word())
            }
            _ => service.state.word().to_owned(),
        },
        service.elapsed.map_or_else(none, |seconds| {
            humantime::format_duration(Duration::from_secs(seconds)).to_string()
        }),
        service.pid.map_or_else(none, |pid| pid.to_string()),
        service.group.clone(),
        ident.next().map_or_else(none, |version| {
            format!("{version}/{}", ident.next().unwrap_or_default())
        }),
    ]
}

fn output(mut rows: Vec<Row>, nodes: Vec<HostOutcome>) -> Output {
    let down = rows.iter().filter(|row| !row.is_up).count();
    let failed = nodes
        .iter()
        .filter(|node| node.state != HostState::Done)
        .count();
    rows.sort_by_key(|row| row.is_up);
    let title = match (rows.len(), down) {
        (0, _) => "No service was found".to_owned(),
        (total, 0) => format!("All {total} services are up"),
        (total, down) => format!("{down} of {total} services are not up"),
    };
    let status = match failed {
        0 => Status::Done,
        all if all == nodes.len() => Status::Failed,
        _ => Status::Partly,
    };
    let mut output = Output::new(status, title);
    if !rows.is_empty() {
        let columns = ["node", "service", "state", "for", "pid", "group", "release"]
            .map(str::to_owned)
            .to_vec();
        let rows = rows.into_iter().map(|row| row.cells).collect();
        output = output.with(Part::Table { columns, rows });
    }
    output.with(Part::Hosts(nodes))
}
