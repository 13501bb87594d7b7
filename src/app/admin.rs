//! `/healthz`, `/readyz`, `/metrics`: for the Supervisor, a load balancer and Prometheus.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router, extract::State as Shared, http::StatusCode, response::IntoResponse, routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::gauge::Gauge,
    registry::{Registry, Unit},
};
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    clients::{Clients, slack},
    store::Store,
    surface::{slack::post::PosterHealth, webhooks::Counts},
};

/// A message that has waited this long means that people do not see what habops says.
const STALE_OUTBOX: Duration = Duration::from_mins(2);
/// No frame for this long means that habops is deaf.
const STALE_FRAME: Duration = Duration::from_mins(1);
/// How long the store may take to prove that it can be written.
const STORE_PATIENCE: Duration = Duration::from_secs(3);

/// What the answers are made of.
#[derive(Clone)]
pub struct State {
    store: Store,
    clients: Arc<Clients>,
    slack: Option<slack::Health>,
    poster: PosterHealth,
    webhooks: Arc<Counts>,
}

impl State {
    /// Of a running bot.
    pub fn new(
        store: Store,
        clients: Arc<Clients>,
        slack: Option<slack::Health>,
        poster: PosterHealth,
        webhooks: Arc<Counts>,
    ) -> Self {
        Self {
            store,
            clients,
            slack,
            poster,
            webhooks,
        }
    }
}

/// Answers until told to stop.
pub async fn serve(listener: TcpListener, state: State, stop: CancellationToken) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state);
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
    {
        error!("the admin listener ended: {error}");
    }
}

async fn ready(Shared(state): Shared<State>) -> impl IntoResponse {
    let frame = state.slack.as_ref().and_then(slack::Health::last_frame_age);
    let hello = state
        .slack
        .as_ref()
        .is_none_or(|slack| slack.greeted() > 0 && slack.connected() > 0);
    let hears = state.slack.is_none() || frame.is_some_and(|age| age < STALE_FRAME);
    let writable = matches!(
        timeout(STORE_PATIENCE, state.store.check()).await,
        Ok(Ok(_))
    );
    let waiting = state.store.oldest_waiting().await.ok().flatten();
    let posts = waiting.is_none_or(|age| age < STALE_OUTBOX);
    let ready = hello && hears && writable && posts;
    let body = json!({
        "ready": ready,
        "slack": { "hello_seen": hello, "last_frame_age_seconds": frame.map(|age| age.as_secs_f64()) },
        "store": { "writable": writable },
        "outbox": { "oldest_waiting_seconds": waiting.map(|age| age.as_secs_f64()), "last_error": state.poster.last_error() },
    });
    (
        if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        axum::Json(body),
    )
}

async fn metrics(Shared(state): Shared<State>) -> impl IntoResponse {
    let mut registry = Registry::with_prefix("habops");
    let seconds = |registry: &mut Registry, name: &str, help: &str, value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register_with_unit(name, help, Unit::Seconds, gauge);
    };
    if let Some(slack) = &state.slack {
        count(
            &mut registry,
            "slack_sockets",
            "Socket Mode connections that have said hello",
            slack.connected() as u64,
        );
        count(
            &mut registry,
            "slack_reconnects",
            "Sockets opened again since the start",
            slack.reconnects(),
        );
        if let Some(age) = slack.last_frame_age() {
            seconds(
                &mut registry,
                "slack_last_frame_age",
                "Since anything came over a socket",
                age.as_secs_f64(),
            );
        }
    }
    if let Ok(waiting) = state.store.waiting().await {
        count(
            &mut registry,
            "outbox_waiting",
            "Messages not sent yet",
            waiting as u64,
        );
    }
    if let Ok(oldest) = state.store.oldest_waiting().await {
        seconds(
            &mut registry,
            "outbox_oldest_age",
            "Age of the oldest message not sent yet",
            oldest.map_or(0.0, |age| age.as_secs_f64()),
        );
    }
    count(
        &mut registry,
        "store_commits",
        "Transactions this process has committed",
        state.store.commits(),
    );
    count(
        &mut registry,
        "ssh_connections",
        "Warm connections to nodes",
        state.clients.ssh.connections() as u64,
    );
    count(
        &mut registry,
        "pagerduty_webhooks_taken",
        "Webhooks that were rightly signed",
        state.webhooks.taken.load(Ordering::Relaxed),
    );
    count(
        &mut registry,
        "pagerduty_webhooks_refused",
        "Requests to /pagerduty with a wrong signature or none",
        state.webhooks.refused.load(Ordering::Relaxed),
    );
    let fleet = state.clients.fleet.snapshot().await;
    count(
        &mut registry,
        "fleet_nodes",
        "Nodes known",
        fleet.nodes.len() as u64,
    );
    count(
        &mut registry,
        "fleet_stale",
        "1 when EC2 could not be read last time",
        u64::from(fleet.stale.is_some()),
    );
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => (
            [(
                "content-type",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn count(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}
