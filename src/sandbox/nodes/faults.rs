//! What can go wrong with the fleet on purpose, by name.

use super::super::fault::{Fault, FaultState, NodeState};
use super::Nodes;
use super::server::Gate;
use super::state::{Node, TroubleKind};

/// What a fault does to its node.
#[derive(Clone, Copy)]
enum Breaks {
    Trouble(TroubleKind),
    Gate(Gate),
}

/// The faults the page offers: name, node, what it does, title, about.
const FAULTS: [(&str, &str, Breaks, &str, &str); 5] = [
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
];

/// The faults of the table, and each of `frozen`, `hostkey` and `down` on any other node as `frozen:NODE`.
impl Fault for Nodes {
    fn list(&self) -> Vec<FaultState> {
        let offered = FAULTS
            .iter()
            .map(|&(name, node, breaks, title, about)| FaultState {
                name: name.into(),
                title: title.into(),
                about: about.into(),
                on: self.is_on(node, breaks),
                group: "nodes".into(),
            });
        let others = self.list().iter().flat_map(|node| {
            FAULTS
                .iter()
                .filter_map(|&(name, usual, breaks, _, about)| {
                    let shown = matches!(breaks, Breaks::Gate(_))
                        && usual != node.name
                        && self.is_on(&node.name, breaks);
                    shown.then(|| FaultState {
                        name: format!("{name}:{}", node.name),
                        title: format!("{name}: {}", node.name),
                        about: about.into(),
                        on: true,
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
            (Breaks::Gate(_), Some(node)) => self.turn(node, breaks, on),
            (Breaks::Trouble(_), Some(_)) => false,
        }
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
            Gate::Open => "ok",
        }
    }

    fn is_on(&self, node: &str, breaks: Breaks) -> bool {
        match breaks {
            Breaks::Trouble(kind) => {
                Node::read(&self.folder(node)).is_ok_and(|node| node.troubled(kind))
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
            Breaks::Trouble(kind) => {
                let changed = Node::change(&self.folder(node), |node| node.trouble(kind, on));
                if let Err(error) = &changed {
                    tracing::error!(%error, "cannot change what is wrong with {node}");
                }
                changed.is_ok()
            }
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
}
