//! temporary stub until the fleet branch lands
use crate::domain::{
    ids::Environment,
    node::{Fleet, Node},
};
use serde::Deserialize;
use std::sync::Arc;
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
/// x
pub struct Config {
    /// x
    pub default_environment: Environment,
    /// x
    pub gateway_port: Option<u16>,
    /// x
    pub ec2: Option<toml::Value>,
    /// x
    pub node: Vec<NodeConfig>,
}
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
/// x
pub struct NodeConfig {
    name: String,
    environment: Option<Environment>,
    role: Option<String>,
    address: Option<String>,
    port: Option<u16>,
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
    /// x
    pub fn check(&self) -> Vec<String> {
        Vec::new()
    }
}
/// x
#[derive(Clone)]
pub struct Client {
    fleet: Arc<Fleet>,
}
impl Client {
    /// x
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            fleet: Arc::new(Fleet {
                nodes: config
                    .node
                    .iter()
                    .map(|n| Node {
                        name: n.name.as_str().into(),
                        environment: n.environment.clone().unwrap_or("live".into()),
                        role: n.role.clone().unwrap_or_default().into(),
                        address: n.address.clone().unwrap_or_default(),
                        port: n.port.unwrap_or(22),
                        instance_id: None,
                        ec2: None,
                    })
                    .collect(),
                default_environment: Some(config.default_environment.clone()),
                read_at: None,
                stale: None,
            }),
        })
    }
    /// x
    pub async fn snapshot(&self) -> Arc<Fleet> {
        self.fleet.clone()
    }
    /// x
    pub async fn run(&self, stop: tokio_util::sync::CancellationToken) {
        stop.cancelled().await
    }
}
