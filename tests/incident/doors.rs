//! The door for PagerDuty's webhooks: what is let in, and that nothing else leaves a trace.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::{BoxFuture, FutureExt as _};
use habops::{
    domain::{
        inbound::{Ack, Delivery, Inbound, Signal},
        output::{Output, Status},
        records::Inbox,
    },
    surface::webhooks::{Counts, router},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, task::JoinHandle};

const SECRET: &str = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK";
const PUBLISHED: &str = include_str!("../../src/surface/webhooks/published.json");

/// An inbox that keeps what it gets, or cannot.
#[derive(Default)]
struct Kept {
    deliveries: Mutex<Vec<Delivery>>,
    full: AtomicBool,
}

impl Inbox for Kept {
    fn accept(&self, delivery: Delivery) -> BoxFuture<'_, Ack> {
        if self.full.load(Ordering::SeqCst) {
            let said = Output::new(Status::Refused, "the disk is full");
            return async { Ack::Unstored { said, later: None } }.boxed();
        }
        self.deliveries.lock().unwrap().push(delivery);
        async {
            Ack::Accepted {
                operation: None,
                said: None,
            }
        }
        .boxed()
    }
}

struct Door {
    url: String,
    inbox: Arc<Kept>,
    counts: Arc<Counts>,
    server: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Door {
    async fn open(secrets: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (inbox, counts) = (Arc::new(Kept::default()), Arc::new(Counts::default()));
        let secrets = secrets.iter().map(|it| (*it).into()).collect();
        let router = router(inbox.clone(), secrets, counts.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/pagerduty", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            inbox,
            counts,
            server,
        }
    }

    async fn sends(&self, signature: Option<&str>, body: impl Into<reqwest::Body>) -> u16 {
        let mut call = reqwest::Client::new()
            .post(&self.url)
            .header("X-Webhook-Id", "hook-1");
        if let Some(signature) = signature {
            call = call.header("X-PagerDuty-Signature", signature);
        }
        call.body(body).send().await.unwrap().status().as_u16()
    }

    fn heard(&self) -> usize {
        self.inbox.deliveries.lock().unwrap().len()
    }

    fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::SeqCst)
    }
}

fn signed(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// The published example as if it had happened at that moment.
fn at(when: Timestamp) -> String {
    let mut body: Value = serde_json::from_str(PUBLISHED).unwrap();
    body["event"]["occurred_at"] = json!(when);
    body.to_string()
}

#[tokio::test]
async fn a_wrong_signature_is_told_nothing_but_401_and_leaves_a_count() {
    let door = Door::open(&[SECRET]).await;
    let body = at(Timestamp::now());
    let good = signed(SECRET, body.as_bytes());
    let other_body = signed(SECRET, b"another body");
    let other_secret = signed("guessed", body.as_bytes());
    let short = &good[..good.len() - 2];
    let upper = good.to_uppercase();
    let wrong: [Option<&str>; 9] = [
        None,
        Some(""),
        Some("v1="),
        Some("v0=00"),
        Some("nonsense"),
        Some(&other_body),
        Some(&other_secret),
        Some(short),
        Some(&upper),
    ];
    for signature in wrong {
        assert_eq!(
            door.sends(signature, body.clone()).await,
            401,
            "{signature:?}"
        );
    }
    assert_eq!(door.sends(Some(&good), "").await, 401, "an empty body");
    assert_eq!(door.sends(Some(&good), format!("{body}\n")).await, 401);
    assert_eq!(door.sends(Some(&good), vec![b'x'; 2 << 20]).await, 401);
    assert_eq!((door.heard(), door.refused()), (0, 12));
    assert_eq!(door.sends(Some(&good), body).await, 202);
    assert_eq!((door.heard(), door.refused()), (1, 12));
}

#[tokio::test]
async fn any_of_several_signatures_and_secrets_is_enough() {
    let door = Door::open(&["the old one", SECRET]).await;
    let body = at(Timestamp::now());
    for secret in ["the old one", SECRET] {
        let two = format!("{},{}", signed("x", b"y"), signed(secret, body.as_bytes()));
        assert_eq!(door.sends(Some(&two), body.clone()).await, 202);
    }
    assert_eq!(door.heard(), 2);
    let delivery = &door.inbox.deliveries.lock().unwrap()[0];
    assert_eq!(delivery.key, "pagerduty:hook-1");
    assert!(matches!(
        &delivery.inbound,
        Inbound::Signal(Signal::PagerDuty { event }) if event.incident.id == "PGR0VU2"
    ));
}

#[tokio::test]
async fn what_is_rightly_signed_never_gets_a_4xx() {
    let door = Door::open(&[SECRET]).await;
    let old = at("2021-04-26T17:36:27.458Z".parse().unwrap());
    let ping = r#"{"event":{"id":"1","event_type":"pagey.ping","occurred_at":"2026-11-27T14:00:00Z","data":{}}}"#;
    for body in [PUBLISHED, &old, ping, "", "no json", "[]"] {
        let signature = signed(SECRET, body.as_bytes());
        let status = door.sends(Some(&signature), body.to_owned()).await;
        assert_eq!(status, 202, "{body}");
    }
    assert_eq!((door.heard(), door.refused()), (0, 0));
    // Except that it shall come again: what cannot be stored.
    door.inbox.full.store(true, Ordering::SeqCst);
    let body = at(Timestamp::now());
    let signature = signed(SECRET, body.as_bytes());
    assert_eq!(door.sends(Some(&signature), body).await, 503);
}
