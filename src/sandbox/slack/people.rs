//! What people type: messages, mentions, slash commands. A command waits for its ack as Slack's client does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    args::Refused,
    chat,
    core::Core,
    delivery::{self, Acked, Kind},
    grants::ResponseUrl,
    message::Message,
    state::State,
    typing::{Typing, encode},
};

/// What became of something a person typed.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// What it was.
    pub kind: TypedAs,
    /// The payload of the app's ack, if there was one in it.
    pub ack: Option<Value>,
    /// How long the ack took; `None` when there was none in time, or none was due.
    pub took: Option<Duration>,
    /// Slack's word for what went wrong, as the person saw it.
    pub error: Option<String>,
    /// The `trigger_id` it was delivered with.
    pub trigger_id: Option<String>,
    /// The message's `ts`, where it was one.
    pub ts: Option<String>,
}

/// How Slack took what was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedAs {
    /// A slash command.
    Slash,
    /// A message.
    Message,
    /// A message that mentions the bot.
    Mention,
}

impl TypedAs {
    /// The word the page uses.
    pub fn word(self) -> &'static str {
        match self {
            TypedAs::Slash => "slash",
            TypedAs::Message => "message",
            TypedAs::Mention => "mention",
        }
    }
}

impl Typed {
    fn refused(kind: TypedAs, error: &str) -> Typed {
        Typed {
            kind,
            ack: None,
            took: None,
            error: Some(error.into()),
            trigger_id: None,
            ts: None,
        }
    }
}

/// A person types a line into a channel or a thread and presses Return.
pub(super) async fn types(
    core: &Arc<Core>,
    person: &str,
    channel: &str,
    thread: Option<&str>,
    text: &str,
) -> Typed {
    let text = text.trim();
    let kind = if text.starts_with('/') {
        TypedAs::Slash
    } else {
        TypedAs::Message
    };
    let places = core.with(|state| {
        let person = state.person(person).ok_or("user_not_found")?.id.clone();
        let channel = state.channel(channel).ok_or("channel_not_found")?;
        if channel.is_private && !channel.has(&person) {
            return Err("channel_not_found");
        }
        if channel.is_archived {
            return Err("is_archived");
        }
        Ok((person, channel.id.clone()))
    });
    let (person, channel) = match places {
        Ok(places) => places,
        Err(error) => return Typed::refused(kind, error),
    };
    if text.is_empty() {
        return Typed::refused(kind, "no_text");
    }
    match text.strip_prefix('/') {
        Some(command) => slash(core, &person, &channel, thread, command).await,
        None => says(core, &person, &channel, thread, text),
    }
}

fn says(core: &Arc<Core>, person: &str, channel: &str, thread: Option<&str>, text: &str) -> Typed {
    core.with(|state| {
        let text = encode(state, text, Typing::Message);
        let thread = match thread {
            None => None,
            Some(ts) => match chat::root(state, channel, ts) {
                None => return Typed::refused(TypedAs::Message, "thread_not_found"),
                root => root,
            },
        };
        let bot = state.seed.bot.user_id.clone();
        let mentions = text.contains(&format!("<@{bot}>"));
        let message = Message {
            thread_ts: thread,
            ..state.by_person(person, &text)
        };
        let message = state.post(channel, message);
        let (bot_is_here, direct) = state.channel(channel).map_or((false, false), |channel| {
            (channel.has(&bot), channel.im_with.is_some())
        });
        let mut event = json!({
            "type": "app_mention", "user": person, "text": text, "ts": message.ts, "channel": channel,
            "team": message.team, "event_ts": message.ts, "client_msg_id": super::socket::uuid(),
        });
        if let Some(root) = &message.thread_ts {
            event["thread_ts"] = root.as_str().into();
        }
        if direct {
            event["type"] = "message".into();
            event["channel_type"] = "im".into();
            state.event(event);
        } else if mentions && bot_is_here {
            state.event(event);
        } else if mentions {
            let hint = format!("<@{bot}> is not in this channel. Type /invite @{} to add it.", state.seed.bot.name);
            state.slackbot_whispers(channel, message.thread_ts.as_deref(), person, &hint);
        }
        Typed {
            kind: if mentions { TypedAs::Mention } else { TypedAs::Message },
            ack: None,
            took: None,
            error: None,
            trigger_id: None,
            ts: Some(message.ts),
        }
    })
}

