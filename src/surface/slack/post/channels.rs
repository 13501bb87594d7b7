//! Who is next: one wish at a time in each channel, the most urgent lane first, then in the order of the rows. What takes no turn (an
//! edit, what one person sees, a pin) goes by itself: behind a long queue of new messages its claim would lapse.

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

/// A line of wishes: a channel, and whether they are those that take turns there.
pub(super) type Line = (ChannelId, bool);

impl Held {
    /// New messages and files take turns, about one a second in a channel.
    fn takes_turns(&self) -> bool {
        match self.due.carrier {
            Carrier::Message => self.due.posted.is_none(),
            Carrier::File { .. } => true,
            Carrier::Ephemeral(_) | Carrier::Pin(_) => false,
        }
    }

    pub(super) fn line(&self) -> Line {
        (self.due.channel.clone(), self.takes_turns())
    }

    pub(super) fn is_edit(&self) -> bool {
        self.due.carrier == Carrier::Message && self.due.posted.is_some()
    }
}

/// The claimed wishes by line, and what is under way.
#[derive(Default)]
pub(super) struct Channels {
    waiting: HashMap<Line, VecDeque<Held>>,
    busy: HashMap<task::Id, (Line, bool)>,
}

impl Channels {
    /// One more wish.
    pub(super) fn add(&mut self, due: Due) {
        let new = Held {
            due,
            since: Instant::now(),
        };
        let order = |held: &Held| (held.due.lane, held.due.row);
        let queue = self.waiting.entry(new.line()).or_default();
        let at = queue.partition_point(|held| order(held) <= order(&new));
        queue.insert(at, new);
    }

    /// A wish whose line is free, until there is none.
    pub(super) fn next(&mut self) -> Option<Held> {
        let is_free = |line: &&Line| !self.busy.values().any(|(busy, _)| busy == *line);
        let line = self.waiting.keys().find(is_free)?.clone();
        let queue = self.waiting.get_mut(&line)?;
        let held = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&line);
        }
        held
    }

    /// It is under way.
    pub(super) fn sent_off(&mut self, id: task::Id, line: Line, is_edit: bool) {
        self.busy.insert(id, (line, is_edit));
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
