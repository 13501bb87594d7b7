//! The sandbox's nodes under the real OpenSSH client.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use habops::sandbox::fault::Fault;
use habops::sandbox::nodes::Nodes;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const API: &str = "live-builder-api-0";
/// How long anything here may take before the test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running fleet, and `ssh` to log in to it.
struct World {
    dir: tempfile::TempDir,
    nodes: Nodes,
    stop: CancellationToken,
}

impl World {
    async fn run(scene: impl AsyncFnOnce(&Self)) {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let tool = PathBuf::from(env!("CARGO_BIN_EXE_habops"));
        let nodes = Nodes::start(dir.path(), &tool, stop.clone()).await.unwrap();
        nodes
            .write_known_hosts(&dir.path().join("known_hosts"))
            .unwrap();
        let world = Self { dir, nodes, stop };
        scene(&world).await;
        world.stop.cancel();
        timeout(DEADLINE, world.nodes.ended())
            .await
            .expect("every server ends when stopped");
    }

    fn ssh(&self, node: &str) -> Command {
        let node = self.nodes.get(node).unwrap();
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .args([
            "-o",
            "KexAlgorithms=curve25519-sha256",
            "-o",
            "LogLevel=ERROR",
        ])
        .arg("-o")
        .arg(format!(
            "UserKnownHostsFile={}",
            self.dir.path().join("known_hosts").display()
        ))
        .arg("-i")
        .arg(self.nodes.identity_file())
        .args(["-p", &node.port.to_string(), "ubuntu@127.0.0.1"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
        ssh
    }

    async fn output(&self, node: &str, command: &str) -> Output {
        timeout(DEADLINE, self.ssh(node).arg(command).output())
            .await
            .expect("ssh ends")
            .unwrap()
    }

    async fn says(&self, node: &str, command: &str) -> String {
        let output = self.output(node, command).await;
        let (out, err) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{command}: {} {err}",
            output.status
        );
        out
    }
}

/// Waits until something is so.
async fn becomes(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("never came true: {what}"));
}

#[tokio::test]
async fn ssh_logs_in_looks_and_restarts_once() {
    World::run(async |world| {
        let status = world.says(API, "sudo -n hab sup status").await;
        assert!(
            status.starts_with("package ")
                && status.contains("core/builder-api-proxy/6021/20171115193120"),
            "{status}"
        );
        let journal = world
            .says(API, "journalctl -u hab-sup -n 5 --no-pager")
            .await;
        assert_eq!(journal.lines().count(), 6, "{journal}");
        let pid = world.says(API, "systemctl show hab-sup -p MainPID").await;
        assert!(world.nodes.set("timeout-storm", true));
        assert_eq!(world.nodes.state_of(API), "timeout-storm");
        world
            .says(API, "timeout 30 sudo -n systemctl restart hab-sup")
            .await;
        assert_eq!(world.nodes.state_of(API), "ok", "the restart is the cure");
        assert_ne!(
            world.says(API, "systemctl show hab-sup -p MainPID").await,
            pid
        );
        becomes("both services are up again", async || {
            world
                .says(API, "sudo -n hab sup status")
                .await
                .matches("  up  ")
                .count()
                == 2
        })
        .await;
        let ran = world.nodes.ran(API);
        let restarts = ran
            .iter()
            .filter(|line| line.contains("restart"))
            .collect::<Vec<_>>();
        assert_eq!(restarts, ["sudo -n systemctl restart hab-sup"]);
        assert_eq!(ran[1], "journalctl -u hab-sup -n 5 --no-pager");
    })
    .await;
}

#[tokio::test]
async fn only_the_one_key_and_the_one_user_are_let_in() {
    World::run(async |world| {
        let other = world.dir.path().join("other");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&other)
            .status()
            .await;
        assert!(made.unwrap().success());
        let mut stranger = world.ssh(API);
        // The last -i does not replace the first, so the right key has to go from its place.
        let key = world.nodes.identity_file();
        std::fs::rename(&other, &key).unwrap();
        std::fs::remove_file(key.with_extension("pub")).unwrap();
        let refused = stranger.arg("true").output().await.unwrap();
        assert_eq!(refused.status.code(), Some(255));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("Permission denied (publickey)"));
    })
    .await;
}

