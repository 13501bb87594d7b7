//! `chat.*`: posting, editing, deleting.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};

use super::{
    args::{Answer, Args, Refused},
    blocks::{Place, admit},
    core::Core,
    message::Message,
    state::State,
};

/// The longest `text` of a post, in characters.
const POST_TEXT: usize = 40_000;
/// The longest `text` of an edit, in bytes: what Slack was seen to take, less than it documents.
const EDIT_TEXT: usize = 4_000;
/// The largest metadata, in bytes of JSON.
const METADATA: usize = 16_384;

/// What a message is to hold.
pub(super) struct Content {
    pub(super) text: Option<String>,
    pub(super) blocks: Option<Value>,
    pub(super) attachments: Option<Value>,
    pub(super) metadata: Option<Value>,
}

impl Content {
    /// Reads and checks it.
    pub(super) fn read(args: &Args) -> Result<Content, Refused> {
        let bad_blocks = |()| Refused::from("invalid_blocks_format");
        let mut blocks = args.shape("blocks").map_err(bad_blocks)?;
        let mut text = args.word("text");
        if let Some(markdown) = args.word("markdown_text") {
            if text.is_some() || blocks.is_some() {
                return Err("markdown_text_conflict".into());
            }
            blocks = Some(json!([{"type": "markdown", "text": markdown}]));
            text = Some(markdown);
        }
        if let Some(blocks) = &mut blocks {
            admit(blocks, Place::Message)?;
        }
        let attachments = args
            .shape("attachments")
            .map_err(|()| Refused::from("invalid_attachments"))?;
        let metadata = args
            .shape("metadata")
            .map_err(|()| Refused::from("invalid_metadata_format"))?;
        if let Some(metadata) = &metadata {
            check_metadata(metadata)?;
        }
        Ok(Content {
            text,
            blocks,
            attachments,
            metadata,
        })
    }

    /// Something to show there must be.
    pub(super) fn shown(self) -> Result<Content, Refused> {
        let some = |list: &Option<Value>| {
            let items = list.as_ref().and_then(Value::as_array);
            items.is_some_and(|items| !items.is_empty())
        };
        if self.text.is_none() && !some(&self.blocks) && !some(&self.attachments) {
            return Err("no_text".into());
        }
        let length = self.text.as_ref().map_or(0, |text| text.chars().count());
        if length > POST_TEXT {
            return Err("msg_too_long".into());
        }
        Ok(self)
    }

    /// Puts it into a message.
    pub(super) fn into_message(self, message: Message) -> Message {
        let fallback = || "This content can't be displayed.".to_owned();
        Message {
            text: self.text.unwrap_or_else(fallback),
            blocks: self.blocks.filter(is_filled),
            attachments: self.attachments.filter(is_filled),
            metadata: self.metadata.filter(is_filled),
            ..message
        }
    }
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn check_metadata(metadata: &Value) -> Result<(), Refused> {
    if metadata.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(());
    }
    if !metadata["event_type"].is_string() || !metadata["event_payload"].is_object() {
        return Err("invalid_metadata_format".into());
    }
    if metadata.to_string().len() > METADATA {
        return Err("metadata_too_large".into());
    }
    Ok(())
}

/// The channel to write to: known to the bot, open, and either public or joined.
fn writable(state: &mut State, which: &str) -> Result<String, Refused> {
    let id = state.channel_of_bot(which)?;
    let public = state
        .seed
        .bot
        .scopes
        .iter()
        .any(|scope| scope == "chat:write.public");
    let bot = state.seed.bot.user_id.clone();
    match state.channel(&id) {
        Some(channel) if channel.is_archived => Err("is_archived".into()),
        Some(channel) if !channel.has(&bot) && !public => Err("not_in_channel".into()),
        _ => Ok(id),
    }
}

/// The first message of the thread that this message is in.
pub(super) fn root(state: &State, channel: &str, ts: &str) -> Option<String> {
    let message = state.channel(channel)?.message(ts)?;
    let root = message.thread_ts.clone();
    Some(root.unwrap_or_else(|| message.ts.clone()))
}

/// `chat.postMessage`
pub(super) fn post_message(core: &Arc<Core>, args: &Args) -> Answer {
    let which = args
        .word("channel")
        .ok_or(Refused::from("channel_not_found"))?;
    let content = Content::read(args).and_then(Content::shown);
    core.with(|state| {
        let channel_id = writable(state, &which)?;
        if let Some(rate) = state.seed.post_rate
            && let Some(channel) = state.channel_mut(&channel_id)
        {
            channel
                .admit(rate, Instant::now())
                .map_err(Refused::rate_limited)?;
        }
        let mut message = content?.into_message(state.by_bot(""));
        if let Some(ts) = args.word("thread_ts") {
            let root = root(state, &channel_id, &ts).ok_or(Refused::from("thread_not_found"))?;
            message.thread_ts = Some(root);
            if args.yes("reply_broadcast") {
                message.subtype = Some("thread_broadcast".into());
            }
        }
        let message = state.post(&channel_id, message);
        Ok(json!({"channel": channel_id, "ts": message.ts, "message": message.for_api(true)}))
    })
}

