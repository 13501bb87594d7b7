//! What people do that is no command: a message marked to be kept, somebody coming into a channel.

use serde_json::Value;

use super::{
    Meaning, Reader, Unheard,
    fields::{channel, needed, person, text},
};
use crate::domain::{
    actor::Actor,
    ids::MessageTs,
    inbound::{Inbound, Mark, Signal},
};

impl Reader<'_> {
    /// Somebody marked a message or came into a channel.
    pub(super) fn happened(&self, payload: &Value, event: &Value) -> Result<Meaning, Unheard> {
        let user = needed(event, "/user", "event.user")?;
        if user == self.identity.user.as_str() {
            return Err(Unheard::FromBot);
        }
        let id = needed(payload, "/event_id", "event_id")?;
        let team = ["/user_team", "/team"]
            .iter()
            .find_map(|at| text(event, at));
        let team = team
            .or_else(|| text(payload, "/team_id"))
            .ok_or(Unheard::Malformed("team_id"))?;
        let who = Actor::person(team, user);
        let signal = match text(event, "/type") {
            Some("member_joined_channel") => Signal::Joined {
                who,
                channel: channel(event, "/channel", "event.channel")?,
            },
            Some("reaction_added") => {
                if text(event, "/item/type") != Some("message") {
                    return Err(Unheard::NotUsed("reaction"));
                }
                let emoji = needed(event, "/reaction", "event.reaction")?;
                Signal::Marked {
                    by: who,
                    channel: channel(event, "/item/channel", "event.item.channel")?,
                    message: MessageTs::new(needed(event, "/item/ts", "event.item.ts")?),
                    how: Mark::Reaction(emoji.to_owned()),
                }
            }
            _ => {
                if text(event, "/item/type") != Some("message") {
                    return Err(Unheard::NotUsed("pin"));
                }
                let ts = needed(event, "/item/message/ts", "event.item.message.ts")?;
                Signal::Marked {
                    by: who,
                    channel: channel(event, "/channel_id", "event.channel_id")
                        .or_else(|_| channel(event, "/item/channel", "event.item.channel"))?,
                    message: MessageTs::new(ts),
                    how: Mark::Pin,
                }
            }
        };
        Ok(self.delivery(format!("slack:event:{id}"), Inbound::Signal(signal)))
    }

    /// The shortcut that keeps a message.
    pub(super) fn kept(&self, payload: &Value) -> Result<Meaning, Unheard> {
        let trigger = needed(payload, "/trigger_id", "trigger_id")?;
        let message = text(payload, "/message_ts")
            .or_else(|| text(payload, "/message/ts"))
            .ok_or(Unheard::Malformed("message_ts"))?;
        let signal = Signal::Marked {
            by: person(payload)?,
            channel: channel(payload, "/channel/id", "channel.id")?,
            message: MessageTs::new(message),
            how: Mark::Shortcut,
        };
        Ok(self.delivery(format!("slack:trigger:{trigger}"), Inbound::Signal(signal)))
    }
}
