//! EC2's instances and the file's nodes, as one sorted list with each name once.

use std::{cmp::Reverse, collections::HashSet};

use super::{Config, NodeConfig};
use crate::{
    clients::ec2::Instance,
    domain::{ids::NodeName, node::Node},
};

/// Where SSH listens unless told otherwise.
const SSH_PORT: u16 = 22;

/// The fleet's nodes: default environment first, then by environment, role and name.
pub(super) fn nodes(config: &Config, instances: &[Instance]) -> Vec<Node> {
    let mut nodes = of_instances(instances);
    for entry in &config.node {
        if let Some(node) = nodes.iter_mut().find(|node| node.name == entry.name) {
            if let Some(address) = &entry.address {
                node.address.clone_from(address);
            }
            node.port = entry.port.unwrap_or(node.port);
        } else if let Some(node) = of_entry(entry) {
            nodes.push(node);
        }
    }
    nodes.sort_by_cached_key(|node| {
        let (stem, number) = numbered(node.name.as_str());
        (
            node.environment != config.default_environment,
            node.environment.clone(),
            node.role.clone(),
            stem.to_owned(),
            number,
            node.name.clone(),
        )
    });
    nodes
}

/// The entries that neither are nodes nor override one: most likely misspelt.
pub(super) fn idle<'a>(config: &'a Config, nodes: &[Node]) -> Vec<&'a NodeName> {
    config
        .node
        .iter()
        .map(|entry| &entry.name)
        .filter(|name| !nodes.iter().any(|node| node.name == **name))
        .collect()
}

/// A rebuilt node is there twice while its predecessor is kept stopped. The running, then the youngest, has the name;
/// another is `<name>.<instance id>`, so that no name means two machines.
fn of_instances(instances: &[Instance]) -> Vec<Node> {
    let mut ranked: Vec<&Instance> = instances.iter().collect();
    ranked.sort_by_key(|instance| {
        let rank = match instance.state.state.as_str() {
            "running" => 0,
            "pending" => 1,
            "stopping" => 2,
            _ => 3,
        };
        (rank, Reverse(instance.state.launched), instance.id.clone())
    });
    let mut taken = HashSet::new();
    ranked
        .into_iter()
        .map(|instance| Node {
            name: if taken.insert(&instance.name) {
                instance.name.clone()
            } else {
                format!("{}.{}", instance.name, instance.id).into()
            },
            environment: instance.environment.clone(),
            role: instance.role.clone(),
            address: instance.address.clone(),
            port: SSH_PORT,
            instance_id: Some(instance.id.clone()),
            ec2: Some(instance.state.clone()),
        })
        .collect()
}

fn of_entry(entry: &NodeConfig) -> Option<Node> {
    Some(Node {
        name: entry.name.clone(),
        environment: entry.environment.clone()?,
        role: entry.role.clone()?,
        address: entry.address.clone()?,
        port: entry.port.unwrap_or(SSH_PORT),
        instance_id: None,
        ec2: None,
    })
}

/// `worker-2` comes before `worker-10`.
fn numbered(name: &str) -> (&str, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{Config, Instance, idle, nodes};
    use crate::domain::node::InstanceState;

    fn instance(id: &str, environment: &str, role: &str, number: u8, state: &str) -> Instance {
        Instance {
            id: id.to_owned(),
            name: format!("{environment}-builder-{role}-{number}").into(),
            environment: environment.into(),
            role: role.into(),
            address: format!("{id}.example"),
            state: InstanceState {
                state: state.to_owned(),
                checks: None,
                launched: None,
            },
        }
    }

    fn names(config: &Config, instances: &[Instance]) -> Vec<String> {
        nodes(config, instances)
            .iter()
            .map(|node| node.name.to_string())
            .collect()
    }

    #[test]
    fn the_default_environment_comes_first_and_numbers_count() {
        let instances = [
            instance("i-1", "acceptance", "api", 0, "running"),
            instance("i-2", "live", "worker", 10, "running"),
            instance("i-3", "live", "worker", 2, "running"),
            instance("i-4", "live", "api", 0, "running"),
        ];
        assert_eq!(
            names(&Config::default(), &instances),
            [
                "live-builder-api-0",
                "live-builder-worker-2",
                "live-builder-worker-10",
                "acceptance-builder-api-0",
            ]
        );
    }

    #[test]
    fn no_name_means_two_machines() {
        let instances = [
            instance("i-old", "live", "api", 0, "stopped"),
            instance("i-new", "live", "api", 0, "running"),
        ];
        let nodes = nodes(&Config::default(), &instances);
        assert_eq!(nodes[0].name.as_str(), "live-builder-api-0");
        assert_eq!(nodes[0].instance_id.as_deref(), Some("i-new"));
        assert_eq!(nodes[1].name.as_str(), "live-builder-api-0.i-old");
    }

    #[test]
    fn an_entry_overrides_or_is_a_node_or_is_idle() {
        let config: Config = toml::from_str(
            r#"
            [[node]]
            name = "live-builder-api-0"
            address = "127.0.0.1"
            port = 2201
            [[node]]
            name = "live-bastion"
            environment = "live"
            role = "bastion"
            address = "bastion.example"
            [[node]]
            name = "live-builder-aip-1"
            port = 2202
            "#,
        )
        .unwrap();
        let nodes = nodes(&config, &[instance("i-1", "live", "api", 0, "running")]);
        let reached: Vec<(&str, &str, u16)> = nodes
            .iter()
            .map(|node| (node.name.as_str(), node.address.as_str(), node.port))
            .collect();
        assert_eq!(
            reached,
            [
                ("live-builder-api-0", "127.0.0.1", 2201),
                ("live-bastion", "bastion.example", 22),
            ]
        );
        assert_eq!(nodes[0].instance_id.as_deref(), Some("i-1"));
        assert_eq!(idle(&config, &nodes), [&"live-builder-aip-1".into()]);
    }
}
