//! `/incidents`: what is read and written of them over the API.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State as Held},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Answer, PagerDuty, Pairs, Refused,
    faults::Fate,
    invalid, many, not_found, refused,
    state::{Incident, State, reference},
    users::page,
};

/// The most that one call may change.
const MOST_AT_ONCE: usize = 250;

/// An incident as every reply and every webhook shows it.
pub(super) fn shown(state: &State, incident: &Incident) -> Value {
    let service = state.service(incident.service);
    let policy = service.and_then(|service| state.policy(service.policy));
    let mut whole = reference("incident", "incidents", &incident.id, &incident.title);
    whole["type"] = json!("incident");
    whole["incident_number"] = json!(incident.number);
    whole["number"] = json!(incident.number);
    whole["title"] = json!(incident.title);
    whole["status"] = json!(incident.status);
    whole["urgency"] = json!("high");
    whole["created_at"] = json!(incident.created);
    whole["service"] = service.map_or(Value::Null, |service| {
        reference("service", "services", service.id, service.name)
    });
    whole["escalation_policy"] = policy.map_or(Value::Null, |policy| {
        reference(
            "escalation_policy",
            "escalation_policies",
            policy.id,
            policy.name,
        )
    });
    let assignees: Vec<Value> = incident
        .assignees
        .iter()
        .map(|id| state.user_ref(id))
        .collect();
    whole["assignments"] = assignees
        .iter()
        .map(|user| json!({ "at": incident.created, "assignee": user }))
        .collect();
    whole["assignees"] = json!(assignees);
    whole["teams"] = json!([]);
    whole["resolve_reason"] = Value::Null;
    whole["priority"] = incident.priority.as_ref().map_or(Value::Null, |priority| {
        reference(
            "priority",
            "priorities",
            &format!("PRI{priority}"),
            priority,
        )
    });
    whole["incidents_responders"] = incident
        .responders
        .iter()
        .map(|(user, state_word)| json!({ "state": state_word, "user": state.user_ref(user) }))
        .collect();
    whole
}

pub(super) async fn list(Held(pagerduty): Held<PagerDuty>, Query(pairs): Query<Pairs>) -> Answer {
    let (statuses, services) = (many(&pairs, "statuses[]"), many(&pairs, "service_ids[]"));
    let state = pagerduty.state();
    let found: Vec<Value> = state
        .incidents
        .iter()
        .filter(|it| statuses.is_empty() || statuses.contains(&it.status))
        .filter(|it| services.is_empty() || services.contains(&it.service))
        .map(|it| shown(&state, it))
        .collect();
    page("incidents", &found, &pairs)
}

pub(super) async fn show(Held(pagerduty): Held<PagerDuty>, Path(id): Path<String>) -> Answer {
    let state = pagerduty.state();
    match state.incident(&id) {
        Some(incident) => Ok(Json(json!({ "incident": shown(&state, incident) })).into_response()),
        None => Err(not_found()),
    }
}

/// `From` must be the e-mail of a user of the account.
fn from(state: &State, headers: &HeaderMap) -> Result<String, Refused> {
    let said = headers.get("from").and_then(|value| value.to_str().ok());
    let user = said.and_then(|email| state.user_of(email));
    user.map(|user| user.id.to_owned())
        .ok_or_else(|| refused(StatusCode::BAD_REQUEST, "Requester User Not Found", 1008))
}

fn json_of(body: &Bytes) -> Result<Value, Refused> {
    serde_json::from_slice(body).map_err(|_| invalid(&[]))
}

pub(super) async fn create(
    Held(pagerduty): Held<PagerDuty>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let wanted = json_of(&body)?["incident"].clone();
    from(&pagerduty.state(), &headers)?;
    let (Some(title), Some(service)) = (wanted["title"].as_str(), wanted["service"]["id"].as_str())
    else {
        return Err(invalid(&[]));
    };
    let Some(id) = pagerduty.triggers(service, title) else {
        return Err(not_found());
    };
    let state = pagerduty.state();
    let made = state.incident(&id).map(|incident| shown(&state, incident));
    Ok((StatusCode::CREATED, Json(json!({ "incident": made }))).into_response())
}

pub(super) async fn change_many(
    Held(pagerduty): Held<PagerDuty>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let wanted = json_of(&body)?["incidents"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if wanted.len() > MOST_AT_ONCE {
        return Err(refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Request Entity Too Large",
            2001,
        ));
    }
    let by = from(&pagerduty.state(), &headers)?;
    let mut changed = Vec::new();
    for one in wanted {
        let id = one["id"].as_str().unwrap_or_default().to_owned();
        pagerduty.put(&id, &one, &by)?;
        let state = pagerduty.state();
        changed.extend(state.incident(&id).map(|incident| shown(&state, incident)));
    }
    Ok(Json(json!({ "incidents": changed })).into_response())
}

