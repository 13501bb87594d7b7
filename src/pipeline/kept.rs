//! People's own words on the timeline (a pin, a reaction, the shortcut), and the recap for whoever comes in.

use jiff::Timestamp;

use super::{Pipeline, heard::Dealing, outbox::destination_in};
use crate::{
    clients::slack::{Client, Error, Message},
    domain::{
        actor::{Actor, Membership},
        failure::Refusal,
        ids::{ChannelId, MessageTs, UserId},
        inbound::Mark,
        incident::{EntryKind, Incident, TimelineEntry},
        journey::{Flags, may},
        message::{Carrier, Destination, Lane, MessageKey, Under, Wish},
        output::{Output, Status},
        place::{Place, Whence},
        recap::{LOOK_BACK, Records, recap},
        records::Records as _,
        routing::{Route, holder, route},
        text::normalise,
    },
    store::{Dealt, Heard},
};

/// Longest text that is kept of one message, in characters.
const LONGEST: usize = 3_000;
/// Incidents that somebody who joins is told of: the newest.
const MOST_RECAPS: usize = 3;
/// The command whose rights count: marking a message is a note.
const NOTE: &str = "incident note";

impl Pipeline {
    /// Whoever comes into a channel is told what happened so far in the incidents that live there, in a thread of it too.
    pub(super) async fn joined(
        &self,
        heard: &Heard,
        who: &Actor,
        channel: &ChannelId,
    ) -> anyhow::Result<Dealing> {
        let mut open = self.parts.store.open_incidents().await?;
        // Whoever opened it knows.
        open.retain(|it| it.lives_in(channel) && it.opened_by != *who);
        let Some(user) = who.user().filter(|_| !open.is_empty()) else {
            return Ok(Dealing::nothing());
        };
        // Who is none of us is told nothing (law 7).
        if self.standing(who).await.membership != Membership::Full {
            return Ok(Dealing::nothing());
        }
        let mut wishes = Vec::new();
        for incident in open.iter().rev().take(MOST_RECAPS) {
            wishes.extend(self.recap_for(incident, user, heard.row).await?);
        }
        Ok(Dealing::Done(Box::new(Dealt {
            wishes,
            ..Dealt::default()
        })))
    }

    /// A recap that one person sees, in the incident's place. None where the incident has no place in Slack.
    pub(super) async fn recap_for(
        &self,
        incident: &Incident,
        user: &UserId,
        row: i64,
    ) -> anyhow::Result<Option<Wish>> {
        let Some(to) = destination_in(incident.id, None, std::slice::from_ref(incident)) else {
            return Ok(None);
        };
        let store = &self.parts.store;
        let records = Records {
            incident,
            operations: &store.operations(Some(incident.id), LOOK_BACK).await?,
            awaiting: &store.awaiting().await?,
            timeline: &store.timeline(incident.id).await?,
            now: self.now(),
        };
        Ok(Some(Wish {
            key: MessageKey(format!("{}:recap:{row}", incident.id)),
            to,
            carrier: Carrier::Ephemeral(user.clone()),
            lane: Lane::Verdict,
            output: self.redacted(recap(records)).await,
            about: self.about_incident(incident, "incident recap"),
        }))
    }

    /// A message that somebody marked, onto the timeline of the incident it was written in.
    pub(super) async fn marked(
        &self,
        heard: &Heard,
        by: &Actor,
        channel: &ChannelId,
        ts: &MessageTs,
        how: &Mark,
    ) -> anyhow::Result<Dealing> {
        let Some(slack) = &self.parts.clients.slack else {
            anyhow::bail!("what was marked can only be read in Slack");
        };
        let message = match read(slack, channel, ts).await {
            Ok(message) => message,
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => return Ok(self.tells(heard, by, channel, None, &error.advice()).await),
        };
        let Some(message) = message else {
            return Ok(Dealing::nothing());
        };
        let root = message.thread_ts.clone().unwrap_or_else(|| ts.clone());
        let place = Place::thread(channel.clone(), root.clone());
        let in_thread = (root != *ts).then_some(root);
        match self.keeps(by, &place, &message, how).await? {
            Kept::Entry(entry, key) => {
                let said = format!("Kept on the timeline of {}.", entry.incident);
                let mut dealing = self.tells(heard, by, channel, in_thread, &said).await;
                if let Dealing::Done(dealt) = &mut dealing {
                    dealt.once = Some(key);
                    dealt.timeline.push(*entry);
                }
                Ok(dealing)
            }
            Kept::No(why) => Ok(self.tells(heard, by, channel, in_thread, &why).await),
            Kept::NotOurs => Ok(Dealing::nothing()),
        }
    }

