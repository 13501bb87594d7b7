//! PagerDuty on a bad day, and what somebody there may do at the push of a button.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::sandbox::fault::FaultState;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// 402, for want of an ability.
    Unpaid,
    /// 404: what is asked for is gone.
    Gone,
    /// 429 with `ratelimit-reset`, in seconds.
    Limited(u64),
    /// 429 with neither headers nor body.
    LimitedBare,
    /// 500.
    Broken,
    /// Answered only after the client has lost patience.
    Slow,
    /// 201 for the list, 400 for what is in it.
    Hidden,
}

/// What is broken now.
#[derive(Debug, Default)]
pub(super) struct Faults {
    on: [AtomicBool; LASTING.len()],
    /// Fates of the next calls, first come first served.
    next: Mutex<Vec<Fate>>,
}

/// A happening at the push of a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Once {
    Shift,
    Trigger,
    Acknowledge,
    Resolve,
    Responder,
}

const LASTING: [(&str, Fate, &str, &str); 7] = [
    (
        "pagerduty-402",
        Fate::Unpaid,
        "PagerDuty answers 402",
        "The account lacks the ability to add responders.",
    ),
    (
        "pagerduty-404",
        Fate::Gone,
        "PagerDuty answers 404",
        "Every schedule, user and incident is gone.",
    ),
    (
        "pagerduty-429",
        Fate::Limited(1),
        "PagerDuty answers 429",
        "Every call is refused, to be asked again in a second.",
    ),
    (
        "pagerduty-429-bare",
        Fate::LimitedBare,
        "PagerDuty answers a bare 429",
        "Every call is refused without a word on when to come back.",
    ),
    (
        "pagerduty-500",
        Fate::Broken,
        "PagerDuty answers 500",
        "Every call fails.",
    ),
    (
        "pagerduty-slow",
        Fate::Slow,
        "PagerDuty is slow",
        "Every call takes half a minute.",
    ),
    (
        "pagerduty-201-400",
        Fate::Hidden,
        "PagerDuty hides a refusal",
        "An override is answered with 201, and 400 inside it.",
    ),
];

const HAPPENINGS: [(&str, Once, &str, &str); 5] = [
    (
        "pagerduty-shift",
        Once::Shift,
        "The shift changes",
        "The next person's shift begins now.",
    ),
    (
        "pagerduty-trigger",
        Once::Trigger,
        "An incident is triggered",
        "PagerDuty pages whoever is on call for the Builder API, and tells habops.",
    ),
    (
        "pagerduty-acknowledge",
        Once::Acknowledge,
        "It is acknowledged",
        "The person on call acknowledges the newest incident.",
    ),
    (
        "pagerduty-responder",
        Once::Responder,
        "A responder is added",
        "Bo is asked to join the newest incident.",
    ),
    (
        "pagerduty-resolve",
        Once::Resolve,
        "It is resolved",
        "The newest incident is resolved in PagerDuty.",
    ),
];

impl Faults {
    /// The fate of a call that arrives now; `None` is answered as it should be.
    pub(super) fn fate(&self) -> Option<Fate> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if !next.is_empty() {
            return Some(next.remove(0));
        }
        let lasting = LASTING.iter().zip(&self.on);
        lasting
            .filter(|(_, on)| on.load(Ordering::Relaxed))
            .map(|((_, fate, ..), _)| *fate)
            .next()
    }

    pub(super) fn next(&self, fates: &[Fate]) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.extend_from_slice(fates);
    }

    /// Turns one that lasts on or off; false for another name.
    pub(super) fn set(&self, name: &str, on: bool) -> bool {
        let at = LASTING.iter().position(|(known, ..)| *known == name);
        if let Some(at) = at {
            self.on[at].store(on, Ordering::Relaxed);
        }
        at.is_some()
    }

    pub(super) fn is_on(&self, fate: Fate) -> bool {
        let mut lasting = LASTING.iter().zip(&self.on);
        lasting.any(|((_, known, ..), on)| *known == fate && on.load(Ordering::Relaxed))
    }

    /// The happening of that name.
    pub(super) fn once(name: &str) -> Option<Once> {
        let mut known = HAPPENINGS.iter();
        known
            .find(|(word, ..)| *word == name)
            .map(|(_, once, ..)| *once)
    }

    pub(super) fn list(&self) -> Vec<FaultState> {
        let state = |name: &str, title: &str, about: &str, on| FaultState {
            name: name.into(),
            title: title.into(),
            about: about.into(),
            on,
            group: "pagerduty".into(),
        };
        let lasting = LASTING
            .iter()
            .zip(&self.on)
            .map(|((name, _, title, about), on)| {
                state(name, title, about, Some(on.load(Ordering::Relaxed)))
            });
        let happenings = HAPPENINGS
            .iter()
            .map(|(name, _, title, about)| state(name, title, about, None));
        happenings.chain(lasting).collect()
    }
}
