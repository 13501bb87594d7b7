//! A shift that changed: told exactly once, where habops lives and in every open incident, with what whoever comes should know.
//!
//! What was seen of the schedule and what is said about it change in one transaction, so that of several bots one tells it, and a
//! crash in between tells it later instead of never.

use anyhow::Context as _;
use serde_json::Value;
use tracing::info;

use super::{
    Pipeline,
    outbox::{at_place, destination_in},
};
use crate::{
    domain::{
        actor::Actor,
        audit::Event,
        failure::Failure,
        handoff::{Handoff, Packet},
        incident::{EntryKind, Incident, TimelineEntry},
        message::{About, Carrier, Destination, Lane, MessageKey, Wish},
        operation::Offer,
        output::{Action, Choice, Output, Part, Status, Weight},
        place::Place,
        roster::{Change, Responder, Schedule, Seen, names},
    },
    handlers::handoff::packet,
    store::{Memo, Swap},
};

/// What is to be seen of it, and the buttons behind.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) wishes: Vec<Wish>,
    pub(super) offers: Vec<Offer>,
}

impl Pipeline {
    /// Other people are on call than `before`, which is the memo as it stands in the store.
    pub(super) async fn shift_changed(
        &self,
        before: Value,
        after: Seen,
        changes: Vec<Change>,
    ) -> Result<(), Failure> {
        let now = self.now();
        let seen: Seen =
            serde_json::from_value(before.clone()).context("what was seen cannot be read")?;
        let commands = &self.parts.commands;
        let packet = packet(&self.parts.store, commands, seen.since, now).await?;
        let schedule = after.schedule.clone();
        let mut handoff = Handoff {
            schedule: schedule.clone(),
            changes,
            told_at: now,
            told: Output::new(Status::Waiting, ""),
            accepted: None,
            reminded: false,
        };
        let mut shown = Shown::default();
        handoff.told = self.packet(&mut shown, &handoff, &after, &packet).await;
        self.cards_again(&mut shown, &handoff, &packet).await;
        for incident in &packet.incidents {
            self.tells_incident(&mut shown, &handoff, incident, &packet)
                .await;
        }
        let name = format!("handoff:{}", schedule.id);
        let old = self.parts.store.get_state(&name).await;
        let old = old.context("cannot read the last handoff")?;
        shown
            .wishes
            .extend(self.superseded(old.as_ref(), &handoff).await);
        let value = |what: serde_json::Result<Value>| what.context("a memo cannot be written");
        let swap = Swap {
            memos: vec![
                Memo {
                    name: format!("oncall:{}", schedule.id),
                    before: Some(before),
                    after: value(serde_json::to_value(&after))?,
                },
                Memo {
                    name,
                    before: old,
                    after: value(serde_json::to_value(&handoff))?,
                },
            ],
            by: Actor::Habops,
            events: handoff
                .changes
                .iter()
                .map(|change| event(&schedule, change))
                .collect(),
            wishes: shown.wishes,
            offers: shown.offers,
            timeline: self.lines(&packet.incidents, &Actor::Habops, &handoff.title()),
        };
        let told = self.parts.store.swap(swap).await;
        if told.context("the change of shift cannot be written")? {
            info!("{}", handoff.title());
            for incident in &packet.incidents {
                self.refresh_card(Some(incident.id)).await;
            }
        }
        Ok(())
    }

