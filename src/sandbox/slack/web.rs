//! The Web API's front door: method, token, scope, fault, then the method itself.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, Path, Query, State, WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    args::{self, Answer, Args, Refused},
    chat, conversations,
    core::Core,
    faults::Fate,
    files, marks, response_url, socket, users, views,
    wire::Reset,
};

/// How much later everything is answered while Slack is slow.
const SLOW: Duration = Duration::from_secs(2);

/// Which token a method takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Bot,
    App,
}

/// A method's token and the scopes of which it needs one.
fn needs(method: &str) -> Option<(Takes, &'static [&'static str])> {
    const READ: &[&str] = &["channels:read", "groups:read", "im:read", "mpim:read"];
    const HISTORY: &[&str] = &[
        "channels:history",
        "groups:history",
        "im:history",
        "mpim:history",
    ];
    const MANAGE: &[&str] = &["channels:manage", "groups:write"];
    let scopes: &[&str] = match method {
        "apps.connections.open" => return Some((Takes::App, &[])),
        "api.test" | "auth.test" | "chat.getPermalink" | "views.open" | "views.push"
        | "views.update" | "views.publish" => &[],
        "chat.postMessage" | "chat.postEphemeral" | "chat.update" | "chat.delete" => {
            &["chat:write"]
        }
        "conversations.info" | "conversations.list" | "conversations.members" => READ,
        "conversations.history" | "conversations.replies" => HISTORY,
        "conversations.open" => &["im:write", "mpim:write"],
        "conversations.join" => &["channels:join"],
        "conversations.create" | "conversations.archive" => MANAGE,
        "conversations.invite" => &["channels:manage", "groups:write", "channels:write.invites"],
        "conversations.setTopic" | "conversations.setPurpose" => {
            &["channels:manage", "groups:write", "channels:write.topic"]
        }
        "users.info" | "users.list" => &["users:read"],
        "users.lookupByEmail" => &["users:read.email"],
        "usergroups.list" | "usergroups.users.list" => &["usergroups:read"],
        "reactions.add" | "reactions.remove" => &["reactions:write"],
        "pins.add" | "pins.remove" => &["pins:write"],
        "pins.list" => &["pins:read"],
        "bookmarks.add" => &["bookmarks:write"],
        "bookmarks.list" => &["bookmarks:read"],
        "files.getUploadURLExternal" | "files.completeUploadExternal" => &["files:write"],
        "files.info" => &["files:read"],
        _ => return None,
    };
    Some((Takes::Bot, scopes))
}

fn run(core: &Arc<Core>, method: &str, args: &Args) -> Answer {
    match method {
        "api.test" => Ok(json!({})),
        "auth.test" => users::auth_test(core),
        "apps.connections.open" => {
            let ticket = core.sockets.ticket();
            let host = core.origin.replacen("http", "ws", 1);
            Ok(json!({"url": format!("{host}/link/?ticket={ticket}&app_id={}", core.bot.app_id)}))
        }
        "chat.postMessage" => chat::post_message(core, args),
        "chat.postEphemeral" => chat::post_ephemeral(core, args),
        "chat.update" => chat::update(core, args),
        "chat.delete" => chat::delete(core, args),
        "chat.getPermalink" => chat::permalink(core, args),
        "conversations.info" => conversations::info(core, args),
        "conversations.list" => conversations::list(core, args),
        "conversations.members" => conversations::members(core, args),
        "conversations.history" => conversations::history(core, args),
        "conversations.replies" => conversations::replies(core, args),
        "conversations.open" => conversations::open(core, args),
        "conversations.join" => conversations::join(core, args),
        "conversations.create" => conversations::create(core, args),
        "conversations.invite" => conversations::invite(core, args),
        "conversations.archive" => conversations::archive(core, args),
        "conversations.setTopic" => conversations::describe(core, args, "topic"),
        "conversations.setPurpose" => conversations::describe(core, args, "purpose"),
        "users.info" => users::info(core, args),
        "users.list" => users::list(core),
        "users.lookupByEmail" => users::by_email(core, args),
        "usergroups.list" => users::groups(core, args),
        "usergroups.users.list" => users::group_users(core, args),
        "reactions.add" => marks::react(core, args),
        "reactions.remove" => marks::unreact(core, args),
        "pins.add" => marks::pin(core, args, true),
        "pins.remove" => marks::pin(core, args, false),
        "pins.list" => marks::pins(core, args),
        "bookmarks.add" => marks::bookmark(core, args),
        "bookmarks.list" => marks::bookmarks(core, args),
        "files.getUploadURLExternal" => files::upload_url(core, args),
        "files.completeUploadExternal" => files::complete(core, args),
        "files.info" => files::info(core, args),
        "views.open" => views::open(core, args),
        "views.push" => views::push(core, args),
        "views.update" => views::update(core, args),
        "views.publish" => views::publish(core, args),
        _ => Err("unknown_method".into()),
    }
}

/// The right token, of the right kind, with a scope that will do.
fn admitted(core: &Core, method: &str, token: Option<&str>) -> Result<(), Refused> {
    let Some((takes, scopes)) = needs(method) else {
        let mut refused = Refused::from("unknown_method");
        refused.more.insert("req_method".into(), method.into());
        return Err(refused);
    };
    if method == "api.test" {
        return Ok(());
    }
    let token = token.ok_or(Refused::from("not_authed"))?;
    let kind = if token == core.bot.bot_token {
        Takes::Bot
    } else if token == core.bot.app_token {
        Takes::App
    } else {
        return Err("invalid_auth".into());
    };
    if kind != takes {
        return Err("not_allowed_token_type".into());
    }
    let has = |scope: &&'static str| core.bot.scopes.iter().any(|had| had == scope);
    if scopes.is_empty() || scopes.iter().any(has) {
        return Ok(());
    }
    let mut refused = Refused::from("missing_scope");
    refused.more.insert("needed".into(), scopes[0].into());
    refused
        .more
        .insert("provided".into(), core.bot.scopes.join(",").into());
    Err(refused)
}

