//! `conversations.*`: channels, their history, their threads.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    args::{Answer, Args, Refused},
    core::Core,
    message::Message,
    seed::{ChannelSeed, Kind},
    state::{CHANNELS, State},
};

/// How many objects a page of results holds when the call does not say.
const PAGE: usize = 100;
/// How many it holds at most.
const LARGEST_PAGE: usize = 999;
/// The longest topic, in characters.
const TOPIC: usize = 250;

fn shown(state: &State, id: &str) -> Value {
    let bot = &state.seed.bot.user_id;
    let channel = state.channel(id);
    channel.map_or(Value::Null, |channel| {
        channel.for_api(&state.seed.team_id, bot)
    })
}

fn channel_arg(args: &Args) -> Result<String, Refused> {
    args.word("channel")
        .ok_or(Refused::from("channel_not_found"))
}

/// `conversations.info`
pub(super) fn info(core: &Arc<Core>, args: &Args) -> Answer {
    let which = channel_arg(args)?;
    core.with(|state| {
        let id = state.channel_of_bot(&which)?;
        Ok(json!({"channel": shown(state, &id)}))
    })
}

/// `conversations.list`
pub(super) fn list(core: &Arc<Core>, args: &Args) -> Answer {
    let types = args.list("types");
    let wants = |kind: &str| types.iter().any(|wanted| wanted == kind);
    core.with(|state| {
        let bot = &state.seed.bot.user_id;
        let channels: Vec<Value> = state
            .channels
            .iter()
            .filter(|channel| match (&channel.im_with, channel.is_private) {
                (Some(_), _) => wants("im"),
                (None, true) => wants("private_channel") && channel.has(bot),
                (None, false) => types.is_empty() || wants("public_channel"),
            })
            .filter(|channel| !(args.yes("exclude_archived") && channel.is_archived))
            .map(|channel| channel.for_api(&state.seed.team_id, bot))
            .collect();
        page(args, channels, "channels")
    })
}

/// `conversations.members`
pub(super) fn members(core: &Arc<Core>, args: &Args) -> Answer {
    let which = channel_arg(args)?;
    core.with(|state| {
        let id = state.channel_of_bot(&which)?;
        let members = state.channel(&id).map(|channel| channel.members.clone());
        let members = members.unwrap_or_default();
        page(
            args,
            members.into_iter().map(Value::from).collect(),
            "members",
        )
    })
}

/// One page of a list whose cursor counts.
fn page(args: &Args, all: Vec<Value>, name: &str) -> Answer {
    let from = match args.word("cursor") {
        Some(cursor) => cursor_of(&cursor)?.parse().map_err(|_| "invalid_cursor")?,
        None => 0_usize,
    };
    let limit = args.number("limit").unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let end = from + limit;
    let cursor = if end < all.len() {
        BASE64_STANDARD.encode(end.to_string())
    } else {
        String::new()
    };
    let items: Vec<Value> = all.into_iter().skip(from).take(limit).collect();
    Ok(json!({name: items, "response_metadata": {"next_cursor": cursor}}))
}

fn cursor_of(cursor: &str) -> Result<String, Refused> {
    let bytes = BASE64_STANDARD.decode(cursor).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(Refused::from("invalid_cursor"))
}

/// `conversations.history`, newest first.
pub(super) fn history(core: &Arc<Core>, args: &Args) -> Answer {
    let which = channel_arg(args)?;
    core.with(|state| {
        let id = state.joined_channel(&which)?;
        let messages: Vec<Message> = state
            .channel(&id)
            .into_iter()
            .flat_map(|channel| channel.messages.iter().rev())
            .filter(|message| !message.is_only_in_thread())
            .cloned()
            .collect();
        let pins = messages.iter().filter(|message| message.pinned).count();
        let mut answer = window(args, &messages, true)?;
        answer["pin_count"] = pins.into();
        Ok(answer)
    })
}