    /// The line of the timeline, or why there is none.
    async fn keeps(
        &self,
        by: &Actor,
        place: &Place,
        message: &Message,
        how: &Mark,
    ) -> anyhow::Result<Kept> {
        let open = self.parts.store.open_incidents().await?;
        let asked = *how == Mark::Shortcut;
        let whence = Whence::Slack {
            place: place.clone(),
        };
        // A pin or a reaction elsewhere is ordinary Slack; the shortcut is meant for us wherever it is used.
        let incident = match holder(&open, place) {
            Some(incident) => Some(incident.id),
            None if asked => match route(&whence, &Flags::default(), false, &open) {
                Ok(Route::Incident { incident, .. }) => Some(incident),
                Ok(Route::Ask(_)) => {
                    return Ok(Kept::No("Several incidents are open and this message is in none of them. `incident note \"…\" --incident <id>` says which.".to_owned()));
                }
                _ => None,
            },
            None => None,
        };
        let Some(incident) = incident else {
            return Ok(if asked {
                Kept::No(
                    "No incident is open, so there is no timeline to keep it on. `incident open \"what is wrong\"` opens one."
                        .to_owned(),
                )
            } else {
                Kept::NotOurs
            });
        };
        if let Err(refusal) = self.may_note(by).await {
            return Ok(Kept::No(refusal.said));
        }
        let text: String = normalise(&message.text)
            .trim()
            .chars()
            .take(LONGEST)
            .collect();
        let (text, _) = self.parts.rules.redact(&text);
        if text.is_empty() {
            return Ok(Kept::No("That message has no words to keep.".to_owned()));
        }
        let author = match (&message.user, by) {
            (Some(user), Actor::Person { team, .. }) if message.bot_id.is_none() => {
                Actor::person(team.clone(), user.clone())
            }
            _ => by.clone(),
        };
        let kept_by = if author == *by {
            String::new()
        } else {
            format!(" (kept by {by})")
        };
        let key = format!(
            "kept:{}:{}:{}",
            place.channel,
            message.ts,
            short_hash(&text)
        );
        let entry = TimelineEntry {
            incident,
            at: written_at(&message.ts).unwrap_or_else(|| self.now()),
            actor: author,
            kind: EntryKind::Note,
            text: format!("{text}{kept_by}"),
            operation: None,
        };
        Ok(Kept::Entry(Box::new(entry), key))
    }

    async fn may_note(&self, by: &Actor) -> Result<(), Refusal> {
        let Some(spec) = self.parts.commands.get(NOTE) else {
            return Ok(());
        };
        let environment = self.parts.settings.default_environment.clone();
        may(spec, &[environment].into(), &self.standing(by).await)
    }

    /// Tells whoever marked it, and nobody else.
    async fn tells(
        &self,
        heard: &Heard,
        by: &Actor,
        channel: &ChannelId,
        thread: Option<MessageTs>,
        said: &str,
    ) -> Dealing {
        let Some(user) = by.user() else {
            return Dealing::nothing();
        };
        let wish = Wish {
            key: MessageKey(format!("kept:{}", heard.row)),
            to: Destination {
                channel: channel.clone(),
                thread: thread.map_or(Under::Channel, Under::Ts),
            },
            carrier: Carrier::Ephemeral(user.clone()),
            lane: Lane::Verdict,
            output: self.redacted(Output::new(Status::Done, said)).await,
            about: crate::domain::message::About {
                operation: None,
                incident: None,
                state: "done".to_owned(),
                actor: by.clone(),
                typed: NOTE.to_owned(),
                at: self.now(),
                back_filled: false,
            },
        };
        Dealing::Done(Box::new(Dealt {
            wishes: vec![wish],
            ..Dealt::default()
        }))
    }
}

/// What becomes of a marked message.
enum Kept {
    /// It is a line of the timeline; the key tells the same words of the same message.
    Entry(Box<TimelineEntry>, String),
    /// It is not, and whoever marked it is told why.
    No(String),
    /// It has nothing to do with an incident.
    NotOurs,
}

/// The message as it is now; a public channel is joined to read it.
async fn read(
    slack: &Client,
    channel: &ChannelId,
    ts: &MessageTs,
) -> Result<Option<Message>, Error> {
    match slack.message(channel, ts).await {
        Err(error) if error.code() == Some("not_in_channel") => {
            slack.join(channel).await?;
            slack.message(channel, ts).await
        }
        other => other,
    }
}

/// A message's time stamp is when it was written.
fn written_at(ts: &MessageTs) -> Option<Timestamp> {
    let (seconds, micros) = ts.as_str().split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let micros: i32 = micros.parse().ok()?;
    Timestamp::new(seconds, micros.checked_mul(1_000)?).ok()
}

/// Tells one text from another; an edit is kept as a new version.
fn short_hash(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(&Sha256::digest(text)[..8])
}
