//! Webhooks, version 3: subscriptions, and signed deliveries that are tried again as PagerDuty tries them.

use std::time::Duration;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State as Held},
    http::StatusCode,
    response::IntoResponse,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc;

use super::{Answer, PagerDuty, invalid};

/// How long a subscriber has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Pauses before the next try. The real ones go on for two days.
const AGAIN_AFTER: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// Refusals in a row that switch a subscription off.
const MOST_REFUSALS: u32 = 3;
/// Events that may wait for one subscriber.
const MOST_WAITING: usize = 4_096;

/// Somebody who is told.
#[derive(Debug)]
pub(super) struct Subscription {
    id: String,
    url: String,
    secret: String,
    events: Vec<String>,
    queue: mpsc::Sender<Event>,
}

#[derive(Clone, Debug)]
struct Event {
    webhook_id: String,
    kind: String,
    body: String,
}

/// One try to tell a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `X-Webhook-Id`: the same on every try.
    pub webhook_id: String,
    /// `incident.triggered` and the like.
    pub kind: String,
    /// The body, as signed.
    pub body: String,
    /// What was answered; absent where nobody answered in time.
    pub status: Option<u16>,
}

/// `v1=` and the hexadecimal HMAC-SHA256 of the body: the value of `X-PagerDuty-Signature`.
///
/// # Panics
/// Never: HMAC takes a key of any length.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

impl PagerDuty {
    /// Tells that address of every event from now on, signed with that secret.
    pub fn subscribe(&self, url: &str, secret: &str) -> String {
        self.subscribe_to(url, secret, Vec::new())
    }

    fn subscribe_to(&self, url: &str, secret: &str, events: Vec<String>) -> String {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let id = self.state().fresh('W');
        let subscription = Subscription {
            id: id.clone(),
            url: url.to_owned(),
            secret: secret.to_owned(),
            events,
            queue,
        };
        let sender = Sender {
            pagerduty: self.clone(),
            id: id.clone(),
            url: url.to_owned(),
            secret: secret.to_owned(),
        };
        self.subscriptions().push(subscription);
        let stop = self.core.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(sender.run(waiting)).await });
        id
    }

    /// What happened, to everybody who wants to hear of it.
    pub(super) fn emit(&self, kind: &str, by: Option<&str>, data: &Value) {
        let agent = by.map(|by| self.state().user_ref(by));
        let body = json!({ "event": {
            "id": random_id(),
            "event_type": kind,
            "resource_type": "incident",
            "occurred_at": self.now(),
            "agent": agent,
            "client": null,
            "data": data,
        } });
        let event = Event {
            webhook_id: random_id(),
            kind: kind.to_owned(),
            body: body.to_string(),
        };
        for subscription in self.subscriptions().iter() {
            let wanted = &subscription.events;
            if wanted.is_empty() || wanted.iter().any(|it| it == kind) {
                // One that cannot keep up loses events, as with PagerDuty after two days.
                let _ = subscription.queue.try_send(event.clone());
            }
        }
    }

    /// Every try so far, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.core.deliveries.borrow().clone()
    }

    /// Sends a delivery once more, as PagerDuty does when an answer got lost; what was answered.
    pub async fn delivers_again(&self, delivery: &Delivery) -> Vec<Option<u16>> {
        let targets: Vec<(String, String, String)> = self
            .subscriptions()
            .iter()
            .map(|it| (it.id.clone(), it.url.clone(), it.secret.clone()))
            .collect();
        let mut answers = Vec::new();
        for (id, url, secret) in targets {
            let sender = Sender {
                pagerduty: self.clone(),
                id,
                url,
                secret,
            };
            let event = Event {
                webhook_id: delivery.webhook_id.clone(),
                kind: delivery.kind.clone(),
                body: delivery.body.clone(),
            };
            answers.push(sender.post(&event).await);
        }
        answers
    }

    /// Waits until so many deliveries were answered with 2xx; false where that takes longer than `patience`.
    pub async fn delivered(&self, many: usize, patience: Duration) -> bool {
        let mut deliveries = self.core.deliveries.subscribe();
        let answered = |all: &Vec<Delivery>| {
            let taken = all
                .iter()
                .filter(|it| it.status.is_some_and(|code| code / 100 == 2));
            taken.count() >= many
        };
        let waited = tokio::time::timeout(patience, deliveries.wait_for(answered)).await;
        matches!(waited, Ok(Ok(_)))
    }
}

