//! A channel of its own for an incident: made before the incident is recorded, or said why not.

use tracing::{info, warn};

use super::Pipeline;
use crate::domain::{
    ids::{ChannelId, UserId},
    outcome::OpenAt,
};

/// Longest topic that Slack takes, in characters.
const TOPIC: usize = 250;

impl Pipeline {
    /// Makes the channel, sets its topic and invites the asker. Where Slack does not make it, the incident gets a card where it
    /// was asked for, and a sentence why: an incident is never refused for want of a channel.
    pub(super) async fn make_channel(
        &self,
        name: &str,
        otherwise: Option<ChannelId>,
        asker: Option<&UserId>,
        title: &str,
    ) -> (OpenAt, Option<String>) {
        let card = otherwise.map_or(OpenAt::Nowhere, OpenAt::CardIn);
        let Some(slack) = &self.parts.clients.slack else {
            let why = "A new channel can only be made from Slack; the incident is a card instead.";
            return (card, Some(why.to_owned()));
        };
        let channel = match slack.create_channel(name).await {
            Ok(channel) => channel,
            Err(error) => {
                info!(channel = name, "cannot be made: {error}");
                let why = format!(
                    "#{name} could not be made, so the incident is this card. {}",
                    error.advice()
                );
                return (card, Some(why));
            }
        };
        let topic: String = title.chars().take(TOPIC).collect();
        if let Err(error) = slack.set_topic(&channel, &topic).await {
            warn!(channel = name, "has no topic: {error}");
        }
        let mut remark = None;
        if let Some(user) = asker
            && let Err(error) = slack.invite(&channel, user).await
        {
            warn!(channel = name, "nobody could be invited: {error}");
            remark = Some(format!(
                "You could not be invited to #{name}; join it yourself. {}",
                error.advice()
            ));
        }
        (OpenAt::Channel(channel), remark)
    }
}
