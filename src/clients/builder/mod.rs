//! Habitat Builder's HTTP API, prefix `/v1`, as it was from 2017 to August 2018
//! (<https://github.com/habitat-sh/builder>, `components/builder-api` and `builder-depot`).

mod call;
mod config;
mod error;
mod jobs;
mod packages;
mod wire;

use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;

pub use self::{
    config::{Config, PUBLIC},
    error::{Answer, Body, Error, role_of_site},
};

/// Talks to one Builder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    agent: String,
    token: Option<SecretString>,
    patience: Duration,
    http: reqwest::Client,
}

impl Client {
    /// Connects to nothing yet.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        // Redirects are not followed: a change is said once, and the token goes to nobody else.
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            base: config.url.trim_end_matches('/').to_owned(),
            // Without a User-Agent some of Builder's handlers panic. No parentheses: those would name another target.
            agent: concat!("habops/", env!("CARGO_PKG_VERSION")).to_owned(),
            token: config.token.clone(),
            patience: config.timeout,
            http,
        })
    }

    /// Its address, from the configuration.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Whether it can change anything.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether builder-api answers. It proves nothing about router or datastore.
    pub async fn status(&self) -> Result<(), Error> {
        self.alive().await
    }
}
