//! Whose tokens these are, asked before anything else so that a bad one fails at the start and by name.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{answer::parse, error::Error, web::Client};
use crate::domain::ids::{TeamId, UserId};

/// Who we are to Slack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The workspace's id, `T…`.
    #[serde(rename = "team_id")]
    pub team: TeamId,
    /// The bot's own user id, `U…`: what a mention of it holds.
    #[serde(rename = "user_id")]
    pub user: UserId,
    /// The bot's id, `B…`: what its messages carry.
    #[serde(default)]
    pub bot_id: Option<String>,
    /// The workspace's address.
    #[serde(default)]
    pub url: Option<String>,
}

impl Client {
    /// Who the bot token is.
    pub async fn auth_test(&self) -> Result<Identity, Error> {
        self.read("auth.test", &[]).await
    }

    /// The address of a new socket: single use, soon stale, and a credential.
    pub async fn connections_open(&self) -> Result<SecretString, Error> {
        const METHOD: &str = "apps.connections.open";
        #[derive(Deserialize)]
        struct Opened {
            url: SecretString,
        }
        let answer: Value = self.write_as_app(METHOD, &json!({})).await?;
        Ok(parse::<Opened>(METHOD, answer)?.url)
    }

    /// Tries both tokens as they will be used; `sockets` says whether the app token is needed at all.
    pub async fn verify(&self, sockets: bool) -> Result<Identity, Error> {
        let identity = self.auth_test().await?;
        if sockets {
            self.connections_open().await?;
        }
        Ok(identity)
    }
}
