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
    channel::{Channel, KEPT},
    handles::Handles,
    message::{Message, Post, Reaction},
    seed::{ChannelSeed, Kind, Person, Seed},
};

/// How many ephemeral messages are kept in all.
const EPHEMERALS: usize = 4_000;
/// How many posts are counted.
const POSTS: usize = 50_000;
/// How many bytes of files are kept; the oldest go first.
const FILE_BYTES: usize = 128 << 20;

/// The workspace.
pub(super) struct State {
    pub(super) seed: Seed,
    pub(super) channels: Vec<Channel>,
    pub(super) ephemerals: VecDeque<Message>,
    pub(super) posts: VecDeque<Post>,
    pub(super) files: VecDeque<File>,
    pub(super) views: HashMap<String, View>,
    pub(super) handles: Handles,
    /// What the page is to hear.
    pub(super) changes: Vec<Value>,
    /// Bodies of events the app is to hear.
    pub(super) events: Vec<Value>,
    origin: String,
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
}

/// A modal or an app home.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) person: String,
    pub(super) view: Value,
    /// The channel its `private_metadata` was opened from is the app's business; the stack is Slack's.
    pub(super) previous: Option<String>,
}

impl State {
    pub(super) fn new(mut seed: Seed, origin: &str) -> Self {
        let created = micros() / 1_000_000;
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
            handles: Handles::default(),
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
            members: vec![user.into(), self.seed.bot.user_id.clone()],
        };
        self.add_channel(seed, Some(user));
        id
    }

    /// Adds a channel and tells the page.
    pub(super) fn add_channel(&mut self, seed: ChannelSeed, im_with: Option<&str>) {
        let bot = self.seed.bot.user_id.clone();
        let mut channel = Channel::new(seed, micros() / 1_000_000, &bot);
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

    /// A message of the bot's, still to be posted.
    pub(super) fn by_bot(&self, text: &str) -> Message {
        let bot = &self.seed.bot;
        Message {
            kind: "message",
            user: Some(bot.user_id.clone()),
            bot_id: Some(bot.bot_id.clone()),
            app_id: Some(bot.app_id.clone()),
            team: Some(self.seed.team_id.clone()),
            text: text.into(),
            ..Message::default()
        }
    }

    /// A message of a person's, still to be posted.
    pub(super) fn by_person(&self, person: &str, text: &str) -> Message {
        Message {
            kind: "message",
            user: Some(person.into()),
            team: self.person(person).map(|person| person.team_id.clone()),
            text: text.into(),
            ..Message::default()
        }
    }

    /// Posts into a channel that exists; replies count on their thread's first message. Says the message as stored.
    pub(super) fn post(&mut self, channel_id: &str, mut message: Message) -> Message {
        message.ts = self.next_ts();
        message.channel = channel_id.into();
        if message.bot_id.is_some() && message.ephemeral_to.is_none() {
            self.count(&message);
        }
        let mut parent_now = None;
        if let Some(channel) = self.channel_mut(channel_id) {
            if let Some(root) = &message.thread_ts
                && let Some(parent) = channel.message_mut(root)
            {
                reply(parent, &message);
                parent_now = Some(parent.clone());
            }
            channel.messages.push_back(message.clone());
            if channel.messages.len() > KEPT {
                channel.messages.pop_front();
            }
        }
        self.changed("message", &message);
        if let Some(parent) = parent_now {
            self.changed("message_changed", &parent);
        }
        message
    }

    fn count(&mut self, message: &Message) {
        if self.posts.len() == POSTS {
            self.posts.pop_front();
        }
        self.posts.push_back(Post {
            channel: message.channel.clone(),
            ts: message.ts.clone(),
            thread_ts: message.thread_ts.clone(),
            text: message.text.clone(),
            metadata: message.metadata.clone(),
        });
    }

    /// Shows a message to one person only.
    pub(super) fn whisper(&mut self, channel: &str, person: &str, mut message: Message) -> Message {
        message.ts = self.next_ts();
        message.channel = channel.into();
        message.ephemeral_to = Some(person.into());
        if self.ephemerals.len() == EPHEMERALS {
            self.ephemerals.pop_front();
        }
        self.ephemerals.push_back(message.clone());
        self.changed("message", &message);
        message
    }

    /// Slack itself tells one person something.
    pub(super) fn slackbot_whispers(
        &mut self,
        channel: &str,
        thread: Option<&str>,
        person: &str,
        text: &str,
    ) {
        let message = Message {
            thread_ts: thread.map(str::to_owned),
            ..self.by_person("USLACKBOT", text)
        };
        self.whisper(channel, person, message);
    }

    /// The ephemeral message of this name.
    pub(super) fn ephemeral_mut(&mut self, ts: &str) -> Option<&mut Message> {
        self.ephemerals.iter_mut().find(|message| message.ts == ts)
    }

    /// Takes an ephemeral message away again.
    pub(super) fn forget_ephemeral(&mut self, ts: &str) {
        if let Some(at) = self.ephemerals.iter().position(|message| message.ts == ts)
            && let Some(message) = self.ephemerals.remove(at)
        {
            self.changed("message_deleted", &message);
        }
    }

    /// Takes a message out of its channel; one with replies leaves a tombstone, as in Slack.
    pub(super) fn delete(&mut self, channel_id: &str, ts: &str) {
        let Some(channel) = self.channel_mut(channel_id) else {
            return;
        };
        let Some(at) = channel.position(ts) else {
            return;
        };
        if channel.messages[at].reply_count.unwrap_or(0) > 0 {
            let message = &mut channel.messages[at];
            message.subtype = Some("tombstone".into());
            message.text = "This message was deleted.".into();
            message.blocks = None;
            message.metadata = None;
            message.files.clear();
            let message = message.clone();
            self.changed("message_changed", &message);
            return;
        }
        let Some(message) = channel.messages.remove(at) else {
            return;
        };
        let mut parent_now = None;
        if let Some(root) = &message.thread_ts
            && let Some(parent) = channel.message_mut(root)
        {
            parent.reply_count = parent.reply_count.map(|count| count.saturating_sub(1));
            parent_now = Some(parent.clone());
        }
        self.changed("message_deleted", &message);
        if let Some(parent) = parent_now {
            self.changed("message_changed", &parent);
        }
    }

    /// Tells the page what became of a message.
    pub(super) fn changed(&mut self, what: &str, message: &Message) {
        let message = message.for_page(&self.origin);
        self.changes.push(json!({"type": what, "message": message}));
    }

    /// Adds a reaction; false when that person reacted so before.
    pub(super) fn react(
        &mut self,
        channel: &str,
        ts: &str,
        name: &str,
        user: &str,
    ) -> Option<bool> {
        let message = self.channel_mut(channel)?.message_mut(ts)?;
        let known = message
            .reactions
            .iter_mut()
            .find(|known| known.name == name);
        match known {
            Some(known) if known.users.iter().any(|other| other == user) => return Some(false),
            Some(known) => {
                known.users.push(user.into());
                known.count += 1;
            }
            None => message.reactions.push(Reaction {
                name: name.into(),
                users: vec![user.into()],
                count: 1,
            }),
        }
        let message = message.clone();
        self.changed("message_changed", &message);
        Some(true)
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
        while kept > FILE_BYTES && self.files.len() > 1 {
            kept -= self.files.pop_front().map_or(0, |file| file.length);
        }
    }

    /// A user as `users.info` shows them.
    pub(super) fn user(&self, id: &str) -> Option<Value> {
        let bot = &self.seed.bot;
        if id == bot.user_id {
            return Some(json!({
                "id": bot.user_id, "team_id": self.seed.team_id, "name": bot.name, "deleted": false, "color": "1d3557",
                "real_name": bot.name, "tz": "America/Los_Angeles", "tz_label": "Pacific Standard Time",
                "tz_offset": -28800, "is_admin": false, "is_owner": false, "is_primary_owner": false,
                "is_restricted": false, "is_ultra_restricted": false, "is_bot": true, "is_app_user": false,
                "updated": 1_764_000_000, "profile": {
                    "real_name": bot.name, "display_name": "", "team": self.seed.team_id, "bot_id": bot.bot_id,
                    "api_app_id": bot.app_id, "always_active": true,
                },
            }));
        }
        let person = self.seed.people.iter().find(|person| person.id == id)?;
        Some(user(person))
    }
}

