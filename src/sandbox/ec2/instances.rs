//! The instances: the fleet's nodes, one that is stopped and one of another application.

use std::fmt::Write as _;

use super::super::nodes::Nodes;
use super::escaped;

/// Instances that were launched together.
pub(super) struct Reservation {
    pub id: String,
    pub instances: Vec<Instance>,
}

/// One instance.
pub(super) struct Instance {
    pub id: String,
    /// The node behind it, if there is one.
    pub node: String,
    state: &'static str,
    launched: String,
    kind: &'static str,
    tags: Vec<(&'static str, String)>,
}

/// Everything in the account. The live workers were launched together, as real ones are.
pub(super) fn reservations(nodes: &Nodes) -> Vec<Reservation> {
    let mut all: Vec<Reservation> = Vec::new();
    let mut workers = Vec::new();
    for (number, node) in nodes.list().iter().enumerate() {
        let name = node
            .name
            .strip_prefix(&format!("{}-", node.environment))
            .unwrap_or(&node.name);
        let instance = Instance {
            id: node.instance_id.clone(),
            node: node.name.clone(),
            state: "running",
            launched: node.launched.clone(),
            kind: if node.role == "worker" {
                "c4.xlarge"
            } else {
                "m4.large"
            },
            tags: tags(name, &node.environment, "builder"),
        };
        if node.environment == "live" && node.role == "worker" {
            workers.push(instance);
        } else {
            all.push(Reservation {
                id: format!("r-0f61b0c7a2e4d{number:04x}"),
                instances: vec![instance],
            });
        }
    }
    let launched = workers
        .first()
        .map(|worker| worker.launched.clone())
        .unwrap_or_default();
    workers.push(Instance {
        id: "i-0d3ad5709ed000d17".into(),
        node: String::new(),
        state: "stopped",
        launched: launched.clone(),
        kind: "c4.xlarge",
        tags: tags("builder-worker-3", "live", "builder"),
    });
    all.push(Reservation {
        id: "r-0f61b0c7a2e4dffff".into(),
        instances: workers,
    });
    all.push(Reservation {
        id: "r-07c1f0aa8813b0b07".into(),
        instances: vec![Instance {
            id: "i-0b0750000000000b0".into(),
            node: String::new(),
            state: "running",
            launched,
            kind: "t2.small",
            tags: tags("bots-0", "live", "bots"),
        }],
    });
    all
}

fn tags(name: &str, environment: &str, application: &str) -> Vec<(&'static str, String)> {
    vec![
        ("Name", name.into()),
        (
            "X-Contact",
            "The Habitat Maintainers <humans@habitat.sh>".into(),
        ),
        ("X-Environment", environment.into()),
        ("X-Application", application.into()),
        ("X-ManagedBy", "Terraform".into()),
    ]
}

impl Instance {
    pub(super) fn runs(&self) -> bool {
        self.state == "running"
    }

    /// What a filter of this name compares with.
    pub(super) fn values_of(&self, filter: &str) -> Vec<&str> {
        match filter {
            "instance-id" => vec![&self.id],
            "instance-state-name" => vec![self.state],
            "tag-key" => self.tags.iter().map(|(key, _)| *key).collect(),
            _ => {
                let tag = filter.strip_prefix("tag:").unwrap_or_default();
                self.tags
                    .iter()
                    .filter(|(key, _)| *key == tag)
                    .map(|(_, value)| value.as_str())
                    .collect()
            }
        }
    }

    fn state_xml(&self) -> String {
        let code = if self.runs() { 16 } else { 80 };
        format!(
            "<instanceState><code>{code}</code><name>{}</name></instanceState>",
            self.state
        )
    }

    /// The item of `DescribeInstances`. A stopped one has neither public name nor address.
    pub(super) fn describe(&self, xml: &mut String) {
        let _ = write!(
            xml,
            "<item><instanceId>{}</instanceId><imageId>ami-12c6146b</imageId>{}",
            self.id,
            self.state_xml()
        );
        if self.runs() {
            xml.push_str("<privateDnsName>localhost</privateDnsName><dnsName>localhost</dnsName><ipAddress>127.0.0.1</ipAddress>");
        } else {
            xml.push_str("<privateDnsName/><dnsName/>");
        }
        let _ = write!(
            xml,
            "<privateIpAddress>127.0.0.1</privateIpAddress><instanceType>{}</instanceType><launchTime>{}</launchTime><placement><availabilityZone>us-west-2a</availabilityZone><tenancy>default</tenancy></placement><tagSet>",
            self.kind, self.launched
        );
        for (key, value) in &self.tags {
            let _ = write!(
                xml,
                "<item><key>{key}</key><value>{}</value></item>",
                escaped(value)
            );
        }
        xml.push_str("</tagSet></item>");
    }

    /// The item of `DescribeInstanceStatus`.
    pub(super) fn describe_status(&self, xml: &mut String, impaired: bool) {
        let (instance, reachability) = match (self.runs(), impaired) {
            (false, _) => ("not-applicable", "not-applicable"),
            (true, true) => ("impaired", "failed"),
            (true, false) => ("ok", "passed"),
        };
        let (system, system_reachability) = if self.runs() {
            ("ok", "passed")
        } else {
            ("not-applicable", "not-applicable")
        };
        let details = |status: &str| {
            format!(
                "<details><item><name>reachability</name><status>{status}</status></item></details>"
            )
        };
        let _ = write!(
            xml,
            "<item><instanceId>{}</instanceId><availabilityZone>us-west-2a</availabilityZone>{}<systemStatus><status>{system}</status>{}</systemStatus><instanceStatus><status>{instance}</status>{}</instanceStatus></item>",
            self.id,
            self.state_xml(),
            details(system_reachability),
            details(reachability)
        );
    }
}
