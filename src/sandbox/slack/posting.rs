//! How messages come, change and go, each change told to the page.

use serde_json::json;

use super::{
    channel::KEPT,
    message::{Message, Post, Reaction},
    state::State,
};

/// How many ephemeral messages are kept in all.
const EPHEMERALS: usize = 4_000;
/// How many posts are counted.
const POSTS: usize = 50_000;

impl State {
    /// A message of the bot's, still to be posted.
    pub(super) fn by_bot(&self, text: &str) -> Message {
        let bot = &self.seed.bot;
        Message {
            kind: "message",
            user: Some(bot.user_id.clone()),
            bot_id: Some(bot.bot_id.clone()),
            app_id: Some(bot.app_id.clone()),
            bot_name: bot.name.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::slack::seed::Seed;

    fn state() -> State {
        State::new(Seed::default(), "http://127.0.0.1:1")
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
}
