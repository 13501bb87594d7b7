//! What a test or the page does with the running stand-in: act as people, look, wait, break things.

use std::{collections::VecDeque, sync::PoisonError, time::Duration};

use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Clicked, Deliver, Entry, Message, Post, Seed, Slack, Typed,
    channel::Channel,
    clicks::{self, Click},
    people,
};
use crate::sandbox::fault::{Fault, FaultState, NodeState};

/// How many newest messages of a channel the page shows.
const SHOWN: usize = 500;

impl Slack {
    /// The Web API's base, `http://127.0.0.1:PORT/api`.
    pub fn api_url(&self) -> String {
        format!("{}/api", self.0.origin)
    }

    /// The page's address.
    pub fn page_url(&self) -> String {
        format!("{}/", self.0.origin)
    }

    /// A person types a line and presses Return; a slash command waits for its ack, three seconds at most. People and channels
    /// go by id or name.
    pub async fn types(
        &self,
        person: &str,
        channel: &str,
        thread: Option<&str>,
        text: &str,
    ) -> Typed {
        people::types(&self.0, person, channel, thread, text).await
    }

    /// A person presses the button of this action id, in a message of a channel or one that only they see.
    pub async fn clicks(&self, person: &str, channel: &str, ts: &str, action_id: &str) -> Clicked {
        self.uses(person, channel, ts, None, action_id, None).await
    }

    /// A person chooses the option of this value from a menu.
    pub async fn chooses(
        &self,
        person: &str,
        channel: &str,
        ts: &str,
        action_id: &str,
        option: &str,
    ) -> Clicked {
        self.uses(person, channel, ts, None, action_id, Some(option))
            .await
    }

    /// A person uses an element: presses it, or chooses `option` from it. `block_id` tells elements of one action id apart.
    pub async fn uses(
        &self,
        person: &str,
        channel: &str,
        ts: &str,
        block_id: Option<&str>,
        action_id: &str,
        option: Option<&str>,
    ) -> Clicked {
        let click = Click {
            person: person.into(),
            channel: channel.into(),
            ts: ts.into(),
            block_id: block_id.map(str::to_owned),
            action_id: action_id.into(),
            option: option.map(str::to_owned),
        };
        clicks::clicks(&self.0, &click).await
    }

    /// A person picks a message shortcut from a message's menu.
    pub async fn shortcut(
        &self,
        person: &str,
        channel: &str,
        ts: &str,
        callback_id: &str,
    ) -> Clicked {
        clicks::shortcut(&self.0, person, channel, ts, callback_id).await
    }

    /// A person submits a modal's form: `{block_id: {action_id: value}}`.
    pub async fn submits(&self, person: &str, view_id: &str, values: &Value) -> Clicked {
        clicks::submit(&self.0, person, view_id, values).await
    }

    /// A person closes a modal.
    pub async fn closes(&self, person: &str, view_id: &str) -> Clicked {
        clicks::close_view(&self.0, person, view_id).await
    }

