//! Slack on a bad day: which of its faults are on, and what each does to one Web API call.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::sandbox::fault::FaultState;

/// What is broken now.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) too_many: AtomicBool,
    pub(super) error: AtomicBool,
    pub(super) reset: AtomicBool,
    pub(super) slow: AtomicBool,
    pub(super) redeliver: AtomicBool,
    pub(super) down: AtomicBool,
}

/// What becomes of one Web API call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is answered as it should be.
    Answered,
    /// 429 with `Retry-After: 1`; nothing was done.
    TooMany,
    /// 500. `done` says whether the thing was done all the same.
    Error { done: bool },
    /// The connection is reset. `done` as above.
    Reset { done: bool },
}

/// A fault that happens once, when it is turned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Once {
    /// Every socket closes without a word.
    Drop,
    /// Every socket hears `disconnect` and closes ten seconds later.
    Disconnect,
}

impl Fate {
    /// Whether it has its effect, however it is answered.
    pub(super) fn is_done(self) -> bool {
        matches!(
            self,
            Self::Answered | Self::Error { done: true } | Self::Reset { done: true }
        )
    }

    /// For the journal.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::TooMany => "429",
            Self::Error { .. } => "500",
            Self::Reset { .. } => "reset",
        }
    }
}

impl Faults {
    /// Decides the fate of a call that arrives now.
    pub(super) fn fate(&self) -> Fate {
        let on = |fault: &AtomicBool| fault.load(Ordering::Relaxed);
        if on(&self.down) {
            return Fate::Reset { done: false };
        }
        if on(&self.too_many) && rand::random_bool(0.5) {
            return Fate::TooMany;
        }
        if on(&self.error) {
            return Fate::Error {
                done: rand::random_bool(0.5),
            };
        }
        if on(&self.reset) {
            return Fate::Reset {
                done: rand::random_bool(0.5),
            };
        }
        Fate::Answered
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    pub(super) fn redelivers(&self) -> bool {
        self.redeliver.load(Ordering::Relaxed)
    }

    /// The switch of a fault that stays on; `None` for another name.
    pub(super) fn switch(&self, name: &str) -> Option<&AtomicBool> {
        Some(match name {
            "slack-429" => &self.too_many,
            "slack-500" => &self.error,
            "slack-reset" => &self.reset,
            "slack-slow" => &self.slow,
            "slack-redeliver" => &self.redeliver,
            "slack-down" => &self.down,
            _ => return None,
        })
    }

    /// The fault of that name that happens once.
    pub(super) fn once(name: &str) -> Option<Once> {
        match name {
            "slack-drop" => Some(Once::Drop),
            "slack-disconnect" => Some(Once::Disconnect),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Vec<FaultState> {
        FAULTS
            .iter()
            .map(|(name, title, about)| FaultState {
                name: (*name).into(),
                title: (*title).into(),
                about: (*about).into(),
                on: self
                    .switch(name)
                    .map(|switch| switch.load(Ordering::Relaxed)),
                group: "slack".into(),
            })
            .collect()
    }
}

const FAULTS: [(&str, &str, &str); 8] = [
    (
        "slack-429",
        "Slack answers 429",
        "Half of all Web API calls are refused with Retry-After 1.",
    ),
    (
        "slack-500",
        "Slack answers 500",
        "Every Web API call fails, half of them after the thing was done.",
    ),
    (
        "slack-reset",
        "Slack resets connections",
        "Every Web API call ends in a reset, half of them after the thing was done.",
    ),
    (
        "slack-slow",
        "Slack is slow",
        "Every Web API call takes two seconds more.",
    ),
    (
        "slack-redeliver",
        "Slack delivers twice",
        "Every envelope is sent again, with the same payload.",
    ),
    (
        "slack-down",
        "Slack is down",
        "The Web API refuses everything and the sockets stay closed.",
    ),
    (
        "slack-drop",
        "Drop the sockets",
        "Closes every socket now, without a word. Happens once.",
    ),
    (
        "slack-disconnect",
        "Disconnect with a warning",
        "Warns every socket and closes it ten seconds later. Happens once.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_is_on_is_listed_as_on() {
        let faults = Faults::default();
        faults
            .switch("slack-500")
            .unwrap()
            .store(true, Ordering::Relaxed);
        let on: Vec<String> = faults
            .list()
            .into_iter()
            .filter(|fault| fault.on == Some(true))
            .map(|fault| fault.name)
            .collect();
        assert_eq!(on, ["slack-500"]);
        assert!(matches!(faults.fate(), Fate::Error { .. }));
    }

    #[test]
    fn every_listed_fault_can_be_turned_on() {
        let faults = Faults::default();
        for fault in faults.list() {
            assert!(faults.switch(&fault.name).is_some() || Faults::once(&fault.name).is_some());
        }
    }
}
