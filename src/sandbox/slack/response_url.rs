//! Posts to a `response_url`: ephemeral unless said otherwise, five times within thirty minutes.

use std::{sync::Arc, time::Instant};

use super::{
    args::Args,
    chat::{self, Content},
    core::Core,
    message::Message,
    state::State,
};

/// Carries out one post; `Err` is the status and the body Slack answers with.
pub(super) fn post(core: &Arc<Core>, id: &str, args: &Args) -> Result<(), (u16, String)> {
    let refuse = |error: &str| (404, format!(r#"{{"ok":false,"error":"{error}"}}"#));
    core.with(|state| {
        let url = state.grants.spend_url(id, Instant::now()).map_err(refuse)?;
        if args.yes("delete_original") {
            if let Some(ts) = &url.original {
                state.forget_ephemeral(ts);
                state.delete(&url.channel, ts);
            }
            return Ok(());
        }
        let content = Content::read(args).and_then(Content::shown);
        let content = content.map_err(|refused| (400, refused.error))?;
        let message = content.into_message(state.by_bot(""));
        let public = args.word("response_type").as_deref() == Some("in_channel");
        if args.yes("replace_original")
            && let Some(ts) = &url.original
            && replace(state, &url.channel, ts, &message)
        {
            return Ok(());
        }
        let root = args.word("thread_ts");
        let root = root.and_then(|ts| chat::root(state, &url.channel, &ts));
        let message = Message {
            thread_ts: root,
            ..message
        };
        let posted = if public {
            state.post(&url.channel, message)
        } else {
            state.whisper(&url.channel, &url.person, message)
        };
        if url.original.is_none() {
            state.grants.original(id, &posted.ts);
        }
        Ok(())
    })
}

/// Puts the new content in the place of the message that was clicked or shown; false when it is gone.
fn replace(state: &mut State, channel: &str, ts: &str, with: &Message) -> bool {
    let edited = serde_json::json!({"user": state.seed.bot.user_id, "ts": state.next_ts()});
    let in_channel = state
        .channel(channel)
        .is_some_and(|it| it.message(ts).is_some());
    let message = if in_channel {
        state.channel_mut(channel).and_then(|it| it.message_mut(ts))
    } else {
        state.ephemeral_mut(ts)
    };
    let Some(message) = message else {
        return false;
    };
    message.text.clone_from(&with.text);
    message.blocks.clone_from(&with.blocks);
    message.edited = Some(edited);
    let message = message.clone();
    state.changed("message_changed", &message);
    true
}
