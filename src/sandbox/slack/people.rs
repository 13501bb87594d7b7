//! What people do in the workspace: type, click, choose, submit, react. Each waits for the app's ack as Slack's client does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    args::Refused,
    chat,
    core::Core,
    delivery::{self, Acked, Kind, Unacked},
    handles::ResponseUrl,
    message::Message,
    state::State,
    typing::{Typing, encode},
    views,
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

/// What became of a click, a shortcut or a submitted form.
#[derive(Clone, Debug, PartialEq)]
pub struct Clicked {
    /// The payload of the app's ack, if there was one in it.
    pub ack: Option<Value>,
    /// How long the ack took; `None` when there was none in time.
    pub took: Option<Duration>,
    /// Slack's word for what went wrong.
    pub error: Option<String>,
    /// The `trigger_id` it was delivered with.
    pub trigger_id: Option<String>,
}

/// Which element of which message is used, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct Click {
    pub(super) person: String,
    pub(super) channel: String,
    pub(super) ts: String,
    pub(super) block_id: Option<String>,
    pub(super) action_id: String,
    /// The value of the option chosen, for a menu.
    pub(super) option: Option<String>,
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
        let (trigger, url) = handles(state, channel, person, None);
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
struct Answering {
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
            state.handles.original(&self.url, &shown.ts);
        });
        Ok(())
    }
}

/// While the fault is on, everything is delivered a second time; what its ack says is shown as well, as Slack would.
fn copy_later(core: &Arc<Core>, kind: Kind, payload: &Value, answer: Option<Answering>) {
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

fn handles(
    state: &mut State,
    channel: &str,
    person: &str,
    original: Option<&str>,
) -> (String, String) {
    let now = Instant::now();
    let trigger = state.handles.trigger(person, now);
    let url = state.handles.response_url(ResponseUrl {
        channel: channel.into(),
        person: person.into(),
        original: original.map(str::to_owned),
        made: now,
        uses: 0,
    });
    (trigger, url)
}

/// What every interaction says of who, where and how to answer.
fn interaction(core: &Core, state: &State, kind: &str, person: &str, trigger: &str) -> Value {
    let handle = state.handle(person).unwrap_or_default();
    json!({
        "type": kind, "token": "sandbox-verification", "api_app_id": core.bot.app_id, "trigger_id": trigger,
        "team": {"id": core.team_id, "domain": core.team_domain}, "enterprise": null,
        "is_enterprise_install": false,
        "user": {
            "id": person, "username": handle, "name": handle,
            "team_id": state.person(person).map_or("", |person| &person.team_id),
        },
    })
}

/// A person presses a button or chooses from a menu.
pub(super) async fn clicks(core: &Arc<Core>, click: &Click) -> Clicked {
    let prepared = core.with(|state| press(core, state, click));
    let (payload, trigger, person, channel) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return not_clicked(error),
    };
    let clicked = interact(core, &payload, trigger).await;
    if clicked.took.is_none() {
        let said = ":warning: This app did not respond. Try again, or ask whoever looks after it.";
        let thread = payload["container"]["thread_ts"].as_str();
        core.with(|state| state.slackbot_whispers(&channel, thread, &person, said));
    }
    clicked
}

fn not_clicked(error: &str) -> Clicked {
    Clicked {
        ack: None,
        took: None,
        error: Some(error.into()),
        trigger_id: None,
    }
}

async fn interact(core: &Arc<Core>, payload: &Value, trigger: String) -> Clicked {
    copy_later(core, Kind::Interactive, payload, None);
    match delivery::once(core, Kind::Interactive, payload, None).await {
        Ok(Acked { payload, took }) => Clicked {
            ack: payload,
            took: Some(took),
            error: None,
            trigger_id: Some(trigger),
        },
        Err(why) => Clicked {
            trigger_id: Some(trigger),
            ..not_clicked(Unacked::word(why))
        },
    }
}

type Pressed = (Value, String, String, String);

