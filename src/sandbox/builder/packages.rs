//! Packages and channels, below `/v1/depot`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Kind;
use super::refusal::Refusal;
use super::state::{Release, words};
use super::{Answer, Builder, authenticated};

/// Entries on a page of a list.
const PAGE: usize = 50;

fn ident(ident: &str) -> Value {
    let [origin, name, version, release] = words(ident);
    json!({ "origin": origin, "name": name, "version": version, "release": release })
}

fn package(release: &Release) -> Value {
    let deps: Vec<Value> = release.deps.iter().map(|dep| ident(dep)).collect();
    json!({
        "ident": ident(&release.ident),
        "checksum": "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15a7b1d4c2c6d2f7e1a2b3c4d5",
        "manifest": "",
        "target": "x86_64-linux",
        "deps": deps,
        "tdeps": deps,
        "exposes": [],
        "config": "",
        "visibility": "public",
        "channels": release.channels,
    })
}

pub(super) async fn origin(State(builder): State<Builder>, Path(origin): Path<String>) -> Answer {
    if !builder.depot().origins.contains_key(&origin) {
        return Err(Refusal::not_found("vt:origin-get:0"));
    }
    let body = json!({
        "id": "705705305031319582",
        "name": origin,
        "owner_id": "721096872374083614",
        "private_key_name": format!("{origin}-20160810182414"),
        "default_package_visibility": "public",
    });
    Ok(Json(body).into_response())
}

#[derive(Deserialize)]
pub(super) struct Channels {
    sandbox: Option<String>,
}

pub(super) async fn channels(
    State(builder): State<Builder>,
    Path(origin): Path<String>,
    Query(query): Query<Channels>,
) -> Answer {
    let depot = builder.depot();
    let own = depot.channels.get(&origin);
    let own = own.ok_or_else(|| Refusal::not_found("vt:origin-get:0"))?;
    let all = query.sandbox.as_deref() == Some("true");
    let listed: Vec<Value> = own
        .iter()
        .filter(|name| all || !name.starts_with("bldr-"))
        .map(|name| json!({ "name": name }))
        .collect();
    Ok(Json(listed).into_response())
}

type Channel = Path<(String, String)>;

