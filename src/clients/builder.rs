//! Habitat Builder's HTTP API, prefix `/v1` (`facts/habitat.md` section 3). So far only its health; releases come later.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use secrecy::SecretString;
use serde::Deserialize;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// `[builder]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The base without `/v1`. Default `https://bldr.habitat.sh`.
    #[serde(default = "public")]
    pub url: String,
    /// A personal access token.
    #[serde(default)]
    pub token: Option<SecretString>,
}

fn public() -> String {
    "https://bldr.habitat.sh".to_owned()
}

/// Talks to one Builder.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// Connects to nothing yet.
    pub fn new(config: &Config) -> Result<Self> {
        // Without a User-Agent some of Builder's handlers panic.
        let agent = concat!("habops/", env!("CARGO_PKG_VERSION"));
        let http = reqwest::Client::builder()
            .user_agent(agent)
            .timeout(PATIENCE)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            base: config.url.trim_end_matches('/').to_owned(),
            http,
        })
    }

    /// Whether builder-api answers. It proves nothing about router or datastore.
    pub async fn status(&self) -> Result<()> {
        let url = format!("{}/v1/status", self.base);
        let reply = self
            .http
            .get(&url)
            .send()
            .await
            .map_err(reqwest::Error::without_url)
            .with_context(|| format!("cannot reach {url}"))?;
        if !reply.status().is_success() {
            bail!("{url} answered {}", reply.status());
        }
        Ok(())
    }
}
