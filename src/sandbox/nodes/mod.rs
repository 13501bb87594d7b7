//! The sandbox's fleet: one SSH server a node, each with a host key, a journal and tools of its own, and the ways it can
//! go wrong.

mod exec;
mod fleet;
mod journal;
mod server;
mod state;
pub mod tool;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::server::{Gate, Server};
use self::state::{Node, TroubleKind};
use super::fault::{Fault, FaultState, NodeState};

/// The commands a node has of its own; everything else is the machine's.
const TOOLS: [&str; 15] = [
    "sudo",
    "systemctl",
    "hab",
    "journalctl",
    "uptime",
    "df",
    "hostname",
    "nsenter",
    "ip",
    "cat",
    "date",
    "nproc",
    "free",
    "uname",
    "whoami",
];
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
    tasks: TaskTracker,
}

/// What a fault does to its node.
#[derive(Clone, Copy)]
enum Breaks {
    Trouble(TroubleKind),
    Gate(Gate),
}

/// The faults the page offers: name, node, what it does, title, about.
const FAULTS: [(&str, &str, Breaks, &str, &str); 5] = [
    (
        "timeout-storm",
        "live-builder-api-0",
        Breaks::Trouble(TroubleKind::Timeout),
        "TIMEOUT storm on live-builder-api-0",
        "The journal fills with net:route:3 TIMEOUT errors until the node's hab-sup is restarted.",
    ),
    (
        "no-shard",
        "live-builder-router-0",
        Breaks::Trouble(TroubleKind::NoShard),
        "NO_SHARD on live-builder-router-0",
        "The journal fills with rt:route:2 NO_SHARD errors until hab-sup is restarted on live-builder-jobsrv-0.",
    ),
    (
        "frozen",
        "live-builder-worker-1",
        Breaks::Gate(Gate::Frozen),
        "live-builder-worker-1 is frozen",
        "It accepts connections and never says a word, also on those it has.",
    ),
    (
        "hostkey",
        "live-builder-jobsrv-0",
        Breaks::Gate(Gate::OtherKey),
        "Another host key on live-builder-jobsrv-0",
        "It answers with a host key that is not the pinned one, as after a rebuild or with somebody in between.",
    ),
    (
        "down",
        "live-builder-sessionsrv-0",
        Breaks::Gate(Gate::Down),
        "live-builder-sessionsrv-0 is down",
        "Connections are refused and those it had are closed.",
    ),
];

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

    /// Waits until every server has ended and no command runs any more; stop them first.
    pub async fn ended(&self) {
        self.inner.tasks.wait().await;
    }

    fn is_on(&self, node: &str, breaks: Breaks) -> bool {
        match breaks {
            Breaks::Trouble(kind) => {
                Node::read(&self.folder(node)).is_ok_and(|node| node.troubled(kind))
            }
            Breaks::Gate(gate) => self
                .inner
                .gates
                .get(node)
                .is_some_and(|sender| *sender.borrow() == gate),
        }
    }

    fn turn(&self, node: &str, breaks: Breaks, on: bool) -> bool {
        let Some(sender) = self.inner.gates.get(node) else {
            return false;
        };
        match breaks {
            Breaks::Trouble(kind) => {
                let changed = Node::change(&self.folder(node), |node| node.trouble(kind, on));
                if let Err(error) = &changed {
                    tracing::error!(%error, "cannot change what is wrong with {node}");
                }
                changed.is_ok()
            }
            Breaks::Gate(gate) => {
                sender.send_if_modified(|present| {
                    let wanted = match (on, *present == gate) {
                        (true, _) => gate,
                        (false, true) => Gate::Open,
                        (false, false) => *present,
                    };
                    std::mem::replace(present, wanted) != wanted
                });
                true
            }
        }
    }
}