/// One Web API call.
pub(super) async fn call(
    State(core): State<Arc<Core>>,
    ConnectInfo(line): ConnectInfo<Reset>,
    Path(method): Path<String>,
    verb: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if core.faults.is_slow() {
        tokio::time::sleep(SLOW).await;
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let args = Args::read(&verb, &uri, content_type, body).await;
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::to_owned);
    let fate = core.faults.fate();
    let done = fate.is_done();
    let (shown, answer) = match args {
        Err(refused) => (json!({}), Err(refused)),
        Ok(mut args) => {
            // A token may come as an argument instead of a header.
            let argument = args.0.remove("token");
            let argument = argument.and_then(|token| token.as_str().map(str::to_owned));
            let token = bearer.or(argument).filter(|token| !token.trim().is_empty());
            let answer = if done {
                let admitted = admitted(&core, &method, token.as_deref());
                admitted.and_then(|()| run(&core, &method, &args))
            } else {
                Ok(json!({}))
            };
            (Value::Object(args.0), answer)
        }
    };
    let error = answer.as_ref().err().map(|refused| refused.error.as_str());
    let note = json!({
        "verb": verb.as_str(), "args": shown, "error": error,
        "fate": fate.word(),
        "done": done && error.is_none(),
        "ts": answer.as_ref().ok().and_then(|answer| answer.get("ts")),
    });
    core.journal.note("api", method, note);
    match fate {
        Fate::Answered => answered(&core, answer),
        Fate::TooMany => answered(&core, Err(Refused::rate_limited(1))),
        Fate::Error { .. } => broken(None),
        Fate::Reset { .. } => broken(Some(&line)),
    }
}

/// A server's own error, or nothing at all and a connection that is reset.
fn broken(line: Option<&Reset>) -> Response {
    if let Some(line) = line {
        line.reset();
    }
    (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into_response()
}

fn answered(core: &Core, answer: Answer) -> Response {
    let mut response = match answer {
        Ok(mut body) => {
            body["ok"] = true.into();
            Json(body).into_response()
        }
        Err(refused) => {
            let mut response = Json(refused.body()).into_response();
            if let Some(seconds) = refused.retry_after {
                *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
    };
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    if let Ok(scopes) = HeaderValue::from_str(&core.bot.scopes.join(",")) {
        headers.insert("x-oauth-scopes", scopes);
    }
    response
}

/// The ticket of a socket.
#[derive(Deserialize)]
pub(super) struct Ticket {
    ticket: String,
}

/// A socket opens, with a ticket that has not been used.
pub(super) async fn link(
    State(core): State<Arc<Core>>,
    ConnectInfo(line): ConnectInfo<Reset>,
    Query(Ticket { ticket }): Query<Ticket>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if core.faults.is_down() {
        line.reset();
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if !core.sockets.spend(&ticket) {
        core.journal
            .note("socket", "refused", json!({"why": "ticket"}));
        return (StatusCode::FORBIDDEN, "invalid ticket").into_response();
    }
    upgrade.on_upgrade(|socket| socket::serve(core, socket))
}

/// The bytes of a file arrive.
pub(super) async fn upload(
    State(core): State<Arc<Core>>,
    ConnectInfo(line): ConnectInfo<Reset>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if core.faults.is_down() {
        line.reset();
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let bytes = args::uploaded(headers.get(header::CONTENT_TYPE), body).await;
    let taken = bytes
        .ok_or("no_file")
        .and_then(|bytes| files::take(&core, &id, bytes));
    core.journal
        .note("upload", &id, json!({"error": taken.as_ref().err()}));
    match taken {
        Ok(said) => said.into_response(),
        Err("file_not_found") => (StatusCode::NOT_FOUND, "file_not_found").into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

/// A post to a `response_url`.
pub(super) async fn respond(
    State(core): State<Arc<Core>>,
    ConnectInfo(line): ConnectInfo<Reset>,
    Path((_, id)): Path<(String, String)>,
    verb: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if core.faults.is_down() {
        line.reset();
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let fate = core.faults.fate();
    let args = Args::read(&verb, &uri, headers.get(header::CONTENT_TYPE), body).await;
    let result = match args {
        Ok(_) if !fate.is_done() => Ok(()),
        Ok(args) => {
            // A form carries the whole message in one field.
            let inner = args.shape("payload").ok().flatten();
            let fields = inner.as_ref().and_then(Value::as_object).cloned();
            response_url::post(&core, &id, &fields.map_or(args, Args))
        }
        Err(refused) => Err((400, refused.error)),
    };
    let status = result.as_ref().err().map_or(200, |(status, _)| *status);
    // The URL is a credential, so the journal keeps no more than that it was used.
    let note =
        json!({"status": status, "fate": fate.word(), "done": fate.is_done() && status == 200});
    core.journal.note("response_url", "post", note);
    match (fate, result) {
        (Fate::TooMany, _) => answered(&core, Err(Refused::rate_limited(1))),
        (Fate::Error { .. }, _) => broken(None),
        (Fate::Reset { .. }, _) => broken(Some(&line)),
        (Fate::Answered, Ok(())) => "ok".into_response(),
        (Fate::Answered, Err((status, body))) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            (status, body).into_response()
        }
    }
}
