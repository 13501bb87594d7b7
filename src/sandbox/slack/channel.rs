//! A channel: who is in it and what was said, newest 2,000 messages.

use std::{collections::VecDeque, time::Instant};

use serde_json::{Value, json};

use super::{
    message::Message,
    seed::{ChannelSeed, PostRate},
};

/// How many messages a channel keeps; the oldest go first.
pub(super) const KEPT: usize = 2_000;

/// One conversation.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_private: bool,
    /// The person of a direct message with the bot.
    pub(super) im_with: Option<String>,
    pub(super) is_archived: bool,
    pub(super) is_ext_shared: bool,
    pub(super) topic: String,
    pub(super) purpose: String,
    pub(super) created: u64,
    pub(super) creator: String,
    pub(super) members: Vec<String>,
    pub(super) messages: VecDeque<Message>,
    pub(super) bookmarks: Vec<Value>,
    room: Option<(f64, Instant)>,
}

impl Channel {
    pub(super) fn new(seed: ChannelSeed, created: u64, creator: &str) -> Self {
        Channel {
            id: seed.id,
            name: seed.name,
            is_private: seed.is_private,
            im_with: None,
            is_archived: seed.is_archived,
            is_ext_shared: seed.is_ext_shared,
            topic: seed.topic,
            purpose: String::new(),
            created,
            creator: creator.into(),
            members: seed.members,
            messages: VecDeque::new(),
            bookmarks: Vec::new(),
            room: None,
        }
    }

    pub(super) fn has(&self, user: &str) -> bool {
        self.members.iter().any(|member| member == user)
    }

    pub(super) fn message(&self, ts: &str) -> Option<&Message> {
        self.position(ts).map(|at| &self.messages[at])
    }

    pub(super) fn message_mut(&mut self, ts: &str) -> Option<&mut Message> {
        self.position(ts).map(|at| &mut self.messages[at])
    }

    /// Messages are in order of `ts`, whose text sorts as its time does.
    pub(super) fn position(&self, ts: &str) -> Option<usize> {
        self.messages
            .binary_search_by(|message| message.ts.as_str().cmp(ts))
            .ok()
    }

    /// Takes one post out of the channel's bucket, or says after how many seconds to come again.
    pub(super) fn admit(&mut self, rate: PostRate, now: Instant) -> Result<(), u64> {
        let (room, since) = self.room.unwrap_or((rate.burst, now));
        let grown = room + rate.per_second * now.duration_since(since).as_secs_f64();
        let room = grown.min(rate.burst);
        if room < 1.0 {
            self.room = Some((room, now));
            return Err(1);
        }
        self.room = Some((room - 1.0, now));
        Ok(())
    }

    /// As a slash payload names it.
    pub(super) fn name_in_payload(&self) -> &str {
        match (&self.im_with, self.is_private) {
            (Some(_), _) => "directmessage",
            (None, true) => "privategroup",
            (None, false) => &self.name,
        }
    }

    pub(super) fn for_page(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "is_private": self.is_private, "is_archived": self.is_archived,
            "topic": self.topic, "members": self.members, "im_with": self.im_with,
        })
    }

    pub(super) fn for_api(&self, team: &str, bot: &str) -> Value {
        if let Some(user) = &self.im_with {
            return json!({
                "id": self.id, "created": self.created, "is_im": true, "is_org_shared": false, "is_archived": false,
                "user": user, "is_open": true, "context_team_id": team, "priority": 0,
            });
        }
        let set = |value: &str| json!({"value": value, "creator": self.creator, "last_set": self.created});
        json!({
            "id": self.id, "name": self.name, "name_normalized": self.name, "created": self.created,
            "creator": self.creator, "is_archived": self.is_archived, "is_channel": !self.is_private,
            "is_group": self.is_private, "is_im": false, "is_mpim": false, "is_private": self.is_private,
            "is_general": self.name == "general", "is_shared": self.is_ext_shared, "is_org_shared": false,
            "is_ext_shared": self.is_ext_shared, "is_pending_ext_shared": false, "is_member": self.has(bot),
            "context_team_id": team, "num_members": self.members.len(), "topic": set(&self.topic),
            "purpose": set(&self.purpose), "previous_names": [], "unlinked": 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn channel() -> Channel {
        let seed = ChannelSeed {
            id: "C1".into(),
            name: "one".into(),
            topic: String::new(),
            is_private: false,
            is_archived: false,
            is_ext_shared: false,
            members: vec![],
        };
        Channel::new(seed, 0, "U1")
    }

    #[test]
    fn a_client_with_a_bucket_of_four_is_never_refused() {
        let (mut channel, start) = (channel(), Instant::now());
        let mut at = 0.0;
        for post in 0..200 {
            if post >= 4 {
                at += 1.0;
            }
            let now = start + Duration::from_secs_f64(at);
            assert_eq!(channel.admit(PostRate::default(), now), Ok(()));
        }
    }

    #[test]
    fn a_client_without_one_is() {
        let (mut channel, now) = (channel(), Instant::now());
        let taken = (0..20)
            .filter(|_| channel.admit(PostRate::default(), now).is_ok())
            .count();
        assert_eq!(taken, 8);
        let later = now + Duration::from_secs(1);
        assert_eq!(channel.admit(PostRate::default(), later), Ok(()));
    }
}
