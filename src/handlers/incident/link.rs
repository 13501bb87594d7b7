//! `/habops incident link`: one more channel or thread that belongs to an incident, and hears of it.

use serde::{Deserialize, Serialize};

use anyhow::Context as _;

use super::which;
use crate::{
    domain::{
        failure::Refusal,
        ids::ChannelId,
        journey::{Cleared, Proposal},
        outcome::{Effect, Outcome},
        output::{Output, Status},
        place::Place,
        routing::bound,
    },
    handlers::{Handler, Look, Result, Work},
};

/// The word in the registry.
pub struct Link;

/// Which channel; where it was typed without one.
#[derive(Deserialize, Serialize)]
pub struct LinkArgs {
    #[serde(default)]
    channel: Option<ChannelId>,
}

impl Handler for Link {
    type Args = LinkArgs;
    type Plan = LinkArgs;

    async fn plan(args: LinkArgs, _look: &Look) -> Result<Proposal<LinkArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<LinkArgs>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let place = match (&plan.plan().channel, look.asked.whence.place()) {
            (Some(channel), _) => Place::channel(channel.clone()),
            (None, Some(place)) => place.clone(),
            (None, None) => {
                return Err(Refusal::usage("Say which channel: `incident link #channel`. At a terminal there is no channel to link.").into());
            }
        };
        let open = look.records.incidents(false, 100).await?;
        if let Some(other) = bound(&open, &place) {
            let advice = if look.asked.incident == Some(other.id) {
                "There is nothing to do."
            } else {
                "Close it first, or link another place."
            };
            return Err(Refusal::not_now(format!(
                "That place belongs to {} ({}). {advice}",
                other.id, other.title
            ))
            .into());
        }
        let incident = which(look).await?;
        seen_by_us_alone(look, &place.channel).await?;
        let what = if place.thread.is_some() {
            "A thread"
        } else {
            "The channel"
        };
        let output = Output::new(
            Status::Done,
            format!(
                "{what} in <#{}> now belongs to {}: {}",
                place.channel, incident.id, incident.title
            ),
        );
        Ok(Outcome::from(output).effect(Effect::LinkIncident {
            incident: incident.id,
            place,
        }))
    }
}

/// An incident's output may not be read by another organisation. What cannot be asked counts as shared (law 7).
async fn seen_by_us_alone(look: &Look, channel: &ChannelId) -> Result<()> {
    let Some(slack) = &look.clients.slack else {
        return Err(Refusal::not_now(
            "Whether another organisation reads that channel can only be asked in Slack. Type `/habops incident link` there.",
        )
        .into());
    };
    let found = match slack.conversation(channel).await {
        Ok(found) => found,
        Err(error) if error.is_passing() => {
            return Err(anyhow::Error::from(error))
                .context("cannot ask Slack who reads that channel")?;
        }
        Err(error) => return Err(Refusal::not_now(error.advice().into_owned()).into()),
    };
    if found.is_im == Some(true) || found.is_mpim == Some(true) {
        return Err(Refusal::usage(
            "A direct message cannot belong to an incident; nobody else would see it. Link a channel.",
        )
        .into());
    }
    if found.is_archived == Some(true) {
        return Err(Refusal::usage("That channel is archived. Link another.").into());
    }
    if found.is_ext_shared != Some(false) {
        return Err(Refusal::denied(
            "Another organisation reads that channel, so nothing of an incident may go there. Link a channel that is not shared.",
        )
        .into());
    }
    Ok(())
}
