//! PagerDuty's REST API v2 (<https://developer.pagerduty.com/api-reference>). So far only whether its token works.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// `[pagerduty]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The base. Default `https://api.pagerduty.com`; EU accounts have another.
    #[serde(default = "us")]
    pub url: String,
    /// A REST API key.
    #[serde(default)]
    pub token: Option<SecretString>,
    /// The e-mail of the user that habops acts as where the asker has none in PagerDuty.
    #[serde(default)]
    pub from: Option<String>,
    /// The schedules that say who is on call.
    #[serde(default)]
    pub schedules: Vec<String>,
    /// What webhooks are signed with; several while one is replaced.
    #[serde(default)]
    pub webhook_secrets: Vec<SecretString>,
    /// How often the schedules are read. Default 60 s.
    #[serde(default = "minute", with = "crate::domain::duration")]
    pub poll: Duration,
    /// Slack user → PagerDuty user, where the e-mail addresses differ.
    #[serde(default)]
    pub users: BTreeMap<String, String>,
    /// PagerDuty service → the target whose evidence belongs to it.
    #[serde(default)]
    pub services: BTreeMap<String, String>,
}

fn us() -> String {
    "https://api.pagerduty.com".to_owned()
}

fn minute() -> Duration {
    Duration::from_mins(1)
}

/// Talks to one account.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    token: SecretString,
    http: reqwest::Client,
}

impl Client {
    /// Connects to nothing yet.
    pub fn new(config: &Config) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .context("cannot make an HTTP client")?;
        let token = config
            .token
            .clone()
            .context("pagerduty.token is missing; write { file = \"…\" } or { env = \"…\" }")?;
        Ok(Self {
            base: config.url.trim_end_matches('/').to_owned(),
            token,
            http,
        })
    }

    /// What the account may do; an error when the token is not taken.
    pub async fn abilities(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Abilities {
            abilities: Vec<String>,
        }
        let url = format!("{}/abilities", self.base);
        let reply = self
            .http
            .get(&url)
            .header(
                "Authorization",
                format!("Token token={}", self.token.expose_secret()),
            )
            .header("Accept", "application/vnd.pagerduty+json;version=2")
            .header("Content-Type", "application/json")
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .with_context(|| format!("cannot reach {url}"))?;
        if reply.status() == reqwest::StatusCode::UNAUTHORIZED {
            bail!(
                "PagerDuty does not take the token (401); make a REST API key under Integrations, API Access Keys"
            );
        }
        if !reply.status().is_success() {
            bail!("{url} answered {}", reply.status());
        }
        let abilities: Abilities = reply
            .json()
            .await
            .map_err(reqwest::Error::without_url)
            .context("PagerDuty's abilities cannot be read")?;
        Ok(abilities.abilities)
    }
}
