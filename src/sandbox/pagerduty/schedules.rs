//! `/schedules`, `/v3/schedules`, their overrides, and `/oncalls`.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State as Held},
    http::StatusCode,
    response::IntoResponse,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, PagerDuty, Pairs, Refused,
    faults::Fate,
    invalid, many, not_found, one, refused,
    rota::{Entry, Override},
    state::{ReplyShape, Schedule, State, Target, reference},
    users::page,
};

/// The furthest ahead that on-calls are told.
const FURTHEST: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The window asked for; now, where nothing is said.
fn window(pairs: &Pairs, now: Timestamp) -> Result<(Timestamp, Timestamp), Refused> {
    let moment = |name: &str, code| match one(pairs, name) {
        None => Ok(now),
        Some(text) => text
            .parse()
            .map_err(|_| refused(StatusCode::BAD_REQUEST, "Invalid Input Provided", code)),
    };
    let (since, until) = (moment("since", 2004)?, moment("until", 2005)?);
    if until < since || until.duration_since(now) > FURTHEST {
        return Err(refused(
            StatusCode::BAD_REQUEST,
            "Invalid Input Provided",
            2005,
        ));
    }
    Ok((since, until.max(since + SignedDuration::from_nanos(1))))
}

/// From when until when an entry is told: cut off at the window, unless `overflow` is asked for.
fn cut(entry: &Entry, pairs: &Pairs, since: Timestamp, until: Timestamp) -> (Timestamp, Timestamp) {
    if one(pairs, "overflow") == Some("true") {
        return (entry.start, entry.end);
    }
    (entry.start.max(since), entry.end.min(until))
}

pub(super) async fn on_calls(
    Held(pagerduty): Held<PagerDuty>,
    Query(pairs): Query<Pairs>,
) -> Answer {
    let (since, until) = window(&pairs, pagerduty.now())?;
    let wanted = many(&pairs, "schedule_ids[]");
    let whole_users = many(&pairs, "include[]").contains(&"users");
    let state = pagerduty.state();
    let mut rows = Vec::new();
    for policy in &state.policies {
        let levels = (1..).zip(&policy.levels);
        for (level, target) in levels.flat_map(|(level, all)| all.iter().map(move |it| (level, it)))
        {
            let of_policy = reference(
                "escalation_policy",
                "escalation_policies",
                policy.id,
                policy.name,
            );
            let user = |id: &str| match state.user(id) {
                Some(user) if whole_users => user.whole(),
                _ => state.user_ref(id),
            };
            match target {
                // On call for ever, by no schedule: only told where nothing narrower is asked.
                Target::User(id) if wanted.is_empty() || wanted.contains(&"null") => {
                    rows.push(json!({
                        "user": user(id), "schedule": null, "escalation_policy": of_policy,
                        "escalation_level": level, "start": null, "end": null,
                    }));
                }
                Target::Schedule(id) if wanted.is_empty() || wanted.contains(id) => {
                    let Some(schedule) = state.schedule(id) else {
                        continue;
                    };
                    for entry in schedule.rota.entries(since, until) {
                        rows.push(json!({
                            "user": user(&entry.user),
                            "schedule": reference("schedule", "schedules", id, schedule.name),
                            "escalation_policy": of_policy,
                            "escalation_level": level,
                            "start": entry.start, "end": entry.end,
                        }));
                    }
                }
                _ => {}
            }
        }
    }
    page("oncalls", &rows, &pairs)
}

pub(super) async fn show(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    Query(pairs): Query<Pairs>,
) -> Answer {
    let (since, until) = window(&pairs, pagerduty.now())?;
    let state = pagerduty.state();
    let Some(schedule) = state.schedule(&id).filter(|schedule| !schedule.v3) else {
        return Err(not_found());
    };
    let shown = |entries: Vec<Entry>| {
        let entries = entries.into_iter().map(|entry| {
            let (start, end) = cut(&entry, &pairs, since, until);
            json!({ "start": start, "end": end, "user": state.user_ref(&entry.user), "id": entry.by })
        });
        entries.collect::<Vec<Value>>()
    };
    let entries = schedule.rota.entries(since, until);
    let overriding = entries.iter().filter(|entry| entry.by.is_some()).cloned();
    let overriding = shown(overriding.collect());
    let mut whole = reference("schedule", "schedules", schedule.id, schedule.name);
    whole["type"] = json!("schedule");
    whole["name"] = json!(schedule.name);
    whole["time_zone"] = json!("Etc/UTC");
    whole["final_schedule"] =
        json!({ "name": "Final Schedule", "rendered_schedule_entries": shown(entries) });
    whole["overrides_subschedule"] =
        json!({ "name": "Overrides", "rendered_schedule_entries": overriding });
    whole["schedule_layers"] = json!([{
        "name": "Layer 1",
        "start": schedule.rota.start,
        "rotation_virtual_start": schedule.rota.start,
        "rotation_turn_length_seconds": schedule.rota.turn.as_secs(),
        "users": schedule.rota.users.iter().map(|id| json!({ "user": state.user_ref(id) })).collect::<Vec<_>>(),
        "rendered_schedule_entries": shown(schedule.rota.turns(since, until)),
    }]);
    Ok(Json(json!({ "schedule": whole })).into_response())
}

