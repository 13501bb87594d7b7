//! What the workspace remembers. Nothing here waits or speaks to anybody: changes for the page and events for the app are
//! laid aside, and [`super::core::Core::with`] carries them out once the lock is free.

use std::{
    collections::{HashMap, VecDeque},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::body::Bytes;
use serde_json::{Value, json};

use super::{
    args::Refused,
    channel::Channel,
    grants::Grants,
    message::{Message, Post},
    seed::{ChannelSeed, Person, Seed},
};

/// How many bytes of files are kept; the oldest go first.
const FILE_BYTES: usize = 128 << 20;
/// How many files are kept at most.
const FILES: usize = 5_000;
/// How many conversations a workspace may have.
pub(super) const CHANNELS: usize = 2_000;

/// The workspace.
pub(super) struct State {
    pub(super) seed: Seed,
    pub(super) channels: Vec<Channel>,
    pub(super) ephemerals: VecDeque<Message>,
    pub(super) posts: VecDeque<Post>,
    pub(super) files: VecDeque<File>,
    pub(super) views: HashMap<String, View>,
    pub(super) grants: Grants,
    /// What the page is to hear.
    pub(super) changes: Vec<Value>,
    /// Bodies of events the app is to hear.
    pub(super) events: Vec<Value>,
    pub(super) origin: String,
    last_ts: u64,
    ids: u32,
}

/// An uploaded file, or one that is about to be.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) title: String,
    pub(super) snippet_type: Option<String>,
    pub(super) length: usize,
    pub(super) bytes: Option<Bytes>,
    pub(super) shared: bool,
    pub(super) created: u64,
}

/// A modal or an app home.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) person: String,
    pub(super) json: Value,
    /// The channel its `private_metadata` was opened from is the app's business; the stack is Slack's.
    pub(super) previous: Option<String>,
}

impl State {
    pub(super) fn new(mut seed: Seed, origin: &str) -> Self {
        let created = now();
        let creator = seed.people.first().map(|person| person.id.clone());
        let creator = creator.unwrap_or_default();
        let channels = std::mem::take(&mut seed.channels)
            .into_iter()
            .map(|channel| Channel::new(channel, created, &creator))
            .collect();
        State {
            seed,
            channels,
            ephemerals: VecDeque::new(),
            posts: VecDeque::new(),
            files: VecDeque::new(),
            views: HashMap::new(),
            grants: Grants::default(),
            changes: Vec::new(),
            events: Vec::new(),
            origin: origin.into(),
            last_ts: 0,
            ids: 0,
        }
    }

    /// A timestamp later than every one before it.
    pub(super) fn next_ts(&mut self) -> String {
        self.last_ts = micros().max(self.last_ts + 1);
        format!(
            "{}.{:06}",
            self.last_ts / 1_000_000,
            self.last_ts % 1_000_000
        )
    }

    /// A fresh id that begins with this letter.
    pub(super) fn next_id(&mut self, letter: char) -> String {
        self.ids += 1;
        format!("{letter}0{:08X}", 0x00A0_0000 + self.ids)
    }

    /// Somebody by id or handle.
    pub(super) fn person(&self, who: &str) -> Option<&Person> {
        let who = who.trim_start_matches('@');
        let mut people = self.seed.people.iter();
        people.find(|person| person.id == who || person.name == who)
    }

    /// A user's handle, the bot's included.
    pub(super) fn handle(&self, id: &str) -> Option<&str> {
        if id == self.seed.bot.user_id {
            return Some(&self.seed.bot.name);
        }
        self.person(id).map(|person| person.name.as_str())
    }

    /// A channel by id or name, with or without `#`.
    pub(super) fn channel(&self, which: &str) -> Option<&Channel> {
        let name = which.trim_start_matches('#');
        let mut channels = self.channels.iter();
        channels.find(|channel| channel.id == which || channel.name == name)
    }

    pub(super) fn channel_mut(&mut self, which: &str) -> Option<&mut Channel> {
        let name = which.trim_start_matches('#');
        let mut channels = self.channels.iter_mut();
        channels.find(|channel| channel.id == which || channel.name == name)
    }

    /// The id of a channel the bot may know of: private ones only where it is a member. A user's id means their direct message.
    pub(super) fn channel_of_bot(&mut self, which: &str) -> Result<String, Refused> {
        if which.starts_with('U') && self.person(which).is_some() {
            return Ok(self.direct_message(which));
        }
        let bot = &self.seed.bot.user_id;
        self.channel(which)
            .filter(|channel| !channel.is_private || channel.has(bot))
            .map(|channel| channel.id.clone())
            .ok_or_else(|| "channel_not_found".into())
    }

