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
        failure::{Failure, Refusal},
        handoff::{Handoff, Packet},
        ids::{ChannelId, UserId},
        incident::{EntryKind, Incident, TimelineEntry},
        message::{About, Carrier, Destination, Lane, MessageKey, Under, Wish},
        operation::{Offer, Operation, State},
        output::{Action, Choice, Output, Part, Status, Weight},
        place::Place,
        roster::{Change, Responder, Schedule, Seen, Shift, is_same_person, names},
    },
    handlers::{Asked, access, handoff::packet},
    store::{Memo, Swap},
};

/// What is to be seen of it, and the buttons behind.
#[derive(Default)]
struct Shown {
    wishes: Vec<Wish>,
    offers: Vec<Offer>,
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
                choices: vec![Choice {
                    label: "Accept".to_owned(),
                    action: Action::Accept,
                    offer: offer.id.to_string(),
                    typed,
                    weight: Weight::Primary,
                }],
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

    /// The cards that wait, once more, below the packet. Until when they count stays as it was.
    async fn cards_again(&self, shown: &mut Shown, handoff: &Handoff, packet: &Packet) {
        let Some(channel) = self.parts.settings.channel.clone() else {
            return;
        };
        for operation in &packet.waiting {
            let Some(proposal) = &operation.proposal else {
                continue;
            };
            let (yes, no) = self.yes_and_no(operation, proposal);
            let (approve, deny) = (yes.id.to_string(), no.id.to_string());
            let card = self.card_that_asks(operation, proposal, &approve, &deny);
            let at = handoff.told_at.as_nanosecond();
            shown.wishes.push(Wish {
                key: MessageKey::of_operation(operation.id, &format!("again:{at}")),
                to: Destination {
                    channel: channel.clone(),
                    thread: Under::Key(MessageKey(handoff.key())),
                },
                carrier: Carrier::Message,
                lane: Lane::Confirm,
                output: self.redacted(card).await,
                about: self.about(operation, State::Awaiting),
            });
            shown.offers.extend([yes, no]);
        }
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

    /// `handoff accept`, and the button of that name: only whoever came on call may.
    pub(super) async fn accept_handoff(
        &self,
        schedule: &str,
        by: &Actor,
    ) -> Result<Output, Failure> {
        let name = format!("handoff:{schedule}");
        let raw = self.parts.store.get_state(&name).await;
        let Some(raw) = raw.context("cannot read the handoff")? else {
            return Err(Refusal::not_now("There is no handoff to accept.").into());
        };
        let mut handoff: Handoff =
            serde_json::from_value(raw.clone()).context("the handoff cannot be read")?;
        if let Some((who, at)) = &handoff.accepted {
            let at = at.strftime("%H:%M UTC");
            return Err(Refusal::not_now(format!(
                "That handoff was accepted already, by {who} at {at}."
            ))
            .into());
        }
        let people = handoff
            .last()
            .map(|change| change.to.clone())
            .unwrap_or_default();
        if !self.is_one_of(by, &people).await {
            return Err(Refusal::denied(format!(
                "Only whoever came on call can accept this: {}.",
                names(&people)
            ))
            .into());
        }
        let now = self.now();
        handoff.accepted = Some((by.clone(), now));
        let mut output = handoff.told.clone();
        output.status = Status::Done;
        let output = output.text(format!("Accepted by {by}, {}.", now.strftime("%H:%M UTC")));
        let mut wishes = Vec::new();
        if let Some(channel) = self.parts.settings.channel.clone() {
            let to = at_place(&Place::channel(channel));
            wishes.push(self.of_handoff(handoff.key(), to, "done", output).await);
        }
        let open = self.parts.store.open_incidents().await;
        let open = open.context("cannot read the open incidents")?;
        let said = format!("{by} accepted the handoff of {}", handoff.schedule.name);
        let swap = Swap {
            memos: vec![Memo {
                name,
                before: Some(raw),
                after: serde_json::to_value(&handoff).context("a memo cannot be written")?,
            }],
            by: by.clone(),
            events: vec![Event::Handoff {
                schedule: schedule.to_owned(),
                what: "accepted".to_owned(),
            }],
            wishes,
            offers: Vec::new(),
            timeline: self.lines(&open, by, &said),
        };
        let swapped = self.parts.store.swap(swap).await;
        if !swapped.context("the acceptance cannot be written")? {
            return Err(
                Refusal::not_now("That handoff changed in this moment; look at it again.").into(),
            );
        }
        let said = format!("You have {} now", handoff.schedule.name);
        Ok(Output::new(Status::Done, said))
    }

    /// Nobody accepted it in time: both are reminded, and everybody is told.
    pub(super) async fn handoff_unaccepted(&self, schedule: &str) -> Result<(), Failure> {
        let name = format!("handoff:{schedule}");
        let raw = self.parts.store.get_state(&name).await;
        let Some(raw) = raw.context("cannot read the handoff")? else {
            return Ok(());
        };
        let mut handoff: Handoff =
            serde_json::from_value(raw.clone()).context("the handoff cannot be read")?;
        let Some(change) = handoff.last().cloned() else {
            return Ok(());
        };
        if handoff.accepted.is_some() || handoff.reminded {
            return Ok(());
        }
        handoff.reminded = true;
        let told = handoff.told_at.strftime("%Y-%m-%d %H:%M UTC");
        let output = Output::new(
            Status::Waiting,
            format!(
                "Nobody has accepted on call for {} yet: {}",
                handoff.schedule.name,
                handoff.title()
            ),
        )
        .text(format!(
            "Told at {told}. {} accepts it on the packet, or types `handoff accept`; until then ask {} too.",
            names(&change.to),
            names(&change.from)
        ));
        let mut wishes = Vec::new();
        for person in change.to.iter().chain(&change.from) {
            let Some((user, channel)) = self.in_slack(person).await else {
                continue;
            };
            let key = format!("{}:unaccepted:{user}", handoff.key());
            let to = at_place(&Place::channel(channel));
            wishes.push(self.of_handoff(key, to, "waiting", output.clone()).await);
        }
        if let Some(channel) = self.parts.settings.channel.clone() {
            let key = format!("{}:unaccepted", handoff.key());
            let to = at_place(&Place::channel(channel));
            wishes.push(self.of_handoff(key, to, "waiting", output).await);
        }
        let swap = Swap {
            memos: vec![Memo {
                name,
                before: Some(raw),
                after: serde_json::to_value(&handoff).context("a memo cannot be written")?,
            }],
            by: Actor::Habops,
            events: vec![Event::Handoff {
                schedule: schedule.to_owned(),
                what: "not accepted in time".to_owned(),
            }],
            wishes,
            offers: Vec::new(),
            timeline: Vec::new(),
        };
        let swapped = self.parts.store.swap(swap).await;
        swapped.context("the reminder cannot be written")?;
        Ok(())
    }

    /// Somebody's shift begins soon: they are told, with what habops can check of their access.
    pub(super) async fn shift_soon(
        &self,
        schedule: &Schedule,
        shift: &Shift,
        before: Option<Value>,
    ) -> Result<(), Failure> {
        let starts = shift.start.map_or_else(String::new, |start| {
            start.strftime("%Y-%m-%d %H:%M UTC").to_string()
        });
        let who = &shift.responder;
        let title = format!(
            "{} is on call for {} from {starts}",
            who.name, schedule.name
        );
        let at = shift.start.map_or(0, jiff::Timestamp::as_nanosecond);
        let key = format!("remind:{}:{}:{at}", schedule.id, who.id);
        let mut wishes = Vec::new();
        if let Some((user, channel)) = self.in_slack(who).await {
            let mut output = Output::new(Status::Done, title);
            match self.access_of(&user).await {
                Ok(checked) => {
                    output = output.text(checked.title);
                    output.parts.extend(checked.parts);
                }
                Err(Failure::Refused(refusal)) => output = output.text(refusal.said),
                Err(broken) => return Err(broken),
            }
            let to = at_place(&Place::channel(channel));
            wishes.push(self.of_handoff(key, to, "done", output).await);
        } else if let Some(channel) = self.parts.settings.channel.clone() {
            let output = Output::new(Status::Done, title).text(
                "habops does not find them in Slack, so tell them; [pagerduty.users] maps people whose e-mail addresses differ.",
            );
            let to = at_place(&Place::channel(channel));
            wishes.push(self.of_handoff(key, to, "done", output).await);
        }
        let swap = Swap {
            memos: vec![Memo {
                name: format!("remind:{}", schedule.id),
                before,
                after: serde_json::to_value(shift).context("a memo cannot be written")?,
            }],
            by: Actor::Habops,
            events: Vec::new(),
            wishes,
            offers: Vec::new(),
            timeline: Vec::new(),
        };
        let swapped = self.parts.store.swap(swap).await;
        swapped.context("the reminder cannot be written")?;
        Ok(())
    }

    async fn access_of(&self, user: &UserId) -> Result<Output, Failure> {
        let spec = self.parts.commands.get("access");
        let spec = spec.context("the catalogue has no `access`")?;
        let asked = Asked {
            operation: crate::domain::ids::OperationId(0),
            standing: self.standing(&Actor::Habops).await,
            spec: spec.clone(),
            flags: crate::domain::journey::Flags::default(),
            whence: crate::domain::place::Whence::Machine,
            incident: None,
            nodes: Vec::new(),
            now: self.now(),
        };
        access::checklist(&self.look(asked), user).await
    }

    /// Whether a person of Slack is one of these of PagerDuty's.
    async fn is_one_of(&self, actor: &Actor, people: &[Responder]) -> bool {
        let Some(user) = actor.user() else {
            return false;
        };
        let email = match &self.parts.clients.directory {
            Some(directory) => directory.person(user).await.ok(),
            None => None,
        };
        let email = email.as_ref().and_then(|person| person.email());
        let told = self.parts.of_handlers.on_call.people.get(user.as_str());
        people.iter().any(|who| is_same_person(who, email, told))
    }

    /// Who somebody of PagerDuty's is in Slack, and their direct messages.
    async fn in_slack(&self, who: &Responder) -> Option<(UserId, ChannelId)> {
        let directory = self.parts.clients.directory.as_ref()?;
        let mut table = self.parts.of_handlers.on_call.people.iter();
        let user = match table.find(|(_, id)| **id == who.id) {
            Some((user, _)) => UserId::new(user.clone()),
            None => directory.found_by_email(who.email.as_deref()?).await.ok()?,
        };
        let channel = directory.direct(&user).await.ok()?;
        Some((user, channel))
    }

    async fn of_handoff(&self, key: String, to: Destination, state: &str, output: Output) -> Wish {
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
    fn lines(&self, incidents: &[Incident], by: &Actor, text: &str) -> Vec<TimelineEntry> {
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

    /// The copies of a card, brought to what the card shows by now.
    pub(super) async fn copies(
        &self,
        operation: &Operation,
        state: State,
        card: &crate::domain::journey::Redacted,
    ) -> (Vec<Wish>, Vec<Offer>) {
        let (mut wishes, mut all) = (Vec::new(), Vec::new());
        let copies = self.parts.store.copies(operation.id).await;
        for (key, to) in copies.unwrap_or_default() {
            let (output, offers) = self.pressable(card, Some(operation.id));
            all.extend(offers);
            wishes.push(Wish {
                key,
                to,
                carrier: Carrier::Message,
                lane: Lane::Confirm,
                output,
                about: self.about(operation, state),
            });
        }
        (wishes, all)
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
