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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Config;

    #[test]
    fn the_section_of_the_design_reads_as_config() {
        let config: Config = toml::from_str(
            r#"
            default_environment = "live"
            gateway_port = 9631
            [ec2]
            region = "us-west-2"
            endpoint_url = "http://127.0.0.1:5000"
            address = "public_dns"
            refresh = "60s"
            [[node]]
            name = "live-builder-api-0"
            environment = "live"
            role = "api"
            address = "127.0.0.1"
            port = 2201
            [[node]]
            name = "live-builder-api-1"
            port = 2202
            "#,
        )
        .unwrap();
        assert_eq!(config.check(), Vec::<String>::new());
        assert_eq!(Config::default().default_environment.as_str(), "live");
    }

    const STATIC: &str = "name = 'live-api-0'\nenvironment = 'live'\nrole = 'api'\n";

    #[rstest]
    #[case::no_address(
        STATIC,
        "`live-api-0` is a static node without address; only a node that [fleet.ec2] finds may leave it out"
    )]
    #[case::only_a_name(
        "name = 'live-api-0'",
        "`live-api-0` is a static node without environment and role and address; only a node that [fleet.ec2] finds may leave it out"
    )]
    #[case::port_in_the_address(
        "address = '127.0.0.1:22'",
        "address `127.0.0.1:22` is not a host name or an IP address; the port has a key of its own"
    )]
    #[case::option_as_address(
        "address = '-oProxyCommand=x'",
        "address `-oProxyCommand=x` is not a host name or an IP address; the port has a key of its own"
    )]
    #[case::port_zero("address = '::1'\nport = 0", "port must be from 1 to 65535")]
    fn a_faulty_node_is_a_sentence(#[case] keys: &str, #[case] says: &str) {
        let entry = if keys.starts_with("name") {
            keys.to_owned()
        } else {
            format!("{STATIC}{keys}")
        };
        let good = format!("[[node]]\n{STATIC}address = 'a'").replace("api-0", "api-1");
        let config: Config = toml::from_str(&format!("{good}\n[[node]]\n{entry}")).unwrap();
        assert_eq!(config.check(), [format!("fleet.node[1]: {says}")]);
    }

    #[test]
    fn every_fault_is_told_with_its_key() {
        let config: Config = toml::from_str(
            r#"
            default_environment = ""
            gateway_port = 0
            ec2 = { region = "", refresh = "0s" }
            node = [{ name = "a b" }, { name = "b", role = "api" }, { name = "b" }]
            "#,
        )
        .unwrap();
        assert_eq!(
            config.check(),
            [
                "fleet.default_environment: `` must be letters, digits, `-`, `_` and `.`, and begin with a letter or a digit",
                "fleet.gateway_port: must be a port from 1 to 65535",
                "fleet.ec2.region: `` is not a region like \"us-west-2\"",
                "fleet.ec2.refresh: must be at least \"1s\"",
                "fleet.node[0]: name `a b` must be letters, digits, `-`, `_` and `.`, and begin with a letter or a digit",
                "fleet.node[1]: `b` is a static node without environment and address; an override of an EC2 node needs only its name",
                "fleet.node[2]: name `b` is given twice: each node has one entry",
            ]
        );
    }

    #[rstest]
    #[case("defualt_environment = 'live'", "unknown field `defualt_environment`")]
    #[case("[[node]]\nname = 'a'\nadress = 'b'", "unknown field `adress`")]
    #[case("[[node]]\naddress = 'b'", "missing field `name`")]
    fn a_misspelt_key_is_refused(#[case] text: &str, #[case] says: &str) {
        let fault = toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(fault.contains(says), "{fault}");
    }
}
