//! Whether somebody has taken a handoff: only whoever came on call may, and where nobody does in time, everybody is told.

use anyhow::Context as _;

use super::{Pipeline, outbox::at_place};
use crate::{
    domain::{
        actor::Actor,
        audit::Event,
        failure::{Failure, Refusal},
        handoff::Handoff,
        output::{Output, Status},
        place::Place,
        roster::names,
    },
    store::{Memo, Swap},
};

impl Pipeline {
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
}
