//! What happened on the wire, newest last: every API call, envelope, ack and socket, for tests and for a bug report.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde::Serialize;
use serde_json::Value;

/// How many entries are kept; the oldest go first.
const KEPT: usize = 20_000;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Seconds since the sandbox started.
    pub at: f64,
    /// `api`, `envelope`, `ack`, `unacked`, `http`, `socket`, `response_url`, `upload` or `fault`.
    pub kind: &'static str,
    /// The method, envelope type, or what became of the socket.
    pub name: String,
    /// The particulars; never a token.
    pub detail: Value,
}

/// The bounded journal.
#[derive(Debug)]
pub(super) struct Journal {
    started: Instant,
    entries: Mutex<VecDeque<Entry>>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Journal {
            started: Instant::now(),
            entries: Mutex::default(),
        }
    }

    pub(super) fn note(&self, kind: &'static str, name: impl Into<String>, detail: Value) {
        let entry = Entry {
            at: self.started.elapsed().as_secs_f64(),
            kind,
            name: name.into(),
            detail,
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    pub(super) fn all(&self) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }
}
