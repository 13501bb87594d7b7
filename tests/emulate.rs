//! The program against a Slack that nobody of this project wrote, with real sshd nodes and moto's EC2: vercel's `emulate` from npm
//! for the Web API, and `emulate/bridge.py` for what it lacks, Socket Mode and slash commands.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    farm::{Farm, Layout, user},
    fleet::{Moto, beside_python, closed_port},
    world::{SOON, program::Running},
};

/// How long a stand-in may take to listen, on a machine busy with other tests.
const START: Duration = Duration::from_mins(1);
/// Another process may take the port between our asking for it and emulate's listening on it.
const TRIES: usize = 5;
const NODES: usize = 10;
const INSTALL: &str = "npm install --prefix .node emulate@0.12.2 node@24";

/// What a node of 2017 has and this machine has not.
const TOOLS: [(&str, &str); 3] = [
    ("sudo", "#!/bin/sh\n[ \"$1\" = -n ] && shift\nexec \"$@\"\n"),
    (
        "hab",
        "#!/bin/sh\necho 'package                                 type        state  uptime (s)  pid    group             style'\n\
         echo 'core/builder-api/6048/20171115193120  standalone  up     90215       40751  builder-api.live  persistent'\n",
    ),
    (
        "systemctl",
        "#!/bin/sh\nprintf 'ActiveState=active\\nSubState=running\\nMainPID=812\\nActiveEnterTimestamp=Mon 2017-11-13 10:00:00 UTC\\nNRestarts=0\\n'\n",
    ),
];

const SEED: &str = "slack:
  team: {name: Habitat, domain: habitat}
  users: [{name: habops}, {name: ana, email: ana@example.com}]
  channels: [{name: operations}]
  tokens: [{token: xoxb-emulate, user: habops, scopes: []}]
  strict_scopes: false
";

/// A child that says when it listens. Dropping it ends it.
struct Server(Child);

impl Server {
    /// Starts it and waits for the line of its output that `listens` accepts; nothing where it ends without one.
    fn start<T: Send + 'static>(
        command: &mut Command,
        listens: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> Option<(Self, T)> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|fault| panic!("{command:?}: {fault}; {INSTALL}"));
        let mut server = Self(child);
        let out = BufReader::new(server.0.stdout.take().unwrap());
        let (tell, told) = mpsc::sync_channel(1);
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(told) = listens(&line) {
                    let _ = tell.try_send(told);
                }
            }
        });
        let told = told.recv_timeout(START).ok()?;
        Some((server, told))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both halves of the stand-in for Slack.
struct Emulate {
    _servers: [Server; 2],
    url: String,
    client: reqwest::Client,
    operations: String,
    general: String,
    ana: String,
}

impl Emulate {
    async fn start(dir: &Path) -> Self {
        let node = Path::new(env!("CARGO_MANIFEST_DIR")).join(".node/node_modules");
        let seed = dir.join("seed.yaml");
        fs::write(&seed, SEED).unwrap();
        let (emulate, port) = (0..TRIES)
            .find_map(|_| {
                let port = closed_port();
                let mut command = Command::new(node.join(".bin/node"));
                command
                    .arg(node.join("emulate/dist/index.js"))
                    .args(["start", "--service", "slack", "--port", &port.to_string()])
                    .arg("--seed")
                    .arg(&seed);
                Server::start(&mut command, move |line| {
                    line.contains("Ready").then_some(port)
                })
            })
            .unwrap_or_else(|| panic!("emulate does not listen; {INSTALL}"));
        let mut command = Command::new(beside_python("python"));
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulate/bridge.py"))
            .arg(format!("http://127.0.0.1:{port}"));
        let (bridge, port): (_, u16) = Server::start(&mut command, |line| line.trim().parse().ok())
            .expect("the bridge does not listen");
        let mut emulate = Self {
            _servers: [emulate, bridge],
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
            operations: String::new(),
            general: String::new(),
            ana: String::new(),
        };
        let named = |list: &Value, name: &str| {
            let mut all = list.as_array().unwrap().iter();
            let found = all.find(|it| it["name"] == name);
            found.and_then(|it| it["id"].as_str()).unwrap().to_owned()
        };
        let channels = emulate.api("conversations.list", &json!({})).await;
        emulate.operations = named(&channels["channels"], "operations");
        emulate.general = named(&channels["channels"], "general");
        let people = emulate.api("users.list", &json!({})).await;
        emulate.ana = named(&people["members"], "ana");
        emulate
    }

    async fn api(&self, method: &str, body: &Value) -> Value {
        let answer = self.post(&format!("api/{method}"), body).await;
        assert_eq!(answer["ok"], true, "{method} {body}: {answer}");
        answer
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let asked = self.client.post(format!("{}/{path}", self.url));
        let asked = asked.bearer_auth("xoxb-emulate").json(body);
        asked.send().await.unwrap().json().await.unwrap()
    }

    /// Types as ana, and says what the acknowledgement showed.
    async fn types(&self, channel: &str, text: &str) -> String {
        let typed =
            json!({"user": self.ana, "channel": channel, "channel_name": "x", "text": text});
        let answer = self.post("mock/slash", &typed).await;
        assert_eq!(answer["error"], Value::Null, "{text}: {answer}");
        assert!(answer["took_ms"].as_f64().unwrap() < 3_000.0, "{answer}");
        answer["payload"].to_string()
    }

    async fn messages(&self, channel: &str, thread: Option<&str>) -> Vec<Value> {
        let (method, body) = match thread {
            Some(ts) => (
                "conversations.replies",
                json!({"channel": channel, "ts": ts}),
            ),
            None => (
                "conversations.history",
                json!({"channel": channel, "limit": 100}),
            ),
        };
        let answer = self.api(method, &body).await;
        answer["messages"].as_array().unwrap().clone()
    }