/// `/v3`: shift-based schedules alone; 400 for one that was not upgraded.
fn of_v3<'a>(state: &'a State, id: &str) -> Result<&'a Schedule, Refused> {
    match state.schedule(id) {
        None => Err(not_found()),
        Some(schedule) if !schedule.v3 => Err(invalid(&["Schedule is not a shift-based schedule"])),
        Some(schedule) => Ok(schedule),
    }
}

pub(super) async fn show_v3(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    Query(pairs): Query<Pairs>,
) -> Answer {
    let (since, until) = window(&pairs, pagerduty.now())?;
    let state = pagerduty.state();
    let schedule = of_v3(&state, &id)?;
    let mut whole = reference("schedule", "schedules", schedule.id, schedule.name);
    whole["type"] = json!("schedule_v3");
    whole["name"] = json!(schedule.name);
    whole["time_zone"] = json!("Etc/UTC");
    // The first one is past: whoever overrides must say which one they mean.
    whole["rotations"] = [
        format!("{}OLD", rotation_of(schedule)),
        rotation_of(schedule),
    ]
    .map(|id| json!({ "id": id, "type": "schedule_rotation" }))
    .into();
    if many(&pairs, "include[]").contains(&"final_schedule") {
        let entries = schedule
            .rota
            .entries(since, until)
            .into_iter()
            .map(|entry| {
                let (start, end) = cut(&entry, &pairs, since, until);
                let kind = match entry.by {
                    Some(_) => "schedule_rotation_override",
                    None => "schedule_rotation",
                };
                json!({
                    "type": "computed_shift_assignment", "start_time": start, "end_time": end,
                    "member": { "type": "user_member", "user_id": entry.user },
                    "source": { "type": kind, "rotation_id": rotation_of(schedule), "override_id": entry.by },
                })
            });
        whole["final_schedule"] =
            json!({ "computed_shift_assignments": entries.collect::<Vec<_>>() });
    }
    Ok(Json(json!({ "schedule": whole })).into_response())
}

fn rotation_of(schedule: &Schedule) -> String {
    format!("R{}", schedule.id)
}

/// The overrides that touch a window; both ends of it must be said.
pub(super) async fn overrides(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    Query(pairs): Query<Pairs>,
) -> Answer {
    if one(&pairs, "since").is_none() || one(&pairs, "until").is_none() {
        return Err(invalid(&[]));
    }
    let (since, until) = window(&pairs, pagerduty.now())?;
    let state = pagerduty.state();
    let Some(schedule) = state.schedule(&id).filter(|schedule| !schedule.v3) else {
        return Err(not_found());
    };
    let listed: Vec<Value> = schedule
        .rota
        .overrides
        .iter()
        .filter(|it| it.start < until && it.end > since)
        .map(|it| told(&state, it))
        .collect();
    Ok(Json(json!({ "overrides": listed })).into_response())
}

fn told(state: &State, it: &Override) -> Value {
    json!({ "id": it.id, "start": it.start, "end": it.end, "user": state.user_ref(&it.user) })
}

#[derive(Deserialize)]
struct Wanted {
    overrides: Vec<Value>,
}

fn read(body: &Bytes) -> Result<Vec<Value>, Refused> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|_| invalid(&[]))?;
    Ok(wanted.overrides)
}

/// What is wrong with one, in PagerDuty's words.
fn fault(
    state: &State,
    user: &str,
    start: &str,
    end: &str,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), String> {
    let (Ok(start), Ok(end)) = (start.parse::<Timestamp>(), end.parse::<Timestamp>()) else {
        return Err("Start and end must be ISO 8601".to_owned());
    };
    if end <= start {
        return Err("Override must end after its start".to_owned());
    }
    if end <= now {
        return Err("Override must end in the future".to_owned());
    }
    if state.user(user).is_none() {
        return Err("User not found".to_owned());
    }
    // What is past stays as it was.
    Ok((start.max(now), end))
}

