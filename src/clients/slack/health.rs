//! How the sockets are, readable at any moment without a lock: for readiness, metrics and the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// How the sockets are. Cheap to clone; all clones show the same.
#[derive(Clone, Debug)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    born: Instant,
    connected: AtomicUsize,
    greeted: AtomicUsize,
    reconnects: AtomicU64,
    /// Milliseconds after `born`, plus one; zero is "never".
    last_frame: AtomicU64,
    changes: watch::Sender<u64>,
}

impl Default for Health {
    fn default() -> Self {
        let inner = Inner {
            born: Instant::now(),
            connected: AtomicUsize::new(0),
            greeted: AtomicUsize::new(0),
            reconnects: AtomicU64::new(0),
            last_frame: AtomicU64::new(0),
            changes: watch::channel(0).0,
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Health {
    /// Sockets that are open now, those that are being replaced included.
    pub fn connected(&self) -> usize {
        self.inner.connected.load(Ordering::Relaxed)
    }

    /// Open sockets on which Slack said hello, so that it sends us things.
    pub fn greeted(&self) -> usize {
        self.inner.greeted.load(Ordering::Relaxed)
    }

    /// How often a socket was opened in place of another.
    pub fn reconnects(&self) -> u64 {
        self.inner.reconnects.load(Ordering::Relaxed)
    }

    /// How long ago anything came over any socket, pings and pongs included; `None` before the first.
    pub fn last_frame_age(&self) -> Option<Duration> {
        let at = self
            .inner
            .last_frame
            .load(Ordering::Relaxed)
            .checked_sub(1)?;
        Some(
            self.inner
                .born
                .elapsed()
                .saturating_sub(Duration::from_millis(at)),
        )
    }

    /// Tells of every socket that opens, is greeted or closes. The number itself means nothing.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    pub(super) fn frame_came(&self) {
        let at = u64::try_from(self.inner.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        self.inner.last_frame.fetch_max(at, Ordering::Relaxed);
    }

    pub(super) fn replaced(&self) {
        self.inner.reconnects.fetch_add(1, Ordering::Relaxed);
        self.changed();
    }

    pub(super) fn opened(&self) -> Open {
        self.inner.connected.fetch_add(1, Ordering::Relaxed);
        self.frame_came();
        self.changed();
        Open {
            health: self.clone(),
            greeted: false,
        }
    }

    fn changed(&self) {
        self.inner
            .changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// One open socket; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    health: Health,
    greeted: bool,
}

impl Open {
    pub(super) fn greeted(&mut self) {
        if !self.greeted {
            self.greeted = true;
            self.health.inner.greeted.fetch_add(1, Ordering::Relaxed);
            self.health.changed();
        }
    }

    pub(super) fn frame_came(&self) {
        self.health.frame_came();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.health.inner.connected.fetch_sub(1, Ordering::Relaxed);
        if self.greeted {
            self.health.inner.greeted.fetch_sub(1, Ordering::Relaxed);
        }
        self.health.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn a_socket_counts_while_it_is_open_and_a_second_hello_counts_nothing() {
        let health = Health::default();
        assert_eq!(health.last_frame_age(), None);
        let mut socket = health.opened();
        socket.greeted();
        socket.greeted();
        assert_eq!((health.connected(), health.greeted()), (1, 1));
        drop(socket);
        assert_eq!((health.connected(), health.greeted()), (0, 0));
        assert!(health.last_frame_age().is_some());
    }
}
