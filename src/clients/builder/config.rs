//! `[builder]`: where Builder is, and with which token it is asked.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::clients::address;

/// `[builder]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The base without `/v1`; `http://` only for loopback. Default `https://bldr.habitat.sh`.
    #[serde(default = "public")]
    pub url: String,
    /// A personal access token. Without it habops only looks.
    #[serde(default)]
    pub token: Option<SecretString>,
    /// How long one call may take. Default 20 s: Builder's own answer to a service that hangs, 504, comes after 15 s.
    #[serde(default = "patience", with = "crate::domain::duration")]
    pub timeout: Duration,
}

impl Config {
    /// What cannot work; every fault, each beginning with its key.
    pub fn check(&self) -> Vec<String> {
        let url = address::check(&self.url, "https", "http");
        let faults = url.err().map(|what| format!("builder.url: {what}"));
        faults.into_iter().collect()
    }
}

/// Builder as everybody knows it.
pub const PUBLIC: &str = "https://bldr.habitat.sh";

fn public() -> String {
    PUBLIC.to_owned()
}

fn patience() -> Duration {
    Duration::from_secs(20)
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn a_token_goes_to_no_other_machine_in_the_clear() {
        let faults = |url| {
            let config: Config = toml::from_str(&format!("url = '{url}'")).unwrap();
            config.check()
        };
        assert!(faults("http://127.0.0.1:9636").is_empty());
        assert!(faults("https://bldr.example").is_empty());
        assert_eq!(
            faults("http://bldr.example"),
            [
                "builder.url: is http:// to another machine, which would send secrets in the clear: use https://"
            ]
        );
    }
}
