//! The whole miniature at once: every stand-in started, and the configuration written that points habops at it.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    builder::Builder,
    datastore::{Datastore, READER},
    ec2::Ec2,
    fault::Fault,
    nodes::Nodes,
    pagerduty::PagerDuty,
    slack::{Options, Seed, Slack},
};

/// The running miniature.
pub struct Sandbox {
    /// Slack and the page.
    pub slack: Slack,
    /// The nodes.
    pub nodes: Nodes,
    /// Builder.
    pub builder: Builder,
    /// The datastore, where there is one.
    pub datastore: Option<Datastore>,
    /// PagerDuty.
    pub pagerduty: PagerDuty,
    /// The configuration written for habops.
    pub config: PathBuf,
    addresses: Value,
}

/// Where everything is.
struct Addresses {
    ec2: String,
    builder: String,
    pagerduty: String,
    /// Where habops is told of what happens in PagerDuty.
    webhooks: SocketAddr,
    admin: SocketAddr,
}

const BOT_TOKEN: &str = "xoxb-sandbox";
const APP_TOKEN: &str = "xapp-sandbox";
const BUILDER_TOKEN: &str = "_sandbox";
const PAGERDUTY_TOKEN: &str = "y_NbAkKc66ryYTWUXYEu";
const WEBHOOK_SECRET: &str = "sandbox-webhook-secret";

impl Sandbox {
    /// Starts everything on loopback, Slack and the page on the given listener, and writes `dir/habops.toml`. `tool` is the
    /// program that the nodes' commands are; `seed` is who and what is in Slack, `commands` for the page's completion; the datastore was
    /// started by the caller, who may have several miniatures on one.
    pub async fn start(
        listener: TcpListener,
        dir: &Path,
        tool: &Path,
        seed: Seed,
        commands: Value,
        datastore: Option<Datastore>,
        stop: CancellationToken,
    ) -> Result<Self> {
        fs::create_dir_all(dir.join("files"))
            .with_context(|| format!("cannot make {}", dir.join("files").display()))?;
        let dir =
            fs::canonicalize(dir).with_context(|| format!("cannot find {}", dir.display()))?;
        let nodes = Nodes::start(&dir, tool, stop.clone()).await?;
        nodes.write_known_hosts(&dir.join("files/known_hosts"))?;
        let (ec2_listener, ec2_url) = loopback().await?;
        let ec2 = Ec2::start(ec2_listener, &nodes, stop.clone());
        let (builder_listener, builder_url) = loopback().await?;
        let builder = Builder::start(builder_listener, stop.clone());
        let (pagerduty_listener, pagerduty_url) = loopback().await?;
        let pagerduty =
            PagerDuty::start(pagerduty_listener, Arc::new(Timestamp::now), stop.clone());
        let (webhooks, admin) = (free_address().await?, free_address().await?);
        pagerduty.subscribe(&format!("http://{webhooks}/pagerduty"), WEBHOOK_SECRET);
        let mut faults: Vec<Arc<dyn Fault>> = vec![
            Arc::new(nodes.clone()),
            Arc::new(ec2),
            Arc::new(pagerduty.clone()),
            Arc::new(builder.clone()),
        ];
        if let Some(datastore) = &datastore {
            if let Err(error) = builder.shares(datastore).await {
                tracing::warn!(
                    "Builder and the datastore of the sandbox tell of different groups: {error:#}"
                );
            }
            faults.push(Arc::new(datastore.clone()));
        }
        let options = Options {
            commands,
            seed,
            faults,
            ..Options::default()
        };
        let signing_secret = options.signing_secret.clone();
        let slack = Slack::start(listener, options, stop);
        let addresses = Addresses {
            ec2: ec2_url,
            builder: builder_url,
            pagerduty: pagerduty_url,
            webhooks,
            admin,
        };
        let config = dir.join("habops.toml");
        write_files(&dir, &signing_secret)?;
        let mut text = toml(&slack, &nodes, &addresses);
        if let Some(datastore) = &datastore {
            let file = dir.join("files/datastore-password");
            fs::write(&file, datastore.reader_password())
                .with_context(|| format!("cannot write {}", file.display()))?;
            text.push_str(&datastore_toml(datastore));
        }
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let listed: Vec<Value> = nodes
            .list()
            .iter()
            .map(|node| json!({ "name": node.name, "address": node.address, "port": node.port }))
            .collect();
        let addresses = json!({
            "page": slack.page_url(),
            "slack_api": slack.api_url(),
            "ec2": addresses.ec2,
            "builder": addresses.builder,
            "pagerduty": addresses.pagerduty,
            "datastore": datastore.as_ref().map(Datastore::owner_url),
            "nodes": listed,
            "config": config,
        });
        Ok(Self {
            slack,
            nodes,
            builder,
            datastore,
            pagerduty,
            config,
            addresses,
        })
    }