fn reply(parent: &mut Message, reply: &Message) {
    parent.thread_ts = Some(parent.ts.clone());
    parent.reply_count = Some(parent.reply_count.unwrap_or(0) + 1);
    parent.latest_reply = Some(reply.ts.clone());
    let users = parent.reply_users.get_or_insert_default();
    if let Some(user) = &reply.user
        && !users.contains(user)
    {
        users.push(user.clone());
    }
    parent.reply_users_count = Some(users.len());
}

fn user(person: &Person) -> Value {
    let (tz, tz_label, tz_offset) = &person.tz;
    let (first, last) = person
        .real_name
        .split_once(' ')
        .unwrap_or((&person.real_name, ""));
    let mut user = json!({
        "id": person.id, "team_id": person.team_id, "name": person.name, "deleted": person.kind == Kind::Deleted,
        "color": person.color, "real_name": person.real_name, "tz": tz, "tz_label": tz_label, "tz_offset": tz_offset,
        "is_admin": false, "is_owner": false, "is_primary_owner": false,
        "is_restricted": matches!(person.kind, Kind::Guest | Kind::SingleChannelGuest),
        "is_ultra_restricted": person.kind == Kind::SingleChannelGuest, "is_bot": person.kind == Kind::Bot,
        "is_app_user": false, "is_email_confirmed": true, "updated": 1_764_000_000,
        "who_can_share_contact_card": "EVERYONE",
        "profile": {
            "title": person.title, "phone": "", "real_name": person.real_name,
            "real_name_normalized": person.real_name, "display_name": person.name,
            "display_name_normalized": person.name, "status_text": "", "status_emoji": "", "status_expiration": 0,
            "email": person.email, "first_name": first, "last_name": last, "team": person.team_id,
        },
    });
    // Slack sends this flag for people of other workspaces only; for its own it is absent.
    if person.kind == Kind::Stranger
        && let Some(fields) = user.as_object_mut()
    {
        fields.insert("is_stranger".into(), true.into());
    }
    user
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

    #[test]
    fn a_reply_counts_on_its_threads_first_message() {
        let mut state = state();
        let root = state.post("C0GENERAL", state.by_person("U0ANA", "root"));
        let reply = Message {
            thread_ts: Some(root.ts.clone()),
            ..state.by_bot("reply")
        };
        let reply = state.post("C0GENERAL", reply);
        let root = state.channel("general").unwrap().message(&root.ts).unwrap();
        assert_eq!(root.reply_count, Some(1));
        assert_eq!(root.latest_reply.as_deref(), Some(reply.ts.as_str()));
        assert_eq!(
            root.reply_users.as_deref(),
            Some(&["U0HABOPS".to_owned()][..])
        );
        assert!(reply.is_only_in_thread());
    }

    #[test]
    fn a_channel_keeps_its_newest_messages() {
        let mut state = state();
        for n in 0..KEPT + 10 {
            state.post("C0GENERAL", state.by_person("U0ANA", &n.to_string()));
        }
        let channel = state.channel("C0GENERAL").unwrap();
        assert_eq!(channel.messages.len(), KEPT);
        assert_eq!(channel.messages[0].text, "10");
    }

    #[test]
    fn only_a_person_of_another_workspace_carries_the_strangers_flag() {
        let state = state();
        assert_eq!(state.user("U0SOL").unwrap()["is_stranger"], true);
        assert!(state.user("U0ANA").unwrap().get("is_stranger").is_none());
        assert_eq!(state.user("U0GUS").unwrap()["is_restricted"], true);
    }
}
