//! Who is next: one wish at a time in each channel, the most urgent lane first, then in the order of the rows. What takes no turn (an
//! edit, what one person sees, a pin) goes by itself at once: behind a long queue of new messages its claim would lapse.

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
    /// New messages and files take turns, about one a second in a channel.
    fn takes_turns(&self) -> bool {
        match self.due.carrier {
            Carrier::Message => self.due.posted.is_none(),
            Carrier::File { .. } => true,
            Carrier::Ephemeral(_) | Carrier::Pin(_) => false,
        }
    }

    /// The channel whose turn it needs.
    pub(super) fn turn_of(&self) -> Option<ChannelId> {
        self.takes_turns().then(|| self.due.channel.clone())
    }

    pub(super) fn is_edit(&self) -> bool {
        self.due.carrier == Carrier::Message && self.due.posted.is_some()
    }
}

/// A wish that is on its way.
struct UnderWay {
    /// The channel whose turn it has.
    turn_of: Option<ChannelId>,
    is_edit: bool,
}

/// The claimed wishes, and what is under way.
#[derive(Default)]
pub(super) struct Channels {
    by_themselves: VecDeque<Held>,
    in_turn: HashMap<ChannelId, VecDeque<Held>>,
    under_way: HashMap<task::Id, UnderWay>,
}

impl Channels {
    /// One more wish.
    pub(super) fn add(&mut self, due: Due) {
        let new = Held {
            due,
            since: Instant::now(),
        };
        if !new.takes_turns() {
            self.by_themselves.push_back(new);
            return;
        }
        let order = |held: &Held| (held.due.lane, held.due.row);
        let queue = self.in_turn.entry(new.due.channel.clone()).or_default();
        let at = queue.partition_point(|held| order(held) <= order(&new));
        queue.insert(at, new);
    }

    /// A wish that may go now, until there is none. `sent_off` is to follow.
    pub(super) fn next(&mut self) -> Option<Held> {
        if let Some(held) = self.by_themselves.pop_front() {
            return Some(held);
        }
        let has_turn = |channel: &ChannelId| {
            let mut taken = self.under_way.values();
            taken.any(|under_way| under_way.turn_of.as_ref() == Some(channel))
        };
        let mut channels = self.in_turn.keys();
        let channel = channels.find(|channel| !has_turn(channel))?.clone();
        let queue = self.in_turn.get_mut(&channel)?;
        let held = queue.pop_front();
        if queue.is_empty() {
            self.in_turn.remove(&channel);
        }
        held
    }

    /// It is under way.
    pub(super) fn sent_off(&mut self, id: task::Id, turn_of: Option<ChannelId>, is_edit: bool) {
        self.under_way.insert(id, UnderWay { turn_of, is_edit });
    }

    /// It has come to an end; whether it had a turn, so that the next of its channel may be claimed now.
    pub(super) fn ended(&mut self, id: task::Id) -> bool {
        let ended = self.under_way.remove(&id);
        ended.is_some_and(|ended| ended.turn_of.is_some())
    }

    /// How many are claimed, under way or not.
    pub(super) fn held(&self) -> usize {
        let in_turn: usize = self.in_turn.values().map(VecDeque::len).sum();
        self.under_way.len() + self.by_themselves.len() + in_turn
    }

    /// How many of them are edits.
    pub(super) fn edits(&self) -> usize {
        let waiting = self.by_themselves.iter().filter(|held| held.is_edit());
        let under_way = self
            .under_way
            .values()
            .filter(|under_way| under_way.is_edit);
        waiting.count() + under_way.count()
    }
}