    /// Waits for a message that holds these words.
    async fn sees(&self, channel: &str, thread: Option<&str>, words: &str) -> Value {
        let looking = async {
            loop {
                let messages = self.messages(channel, thread).await;
                // A thread's first message is the card, which tells the latest too.
                let found = messages
                    .into_iter()
                    .filter(|message| thread.is_none() || message["ts"].as_str() != thread)
                    .find(|message| message.to_string().contains(words));
                if let Some(found) = found {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, looking)
            .await
            .unwrap_or_else(|_| panic!("waited {SOON:?} for `{words}`"))
    }
}

/// A folder with the tools that stand in for a node's own.
fn tools(dir: &Path) -> PathBuf {
    let tools = dir.join("tools");
    fs::create_dir(&tools).unwrap();
    for (name, script) in TOOLS {
        let file = tools.join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    tools
}

/// Ten nodes that EC2 knows and that are reached at the farm's addresses.
fn configure(dir: &Path, emulate: &Emulate, moto: &Moto, farm: &Farm) -> PathBuf {
    let names: Vec<String> = (0..NODES)
        .map(|node| format!("builder-worker-{node}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    moto.launch("live", "builder", &names);
    fs::write(dir.join("app-token"), "xapp-emulate\n").unwrap();
    fs::write(dir.join("bot-token"), "xoxb-emulate\n").unwrap();
    fs::write(dir.join("aws-secret"), "testing\n").unwrap();
    for secret in ["app-token", "bot-token", "aws-secret"] {
        fs::set_permissions(dir.join(secret), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut known = String::new();
    let mut nodes = String::new();
    for (name, host) in names.iter().zip(farm.hosts()) {
        let _ = writeln!(
            known,
            "[{}]:{} {}",
            host.address,
            host.port,
            farm.host_key()
        );
        let _ = writeln!(
            nodes,
            "[[fleet.node]]\nname = \"live-{name}\"\naddress = \"{}\"\nport = {}",
            host.address, host.port
        );
    }
    fs::write(dir.join("known_hosts"), known).unwrap();
    let config = format!(
        r#"[slack]
api_url = "{api}/api"
mode = "socket"
app_token = {{ file = "app-token" }}
bot_token = {{ file = "bot-token" }}
channel = "{operations}"

[http]
admin = "127.0.0.1:0"

[store]
url = "sqlite:habops.db"

[fleet]
default_environment = "live"
[fleet.ec2]
region = "us-west-2"
endpoint_url = "http://127.0.0.1:{ec2}"
access_key_id = "testing"
secret_access_key = {{ file = "aws-secret" }}
{nodes}
[ssh]
user = "{user}"
identity_file = "{key}"
known_hosts = "known_hosts"
connect_timeout = "20s"

[policy.roles]
member = ["*"]
operator = ["{ana}"]
"#,
        api = emulate.url,
        operations = emulate.operations,
        ec2 = moto.port(),
        user = user(),
        key = farm.file("user").display(),
        ana = emulate.ana,
    );
    let file = dir.join("habops.toml");
    fs::write(&file, config).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slack_and_an_ec2_written_by_others_and_ten_real_nodes_are_served_as_our_own() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = TempDir::new().unwrap();
    let tools = tools(dir.path());
    let farm = Farm::laid_out(&Layout {
        nodes: NODES,
        path: Some(&|_| format!("{}:/usr/bin:/bin", tools.display())),
        ..Layout::default()
    });
    let moto = Moto::start();
    let emulate = Emulate::start(dir.path()).await;
    let config = configure(dir.path(), &emulate, &moto, &farm);
    let mut bot = Running::bot(&config);

    // An incident, and a command typed elsewhere: its table comes in the incident's thread, the asker gets a link.
    emulate
        .types(&emulate.operations, "incident open login is slow")
        .await;
    let card = emulate
        .sees(&emulate.operations, None, "login is slow")
        .await;
    let root = card["ts"].as_str().unwrap();
    let told = emulate.types(&emulate.general, "status live").await;
    assert!(told.contains("The answer comes in inc-1"), "{told}");
    let table = emulate
        .sees(&emulate.operations, Some(root), "All 10 nodes are up")
        .await;
    let table = table.to_string();
    for node in 0..NODES {
        assert!(
            table.contains(&format!("live-builder-worker-{node}")),
            "{node}: {table}"
        );
    }
    assert!(table.contains("builder-api up"), "{table}");

    // The same envelope once more is acknowledged and does nothing.
    let again = emulate.post("mock/again", &json!({})).await;
    assert_eq!(again["error"], Value::Null, "{again}");
    // Slack asks for fresh sockets; the next command is heard on one of them.
    emulate.post("mock/disconnect", &json!({})).await;
    emulate
        .types(&emulate.general, "services live-builder-worker-3")
        .await;
    emulate
        .sees(&emulate.operations, Some(root), "services are up")
        .await;

    let thread = emulate.messages(&emulate.operations, Some(root)).await;
    let tables = thread
        .iter()
        .filter(|it| it.to_string().contains("All 10 nodes are up"));
    assert_eq!(
        tables.filter(|it| it["ts"] != root).count(),
        1,
        "answered once"
    );
    assert!(emulate.messages(&emulate.general, None).await.is_empty());
    assert_eq!(bot.is_told_to_stop(), 0);
    let said = bot.err();
    assert!(
        !said.contains(" ERROR ") && !said.contains("panicked"),
        "{said}"
    );
}
