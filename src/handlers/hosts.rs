//! A node as SSH knows it, and the line a person would type for it.

use crate::{
    clients::ssh::{Command, Host},
    domain::node::Node,
};

/// Where SSH finds the node.
pub fn of(node: &Node) -> Host {
    Host {
        name: node.name.to_string(),
        instance_id: node.instance_id.clone(),
        address: node.address.clone(),
        port: node.port,
    }
}

/// `ssh live-builder-api-0 'sudo -n hab sup status'`; nothing where the command cannot be quoted.
pub fn by_hand(node: &Node, command: &Command) -> Option<String> {
    let line = command.by_hand().ok()?;
    let quoted = shlex::try_quote(&line).ok()?.into_owned();
    Some(format!("ssh {} {quoted}", node.name))
}
