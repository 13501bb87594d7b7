//! `habops check`: whether everything that the configuration names can really be used.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    clients::{builder, datastore, fleet, pagerduty, slack, ssh},
    config::{Config, Mode},
    domain::{
        ids::{GroupId, Owner},
        node::Node,
        shard::DATABASES,
    },
    store::{Clock, Store},
};

/// How long one thing may take to prove itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// One thing, and whether it can be used.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was tried.
    pub name: String,
    /// Whether habops cannot do its work without it.
    pub needed: bool,
    /// Whether it worked.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do, where it did not work or could be better.
    pub fix: String,
}

impl Finding {
    fn of<E: std::fmt::Display>(
        name: impl Into<String>,
        needed: bool,
        tried: std::result::Result<String, E>,
        fix: &str,
    ) -> Self {
        let (ok, detail) = match tried {
            Ok(detail) => (true, detail),
            Err(error) => (false, format!("{error:#}")),
        };
        Self {
            name: name.into(),
            needed,
            ok,
            detail,
            fix: if ok { String::new() } else { fix.to_owned() },
        }
    }
}

/// Tries everything; nothing is changed but a row in the store.
pub async fn run(config: &Config) -> Vec<Finding> {
    let mut findings = vec![store(config).await, catalogue(config)];
    findings.extend(slack(config).await);
    findings.extend(nodes(config).await);
    findings.extend(datastore(config).await);
    if let Some(section) = &config.builder {
        let tried = async {
            Ok::<_, anyhow::Error>({
                builder::Client::new(section)?.status().await?;
                format!("{} answers", section.url)
            })
        };
        findings.push(Finding::of(
            "builder",
            false,
            tried.await,
            "see whether builder.url is right and can be reached from here",
        ));
    }
    if let Some(section) = &config.pagerduty {
        let tried = async {
            Ok::<_, anyhow::Error>(format!(
                "{} abilities",
                pagerduty::Client::new(section)?.abilities().await?.len()
            ))
        };
        findings.push(Finding::of(
            "pagerduty",
            false,
            tried.await,
            "see whether pagerduty.url and pagerduty.token are right",
        ));
    }
    findings
}

/// Whether habops could do its work.
pub fn passes(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.ok || !finding.needed)
}

async fn store(config: &Config) -> Finding {
    let tried = async {
        let clock: Clock = Arc::new(Timestamp::now);
        let store = Store::open(&config.store, &config.base, clock, Owner::new("check"))?;
        let took = store.check().await?;
        Ok::<_, crate::store::Error>(format!(
            "{}: a write and its fsync took {:.1} ms",
            store.path().display(),
            took.0.as_secs_f64() * 1_000.0
        ))
    };
    Finding::of(
        "store",
        true,
        tried.await,
        "give habops a directory it may write, on a disk with room: store.url",
    )
}

fn catalogue(config: &Config) -> Finding {
    let tried = super::catalogue(config)
        .map(|catalogue| format!("{} commands", catalogue.commands.iter().count()));
    Finding::of(
        "catalogue",
        true,
        tried,
        "mend the files named, or take them out of catalogue.dir",
    )
}

async fn slack(config: &Config) -> Vec<Finding> {
    let Some(section) = &config.slack else {
        return vec![Finding::of(
            "slack",
            true,
            Err::<String, _>("there is no [slack] section"),
            "`habops start` needs [slack]; `habops do` works without",
        )];
    };
    let client = match slack::Client::new(&section.client()) {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::of(
                "slack",
                true,
                Err::<String, _>(error),
                "see whether slack.api_url is right",
            )];
        }
    };
    let sentence = |error: slack::Error| format!("{error}: {}", error.advice());
    let late = |_| "Slack did not answer".to_owned();
    let identity = timeout(PATIENCE, client.auth_test())
        .await
        .map_err(late)
        .and_then(|tried| tried.map_err(sentence));
    let said = identity
        .map(|identity| format!("bot user {} of workspace {}", identity.user, identity.team));
    let mut findings = vec![Finding::of(
        "slack auth.test",
        true,
        said,
        "slack.bot_token must be the app's bot token, xoxb-…",
    )];
    if section.mode == Mode::Socket {
        let opened = timeout(PATIENCE, client.connections_open())
            .await
            .map_err(late)
            .and_then(|tried| tried.map_err(sentence));
        let fix = "slack.app_token must be an app-level token, xapp-…, with connections:write, and Socket Mode must be on";
        findings.push(Finding::of(
            "slack apps.connections.open",
            true,
            opened.map(|_| "a socket can be opened".to_owned()),
            fix,
        ));
    }
    if let Some(channel) = &section.channel {
        let seen = timeout(PATIENCE, client.conversation(channel))
            .await
            .map_err(late)
            .and_then(|tried| tried.map_err(sentence));
        let said = seen.and_then(|seen| match (seen.is_archived, seen.is_member) {
            (Some(true), _) => Err(format!("{channel} is archived")),
            (_, Some(false)) => Err(format!("habops is not in {channel}")),
            _ => Ok(format!("{} ({channel})", seen.name.unwrap_or_default())),
        });
        findings.push(Finding::of(
            "slack channel",
            false,
            said,
            "invite the bot there: /invite @habops",
        ));
    }
    let named = config.policy.roles().groups();
    if !named.is_empty() {
        let known = timeout(PATIENCE, client.groups())
            .await
            .map_err(late)
            .and_then(|tried| tried.map_err(sentence));
        findings.push(Finding::of(
            "slack user groups",
            false,
            known.and_then(|known| are_there(&named, &known)),
            "[policy.roles] takes a group's id, S…, from its page in Slack; while one is missing nobody holds a role through it",
        ));
    }
    findings
}