/// `conversations.replies`, oldest first, the thread's first message before them.
pub(super) fn replies(core: &Arc<Core>, args: &Args) -> Answer {
    let which = channel_arg(args)?;
    let ts = args.needed("ts")?;
    core.with(|state| {
        let id = state.joined_channel(&which)?;
        let root = super::chat::root(state, &id, &ts).ok_or(Refused::from("thread_not_found"))?;
        let messages: Vec<Message> = state
            .channel(&id)
            .into_iter()
            .flat_map(|channel| channel.messages.iter())
            .filter(|message| message.ts == root || message.thread_ts.as_ref() == Some(&root))
            .cloned()
            .collect();
        window(args, &messages, false)
    })
}

/// The messages between `oldest` and `latest`, one page of them. The cursor names the last message shown.
fn window(args: &Args, messages: &[Message], newest_first: bool) -> Answer {
    let (oldest, latest) = (args.word("oldest"), args.word("latest"));
    let inclusive = args.yes("inclusive");
    let after = |ts: &str, bound: &str| sortable(ts) > sortable(bound);
    let same = |ts: &str, bound: &str| sortable(ts) == sortable(bound);
    let inside = |ts: &str| {
        let late = oldest.as_deref().is_none_or(|oldest| {
            oldest == "0" || after(ts, oldest) || (inclusive && same(ts, oldest))
        });
        let early = latest
            .as_deref()
            .is_none_or(|latest| after(latest, ts) || (inclusive && same(ts, latest)));
        late && early
    };
    let last_shown = args
        .word("cursor")
        .map(|cursor| cursor_of(&cursor))
        .transpose()?;
    let beyond = |ts: &str| {
        last_shown.as_deref().is_none_or(|last| {
            if newest_first {
                after(last, ts)
            } else {
                after(ts, last)
            }
        })
    };
    let limit = args.number("limit").unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let mut left = messages
        .iter()
        // A thread's first message comes with every window of its replies, as in Slack; a cursor passes it.
        .filter(|message| {
            let root = !newest_first && message.thread_ts.as_ref() == Some(&message.ts);
            (root || inside(&message.ts)) && beyond(&message.ts)
        });
    let shown: Vec<&Message> = left.by_ref().take(limit).collect();
    let has_more = left.next().is_some();
    let with_metadata = args.yes("include_all_metadata");
    let mut answer = json!({
        "messages": shown.iter().map(|message| message.for_api(with_metadata)).collect::<Vec<_>>(),
        "has_more": has_more,
    });
    if has_more && let Some(last) = shown.last() {
        answer["response_metadata"] = json!({"next_cursor": BASE64_STANDARD.encode(&last.ts)});
    }
    Ok(answer)
}

/// A timestamp that sorts as its time does, whatever its number of digits.
fn sortable(ts: &str) -> (u64, u64) {
    let (seconds, micros) = ts.split_once('.').unwrap_or((ts, "0"));
    let micros = format!("{micros:0<6}");
    (seconds.parse().unwrap_or(0), micros.parse().unwrap_or(0))
}

/// `conversations.open`
pub(super) fn open(core: &Arc<Core>, args: &Args) -> Answer {
    core.with(|state| {
        let id = match (args.word("channel"), args.list("users").as_slice()) {
            (Some(channel), _) => state.channel_of_bot(&channel)?,
            (None, [user]) => {
                if state.person(user).is_none() {
                    return Err("user_not_found".into());
                }
                state.direct_message(user)
            }
            (None, []) => return Err("users_list_not_supplied".into()),
            (None, _) => return Err("not_supported_in_sandbox".into()),
        };
        let full = args.yes("return_im");
        let channel = if full {
            shown(state, &id)
        } else {
            json!({"id": id, "created": state.channel(&id).map(|channel| channel.created)})
        };
        Ok(json!({"channel": channel, "no_op": false, "already_open": false}))
    })
}

