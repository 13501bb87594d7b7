//! Messages: posted, edited, shown to one person, reacted to, pinned; and the modal a click opens.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{answer::parse, error::Error, web::Client};
use crate::domain::ids::{ChannelId, MessageTs, UserId};

/// A message to post.
#[derive(Clone, Debug)]
pub struct Post {
    /// Where.
    pub channel: ChannelId,
    /// Under which message.
    pub thread: Option<MessageTs>,
    /// What a notification and a screen reader say.
    pub text: String,
    /// What is seen.
    pub blocks: Option<Value>,
    /// What we read back after an unknown outcome.
    pub metadata: Option<Value>,
    /// Shows a thread's reply in the channel as well.
    pub reply_broadcast: bool,
}

/// A message to edit. Without blocks its old ones are taken away; without metadata its old one stays.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Where.
    pub channel: ChannelId,
    /// Which message.
    pub ts: MessageTs,
    /// What a notification and a screen reader say.
    pub text: String,
    /// What is seen.
    pub blocks: Option<Value>,
    /// What we read back after an unknown outcome.
    pub metadata: Option<Value>,
}

impl Client {
    /// Posts once. On [`super::Outcome::Unknown`] read the place back before posting again.
    pub async fn post(&self, post: &Post) -> Result<MessageTs, Error> {
        const METHOD: &str = "chat.postMessage";
        #[derive(Deserialize)]
        struct Posted {
            ts: MessageTs,
        }
        let mut body = plain(&post.channel, &post.text);
        put(
            &mut body,
            "thread_ts",
            post.thread.as_ref().map(|ts| json!(ts)),
        );
        put(&mut body, "blocks", post.blocks.clone());
        put(&mut body, "metadata", post.metadata.clone());
        put(
            &mut body,
            "reply_broadcast",
            (post.reply_broadcast && post.thread.is_some()).then_some(Value::Bool(true)),
        );
        body.insert("unfurl_links".to_owned(), json!(false));
        body.insert("unfurl_media".to_owned(), json!(false));
        let answer = self.write(METHOD, &body.into()).await?;
        Ok(parse::<Posted>(METHOD, answer)?.ts)
    }

    /// Edits a message of ours. Editing twice to the same leaves the same, so an unknown outcome may simply be repeated.
    pub async fn update(&self, edit: &Edit) -> Result<(), Error> {
        let mut body = plain(&edit.channel, &edit.text);
        put(&mut body, "ts", Some(json!(edit.ts)));
        // Slack keeps the old blocks of a message whose edit names none; an empty list takes them away.
        put(
            &mut body,
            "blocks",
            Some(edit.blocks.clone().unwrap_or_else(|| json!([]))),
        );
        put(&mut body, "metadata", edit.metadata.clone());
        self.write("chat.update", &body.into()).await.map(drop)
    }

    /// Shows a message to one person. It cannot be read back, so after an unknown outcome it is better lost than doubled.
    pub async fn ephemeral(
        &self,
        channel: &ChannelId,
        user: &UserId,
        thread: Option<&MessageTs>,
        text: &str,
        blocks: Option<&Value>,
    ) -> Result<(), Error> {
        let mut body = plain(channel, text);
        put(&mut body, "user", Some(json!(user)));
        put(&mut body, "thread_ts", thread.map(|ts| json!(ts)));
        put(&mut body, "blocks", blocks.cloned());
        self.write("chat.postEphemeral", &body.into())
            .await
            .map(drop)
    }

    /// Answers at a response URL, which Slack takes five times within 30 minutes. Sends no token and logs no address.
    pub async fn respond(&self, response_url: &SecretString, body: &Value) -> Result<(), Error> {
        self.write_to("response_url", response_url, body).await
    }

    /// Pins a message. That it is pinned already counts as done.
    pub async fn pin(&self, channel: &ChannelId, ts: &MessageTs) -> Result<(), Error> {
        done_before(
            self.write("pins.add", &json!({"channel": channel, "timestamp": ts}))
                .await,
            "already_pinned",
        )
    }

    /// Opens a modal. The trigger lives three seconds and works once.
    pub async fn open_view(&self, trigger_id: &str, view: &Value) -> Result<(), Error> {
        self.write(
            "views.open",
            &json!({"trigger_id": trigger_id, "view": view}),
        )
        .await
        .map(drop)
    }
}

/// `parse: none` and `link_names: false`, so that only what the renderer wrote on purpose is a link or a mention.
fn plain(channel: &ChannelId, text: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("channel".to_owned(), json!(channel));
    body.insert("text".to_owned(), json!(text));
    body.insert("parse".to_owned(), json!("none"));
    body.insert("link_names".to_owned(), json!(false));
    body
}

fn put(body: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        body.insert(key.to_owned(), value);
    }
}

fn done_before(answer: Result<Value, Error>, word: &str) -> Result<(), Error> {
    match answer {
        Err(error) if error.code() == Some(word) => Ok(()),
        other => other.map(drop),
    }
}
