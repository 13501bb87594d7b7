//! The Slack client against small servers of its own: one that answers calls, one that holds sockets.

#[path = "slack_client/calls.rs"]
mod calls;
#[path = "slack_client/sockets.rs"]
mod sockets;

use std::{future::Future, net::SocketAddr, time::Duration};

use axum::response::{IntoResponse as _, Response};
use habops::clients::slack::{Client, Config};
use serde_json::Value;
use tokio::time::timeout;

/// Whatever is waited for comes long before this, or never.
const SOON: Duration = Duration::from_secs(20);
const BOT: &str = "xoxb-secret-bot";
const APP: &str = "xapp-secret-app";

async fn soon<F: Future>(what: &str, wait: F) -> F::Output {
    timeout(SOON, wait)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

fn config(at: SocketAddr) -> Config {
    Config {
        api_url: format!("http://{at}/api/"),
        ..Config::new(BOT.into(), APP.into(), "C0OPERATIONS".into())
    }
}

fn client(at: SocketAddr) -> Client {
    let config = config(at);
    assert_eq!(config.check(), Ok(()));
    Client::new(&config).unwrap()
}

fn ok(body: Value) -> Response {
    axum::Json(body).into_response()
}
