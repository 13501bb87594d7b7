//! The warm connections, one for each node: made once however many ask, closed when nobody needs them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, join_all};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::config::{Config, Peer};
use super::connection::{Connection, Dialer};
use super::error::Error;
use crate::domain::tally::Tally;

/// A connection unused for this long is closed; looked at this often.
const IDLE: Duration = Duration::from_mins(10);
const SWEEP: Duration = Duration::from_secs(30);
/// How long a shutdown waits for connects that are under way to notice.
const STOP: Duration = Duration::from_secs(2);

pub(super) struct Pool {
    pub(super) dialer: Dialer,
    jump: Option<Peer>,
    /// Bounded by the fleet: the sweep drops what is dead or idle.
    slots: Mutex<HashMap<Peer, Slot>>,
    connects: Semaphore,
    pub(super) connected: Tally,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A connect under way, which everybody who asks for the node joins. Its error is theirs too: ten who wait for a dead node wait
/// once.
type Flight = Shared<BoxFuture<'static, Result<Arc<Connection>, Error>>>;

enum Slot {
    Connecting(Flight),
    Open(Arc<Connection>),
}

impl Pool {
    pub(super) fn new(config: &Config) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            dialer: Dialer::new(config)?,
            jump: config.jump_peer()?,
            slots: Mutex::default(),
            connects: Semaphore::new(config.at_once),
            connected: Tally::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// The warm connection to this peer, or a new one.
    pub(super) async fn get(self: &Arc<Self>, peer: &Peer) -> Result<Arc<Connection>, Error> {
        let flight = {
            let mut slots = self.slots();
            // Looked at under the lock, so that nothing is added behind a shutdown's back.
            if self.stop.is_cancelled() {
                return Err(stopping(peer));
            }
            match slots.get(peer) {
                Some(Slot::Open(connection)) if connection.is_alive() => {
                    connection.touch();
                    return Ok(Arc::clone(connection));
                }
                Some(Slot::Connecting(flight)) => flight.clone(),
                _ => {
                    let flight = self.set_off(peer.clone());
                    slots.insert(peer.clone(), Slot::Connecting(flight.clone()));
                    flight
                }
            }
        };
        flight.await
    }

    /// A connection of its own for a reader that may be slow: one unread channel holds up a whole connection, also the jump
    /// host's.
    pub(super) async fn alone(self: &Arc<Self>, peer: &Peer) -> Result<Arc<Connection>, Error> {
        let jump = match &self.jump {
            Some(jump) if !peer.jump => Some(Arc::new(self.dial(jump, None).await?)),
            _ => None,
        };
        self.dial(peer, jump).await.map(Arc::new)
    }

    /// The way to this peer, where it is not direct.
    pub(super) async fn jump(
        self: &Arc<Self>,
        peer: &Peer,
    ) -> Result<Option<Arc<Connection>>, Error> {
        match &self.jump {
            Some(jump) if !peer.jump => self.get(jump).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Forgets a connection that turned out dead, unless it was replaced already.
    pub(super) fn discard(&self, dead: &Arc<Connection>) {
        let mut slots = self.slots();
        if let Some(Slot::Open(held)) = slots.get(&dead.peer)
            && Arc::ptr_eq(held, dead)
        {
            slots.remove(&dead.peer);
        }
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.slots()
            .values()
            .filter(|slot| matches!(slot, Slot::Open(connection) if connection.is_alive()))
            .count()
    }

    /// Closes what nobody has used for this long, and forgets what is dead.
    pub(super) async fn close_idle(&self, unused_for: Duration) {
        let mut idle = Vec::new();
        self.slots().retain(|_, slot| match slot {
            Slot::Connecting(_) => true,
            Slot::Open(connection) => {
                // A session, a connection through it or a caller on the way to one holds it too.
                let in_use = Arc::strong_count(connection) > 1;
                let keep = connection.is_alive()
                    && (in_use || connection.idle_since().elapsed() < unused_for);
                if !keep {
                    idle.push(Arc::clone(connection));
                }
                keep
            }
        });
        join_all(idle.iter().map(|connection| connection.close())).await;
    }

    /// Closes everything; what is asked for later is refused.
    pub(super) async fn shutdown(&self) {
        let slots: Vec<Slot> = {
            let mut slots = self.slots();
            self.stop.cancel();
            slots.drain().map(|(_, slot)| slot).collect()
        };
        join_all(slots.iter().map(|slot| async move {
            if let Slot::Open(connection) = slot {
                connection.close().await;
            }
        }))
        .await;
        self.tasks.close();
        let _ = timeout(STOP, self.tasks.wait()).await;
    }

    /// The connect runs in a task, so that it goes on when the one who asked first gives up.
    fn set_off(self: &Arc<Self>, peer: Peer) -> Flight {
        if self.tasks.is_empty() {
            self.tasks
                .spawn(sweep(Arc::downgrade(self), self.stop.clone()));
        }
        let host = peer.host.to_string();
        let task = self.tasks.spawn(Arc::clone(self).connect(peer));
        task.map(move |ended| {
            ended.unwrap_or_else(|fault| {
                Err(Error::Unreachable {
                    host,
                    reason: format!("the connect broke off: {fault}"),
                })
            })
        })
        .boxed()
        .shared()
    }

    /// Boxed, because a connect through the jump host asks the pool for that one.
    fn connect(self: Arc<Self>, peer: Peer) -> BoxFuture<'static, Result<Arc<Connection>, Error>> {
        async move {
            let made = async {
                let jump = self.jump(&peer).await?;
                self.dial(&peer, jump).await.map(Arc::new)
            };
            let made = self
                .stop
                .run_until_cancelled(made)
                .await
                .unwrap_or_else(|| Err(stopping(&peer)));
            let mut slots = self.slots();
            match &made {
                Ok(connection) if !self.stop.is_cancelled() => {
                    slots.insert(peer, Slot::Open(Arc::clone(connection)));
                }
                _ => {
                    slots.remove(&peer);
                }
            }
            made
        }
        .boxed()
    }

    async fn dial(&self, peer: &Peer, jump: Option<Arc<Connection>>) -> Result<Connection, Error> {
        let _turn = self.connects.acquire().await;
        let began = Instant::now();
        // On the heap: a handshake's future is some 20 kB, which its callers would carry otherwise.
        let made = Box::pin(self.dialer.dial(peer, jump)).await;
        let result = made.as_ref().map_or_else(Error::word, |_| "connected");
        self.connected.took(&[result], began.elapsed());
        let name = &peer.host.name;
        match &made {
            Ok(_) => {
                let elapsed_ms = began.elapsed().as_millis();
                debug!(host.name = %name, elapsed_ms, "connected to {}", peer.host);
            }
            Err(fault) => info!(host.name = %name, "no connection: {fault}"),
        }
        made
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Peer, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn stopping(peer: &Peer) -> Error {
    Error::Stopping {
        host: peer.host.to_string(),
    }
}

/// Ends with the pool, which it does not keep alive.
async fn sweep(pool: Weak<Pool>, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(SWEEP)).await.is_some() {
        let Some(pool) = pool.upgrade() else { break };
        pool.close_idle(IDLE).await;
    }
}
