//! A farm of real OpenSSH servers on loopback, with keys of their own: what the fleet's nodes are to the tests.
//!
//! One `sshd` serves up to sixteen nodes, each on an address of its own (127.0.1.N); they share its host key. Works as root and
//! as any other user.
#![allow(dead_code, reason = "each test file uses its own part of the farm")]

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use habops::clients::ssh::{Client, Config, Host};
use tempfile::TempDir;

/// How long a server may take to listen, on a machine busy with other tests.
const START: Duration = Duration::from_secs(20);
/// How long anything else that must come may take.
pub const SOON: Duration = Duration::from_secs(20);
/// `sshd` takes no more `ListenAddress` lines.
const PER_SERVER: usize = 16;
/// Another process may take the port between our asking for it and sshd's listening on it.
const TRIES: usize = 5;
const SSHD: &str = "/usr/sbin/sshd";

/// What the nodes are like. `Layout::default()` is one plain node.
#[derive(Default)]
pub struct Layout<'a> {
    /// How many nodes; none means one.
    pub nodes: usize,
    /// Further lines of `sshd_config`.
    pub lines: &'a [&'a str],
    /// The `PATH` of a node's commands, by its number: how a test shadows the tools there. None leaves it as it is.
    pub path: Option<&'a dyn Fn(usize) -> String>,
    /// Gives the servers a host certificate for this name.
    pub host_certificate_for: Option<&'a str>,
    /// How `ssh-keygen -s` makes that certificate, where not as one of a host that is valid for ever.
    pub signed_with: &'a [&'a str],
}

/// Running servers. Dropping the farm ends them and whatever runs on them.
pub struct Farm {
    dir: TempDir,
    servers: Vec<Server>,
    hosts: Vec<Host>,
}

struct Server {
    child: Child,
    log: PathBuf,
}

impl Farm {
    /// This many plain nodes, `node-0` and so on.
    pub fn of(nodes: usize) -> Self {
        Self::laid_out(&Layout {
            nodes,
            ..Layout::default()
        })
    }

    pub fn laid_out(layout: &Layout<'_>) -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "no {SSHD}: apt-get install -y openssh-server"
        );
        let dir = tempfile::Builder::new().prefix("farm").tempdir().unwrap();
        let mut farm = Self {
            dir,
            servers: Vec::new(),
            hosts: Vec::new(),
        };
        if user() == "root" {
            // Where sshd shuts its unprivileged half in; the service file makes it, and we are the service here.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        for key in ["user", "other", "ca", "host"] {
            farm.keygen(key, "ed25519");
        }
        farm.keygen("host-ecdsa", "ecdsa");
        fs::copy(farm.file("user.pub"), farm.file("authorized_keys")).unwrap();
        if let Some(name) = layout.host_certificate_for {
            let as_a_host = ["-h", "-n", name];
            let with = match layout.signed_with {
                [] => &as_a_host,
                with => with,
            };
            farm.sign("host", with);
        }
        let nodes: Vec<usize> = (0..layout.nodes.max(1)).collect();
        for nodes in nodes.chunks(PER_SERVER) {
            farm.serve(nodes, layout);
        }
        let host_key = farm.host_key();
        let names: Vec<&str> = farm.hosts.iter().map(|host| host.name.as_str()).collect();
        farm.know(&format!("{} {host_key}\n", names.join(",")));
        farm
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub fn host(&self) -> &Host {
        &self.hosts[0]
    }

    /// A configuration that is let in everywhere on the farm.
    pub fn config(&self) -> Config {
        Config {
            user: user(),
            identity_file: Some(self.file("user")),
            known_hosts: self.file("known_hosts"),
            connect_timeout: SOON,
            ..Config::default()
        }
    }

    pub fn client(&self) -> Client {
        Client::new(&self.config()).unwrap()
    }

    /// A file of the farm: the keys `user`, `other` (let in nowhere), `ca`, `host`, and `known_hosts`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The servers' host key as `known_hosts` writes it, without a comment.
    pub fn host_key(&self) -> String {
        self.public("host")
    }

    /// A public key, type and base64.
    pub fn public(&self, name: &str) -> String {
        let line = fs::read_to_string(self.file(&format!("{name}.pub"))).unwrap();
        let fields: Vec<&str> = line.split_whitespace().take(2).collect();
        fields.join(" ")
    }

    /// Writes `known_hosts`. By rename, as `habops trust` and editors do.
    pub fn know(&self, text: &str) {
        let beside = self.file("known_hosts.new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.file("known_hosts")).unwrap();
    }

    /// A fresh key pair; the type as for `ssh-keygen -t`.
    pub fn keygen(&self, name: &str, kind: &str) {
        let file = self.file(name);
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", kind, "-N", "", "-C", name, "-f"])
            .arg(file));
    }

    /// A certificate for `name`, signed by the farm's authority; `args` as for `ssh-keygen -s`.
    pub fn sign(&self, name: &str, args: &[&str]) {
        run(Command::new("ssh-keygen")
            .args(["-q", "-I", name, "-s"])
            .arg(self.file("ca"))
            .args(args)
            .arg(self.file(&format!("{name}.pub"))));
    }

