//! `POST /pagerduty`: PagerDuty's webhooks, V3 (<https://developer.pagerduty.com/docs/webhooks-overview>).
//!
//! Signed over the raw body, so the signature is looked at before anything else is. What is rightly signed is never answered with
//! a 4xx, whatever is in it: PagerDuty drops what gets one, and after three in a row it tells us nothing for a day.

mod payload;
mod signature;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tracing::{info, warn};

pub use self::{payload::Unheard, signature::is_signed};
use crate::domain::{
    inbound::{Ack, Delivery, Inbound, Signal},
    records::Inbox,
};

/// The largest body that is read; PagerDuty itself drops what is larger than 256 KiB.
const LARGEST_BODY: usize = 1 << 20;
/// PagerDuty tries for 48 hours; what is older than this is a replay.
const TOO_OLD: SignedDuration = SignedDuration::from_hours(72);
/// Longest key that is kept.
const LONGEST_KEY: usize = 200;

/// How many webhooks came, and how many were not PagerDuty's.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rightly signed.
    pub taken: AtomicU64,
    /// Wrongly signed or not at all: this counter is their only trace.
    pub refused: AtomicU64,
}

#[derive(Clone)]
struct Door {
    inbox: Arc<dyn Inbox>,
    secrets: Arc<Vec<SecretString>>,
    counts: Arc<Counts>,
}

/// The one route. A webhook signed with any of the secrets is taken: there are several while one is replaced.
pub fn router(inbox: Arc<dyn Inbox>, secrets: Vec<SecretString>, counts: Arc<Counts>) -> Router {
    let door = Door {
        inbox,
        secrets: Arc::new(secrets),
        counts,
    };
    Router::new()
        .route("/pagerduty", post(webhook))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(door)
}

async fn webhook(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> StatusCode {
    // What is too large to be read cannot be known to be signed.
    let signed = headers.get("x-pagerduty-signature");
    let signed = signed
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let body = body.unwrap_or_default();
    if !is_signed(&door.secrets, signed, &body) {
        door.counts.refused.fetch_add(1, Ordering::Relaxed);
        return StatusCode::UNAUTHORIZED;
    }
    door.counts.taken.fetch_add(1, Ordering::Relaxed);
    let id = headers.get("x-webhook-id");
    let id = id.and_then(|value| value.to_str().ok()).unwrap_or_default();
    door.take(id, &body, Timestamp::now()).await
}

impl Door {
    async fn take(&self, id: &str, body: &[u8], now: Timestamp) -> StatusCode {
        let event = match payload::read(body) {
            Ok(event) => event,
            Err(unheard) => {
                info!("nothing to do for a webhook: {unheard}");
                return StatusCode::ACCEPTED;
            }
        };
        if now.duration_since(event.at) > TOO_OLD {
            info!("a webhook from {} is too old to be true", event.at);
            return StatusCode::ACCEPTED;
        }
        let id: String = id.chars().take(LONGEST_KEY).collect();
        let key = if id.is_empty() { &event.id } else { &id };
        let delivery = Delivery {
            key: format!("pagerduty:{key}"),
            received: now,
            inbound: Inbound::Signal(Signal::PagerDuty {
                event: Box::new(event),
            }),
        };
        match self.inbox.accept(delivery).await {
            Ack::Accepted { .. } | Ack::Duplicate => StatusCode::ACCEPTED,
            // Delivered again, for two days.
            Ack::Unstored { .. } => {
                warn!("a webhook cannot be stored; PagerDuty is asked to send it again");
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}
