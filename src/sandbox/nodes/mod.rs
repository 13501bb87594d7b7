//! The sandbox's fleet: one SSH server a node, each with a host key, a journal and tools of its own, and the ways it can
//! go wrong.

mod exec;
mod faults;
mod fleet;
mod forward;
mod furnish;
mod gateway;
mod journal;
mod server;
mod state;
mod supervisor;
pub mod tool;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::furnish::{client_key, fresh_key, furnish, host_key};
use self::server::{Gate, Server};

/// Where a node keeps what was run on it.
const RAN: &str = "ran.jsonl";

/// One node as others need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeAddress {
    /// `live-builder-api-0`.
    pub name: String,
    /// `live` or `acceptance`.
    pub environment: String,
    /// `api`, `worker` …
    pub role: String,
    /// Where its SSH server listens.
    pub address: String,
    /// And on which port.
    pub port: u16,
    /// Its EC2 instance.
    pub instance_id: String,
    /// When its machine was launched, as EC2 writes it.
    pub launched: String,
    /// Its host key as in a `known_hosts` file, without the host: `ssh-ed25519 AAAA…`.
    pub host_key: String,
    /// Its line of a `known_hosts` file: `[127.0.0.1]:2201 ssh-ed25519 AAAA…`.
    pub host_key_line: String,
}

/// The running fleet. Clones are the same fleet; it ends with the token given to [`Nodes::start`].
#[derive(Clone)]
pub struct Nodes {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    nodes: Vec<NodeAddress>,
    gates: HashMap<String, watch::Sender<Gate>>,
    /// How many commands have ended on any node.
    done: watch::Sender<u64>,
    tasks: TaskTracker,
}

impl Nodes {
    /// Starts every node on a loopback port the system chooses, with its files in `dir/nodes` and the key to log in with
    /// in `dir/files/habitat-srv-admin`. `tool` is the program the nodes' commands are: `TOOL sandbox-tool DIR NAME …`.
    pub async fn start(dir: &Path, tool: &Path, stop: CancellationToken) -> Result<Self> {
        let dir =
            std::path::absolute(dir).with_context(|| format!("cannot find {}", dir.display()))?;
        let tool =
            std::path::absolute(tool).with_context(|| format!("cannot find {}", tool.display()))?;
        let client_key = client_key(&dir.join("files"))?;
        let mut nodes = Vec::new();
        let mut gates = HashMap::new();
        let done = watch::Sender::new(0);
        let tasks = TaskTracker::new();
        for node in fleet::fleet(state::machine_now()) {
            let home = dir.join("nodes").join(&node.name);
            furnish(&home, &tool, &node)?;
            let key = host_key(&home)?;
            let listener = TcpListener::bind("127.0.0.1:0")
                .await
                .context("cannot listen on 127.0.0.1")?;
            let port = listener
                .local_addr()
                .context("cannot tell the port of a node")?
                .port();
            let mut public = key.public_key().clone();
            public.set_comment("");
            let host_key = public
                .to_openssh()
                .context("cannot write a host key")?
                .trim()
                .to_owned();
            let (gate, position) = watch::channel(Gate::Open);
            let server = Server {
                dir: home,
                client_key: client_key.public_key().clone(),
                config: server::config(key),
                other_config: server::config(fresh_key("")?),
                gate: position,
                done: done.clone(),
                stop: stop.clone(),
            };
            tasks.spawn(server.serve(listener));
            gates.insert(node.name.clone(), gate);
            nodes.push(NodeAddress {
                host_key_line: format!("[127.0.0.1]:{port} {host_key}"),
                launched: journal::clock(node.booted - node.skew, "%Y-%m-%dT%H:%M:%S.000Z"),
                name: node.name,
                environment: node.environment,
                role: node.role,
                address: "127.0.0.1".into(),
                port,
                instance_id: node.instance_id,
                host_key,
            });
        }
        tasks.close();
        Ok(Self {
            inner: Arc::new(Inner {
                dir,
                nodes,
                gates,
                done,
                tasks,
            }),
        })
    }

    /// The nodes, live first.
    pub fn list(&self) -> &[NodeAddress] {
        &self.inner.nodes
    }

    /// A node by its name.
    pub fn get(&self, name: &str) -> Option<&NodeAddress> {
        self.inner.nodes.iter().find(|node| node.name == name)
    }

    /// The private key to log in with as `ubuntu`; its public half lies beside it with `.pub`.
    pub fn identity_file(&self) -> PathBuf {
        self.inner.dir.join("files").join("habitat-srv-admin")
    }

    /// A node's folder, where `ran.jsonl` and its state are.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.inner.dir.join("nodes").join(name)
    }

    /// Writes a `known_hosts` file with every node's own key, by `[address]:port`, name and instance id.
    pub fn write_known_hosts(&self, path: &Path) -> Result<()> {
        let mut text = String::new();
        for node in self.list() {
            let _ = writeln!(
                text,
                "[{}]:{},{},{} {}",
                node.address, node.port, node.name, node.instance_id, node.host_key
            );
        }
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What was run on a node, oldest first: each tool of the node with its arguments, quoted as a shell would need it.
    pub fn ran(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder(name).join(RAN)).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<tool::Ran>(line).ok())
            .map(|ran| ran.line())
            .collect()
    }

    /// What a node's journal says by now, oldest first.
    pub fn journal(&self, name: &str) -> Vec<String> {
        let Ok(node) = state::Node::read(&self.folder(name)) else {
            return Vec::new();
        };
        let entries = journal::entries(&node, i64::MIN, node.now());
        entries.into_iter().map(|entry| entry.message).collect()
    }

    /// Waits until every server has ended and no command runs any more; stop them first.
    pub async fn ended(&self) {
        self.inner.tasks.wait().await;
    }
}
