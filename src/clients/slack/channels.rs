//! Conversations, asked for by id. Never all of them: listing starves every other call of a large workspace.

use serde::Deserialize;
use serde_json::json;

use super::{answer::parse, error::Error, web::Client};
use crate::domain::ids::{ChannelId, UserId};

/// A channel, a group or a direct message. What Slack leaves out is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Conversation {
    /// Its id.
    pub id: ChannelId,
    /// Its name, where it has one.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether one must be invited to it.
    #[serde(default)]
    pub is_private: Option<bool>,
    /// Whether nobody can post any more.
    #[serde(default)]
    pub is_archived: Option<bool>,
    /// Whether the bot is in it.
    #[serde(default)]
    pub is_member: Option<bool>,
    /// Whether it is a direct message.
    #[serde(default)]
    pub is_im: Option<bool>,
    /// Whether it is a direct message of several.
    #[serde(default)]
    pub is_mpim: Option<bool>,
    /// Whether another organisation reads along.
    #[serde(default)]
    pub is_ext_shared: Option<bool>,
}

#[derive(Deserialize)]
struct Opened {
    channel: OpenedChannel,
}

#[derive(Deserialize)]
struct OpenedChannel {
    id: ChannelId,
}

impl Client {
    /// One conversation.
    pub async fn conversation(&self, channel: &ChannelId) -> Result<Conversation, Error> {
        #[derive(Deserialize)]
        struct Answer {
            channel: Conversation,
        }
        Ok(self
            .read::<Answer>(
                "conversations.info",
                &[("channel", Some(channel.to_string()))],
            )
            .await?
            .channel)
    }

    /// Makes a public channel, with the bot in it.
    pub async fn create_channel(&self, name: &str) -> Result<ChannelId, Error> {
        const METHOD: &str = "conversations.create";
        let answer = self.write(METHOD, &json!({"name": name})).await?;
        Ok(parse::<Opened>(METHOD, answer)?.channel.id)
    }

    /// Says what a channel is about.
    pub async fn set_topic(&self, channel: &ChannelId, topic: &str) -> Result<(), Error> {
        let body = json!({"channel": channel, "topic": topic});
        self.write("conversations.setTopic", &body).await.map(drop)
    }

    /// Brings a person into a channel. Being in it already is fine.
    pub async fn invite(&self, channel: &ChannelId, user: &UserId) -> Result<(), Error> {
        let body = json!({"channel": channel, "users": user});
        match self.write("conversations.invite", &body).await {
            Err(error) if error.code() == Some("already_in_channel") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Joins a public channel. Being in it already is fine with Slack.
    pub async fn join(&self, channel: &ChannelId) -> Result<(), Error> {
        self.write("conversations.join", &json!({"channel": channel}))
            .await
            .map(drop)
    }

    /// The direct message with that person, opened where there is none.
    pub async fn open_dm(&self, user: &UserId) -> Result<ChannelId, Error> {
        const METHOD: &str = "conversations.open";
        let answer = self.write(METHOD, &json!({"users": user})).await?;
        Ok(parse::<Opened>(METHOD, answer)?.channel.id)
    }
}