pub(super) async fn create_channel(
    State(builder): State<Builder>,
    Path((origin, channel)): Channel,
    headers: HeaderMap,
) -> Answer {
    authenticated(&headers)?;
    let mut depot = builder.depot();
    if !depot.is_member(&origin) {
        return Err(Refusal::bare(StatusCode::FORBIDDEN));
    }
    let own = depot.channels.entry(origin).or_default();
    if !own.insert(channel.clone()) {
        return Err(Refusal::coded(
            StatusCode::CONFLICT,
            9,
            "vt:origin-channel-create:1",
        ));
    }
    let body = json!({ "id": "705705305031319999", "name": channel });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(super) async fn delete_channel(
    State(builder): State<Builder>,
    Path((origin, channel)): Channel,
    headers: HeaderMap,
) -> Answer {
    authenticated(&headers)?;
    let mut depot = builder.depot();
    if !depot.is_member(&origin) || matches!(channel.as_str(), "stable" | "unstable") {
        return Err(Refusal::bare(StatusCode::FORBIDDEN));
    }
    if !depot.channels.entry(origin).or_default().remove(&channel) {
        return Err(Refusal::not_found("vt:origin-channel-get:0"));
    }
    for release in &mut depot.packages {
        release.channels.retain(|it| *it != channel);
    }
    Ok(StatusCode::OK.into_response())
}

#[derive(Deserialize)]
pub(super) struct Range {
    range: Option<usize>,
}

pub(super) async fn list(
    State(builder): State<Builder>,
    Path((origin, channel, name)): Path<(String, String, String)>,
    Query(Range { range }): Query<Range>,
) -> Answer {
    let depot = builder.depot();
    let all = depot.listed(&format!("{origin}/{name}"), None, &channel);
    if all.is_empty() {
        return Err(Refusal::not_found("vt:origin-package-list:0"));
    }
    let start = range.unwrap_or_default().min(all.len());
    let page = &all[start..all.len().min(start + PAGE)];
    let more = start + page.len() < all.len();
    let body = json!({
        "range_start": start,
        "range_end": (start + page.len()).saturating_sub(1),
        "total_count": all.len(),
        "data": page.iter().map(|release| ident(&release.ident)).collect::<Vec<_>>(),
    });
    let status = if more {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    Ok((status, Json(body)).into_response())
}

pub(super) async fn latest(
    State(builder): State<Builder>,
    Path((origin, channel, name)): Path<(String, String, String)>,
) -> Answer {
    newest(&builder, &format!("{origin}/{name}"), None, &channel)
}

pub(super) async fn latest_of_version(
    State(builder): State<Builder>,
    Path((origin, channel, name, version)): Path<(String, String, String, String)>,
) -> Answer {
    newest(
        &builder,
        &format!("{origin}/{name}"),
        Some(&version),
        &channel,
    )
}

fn newest(builder: &Builder, name: &str, version: Option<&str>, channel: &str) -> Answer {
    let depot = builder.depot();
    let listed = depot.listed(name, version, channel);
    let newest = listed.first();
    let newest = newest.ok_or_else(|| Refusal::not_found("vt:origin-package-latest-get:0"))?;
    Ok(Json(package(newest)).into_response())
}

type Full = Path<(String, String, String, String)>;

pub(super) async fn show(State(builder): State<Builder>, Path(words): Full) -> Answer {
    let ident = joined(words);
    let depot = builder.depot();
    let found = depot.release(&ident);
    let found = found.ok_or_else(|| Refusal::not_found("vt:origin-package-get:0"))?;
    Ok(Json(package(found)).into_response())
}

pub(super) async fn channels_of(State(builder): State<Builder>, Path(words): Full) -> Answer {
    let ident = joined(words);
    let depot = builder.depot();
    if depot.release(&ident).is_none() {
        return Err(Refusal::not_found("vt:origin-package-get:0"));
    }
    Ok(Json(depot.channels_of(&ident)).into_response())
}

fn joined((origin, name, version, release): (String, String, String, String)) -> String {
    format!("{origin}/{name}/{version}/{release}")
}

type InChannel = Path<(String, String, String, String, String)>;

pub(super) async fn promote(
    State(builder): State<Builder>,
    Path((origin, channel, name, version, release)): InChannel,
    headers: HeaderMap,
) -> Answer {
    authenticated(&headers)?;
    if builder.is(Kind::Swallows) {
        return Ok(StatusCode::OK.into_response());
    }
    let mut depot = builder.depot();
    if !depot.is_member(&origin) {
        let site = "core:promote-package-to-channel:0";
        return Err(Refusal::coded(StatusCode::UNAUTHORIZED, 7, site));
    }
    if !depot.has_channel(&origin, &channel) {
        return Err(Refusal::not_found("vt:origin-channel-get:0"));
    }
    if !depot.promote(&joined((origin, name, version, release)), &channel) {
        return Err(Refusal::not_found("vt:origin-package-get:0"));
    }
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn demote(
    State(builder): State<Builder>,
    Path((origin, channel, name, version, release)): InChannel,
    headers: HeaderMap,
) -> Answer {
    authenticated(&headers)?;
    if builder.is(Kind::Swallows) {
        return Ok(StatusCode::OK.into_response());
    }
    let mut depot = builder.depot();
    if channel == "unstable" || !depot.is_member(&origin) {
        return Err(Refusal::bare(StatusCode::FORBIDDEN));
    }
    if !depot.has_channel(&origin, &channel) {
        return Err(Refusal::not_found("vt:origin-channel-get:0"));
    }
    if !depot.demote(&joined((origin, name, version, release)), &channel) {
        return Err(Refusal::not_found("vt:origin-package-get:0"));
    }
    Ok(StatusCode::OK.into_response())
}
