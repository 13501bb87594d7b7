//! `/habops incident open`: from now on every answer goes to one place, and the timeline begins.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::{
    clients::pagerduty::Error,
    domain::{
        actor::Actor,
        failure::Refusal,
        ids::{ChannelId, IncidentId},
        journey::{Cleared, Proposal},
        outcome::{Effect, OpenAt, Outcome},
        output::{Output, Part, Status},
        paging::PagerDutyIncident,
        place::Place,
        routing::bound,
    },
    handlers::{Handler, Look, Result, Work, pagerduty_incident::is_an_id, responders::told},
};

/// The word in the registry.
pub struct Open;

/// Longest name that Slack takes for a channel.
const LONGEST_NAME: usize = 80;
/// How long PagerDuty may take to tell of its incident: somebody is in trouble, and ours is opened without it.
const TELLS_WITHIN: Duration = Duration::from_secs(5);

/// What is wrong, where the incident shall live, and which PagerDuty incident it is about.
#[derive(Deserialize)]
pub struct OpenArgs {
    title: String,
    #[serde(default)]
    channel: Option<Lives>,
    #[serde(default)]
    pd: Option<String>,
}

/// The same, with what PagerDuty told of its incident.
#[derive(Deserialize, Serialize)]
pub struct Opening {
    title: String,
    channel: Option<Lives>,
    pagerduty: Option<PagerDutyIncident>,
    /// Why PagerDuty told nothing.
    untold: Option<String>,
}

/// Where an incident lives, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Lives {
    /// A channel of its own.
    New,
    /// The whole channel where it is typed.
    Here,
    /// A thread under a card there.
    Thread,
}

impl Handler for Open {
    type Args = OpenArgs;
    type Plan = Opening;

    async fn plan(args: OpenArgs, look: &Look) -> Result<Proposal<Opening>> {
        let open = look.records.incidents(false, 100).await?;
        if let Some(id) = &args.pd {
            is_an_id(id)?;
            let known = |page: &PagerDutyIncident| page.id == *id;
            if let Some(of) = open.iter().find(|of| of.pagerduty.iter().any(known)) {
                return Err(Refusal::not_now(format!(
                    "PagerDuty's {id} belongs to {} ({}) already.",
                    of.id, of.title
                ))
                .into());
            }
        }
        let typed = typed_in(look);
        if args.channel == Some(Lives::Here) && typed.is_none() {
            return Err(Refusal::usage(
                "Nobody else would see an incident here. Leave `--channel here` out, and it lives where habops does; `--channel new` makes a channel for it.",
            )
            .into());
        }
        let whole = args.channel == Some(Lives::Here)
            || (args.channel.is_none() && look.settings.place_is_channel);
        if let Some(channel) = typed.filter(|_| whole)
            && let Some(other) = bound(&open, &Place::channel(channel))
        {
            return Err(Refusal::not_now(format!(
                "This channel belongs to {} ({}). `--channel thread` gives the new one a thread, `--channel new` a channel.",
                other.id, other.title
            ))
            .into());
        }
        let mut opening = Opening {
            title: args.title,
            channel: args.channel,
            pagerduty: args.pd.map(PagerDutyIncident::of_id),
            untold: None,
        };
        if let Some(page) = &mut opening.pagerduty {
            opening.untold = describe(page, look).await?;
        }
        Ok(Proposal::just(opening))
    }

    async fn run(plan: &Cleared<Opening>, work: &Work) -> Result<Outcome> {
        let asked = &work.look.asked;
        let id = IncidentId(asked.operation.0);
        let Opening {
            title,
            channel,
            pagerduty,
            untold,
        } = plan.plan();
        let typed = typed_in(&work.look);
        let place = self::place(*channel, typed, work, id, title);
        let mut output = Output::new(Status::Done, format!("{id} is open: {title}"));
        if let Some(why) = untold {
            output = output.text(format!(
                "What PagerDuty knows of it is not on the card: {why}."
            ));
        }
        let output = output.with(Part::Next {
            label: "Fleet status".to_owned(),
            command: format!("status --incident {id}"),
        });
        Ok(Outcome::from(output).effect(Effect::OpenIncident {
            title: title.clone(),
            place,
            pagerduty: pagerduty.clone().map(Box::new),
        }))
    }
}

/// The channel where it was typed; none at a terminal, and none in a direct message, where nobody else would see the incident.
fn typed_in(look: &Look) -> Option<ChannelId> {
    let place = look.asked.whence.place()?;
    (!place.channel.is_direct()).then(|| place.channel.clone())
}

/// Fills in what PagerDuty tells of its incident; or says why it told nothing, where the incident is opened all the same. Where
/// PagerDuty itself opens it, its webhook has told.
async fn describe(page: &mut PagerDutyIncident, look: &Look) -> Result<Option<String>> {
    let by_itself = look.asked.standing.actor == Actor::PagerDuty;
    let Some(client) = look.clients.pagerduty.as_ref().filter(|_| !by_itself) else {
        return Ok(None);
    };
    let asked = timeout(TELLS_WITHIN, client.incident(&page.id)).await;
    match asked.unwrap_or(Err(Error::TimedOut)) {
        Ok(found) => {
            *page = found.into();
            Ok(None)
        }
        Err(error @ Error::Missing { .. }) => Err(told(error)),
        Err(error) => Ok(Some(error.to_string())),
    }
}

fn place(
    lives: Option<Lives>,
    typed: Option<ChannelId>,
    work: &Work,
    id: IncidentId,
    title: &str,
) -> OpenAt {
    let whole = work.look.settings.place_is_channel;
    match (lives, typed) {
        (Some(Lives::New), otherwise) => OpenAt::NewChannel {
            name: channel_name(work.look.asked.now, id, title),
            otherwise,
        },
        (Some(Lives::Here), Some(channel)) => OpenAt::Channel(channel),
        (None, Some(channel)) if whole => OpenAt::Channel(channel),
        (_, Some(channel)) => OpenAt::CardIn(channel),
        (_, None) => OpenAt::Nowhere,
    }
}

/// `inc-20261127-17-login-is-slow`: sorts by day, and no other incident can have it.
fn channel_name(now: jiff::Timestamp, id: IncidentId, title: &str) -> String {
    let mut name = format!("inc-{}-{}", now.strftime("%Y%m%d"), id.0);
    let words = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    for word in words {
        if name.len() + 1 + word.len() > LONGEST_NAME {
            break;
        }
        name.push('-');
        name.push_str(&word.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{IncidentId, channel_name};

    #[rstest]
    #[case("login is slow", "inc-20261127-17-login-is-slow")]
    #[case("Süße <b>!", "inc-20261127-17-s-e-b")]
    #[case("…", "inc-20261127-17")]
    fn a_channel_is_named_for_what_is_wrong(#[case] title: &str, #[case] name: &str) {
        let now = "2026-11-27T14:00:00Z".parse().unwrap();
        assert_eq!(channel_name(now, IncidentId(17), title), name);
        assert!(channel_name(now, IncidentId(17), &"word ".repeat(99)).len() <= 80);
    }
}