/// Tells one subscriber, one event after the other.
struct Sender {
    pagerduty: PagerDuty,
    id: String,
    url: String,
    secret: String,
}

impl Sender {
    async fn run(self, mut waiting: mpsc::Receiver<Event>) {
        let mut refusals = 0;
        while let Some(event) = waiting.recv().await {
            match self.tell(&event).await {
                Some(code) if (400..500).contains(&code) && code != 429 => refusals += 1,
                _ => refusals = 0,
            }
            if refusals >= MOST_REFUSALS {
                tracing::warn!(url = self.url, "the webhook subscription is switched off");
                return;
            }
        }
    }

    /// Until it is taken or refused, or patience is at its end.
    async fn tell(&self, event: &Event) -> Option<u16> {
        let mut status = self.post(event).await;
        for pause in AGAIN_AFTER {
            if status.is_some_and(|code| code != 429 && code < 500) {
                break;
            }
            tokio::time::sleep(pause).await;
            status = self.post(event).await;
        }
        status
    }

    async fn post(&self, event: &Event) -> Option<u16> {
        let sent = self
            .pagerduty
            .core
            .http
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("User-Agent", "PagerDuty-Webhook/V3.0")
            .header(
                "X-PagerDuty-Signature",
                sign(&self.secret, event.body.as_bytes()),
            )
            .header("X-Webhook-Id", &event.webhook_id)
            .header("X-Webhook-Subscription", &self.id)
            .timeout(ANSWER_WITHIN)
            .body(event.body.clone())
            .send()
            .await;
        let status = sent.ok().map(|reply| reply.status().as_u16());
        self.pagerduty.core.deliveries.send_modify(|all| {
            all.push(Delivery {
                webhook_id: event.webhook_id.clone(),
                kind: event.kind.clone(),
                body: event.body.clone(),
                status,
            });
        });
        status
    }
}

fn random_id() -> String {
    hex::encode_upper(rand::random::<[u8; 13]>())
}

/// `POST /webhook_subscriptions`: the secret is told here and never again.
pub(super) async fn create(Held(pagerduty): Held<PagerDuty>, body: Bytes) -> Answer {
    let wanted: Value = serde_json::from_slice(&body).unwrap_or_default();
    let wanted = &wanted["webhook_subscription"];
    let Some(url) = wanted["delivery_method"]["url"].as_str() else {
        return Err(invalid(&[]));
    };
    let events = wanted["events"].as_array().into_iter().flatten();
    let events: Vec<String> = events
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect();
    let secret = hex::encode(rand::random::<[u8; 32]>());
    let id = pagerduty.subscribe_to(url, &secret, events.clone());
    let made = json!({ "webhook_subscription": {
        "id": id, "type": "webhook_subscription", "active": true, "events": events,
        "delivery_method": { "type": "http_delivery_method", "url": url, "secret": secret },
        "filter": wanted["filter"],
    } });
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// `POST /webhook_subscriptions/{id}/ping`
pub(super) async fn ping(Held(pagerduty): Held<PagerDuty>, Path(id): Path<String>) -> StatusCode {
    if !pagerduty.subscriptions().iter().any(|it| it.id == id) {
        return StatusCode::NOT_FOUND;
    }
    let data = json!({ "type": "ping", "message": "Hello from your friend Pagey!" });
    pagerduty.emit("pagey.ping", None, &data);
    StatusCode::ACCEPTED
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn hmac_is_as_the_rfc_has_it() {
        // RFC 4231, test case 2.
        assert_eq!(
            sign("Jefe", b"what do ya want for nothing?"),
            "v1=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
