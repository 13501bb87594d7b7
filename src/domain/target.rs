//! The target grammar (design section 5): one parser for every way to name nodes.
//!
//! ```text
//! target  = item { "," item }
//! item    = node name | instance id "i-…" | role | environment | environment "/" role | glob with * ? [ ]
//! ```
//! A bare role means that role in the default environment. Names win over roles, roles over environments.

use std::{collections::BTreeSet, fmt};

use globset::GlobBuilder;
use serde::{Deserialize, Serialize};

use super::{
    nearest::nearest,
    node::{Fleet, Node},
};

/// What was typed for nodes; resolved against the fleet once, when the command is authorized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target(String);

/// Why a target names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Nobody knows that name.
    #[error("no node, role or environment is called `{item}`{}", suggestion(.near.as_deref()))]
    Unknown {
        /// As typed.
        item: String,
        /// The nearest known name.
        near: Option<String>,
    },
    /// A glob that fits nothing.
    #[error("`{item}` fits no node; `status` lists them all")]
    NoMatch {
        /// As typed.
        item: String,
    },
    /// Not a target at all.
    #[error(
        "`{item}` is not a target; try a node, a role, or environment/role, such as `live/api`"
    )]
    Malformed {
        /// As typed.
        item: String,
    },
    /// There is no node to choose from.
    #[error("the fleet is empty: {why}")]
    EmptyFleet {
        /// EC2's error or the configuration's gap.
        why: String,
    },
}

