//! What can go wrong with the fleet on purpose, by name.

use tokio::sync::watch;

use super::super::fault::{Fault, FaultState, NodeState};
use super::Nodes;
use super::server::Gate;
use super::state::{Interface, Node, Quirk, Service, TroubleKind};

/// What a fault does to its node.
#[derive(Clone, Copy)]
enum Breaks {
    Trouble(TroubleKind),
    Restarts(Quirk),
    Interface(Interface),
    CrashLoop,
    Gate(Gate),
}

/// The faults the page offers: name, node, what it does, title, about.
const FAULTS: [(&str, &str, Breaks, &str, &str); 14] = [
    (
        "timeout-storm",
        "live-builder-api-0",
        Breaks::Trouble(TroubleKind::Timeout),
        "TIMEOUT storm on live-builder-api-0",
        "The journal fills with net:route:3 TIMEOUT errors until the node's hab-sup is restarted.",
    ),
    (
        "no-shard",
        "live-builder-router-0",
        Breaks::Trouble(TroubleKind::NoShard),
        "NO_SHARD on live-builder-router-0",
        "The journal fills with rt:route:2 NO_SHARD errors until hab-sup is restarted on live-builder-jobsrv-0.",
    ),
    (
        "no-shard-login",
        "live-builder-router-0",
        Breaks::Trouble(TroubleKind::NoShardTold),
        "NO_SHARD for sessionsrv on live-builder-router-0",
        "With debug logs, so each error follows the line that names the protocol. Ends when hab-sup is restarted on live-builder-sessionsrv-0.",
    ),
    (
        "no-datastore",
        "live-builder-originsrv-0",
        Breaks::Trouble(TroubleKind::NoDatastore),
        "No connection to PostgreSQL on live-builder-originsrv-0",
        "Its journal says so again and again until hab-sup is restarted on live-builder-datastore-0.",
    ),
    (
        "too-many-clients",
        "live-builder-datastore-0",
        Breaks::Trouble(TroubleKind::TooManyClients),
        "Too many clients on live-builder-datastore-0",
        "PostgreSQL has given out all its connections, until hab-sup is restarted there.",
    ),
    (
        "ens4-lost",
        "live-builder-worker-0",
        Breaks::Interface(Interface::Lost),
        "ens4 is lost on live-builder-worker-0",
        "The build namespace is there and the interface is not in it. Destroying the namespace and restarting the Supervisor brings it back.",
    ),
    (
        "ens4-detached",
        "live-builder-worker-1",
        Breaks::Interface(Interface::Absent),
        "ens4 is detached from live-builder-worker-1",
        "The second network interface is attached nowhere, and no command on the node helps.",
    ),
    (
        "frozen",
        "live-builder-worker-1",
        Breaks::Gate(Gate::Frozen),
        "live-builder-worker-1 is frozen",
        "It accepts connections and never says a word, also on those it has.",
    ),
    (
        "hostkey",
        "live-builder-jobsrv-0",
        Breaks::Gate(Gate::OtherKey),
        "Another host key on live-builder-jobsrv-0",
        "It answers with a host key that is not the pinned one, as after a rebuild or with somebody in between.",
    ),
    (
        "down",
        "live-builder-sessionsrv-0",
        Breaks::Gate(Gate::Down),
        "live-builder-sessionsrv-0 is down",
        "Connections are refused and those it had are closed.",
    ),
    (
        "crash-loop",
        "live-builder-admin-0",
        Breaks::CrashLoop,
        "Crash loop on live-builder-admin-0",
        "Its first service crashes ten seconds after each start, until it is restarted by somebody.",
    ),
    (
        "restart-no-help",
        "live-builder-api-0",
        Breaks::Restarts(Quirk::Stubborn),
        "Restarts do not help on live-builder-api-0",
        "What is wrong there stays wrong when its Supervisor or a service of it is restarted.",
    ),
    (
        "stays-down",
        "live-builder-originsrv-0",
        Breaks::Restarts(Quirk::StaysDown),
        "live-builder-originsrv-0 does not come up again",
        "After the next restart its first service stays down.",
    ),
    (
        "dirty-stop",
        "live-builder-datastore-0",
        Breaks::Restarts(Quirk::DirtyStop),
        "Dirty stops on live-builder-datastore-0",
        "Its stop leaves PostgreSQL's lock files, and the next start fails on them. Turning this off removes them.",
    ),
];

impl Breaks {
    /// Whether it can be turned on for any node, as `frozen:NODE`. A storm belongs to its node, where it has a cure, and an interface to a worker.
    fn anywhere(self) -> bool {
        !matches!(self, Self::Trouble(_) | Self::Interface(_))
    }
}

