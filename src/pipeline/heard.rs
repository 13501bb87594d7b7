//! What comes in by itself from outside: stored, acknowledged, then dealt with in order, once.
//!
//! Each stored signal is dealt with in one transaction that also forgets it, so a crash before that leaves it, and one after
//! has done it. A signal that must wait for an operation holds up only what is about the same thing.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use tracing::{error, warn};

use super::Pipeline;
use crate::{
    domain::{
        actor::Actor,
        inbound::{Ack, Mark, Signal},
        operation::Operation,
        output::{Output, Status},
    },
    store::{Dealt, Heard},
};

/// The turn that one process has at a time: two that dealt with one storm would open two incidents.
const TURN: &str = "heard";
/// How long that turn is kept without a sign of life.
const TURN_LASTS: Duration = Duration::from_secs(30);
/// How many signals are looked at in one round.
const ROUND: usize = 200;
/// After so long a signal that still cannot be dealt with is given up, with an error in the log.
const GIVE_UP_AFTER: Duration = Duration::from_hours(1);

/// Whose turn it is in this process.
#[derive(Default)]
pub struct Hearing {
    turn: tokio::sync::Mutex<()>,
    again: AtomicBool,
}

/// What came of looking at a signal.
pub(super) enum Dealing {
    /// It leads to this.
    Done(Box<Dealt>),
    /// It waits for something that is under way; whatever is about one of these waits too.
    Later(Vec<String>),
}

impl Dealing {
    /// It leads to nothing.
    pub(super) fn nothing() -> Self {
        Self::Done(Box::default())
    }
}

impl Pipeline {
    /// Stores a signal (law 1); what it leads to comes after the acknowledgement.
    pub(super) async fn hear(&self, key: String, received: Timestamp, signal: Signal) -> Ack {
        let accepted = Ack::Accepted {
            operation: None,
            said: None,
        };
        if !self.is_for_us(&signal) {
            return accepted;
        }
        let mut keys = vec![key];
        keys.extend(signal.key());
        let signal = match signal {
            Signal::PagerDuty { event } => Signal::PagerDuty {
                event: Box::new(event.redacted(&self.parts.rules)),
            },
            other => other,
        };
        match self.parts.store.hear(keys, received, &signal).await {
            Ok(true) => {
                self.attend();
                accepted
            }
            Ok(false) => Ack::Duplicate,
            Err(unwritable) => {
                error!("a signal cannot be stored: {unwritable}");
                let said = format!("habops cannot write its memory: {unwritable}");
                Ack::Unstored {
                    said: Output::new(Status::Refused, said),
                    later: None,
                }
            }
        }
    }

    /// People react to messages all day: only with the configured emoji it is meant for us.
    fn is_for_us(&self, signal: &Signal) -> bool {
        match signal {
            Signal::Marked {
                how: Mark::Reaction(emoji),
                ..
            } => emoji.split("::").next() == Some(&self.parts.settings.pin_emoji),
            _ => true,
        }
    }

    /// After the end of an operation that a signal may wait for.
    pub(super) fn attended(&self, operation: &Operation) {
        if operation.actor == Actor::PagerDuty {
            self.attend();
        }
    }

    /// Deals with what was heard, behind whoever called.
    pub(super) fn attend(&self) {
        let pipeline = self.clone();
        self.parts.hearing.again.store(true, Ordering::SeqCst);
        self.parts.tasks.spawn(async move {
            let hearing = &pipeline.parts.hearing;
            let _turn = hearing.turn.lock().await;
            while hearing.again.swap(false, Ordering::SeqCst) {
                if let Err(error) = pipeline.attend_to_all().await {
                    warn!("what was heard cannot be dealt with now: {error:#}");
                    return;
                }
            }
        });
    }

    async fn attend_to_all(&self) -> anyhow::Result<()> {
        let store = &self.parts.store;
        loop {
            let heard = store.heard(ROUND).await?;
            let full = heard.len() == ROUND;
            let (mut waits, mut dealt) = (BTreeSet::new(), 0);
            for heard in heard {
                if !store.turn(TURN, TURN_LASTS).await? {
                    return Ok(()); // another process is at it
                }
                if about(&heard.signal)
                    .iter()
                    .any(|about| waits.contains(about))
                {
                    continue;
                }
                match self.deal_with(&heard).await {
                    Ok(Dealing::Done(done)) => {
                        let incidents = touched(&done);
                        store.deal(heard.row, *done).await?;
                        dealt += 1;
                        for incident in incidents {
                            self.refresh_card(Some(incident)).await;
                        }
                    }
                    Ok(Dealing::Later(what)) if !self.is_overdue(&heard) => waits.extend(what),
                    Err(why) if !self.is_overdue(&heard) => {
                        warn!("a signal is tried again later: {why:#}");
                        waits.extend(about(&heard.signal));
                    }
                    later => {
                        let why = later.err().map_or_else(
                            || "what it waits for does not end".to_owned(),
                            |why| format!("{why:#}"),
                        );
                        error!("a signal is given up: {why}");
                        store.deal(heard.row, Dealt::default()).await?;
                        dealt += 1;
                    }
                }
            }
            if !full || dealt == 0 {
                return Ok(());
            }
        }
    }

    fn is_overdue(&self, heard: &Heard) -> bool {
        let age = self.now().duration_since(heard.received_at);
        age.unsigned_abs() > GIVE_UP_AFTER
    }

    async fn deal_with(&self, heard: &Heard) -> anyhow::Result<Dealing> {
        match &heard.signal {
            Signal::PagerDuty { event } => self.paged(heard, event).await,
            Signal::Joined { who, channel } => self.joined(heard, who, channel).await,
            Signal::Marked {
                by,
                channel,
                message,
                how,
            } => self.marked(heard, by, channel, message, how).await,
            // Never stored.
            Signal::Expired { .. }
            | Signal::Lapsed { .. }
            | Signal::Behind { .. }
            | Signal::Undelivered
            | Signal::ShiftChanged { .. }
            | Signal::HandoffUnaccepted { .. }
            | Signal::ShiftSoon { .. }
            | Signal::Waiting => Ok(Dealing::nothing()),
        }
    }
}

/// What a signal is about: what comes later about the same thing waits for it.
fn about(signal: &Signal) -> Vec<String> {
    match signal {
        Signal::PagerDuty { event } => {
            let service = event.incident.service.iter();
            let service = service.map(|service| format!("service:{}", service.id));
            let mut about: Vec<String> = service.collect();
            about.push(format!("page:{}", event.incident.id));
            about
        }
        Signal::Marked {
            channel, message, ..
        } => vec![format!("message:{channel}:{message}")],
        _ => Vec::new(),
    }
}

/// The incidents whose cards tell of it.
fn touched(dealt: &Dealt) -> BTreeSet<crate::domain::ids::IncidentId> {
    let told = dealt.pagerduty.iter().map(|(incident, ..)| *incident);
    told.collect()
}
