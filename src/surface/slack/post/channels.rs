//! Who is next: one wish at a time in each channel, the most urgent lane first, then in the order of the rows.

use std::collections::{HashMap, VecDeque};

use tokio::{task, time::Instant};

use crate::domain::{
    ids::ChannelId,
    message::{Carrier, Due},
};

/// A claimed wish that waits for its turn.
pub(super) struct Held {
    pub(super) due: Due,
    /// When it was claimed.
    pub(super) since: Instant,
}

impl Held {
    pub(super) fn is_edit(&self) -> bool {
        self.due.carrier == Carrier::Message && self.due.posted.is_some()
    }
}

/// The claimed wishes by channel, and what is under way.
#[derive(Default)]
pub(super) struct Channels {
    waiting: HashMap<ChannelId, VecDeque<Held>>,
    busy: HashMap<task::Id, (ChannelId, bool)>,
}

impl Channels {
    /// One more wish.
    pub(super) fn add(&mut self, due: Due) {
        let queue = self.waiting.entry(due.channel.clone()).or_default();
        let at = queue.partition_point(|held| (held.due.lane, held.due.row) <= (due.lane, due.row));
        let held = Held {
            due,
            since: Instant::now(),
        };
        queue.insert(at, held);
    }

    /// A wish whose channel is free, until there is none.
    pub(super) fn next(&mut self) -> Option<Held> {
        let is_free = |channel: &&ChannelId| !self.busy.values().any(|(busy, _)| busy == *channel);
        let channel = self.waiting.keys().find(is_free)?.clone();
        let queue = self.waiting.get_mut(&channel)?;
        let held = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&channel);
        }
        held
    }

    /// It is under way.
    pub(super) fn sent_off(&mut self, id: task::Id, channel: ChannelId, is_edit: bool) {
        self.busy.insert(id, (channel, is_edit));
    }

    /// It has come to an end.
    pub(super) fn ended(&mut self, id: task::Id) {
        self.busy.remove(&id);
    }

    /// How many are claimed, under way or not.
    pub(super) fn held(&self) -> usize {
        self.busy.len() + self.waiting.values().map(VecDeque::len).sum::<usize>()
    }

    /// How many of them are edits that wait.
    pub(super) fn edits(&self) -> usize {
        let waiting = self.waiting.values().flatten();
        waiting.filter(|held| held.is_edit()).count()
            + self.busy.values().filter(|(_, is_edit)| *is_edit).count()
    }
}
