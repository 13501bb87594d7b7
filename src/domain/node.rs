//! The fleet: nodes, where they are, and how fresh that knowledge is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{Environment, NodeName, NodeRole};

/// One machine of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Friendly name, `<environment>-builder-<role>-<n>`.
    pub name: NodeName,
    /// `live` or `acceptance`.
    pub environment: Environment,
    /// What it is for.
    pub role: NodeRole,
    /// Host name or IP that SSH connects to.
    pub address: String,
    /// SSH port.
    pub port: u16,
    /// EC2's id where the node was found there.
    pub instance_id: Option<String>,
    /// What EC2 says of it; absent for a static node.
    pub ec2: Option<InstanceState>,
}

impl Node {
    /// Whether it can be asked anything: it runs, or nobody says that it does not.
    pub fn is_running(&self) -> bool {
        self.ec2.as_ref().is_none_or(|ec2| ec2.state == "running")
    }
}

/// What EC2 says of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceState {
    /// `running`, `stopped` …: EC2's own word.
    pub state: String,
    /// System and instance status checks, `ok`, `impaired` …; absent while EC2 has none.
    pub checks: Option<String>,
    /// When the instance was launched.
    pub launched: Option<Timestamp>,
}

/// What is known of the fleet at one moment. Cheap to clone: share it behind an `Arc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Every known node, by name.
    pub nodes: Vec<Node>,
    /// The environment a bare role means.
    pub default_environment: Option<Environment>,
    /// When EC2 was last read; absent for a static fleet.
    pub read_at: Option<Timestamp>,
    /// Why EC2 could not be read last time, as a sentence; the nodes are then as old as `read_at`.
    pub stale: Option<String>,
}

impl Fleet {
    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name.as_str() == name)
    }
}
