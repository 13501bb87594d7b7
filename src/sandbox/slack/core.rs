//! What every part of the stand-in shares: the workspace behind its lock, the page's ear, the sockets, the faults.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Deliver, delivery, faults::Faults, journal::Journal, seed::Bot, socket::Sockets, state::State,
};
use crate::sandbox::fault::{Fault, FaultState, NodeState};

/// How many changes a slow page may lag behind before it has to read everything again.
pub(super) const LAG: usize = 4_096;

/// The shared heart.
pub(super) struct Core {
    pub(super) origin: String,
    pub(super) bot: Bot,
    pub(super) team_id: String,
    pub(super) team_domain: String,
    pub(super) signing_secret: String,
    pub(super) commands: Value,
    pub(super) other_faults: Vec<Arc<dyn Fault>>,
    /// What is broken, and how the nodes are, as the pages know it.
    pub(super) told: Mutex<(Vec<FaultState>, Vec<NodeState>)>,
    pub(super) deliver: Mutex<Deliver>,
    pub(super) http: reqwest::Client,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) sockets: Sockets,
    pub(super) pages: broadcast::Sender<String>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) stop: CancellationToken,
    pub(super) state: Mutex<State>,
}

impl Core {
    /// Runs one step on the workspace under its lock. What the step laid aside is told to the page in order, and events set out
    /// for the app. The step must not wait on anything, and must not call this again.
    pub(super) fn with<T>(self: &Arc<Self>, step: impl FnOnce(&mut State) -> T) -> T {
        let (result, events, changed) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = step(&mut state);
            let changes = std::mem::take(&mut state.changes);
            for change in &changes {
                self.tell(change);
            }
            (
                result,
                std::mem::take(&mut state.events),
                !changes.is_empty(),
            )
        };
        if changed {
            self.changed.send_modify(|count| *count += 1);
        }
        for event in events {
            tokio::spawn(delivery::event(self.clone(), event));
        }
        result
    }

    /// Tells the page something. Nobody listening is as good as somebody.
    pub(super) fn tell(&self, change: &Value) {
        self.pages.send(change.to_string()).ok();
    }

    /// Tells the page whether the app is connected.
    pub(super) fn tell_connected(&self) {
        self.tell(&json!({"type": "connected", "connected": self.is_connected()}));
        self.changed.send_modify(|count| *count += 1);
    }

    /// True when something can be delivered now.
    pub(super) fn is_connected(&self) -> bool {
        let http = matches!(self.deliver(), Deliver::Http { .. });
        http || self.sockets.count() > 0
    }

    pub(super) fn deliver(&self) -> Deliver {
        let deliver = self.deliver.lock().unwrap_or_else(PoisonError::into_inner);
        deliver.clone()
    }
}
