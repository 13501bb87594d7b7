//! `/healthz`, `/readyz`, `/metrics`: for the Supervisor, a load balancer and Prometheus.

use std::{
    collections::BTreeMap,
    fmt,
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
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet, text::encode},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        gauge::Gauge,
    },
    registry::{Registry, Unit},
};
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    clients::{Clients, slack},
    domain::tally::{BOUNDS, Row, Tally},
    pipeline::Counts,
    store::Store,
    surface::{slack::post::PosterHealth, webhooks},
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
    webhooks: Arc<webhooks::Counts>,
    counts: Counts,
    unsigned: Tally,
}

impl State {
    /// Of a running bot; `unsigned` counts what came over HTTP without a good signature.
    pub fn new(
        store: Store,
        clients: Arc<Clients>,
        slack: Option<slack::Health>,
        poster: PosterHealth,
        webhooks: Arc<webhooks::Counts>,
        counts: Counts,
        unsigned: Tally,
    ) -> Self {
        Self {
            store,
            clients,
            slack,
            poster,
            webhooks,
            counts,
            unsigned,
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
        gauge(
            &mut registry,
            "slack_sockets",
            "Socket Mode connections that have said hello",
            slack.connected() as u64,
        );
        total(
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
        gauge(
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
    total(
        &mut registry,
        "store_commits",
        "Transactions this process has committed",
        state.store.commits(),
    );
    gauge(
        &mut registry,
        "ssh_connections",
        "Warm connections to nodes",
        state.clients.ssh.connections() as u64,
    );
    total(
        &mut registry,
        "pagerduty_webhooks_taken",
        "Webhooks that were rightly signed",
        state.webhooks.taken.load(Ordering::Relaxed),
    );
    total(
        &mut registry,
        "pagerduty_webhooks_refused",
        "Requests to /pagerduty with a wrong signature or none",
        state.webhooks.refused.load(Ordering::Relaxed),
    );
    let fleet = state.clients.fleet.snapshot().await;
    gauge(
        &mut registry,
        "fleet_nodes",
        "Nodes known",
        fleet.nodes.len() as u64,
    );
    gauge(
        &mut registry,
        "fleet_stale",
        "1 when EC2 could not be read last time",
        u64::from(fleet.stale.is_some()),
    );
    counted(&mut registry, &state);
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

/// What goes up and down.
fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

/// What only grows, as long as this process lives.
fn total(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

/// What was counted since the start.
fn counted(registry: &mut Registry, state: &State) {
    let commands = ("commands", "Commands that ended", &["command", "state"][..]);
    let refusals = (
        "refusals",
        "Refusals by kind: usage, denied, not_now",
        &["kind"][..],
    );
    let posts = (
        "slack_posts",
        "Tries to bring something to Slack",
        &["result"][..],
    );
    let connects = ("ssh_connects", "SSH connects to nodes", &["result"][..]);
    let unsigned = (
        "signatures_refused",
        "Requests over HTTP without a good signature",
        &["sender"][..],
    );
    let tallies = [
        (commands, state.counts.commands.read(), true),
        (refusals, state.counts.refusals.read(), false),
        (posts, state.poster.posts().read(), true),
        (connects, state.clients.ssh.connects().read(), true),
        (unsigned, state.unsigned.read(), false),
    ];
    for ((name, help, labels), rows, timed) in tallies {
        registry.register_collector(Box::new(Counted {
            name,
            help,
            labels,
            rows,
            timed,
        }));
    }
}

/// A tally as Prometheus wants it: a counter, and a histogram where lengths of time were told.
#[derive(Debug)]
struct Counted {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    rows: BTreeMap<Vec<String>, Row>,
    timed: bool,
}

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let name = self.name;
        let mut family = encoder.encode_descriptor(name, self.help, None, MetricType::Counter)?;
        for (values, row) in &self.rows {
            let labels = self.labelled(values);
            ConstCounter::new(row.times).encode(family.encode_family(&labels)?)?;
        }
        if !self.timed {
            return Ok(());
        }
        let (name, help) = (
            format!("{name}_duration"),
            format!("{}: how long each took", self.help),
        );
        let mut family =
            encoder.encode_descriptor(&name, &help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (values, row) in &self.rows {
            let timed: u64 = row.within.iter().sum();
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(row.within).collect();
            let labels = self.labelled(values);
            let mut family = family.encode_family(&labels)?;
            family.encode_histogram::<NoLabelSet>(row.seconds, timed, &buckets, None)?;
        }
        Ok(())
    }
}

impl Counted {
    fn labelled(&self, values: &[String]) -> Vec<(&'static str, String)> {
        let labels = self.labels.iter().copied();
        labels.zip(values.iter().cloned()).collect()
    }
}