fn press(core: &Core, state: &mut State, click: &Click) -> Result<Pressed, &'static str> {
    let person = state
        .person(&click.person)
        .ok_or("user_not_found")?
        .id
        .clone();
    let channel = state.channel(&click.channel).ok_or("channel_not_found")?;
    let (channel_id, channel_name) = (channel.id.clone(), channel.name_in_payload().to_owned());
    let message = channel.message(&click.ts).cloned();
    let message = message
        .or_else(|| {
            let mut ephemerals = state.ephemerals.iter();
            let own = |it: &&Message| it.ephemeral_to.as_ref() == Some(&person);
            ephemerals.find(|it| it.ts == click.ts && own(it)).cloned()
        })
        .ok_or("message_not_found")?;
    let found = message.action(click.block_id.as_deref(), &click.action_id);
    let (block_id, element) = found.ok_or("no_such_action")?;
    let (trigger, url) = handles(state, &channel_id, &person, Some(&message.ts));
    let is_ephemeral = message.ephemeral_to.is_some();
    let mut payload = interaction(core, state, "block_actions", &person, &trigger);
    payload["channel"] = json!({"id": channel_id, "name": channel_name});
    payload["response_url"] = format!("{}/actions/{}/{url}", core.origin, core.team_id).into();
    payload["state"] = json!({"values": {}});
    payload["container"] = json!({
        "type": "message", "message_ts": message.ts, "channel_id": channel_id, "is_ephemeral": is_ephemeral,
    });
    if let Some(root) = &message.thread_ts {
        payload["container"]["thread_ts"] = root.as_str().into();
    }
    // Slack does not send an ephemeral message back.
    if !is_ephemeral {
        payload["message"] = message.for_api(true);
    }
    let action = acted(&element, &block_id, click, state.next_ts())?;
    if !action["selected_option"].is_null() {
        payload["state"]["values"][&block_id][&click.action_id] =
            json!({"type": action["type"], "selected_option": action["selected_option"]});
    }
    payload["actions"] = json!([action]);
    Ok((payload, trigger, person, channel_id))
}

fn acted(
    element: &Value,
    block_id: &str,
    click: &Click,
    ts: String,
) -> Result<Value, &'static str> {
    let mut action = json!({
        "type": element["type"], "action_id": click.action_id, "block_id": block_id, "action_ts": ts,
    });
    if element["type"] == "button" {
        action["text"] = element["text"].clone();
        for name in ["value", "style"] {
            if let Some(value) = element.get(name) {
                action[name] = value.clone();
            }
        }
        return Ok(action);
    }
    let wanted = click.option.as_deref().ok_or("no_option_chosen")?;
    let options = element["options"].as_array().into_iter().flatten();
    let grouped = element["option_groups"].as_array().into_iter().flatten();
    let grouped = grouped.flat_map(|group| group["options"].as_array().into_iter().flatten());
    let mut all = options.chain(grouped);
    let option = all.find(|option| option["value"] == wanted);
    action["selected_option"] = option.ok_or("no_such_option")?.clone();
    Ok(action)
}

/// A person picks a message shortcut from a message's menu.
pub(super) async fn shortcut(
    core: &Arc<Core>,
    person: &str,
    channel: &str,
    ts: &str,
    callback_id: &str,
) -> Clicked {
    let prepared = core.with(|state| {
        let person = state.person(person).ok_or("user_not_found")?.id.clone();
        let channel = state.channel(channel).ok_or("channel_not_found")?;
        let place = json!({"id": channel.id, "name": channel.name_in_payload()});
        let (id, message) = (channel.id.clone(), channel.message(ts).cloned());
        let message = message.ok_or("message_not_found")?;
        let (trigger, url) = handles(state, &id, &person, Some(ts));
        let mut payload = interaction(core, state, "message_action", &person, &trigger);
        payload["channel"] = place;
        payload["callback_id"] = callback_id.into();
        payload["message_ts"] = ts.into();
        payload["message"] = message.for_api(true);
        payload["action_ts"] = state.next_ts().into();
        payload["response_url"] = format!("{}/app/{}/{url}", core.origin, core.team_id).into();
        Ok::<_, &str>((payload, trigger))
    });
    match prepared {
        Ok((payload, trigger)) => interact(core, &payload, trigger).await,
        Err(error) => not_clicked(error),
    }
}

