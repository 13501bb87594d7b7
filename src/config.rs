//! The configuration: one TOML, read once, with the environment and the secrets' files that it names. Only the datastore's password is
//! read again, for each new connection.
//!
//! All faults are reported together, each with its key and, for an unknown one, the nearest known key.

mod faults;
mod load;
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use secrecy::SecretString;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;

pub use self::{faults::Faults, load::load};
use crate::{
    clients::{builder, datastore, fleet, pagerduty, slack, ssh},
    domain::{
        ids::{ChannelId, Environment, Role},
        policy::{Member, Policy as Roles},
        service::Service,
    },
    store,
};

/// Everything that `habops.toml` says. Sections in the order of design section 9.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[slack]`
    pub slack: Option<Slack>,
    /// `[http]`
    pub http: Http,
    /// `[log]`
    pub log: Log,
    /// `[store]`
    pub store: store::Config,
    /// `[fleet]`
    pub fleet: fleet::Config,
    /// `[ssh]`
    pub ssh: ssh::Config,
    /// `[services.<key>]`; Builder's own are the shipped default.
    pub services: BTreeMap<String, Service>,
    /// `[restart]`
    pub restart: Restart,
    /// `[datastore]`
    pub datastore: Option<datastore::Config>,
    /// `[builder]`
    pub builder: Option<builder::Config>,
    /// `[promote]`
    pub promote: Promote,
    /// `[pagerduty]`
    pub pagerduty: Option<pagerduty::Config>,
    /// `[incidents]`
    pub incidents: Incidents,
    /// `[handoff]`
    pub handoff: Handoff,
    /// `[policy]`
    pub policy: Policy,
    /// `[catalogue]`
    pub catalogue: Catalogue,
    /// `[redact]`
    pub redact: Redact,
    /// The directory of the file, which relative paths start from.
    #[serde(skip)]
    pub base: PathBuf,
}

/// How Slack is reached.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// The Web API without the method. `http://` for loopback only. Default Slack's own.
    #[serde(default = "slack_api")]
    pub api_url: String,
    /// `socket` (default) or `http`.
    #[serde(default)]
    pub mode: Mode,
    /// The app-level token, for `socket`.
    #[serde(default)]
    pub app_token: Option<SecretString>,
    /// The bot token.
    #[serde(default)]
    pub bot_token: Option<SecretString>,
    /// What Slack signs its requests with, for `http`.
    #[serde(default)]
    pub signing_secret: Option<SecretString>,
    /// Where habops lives when no incident is open.
    #[serde(default)]
    pub channel: Option<ChannelId>,
}

fn slack_api() -> String {
    "https://slack.com/api".to_owned()
}

/// How Slack's happenings come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Over sockets that habops opens.
    #[default]
    Socket,
    /// As signed requests to `[http] listen`.
    Http,
}

impl Slack {
    /// As the client takes it.
    pub fn client(&self) -> slack::Config {
        slack::Config {
            api_url: self.api_url.trim_end_matches('/').to_owned(),
            mode: match self.mode {
                Mode::Socket => slack::Mode::Socket,
                Mode::Http => slack::Mode::Http,
            },
            app_token: self.app_token.clone(),
            bot_token: self.bot_token.clone().unwrap_or_default(),
            signing_secret: self.signing_secret.clone(),
            channel: self.channel.clone().unwrap_or_else(|| ChannelId::from("")),
        }
    }
}

/// Where habops listens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// For Slack in `http` mode and for PagerDuty. Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// `/healthz`, `/readyz`, `/metrics`. Default 127.0.0.1:8081.
    pub admin: SocketAddr,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
        }
    }
}

/// What is logged, on standard error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or tracing's filter directives. Default `info`.
    pub level: String,
    /// `auto`: text at a terminal, JSON elsewhere.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text at a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How restarts behave.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restart {
    /// How long after one restart of a node the next is refused. Default 10 m.
    #[serde(with = "crate::domain::duration")]
    pub cool_down: Duration,
    /// How long its services may take to come up. Default 60 s.
    #[serde(with = "crate::domain::duration")]
    pub comes_up_within: Duration,
    /// How long the journal is watched for the same error afterwards. Default 60 s.
    #[serde(with = "crate::domain::duration")]
    pub watch: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            cool_down: Duration::from_mins(10),
            comes_up_within: Duration::from_mins(1),
            watch: Duration::from_mins(1),
        }
    }
}

/// Packages that are promoted together.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Promote {
    /// Name → packages.
    pub groups: BTreeMap<String, Vec<String>>,
}

/// How incidents live in Slack.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Incidents {
    /// `thread` (default) or `channel`.
    pub place: Place,
    /// The emoji that keeps a message on the timeline. Default `pushpin`.
    pub pin_emoji: String,
}

impl Default for Incidents {
    fn default() -> Self {
        Self {
            place: Place::Thread,
            pin_emoji: "pushpin".to_owned(),
        }
    }
}

/// Where an incident's answers go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The thread under its card.
    #[default]
    Thread,
    /// The whole channel.
    Channel,
}

