//! A shift that begins soon: whoever has it is told, with what habops can check of what they need for it.

use anyhow::Context as _;
use serde_json::Value;

use super::{Pipeline, outbox::at_place};
use crate::{
    domain::{
        actor::Actor,
        failure::Failure,
        ids::{OperationId, UserId},
        journey::Flags,
        output::{Output, Status},
        place::{Place, Whence},
        roster::{Schedule, Shift},
    },
    handlers::{Asked, access},
    store::{Memo, Swap},
};

impl Pipeline {
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
            operation: OperationId(0),
            standing: self.standing(&Actor::Habops).await,
            spec: spec.clone(),
            flags: Flags::default(),
            whence: Whence::Machine,
            incident: None,
            nodes: Vec::new(),
            now: self.now(),
        };
        access::checklist(&self.look(asked), user).await
    }
}