    /// Waits until nothing of it runs any more; stop it first.
    pub async fn ended(&self) {
        self.nodes.ended().await;
        if let Some(datastore) = &self.datastore {
            datastore.ended().await;
        }
    }

    /// The line that `habops sandbox` prints.
    pub fn addresses(&self) -> &Value {
        &self.addresses
    }
}

async fn loopback() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen on 127.0.0.1")?;
    let address = listener
        .local_addr()
        .context("a listener without an address")?;
    Ok((listener, format!("http://{address}")))
}

/// Ports below those that the kernel gives to outgoing connections, so that none takes one before habops does.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How many are tried.
const TRIES: usize = 100;

/// An address that is free now, for habops to listen on: only habops can bind it, so it is let go again.
async fn free_address() -> Result<SocketAddr> {
    for _ in 0..TRIES {
        let address = SocketAddr::from(([127, 0, 0, 1], rand::random_range(PORTS)));
        if TcpListener::bind(address).await.is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!(
        "no port of 127.0.0.1 is free between {} and {}",
        PORTS.start,
        PORTS.end
    )
}

fn write_files(dir: &Path, signing_secret: &str) -> Result<()> {
    for (name, text) in [
        ("bot-token", BOT_TOKEN),
        ("app-token", APP_TOKEN),
        ("signing-secret", signing_secret),
        ("builder-token", BUILDER_TOKEN),
        ("pagerduty-token", PAGERDUTY_TOKEN),
        ("pagerduty-webhook", WEBHOOK_SECRET),
        ("aws-secret", "sandbox"),
    ] {
        let path = dir.join("files").join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn datastore_toml(datastore: &Datastore) -> String {
    format!(
        r#"
[datastore]
url = "postgres://{READER}@127.0.0.1:{}"
password = {{ file = "files/datastore-password" }}
"#,
        datastore.port()
    )
}

/// The configuration, as a person would write it.
fn toml(slack: &Slack, nodes: &Nodes, addresses: &Addresses) -> String {
    let mut text = format!(
        r#"# Written by `habops sandbox`: everything here is on this machine and nothing is real.
[slack]
api_url = "{api}"
mode = "socket"
app_token = {{ file = "files/app-token" }}
bot_token = {{ file = "files/bot-token" }}
signing_secret = {{ file = "files/signing-secret" }}
channel = "C0OPERATIONS"

[http]
listen = "{webhooks}"
admin = "{admin}"

[store]
url = "sqlite:habops.db"

[fleet]
default_environment = "live"

[fleet.ec2]
region = "us-west-2"
endpoint_url = "{ec2}"
access_key_id = "sandbox"
secret_access_key = {{ file = "files/aws-secret" }}
address = "public_ip"
refresh = "10s"

"#,
        api = slack.api_url(),
        ec2 = addresses.ec2,
        webhooks = addresses.webhooks,
        admin = addresses.admin,
    );
    for node in nodes.list() {
        let _ = write!(
            text,
            "[[fleet.node]]\nname = \"{}\"\naddress = \"{}\"\nport = {}\n\n",
            node.name, node.address, node.port
        );
    }
    let _ = write!(
        text,
        r#"[ssh]
user = "ubuntu"
identity_file = "files/habitat-srv-admin"
known_hosts = "files/known_hosts"
connect_timeout = "5s"

[restart]
cool_down = "5m"
comes_up_within = "20s"
watch = "15s"

[builder]
url = "{builder}"
token = {{ file = "files/builder-token" }}

[promote.groups]
builder = ["core/builder-api", "core/builder-api-proxy", "core/builder-jobsrv"]

[pagerduty]
url = "{pagerduty}"
token = {{ file = "files/pagerduty-token" }}
from = "habops@habitat.example"
schedules = ["PI7DH85"]
webhook_secrets = [{{ file = "files/pagerduty-webhook" }}]
[pagerduty.services]
P393ZNQ = "live/api"
PJOBSRV = "live/jobsrv"

[policy]
console = ["member", "operator", "release"]

[policy.roles]
member = ["*"]
operator = ["U0ANA", "group:S0OPS"]
release = ["group:S0RELEASE"]
"#,
        builder = addresses.builder,
        pagerduty = addresses.pagerduty,
    );
    text
}
