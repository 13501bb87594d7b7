//! What a card about a restart is about (law 4): the machine, the unit's activation, what is loaded. Of a process only where it
//! was steady, because one that crashes is another at every look.

use serde_json::{Map, Value, json};

use super::{OfNode, Plan, Reading, SUPERVISOR, What};
use crate::domain::{node::Node, output::HostState, supervisor::ServiceState};

/// What `read` gives of a node.
type Read = Result<Reading, (HostState, String)>;

/// The fingerprint of these nodes, in the shape of the plan; a node that is gone has none.
pub fn of<'a>(plan: &Plan, nodes: impl Iterator<Item = (&'a Node, &'a Read)>) -> Value {
    let of_nodes = nodes.filter_map(|(node, reading)| {
        let planned = plan
            .nodes
            .iter()
            .find(|known| known.node == node.name.as_str())?;
        Some((
            node.name.to_string(),
            of_node(&plan.what, planned, node, reading),
        ))
    });
    Value::Object(of_nodes.collect())
}

/// The fingerprint of one node.
pub fn of_node(what: &What, planned: &OfNode, node: &Node, reading: &Read) -> Value {
    let machine = match &node.instance_id {
        Some(id) => format!("{id} at {}:{}", node.address, node.port),
        None => format!("{}:{}", node.address, node.port),
    };
    let Ok(reading) = reading else {
        return json!({ "machine": machine, "state": "out of reach" });
    };
    let unit = &reading.unit;
    let activation = match &unit.invocation {
        Some(id) => json!({ "state": unit.state, "invocation": id }),
        None => json!({ "state": unit.state, "started": unit.started, "pid": unit.pid }),
    };
    let mut services = Map::new();
    let taken = reading
        .services()
        .iter()
        .filter(|service| what.takes(service.name()));
    for service in taken {
        let wanted = service.desired.as_ref().map(ServiceState::word);
        let mut of = json!({ "ident": service.ident, "wanted": wanted });
        if !planned.unsteady.iter().any(|name| name == service.name()) {
            of["state"] = json!(service.state.word());
            of["pid"] = json!(service.pid);
        }
        services.insert(service.name().to_owned(), of);
    }
    json!({ "machine": machine, SUPERVISOR: activation, "services": services })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::supervisor::Service,
        handlers::restart::reading::{Reading, Unit},
    };

    /// What may be otherwise at the second look.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Changed {
        Time,
        Process,
        State,
        Ident,
        Wish,
        Activation,
        Machine,
    }

    const CHANGES: [Changed; 7] = [
        Changed::Time,
        Changed::Process,
        Changed::State,
        Changed::Ident,
        Changed::Wish,
        Changed::Activation,
        Changed::Machine,
    ];

    fn service(name: usize, up: bool) -> Service {
        let state = if up {
            ServiceState::Up
        } else {
            ServiceState::Down
        };
        Service {
            ident: format!("core/s{name}/1/20171115193120"),
            state: state.clone(),
            desired: Some(state),
            elapsed: Some(90_215),
            pid: up.then_some(4_000),
            group: format!("s{name}.live"),
        }
    }

    fn planned(unsteady: &[String]) -> OfNode {
        OfNode {
            node: "n".to_owned(),
            unreachable: None,
            errors: Vec::new(),
            elsewhere: Vec::new(),
            unsteady: unsteady.to_vec(),
            locks: Vec::new(),
            world: Value::Null,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Fails when anything that a card is about is left out of the fingerprint, or anything else is put in.
        #[test]
        fn exactly_what_a_card_is_about_makes_another_fingerprint(
            ups in prop::collection::vec(any::<bool>(), 1..5),
            at in any::<prop::sample::Index>(),
            only in prop::option::of(any::<prop::sample::Index>()),
            crashes: bool,
            with_invocation: bool,
            changed in prop::sample::select(CHANGES.to_vec()),
        ) {
            let at = at.index(ups.len());
            let name = format!("s{at}");
            let what = only.map_or(What::Supervisor, |only| What::Service(format!("s{}", only.index(ups.len()))));
            let unsteady = if crashes { vec![name.clone()] } else { Vec::new() };
            let mut node = Node {
                name: "n".into(),
                environment: "live".into(),
                role: "api".into(),
                address: "10.0.0.1".to_owned(),
                port: 22,
                instance_id: None,
                ec2: None,
            };
            let mut reading = Reading {
                unit: Unit {
                    state: "active".to_owned(),
                    pid: Some(812),
                    started: "Thu 2017-11-16 00:35:46 UTC".to_owned(),
                    invocation: with_invocation.then(|| "4a".to_owned()),
                },
                loaded: Ok(ups.iter().enumerate().map(|(n, up)| service(n, *up)).collect()),
                clock: 1_510_792_546,
            };
            let of = |node: &Node, reading: &Reading| of_node(&what, &planned(&unsteady), node, &Ok(reading.clone()));
            let before = of(&node, &reading);
            let service = &mut reading.loaded.as_mut().unwrap()[at];
            let is_about = match changed {
                Changed::Time => {
                    service.elapsed = Some(90_300);
                    reading.clock += 85;
                    false
                }
                Changed::Process => {
                    service.pid = Some(4_711);
                    what.takes(&name) && !crashes
                }
                Changed::State => {
                    service.state = ServiceState::Other("starting".to_owned());
                    what.takes(&name) && !crashes
                }
                Changed::Ident => {
                    service.ident = format!("core/{name}/2/20171201000000");
                    what.takes(&name)
                }
                Changed::Wish => {
                    service.desired = None;
                    what.takes(&name)
                }
                Changed::Activation if with_invocation => {
                    reading.unit.invocation = Some("4b".to_owned());
                    true
                }
                Changed::Activation => {
                    reading.unit.started = "Thu 2017-11-16 00:36:00 UTC".to_owned();
                    true
                }
                Changed::Machine => {
                    node.address = "10.0.0.2".to_owned();
                    true
                }
            };
            prop_assert_eq!(of(&node, &reading) != before, is_about, "{:?}", changed);
        }
    }
}
