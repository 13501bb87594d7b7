//! `PagerDuty`'s REST API v2, the smallest honest part: whether a token works, and who the users are.

use axum::extract::{Query, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What a list gives when nobody says how much.
const PAGE: usize = 25;
/// The most a list gives.
const MOST: usize = 100;
/// The furthest a classic list reaches.
const FURTHEST: usize = 10_000;

/// The people of the sandbox's account: id, name, e-mail.
const USERS: [(&str, &str, &str); 4] = [
    ("PANA001", "Ana Lima", "ana@habitat.example"),
    ("PBOH002", "Bo Haugen", "bo@habitat.example"),
    ("PCYD003", "Cyd Okafor", "cyd@habitat.example"),
    ("PHAB004", "habops", "habops@habitat.example"),
];

/// Answers on the listener until stopped. Any key of the form `PagerDuty` knows is let in.
pub fn start(listener: TcpListener, stop: CancellationToken) {
    let router = Router::new()
        .route("/abilities", get(abilities))
        .route("/users", get(users))
        .fallback(async || refused(StatusCode::NOT_FOUND, "Not Found", 2100))
        .layer(from_fn(authenticate));
    tokio::spawn(async move {
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the sandbox's PagerDuty ended");
        }
    });
}

/// `Authorization: Token token=KEY`, to the letter.
async fn authenticate(request: Request, next: Next) -> Response {
    let key = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Token token="));
    match key {
        Some(key) if !key.is_empty() => next.run(request).await,
        _ => refused(StatusCode::UNAUTHORIZED, "Authentication failed", 2006),
    }
}

fn refused(status: StatusCode, message: &str, code: u32) -> Response {
    (
        status,
        Json(json!({ "error": { "message": message, "code": code } })),
    )
        .into_response()
}

async fn abilities() -> Json<Value> {
    Json(
        json!({ "abilities": ["teams", "coordinated_responding", "webhook_v3", "status_updates"] }),
    )
}

/// The parameters of a classic list.
#[derive(Deserialize)]
struct List {
    query: Option<String>,
    limit: Option<usize>,
    offset: Option<usize>,
}

async fn users(Query(list): Query<List>) -> Response {
    let (limit, offset) = (
        list.limit.unwrap_or(PAGE).clamp(1, MOST),
        list.offset.unwrap_or(0),
    );
    if limit.saturating_add(offset) > FURTHEST {
        return refused(
            StatusCode::BAD_REQUEST,
            "Offset must be less than 10000",
            2001,
        );
    }
    let query = list.query.unwrap_or_default().to_lowercase();
    let found: Vec<_> = USERS
        .iter()
        .filter(|(_, name, email)| name.to_lowercase().contains(&query) || email.contains(&query))
        .collect();
    let page: Vec<Value> = found
        .iter()
        .skip(offset)
        .take(limit)
        .map(|user| described(user))
        .collect();
    let more = offset.saturating_add(limit) < found.len();
    Json(json!({ "users": page, "limit": limit, "offset": offset, "more": more, "total": null }))
        .into_response()
}

fn described((id, name, email): &(&str, &str, &str)) -> Value {
    json!({
        "id": id,
        "type": "user",
        "summary": name,
        "name": name,
        "email": email,
        "role": "user",
        "time_zone": "Etc/UTC",
        "self": format!("https://api.pagerduty.com/users/{id}"),
        "html_url": format!("https://habitat.pagerduty.com/users/{id}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(path: &str, authorization: Option<&str>) -> (u16, Value) {
        // reqwest asks for rustls' provider even for plain http.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        start(listener, stop.clone());
        let mut call = reqwest::Client::new().get(url);
        if let Some(value) = authorization {
            call = call.header("Authorization", value);
        }
        let reply = call.send().await.unwrap();
        let answer = (reply.status().as_u16(), reply.json().await.unwrap());
        stop.cancel();
        answer
    }

    #[tokio::test]
    async fn only_the_exact_form_of_the_header_is_let_in() {
        let (status, abilities) = ask("/abilities", Some("Token token=y_NbAkKc66ryYTWUXYEu")).await;
        assert_eq!(
            (status, abilities["abilities"][1].as_str()),
            (200, Some("coordinated_responding"))
        );
        for wrong in [
            None,
            Some("Bearer y_NbAkKc66ryYTWUXYEu"),
            Some("Token token="),
            Some("Token y_NbAk"),
        ] {
            let (status, body) = ask("/abilities", wrong).await;
            assert_eq!(
                (status, body["error"]["code"].as_u64()),
                (401, Some(2006)),
                "{wrong:?}"
            );
        }
    }

    #[tokio::test]
    async fn users_are_found_by_their_address() {
        let (status, body) = ask("/users?query=bo@habitat.example", Some("Token token=key")).await;
        assert_eq!(status, 200);
        assert_eq!(
            (
                body["users"].as_array().unwrap().len(),
                body["users"][0]["id"].as_str()
            ),
            (1, Some("PBOH002"))
        );
        let (_, page) = ask("/users?limit=3", Some("Token token=key")).await;
        assert_eq!(
            (
                page["users"].as_array().unwrap().len(),
                page["more"].as_bool()
            ),
            (3, Some(true))
        );
    }
}