pub(super) async fn add_overrides(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    axum::Extension(fate): axum::Extension<Option<Fate>>,
    body: Bytes,
) -> Answer {
    let wanted = read(&body)?;
    let now = pagerduty.now();
    let mut state = pagerduty.state();
    if state.schedule(&id).is_none_or(|schedule| schedule.v3) {
        return Err(not_found());
    }
    let mut items = Vec::new();
    for one in wanted {
        let word = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let user = one["user"]["id"].as_str().unwrap_or_default().to_owned();
        let checked = fault(&state, &user, &word("start"), &word("end"), now);
        match checked {
            Ok(_) if fate == Some(Fate::Hidden) => items.push(json!({
                "status": 400, "errors": ["Override must end after its start"], "override": one,
            })),
            Ok((start, end)) => {
                let made = Override {
                    id: state.fresh('Q'),
                    user,
                    start,
                    end,
                };
                let shown = told(&state, &made);
                if let Some(schedule) = state.schedule_mut(&id) {
                    schedule.rota.overrides.push(made);
                }
                items.push(json!({ "status": 201, "override": shown }));
            }
            Err(why) => items.push(json!({ "status": 400, "errors": [why], "override": one })),
        }
    }
    let plain: Vec<Value> = items.iter().map(|item| item["override"].clone()).collect();
    let reply = match state.reply {
        // The other shapes have no room for a refusal.
        _ if items.iter().any(|item| item["status"] == 400) => json!(items),
        ReplyShape::Items => json!(items),
        ReplyShape::Wrapped => json!({ "overrides": plain }),
        ReplyShape::Single => json!({ "override": plain.first() }),
    };
    Ok((StatusCode::CREATED, Json(reply)).into_response())
}

pub(super) async fn add_overrides_v3(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let wanted = read(&body)?;
    let now = pagerduty.now();
    let mut state = pagerduty.state();
    let rotation = rotation_of(of_v3(&state, &id)?);
    let mut shown = Vec::new();
    for one in wanted {
        let word = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let member = |name: &str| one[name]["user_id"].as_str().unwrap_or_default().to_owned();
        let user = member("overriding_member");
        let checked = fault(&state, &user, &word("start_time"), &word("end_time"), now);
        let complaint = match &checked {
            _ if word("type") != "override_shift" => Some("type must be override_shift"),
            _ if word("rotation_id") != rotation => Some("rotation not found"),
            Ok((start, _)) => {
                let replaced = state.schedule(&id).map(|schedule| schedule.rota.at(*start));
                (replaced.as_deref() != Some(&member("overridden_member")))
                    .then_some("overridden_member is not on shift")
            }
            Err(why) => Some(why.as_str()),
        };
        if let Some(complaint) = complaint {
            return Err(invalid(&[complaint]));
        }
        let Ok((start, end)) = checked else { continue };
        let mut told = one.clone();
        let made = Override {
            id: state.fresh('Q'),
            user,
            start,
            end,
        };
        told["id"] = json!(made.id);
        shown.push(told);
        if let Some(schedule) = state.schedule_mut(&id) {
            schedule.rota.overrides.push(made);
        }
    }
    Ok((StatusCode::CREATED, Json(json!({ "overrides": shown }))).into_response())
}

/// 204; 200 where it runs already and is cut off now; what is over stays.
pub(super) async fn cut_override(
    Held(pagerduty): Held<PagerDuty>,
    Path((schedule, id)): Path<(String, String)>,
) -> Answer {
    let cut = pagerduty.cut(&schedule, &id);
    cut.map(IntoResponse::into_response).ok_or_else(not_found)
}

impl PagerDuty {
    /// What cutting it answers; `None` where there is none to cut.
    pub(super) fn cut(&self, schedule: &str, id: &str) -> Option<StatusCode> {
        let now = self.now();
        let mut state = self.state();
        let overrides = &mut state.schedule_mut(schedule)?.rota.overrides;
        let at = overrides.iter().position(|it| it.id == id)?;
        if overrides[at].end <= now {
            return Some(StatusCode::BAD_REQUEST);
        }
        if overrides[at].start > now {
            overrides.remove(at);
            return Some(StatusCode::NO_CONTENT);
        }
        overrides[at].end = now;
        Some(StatusCode::OK)
    }
}