/// The faults of the table, and all but the storms on any other node as `frozen:NODE`.
impl Fault for Nodes {
    fn list(&self) -> Vec<FaultState> {
        let offered = FAULTS
            .iter()
            .map(|&(name, node, breaks, title, about)| FaultState {
                name: name.into(),
                title: title.into(),
                about: about.into(),
                on: Some(self.is_on(node, breaks)),
                group: "nodes".into(),
            });
        let others = self.list().iter().flat_map(|node| {
            FAULTS
                .iter()
                .filter_map(|&(name, usual, breaks, _, about)| {
                    let shown =
                        breaks.anywhere() && usual != node.name && self.is_on(&node.name, breaks);
                    shown.then(|| FaultState {
                        name: format!("{name}:{}", node.name),
                        title: format!("{name}: {}", node.name),
                        about: about.into(),
                        on: Some(true),
                        group: "nodes".into(),
                    })
                })
        });
        offered.chain(others).collect()
    }

    fn set(&self, name: &str, on: bool) -> bool {
        let (name, node) = name
            .split_once(':')
            .map_or((name, None), |(name, node)| (name, Some(node)));
        let Some(&(_, usual, breaks, ..)) = FAULTS.iter().find(|(known, ..)| *known == name) else {
            return false;
        };
        match (breaks, node) {
            (_, None) => self.turn(usual, breaks, on),
            (_, Some(node)) if breaks.anywhere() => self.turn(node, breaks, on),
            (_, Some(_)) => false,
        }
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.inner.done.subscribe())
    }

    fn nodes(&self) -> Vec<NodeState> {
        self.list()
            .iter()
            .map(|node| NodeState {
                name: node.name.clone(),
                state: self.state_of(&node.name).into(),
            })
            .collect()
    }
}

impl Nodes {
    /// One word on a node: `ok`, or what is wrong with it.
    pub fn state_of(&self, name: &str) -> &'static str {
        let gate = self
            .inner
            .gates
            .get(name)
            .map_or(Gate::Open, |sender| *sender.borrow());
        match gate {
            Gate::Frozen => "frozen",
            Gate::Down => "down",
            Gate::OtherKey => "hostkey",
            Gate::Open if self.is_on(name, Breaks::Trouble(TroubleKind::Timeout)) => {
                "timeout-storm"
            }
            Gate::Open if self.is_on(name, Breaks::Trouble(TroubleKind::NoShard)) => "no-shard",
            Gate::Open => self.otherwise_wrong(name),
        }
    }

    fn otherwise_wrong(&self, name: &str) -> &'static str {
        let wrong = [
            (Breaks::Trouble(TroubleKind::NoShardTold), "no-shard-login"),
            (Breaks::Trouble(TroubleKind::NoDatastore), "no-datastore"),
            (
                Breaks::Trouble(TroubleKind::TooManyClients),
                "too-many-clients",
            ),
            (Breaks::CrashLoop, "crash-loop"),
            (Breaks::Restarts(Quirk::Stubborn), "restart-no-help"),
            (Breaks::Restarts(Quirk::StaysDown), "stays-down"),
            (Breaks::Restarts(Quirk::DirtyStop), "dirty-stop"),
        ];
        let found = wrong.iter().find(|(breaks, _)| self.is_on(name, *breaks));
        found.map_or("ok", |(_, word)| word)
    }

    fn is_on(&self, node: &str, breaks: Breaks) -> bool {
        let state = || Node::read(&self.folder(node));
        match breaks {
            Breaks::Trouble(kind) => state().is_ok_and(|node| node.troubled(kind)),
            Breaks::Restarts(quirk) => state().is_ok_and(|node| node.is(quirk)),
            Breaks::Interface(at) => state().is_ok_and(|node| node.interface == at),
            Breaks::CrashLoop => {
                state().is_ok_and(|node| node.services.iter().any(Service::crashes))
            }
            Breaks::Gate(gate) => self
                .inner
                .gates
                .get(node)
                .is_some_and(|sender| *sender.borrow() == gate),
        }
    }

    fn turn(&self, node: &str, breaks: Breaks, on: bool) -> bool {
        let Some(sender) = self.inner.gates.get(node) else {
            return false;
        };
        match breaks {
            Breaks::Trouble(kind) => self.change(node, |node| node.trouble(kind, on)),
            Breaks::CrashLoop => self.change(node, |node| node.crash_loop(on)),
            Breaks::Restarts(quirk) => self.change(node, |node| {
                node.quirks.retain(|known| *known != quirk);
                if on {
                    node.quirks.push(quirk);
                } else if quirk == Quirk::DirtyStop {
                    node.left_locks = false;
                }
            }),
            Breaks::Interface(at) => self.change(node, |node| match (on, node.interface == at) {
                (true, false) => node.move_interface(at),
                (false, true) => node.move_interface(Interface::Namespace),
                _ => {}
            }),
            Breaks::Gate(gate) => {
                sender.send_if_modified(|present| {
                    let wanted = match (on, *present == gate) {
                        (true, _) => gate,
                        (false, true) => Gate::Open,
                        (false, false) => *present,
                    };
                    std::mem::replace(present, wanted) != wanted
                });
                true
            }
        }
    }

    fn change(&self, node: &str, change: impl FnOnce(&mut Node)) -> bool {
        let changed = Node::change(&self.folder(node), change);
        if let Err(error) = &changed {
            tracing::error!(%error, "cannot change what is wrong with {node}");
        }
        changed.is_ok()
    }
}
