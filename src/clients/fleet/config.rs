//! The section `[fleet]`: where the list of nodes comes from.

use std::collections::HashSet;

use serde::Deserialize;

use crate::{
    clients::ec2,
    domain::ids::{Environment, NodeName, NodeRole},
};

/// Where the list of nodes comes from, and what a bare role means.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The environment a bare role means. Default `"live"`.
    pub default_environment: Environment,
    /// The port of the Supervisor's HTTP gateway on the nodes, asked over SSH. Default none: `hab` alone is asked.
    pub gateway_port: Option<u16>,
    /// Reads the fleet from EC2. Default none: the nodes are those of the file.
    pub ec2: Option<ec2::Config>,
    /// Static nodes, and what is different about nodes that EC2 names. Default none.
    pub node: Vec<NodeConfig>,
}

/// One `[[fleet.node]]`: a node of its own, or, under the name of a node that EC2 knows, another way to reach that one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Friendly name, `live-builder-api-0`. Required.
    pub name: NodeName,
    /// `live` or `acceptance`. Required of a static node.
    #[serde(default)]
    pub environment: Option<Environment>,
    /// What it is for. Required of a static node.
    #[serde(default)]
    pub role: Option<NodeRole>,
    /// Host name or IP that SSH connects to. Required of a static node; EC2's otherwise.
    #[serde(default)]
    pub address: Option<String>,
    /// SSH port. Default 22.
    #[serde(default)]
    pub port: Option<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_environment: "live".into(),
            gateway_port: None,
            ec2: None,
            node: Vec::new(),
        }
    }
}

impl Config {
    /// Every fault, each a sentence that begins with its key.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !is_name(self.default_environment.as_str()) {
            faults.push(format!(
                "fleet.default_environment: {}",
                not_a_name(self.default_environment.as_str())
            ));
        }
        if self.gateway_port == Some(0) {
            faults.push("fleet.gateway_port: must be a port from 1 to 65535".to_owned());
        }
        if let Some(ec2) = &self.ec2 {
            let of_ec2 = ec2.check().into_iter();
            faults.extend(of_ec2.map(|fault| format!("fleet.ec2.{fault}")));
        }
        let mut names = HashSet::new();
        for (at, node) in self.node.iter().enumerate() {
            let mut reasons = node.check(self.ec2.is_some());
            if !names.insert(&node.name) {
                reasons.push(format!(
                    "name `{}` is given twice: each node has one entry",
                    node.name
                ));
            }
            faults.extend(
                reasons
                    .into_iter()
                    .map(|reason| format!("fleet.node[{at}]: {reason}")),
            );
        }
        faults
    }
}

impl NodeConfig {
    fn check(&self, may_override: bool) -> Vec<String> {
        let mut reasons = Vec::new();
        let words = [
            ("name", Some(self.name.as_str())),
            (
                "environment",
                self.environment.as_ref().map(Environment::as_str),
            ),
            ("role", self.role.as_ref().map(NodeRole::as_str)),
        ];
        for (key, word) in words {
            if let Some(word) = word
                && !is_name(word)
            {
                reasons.push(format!("{key} {}", not_a_name(word)));
            }
        }
        if let Some(address) = &self.address
            && !is_address(address)
        {
            reasons.push(format!(
                "address `{}` is not a host name or an IP address; the port has a key of its own",
                address.escape_debug()
            ));
        }
        if self.port == Some(0) {
            reasons.push("port must be from 1 to 65535".to_owned());
        }
        let missing: Vec<&str> = [
            ("environment", self.environment.is_none()),
            ("role", self.role.is_none()),
            ("address", self.address.is_none()),
        ]
        .into_iter()
        .filter_map(|(key, missing)| missing.then_some(key))
        .collect();
        let is_static = !may_override || self.environment.is_some() != self.role.is_some();
        if is_static && !missing.is_empty() {
            let hint = if may_override {
                "; an override of an EC2 node needs only its name"
            } else {
                "; only a node that [fleet.ec2] finds may leave it out"
            };
            reasons.push(format!(
                "`{}` is a static node without {}{hint}",
                self.name,
                missing.join(" and ")
            ));
        }
        reasons
    }
}

/// What a target can name.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn not_a_name(word: &str) -> String {
    format!(
        "`{}` must be letters, digits, `-`, `_` and `.`, and begin with a letter or a digit",
        word.escape_debug()
    )
}

fn is_address(address: &str) -> bool {
    let ip = address.parse::<std::net::IpAddr>().is_ok();
    ip || is_name(address)
}
