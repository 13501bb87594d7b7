//! The page to try the bot in: its assets, what it shows, and what its visitors do, on the sandbox's own origin.

use std::convert::Infallible;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{
        IntoResponse, Redirect, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;

use super::slack::{Clicked, Slack};

/// The page's routes.
pub fn router(slack: Slack) -> Router {
    let asset = |kind: &'static str, body: &'static str| {
        get(move || async move {
            let headers = [
                (header::CONTENT_TYPE, kind),
                (header::CACHE_CONTROL, "no-cache"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ];
            (headers, body)
        })
    };
    Router::new()
        .route(
            "/",
            asset("text/html; charset=utf-8", include_str!("page/index.html")),
        )
        .route(
            "/page.css",
            asset("text/css; charset=utf-8", include_str!("page/page.css")),
        )
        .route(
            "/page.js",
            asset(
                "text/javascript; charset=utf-8",
                include_str!("page/page.js"),
            ),
        )
        .route("/archives/{channel}/{message}", get(permalink))
        .route("/sandbox/state", get(state))
        .route("/sandbox/events", get(events))
        .route("/sandbox/journal", get(journal))
        .route("/sandbox/files/{id}/{name}", get(file))
        .route("/sandbox/type", post(types))
        .route("/sandbox/click", post(click))
        .route("/sandbox/shortcut", post(shortcut))
        .route("/sandbox/submit", post(submit))
        .route("/sandbox/close_view", post(close_view))
        .route("/sandbox/fault", post(fault))
        .route("/sandbox/react", post(react))
        .with_state(slack)
}

/// Nothing from elsewhere, nothing inline but styles: what a bot posts can never run here.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'";

/// A link that `chat.getPermalink` gave out leads to the page, with the message named after the `#`.
async fn permalink(Path((channel, message)): Path<(String, String)>) -> Redirect {
    let digits = message.trim_start_matches('p');
    let (seconds, micros) = digits
        .split_at_checked(digits.len().saturating_sub(6))
        .unwrap_or((digits, ""));
    Redirect::to(&format!("/#{channel}/{seconds}.{micros}"))
}

async fn state(State(slack): State<Slack>) -> Json<Value> {
    Json(slack.page_state())
}

async fn events(State(slack): State<Slack>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stop = slack.stopped();
    let changes = slack.changes();
    let hello = stream::once(async { Ok(Event::default().data(r#"{"type":"hello"}"#)) });
    let changes = stream::unfold((changes, stop), |(mut changes, stop)| async move {
        let next = stop.run_until_cancelled(next(&mut changes)).await??;
        Some((Ok(Event::default().data(next)), (changes, stop)))
    });
    Sse::new(futures_util::StreamExt::chain(hello, changes)).keep_alive(KeepAlive::default())
}

/// A page that lags too far behind is cut off: it connects again and reads everything afresh.
async fn next(changes: &mut Receiver<String>) -> Option<String> {
    changes.recv().await.ok()
}

async fn journal(State(slack): State<Slack>) -> Response {
    let lines: String = slack
        .journal()
        .iter()
        .map(|entry| json!(entry).to_string() + "\n")
        .collect();
    (
        [(header::CONTENT_TYPE, "application/jsonl; charset=utf-8")],
        lines,
    )
        .into_response()
}

async fn file(State(slack): State<Slack>, Path((id, name)): Path<(String, String)>) -> Response {
    // A document opens as one, in a box of its own that can load and run nothing: it must need nothing.
    let ending = std::path::Path::new(&name).extension();
    let kind = if ending.is_some_and(|ending| ending.eq_ignore_ascii_case("html")) {
        "text/html; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, "inline"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
    ];
    match slack.file(&id) {
        Some(bytes) => (headers, bytes).into_response(),
        None => (StatusCode::NOT_FOUND, "No such file.").into_response(),
    }
}

#[derive(Deserialize)]
struct TypeForm {
    person: String,
    channel: String,
    thread_ts: Option<String>,
    text: String,
}

async fn types(State(slack): State<Slack>, Json(form): Json<TypeForm>) -> Json<Value> {
    let thread = form.thread_ts.as_deref().filter(|ts| !ts.is_empty());
    let typed = slack
        .types(&form.person, &form.channel, thread, &form.text)
        .await;
    let mut answer = json!({
        "ok": typed.error.is_none(), "kind": typed.kind.word(), "trigger_id": typed.trigger_id, "ts": typed.ts,
        "ack_ms": typed.took.map(|took| took.as_secs_f64() * 1_000.0), "ack": typed.ack,
    });
    if let Some(error) = typed.error {
        answer["error"] = error.into();
    }
    Json(answer)
}

#[derive(Deserialize)]
struct ClickForm {
    person: String,
    channel: String,
    message_ts: String,
    block_id: Option<String>,
    action_id: String,
    option: Option<String>,
}

async fn click(State(slack): State<Slack>, Json(form): Json<ClickForm>) -> Json<Value> {
    let block = form.block_id.as_deref().filter(|id| !id.is_empty());
    let option = form.option.as_deref();
    let clicked = slack
        .uses(
            &form.person,
            &form.channel,
            &form.message_ts,
            block,
            &form.action_id,
            option,
        )
        .await;
    Json(answer(clicked))
}

#[derive(Deserialize)]
struct ShortcutForm {
    person: String,
    channel: String,
    message_ts: String,
    callback_id: String,
}

async fn shortcut(State(slack): State<Slack>, Json(form): Json<ShortcutForm>) -> Json<Value> {
    let clicked = slack
        .shortcut(
            &form.person,
            &form.channel,
            &form.message_ts,
            &form.callback_id,
        )
        .await;
    Json(answer(clicked))
}

#[derive(Deserialize)]
struct SubmitForm {
    person: String,
    view_id: String,
    #[serde(default)]
    values: Value,
}

async fn submit(State(slack): State<Slack>, Json(form): Json<SubmitForm>) -> Json<Value> {
    Json(answer(
        slack
            .submits(&form.person, &form.view_id, &form.values)
            .await,
    ))
}

async fn close_view(State(slack): State<Slack>, Json(form): Json<SubmitForm>) -> Json<Value> {
    Json(answer(slack.closes(&form.person, &form.view_id).await))
}

/// What a form's errors and the like come back in.
fn answer(clicked: Clicked) -> Value {
    let mut answer = json!({
        "ok": clicked.error.is_none(), "trigger_id": clicked.trigger_id,
        "ack_ms": clicked.took.map(|took| took.as_secs_f64() * 1_000.0),
    });
    if let Some(Value::Object(ack)) = clicked.ack {
        for name in ["response_action", "errors"] {
            if let Some(value) = ack.get(name) {
                answer[name] = value.clone();
            }
        }
    }
    if let Some(error) = clicked.error {
        answer["error"] = error.into();
    }
    answer
}

#[derive(Deserialize)]
struct FaultForm {
    name: String,
    on: bool,
}

async fn fault(State(slack): State<Slack>, Json(form): Json<FaultForm>) -> Json<Value> {
    if slack.set_fault(&form.name, form.on) {
        return Json(json!({"ok": true}));
    }
    Json(json!({"ok": false, "error": "unknown_fault"}))
}

#[derive(Deserialize)]
struct ReactForm {
    person: String,
    channel: String,
    message_ts: String,
    name: String,
}

async fn react(State(slack): State<Slack>, Json(form): Json<ReactForm>) -> Json<Value> {
    match slack.reacts(&form.person, &form.channel, &form.message_ts, &form.name) {
        Ok(()) => Json(json!({"ok": true})),
        Err(error) => Json(json!({"ok": false, "error": error})),
    }
}
