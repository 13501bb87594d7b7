//! Who is on call, looked at by the clock: what changed since the last look is a signal, whoever looked then and whenever that was.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::signal;
use crate::{
    clients::pagerduty::{Client, Error},
    domain::{
        handoff::Handoff,
        inbound::Signal,
        records::{Inbox, Records as _},
        roster::{Roster, Seen, Shift},
    },
    store::Store,
};

/// Far enough to hold the present shift and the next one of a rotation of 72 hours.
const AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How far back it is looked after a long absence; what changed before that is history.
const BACK: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How long after the end of a shift it is looked again: PagerDuty has changed it by then.
const AFTER_A_SHIFT: Duration = Duration::from_secs(5);
/// The shortest pause between two looks.
const LEAST: Duration = Duration::from_secs(1);

/// Looks at the schedules.
pub struct OnCall {
    /// habops' memory.
    pub store: Store,
    /// PagerDuty.
    pub client: Client,
    /// Where what changed is handed over.
    pub inbox: Arc<dyn Inbox>,
    /// Which schedules.
    pub schedules: Vec<String>,
    /// How often.
    pub poll: Duration,
    /// How long until an unaccepted handoff is told to everybody.
    pub accept_within: Duration,
    /// How long before a shift whoever begins it is reminded.
    pub remind: Duration,
}

impl OnCall {
    /// Looks until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let pause = self.look().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Looks once; how long until the next look.
    pub async fn look(&self) -> Duration {
        let now = self.store.now();
        if let Err(error) = self.reminds_of_acceptance(now).await {
            warn!("handoffs cannot be looked at: {error}");
        }
        match self.compare(now).await {
            Ok(next) => next
                .map_or(self.poll, |next| self.poll.min(next))
                .max(LEAST),
            Err(Unlooked::PagerDuty(error)) => {
                warn!("who is on call cannot be read: {error}");
                match error {
                    Error::Limited { after: Some(after) } => after.max(self.poll),
                    _ => self.poll,
                }
            }
            Err(Unlooked::Store(error)) => {
                warn!("who is on call cannot be noted: {error}");
                self.poll
            }
        }
    }

    /// Compares each schedule with what was last seen of it; when the next shift ends.
    async fn compare(&self, now: Timestamp) -> Result<Option<Duration>, Unlooked> {
        let mut noted = Vec::new();
        let mut since = now;
        for id in &self.schedules {
            let raw = self.store.get_state(&format!("oncall:{id}")).await?;
            let seen = raw.as_ref().and_then(read::<Seen>);
            since = seen.as_ref().map_or(since, |seen| since.min(seen.at));
            noted.push((id, raw, seen));
        }
        let since = since.max(now - BACK);
        let rosters = self.client.on_calls(&self.schedules, since, now + AHEAD);
        let mut rosters = rosters.await?;
        let mut ends = None;
        for (id, raw, seen) in noted {
            let at = rosters.iter().position(|roster| roster.schedule.id == *id);
            let roster = match at {
                Some(at) => rosters.swap_remove(at),
                // No escalation policy uses it, so nobody tells of it but itself.
                None => match self.client.schedule(id, since, now + AHEAD).await {
                    Ok(plan) => plan.roster,
                    Err(error) => {
                        warn!("who is on call for {id} cannot be read: {error}");
                        continue;
                    }
                },
            };
            let end = roster.at(now).iter().filter_map(|shift| shift.end).min();
            ends = ends.into_iter().chain(end).min();
            self.noted(id, raw, seen, &roster, now).await?;
            self.reminds_of_shift(&roster, now).await?;
        }
        Ok(ends.map(|end: Timestamp| end.duration_since(now).unsigned_abs() + AFTER_A_SHIFT))
    }

    /// Notes what is seen, or hands over what changed: then it is noted with what is said about it.
    async fn noted(
        &self,
        id: &str,
        raw: Option<Value>,
        seen: Option<Seen>,
        roster: &Roster,
        now: Timestamp,
    ) -> Result<(), Unlooked> {
        let name = format!("oncall:{id}");
        let (after, changes) = match &seen {
            Some(seen) => seen.follow(roster, now),
            None => (Seen::first(roster, now), Vec::new()),
        };
        if let (Some(before), false) = (&raw, changes.is_empty()) {
            let changed = Signal::ShiftChanged {
                before: before.clone(),
                after: Box::new(after),
                changes,
            };
            signal(&self.store, &*self.inbox, changed).await;
            return Ok(());
        }
        if seen.as_ref() == Some(&after) {
            return Ok(());
        }
        let after = written(&after);
        let won = self.store.swap_state(&name, raw.as_ref(), &after).await?;
        if !won {
            info!("another habops has looked at {id} in the same moment");
        }
        Ok(())
    }

    /// Whoever comes next is reminded once, some time before.
    async fn reminds_of_shift(&self, roster: &Roster, now: Timestamp) -> Result<(), Unlooked> {
        let name = format!("remind:{}", roster.schedule.id);
        for shift in roster.next(now) {
            let Some(start) = shift.start else { continue };
            if start.duration_since(now).unsigned_abs() > self.remind {
                continue;
            }
            let before = self.store.get_state(&name).await?;
            let last = before.as_ref().and_then(read::<Shift>);
            if last.is_some_and(|last| is_the_same(&last, shift)) {
                continue;
            }
            let soon = Signal::ShiftSoon {
                schedule: roster.schedule.clone(),
                shift: Box::new(shift.clone()),
                before,
            };
            signal(&self.store, &*self.inbox, soon).await;
        }
        Ok(())
    }

    async fn reminds_of_acceptance(&self, now: Timestamp) -> anyhow::Result<()> {
        for handoff in self.store.handoffs().await? {
            let Handoff {
                schedule, told_at, ..
            } = &handoff;
            let waits = handoff.accepted.is_none()
                && !handoff.reminded
                && handoff.last().is_some_and(|change| !change.to.is_empty());
            if waits && now.duration_since(*told_at).unsigned_abs() >= self.accept_within {
                let unaccepted = Signal::HandoffUnaccepted {
                    schedule: schedule.id.clone(),
                };
                signal(&self.store, &*self.inbox, unaccepted).await;
            }
        }
        Ok(())
    }
}

/// Why it could not be looked.
enum Unlooked {
    PagerDuty(Error),
    Store(crate::store::Error),
}

impl From<Error> for Unlooked {
    fn from(error: Error) -> Self {
        Self::PagerDuty(error)
    }
}

impl From<crate::store::Error> for Unlooked {
    fn from(error: crate::store::Error) -> Self {
        Self::Store(error)
    }
}

/// One person's shift that was moved, by an override or its cut, is no other shift.
fn is_the_same(one: &Shift, other: &Shift) -> bool {
    let starts_before = |start: Option<Timestamp>, end: Option<Timestamp>| match (start, end) {
        (Some(start), Some(end)) => start < end,
        _ => true,
    };
    one.responder.id == other.responder.id
        && starts_before(one.start, other.end)
        && starts_before(other.start, one.end)
}

fn read<T: serde::de::DeserializeOwned>(raw: &Value) -> Option<T> {
    T::deserialize(raw).ok()
}

fn written(seen: &Seen) -> Value {
    serde_json::to_value(seen).expect("what is seen has only string keys")
}
