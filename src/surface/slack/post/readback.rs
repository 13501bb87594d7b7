//! After an unknown outcome: is it there? Looked for by what every message of ours carries, never by what it says.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tracing::debug;

use super::courier::Courier;
use crate::{
    clients::slack::{Error, History, Message},
    domain::{
        ids::{ChannelId, MessageTs},
        message::{Due, MessageKey},
    },
    render::slack::EVENT_TYPE,
};

/// How much earlier than it was asked for something is looked for: clocks differ.
const EARLIER: Duration = Duration::from_mins(5);
/// How many messages are looked through.
const MOST_MESSAGES: usize = 1_000;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There, showing the wish of that number.
    There {
        /// Its time stamp.
        ts: MessageTs,
        /// Its wish's number.
        seq: u64,
    },
    /// Surely not there.
    Nowhere,
    /// Not among what could be looked through.
    Unsure,
}

impl Courier {
    /// Looks for the message of this wish.
    pub(super) async fn find(
        &self,
        due: &Due,
        channel: &ChannelId,
        thread: Option<&MessageTs>,
    ) -> Result<Found, Error> {
        let history = self.look(due.about.at, channel, thread).await?;
        let mut complete = history.complete;
        let mut found = self.pick(&history.messages, due);
        if found.is_none() && thread.is_some() {
            // A reply whose root is gone was posted to the channel itself.
            let above = self.look(due.about.at, channel, None).await?;
            complete &= above.complete;
            found = self.pick(&above.messages, due);
        }
        Ok(match found {
            Some((ts, seq)) => Found::There { ts, seq },
            None if complete => Found::Nowhere,
            None => Found::Unsure,
        })
    }

    /// Whether a file of ours of that title is there.
    pub(super) async fn find_file(
        &self,
        at: Timestamp,
        channel: &ChannelId,
        thread: Option<&MessageTs>,
        title: &str,
    ) -> Result<bool, Error> {
        let history = self.look(at, channel, thread).await?;
        Ok(history.messages.iter().any(|message| {
            let titled =
                |file: &crate::clients::slack::Attached| file.title.as_deref() == Some(title);
            self.is_ours(message) && message.files.iter().any(titled)
        }))
    }

    fn pick(&self, messages: &[Message], due: &Due) -> Option<(MessageTs, u64)> {
        messages
            .iter()
            .filter(|message| self.is_ours(message) && Some(&message.ts) != due.posted.as_ref())
            .filter_map(|message| {
                let seq = seq_of(message.metadata.as_ref()?, &due.key)?;
                Some((message.ts.clone(), seq))
            })
            .min()
    }

    fn is_ours(&self, message: &Message) -> bool {
        let bot = self.identity.bot_id.as_ref();
        message.user.as_ref() == Some(&self.identity.user)
            || (bot.is_some() && message.bot_id.as_ref() == bot)
    }

    async fn look(
        &self,
        at: Timestamp,
        channel: &ChannelId,
        thread: Option<&MessageTs>,
    ) -> Result<History, Error> {
        match self.look_once(at, channel, thread).await {
            Err(error) if error.code() == Some("not_in_channel") => {
                self.client.join(channel).await?;
                self.look_once(at, channel, thread).await
            }
            // Where there is no channel or thread, there is no message in it either.
            Err(error) if is_no_place(&error) => {
                debug!("nothing to read back: {error}");
                Ok(History {
                    messages: Vec::new(),
                    complete: true,
                })
            }
            other => other,
        }
    }

    async fn look_once(
        &self,
        at: Timestamp,
        channel: &ChannelId,
        thread: Option<&MessageTs>,
    ) -> Result<History, Error> {
        let oldest = since(at);
        match thread {
            Some(root) => {
                self.client
                    .replies(channel, root, Some(&oldest), MOST_MESSAGES)
                    .await
            }
            None => {
                self.client
                    .history(channel, Some(&oldest), MOST_MESSAGES)
                    .await
            }
        }
    }
}

fn is_no_place(error: &Error) -> bool {
    matches!(
        error.code(),
        Some("channel_not_found" | "thread_not_found" | "message_not_found")
    )
}

/// A little before that moment, as Slack writes time stamps.
fn since(at: Timestamp) -> MessageTs {
    let from = at.saturating_sub(EARLIER).unwrap_or(at);
    MessageTs::new(format!(
        "{}.{:06}",
        from.as_second().max(0),
        from.subsec_microsecond().max(0)
    ))
}

/// The number of the wish that a message with this metadata shows, where it is the message of that key.
fn seq_of(metadata: &Value, key: &MessageKey) -> Option<u64> {
    let payload = metadata.get("event_payload")?;
    let ours = metadata.get("event_type")?.as_str() == Some(EVENT_TYPE)
        && payload.get("key")?.as_str() == Some(key.0.as_str());
    ours.then(|| payload.get("seq").and_then(Value::as_u64).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_message_of_that_key_is_ours() {
        let metadata = |kind: &str, key: &str| json!({"event_type": kind, "event_payload": {"key": key, "seq": 3}});
        let key = MessageKey("op-1".to_owned());
        assert_eq!(seq_of(&metadata(EVENT_TYPE, "op-1"), &key), Some(3));
        assert_eq!(seq_of(&metadata(EVENT_TYPE, "op-17"), &key), None);
        assert_eq!(seq_of(&metadata("something_else", "op-1"), &key), None);
        assert_eq!(seq_of(&json!({}), &key), None);
    }

    #[test]
    fn it_is_looked_for_from_a_little_before_it_was_asked_for() {
        let at: Timestamp = "2026-11-23T03:04:05.000006Z".parse().unwrap();
        assert_eq!(since(at).as_str(), "1795402745.000006");
    }
}