    /// What the servers logged so far.
    pub fn log(&self) -> String {
        self.servers
            .iter()
            .map(|server| fs::read_to_string(&server.log).unwrap_or_default())
            .collect()
    }

    /// How often somebody was let in.
    pub fn logins(&self) -> usize {
        self.log().matches("Accepted publickey").count()
    }

    /// Ends all connections, as a reboot does, while the servers go on listening.
    pub fn cut_connections(&self) {
        for server in &self.servers {
            kill(&descendants(server.child.id()));
        }
    }

    /// All connections stay open and say nothing more, as on a node that hangs, while the servers go on listening.
    pub fn freeze_connections(&self) {
        for server in &self.servers {
            signal("-STOP", &descendants(server.child.id()));
        }
    }

    fn serve(&mut self, nodes: &[usize], layout: &Layout<'_>) {
        for _ in 0..TRIES {
            let port = TcpListener::bind((address(nodes[0]), 0))
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let log = self.file(&format!("sshd-{}.log", nodes[0]));
            let config = self.file(&format!("sshd-{}.conf", nodes[0]));
            fs::write(&config, self.sshd_config(nodes, port, layout)).unwrap();
            let child = Command::new(SSHD)
                .args(["-D", "-e", "-f"])
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(&log).unwrap())
                .spawn()
                .unwrap();
            self.servers.push(Server {
                child,
                log: log.clone(),
            });
            let began = Instant::now();
            let listening = loop {
                let said = fs::read_to_string(&log).unwrap();
                if nodes
                    .iter()
                    .all(|node| said.contains(&format!("listening on {} port", address(*node))))
                {
                    break true;
                }
                if said.contains("Address already in use") {
                    break false;
                }
                let server = self.servers.last_mut().unwrap();
                assert!(
                    server.child.try_wait().unwrap().is_none(),
                    "sshd ended:\n{said}"
                );
                assert!(began.elapsed() < START, "sshd does not listen:\n{said}");
                std::thread::sleep(Duration::from_millis(5));
            };
            if listening {
                self.hosts.extend(nodes.iter().map(|node| Host {
                    name: format!("node-{node}"),
                    instance_id: Some(format!("i-{node:017x}")),
                    address: address(*node),
                    port,
                }));
                return;
            }
            self.servers.pop();
        }
        panic!("{TRIES} free ports were taken before sshd could have them");
    }

    fn sshd_config(&self, nodes: &[usize], port: u16, layout: &Layout<'_>) -> String {
        let dir = self.dir.path().display();
        let mut lines = vec![
            format!("Port {port}"),
            format!("HostKey {dir}/host"),
            format!("HostKey {dir}/host-ecdsa"),
            format!("AuthorizedKeysFile {dir}/authorized_keys"),
            format!("TrustedUserCAKeys {dir}/ca.pub"),
            format!("PidFile {dir}/sshd-{}.pid", nodes[0]),
        ];
        lines.extend(
            nodes
                .iter()
                .map(|node| format!("ListenAddress {}", address(*node))),
        );
        if layout.host_certificate_for.is_some() {
            lines.push(format!("HostCertificate {dir}/host-cert.pub"));
        }
        // Before our own, because sshd takes the first of several.
        lines.extend(layout.lines.iter().map(ToString::to_string));
        lines.extend(
            [
                "UsePAM no",
                "StrictModes no",
                "PermitRootLogin yes",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "UseDNS no",
                "MaxStartups 1000",
                "LogLevel VERBOSE",
                "PrintMotd no",
            ]
            .map(String::from),
        );
        for node in nodes {
            let path = layout
                .path
                .map(|path| format!(" PATH={}", path(*node)))
                .unwrap_or_default();
            lines.push(format!("Match LocalAddress {}", address(*node)));
            // A home of its own: bash reads `.bashrc` for commands too, and the one of whoever runs the tests may do anything.
            lines.push(format!("SetEnv HOME={dir} FARM_NODE=node-{node}{path}"));
        }
        lines.join("\n") + "\n"
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the farm's sshd said ---\n{}", self.log());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Each connection has a process in a session of its own, which outlives the listener.
        let children = descendants(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        kill(&children);
    }
}

/// Who we are; also the only user that an sshd of ours can log in without being root.
pub fn user() -> String {
    let said = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().to_owned()
}

/// Waits until it holds, looking often; fails with the sentence otherwise.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn address(node: usize) -> String {
    format!("127.0.1.{}", node + 1)
}

fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("apt-get install -y openssh-client");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// By pid, never by name: other farms run beside this one.
fn kill(pids: &[u32]) {
    signal("-KILL", pids);
}

fn signal(name: &str, pids: &[u32]) {
    if !pids.is_empty() {
        let pids = pids.iter().map(ToString::to_string);
        let _ = Command::new("kill")
            .arg(name)
            .args(pids)
            .stderr(Stdio::null())
            .status();
    }
}

/// The processes below this one, from the kernel's table.
fn descendants(of: u32) -> Vec<u32> {
    let table: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name before it may hold spaces and brackets.
            let parent = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            table
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}