    /// As [`Self::channel_of_bot`], and the bot is in it.
    pub(super) fn joined_channel(&mut self, which: &str) -> Result<String, Refused> {
        let id = self.channel_of_bot(which)?;
        let bot = &self.seed.bot.user_id;
        if self.channel(&id).is_some_and(|channel| channel.has(bot)) {
            return Ok(id);
        }
        Err("not_in_channel".into())
    }

    /// The direct message between the bot and this person, opened if need be.
    pub(super) fn direct_message(&mut self, user: &str) -> String {
        let open = self
            .channels
            .iter()
            .find(|channel| channel.im_with.as_deref() == Some(user));
        if let Some(channel) = open {
            return channel.id.clone();
        }
        let id = self.next_id('D');
        let seed = ChannelSeed {
            id: id.clone(),
            name: format!("dm-{}", self.handle(user).unwrap_or(user)),
            topic: String::new(),
            is_private: true,
            is_archived: false,
            is_ext_shared: false,
            members: vec![user.into(), self.seed.bot.user_id.clone()],
        };
        self.add_channel(seed, Some(user));
        id
    }

    /// Adds a channel and tells the page.
    pub(super) fn add_channel(&mut self, seed: ChannelSeed, im_with: Option<&str>) {
        let bot = self.seed.bot.user_id.clone();
        let mut channel = Channel::new(seed, now(), &bot);
        channel.im_with = im_with.map(str::to_owned);
        let id = channel.id.clone();
        self.channels.push(channel);
        self.channel_changed(&id);
    }

    /// Tells the page that a channel is not what it was.
    pub(super) fn channel_changed(&mut self, id: &str) {
        if let Some(channel) = self.channel(id) {
            let change = json!({"type": "channel", "channel": channel.for_page()});
            self.changes.push(change);
        }
    }

    /// Lays an event aside for the app, if it subscribed to that type.
    pub(super) fn event(&mut self, event: Value) {
        let kind = event["type"].as_str().unwrap_or_default();
        if self.seed.bot.events.iter().any(|wanted| wanted == kind) {
            self.events.push(event);
        }
    }

    /// Somebody joins: the page sees it, the app hears of it.
    pub(super) fn join(&mut self, channel_id: &str, user: &str, inviter: Option<&str>) {
        let Some(channel) = self.channel_mut(channel_id) else {
            return;
        };
        if channel.has(user) {
            return;
        }
        channel.members.push(user.into());
        let letter = if channel.is_private { "G" } else { "C" };
        self.channel_changed(channel_id);
        let message = Message {
            subtype: Some("channel_join".into()),
            ..self.by_person(user, &format!("<@{user}> has joined the channel"))
        };
        let ts = self.post(channel_id, message).ts;
        let team = self.seed.team_id.clone();
        self.event(json!({
            "type": "member_joined_channel", "user": user, "channel": channel_id, "channel_type": letter,
            "team": team, "inviter": inviter, "event_ts": ts,
        }));
    }

    /// An archived channel takes no more messages; the app hears of it.
    pub(super) fn archive(&mut self, channel_id: &str, user: &str) {
        let Some(channel) = self.channel_mut(channel_id) else {
            return;
        };
        channel.is_archived = true;
        self.channel_changed(channel_id);
        let ts = self.next_ts();
        self.event(json!({
            "type": "channel_archive", "channel": channel_id, "user": user, "is_moved": 0, "event_ts": ts,
        }));
    }

    /// Makes room for a file; the oldest contents go first.
    pub(super) fn keep_file(&mut self, file: File) {
        self.files.push_back(file);
        let mut kept: usize = self.files.iter().map(|file| file.length).sum();
        while (kept > FILE_BYTES && self.files.len() > 1) || self.files.len() > FILES {
            kept -= self.files.pop_front().map_or(0, |file| file.length);
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    micros() / 1_000_000
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State::new(Seed::default(), "http://127.0.0.1:1")
    }

    #[test]
    fn timestamps_are_unique_and_in_order() {
        let mut state = state();
        let stamps: Vec<String> = (0..5_000).map(|_| state.next_ts()).collect();
        assert!(stamps.is_sorted_by(|a, b| a < b));
    }
}