/// Whether the groups that roles are made of can have members.
fn are_there(named: &BTreeSet<GroupId>, known: &[slack::Group]) -> Result<String, String> {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for id in named {
        match known.iter().find(|group| group.id == *id) {
            Some(group) if !group.disabled => there.push(format!("@{} ({id})", group.handle)),
            Some(group) => missing.push(format!("@{} ({id}) is switched off", group.handle)),
            None => missing.push(format!("there is no {id}")),
        }
    }
    if missing.is_empty() {
        Ok(there.join(", "))
    } else {
        Err(missing.join("; "))
    }
}

async fn nodes(config: &Config) -> Vec<Finding> {
    let client = match ssh::Client::new(&config.ssh) {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::of(
                "ssh",
                true,
                Err::<String, _>(error),
                "mend [ssh]: the key, the agent, known_hosts",
            )];
        }
    };
    let mut findings = vec![Finding::of(
        "ssh",
        true,
        Ok::<_, String>(format!("user {}, key readable", config.ssh.user)),
        "",
    )];
    let fleet = match fleet::Client::new(&config.fleet) {
        Ok(client) => client.snapshot().await,
        Err(error) => {
            findings.push(Finding::of(
                "fleet",
                true,
                Err::<String, _>(error),
                "mend [fleet]",
            ));
            return findings;
        }
    };
    let listed = match &fleet.stale {
        Some(why) => Err(why.clone()),
        None if fleet.nodes.is_empty() => {
            Err("no node is configured and none was found".to_owned())
        }
        None => Ok(format!("{} nodes", fleet.nodes.len())),
    };
    findings.push(Finding::of("fleet", true, listed, "see [fleet.ec2]: region, credentials, ec2:DescribeInstances and ec2:DescribeInstanceStatus"));
    let running: Vec<&Node> = fleet
        .nodes
        .iter()
        .filter(|node| node.is_running())
        .collect();
    let hosts: Vec<ssh::Host> = running.iter().copied().map(ssh::Host::from).collect();
    for (host, tried) in client.on_each(&hosts, |host| client.login(host)).await {
        let fix = match &tried {
            Err(error) if error.is_host_key() => format!(
                "compare the fingerprint with the node's console, then `habops trust {}`",
                host.name
            ),
            Err(error) if error.is_unreachable() => {
                "see whether the node is up and its port open from here".to_owned()
            }
            _ => "see [ssh]: user, identity_file, and authorized_keys on the node".to_owned(),
        };
        findings.push(Finding::of(
            format!("node {}", host.name),
            false,
            tried.map(|()| "logged in".to_owned()),
            &fix,
        ));
    }
    client.shutdown().await;
    findings
}

async fn datastore(config: &Config) -> Vec<Finding> {
    let Some(section) = &config.datastore else {
        return Vec::new();
    };
    let client = async {
        let ssh = ssh::Client::new(&config.ssh)?;
        let fleet = fleet::Client::new(&config.fleet)?;
        anyhow::Ok(datastore::Client::new(section, &ssh, &fleet)?)
    };
    let client = match client.await {
        Ok(client) => client,
        Err(error) => {
            let fix = "see [datastore]";
            return vec![Finding::of(
                "datastore",
                false,
                Err::<String, _>(error),
                fix,
            )];
        }
    };
    let mut findings = Vec::new();
    for database in DATABASES {
        let fix = "see [datastore]: url, password, tls, via; and whether that database exists";
        let login = client.login(database).await;
        let said = login.as_ref().map(|login| said(login, &client, database));
        let mut finding = Finding::of(format!("datastore {database}"), false, said, fix);
        if let Ok(login) = &login {
            finding.fix = advice(login, &client, database).join("; ");
        }
        findings.push(finding);
    }
    client.close();
    findings
}

fn said(login: &datastore::Login, client: &datastore::Client, database: &str) -> String {
    let encrypted = if login.tls { ", over TLS" } else { "" };
    let shards = match (login.shards, client.is_sharded(database)) {
        (_, false) => "not sharded".to_owned(),
        (1, true) => "1 shard".to_owned(),
        (shards, true) => format!("{shards} shards"),
    };
    format!("a SELECT as {}{encrypted}, {shards}", login.user)
}

/// What works and could be better.
fn advice(login: &datastore::Login, client: &datastore::Client, database: &str) -> Vec<String> {
    let mut advice = Vec::new();
    if login.superuser {
        advice.push(
            "habops connects as a superuser; give it a role that may only read, habops_ro (the README has the GRANTs)"
                .to_owned(),
        );
    } else if !login.secrets.is_empty() {
        advice.push(format!(
            "{} could read secrets that habops never asks for: {}; the README has GRANTs without them",
            login.user,
            login.secrets.join(", ")
        ));
    }
    let wanted = client.shards();
    if client.is_sharded(database) && login.shards != wanted {
        advice.push(format!(
            "datastore.shards is {wanted}, and there are {} schemas called shard_N",
            login.shards
        ));
    }
    advice
}