/// How handoffs behave.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Handoff {
    /// How long until an unaccepted handoff is told to everybody. Default 15 m.
    #[serde(with = "crate::domain::duration")]
    pub accept_within: Duration,
    /// How long before a shift its holder is reminded. Default 24 h.
    #[serde(with = "crate::domain::duration")]
    pub remind: Duration,
}

impl Default for Handoff {
    fn default() -> Self {
        Self {
            accept_within: Duration::from_mins(15),
            remind: Duration::from_hours(24),
        }
    }
}

/// Who may do what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The roles of whoever may run `habops do` with this file. Default `member`.
    pub console: BTreeSet<Role>,
    /// Members of each role. Default: `member` is every full member of the workspace.
    pub roles: BTreeMap<Role, Vec<Member>>,
    /// How confirmations behave.
    pub confirm: ConfirmPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            console: BTreeSet::from([Role::from("member")]),
            roles: BTreeMap::from([(Role::from("member"), vec![Member::Everyone])]),
            confirm: ConfirmPolicy::default(),
        }
    }
}

impl Policy {
    /// As the rules take it.
    pub fn roles(&self) -> Roles {
        Roles {
            console: self.console.clone(),
            roles: self.roles.clone(),
        }
    }
}

/// How confirmations behave.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfirmPolicy {
    /// How long a confirmation stays open. Default 5 m.
    #[serde(with = "crate::domain::duration")]
    pub expires: Duration,
    /// Commands that need a yes from somebody other than the asker, such as `restart`. Default: what each command's own file says.
    pub second_person: Vec<String>,
}

impl Default for ConfirmPolicy {
    fn default() -> Self {
        Self {
            expires: Duration::from_mins(5),
            second_person: Vec::new(),
        }
    }
}

/// Commands beside the embedded ones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Catalogue {
    /// A directory of runbooks and queries.
    pub dir: Option<PathBuf>,
    /// Embedded commands that a file there may replace.
    pub replace: Vec<String>,
}

/// What is secret beside the built-in patterns.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redact {
    /// Regular expressions; a group called `s` is what goes, the whole match without one.
    pub patterns: Vec<String>,
}

impl Config {
    /// What contradicts itself or leads nowhere; every fault, each beginning with its key.
    pub fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(slack) = &self.slack {
            let missing = |key: &str| {
                format!("slack.{key}: is missing; write {{ file = \"…\" }} or {{ env = \"…\" }}")
            };
            if slack.bot_token.is_none() {
                faults.push(missing("bot_token"));
            }
            if slack.channel.is_none() {
                faults.push("slack.channel: is missing; it is the id of the channel where habops lives, such as C0OPERATIONS".to_owned());
            } else if let Err(of_client) = slack.client().check() {
                faults.extend(of_client);
            }
        }
        faults.extend(self.fleet.check());
        if let Err(fault) = self.ssh.check() {
            faults.push(format!("ssh: {fault}"));
        }
        faults.extend(self.builder.iter().flat_map(builder::Config::check));
        faults.extend(self.pagerduty.iter().flat_map(pagerduty::Config::check));
        if let Some(datastore) = &self.datastore {
            let of_datastore = datastore.check().into_iter();
            faults.extend(of_datastore.map(|fault| format!("datastore.{fault}")));
        }
        if let Err(bad) =
            crate::domain::redact::Rules::new(self.redact.patterns.iter().map(String::as_str))
        {
            faults.push(bad.to_string());
        }
        let zero = [
            ("policy.confirm.expires", self.policy.confirm.expires),
            ("restart.comes_up_within", self.restart.comes_up_within),
            ("restart.watch", self.restart.watch),
            ("store.keep", self.store.keep),
        ];
        faults.extend(
            zero.iter()
                .filter(|(_, length)| length.is_zero())
                .map(|(key, _)| format!("{key}: must be longer than nothing")),
        );
        let level = |part: &str| part.rsplit('=').next()?.trim().parse::<LevelFilter>().ok();
        for part in self.log.level.split(',') {
            if level(part).is_none() {
                faults.push(format!(
                    "log.level: `{part}` is not a level; write error, warn, info, debug or trace, or target=level"
                ));
            }
        }
        // Who leaves `console` out may also call the roles otherwise.
        let is_default = self.policy.console == Policy::default().console;
        for role in self.policy.console.iter().filter(|_| !is_default) {
            if !self.policy.roles.contains_key(role) {
                faults.push(format!(
                    "policy.console: no role is called `{role}`; [policy.roles] names them"
                ));
            }
        }
        if self.http.listen == self.http.admin && self.http.admin.port() != 0 {
            faults.push("http.admin: is the same address as http.listen".to_owned());
        }
        faults
    }

    /// The environments that the configuration names. Those that only EC2 knows are not among them.
    pub fn environments(&self) -> BTreeSet<Environment> {
        let of_nodes = self.fleet.node.iter();
        of_nodes
            .filter_map(|node| node.environment.clone())
            .chain([self.default_environment()])
            .collect()
    }

    /// The environment a bare role means, and a command that names none.
    pub fn default_environment(&self) -> Environment {
        self.fleet.default_environment.clone()
    }
}
