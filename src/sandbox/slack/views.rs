//! Modals and the app home: opened with a trigger, updated, pushed, published.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};

use super::{
    args::{Answer, Args, Refused},
    blocks::{Place, admit},
    core::Core,
    socket::uuid,
    state::{State, View},
};

/// How many views are remembered.
const KEPT: usize = 1_000;
/// The longest title, submit and close texts, in characters.
const TITLE: usize = 24;
/// The longest `private_metadata`, in characters.
const PRIVATE: usize = 3_000;
/// How deep modals stack.
const DEEP: usize = 3;

/// Reads and checks the `view` argument.
pub(super) fn read(view: Option<Value>) -> Result<Value, Refused> {
    let mut view = view.ok_or(Refused::from("invalid_arguments"))?;
    let place = match view["type"].as_str() {
        Some("modal") => Place::Modal,
        Some("home") => Place::Home,
        _ => return Err(wrong("unsupported type", "/view/type")),
    };
    if place == Place::Modal && view["title"]["text"].as_str().is_none_or(str::is_empty) {
        return Err(wrong("missing required field: title", "/view"));
    }
    for part in ["title", "submit", "close"] {
        let text = view[part]["text"].as_str().unwrap_or_default();
        if text.chars().count() > TITLE {
            let path = format!("/view/{part}/text");
            return Err(wrong("must be less than 25 characters", &path));
        }
    }
    let private = view["private_metadata"].as_str().unwrap_or_default();
    if private.chars().count() > PRIVATE {
        return Err(wrong(
            "must be less than 3001 characters",
            "/view/private_metadata",
        ));
    }
    match view.get_mut("blocks") {
        Some(blocks) => admit(blocks, place).map_err(|refused| {
            let messages = refused.messages.iter();
            let messages = messages.map(|it| it.replace("/blocks", "/view/blocks"));
            Refused::with_messages("invalid_arguments", messages.collect())
        })?,
        None => return Err(wrong("missing required field: blocks", "/view")),
    }
    let input = view["blocks"].as_array().into_iter().flatten();
    if input.clone().any(|block| block["type"] == "input")
        && place == Place::Modal
        && view.get("submit").is_none()
    {
        return Err(wrong("missing required field: submit", "/view"));
    }
    Ok(view)
}

fn wrong(what: &str, path: &str) -> Refused {
    let message = format!("[ERROR] {what} [json-pointer:{path}]");
    Refused::with_messages("invalid_arguments", vec![message])
}

fn argument(args: &Args) -> Result<Value, Refused> {
    let view = args
        .shape("view")
        .map_err(|()| Refused::from("invalid_arguments"))?;
    read(view)
}

/// Gives a view what Slack adds to it.
fn complete(core: &Core, mut view: Value, id: &str, root: &str, previous: Option<&str>) -> Value {
    let defaults = [
        ("private_metadata", json!("")),
        ("callback_id", json!("")),
        ("external_id", json!("")),
        ("close", Value::Null),
        ("submit", Value::Null),
        ("clear_on_close", json!(false)),
        ("notify_on_close", json!(false)),
    ];
    for (name, value) in defaults {
        if view.get(name).is_none() {
            view[name] = value;
        }
    }
    view["id"] = id.into();
    view["team_id"] = core.team_id.as_str().into();
    view["app_id"] = core.bot.app_id.as_str().into();
    view["bot_id"] = core.bot.bot_id.as_str().into();
    view["app_installed_team_id"] = core.team_id.as_str().into();
    view["root_view_id"] = root.into();
    view["previous_view_id"] = previous.map_or(Value::Null, Value::from);
    view["hash"] = format!("1764000000.{}", &uuid()[..8]).into();
    view["state"] = json!({"values": {}});
    view
}

fn keep(core: &Core, state: &mut State, person: &str, view: Value, over: Option<&str>) -> Value {
    if state.views.len() >= KEPT {
        state.views.clear();
    }
    let id = state.next_id('V');
    let root = over
        .and_then(|over| state.views.get(over))
        .and_then(|over| over.json["root_view_id"].as_str())
        .map_or_else(|| id.clone(), str::to_owned);
    let view = complete(core, view, &id, &root, over);
    let kept = View {
        person: person.into(),
        json: view.clone(),
        previous: over.map(str::to_owned),
    };
    state.views.insert(id, kept);
    show(state, person, &view);
    view
}

fn show(state: &mut State, person: &str, view: &Value) {
    let change = json!({"type": "view", "view": view, "person": person});
    state.changes.push(change);
}

/// `views.open`
pub(super) fn open(core: &Arc<Core>, args: &Args) -> Answer {
    let trigger = args.needed("trigger_id")?;
    let view = argument(args)?;
    core.with(|state| {
        let person = state.grants.spend_trigger(&trigger, Instant::now())?;
        let view = keep(core, state, &person, view, None);
        Ok(json!({"view": view}))
    })
}

