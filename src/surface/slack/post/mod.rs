//! The poster: drains the outbox into Slack, several channels at once and one new message at a time in each, so that what was wished
//! first is seen first.

mod aside;
mod channels;
mod courier;
mod health;
mod pacer;
mod readback;

use std::{sync::Arc, time::Duration};

use tokio::{
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::{
    channels::{Channels, Held},
    courier::Courier,
    pacer::Pacer,
};
pub use self::{health::PosterHealth, pacer::Pace};
use super::built_in_rules;
use crate::{
    clients::slack::{Client, Identity},
    domain::{
        message::{Due, Posted},
        records::Outbox,
    },
};

/// How many wishes are held at once.
const MOST_HELD: usize = 32;
/// How long one wish may take; less than the claim on it holds.
const BRING_WITHIN: Duration = Duration::from_secs(22);
/// How long a wish waits for those before it in its channel until it is given back, so that the claim on it does not lapse.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long to wait where the outbox cannot be read.
const OUTBOX_PAUSE: Duration = Duration::from_secs(1);
/// How long new wishes are still taken after a stop: what commands said last.
const LAST_WISHES: Duration = Duration::from_secs(3);

/// Brings Slack to what the outbox wishes.
pub struct Poster {
    outbox: Arc<dyn Outbox>,
    courier: Arc<Courier>,
}

impl Poster {
    /// A poster for that workspace.
    pub fn new(client: Client, outbox: Arc<dyn Outbox>, identity: Identity) -> Self {
        Self::at_pace(client, outbox, identity, Pace::default())
    }

    /// The same at another pace than Slack's.
    pub fn at_pace(
        client: Client,
        outbox: Arc<dyn Outbox>,
        identity: Identity,
        pace: Pace,
    ) -> Self {
        Self {
            outbox,
            courier: Arc::new(Courier {
                client,
                identity,
                pacer: Pacer::new(pace),
                health: PosterHealth::default(),
                rules: built_in_rules(),
            }),
        }
    }

    /// How it is.
    pub fn health(&self) -> PosterHealth {
        self.courier.health.clone()
    }

    /// Posts until stopped. Then what is due already is still sent for a moment, and what is under way is settled.
    pub async fn run(self, stop: CancellationToken) {
        let mut channels = Channels::default();
        let mut under_way = JoinSet::new();
        let mut last_wishes: Option<Instant> = None;
        // Looking costs the store a transaction, so it is done only where there may be something to find.
        let (mut looks, mut left_some) = (true, false);
        loop {
            if stop.is_cancelled() && last_wishes.is_none() {
                last_wishes = Some(Instant::now() + LAST_WISHES);
            }
            let room = MOST_HELD - channels.held();
            let mut claimed = Vec::new();
            if looks || last_wishes.is_some() {
                claimed = self.claim(room, last_wishes).await;
                left_some = claimed.len() >= room;
            }
            let came = !claimed.is_empty();
            for due in claimed {
                channels.add(due);
            }
            while let Some(held) = channels.next() {
                self.send_off(&mut under_way, &mut channels, held);
            }
            if under_way.is_empty() && !came && last_wishes.is_some() {
                return;
            }
            let has_room = room > 0 && last_wishes.is_none();
            tokio::select! {
                Some(first) = under_way.join_next_with_id() => {
                    looks = left_some;
                    let mut ended = Some(first);
                    while let Some(one) = ended {
                        looks |= channels.ended(id_of(one));
                        ended = under_way.try_join_next_with_id();
                    }
                }
                () = self.outbox.wait(), if has_room => looks = true,
                () = stop.cancelled(), if last_wishes.is_none() => {}
            }
        }
    }

    async fn claim(&self, room: usize, last_wishes: Option<Instant>) -> Vec<Due> {
        if room == 0 || last_wishes.is_some_and(|until| until <= Instant::now()) {
            return Vec::new();
        }
        match self.outbox.claim(room).await {
            Ok(claimed) => claimed,
            Err(why) => {
                warn!("cannot read the outbox: {why:#}");
                self.courier
                    .health
                    .failed("the outbox cannot be read; the log has more");
                sleep(OUTBOX_PAUSE).await;
                Vec::new()
            }
        }
    }

    fn send_off(&self, under_way: &mut JoinSet<()>, channels: &mut Channels, held: Held) {
        let (outbox, courier) = (Arc::clone(&self.outbox), Arc::clone(&self.courier));
        let (turn_of, is_edit) = (held.turn_of(), held.is_edit());
        let edits = channels.edits();
        let task = under_way.spawn(async move {
            let due = held.due;
            let began = Instant::now();
            let posted = if held.since.elapsed() > PATIENCE {
                Posted::Later {
                    after: Duration::ZERO,
                }
            } else {
                timeout(BRING_WITHIN, courier.bring(&due, edits))
                    .await
                    .unwrap_or_else(|_| Posted::Doubtful {
                        why: "Slack did not answer in time".to_owned(),
                    })
            };
            courier.health.tried(&posted, began.elapsed());
            tell_health(&courier.health, &due, &posted);
            if let Err(why) = outbox.settle(&due, posted).await {
                // The claim lapses, and what was sent is then found in the channel.
                warn!(key = %due.key.0, "cannot note what came of a message: {why:#}");
            }
        });
        channels.sent_off(task.id(), turn_of, is_edit);
    }
}

/// Which task it was.
fn id_of(ended: Result<(task::Id, ()), JoinError>) -> task::Id {
    match ended {
        Ok((id, ())) => id,
        Err(broken) => {
            error!("posting a message broke: {broken}");
            broken.id()
        }
    }
}

fn tell_health(health: &PosterHealth, due: &Due, posted: &Posted) {
    let key = &due.key.0;
    match posted {
        Posted::Sent { .. } => health.sent(),
        Posted::Later { after } => debug!(%key, "its turn comes in {} ms", after.as_millis()),
        Posted::NotDone { why, .. } => {
            info!(%key, "not posted yet: {why}");
            health.failed(why);
        }
        Posted::Doubtful { why } => {
            info!(%key, "may be posted, looking before the next try: {why}");
            health.failed(why);
        }
        Posted::Refused { advice } => health.failed(advice),
    }
}
