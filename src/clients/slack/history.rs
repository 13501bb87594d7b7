//! What is to be read in a channel or a thread: how an unknown outcome is cleared up.

use serde::Deserialize;
use serde_json::Value;

use super::{error::Error, web::Client};
use crate::domain::ids::{ChannelId, MessageTs, UserId};

/// How many messages one page holds; Slack recommends no more than 200.
const PAGE: usize = 200;
/// How many pages are read at most: what is older is not ours to look for.
const MOST_PAGES: usize = 10;

/// A message as read back.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// Its id within the channel.
    pub ts: MessageTs,
    /// The thread's root, where it is in a thread.
    #[serde(default)]
    pub thread_ts: Option<MessageTs>,
    /// The metadata it was posted with.
    #[serde(default)]
    pub metadata: Option<Value>,
    /// The files it shows.
    #[serde(default)]
    pub files: Vec<Attached>,
    /// Which bot posted it.
    #[serde(default)]
    pub bot_id: Option<String>,
    /// Who posted it.
    #[serde(default)]
    pub user: Option<UserId>,
    /// Its text.
    #[serde(default)]
    pub text: String,
}

/// A file that a message shows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Attached {
    /// Its id, as given when it was reserved.
    pub id: String,
    /// Its file name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its title.
    #[serde(default)]
    pub title: Option<String>,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct History {
    /// The messages, in the order Slack gives them: a channel newest first, a thread its root first.
    pub messages: Vec<Message>,
    /// Whether that is all there is. What is not found in an incomplete history may still be there.
    pub complete: bool,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    response_metadata: Option<Cursor>,
}

#[derive(Deserialize)]
struct Cursor {
    #[serde(default)]
    next_cursor: String,
}

impl Client {
    /// A channel's messages after `oldest`, newest first, at most `limit`.
    pub async fn history(
        &self,
        channel: &ChannelId,
        oldest: Option<&MessageTs>,
        limit: usize,
    ) -> Result<History, Error> {
        self.pages("conversations.history", channel, None, oldest, limit)
            .await
    }

    /// A thread's messages after `oldest`, its root first, at most `limit`.
    pub async fn replies(
        &self,
        channel: &ChannelId,
        root: &MessageTs,
        oldest: Option<&MessageTs>,
        limit: usize,
    ) -> Result<History, Error> {
        self.pages("conversations.replies", channel, Some(root), oldest, limit)
            .await
    }

    /// One message by its time stamp, wherever in the channel it is; absent where it is gone.
    pub async fn message(
        &self,
        channel: &ChannelId,
        ts: &MessageTs,
    ) -> Result<Option<Message>, Error> {
        // Its thread from that moment to that moment: the message, and the thread's root, which always comes first.
        let query = [
            ("channel", Some(channel.to_string())),
            ("ts", Some(ts.to_string())),
            ("oldest", Some(ts.to_string())),
            ("latest", Some(ts.to_string())),
            ("inclusive", Some("true".to_owned())),
            ("limit", Some("2".to_owned())),
        ];
        let page: Result<Page, Error> = self.read("conversations.replies", &query).await;
        match page {
            Ok(page) => Ok(page.messages.into_iter().find(|message| message.ts == *ts)),
            Err(error) if error.code() == Some("thread_not_found") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pages(
        &self,
        method: &'static str,
        channel: &ChannelId,
        root: Option<&MessageTs>,
        oldest: Option<&MessageTs>,
        limit: usize,
    ) -> Result<History, Error> {
        let mut messages = Vec::new();
        let mut cursor = None;
        for _ in 0..MOST_PAGES {
            let query = [
                ("channel", Some(channel.to_string())),
                ("ts", root.map(ToString::to_string)),
                ("oldest", oldest.map(ToString::to_string)),
                (
                    "limit",
                    Some((limit - messages.len()).min(PAGE).to_string()),
                ),
                ("include_all_metadata", Some("true".to_owned())),
                ("cursor", cursor.take()),
            ];
            let page: Page = self.read(method, &query).await?;
            messages.extend(page.messages);
            let next = page
                .response_metadata
                .map(|meta| meta.next_cursor)
                .filter(|next| !next.is_empty());
            if next.is_none() {
                let complete = !page.has_more && messages.len() <= limit;
                messages.truncate(limit);
                return Ok(History { messages, complete });
            }
            if messages.len() >= limit {
                break;
            }
            cursor = next;
        }
        messages.truncate(limit);
        Ok(History {
            messages,
            complete: false,
        })
    }
}