/// The faults of the table, and each of `frozen`, `hostkey` and `down` on any other node as `frozen:NODE`.
impl Fault for Nodes {
    fn list(&self) -> Vec<FaultState> {
        let offered = FAULTS
            .iter()
            .map(|&(name, node, breaks, title, about)| FaultState {
                name: name.into(),
                title: title.into(),
                about: about.into(),
                on: self.is_on(node, breaks),
                group: "nodes".into(),
            });
        let others = self.list().iter().flat_map(|node| {
            FAULTS
                .iter()
                .filter_map(|&(name, usual, breaks, _, about)| {
                    let shown = matches!(breaks, Breaks::Gate(_))
                        && usual != node.name
                        && self.is_on(&node.name, breaks);
                    shown.then(|| FaultState {
                        name: format!("{name}:{}", node.name),
                        title: format!("{name}: {}", node.name),
                        about: about.into(),
                        on: true,
                        group: "nodes".into(),
                    })
                })
        });
        offered.chain(others).collect()
    }

    fn set(&self, name: &str, on: bool) -> bool {
        let (name, node) = name
            .split_once(':')
            .map_or((name, None), |(name, node)| (name, Some(node)));
        let Some(&(_, usual, breaks, ..)) = FAULTS.iter().find(|(known, ..)| *known == name) else {
            return false;
        };
        match (breaks, node) {
            (_, None) => self.turn(usual, breaks, on),
            (Breaks::Gate(_), Some(node)) => self.turn(node, breaks, on),
            (Breaks::Trouble(_), Some(_)) => false,
        }
    }

    fn nodes(&self) -> Vec<NodeState> {
        self.list()
            .iter()
            .map(|node| NodeState {
                name: node.name.clone(),
                state: self.state_of(&node.name).into(),
            })
            .collect()
    }
}

impl Nodes {
    /// One word on a node: `ok`, or what is wrong with it.
    pub fn state_of(&self, name: &str) -> &'static str {
        let gate = self
            .inner
            .gates
            .get(name)
            .map_or(Gate::Open, |sender| *sender.borrow());
        match gate {
            Gate::Frozen => "frozen",
            Gate::Down => "down",
            Gate::OtherKey => "hostkey",
            Gate::Open if self.is_on(name, Breaks::Trouble(TroubleKind::Timeout)) => {
                "timeout-storm"
            }
            Gate::Open if self.is_on(name, Breaks::Trouble(TroubleKind::NoShard)) => "no-shard",
            Gate::Open => "ok",
        }
    }
}

/// Makes a node's folder: its state as at the start, and the small programs that lead to its tools.
fn furnish(home: &Path, tool: &Path, node: &Node) -> Result<()> {
    let bin = home.join("bin");
    fs::create_dir_all(&bin)
        .with_context(|| format!("cannot make the directory {}", bin.display()))?;
    node.write(home)?;
    for name in TOOLS {
        let words = [
            &tool.to_string_lossy(),
            "sandbox-tool",
            &home.to_string_lossy(),
            name,
        ]
        .map(str::to_owned);
        let call = shlex::try_join(words.iter().map(String::as_str))
            .context("cannot quote the directory's name")?;
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\nexec {call} \"$@\"\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} a program", path.display()))?;
    }
    Ok(())
}

fn fresh_key(comment: &str) -> Result<PrivateKey> {
    let mut key =
        PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).context("cannot make a key")?;
    key.set_comment(comment);
    Ok(key)
}

/// The key to log in with: the one that is there, or a new one.
fn client_key(files: &Path) -> Result<PrivateKey> {
    fs::create_dir_all(files)
        .with_context(|| format!("cannot make the directory {}", files.display()))?;
    let key = kept_key(&files.join("habitat-srv-admin"), "habitat-srv-admin")?;
    let public = files.join("habitat-srv-admin.pub");
    fs::write(
        &public,
        key.public_key()
            .to_openssh()
            .context("cannot write a public key")?
            + "\n",
    )
    .with_context(|| format!("cannot write {}", public.display()))?;
    Ok(key)
}

/// A node's host key, the same on every start in this directory.
fn host_key(home: &Path) -> Result<PrivateKey> {
    kept_key(&home.join("ssh_host_ed25519_key"), "")
}

fn kept_key(path: &Path, comment: &str) -> Result<PrivateKey> {
    if path.exists() {
        return PrivateKey::read_openssh_file(path)
            .with_context(|| format!("cannot read the key {}", path.display()));
    }
    let key = fresh_key(comment)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    key.write_openssh(&mut file, LineEnding::LF)
        .with_context(|| format!("cannot write the key {}", path.display()))?;
    Ok(key)
}
