//! How the posting goes, for `/readyz` and the metrics.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::domain::{message::Posted, tally::Tally};

/// How the posting goes. Cheap to clone; all clones show the same.
#[derive(Clone, Debug, Default)]
pub struct PosterHealth {
    inner: Arc<Mutex<Inner>>,
    posts: Tally,
}

#[derive(Debug, Default)]
struct Inner {
    last_error: Option<String>,
    token_refused: bool,
}

impl PosterHealth {
    /// What went wrong last, if nothing went right since. Holds no text of any message.
    pub fn last_error(&self) -> Option<String> {
        self.with(|inner| inner.last_error.clone())
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

    pub(super) fn sent(&self) {
        self.with(|inner| {
            inner.last_error = None;
            inner.token_refused = false;
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