    /// A person reacts to a message; `Err` is Slack's word.
    pub fn reacts(
        &self,
        person: &str,
        channel: &str,
        ts: &str,
        name: &str,
    ) -> Result<(), &'static str> {
        clicks::reacts(&self.0, person, channel, ts, name)
    }

    /// A person pins a message; `Err` is Slack's word.
    pub fn pins(&self, person: &str, channel: &str, ts: &str) -> Result<(), &'static str> {
        clicks::pins(&self.0, person, channel, ts)
    }

    /// A person comes into a channel, by themselves.
    pub fn joins(&self, person: &str, channel: &str) {
        self.0.with(|state| {
            let ids = (
                state.person(person).map(|person| person.id.clone()),
                state.channel(channel).map(|channel| channel.id.clone()),
            );
            if let (Some(person), Some(channel)) = ids {
                state.join(&channel, &person, None);
            }
        });
    }

    /// A person archives a channel.
    pub fn archives(&self, person: &str, channel: &str) {
        self.0.with(|state| {
            let ids = (
                state.person(person).map(|person| person.id.clone()),
                state.channel(channel).map(|channel| channel.id.clone()),
            );
            if let (Some(person), Some(channel)) = ids {
                state.archive(&channel, &person);
            }
        });
    }

    /// Every message of a channel, replies included, oldest first.
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.0.with(|state| {
            let channel = state.channel(channel);
            channel.map_or_else(Vec::new, |it| it.messages.iter().cloned().collect())
        })
    }

    /// A thread: its first message and the replies.
    pub fn thread(&self, channel: &str, ts: &str) -> Vec<Message> {
        let mut messages = self.messages(channel);
        messages.retain(|it| it.ts == ts || it.thread_ts.as_deref() == Some(ts));
        messages
    }

    /// What only this person sees, oldest first.
    pub fn ephemerals(&self, person: &str) -> Vec<Message> {
        self.0.with(|state| {
            let id = state.person(person).map(|person| person.id.clone());
            let own = state.ephemerals.iter().filter(|it| it.ephemeral_to == id);
            own.cloned().collect()
        })
    }

    /// Every post of the bot's to this channel as it was posted, also those since edited or deleted.
    pub fn posts(&self, channel: &str) -> Vec<Post> {
        self.0.with(|state| {
            let id = state.channel(channel).map(|channel| channel.id.clone());
            let posts = state.posts.iter();
            posts
                .filter(|post| Some(&post.channel) == id.as_ref())
                .cloned()
                .collect()
        })
    }

    /// The modal this person opened last and has not closed, as the app made it.
    pub fn view(&self, person: &str) -> Option<Value> {
        self.0.with(|state| {
            let id = state.person(person)?.id.clone();
            let own = state.views.iter();
            let own = own.filter(|(_, kept)| kept.person == id && kept.json["type"] == "modal");
            own.max_by_key(|(id, _)| *id)
                .map(|(_, kept)| kept.json.clone())
        })
    }

    /// The channels by id and name.
    pub fn channels(&self) -> Vec<(String, String)> {
        self.0.with(|state| {
            let channels = state.channels.iter();
            channels
                .map(|it| (it.id.clone(), it.name.clone()))
                .collect()
        })
    }

    /// A shared file's bytes.
    pub fn file(&self, id: &str) -> Option<Vec<u8>> {
        self.0.with(|state| {
            let file = state
                .files
                .iter()
                .find(|file| file.id == id && file.shared)?;
            file.bytes.as_ref().map(|bytes| bytes.to_vec())
        })
    }

    /// What happened on the wire, oldest first.
    pub fn journal(&self) -> Vec<Entry> {
        self.0.journal.all()
    }

    /// How many sockets are open.
    pub fn sockets(&self) -> usize {
        self.0.sockets.count()
    }

    /// From now on delivers so.
    pub fn deliver(&self, how: Deliver) {
        *self
            .0
            .deliver
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = how;
        self.0.tell_connected();
    }

    /// Changes what somebody is or which groups they are in, as an administrator would.
    pub fn administer(&self, change: impl FnOnce(&mut Seed)) {
        self.0.with(|state| change(&mut state.seed));
    }

    /// Turns a fault on or off, Slack's own or another stand-in's; false when nobody knows it.
    pub fn set_fault(&self, name: &str, on: bool) -> bool {
        let known =
            self.set(name, on) || self.0.other_faults.iter().any(|other| other.set(name, on));
        if known {
            self.0.journal.note("fault", name, json!({"on": on}));
            self.tell_faults();
        }
        known
    }

    /// Tells the page what is broken or mended by what happens elsewhere, until stopped.
    pub(super) async fn tell_what_changes(self, mut changes: watch::Receiver<u64>) {
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            // Nobody looks: a page that opens reads everything.
            if self.0.pages.receiver_count() > 0 {
                self.tell_faults();
            }
        }
    }

    /// Tells every page what is broken or mended since they were told last, and how all of it is now.
    fn tell_faults(&self) -> (Vec<FaultState>, Vec<NodeState>) {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.list(), self.nodes());
        for fault in now.0.iter().filter(|fault| !told.0.contains(fault)) {
            self.0.tell(&json!({"type": "fault", "fault": fault}));
        }
        for node in now.1.iter().filter(|node| !told.1.contains(node)) {
            self.0.tell(&json!({"type": "node", "node": node}));
        }
        told.clone_from(&now);
        now
    }

    /// Looks again after every change until `look` finds something, or gives up.
    pub async fn wait<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Slack) -> Option<T>,
    ) -> Option<T> {
        let mut changed = self.0.changed.subscribe();
        let looking = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = look(self) {
                    return found;
                }
                // The sender lives as long as this handle does.
                changed.changed().await.ok();
            }
        };
        tokio::time::timeout(within, looking).await.ok()
    }

    /// Waits for a message of this channel that is as wanted.
    pub async fn sees(
        &self,
        channel: &str,
        within: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Option<Message> {
        self.wait(within, |slack| {
            slack.messages(channel).into_iter().find(&wanted)
        })
        .await
    }

    /// Waits for something only this person sees that is as wanted.
    pub async fn whispered(
        &self,
        person: &str,
        within: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Option<Message> {
        self.wait(within, |slack| {
            slack.ephemerals(person).into_iter().find(&wanted)
        })
        .await
    }

    /// Waits until so many sockets are open.
    pub async fn connected(&self, sockets: usize, within: Duration) -> bool {
        self.wait(within, |slack| (slack.sockets() >= sockets).then_some(()))
            .await
            .is_some()
    }

    /// Everything the page shows at first.
    pub(in crate::sandbox) fn page_state(&self) -> Value {
        let (faults, nodes) = self.tell_faults();
        let core = &self.0;
        core.with(|state| {
            let seed = &state.seed;
            let people: Vec<Value> = seed.people.iter().map(|it| json!({
                "id": it.id, "name": it.name, "real_name": it.real_name, "title": it.title, "tz": it.tz.0,
                "kind": it.kind.word(), "color": format!("#{}", it.color),
            })).collect();
            let channels: Vec<Value> = state.channels.iter().map(Channel::for_page).collect();
            let newest = |messages: &VecDeque<Message>| -> Vec<Message> {
                messages.iter().skip(messages.len().saturating_sub(SHOWN)).cloned().collect()
            };
            let mut messages: Vec<Message> = state.channels.iter().flat_map(|it| newest(&it.messages)).collect();
            messages.extend(newest(&state.ephemerals));
            messages.sort_by(|a, b| a.ts.cmp(&b.ts));
            let messages: Vec<Value> = messages.iter().map(|it| it.for_page(&core.origin)).collect();
            json!({
                "team": {"id": seed.team_id, "name": seed.team_name},
                "bot": {
                    "user_id": seed.bot.user_id, "bot_id": seed.bot.bot_id, "name": seed.bot.name,
                    "connected": core.is_connected(),
                },
                "people": people, "channels": channels, "messages": messages, "commands": core.commands,
                "faults": faults, "nodes": nodes,
            })
        })
    }

    /// What the page hears from now on.
    pub(in crate::sandbox) fn changes(&self) -> broadcast::Receiver<String> {
        self.0.pages.subscribe()
    }

    /// Ends with the sandbox.
    pub(in crate::sandbox) fn stopped(&self) -> CancellationToken {
        self.0.stop.clone()
    }
}
