//! `[pagerduty]`

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

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