/// `views.push`, onto the modal that person has open.
pub(super) fn push(core: &Arc<Core>, args: &Args) -> Answer {
    let trigger = args.needed("trigger_id")?;
    let view = argument(args)?;
    core.with(|state| {
        let person = state.grants.spend_trigger(&trigger, Instant::now())?;
        let modals = state
            .views
            .iter()
            .filter(|(_, open)| open.person == person && open.json["type"] == "modal");
        // Ids count upwards, so the greatest is the newest.
        let top = modals.map(|(id, _)| id.clone()).max();
        let top = top.ok_or(Refused::from("no_view_open"))?;
        push_over(core, state, &person, &top, view)
    })
}

/// Pushes a view over another.
pub(super) fn push_over(
    core: &Core,
    state: &mut State,
    person: &str,
    top: &str,
    view: Value,
) -> Answer {
    let below = |id: &String| state.views.get(id).and_then(|view| view.previous.clone());
    let depth = std::iter::successors(Some(top.to_owned()), below).count();
    if depth >= DEEP {
        return Err("push_limit_reached".into());
    }
    Ok(json!({"view": keep(core, state, person, view, Some(top))}))
}

/// `views.update`
pub(super) fn update(core: &Arc<Core>, args: &Args) -> Answer {
    let view = argument(args)?;
    let external = args.word("external_id");
    let hash = args.word("hash");
    core.with(|state| {
        let id = args.word("view_id").or_else(|| {
            let wanted = external.as_deref()?;
            let mut views = state.views.iter();
            let found = views.find(|(_, kept)| kept.json["external_id"] == wanted);
            found.map(|(id, _)| id.clone())
        });
        let id = id.ok_or(Refused::from("not_found"))?;
        let kept = state.views.get(&id).ok_or(Refused::from("not_found"))?;
        if hash.is_some_and(|hash| kept.json["hash"] != hash.as_str()) {
            return Err("hash_conflict".into());
        }
        replace(core, state, &id, view)
    })
}

/// Puts another view in a view's place.
pub(super) fn replace(core: &Core, state: &mut State, id: &str, view: Value) -> Answer {
    let kept = state.views.get(id).ok_or(Refused::from("not_found"))?;
    let root = kept.json["root_view_id"].as_str().unwrap_or(id).to_owned();
    let (person, previous) = (kept.person.clone(), kept.previous.clone());
    let view = complete(core, view, id, &root, previous.as_deref());
    if let Some(kept) = state.views.get_mut(id) {
        kept.json = view.clone();
    }
    show(state, &person, &view);
    Ok(json!({"view": view}))
}

/// `views.publish`: the app home.
pub(super) fn publish(core: &Arc<Core>, args: &Args) -> Answer {
    let person = args.needed("user_id")?;
    let view = argument(args)?;
    if view["type"] != "home" {
        return Err(wrong("unsupported type", "/view/type"));
    }
    core.with(|state| {
        if state.person(&person).is_none() {
            return Err("user_not_found".into());
        }
        let home =
            |(_, kept): &(&String, &View)| kept.person == person && kept.json["type"] == "home";
        if let Some(id) = state.views.iter().find(home).map(|(id, _)| id.clone()) {
            return replace(core, state, &id, view);
        }
        Ok(json!({"view": keep(core, state, &person, view, None)}))
    })
}

/// A submitted form as Slack reports it: what was typed, each under its element's own type.
pub(super) fn state_values(view: &Value, typed: &Value) -> Value {
    let mut values = json!({});
    for block in view["blocks"].as_array().into_iter().flatten() {
        let Some(block_id) = block["block_id"].as_str() else {
            continue;
        };
        let elements = block["elements"].as_array().into_iter().flatten();
        for element in elements.chain([&block["element"], &block["accessory"]]) {
            let (Some(action), Some(kind)) =
                (element["action_id"].as_str(), element["type"].as_str())
            else {
                continue;
            };
            if kind == "button" {
                continue;
            }
            values[block_id][action] = state_value(element, kind, &typed[block_id][action]);
        }
    }
    values
}

fn state_value(element: &Value, kind: &str, typed: &Value) -> Value {
    let option = |value: &Value| {
        let options = element["options"].as_array().into_iter().flatten();
        let grouped = element["option_groups"].as_array().into_iter().flatten();
        let grouped = grouped.flat_map(|group| group["options"].as_array().into_iter().flatten());
        let mut all = options.chain(grouped);
        all.find(|option| option["value"] == *value).cloned()
    };
    match kind {
        "static_select" | "radio_buttons" | "external_select" => {
            json!({"type": kind, "selected_option": option(typed)})
        }
        "checkboxes" | "multi_static_select" => {
            let chosen: Vec<Value> = typed
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(option)
                .collect();
            json!({"type": kind, "selected_options": chosen})
        }
        "users_select" => json!({"type": kind, "selected_user": typed}),
        "channels_select" => json!({"type": kind, "selected_channel": typed}),
        "conversations_select" => json!({"type": kind, "selected_conversation": typed}),
        "datepicker" => json!({"type": kind, "selected_date": typed}),
        "timepicker" => json!({"type": kind, "selected_time": typed}),
        _ => json!({"type": kind, "value": typed}),
    }
}
