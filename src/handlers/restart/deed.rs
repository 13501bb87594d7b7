//! The restart itself on one node, and the wait until what ought to run does.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{What, host, reading::Reading, reading::read};
use crate::{
    clients::ssh::{Command, End, Error},
    domain::{
        node::Node,
        output::HostState,
        service::Services,
        supervisor::{Service, ServiceState},
    },
    handlers::{Look, hosts},
};

/// systemd itself ends a stop that takes longer than 90 s.
const RESTART_TAKES: Duration = Duration::from_mins(2);
/// `hab svc` only writes a wish down.
const WISH_TAKES: Duration = Duration::from_secs(20);
/// Between two looks at a node that comes up.
const LOOK_AGAIN: Duration = Duration::from_millis(700);

/// What became of it.
pub enum Done {
    /// Everything that ought to run does, as read.
    Up(Reading),
    /// It was restarted, or that is unknown, and does not run.
    Down {
        /// Why it is taken to be down.
        why: String,
        /// As read last.
        last: Option<Reading>,
    },
    /// It was not restarted, because the node refused or was not reached; nothing has changed.
    Not(HostState, String),
}

/// The commands, for a person at the node.
pub fn by_hand(what: &What, services: &Services) -> Vec<Command> {
    match what {
        What::Supervisor => vec![supervisor()],
        What::Service(name) => {
            let package = services.get(name).map_or(name, |service| &service.package);
            vec![wish("stop", package), wish("start", package)]
        }
    }
}

fn supervisor() -> Command {
    Command::new(["sudo", "-n", "systemctl", "restart", "hab-sup"]).timeout(RESTART_TAKES)
}

fn wish(verb: &str, package: &str) -> Command {
    Command::new(["sudo", "-n", "hab", "svc", verb, package]).timeout(WISH_TAKES)
}

/// Restarts it and waits until it is up, as long as the configuration allows.
pub async fn restart(look: &Look, node: &Node, what: &What, before: &Reading) -> Done {
    match what {
        What::Supervisor => whole(look, node, before).await,
        What::Service(name) => one(look, node, name, before).await,
    }
}

async fn whole(look: &Look, node: &Node, before: &Reading) -> Done {
    let complaint = match tell(look, node, &supervisor()).await {
        Told::Done => None,
        Told::Not(state, why) => return Done::Not(state, why),
        Told::Failed(why) | Told::Unknown(why) => Some(why),
    };
    let is_up = |now: &Reading| {
        if now.unit.is_same(&before.unit) || !now.unit.is_active() {
            return Some(format!("the Supervisor is {}", now.unit.state));
        }
        missing(now, |_| true)
    };
    let done = until(look, node, complaint.is_none(), is_up).await;
    match (done, complaint) {
        // The node said no, and is as it was.
        (
            Done::Down {
                last: Some(last), ..
            },
            Some(why),
        ) if last.unit.is_same(&before.unit) => Done::Not(HostState::Failed, why),
        (Done::Down { last, why }, Some(complaint)) => Done::Down {
            why: format!("{complaint}; {why}"),
            last,
        },
        (done, _) => done,
    }
}

/// Stop and start are wishes: each is waited for. The start is always asked for once the stop was, come what may between them.
async fn one(look: &Look, node: &Node, name: &str, before: &Reading) -> Done {
    let Some(was) = service(before, name) else {
        return Done::Not(HostState::Failed, format!("{name} is not loaded there"));
    };
    let package: String = was.ident.split('/').take(2).collect::<Vec<_>>().join("/");
    match tell(look, node, &wish("stop", &package)).await {
        Told::Done | Told::Unknown(_) => {}
        Told::Not(state, why) => return Done::Not(state, why),
        Told::Failed(why) => return Done::Not(HostState::Failed, why),
    }
    let is_down = |now: &Reading| match service(now, name) {
        Some(service) if service.state == ServiceState::Up => Some(format!("{name} is still up")),
        _ => None,
    };
    let stopped = until(look, node, true, is_down).await;
    let started = tell(look, node, &wish("start", &package)).await;
    let complaint = match started {
        Told::Done => None,
        Told::Not(_, why) | Told::Failed(why) | Told::Unknown(why) => Some(why),
    };
    let old = was.pid;
    let is_up = |now: &Reading| match service(now, name) {
        Some(service) if old.is_some() && service.pid == old => {
            Some(format!("{name} still has the process it had"))
        }
        _ => missing(now, |service| service == name),
    };
    match (
        until(look, node, complaint.is_none(), is_up).await,
        stopped,
        complaint,
    ) {
        (Done::Down { last, why }, _, Some(complaint)) => Done::Down {
            why: format!("{complaint}; {why}"),
            last,
        },
        (Done::Down { last, why }, Done::Down { why: still, .. }, None) => Done::Down {
            why: format!("{still} after the stop; {why}"),
            last,
        },
        (done, ..) => done,
    }
}

/// The loaded service of that name.
pub fn service<'a>(reading: &'a Reading, name: &str) -> Option<&'a Service> {
    let mut services = reading.services().iter();
    services.find(|service| service.name() == name)
}

/// Which services that ought to run do not. One that is wanted down is left alone.
pub fn missing(now: &Reading, counts: impl Fn(&str) -> bool) -> Option<String> {
    let loaded = match &now.loaded {
        Ok(loaded) => loaded,
        Err(why) => return Some(why.clone()),
    };
    let down: Vec<&str> = loaded
        .iter()
        .filter(|service| counts(service.name()))
        .filter(|service| service.desired != Some(ServiceState::Down))
        .filter(|service| service.state != ServiceState::Up)
        .map(Service::name)
        .collect();
    (!down.is_empty()).then(|| format!("{} down", down.join(", ")))
}

/// Looks again and again until nothing is lacking, or time is up; only once where there is no hope.
async fn until(
    look: &Look,
    node: &Node,
    patient: bool,
    lacks: impl Fn(&Reading) -> Option<String>,
) -> Done {
    let deadline = Instant::now() + look.settings.comes_up_within;
    let mut last = None;
    loop {
        let why = match read(look, node).await {
            Ok(now) => match lacks(&now) {
                None => return Done::Up(now),
                Some(why) => {
                    last = Some(now);
                    why
                }
            },
            Err((_, why)) => why,
        };
        if !patient || Instant::now() >= deadline {
            return Done::Down { why, last };
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// What telling a node came to.
enum Told {
    Done,
    /// It was not told; nothing has happened.
    Not(HostState, String),
    /// It was told and said no.
    Failed(String),
    /// It was told, and whether it heard is unknown.
    Unknown(String),
}

async fn tell(look: &Look, node: &Node, command: &Command) -> Told {
    match look.clients.ssh.run(&host(node), command).await {
        Ok(answer) => match &answer.end {
            End::Exit(0) => Told::Done,
            End::Exit(status) => {
                let complaint = answer.complaint();
                let mut lines = complaint.lines().map(str::trim);
                let said = lines.find(|line| line.chars().any(char::is_alphanumeric));
                Told::Failed(said.map_or_else(|| format!("exit {status}"), str::to_owned))
            }
            End::Signal(signal) => Told::Unknown(format!("ended by signal {signal}")),
            End::Vanished => Told::Unknown("the connection closed before it had ended".to_owned()),
        },
        Err(
            error @ Error::Timeout {
                phase: crate::clients::ssh::Phase::Run,
                ..
            },
        ) => Told::Unknown(hosts::unanswered(&error).1),
        Err(error) => {
            let (state, why) = hosts::unanswered(&error);
            Told::Not(state, why)
        }
    }
}