#[tokio::test]
async fn exit_codes_signals_and_streams_arrive_apart() {
    World::run(async |world| {
        let output = world.output(API, "echo out; echo err >&2; exit 3").await;
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
        let killed = world.output(API, "kill -TERM $$").await;
        assert_eq!(
            killed.status.code(),
            Some(255),
            "ssh has no code of its own for a signal"
        );
        let late = world.says(API, "(sleep 0.3; echo late) & echo early").await;
        assert_eq!(late, "early\nlate\n", "output may follow the exit status");
        let mut fed = world
            .ssh(API)
            .arg("wc -c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut fed.stdin.take().unwrap(), &vec![b'x'; 300_000])
            .await
            .unwrap();
        let output = timeout(DEADLINE, fed.wait_with_output())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(output.stdout, b"300000\n");
    })
    .await;
}

#[tokio::test]
async fn five_megabytes_arrive_whole() {
    World::run(async |world| {
        let output = world
            .output(API, "yes 0123456789abcde | head -c 5000000")
            .await;
        assert!(output.status.success());
        assert_eq!(output.stdout.len(), 5_000_000);
        assert!(
            output
                .stdout
                .chunks(16)
                .all(|line| b"0123456789abcde\n".starts_with(line))
        );
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_command_with_it() {
    World::run(async |world| {
        let mut child = world
            .ssh(API)
            .arg("sleep 600 & echo $!; wait")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let pid = timeout(DEADLINE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let process = PathBuf::from("/proc").join(pid);
        assert!(process.exists());
        child.kill().await.unwrap();
        becomes("the command's own child is gone", async || {
            !process.exists()
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_terminal_and_a_shell_are_refused() {
    World::run(async |world| {
        let shell = timeout(DEADLINE, world.ssh(API).output())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(shell.status.code(), Some(255));
        assert!(String::from_utf8_lossy(&shell.stderr).contains("shell request failed"));
    })
    .await;
}

#[tokio::test]
async fn a_node_goes_wrong_in_each_way_and_comes_back() {
    World::run(async |world| {
        let connect = |node: &'static str| {
            let mut ssh = world.ssh(node);
            ssh.args(["-o", "ConnectTimeout=1", "hostname"]);
            async move {
                let output = timeout(DEADLINE, ssh.output()).await.unwrap().unwrap();
                (
                    output.status.success(),
                    String::from_utf8_lossy(&output.stderr).into_owned(),
                )
            }
        };
        for (fault, node, words) in [
            ("down", "live-builder-sessionsrv-0", "Connection refused"),
            ("frozen", "live-builder-worker-1", "timed out"),
            (
                "hostkey",
                "live-builder-jobsrv-0",
                "HOST IDENTIFICATION HAS CHANGED",
            ),
        ] {
            assert!(world.nodes.set(fault, true));
            becomes(words, async || connect(node).await.1.contains(words)).await;
            assert_eq!(world.nodes.state_of(node), fault);
            assert!(world.nodes.set(fault, false));
            becomes("the node is back", async || connect(node).await.0).await;
        }
        assert!(!world.nodes.set("nonsense", true) && !world.nodes.set("down:nowhere", true));
    })
    .await;
}

#[tokio::test]
async fn freezing_stops_a_connection_that_is_open() {
    World::run(async |world| {
        let ticking = "while :; do echo tick; sleep 0.02; done";
        let mut child = world
            .ssh(API)
            .arg(ticking)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(
            timeout(DEADLINE, lines.next_line())
                .await
                .unwrap()
                .unwrap()
                .unwrap(),
            "tick"
        );
        assert!(world.nodes.set(&format!("frozen:{API}"), true));
        let silent = async || {
            timeout(Duration::from_millis(500), lines.next_line())
                .await
                .is_err()
        };
        becomes("silence", silent).await;
        assert!(world.nodes.set(&format!("frozen:{API}"), false));
        assert_eq!(
            timeout(DEADLINE, lines.next_line())
                .await
                .unwrap()
                .unwrap()
                .unwrap(),
            "tick"
        );
        assert!(world.nodes.set(&format!("down:{API}"), true));
        assert!(
            timeout(DEADLINE, child.wait())
                .await
                .unwrap()
                .unwrap()
                .code()
                == Some(255)
        );
    })
    .await;
}

#[tokio::test]
async fn following_the_journal_shows_a_storm_as_it_comes() {
    World::run(async |world| {
        let mut child = world
            .ssh(API)
            .arg("journalctl -fu hab-sup -n 1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(DEADLINE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(first.starts_with("-- Logs begin at "));
        assert!(world.nodes.set("timeout-storm", true));
        assert!(
            Fault::list(&world.nodes)
                .iter()
                .any(|fault| fault.name == "timeout-storm" && fault.on == Some(true))
        );
        let storm = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("[err: TIMEOUT, msg: net:route:3], Connection recv timeout") {
                    return;
                }
            }
            panic!("the journal ended");
        };
        timeout(DEADLINE, storm).await.expect("a TIMEOUT line");
    })
    .await;
}

#[tokio::test]
async fn one_connection_carries_several_commands_at_once() {
    World::run(async |world| {
        let socket = world.dir.path().join("mux");
        let mut master = world.ssh(API);
        let mut master = master.args(["-M", "-N", "-S"]).arg(&socket).spawn().unwrap();
        becomes("the first connection stands", async || socket.exists()).await;
        let command = |number: u32| {
            let mut ssh = world.ssh(API);
            ssh.arg("-S").arg(&socket).args(["-o", "ProxyCommand=false"]);
            ssh.arg(format!("head -c 300000 /dev/zero | wc -c; echo {number} >&2; uptime >/dev/null; exit {number}"));
            async move { timeout(DEADLINE, ssh.output()).await.unwrap().unwrap() }
        };
        let outputs = futures_util::future::join_all((1..=8).map(command)).await;
        for (number, output) in (1..).zip(outputs) {
            assert_eq!(output.status.code(), Some(number));
            assert_eq!(output.stdout, b"300000\n");
            assert_eq!(String::from_utf8_lossy(&output.stderr), format!("{number}\n"));
        }
        assert_eq!(world.nodes.ran(API), ["uptime"; 8]);
        master.kill().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn every_node_answers_what_a_status_asks() {
    World::run(async |world| {
        let script = "set -e; date -u +%s.%N; systemctl show hab-sup -p ActiveState; sudo -n hab sup status; \
                      cat /proc/uptime /proc/loadavg /proc/meminfo; nproc; df -P -k / /hab; uptime";
        for node in world.nodes.list() {
            let text = world.says(&node.name, script).await;
            let clock: f64 = text.lines().next().unwrap().parse().unwrap();
            let machine = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
            let behind = if node.name == "live-builder-worker-2" { 41.0 } else { 0.0 };
            assert!((machine - clock - behind).abs() < DEADLINE.as_secs_f64(), "{}: {clock}", node.name);
            for part in ["ActiveState=active", "core/builder-", "MemAvailable:", "/hab\n", "load average: "] {
                assert!(text.contains(part), "{}: no {part:?} in {text}", node.name);
            }
        }
    })
    .await;
}

/// What `ssh -W` to that address through a node brings, with nothing typed.
async fn through(world: &World, node: &str, to: &str) -> Output {
    let mut ssh = world.ssh(node);
    ssh.args(["-W", to]);
    timeout(DEADLINE, ssh.output())
        .await
        .expect("ssh ends")
        .unwrap()
}

#[tokio::test]
async fn a_node_carries_connections_to_loopback_and_nowhere_else() {
    World::run(async |world| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let echo = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut from, mut to) = socket.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let mut ssh = world.ssh(API);
        ssh.args(["-W", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut ssh = ssh.spawn().unwrap();
        let sent = vec![b'x'; 300_000];
        let mut stdin = ssh.stdin.take().unwrap();
        let copy = sent.clone();
        let typing = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut stdin, &copy)
                .await
                .unwrap();
        });
        let echoed = timeout(DEADLINE, ssh.wait_with_output())
            .await
            .expect("ssh ends");
        assert_eq!(echoed.unwrap().stdout.len(), sent.len());
        typing.await.unwrap();
        echo.await.unwrap();

        for nowhere in ["127.0.0.1:1", "192.0.2.1:22"] {
            let refused = through(world, API, nowhere).await;
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(
                !refused.status.success() && said.contains("forwarding failed"),
                "{nowhere}: {said}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_node_is_a_jump_host_to_the_others_and_ends_with_its_connections_open() {
    World::run(async |world| {
        let to = world.nodes.get("live-builder-router-0").unwrap();
        let mut ssh = world.ssh(API);
        ssh.args(["-W", &format!("127.0.0.1:{}", to.port)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut ssh = ssh.spawn().unwrap();
        let mut lines = BufReader::new(ssh.stdout.take().unwrap()).lines();
        let banner = timeout(DEADLINE, lines.next_line())
            .await
            .expect("a banner");
        assert!(
            banner
                .unwrap()
                .unwrap()
                .starts_with("SSH-2.0-OpenSSH_7.2p2")
        );
        // The connection stays open: the end of the world ends it.
        world.stop.cancel();
        timeout(DEADLINE, ssh.wait())
            .await
            .expect("ssh ends with the node")
            .unwrap();
    })
    .await;
}
