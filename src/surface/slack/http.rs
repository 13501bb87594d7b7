//! Slack's signed requests, for where no socket can be opened to the outside.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Form, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, FromRequest as _, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tracing::warn;

use super::reception::Reception;
use crate::{
    clients::slack::{Ack, Client, Identity, Kind, verify_signature},
    domain::{records::Inbox, tally::Tally},
};

/// The largest body that is read.
const LARGEST_BODY: usize = 1 << 20;

/// What a request without a good signature is told, whatever is wrong with it.
const UNSIGNED: &str = "This is not signed by Slack for this app.\n";

#[derive(Clone)]
struct Door {
    reception: Reception,
    signing_secret: Arc<SecretString>,
    refused: Tally,
}

/// `POST /slack/commands`, `/slack/interactions` and `/slack/events`. `refused` counts requests that are not signed, by sender.
pub fn router(
    inbox: Arc<dyn Inbox>,
    signing_secret: SecretString,
    client: Client,
    identity: Identity,
    refused: Tally,
) -> Router {
    let door = Door {
        refused,
        reception: Reception::new(client, identity, inbox),
        signing_secret: Arc::new(signing_secret),
    };
    Router::new()
        .route("/slack/commands", post(commands))
        .route("/slack/interactions", post(interactions))
        .route("/slack/events", post(events))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(door)
}

async fn commands(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Response {
    // Slack looks at the certificate from time to time, unsigned; it wants a 200 and nothing else.
    let fields = form(&body).await;
    if fields.get("ssl_check").is_some_and(|check| check == "1") {
        return StatusCode::OK.into_response();
    }
    if let Some(refused) = door.refuses(&headers, &body) {
        return refused;
    }
    let payload: Map<String, Value> = fields
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect();
    door.answer(&Kind::SlashCommands, &Value::Object(payload))
        .await
}

async fn interactions(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = door.refuses(&headers, &body) {
        return refused;
    }
    let mut fields = form(&body).await;
    let payload = fields.remove("payload").unwrap_or_default();
    let Ok(payload) = serde_json::from_str(&payload) else {
        return unusable();
    };
    door.answer(&Kind::Interactive, &payload).await
}

async fn events(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refused) = door.refuses(&headers, &body) {
        return refused;
    }
    let Ok(payload) = serde_json::from_slice::<Value>(&body) else {
        return unusable();
    };
    match payload.get("type").and_then(Value::as_str) {
        Some("url_verification") => {
            let challenge = payload.get("challenge").and_then(Value::as_str);
            let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            (plain, challenge.unwrap_or_default().to_owned()).into_response()
        }
        _ => door.answer(&Kind::EventsApi, &payload).await,
    }
}

impl Door {
    fn refuses(&self, headers: &HeaderMap, body: &[u8]) -> Option<Response> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let verdict = verify_signature(
            &self.signing_secret,
            header("x-slack-request-timestamp"),
            header("x-slack-signature"),
            body,
        );
        let why = verdict.err()?;
        warn!("a request was refused: {why}");
        self.refused.count(&["slack"]);
        Some((StatusCode::UNAUTHORIZED, UNSIGNED).into_response())
    }

    async fn answer(&self, kind: &Kind, payload: &Value) -> Response {
        match self.reception.take(kind, payload).await {
            Ack::Ack { payload: None } => StatusCode::OK.into_response(),
            Ack::Ack {
                payload: Some(payload),
            } => axum::Json(payload).into_response(),
            // Slack delivers it again.
            Ack::Withhold => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

/// Signed by Slack and yet not readable: a retry would bring the same.
fn unusable() -> Response {
    warn!("Slack sent a body that cannot be read");
    StatusCode::OK.into_response()
}

/// A form's fields; none where it is not a form.
async fn form(body: &Bytes) -> HashMap<String, String> {
    let request =
        Request::post("/").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let Ok(request) = request.body(Body::from(body.clone())) else {
        return HashMap::new();
    };
    match Form::<HashMap<String, String>>::from_request(request, &()).await {
        Ok(Form(fields)) => fields,
        Err(_) => HashMap::new(),
    }
}