async fn slash(
    core: &Arc<Core>,
    person: &str,
    channel: &str,
    thread: Option<&str>,
    command: &str,
) -> Typed {
    let (name, text) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let refused = |error: &str, said: &str| {
        core.with(|state| state.slackbot_whispers(channel, thread, person, said));
        Typed::refused(TypedAs::Slash, error)
    };
    if thread.is_some() {
        return refused(
            "not_supported_in_threads",
            &format!("/{name} is not supported in threads. Sorry!"),
        );
    }
    if name == "invite" {
        return invite(core, person, channel, text);
    }
    if name != core.bot.name {
        return refused(
            "invalid_command",
            &format!(
                "`/{name}` is not a valid command. In Slack, all messages that start with the \"/\" character are interpreted as slash commands."
            ),
        );
    }
    let (payload, url, trigger) = core.with(|state| {
        let text = encode(state, text.trim(), Typing::Command);
        let (trigger, url) = grants(state, channel, person, None);
        let name = state.channel(channel).map_or("", |it| it.name_in_payload());
        let payload = json!({
            "token": "sandbox-verification", "team_id": core.team_id, "team_domain": core.team_domain,
            "channel_id": channel, "channel_name": name, "user_id": person,
            "user_name": state.handle(person), "command": format!("/{}", core.bot.name), "text": text,
            "api_app_id": core.bot.app_id, "is_enterprise_install": "false",
            "response_url": format!("{}/commands/{}/{url}", core.origin, core.team_id),
            "trigger_id": trigger,
        });
        (payload, url, trigger)
    });
    let answer = Answering {
        channel: channel.into(),
        person: person.into(),
        url,
    };
    copy_later(core, Kind::Slash, &payload, Some(answer.clone()));
    match delivery::once(core, Kind::Slash, &payload, None).await {
        Ok(Acked { payload, took }) => {
            let error = payload
                .as_ref()
                .and_then(|payload| answer.shows(core, payload).err());
            Typed {
                kind: TypedAs::Slash,
                ack: payload,
                took: Some(took),
                error: error.map(|refused| refused.error),
                trigger_id: Some(trigger),
                ts: None,
            }
        }
        Err(why) => {
            let said = format!("`/{name}` failed with the error \"{}\"", why.word());
            Typed {
                trigger_id: Some(trigger),
                ..refused(why.word(), &said)
            }
        }
    }
}

/// `/invite @somebody`, Slack's own command: the way a bot comes into a private channel.
fn invite(core: &Arc<Core>, person: &str, channel: &str, text: &str) -> Typed {
    let who = text.trim();
    core.with(|state| {
        let handle = who
            .trim_start_matches("<@")
            .trim_end_matches('>')
            .trim_start_matches('@');
        let bot = &state.seed.bot;
        let id = if handle == bot.name || handle == bot.user_id {
            bot.user_id.clone()
        } else {
            match state.person(handle) {
                Some(person) => person.id.clone(),
                None => return Typed::refused(TypedAs::Slash, "user_not_found"),
            }
        };
        state.join(channel, &id, Some(person));
        Typed {
            error: None,
            ..Typed::refused(TypedAs::Slash, "")
        }
    })
}

/// Where an ack's payload is shown.
#[derive(Clone)]
pub(super) struct Answering {
    channel: String,
    person: String,
    url: String,
}

impl Answering {
    fn shows(&self, core: &Arc<Core>, payload: &Value) -> Result<(), Refused> {
        let fields = payload.as_object().cloned().unwrap_or_default();
        let args = super::args::Args(fields);
        let content = match chat::Content::read(&args).and_then(chat::Content::shown) {
            Err(refused) if refused.error == "no_text" => return Ok(()),
            Err(refused) => {
                core.with(|state| {
                    let said = format!(
                        "`/{}` failed with the error \"{}\"",
                        state.seed.bot.name, refused.error
                    );
                    state.slackbot_whispers(&self.channel, None, &self.person, &said);
                });
                return Err(refused);
            }
            Ok(content) => content,
        };
        core.with(|state| {
            let message = content.into_message(state.by_bot(""));
            let shown = if payload["response_type"] == "in_channel" {
                state.post(&self.channel, message)
            } else {
                state.whisper(&self.channel, &self.person, message)
            };
            state.grants.original(&self.url, &shown.ts);
        });
        Ok(())
    }
}

/// While the fault is on, everything is delivered a second time; what its ack says is shown as well, as Slack would.
pub(super) fn copy_later(core: &Arc<Core>, kind: Kind, payload: &Value, answer: Option<Answering>) {
    if !core.faults.redelivers() {
        return;
    }
    let (core, payload) = (core.clone(), payload.clone());
    tokio::spawn(async move {
        delivery::second_copy().await;
        let acked = delivery::once(&core, kind, &payload, None).await;
        if let (
            Ok(Acked {
                payload: Some(payload),
                ..
            }),
            Some(answer),
        ) = (acked, answer)
        {
            answer.shows(&core, &payload).ok();
        }
    });
}

pub(super) fn grants(
    state: &mut State,
    channel: &str,
    person: &str,
    original: Option<&str>,
) -> (String, String) {
    let now = Instant::now();
    let trigger = state.grants.trigger(person, now);
    let url = state.grants.response_url(ResponseUrl {
        channel: channel.into(),
        person: person.into(),
        original: original.map(str::to_owned),
        made: now,
        uses: 0,
    });
    (trigger, url)
}
