//! `/users`, `/abilities`, `/escalation_policies`: who there is and what the account may do.

use axum::{
    Json,
    extract::{Path, Query, State as Held},
    http::StatusCode,
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::{
    Answer, PagerDuty, Pairs,
    faults::Fate,
    not_found, one, refused,
    state::{self, reference},
};

/// What a list gives when nobody says how much.
const PAGE: usize = 25;
/// The most a list gives.
const MOST: usize = 100;
/// The furthest a classic list reaches.
const FURTHEST: usize = 10_000;

/// A classic list's page of these.
pub(super) fn page(name: &str, all: &[Value], pairs: &Pairs) -> Answer {
    let number = |name: &str| one(pairs, name).and_then(|word| word.parse().ok());
    let limit = number("limit").unwrap_or(PAGE).clamp(1, MOST);
    let offset: usize = number("offset").unwrap_or(0);
    if limit.saturating_add(offset) > FURTHEST {
        return Err(refused(
            StatusCode::BAD_REQUEST,
            "Offset must be less than 10000",
            2001,
        ));
    }
    let shown: Vec<&Value> = all.iter().skip(offset).take(limit).collect();
    let more = offset.saturating_add(limit) < all.len();
    let mut body = json!({ "limit": limit, "offset": offset, "more": more, "total": null });
    body[name] = json!(shown);
    Ok(Json(body).into_response())
}

pub(super) async fn abilities(Held(pagerduty): Held<PagerDuty>) -> Json<Value> {
    let mut abilities = pagerduty.state().abilities.clone();
    if pagerduty.core.faults.is_on(Fate::Unpaid) {
        abilities.retain(|ability| ability != "coordinated_responding");
    }
    Json(json!({ "abilities": abilities }))
}

pub(super) async fn list(Held(pagerduty): Held<PagerDuty>, Query(pairs): Query<Pairs>) -> Answer {
    let query = one(&pairs, "query").unwrap_or_default().to_lowercase();
    let state = pagerduty.state();
    let found: Vec<Value> = state
        .users
        .iter()
        .filter(|user| user.name.to_lowercase().contains(&query) || user.email.contains(&query))
        .map(state::User::whole)
        .collect();
    page("users", &found, &pairs)
}

pub(super) async fn show(Held(pagerduty): Held<PagerDuty>, Path(id): Path<String>) -> Answer {
    match pagerduty.state().user(&id) {
        Some(user) => Ok(Json(json!({ "user": user.whole() })).into_response()),
        None => Err(not_found()),
    }
}

pub(super) async fn contact_methods(
    Held(pagerduty): Held<PagerDuty>,
    Path(id): Path<String>,
) -> Answer {
    match pagerduty.state().user(&id) {
        Some(user) => {
            Ok(Json(json!({ "contact_methods": user.contact_methods() })).into_response())
        }
        None => Err(not_found()),
    }
}

pub(super) async fn policies(
    Held(pagerduty): Held<PagerDuty>,
    Query(pairs): Query<Pairs>,
) -> Answer {
    let query = one(&pairs, "query").unwrap_or_default().to_lowercase();
    let state = pagerduty.state();
    let found: Vec<Value> = state
        .policies
        .iter()
        .filter(|policy| policy.name.to_lowercase().contains(&query))
        .map(|policy| {
            let mut whole = reference(
                "escalation_policy",
                "escalation_policies",
                policy.id,
                policy.name,
            );
            whole["type"] = json!("escalation_policy");
            whole["name"] = json!(policy.name);
            whole
        })
        .collect();
    page("escalation_policies", &found, &pairs)
}
