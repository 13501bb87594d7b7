//! What the Slack client has to know, and what is wrong with it.

use secrecy::SecretString;
use serde::Deserialize;

use crate::{clients::address, domain::ids::ChannelId};

/// Slack's own address.
pub(super) const SLACK: &str = "https://slack.com/api";

/// How Slack's happenings reach us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Over sockets that we open; needs the app token.
    #[default]
    Socket,
    /// As signed requests to our HTTP listener; needs the signing secret.
    Http,
}

/// The section `[slack]`, with its secrets already read.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Web API's address without the method, `https://slack.com/api`; `http://` for loopback hosts only.
    pub api_url: String,
    /// How happenings reach us.
    pub mode: Mode,
    /// The app-level token, `xapp-…`, with `connections:write`.
    pub app_token: Option<SecretString>,
    /// The bot token, `xoxb-…`.
    pub bot_token: SecretString,
    /// What Slack signs its HTTP requests with.
    pub signing_secret: Option<SecretString>,
    /// Where habops lives when no incident is open.
    pub channel: ChannelId,
}

impl Config {
    /// Slack itself over Socket Mode.
    pub fn new(bot_token: SecretString, app_token: SecretString, channel: ChannelId) -> Self {
        Self {
            api_url: SLACK.to_owned(),
            mode: Mode::Socket,
            app_token: Some(app_token),
            bot_token,
            signing_secret: None,
            channel,
        }
    }

    /// Every fault, each as a sentence that begins with its key.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        if let Err(what) = address::check(&self.api_url, "https", "http") {
            faults.push(format!("slack.api_url {what}"));
        }
        if self.mode == Mode::Socket && self.app_token.is_none() {
            faults.push("slack.app_token is needed for mode = \"socket\": make an app-level token with connections:write".to_owned());
        }
        if self.mode == Mode::Http && self.signing_secret.is_none() {
            faults.push(
                "slack.signing_secret is needed for mode = \"http\": it is on the app's page Basic Information".to_owned(),
            );
        }
        if !is_channel_id(self.channel.as_str()) {
            faults.push(format!(
                "slack.channel must be a channel's id like C0OPERATIONS, not {:?}: in Slack it is at the foot of the channel's details",
                self.channel.as_str()
            ));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }
}

fn is_channel_id(word: &str) -> bool {
    word.starts_with(['C', 'G', 'D'])
        && word.len() > 1
        && word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Config, Mode};

    fn config() -> Config {
        Config::new("xoxb-1".into(), "xapp-1".into(), "C0OPERATIONS".into())
    }

    #[test]
    fn the_default_is_good() {
        assert_eq!(config().check(), Ok(()));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = Config {
            api_url: "http://slack.example/api".to_owned(),
            mode: Mode::Http,
            channel: "#operations".into(),
            ..config()
        }
        .check()
        .unwrap_err();
        let keys: Vec<_> = faults.iter().filter_map(|f| f.split(' ').next()).collect();
        assert_eq!(
            keys,
            ["slack.api_url", "slack.signing_secret", "slack.channel"]
        );
    }

    #[test]
    fn printing_a_config_prints_no_secret() {
        let printed = format!("{:?}", config());
        assert!(
            !printed.contains("xoxb-1") && !printed.contains("xapp-1"),
            "{printed}"
        );
    }
}
