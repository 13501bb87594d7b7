//! What can go wrong with Builder on purpose, by name.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::super::fault::{Fault, FaultState};
use super::Builder;
use super::refusal::Refusal;

/// What is wrong now.
#[derive(Clone, Copy, Default)]
pub(super) struct Broken([bool; KINDS.len()]);

/// One thing that can be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Swallows,
    Stuck,
    NoShard,
    Timeout,
    Page,
    Empty,
    Silent,
}

/// The faults the page offers: what it is, name, title, about.
const KINDS: [(Kind, &str, &str, &str); 7] = [
    (
        Kind::Swallows,
        "builder-swallows",
        "Builder swallows ACCESS_DENIED",
        "Promotions are answered with 200 or 204 and nothing is promoted, as a group's promotion is for an origin without access.",
    ),
    (
        Kind::Stuck,
        "builder-stuck",
        "A group cannot be cancelled",
        "The cancel of core/jruby is answered with 204, and the group goes on dispatching.",
    ),
    (
        Kind::NoShard,
        "builder-no-shard",
        "Builder has no shard",
        "Every call is answered with 503 and NO_SHARD from the router, except /v1/status, which knows nothing of it.",
    ),
    (
        Kind::Timeout,
        "builder-timeout",
        "Builder's services hang",
        "Every call is answered with 504 and TIMEOUT at net:route:3, except /v1/status.",
    ),
    (
        Kind::Page,
        "builder-page",
        "builder-api is down behind its proxy",
        "Every call is answered by nginx with 502 and a web page.",
    ),
    (
        Kind::Empty,
        "builder-empty",
        "Builder answers with nothing",
        "Every call is answered with 200 and an empty body, and nothing is done.",
    ),
    (
        Kind::Silent,
        "builder-silent",
        "Builder does not answer",
        "Calls are accepted and not answered while this is on.",
    ),
];

impl Broken {
    pub(super) fn has(self, kind: Kind) -> bool {
        let mut all = KINDS.iter().zip(self.0);
        all.any(|((known, ..), on)| on && *known == kind)
    }
}

impl Builder {
    /// The answer that a fault gives in the place of the true one.
    pub(super) async fn breaks(&self, path: &str) -> Option<Response> {
        let mut broken = self.inner.broken.subscribe();
        // The sender lives as long as its stand-in: what waits here goes on, or goes with it.
        let mended = broken.wait_for(|broken| !broken.has(Kind::Silent)).await;
        let now = mended.map_or_else(|_| Broken::default(), |broken| *broken);
        if now.has(Kind::Page) {
            return Some(Refusal::of_nginx().into_response());
        }
        if now.has(Kind::Empty) {
            return Some(StatusCode::OK.into_response());
        }
        if path.starts_with("/v1/status") {
            return None;
        }
        if now.has(Kind::NoShard) {
            let refusal = Refusal::coded(StatusCode::SERVICE_UNAVAILABLE, 6, "rt:route:2");
            return Some(refusal.into_response());
        }
        now.has(Kind::Timeout)
            .then(|| Refusal::coded(StatusCode::GATEWAY_TIMEOUT, 1, "net:route:3").into_response())
    }
}

impl Fault for Builder {
    fn list(&self) -> Vec<FaultState> {
        let now = *self.inner.broken.borrow();
        let all = KINDS.iter().map(|(kind, name, title, about)| FaultState {
            name: (*name).into(),
            title: (*title).into(),
            about: (*about).into(),
            on: Some(now.has(*kind)),
            group: "builder".into(),
        });
        all.collect()
    }

    fn set(&self, name: &str, on: bool) -> bool {
        let Some(at) = KINDS.iter().position(|(_, known, ..)| *known == name) else {
            return false;
        };
        self.inner.broken.send_modify(|broken| broken.0[at] = on);
        true
    }
}
