//! Files, the only way left to upload one: ask for a URL, post the bytes there, complete and share.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use serde_json::{Value, json};

use super::{
    args::{Answer, Args, Refused},
    chat,
    core::Core,
    delivery::percent,
    message::Message,
    state::{File, State, now},
};

/// The largest file taken.
pub(super) const LARGEST: usize = 32 << 20;
/// How much later than the answer the share appears: in Slack, too, it is not there yet when the call returns.
const SHARED_AFTER: Duration = Duration::from_millis(50);
/// How many lines of a file a message shows.
const PREVIEW: usize = 20;

/// `files.getUploadURLExternal`
pub(super) fn upload_url(core: &Arc<Core>, args: &Args) -> Answer {
    let name = args.needed("filename")?;
    let length = args.number("length").filter(|length| *length > 0);
    let length = length.ok_or(Refused::from("invalid_arguments"))?;
    if length > LARGEST {
        return Err("file_upload_size_restricted".into());
    }
    core.with(|state| {
        let id = state.next_id('F');
        state.keep_file(File {
            id: id.clone(),
            title: name.clone(),
            name,
            snippet_type: args.word("snippet_type"),
            length,
            bytes: None,
            shared: false,
            created: now(),
        });
        let url = format!("{}/upload/v1/{id}", core.origin);
        Ok(json!({"upload_url": url, "file_id": id}))
    })
}

/// The bytes arrive. Says what to answer: Slack's `OK - 12`, or why not.
pub(super) fn take(core: &Arc<Core>, id: &str, bytes: Bytes) -> Result<String, &'static str> {
    core.with(|state| {
        let file = state.files.iter_mut().find(|file| file.id == id);
        let file = file.filter(|file| !file.shared).ok_or("file_not_found")?;
        if bytes.len() != file.length {
            return Err("length_mismatch");
        }
        let said = format!("OK - {}", bytes.len());
        file.bytes = Some(bytes);
        Ok(said)
    })
}

/// `files.completeUploadExternal`
pub(super) fn complete(core: &Arc<Core>, args: &Args) -> Answer {
    let files = args.shape("files").ok().flatten();
    let files = files.and_then(|files| files.as_array().cloned());
    let files = files.filter(|files| !files.is_empty());
    let files = files.ok_or(Refused::from("invalid_arguments"))?;
    let mut channels = args.list("channels");
    channels.extend(args.word("channel_id"));
    let content = chat::Content::read(args)?;
    let (shown, targets) = core.with(|state| {
        let mut targets = Vec::new();
        for channel in &channels {
            let id = state.joined_channel(channel)?;
            if state
                .channel(&id)
                .is_some_and(|channel| channel.is_archived)
            {
                return Err("is_archived".into());
            }
            targets.push(id);
        }
        let mut shown = Vec::new();
        for wanted in &files {
            let id = wanted["id"].as_str().unwrap_or_default();
            let file = state.files.iter_mut().find(|file| file.id == id);
            let file = file.filter(|file| file.bytes.is_some() && !file.shared);
            let file = file.ok_or(Refused::from("file_not_found"))?;
            if let Some(title) = wanted["title"].as_str() {
                file.title = title.into();
            }
            file.shared = true;
            let file = file.clone();
            shown.push(describe(core, state, &file));
        }
        Ok::<_, Refused>((shown, targets))
    })?;
    let (core, files) = (core.clone(), shown.clone());
    // A comment beats blocks, as in Slack.
    let comment = args.word("initial_comment");
    let blocks = content.blocks.filter(|_| comment.is_none());
    let thread = args.word("thread_ts");
    tokio::spawn(async move {
        tokio::time::sleep(SHARED_AFTER).await;
        core.with(|state| {
            for channel in targets {
                let root = thread
                    .as_deref()
                    .and_then(|ts| chat::root(state, &channel, ts));
                let message = Message {
                    subtype: Some("file_share".into()),
                    files: files.clone(),
                    blocks: blocks.clone(),
                    thread_ts: root,
                    ..state.by_bot(comment.as_deref().unwrap_or_default())
                };
                state.post(&channel, message);
            }
        });
    });
    Ok(json!({"files": shown}))
}

/// `files.info`
pub(super) fn info(core: &Arc<Core>, args: &Args) -> Answer {
    let id = args.word("file").ok_or(Refused::from("file_not_found"))?;
    core.with(|state| {
        let file = state.files.iter().find(|file| file.id == id && file.shared);
        let file = file.ok_or(Refused::from("file_not_found"))?.clone();
        let content = file.bytes.as_deref().map(String::from_utf8_lossy);
        Ok(json!({"file": describe(core, state, &file), "content": content}))
    })
}

fn describe(core: &Core, state: &State, file: &File) -> Value {
    let bytes = file.bytes.as_deref().unwrap_or_default();
    let text = str::from_utf8(bytes).ok();
    let extension = file
        .name
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    let filetype = file
        .snippet_type
        .clone()
        .unwrap_or_else(|| match (text, extension) {
            (None, _) => "binary".into(),
            (Some(_), "") => "text".into(),
            (Some(_), extension) => extension.to_lowercase(),
        });
    let mimetype = if text.is_some() {
        "text/plain"
    } else {
        "application/octet-stream"
    };
    let preview = text.map(|text| {
        let lines: Vec<&str> = text.lines().take(PREVIEW).collect();
        lines.join("\n")
    });
    let url = format!(
        "{}/sandbox/files/{}/{}",
        core.origin,
        file.id,
        percent(&file.name)
    );
    json!({
        "id": file.id, "created": file.created, "timestamp": file.created, "name": file.name,
        "title": file.title, "mimetype": mimetype, "filetype": filetype, "pretty_type": "Plain Text",
        "user": state.seed.bot.user_id, "editable": text.is_some(), "size": bytes.len(),
        "mode": if text.is_some() { "snippet" } else { "hosted" }, "is_external": false, "is_public": true,
        "public_url_shared": false, "display_as_bot": false, "username": "", "url_private": url,
        "url_private_download": url, "permalink": url, "preview": preview,
        "lines": text.map_or(0, |text| text.lines().count()),
    })
}
