//! A message as Slack stores it, and the two faces it shows: to the Web API and to the page.

use serde::Serialize;
use serde_json::{Value, json};

/// One message of a channel, or one that only one person sees.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Message {
    /// Always `message`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `thread_broadcast`, `file_share`, `channel_join`, … where it is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtype: Option<String>,
    /// The channel's id.
    pub channel: String,
    /// Its time and its name: unique in the workspace, and ordered.
    pub ts: String,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which bot wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot_id: Option<String>,
    /// Which app wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// What that bot is called.
    #[serde(skip)]
    pub bot_name: String,
    /// The author's workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The text, escaped as Slack keeps it.
    pub text: String,
    /// Block Kit blocks, each with a `block_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Value>,
    /// Attachments of the old kind, kept as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Value>,
    /// The `ts` of the thread's first message; on that message too, once it has replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// How many replies the thread has; on its first message only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_count: Option<usize>,
    /// How many people replied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_users_count: Option<usize>,
    /// Who replied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_users: Option<Vec<String>>,
    /// The newest reply's `ts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_reply: Option<String>,
    /// Who edited it last, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited: Option<Value>,
    /// The files shared with it, as Slack describes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Value>,
    /// Message metadata, as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// The reactions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// Whether it is pinned to the channel.
    pub pinned: bool,
    /// The only person who sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_to: Option<String>,
}

/// One emoji under a message.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Reaction {
    /// The emoji's name, without colons.
    pub name: String,
    /// Who reacted with it.
    pub users: Vec<String>,
    /// How many.
    pub count: usize,
}

/// A post by the bot, kept also when the message is edited, deleted or pruned: what tells "posted twice".
#[derive(Clone, Debug)]
pub struct Post {
    /// The channel's id.
    pub channel: String,
    /// The message's `ts`.
    pub ts: String,
    /// The thread it went to.
    pub thread_ts: Option<String>,
    /// The text it was posted with.
    pub text: String,
    /// The metadata it was posted with.
    pub metadata: Option<Value>,
}

impl Message {
    /// True for a reply that the channel itself does not show.
    pub fn is_only_in_thread(&self) -> bool {
        self.thread_ts.as_ref().is_some_and(|root| *root != self.ts)
            && self.subtype.as_deref() != Some("thread_broadcast")
    }

    /// The first action of this name in its blocks: the block's id and the element.
    pub fn action(&self, block_id: Option<&str>, action_id: &str) -> Option<(String, Value)> {
        let blocks = self.blocks.as_ref()?.as_array()?;
        blocks.iter().find_map(|block| {
            let id = block["block_id"].as_str().unwrap_or_default();
            if block_id.is_some_and(|wanted| wanted != id) {
                return None;
            }
            let elements = block["elements"].as_array().into_iter().flatten();
            elements
                .chain([&block["accessory"], &block["element"]])
                .find(|element| element["action_id"] == action_id)
                .map(|element| (id.to_owned(), element.clone()))
        })
    }

    /// What `conversations.history` and the like show.
    pub(super) fn for_api(&self, with_metadata: bool) -> Value {
        let mut value = json!(self);
        if let Some(fields) = value.as_object_mut() {
            fields.remove("channel");
            fields.remove("pinned");
            fields.remove("ephemeral_to");
            if !with_metadata {
                fields.remove("metadata");
            }
            if let (Some(bot), Some(app)) = (&self.bot_id, &self.app_id) {
                let profile =
                    json!({"id": bot, "app_id": app, "name": self.bot_name, "deleted": false});
                fields.insert("bot_profile".into(), profile);
            }
        }
        value
    }

    /// What the page shows: all of it, with files on the page's own origin.
    pub(super) fn for_page(&self, origin: &str) -> Value {
        let mut value = json!(self);
        for file in value["files"].as_array_mut().into_iter().flatten() {
            let url = file["url_private"].as_str().unwrap_or_default();
            let path = url.strip_prefix(origin).unwrap_or(url).to_owned();
            file["url_private"] = path.into();
        }
        value
    }
}