    /// The packet, in the channel where habops lives; what it shows without its button is kept for the time it is accepted.
    async fn packet(
        &self,
        shown: &mut Shown,
        handoff: &Handoff,
        after: &Seen,
        packet: &Packet,
    ) -> Output {
        let until = after.shifts.iter().filter(|shift| shift.covers(after.at));
        let until = until.filter_map(|shift| shift.end).min();
        let mut said = handoff.last().map_or_else(String::new, |change| {
            change.at.strftime("Since %Y-%m-%d %H:%M UTC").to_string()
        });
        if let Some(until) = until {
            said.push_str(&until.strftime(", until %Y-%m-%d %H:%M UTC").to_string());
        }
        let mut output = Output::new(Status::Waiting, handoff.title()).text(said);
        output.parts.extend(handoff.missed());
        output.parts.extend(packet.parts());
        let plain = self.redacted(output.clone()).await.output().clone();
        let Some(channel) = self.parts.settings.channel.clone() else {
            return plain;
        };
        let coming = handoff.last().map(|change| change.to.clone());
        if let Some(people) = coming.filter(|people| !people.is_empty()) {
            let mut offer = self.offer(Action::Accept, None, None);
            let typed = format!("handoff accept {}", handoff.schedule.id);
            offer.command = Some(typed.clone());
            output = output.with(Part::Ask {
                question: format!("{}, please accept.", names(&people)),
                choices: vec![Choice::of(&offer, "Accept", typed).weighing(Weight::Primary)],
            });
            shown.offers.push(offer);
        }
        let wish = self
            .of_handoff(
                handoff.key(),
                at_place(&Place::channel(channel)),
                "waiting",
                output,
            )
            .await;
        shown.wishes.push(wish);
        plain
    }

    /// In an incident: who is on call now, and what of the packet is the incident's own.
    async fn tells_incident(
        &self,
        shown: &mut Shown,
        handoff: &Handoff,
        incident: &Incident,
        packet: &Packet,
    ) {
        let all = std::slice::from_ref(incident);
        let Some(to) = destination_in(incident.id, None, all) else {
            return;
        };
        let mut output = Output::new(Status::Done, handoff.title());
        let own = packet.of(incident.id);
        if !(own.made.is_empty() && own.waiting.is_empty()) {
            output.parts = own.parts();
        }
        let key = format!("{}:{}", handoff.key(), incident.id);
        let mut wish = self.of_handoff(key, to, "done", output).await;
        wish.about.incident = Some(incident.id);
        shown.wishes.push(wish);
    }

    /// An older packet that nobody accepted is not for accepting any more.
    async fn superseded(&self, old: Option<&Value>, by: &Handoff) -> Option<Wish> {
        let old: Handoff = serde_json::from_value(old?.clone()).ok()?;
        if old.accepted.is_some() || old.key() == by.key() {
            return None;
        }
        let mut output = old.told.clone();
        output.status = Status::Cancelled;
        let output = output.text(format!("Nobody accepted it. {}.", by.title()));
        let channel = self.parts.settings.channel.clone()?;
        let to = at_place(&Place::channel(channel));
        Some(self.of_handoff(old.key(), to, "done", output).await)
    }

    /// A message about who is on call, under a key of its own.
    pub(super) async fn of_handoff(
        &self,
        key: String,
        to: Destination,
        state: &str,
        output: Output,
    ) -> Wish {
        Wish {
            key: MessageKey(key),
            to,
            carrier: Carrier::Message,
            lane: Lane::Confirm,
            output: self.redacted(output).await,
            about: About {
                operation: None,
                incident: None,
                state: state.to_owned(),
                actor: Actor::Habops,
                typed: "handoff packet".to_owned(),
                at: self.now(),
                back_filled: false,
            },
        }
    }

    /// The same line in the timeline of each incident.
    pub(super) fn lines(
        &self,
        incidents: &[Incident],
        by: &Actor,
        text: &str,
    ) -> Vec<TimelineEntry> {
        let line = |incident: &Incident| TimelineEntry {
            incident: incident.id,
            at: self.now(),
            actor: by.clone(),
            kind: EntryKind::Incident,
            text: text.to_owned(),
            operation: None,
        };
        incidents.iter().map(line).collect()
    }
}

fn event(schedule: &Schedule, change: &Change) -> Event {
    let ids = |people: &[Responder]| people.iter().map(|who| who.id.clone()).collect();
    Event::OnCall {
        schedule: schedule.id.clone(),
        since: change.at,
        from: ids(&change.from),
        to: ids(&change.to),
    }
}