fn suggestion(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

impl Target {
    /// Checks the characters only; whether it names anything is for [`Target::resolve`].
    pub fn parse(typed: &str) -> Result<Self, Unresolved> {
        let typed = typed.trim();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./*?[],".contains(c);
        let malformed = typed.is_empty()
            || typed.len() > 512
            || !typed.chars().all(allowed)
            || typed.split(',').any(|item| {
                item.trim().is_empty()
                    || item.starts_with(['-', '/', '.'])
                    || item.matches('/').count() > 1
            });
        if malformed {
            return Err(Unresolved::Malformed {
                item: typed.chars().take(80).collect(),
            });
        }
        Ok(Self(typed.to_owned()))
    }

    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nodes it names, each once, in the fleet's order.
    pub fn resolve(&self, fleet: &Fleet) -> Result<Vec<Node>, Unresolved> {
        if fleet.nodes.is_empty() {
            let why = fleet
                .stale
                .clone()
                .unwrap_or_else(|| "no node is configured and none was found".to_owned());
            return Err(Unresolved::EmptyFleet { why });
        }
        let mut chosen = BTreeSet::new();
        for item in self.0.split(',') {
            let found = one(item, fleet)?;
            chosen.extend(found);
        }
        Ok(chosen
            .into_iter()
            .map(|at| fleet.nodes[at].clone())
            .collect())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Positions in the fleet that one item names.
fn one(item: &str, fleet: &Fleet) -> Result<Vec<usize>, Unresolved> {
    let positions = |fits: &dyn Fn(&Node) -> bool| -> Vec<usize> {
        fleet
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| fits(node))
            .map(|(at, _)| at)
            .collect()
    };
    if item.contains(['*', '?', '[']) {
        let glob = GlobBuilder::new(item)
            .literal_separator(true)
            .build()
            .map_err(|_| Unresolved::Malformed {
                item: item.to_owned(),
            })?
            .compile_matcher();
        let found = positions(&|node| {
            glob.is_match(node.name.as_str())
                || glob.is_match(format!("{}/{}", node.environment, node.role))
        });
        return if found.is_empty() {
            Err(Unresolved::NoMatch {
                item: item.to_owned(),
            })
        } else {
            Ok(found)
        };
    }
    if let Some((environment, role)) = item.split_once('/') {
        let found = positions(&|node| {
            node.environment.as_str() == environment && node.role.as_str() == role
        });
        return if found.is_empty() {
            Err(unknown(item, fleet))
        } else {
            Ok(found)
        };
    }
    let by_name =
        positions(&|node| node.name.as_str() == item || node.instance_id.as_deref() == Some(item));
    if !by_name.is_empty() {
        return Ok(by_name);
    }
    let in_default = |node: &Node| {
        fleet
            .default_environment
            .as_ref()
            .is_none_or(|environment| *environment == node.environment)
    };
    let by_role = positions(&|node| node.role.as_str() == item && in_default(node));
    if !by_role.is_empty() {
        return Ok(by_role);
    }
    let by_environment = positions(&|node| node.environment.as_str() == item);
    if !by_environment.is_empty() {
        return Ok(by_environment);
    }
    Err(unknown(item, fleet))
}

fn unknown(item: &str, fleet: &Fleet) -> Unresolved {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for node in &fleet.nodes {
        known.insert(node.name.to_string());
        known.insert(node.role.to_string());
        known.insert(node.environment.to_string());
        known.insert(format!("{}/{}", node.environment, node.role));
    }
    Unresolved::Unknown {
        item: item.to_owned(),
        near: nearest(item, known.iter().map(String::as_str)).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Fleet, Node, Target};

    fn fleet() -> Fleet {
        let node = |environment: &str, role: &str, n: u8| Node {
            name: format!("{environment}-builder-{role}-{n}").into(),
            environment: environment.into(),
            role: role.into(),
            address: "127.0.0.1".to_owned(),
            port: 22,
            instance_id: Some(format!("i-{environment}{role}{n}")),
            ec2: None,
        };
        Fleet {
            nodes: vec![
                node("acceptance", "api", 0),
                node("acceptance", "worker", 0),
                node("live", "api", 0),
                node("live", "router", 0),
                node("live", "worker", 0),
                node("live", "worker", 1),
            ],
            default_environment: Some("live".into()),
            ..Fleet::default()
        }
    }

    #[rstest]
    #[case("live-builder-api-0", "live-builder-api-0")]
    #[case("i-liverouter0", "live-builder-router-0")]
    #[case("api", "live-builder-api-0")]
    #[case("acceptance/api", "acceptance-builder-api-0")]
    #[case("acceptance", "acceptance-builder-api-0 acceptance-builder-worker-0")]
    #[case("live-builder-worker-*", "live-builder-worker-0 live-builder-worker-1")]
    #[case(
        "*/worker",
        "acceptance-builder-worker-0 live-builder-worker-0 live-builder-worker-1"
    )]
    #[case(
        "worker,api,live-builder-api-0",
        "live-builder-api-0 live-builder-worker-0 live-builder-worker-1"
    )]
    fn names_nodes(#[case] typed: &str, #[case] nodes: &str) {
        let found = Target::parse(typed).unwrap().resolve(&fleet()).unwrap();
        assert_eq!(
            found
                .iter()
                .map(|node| node.name.as_str())
                .collect::<Vec<_>>()
                .join(" "),
            nodes
        );
    }

    #[rstest]
    #[case(
        "aip",
        "no node, role or environment is called `aip`; did you mean `api`?"
    )]
    #[case(
        "live/wroker",
        "no node, role or environment is called `live/wroker`; did you mean `live/worker`?"
    )]
    #[case("stage-*", "`stage-*` fits no node; `status` lists them all")]
    fn says_what_is_unknown(#[case] typed: &str, #[case] said: &str) {
        let refusal = Target::parse(typed).unwrap().resolve(&fleet()).unwrap_err();
        assert_eq!(refusal.to_string(), said);
    }

    #[rstest]
    #[case("../../etc/passwd")]
    #[case("api;reboot")]
    #[case("-api")]
    #[case("a//b")]
    #[case("live/api/0")]
    #[case("")]
    #[case("api,,worker")]
    fn refuses_what_is_no_target(#[case] typed: &str) {
        assert!(Target::parse(typed).is_err());
    }
}
