//! What a card about a restart is about (law 4): the machine, the unit's activation, what is loaded. Of a process only where it
//! was steady, because one that crashes is another at every look.

use serde_json::{Map, Value, json};

use super::{OfNode, Plan, Reading, UNIT, What};
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
    json!({ "machine": machine, UNIT: activation, "services": services })
}