pub(super) async fn change(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let wanted = json_of(&body)?["incident"].clone();
    let by = from(&pagerduty.state(), &headers)?;
    pagerduty.put(&id, &wanted, &by)?;
    let state = pagerduty.state();
    let changed = state.incident(&id).map(|incident| shown(&state, incident));
    Ok(Json(json!({ "incident": changed })).into_response())
}

impl PagerDuty {
    /// A status as PUT: on a resolved incident any other status re-opens it.
    fn put(&self, id: &str, wanted: &Value, by: &str) -> Result<(), Refused> {
        let now = self
            .state()
            .incident(id)
            .map(|incident| incident.status)
            .ok_or_else(not_found)?;
        match (now, wanted["status"].as_str()) {
            ("resolved", Some("resolved")) => Err(refused(
                StatusCode::BAD_REQUEST,
                "Incident Already Resolved",
                1001,
            )),
            ("resolved", Some(status @ ("triggered" | "acknowledged"))) => {
                self.becomes(
                    id,
                    if status == "triggered" {
                        "triggered"
                    } else {
                        "acknowledged"
                    },
                    "reopened",
                    Some(by),
                );
                Ok(())
            }
            ("acknowledged", Some("acknowledged")) => Err(refused(
                StatusCode::BAD_REQUEST,
                "Incident Already Acknowledged",
                1002,
            )),
            (_, Some("acknowledged")) => {
                self.becomes(id, "acknowledged", "acknowledged", Some(by));
                Ok(())
            }
            (_, Some("resolved")) => {
                self.becomes(id, "resolved", "resolved", Some(by));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

pub(super) async fn notes(Held(pagerduty): Held<PagerDuty>, Path(id): Path<String>) -> Answer {
    match pagerduty.state().incident(&id) {
        Some(incident) => Ok(Json(json!({ "notes": incident.notes })).into_response()),
        None => Err(not_found()),
    }
}

pub(super) async fn add_note(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let wanted = json_of(&body)?;
    let by = from(&pagerduty.state(), &headers)?;
    let Some(content) = wanted["note"]["content"]
        .as_str()
        .filter(|it| !it.is_empty())
    else {
        return Err(invalid(&[]));
    };
    match pagerduty.annotates(&id, &by, content) {
        Some(note) => Ok(Json(json!({ "note": note })).into_response()),
        None => Err(not_found()),
    }
}

pub(super) async fn log_entries(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    Query(pairs): Query<Pairs>,
) -> Answer {
    match pagerduty.state().incident(&id) {
        Some(incident) => page("log_entries", &incident.log, &pairs),
        None => Err(not_found()),
    }
}

/// Pages people: needs the ability, and somebody who asks.
pub(super) async fn ask_responders(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let wanted = json_of(&body)?;
    let able = |state: &State| {
        state
            .abilities
            .iter()
            .any(|it| it == "coordinated_responding")
    };
    if pagerduty.core.faults.is_on(Fate::Unpaid) || !able(&pagerduty.state()) {
        return Err(refused(
            StatusCode::PAYMENT_REQUIRED,
            "Account does not have the abilities to perform the action",
            2014,
        ));
    }
    let message = wanted["message"].as_str().unwrap_or_default().to_owned();
    let requester = match wanted["requester_id"].as_str() {
        None | Some("") => {
            return Err(Refused {
                code: 2011,
                ..invalid(&["requester_id is missing"])
            });
        }
        Some(id) if pagerduty.state().user(id).is_none() => {
            return Err(refused(
                StatusCode::BAD_REQUEST,
                "Requester User Not Found",
                1008,
            ));
        }
        Some(id) => id.to_owned(),
    };
    let now = pagerduty.now();
    let mut asked = Vec::new();
    for target in wanted["responder_request_targets"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let target = &target["responder_request_target"];
        let (kind, of) = (
            target["type"].as_str().unwrap_or_default(),
            target["id"].as_str().unwrap_or_default(),
        );
        let users = members(&pagerduty.state(), kind, of, now);
        if users.is_empty() {
            return Err(invalid(&["responder_request_target is not found"]));
        }
        let mut states = Vec::new();
        for user in users {
            if !pagerduty.responder_added(&id, &user, &requester, &message) {
                return Err(not_found());
            }
            states.push(json!({ "state": "pending", "user": pagerduty.state().user_ref(&user) }));
        }
        let word = kind.strip_suffix("_reference").unwrap_or(kind);
        asked.push(json!({ "responder_request_target": { "type": word, "id": of, "incidents_responders": states } }));
    }
    let state = pagerduty.state();
    let incident = state.incident(&id).map(|incident| shown(&state, incident));
    let asked = json!({ "responder_request": {
        "incident": incident, "requester": state.user_ref(&requester), "requested_at": now,
        "message": message, "responder_request_targets": asked,
    } });
    Ok(Json(asked).into_response())
}

fn members(state: &State, kind: &str, id: &str, now: Timestamp) -> Vec<String> {
    match kind {
        "user_reference" => state
            .user(id)
            .map(|user| user.id.to_owned())
            .into_iter()
            .collect(),
        "escalation_policy_reference" => state.first_of(id, now),
        _ => Vec::new(),
    }
}