/// A person submits the form of a modal. `values` is `{block_id: {action_id: value}}`.
pub(super) async fn submit(
    core: &Arc<Core>,
    person: &str,
    view_id: &str,
    values: &Value,
) -> Clicked {
    let prepared = core.with(|state| {
        let person = state.person(person).ok_or("user_not_found")?.id.clone();
        let kept = state
            .views
            .get(view_id)
            .filter(|kept| kept.person == person);
        let mut view = kept.ok_or("view_not_found")?.view.clone();
        view["state"] = json!({"values": views::state_values(&view, values)});
        let trigger = state.handles.trigger(&person, Instant::now());
        let mut payload = interaction(core, state, "view_submission", &person, &trigger);
        payload["view"] = view;
        payload["response_urls"] = json!([]);
        Ok::<_, &str>((payload, trigger, person))
    });
    let (payload, trigger, person) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return not_clicked(error),
    };
    let mut clicked = interact(core, &payload, trigger).await;
    if clicked.took.is_none() {
        return clicked;
    }
    let answer = clicked.ack.clone().unwrap_or_default();
    let result = core.with(|state| match answer["response_action"].as_str() {
        Some("errors") => Ok(()),
        Some("update") => {
            let view = views::read(answer.get("view").cloned())?;
            views::replace(core, state, view_id, view).map(drop)
        }
        Some("push") => {
            let view = views::read(answer.get("view").cloned())?;
            views::push_over(core, state, &person, view_id, view).map(drop)
        }
        Some("clear") => {
            state
                .views
                .retain(|_, kept| kept.person != person || kept.view["type"] != "modal");
            closed(state, view_id, &person);
            Ok(())
        }
        _ => {
            state.views.remove(view_id);
            closed(state, view_id, &person);
            Ok(())
        }
    });
    clicked.error = result.err().map(|refused| refused.error);
    clicked
}

fn closed(state: &mut State, view_id: &str, person: &str) {
    let change = json!({"type": "view_closed", "view_id": view_id, "person": person});
    state.changes.push(change);
}

/// A person closes a modal; the app hears of it where the view asked for that.
pub(super) async fn close_view(core: &Arc<Core>, person: &str, view_id: &str) -> Clicked {
    let prepared = core.with(|state| {
        let person = state.person(person).ok_or("user_not_found")?.id.clone();
        let kept = state
            .views
            .remove(view_id)
            .filter(|kept| kept.person == person);
        let view = kept.ok_or("view_not_found")?.view;
        closed(state, view_id, &person);
        let notify = view["notify_on_close"] == true;
        let mut payload = interaction(core, state, "view_closed", &person, "");
        payload["is_cleared"] = false.into();
        payload["view"] = view;
        Ok::<_, &str>(notify.then_some(payload))
    });
    match prepared {
        Ok(Some(payload)) => interact(core, &payload, String::new()).await,
        Ok(None) => Clicked {
            error: None,
            ..not_clicked("")
        },
        Err(error) => not_clicked(error),
    }
}

/// A person reacts to a message; the app hears of it.
pub(super) fn reacts(
    core: &Arc<Core>,
    person: &str,
    channel: &str,
    ts: &str,
    name: &str,
) -> Result<(), &'static str> {
    core.with(|state| {
        let person = state.person(person).ok_or("user_not_found")?.id.clone();
        let channel = state
            .channel(channel)
            .ok_or("channel_not_found")?
            .id
            .clone();
        match state.react(&channel, ts, name, &person) {
            None => return Err("message_not_found"),
            Some(false) => return Err("already_reacted"),
            Some(true) => {}
        }
        let author = state.channel(&channel).and_then(|it| it.message(ts));
        let author = author.and_then(|message| message.user.clone());
        let event_ts = state.next_ts();
        state.event(json!({
            "type": "reaction_added", "user": person, "reaction": name, "item_user": author,
            "item": {"type": "message", "channel": channel, "ts": ts}, "event_ts": event_ts,
        }));
        Ok(())
    })
}
