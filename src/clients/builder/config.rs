//! `[builder]`: where Builder is, and with which token it is asked.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

/// `[builder]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The base without `/v1`. Default `https://bldr.habitat.sh`.
    #[serde(default = "public")]
    pub url: String,
    /// A personal access token. Without it habops only looks.
    #[serde(default)]
    pub token: Option<SecretString>,
    /// How long one call may take. Default 20 s: Builder's own answer to a service that hangs, 504, comes after 15 s.
    #[serde(default = "patience", with = "crate::domain::duration")]
    pub timeout: Duration,
}

/// Builder as everybody knows it.
pub const PUBLIC: &str = "https://bldr.habitat.sh";

fn public() -> String {
    PUBLIC.to_owned()
}

fn patience() -> Duration {
    Duration::from_secs(20)
}
