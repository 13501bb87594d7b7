//! What people do with a message or a modal: press, choose, take a shortcut, submit, close, react.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    core::Core,
    delivery::{self, Acked, Kind, Unacked},
    message::Message,
    people::{copy_later, grants},
    state::{State, now},
    views,
};

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
    let (trigger, url) = grants(state, &channel_id, &person, Some(&message.ts));
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
    let action = acted(&element, &block_id, click, &state.next_ts())?;
    if !action["selected_option"].is_null() {
        payload["state"]["values"][&block_id][&click.action_id] =
            json!({"type": action["type"], "selected_option": action["selected_option"]});
    }
    payload["actions"] = json!([action]);
    Ok((payload, trigger, person, channel_id))
}

fn acted(element: &Value, block_id: &str, click: &Click, ts: &str) -> Result<Value, &'static str> {
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
        let (trigger, url) = grants(state, &id, &person, Some(ts));
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
        let mut view = kept.ok_or("view_not_found")?.json.clone();
        view["state"] = json!({"values": views::state_values(&view, values)});
        let trigger = state.grants.trigger(&person, Instant::now());
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
                .retain(|_, kept| kept.person != person || kept.json["type"] != "modal");
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
        let view = kept.ok_or("view_not_found")?.json;
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

/// The ids of somebody and of a channel, each named by id or by name.
fn ids(state: &State, person: &str, channel: &str) -> Result<(String, String), &'static str> {
    let person = state.person(person).ok_or("user_not_found")?;
    let channel = state.channel(channel).ok_or("channel_not_found")?;
    Ok((person.id.clone(), channel.id.clone()))
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
        let (person, channel) = ids(state, person, channel)?;
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

/// A person pins a message; the app hears of it.
pub(super) fn pins(
    core: &Arc<Core>,
    person: &str,
    channel: &str,
    ts: &str,
) -> Result<(), &'static str> {
    core.with(|state| {
        let (person, channel) = ids(state, person, channel)?;
        let message = state
            .channel_mut(&channel)
            .and_then(|it| it.message_mut(ts));
        let message = message.ok_or("message_not_found")?;
        if message.pinned {
            return Err("already_pinned");
        }
        message.pinned = true;
        let message = message.clone();
        state.changed("pin", &message);
        let event_ts = state.next_ts();
        let item = json!({
            "type": "message", "channel": channel, "created": now(), "created_by": person, "message": message.for_api(false),
        });
        state.event(json!({
            "type": "pin_added", "user": person, "channel_id": channel, "item": item, "item_user": message.user,
            "pin_count": 1, "event_ts": event_ts,
        }));
        Ok(())
    })
}