/// `conversations.join`
pub(super) fn join(core: &Arc<Core>, args: &Args) -> Answer {
    let which = channel_arg(args)?;
    core.with(|state| {
        let id = state.channel_of_bot(&which)?;
        let bot = state.seed.bot.user_id.clone();
        let (was_in, archived) = state.channel(&id).map_or((false, false), |channel| {
            (channel.has(&bot), channel.is_archived)
        });
        if archived {
            return Err("is_archived".into());
        }
        state.join(&id, &bot, None);
        let mut answer = json!({"channel": shown(state, &id)});
        if was_in {
            answer["warning"] = "already_in_channel".into();
            answer["response_metadata"] = json!({"warnings": ["already_in_channel"]});
        }
        Ok(answer)
    })
}

/// `conversations.create`
pub(super) fn create(core: &Arc<Core>, args: &Args) -> Answer {
    let name = args
        .word("name")
        .ok_or(Refused::from("invalid_name_required"))?;
    if name.chars().count() > 80 {
        return Err("invalid_name_maxlength".into());
    }
    let plain = |c: char| c.is_lowercase() || c.is_numeric() || c == '-' || c == '_';
    if !name.chars().all(plain) {
        return Err("invalid_name_specials".into());
    }
    core.with(|state| {
        if state.channels.iter().any(|channel| channel.name == name) {
            return Err("name_taken".into());
        }
        if state.channels.len() >= CHANNELS {
            return Err("restricted_action".into());
        }
        let bot = state.seed.bot.user_id.clone();
        let id = state.next_id('C');
        let seed = ChannelSeed {
            id: id.clone(),
            name: name.clone(),
            topic: String::new(),
            is_private: args.yes("is_private"),
            is_archived: false,
            is_ext_shared: false,
            members: vec![bot],
        };
        state.add_channel(seed, None);
        Ok(json!({"channel": shown(state, &id)}))
    })
}

/// `conversations.invite`
pub(super) fn invite(core: &Arc<Core>, args: &Args) -> Answer {
    let which = channel_arg(args)?;
    let users = args.list("users");
    if users.is_empty() {
        return Err("no_user".into());
    }
    core.with(|state| {
        let id = state.joined_channel(&which)?;
        let bot = state.seed.bot.user_id.clone();
        if state
            .channel(&id)
            .is_some_and(|channel| channel.is_archived)
        {
            return Err("is_archived".into());
        }
        for user in &users {
            if *user == bot {
                return Err("cant_invite_self".into());
            }
            match state.person(user) {
                None => return Err("user_not_found".into()),
                Some(person) if person.kind == Kind::Deleted => return Err("cant_invite".into()),
                Some(_) => {}
            }
            if state.channel(&id).is_some_and(|channel| channel.has(user)) {
                return Err("already_in_channel".into());
            }
        }
        for user in &users {
            state.join(&id, user, Some(&bot));
        }
        Ok(json!({"channel": shown(state, &id)}))
    })
}

/// `conversations.archive`
pub(super) fn archive(core: &Arc<Core>, args: &Args) -> Answer {
    let which = channel_arg(args)?;
    core.with(|state| {
        let id = state.joined_channel(&which)?;
        match state.channel(&id) {
            Some(channel) if channel.is_archived => return Err("already_archived".into()),
            Some(channel) if channel.name == "general" => return Err("cant_archive_general".into()),
            _ => {}
        }
        let bot = state.seed.bot.user_id.clone();
        state.archive(&id, &bot);
        Ok(json!({}))
    })
}

/// `conversations.setTopic` and `.setPurpose`
pub(super) fn describe(core: &Arc<Core>, args: &Args, what: &str) -> Answer {
    let which = channel_arg(args)?;
    let value = args.word(what).unwrap_or_default();
    if value.chars().count() > TOPIC {
        return Err("too_long".into());
    }
    core.with(|state| {
        let id = state.joined_channel(&which)?;
        if let Some(channel) = state.channel_mut(&id) {
            if channel.is_archived {
                return Err("is_archived".into());
            }
            if what == "topic" {
                channel.topic.clone_from(&value);
            } else {
                channel.purpose.clone_from(&value);
            }
        }
        state.channel_changed(&id);
        Ok(json!({"channel": shown(state, &id), what: value}))
    })
}
