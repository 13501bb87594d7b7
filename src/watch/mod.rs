//! What happens by the clock. Emits signals; what they lead to is the pipeline's.

pub mod oncall;

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    domain::{
        inbound::{Delivery, Inbound, Signal},
        records::Inbox,
    },
    store::{Store, Swept},
};

/// How often the leases of this process are renewed; they last 20 s.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often operations of lost processes are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(10);
/// How often confirmations are looked at for their end.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How often what is past its keeping is swept out.
const SWEEP_EVERY: Duration = Duration::from_mins(5);

/// Keeps this process's leases until told to stop. `habops do` needs only this.
pub async fn leases(store: Store, stop: CancellationToken) {
    let mut ticks = interval(RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while ticks_or_stops(&mut ticks, &stop).await {
        if let Err(error) = store.renew().await {
            error!("leases cannot be renewed: {error}");
        }
    }
}

/// Everything else by the clock, for the bot: recovery, expiry, sweeping.
pub async fn clock(store: Store, inbox: Arc<dyn Inbox>, stop: CancellationToken) {
    tokio::join!(
        recovery(store.clone(), Arc::clone(&inbox), stop.clone()),
        expiry(store.clone(), inbox, stop.clone()),
        sweeping(store, stop),
    );
}

async fn recovery(store: Store, inbox: Arc<dyn Inbox>, stop: CancellationToken) {
    let mut ticks = interval(RECOVER_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while ticks_or_stops(&mut ticks, &stop).await {
        match store.lapsed().await {
            Ok(lapsed) => {
                for operation in lapsed {
                    signal(
                        &store,
                        &*inbox,
                        Signal::Lapsed {
                            operation: operation.id,
                        },
                    )
                    .await;
                }
            }
            Err(error) => warn!("lost operations cannot be looked for: {error}"),
        }
        // Cut off between the change of an incident and the card that shows it.
        match store.cards_behind().await {
            Ok(behind) => {
                for incident in behind {
                    signal(&store, &*inbox, Signal::Behind { incident }).await;
                }
            }
            Err(error) => warn!("cards cannot be compared with their incidents: {error}"),
        }
        match store.dead_letters().await {
            Ok(letters) if letters.is_empty() => {}
            Ok(_) => signal(&store, &*inbox, Signal::Undelivered).await,
            Err(error) => warn!("what was given up cannot be looked at: {error}"),
        }
        // What another process heard and did not live to deal with, or what could not be dealt with at once.
        match store.heard(1).await {
            Ok(heard) if heard.is_empty() => {}
            Ok(_) => signal(&store, &*inbox, Signal::Waiting).await,
            Err(error) => warn!("what was heard cannot be looked at: {error}"),
        }
    }
}

async fn expiry(store: Store, inbox: Arc<dyn Inbox>, stop: CancellationToken) {
    let mut ticks = interval(EXPIRE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while ticks_or_stops(&mut ticks, &stop).await {
        match store.overdue().await {
            Ok(overdue) => {
                for operation in overdue {
                    signal(
                        &store,
                        &*inbox,
                        Signal::Expired {
                            operation: operation.id,
                        },
                    )
                    .await;
                }
            }
            Err(error) => warn!("confirmations cannot be looked at: {error}"),
        }
    }
}

async fn sweeping(store: Store, stop: CancellationToken) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while ticks_or_stops(&mut ticks, &stop).await {
        match store.sweep().await {
            Ok(swept) if swept == Swept::default() => {}
            Ok(swept) => info!("swept the store: {swept:?}"),
            Err(error) => warn!("the store cannot be swept: {error}"),
        }
    }
}

async fn signal(store: &Store, inbox: &dyn Inbox, signal: Signal) {
    let key = format!("clock:{signal:?}");
    inbox
        .accept(Delivery {
            key,
            received: store.now(),
            inbound: Inbound::Signal(signal),
        })
        .await;
}

async fn ticks_or_stops(ticks: &mut tokio::time::Interval, stop: &CancellationToken) -> bool {
    tokio::select! {
        _ = ticks.tick() => true,
        () = stop.cancelled() => false,
    }
}