/// `chat.postEphemeral`
pub(super) fn post_ephemeral(core: &Arc<Core>, args: &Args) -> Answer {
    let which = args
        .word("channel")
        .ok_or(Refused::from("channel_not_found"))?;
    let person = args.needed("user")?;
    let content = Content::read(args).and_then(Content::shown);
    core.with(|state| {
        let channel_id = writable(state, &which)?;
        let bot = state.seed.bot.user_id.clone();
        let channel = state.channel(&channel_id);
        if channel.is_some_and(|channel| !channel.has(&bot)) {
            return Err("not_in_channel".into());
        }
        if channel.is_none_or(|channel| !channel.has(&person)) {
            return Err("user_not_in_channel".into());
        }
        let mut message = content?.into_message(state.by_bot(""));
        message.thread_ts = args
            .word("thread_ts")
            .and_then(|ts| root(state, &channel_id, &ts));
        let message = state.whisper(&channel_id, &person, message);
        Ok(json!({"message_ts": message.ts}))
    })
}

/// `chat.update`. Text without blocks takes the blocks away, blocks without text leave the text; metadata left out stays, and an
/// empty object takes it away. As in Slack, only an edit of the text is marked as one.
pub(super) fn update(core: &Arc<Core>, args: &Args) -> Answer {
    let which = args
        .word("channel")
        .ok_or(Refused::from("channel_not_found"))?;
    let ts = args.needed("ts")?;
    let content = Content::read(args)?;
    if content.text.is_none() && content.blocks.is_none() && content.attachments.is_none() {
        return Err("no_text".into());
    }
    if content
        .text
        .as_ref()
        .is_some_and(|text| text.len() > EDIT_TEXT)
    {
        return Err("msg_too_long".into());
    }
    core.with(|state| {
        let channel_id = writable(state, &which)?;
        let bot = state.seed.bot.user_id.clone();
        let edited = json!({"user": bot, "ts": state.next_ts()});
        let message = state
            .channel_mut(&channel_id)
            .and_then(|channel| channel.message_mut(&ts))
            .ok_or(Refused::from("message_not_found"))?;
        if message.user.as_ref() != Some(&bot) || message.subtype.as_deref() == Some("tombstone") {
            return Err("cant_update_message".into());
        }
        if content
            .blocks
            .as_ref()
            .is_none_or(|blocks| !is_filled(blocks))
        {
            message.edited = Some(edited);
        }
        if content.text.is_some() || content.blocks.is_some() {
            message.blocks = content.blocks.filter(is_filled);
        }
        if let Some(text) = content.text {
            message.text = text;
        }
        if let Some(attachments) = content.attachments {
            message.attachments = Some(attachments).filter(is_filled);
        }
        if let Some(metadata) = content.metadata {
            message.metadata = Some(metadata).filter(is_filled);
        }
        let message = message.clone();
        state.changed("message_changed", &message);
        Ok(json!({
            "channel": channel_id, "ts": ts, "text": message.text, "message": message.for_api(true),
        }))
    })
}

/// `chat.delete`
pub(super) fn delete(core: &Arc<Core>, args: &Args) -> Answer {
    let which = args
        .word("channel")
        .ok_or(Refused::from("channel_not_found"))?;
    let ts = args.needed("ts")?;
    core.with(|state| {
        let channel_id = state.channel_of_bot(&which)?;
        let bot = state.seed.bot.user_id.clone();
        let message = state
            .channel(&channel_id)
            .and_then(|channel| channel.message(&ts));
        let message = message.ok_or(Refused::from("message_not_found"))?;
        if message.user.as_ref() != Some(&bot) {
            return Err("cant_delete_message".into());
        }
        state.delete(&channel_id, &ts);
        Ok(json!({"channel": channel_id, "ts": ts}))
    })
}

/// `chat.getPermalink`. The link leads to the page, so that it can be followed.
pub(super) fn permalink(core: &Arc<Core>, args: &Args) -> Answer {
    let which = args
        .word("channel")
        .ok_or(Refused::from("channel_not_found"))?;
    let ts = args.needed("message_ts")?;
    core.with(|state| {
        let channel_id = state.channel_of_bot(&which)?;
        let message = state
            .channel(&channel_id)
            .and_then(|channel| channel.message(&ts));
        let message = message.ok_or(Refused::from("message_not_found"))?;
        let name = ts.replace('.', "");
        let thread = message
            .thread_ts
            .as_ref()
            .filter(|root| **root != ts)
            .map(|root| format!("?thread_ts={root}&cid={channel_id}"))
            .unwrap_or_default();
        let link = format!("{}/archives/{channel_id}/p{name}{thread}", core.origin);
        Ok(json!({"channel": channel_id, "permalink": link}))
    })
}
