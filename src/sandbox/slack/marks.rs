//! Reactions, pins and bookmarks.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    args::{Answer, Args, Refused},
    core::Core,
    state::now,
};

/// The longest name of an emoji.
const EMOJI: usize = 100;
/// How many bookmarks a channel holds.
const BOOKMARKS: usize = 100;

fn channel_and_ts(args: &Args) -> Result<(String, String), Refused> {
    let channel = args
        .word("channel")
        .ok_or(Refused::from("channel_not_found"))?;
    let ts = args
        .word("timestamp")
        .ok_or(Refused::from("no_item_specified"))?;
    Ok((channel, ts))
}

/// `reactions.add`
pub(super) fn react(core: &Arc<Core>, args: &Args) -> Answer {
    let (channel, ts) = channel_and_ts(args)?;
    let name = args.word("name").ok_or(Refused::from("invalid_name"))?;
    if name.contains(':') || name.len() > EMOJI {
        return Err("invalid_name".into());
    }
    core.with(|state| {
        let id = state.joined_channel(&channel)?;
        let bot = state.seed.bot.user_id.clone();
        match state.react(&id, &ts, &name, &bot) {
            None => Err("message_not_found".into()),
            Some(false) => Err("already_reacted".into()),
            Some(true) => Ok(json!({})),
        }
    })
}

/// `reactions.remove`
pub(super) fn unreact(core: &Arc<Core>, args: &Args) -> Answer {
    let (channel, ts) = channel_and_ts(args)?;
    let name = args.word("name").ok_or(Refused::from("invalid_name"))?;
    core.with(|state| {
        let id = state.joined_channel(&channel)?;
        let bot = state.seed.bot.user_id.clone();
        let message = state.channel_mut(&id).and_then(|it| it.message_mut(&ts));
        let message = message.ok_or(Refused::from("message_not_found"))?;
        let known = message
            .reactions
            .iter_mut()
            .find(|known| known.name == name);
        let known = known.filter(|known| known.users.contains(&bot));
        let known = known.ok_or(Refused::from("no_reaction"))?;
        known.users.retain(|user| *user != bot);
        known.count = known.users.len();
        message.reactions.retain(|reaction| reaction.count > 0);
        let message = message.clone();
        state.changed("message_changed", &message);
        Ok(json!({}))
    })
}

/// `pins.add` and `pins.remove`
pub(super) fn pin(core: &Arc<Core>, args: &Args, on: bool) -> Answer {
    let (channel, ts) = channel_and_ts(args)?;
    core.with(|state| {
        let id = state.joined_channel(&channel)?;
        let message = state.channel_mut(&id).and_then(|it| it.message_mut(&ts));
        let message = message.ok_or(Refused::from("message_not_found"))?;
        if message.pinned == on {
            return Err(if on { "already_pinned" } else { "no_pin" }.into());
        }
        message.pinned = on;
        let message = message.clone();
        state.changed("pin", &message);
        Ok(json!({}))
    })
}

/// `pins.list`
pub(super) fn pins(core: &Arc<Core>, args: &Args) -> Answer {
    let channel = args
        .word("channel")
        .ok_or(Refused::from("channel_not_found"))?;
    core.with(|state| {
        let id = state.joined_channel(&channel)?;
        let pinned: Vec<Value> = state
            .channel(&id)
            .into_iter()
            .flat_map(|channel| channel.messages.iter().rev())
            .filter(|message| message.pinned)
            .map(|message| json!({"type": "message", "channel": id, "message": message.for_api(false)}))
            .collect();
        Ok(json!({"items": pinned}))
    })
}

/// `bookmarks.add`
pub(super) fn bookmark(core: &Arc<Core>, args: &Args) -> Answer {
    let channel = args.needed("channel_id")?;
    let title = args.needed("title")?;
    if args.needed("type")? != "link" {
        return Err("invalid_bookmark_type".into());
    }
    let link = args.word("link").ok_or(Refused::from("invalid_link"))?;
    if !link.contains("://") {
        return Err("invalid_link".into());
    }
    core.with(|state| {
        let channel = state.joined_channel(&channel)?;
        let id = state.next_id('B').replacen('B', "Bk", 1);
        let bookmark = json!({
            "id": id, "channel_id": channel, "title": title, "link": link, "type": "link",
            "emoji": args.word("emoji").unwrap_or_default(), "icon_url": null, "entity_id": null,
            "date_created": now(), "date_updated": 0, "rank": "i", "app_id": state.seed.bot.app_id,
        });
        if let Some(channel) = state.channel_mut(&channel) {
            if channel.bookmarks.len() >= BOOKMARKS {
                return Err("too_many_bookmarks".into());
            }
            channel.bookmarks.push(bookmark.clone());
        }
        Ok(json!({"bookmark": bookmark}))
    })
}

/// `bookmarks.list`
pub(super) fn bookmarks(core: &Arc<Core>, args: &Args) -> Answer {
    let channel = args.needed("channel_id")?;
    core.with(|state| {
        let channel = state.joined_channel(&channel)?;
        let bookmarks = state
            .channel(&channel)
            .map(|channel| channel.bookmarks.clone());
        Ok(json!({"bookmarks": bookmarks.unwrap_or_default()}))
    })
}
