//! How the posting goes, for `/readyz` and the metrics.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::{message::Posted, tally::Tally};

/// Wishes whose first try is remembered; past that the oldest age is a lower bound.
const MOST_REMEMBERED: usize = 1_024;

/// How the posting goes. Cheap to clone; all clones show the same.
#[derive(Clone, Debug, Default)]
pub struct PosterHealth {
    inner: Arc<Mutex<Inner>>,
    posts: Tally,
}

#[derive(Debug, Default)]
struct Inner {
    /// When each wish that is not settled yet was first held.
    waiting: HashMap<i64, Instant>,
    last_error: Option<String>,
    last_success: Option<Instant>,
    token_refused: bool,
}

impl PosterHealth {
    /// How long the oldest wish that was tried is waiting for Slack; `None` when nothing waits.
    pub fn waiting_age(&self) -> Option<Duration> {
        self.with(|inner| inner.waiting.values().min().map(Instant::elapsed))
    }

    /// What went wrong last, if nothing went right since. Holds no text of any message.
    pub fn last_error(&self) -> Option<String> {
        self.with(|inner| inner.last_error.clone())
    }

    /// How long ago something was brought to Slack.
    pub fn last_success_age(&self) -> Option<Duration> {
        self.with(|inner| inner.last_success.map(|at| at.elapsed()))
    }

    /// Whether Slack does not take our token any more: nothing is posted until a person mends that.
    pub fn token_refused(&self) -> bool {
        self.with(|inner| inner.token_refused)
    }

    /// Tries to bring something to Slack, by what came of them.
    pub fn posts(&self) -> Tally {
        self.posts.clone()
    }

    pub(super) fn tried(&self, posted: &Posted, took: Duration) {
        let result = match posted {
            Posted::Sent { .. } => "sent",
            Posted::NotDone { .. } => "not_done",
            Posted::Doubtful { .. } => "doubtful",
            Posted::Refused { .. } => "refused",
            Posted::Later { .. } => return, // Slack was not asked
        };
        self.posts.took(&[result], took);
    }

    pub(super) fn held(&self, row: i64) {
        self.with(|inner| {
            if inner.waiting.len() < MOST_REMEMBERED {
                inner.waiting.entry(row).or_insert_with(Instant::now);
            }
        });
    }

    pub(super) fn sent(&self, row: i64) {
        self.with(|inner| {
            inner.waiting.remove(&row);
            inner.last_success = Some(Instant::now());
            inner.last_error = None;
            inner.token_refused = false;
        });
    }

    pub(super) fn given_up(&self, row: i64, why: &str) {
        self.with(|inner| {
            inner.waiting.remove(&row);
            inner.last_error = Some(why.to_owned());
        });
    }

    pub(super) fn failed(&self, why: &str) {
        self.with(|inner| inner.last_error = Some(why.to_owned()));
    }

    /// Whether that is news.
    pub(super) fn token_is_refused(&self) -> bool {
        self.with(|inner| !std::mem::replace(&mut inner.token_refused, true))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
