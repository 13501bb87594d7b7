//! Slack people as PagerDuty knows them, schedules as people name them, and moments as people read them.

use jiff::{Timestamp, tz::TimeZone};

use super::{Look, Result};
use crate::{
    clients::pagerduty::{Client, Error},
    domain::{
        failure::{Failure, Refusal},
        ids::UserId,
        roster::Responder,
    },
};

/// The client, or what to configure.
pub(super) fn pagerduty(look: &Look) -> Result<&Client> {
    look.clients.pagerduty.as_ref().ok_or_else(|| {
        Refusal::not_now(
            "habops has no PagerDuty: set pagerduty.url, pagerduty.token and pagerduty.schedules.",
        )
        .into()
    })
}

/// What PagerDuty said, as a sentence for the asker.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` takes"
)]
pub(super) fn told(error: Error) -> Failure {
    Refusal::not_now(format!("{error}.")).into()
}

/// The PagerDuty user of a Slack person: by the table in the configuration, otherwise by e-mail.
pub(super) async fn responder(look: &Look, user: &UserId) -> Result<Responder> {
    let client = pagerduty(look)?;
    if let Some(id) = look.settings.on_call.people.get(user.as_str()) {
        return client.user(id).await.map_err(told);
    }
    let email = email(look, user).await?;
    let found = client.user_of(&email).await.map_err(told)?;
    found.ok_or_else(|| {
        Refusal::usage(format!(
            "PagerDuty has no user with the e-mail of <@{user}>, {email}. Ask #helpdesk for an account, or name theirs under [pagerduty.users]."
        ))
        .into()
    })
}

/// The e-mail that Slack knows of somebody.
pub(super) async fn email(look: &Look, user: &UserId) -> Result<String> {
    let directory = look.clients.directory.as_ref().ok_or_else(|| {
        Refusal::not_now(format!(
            "Without Slack habops cannot tell who <@{user}> is in PagerDuty; name them under [pagerduty.users]."
        ))
    })?;
    let person = directory.person(user).await.map_err(|error| {
        Refusal::not_now(format!("Slack does not say who <@{user}> is: {error}."))
    })?;
    person.email().map(str::to_owned).ok_or_else(|| {
        Refusal::not_now(format!(
            "Slack does not tell the e-mail of <@{user}>, so they cannot be found in PagerDuty; name them under [pagerduty.users]."
        ))
        .into()
    })
}

/// The configured schedules that a word means: all of them without one. By id, or by a part of the name where it was seen before.
pub(super) async fn schedules(look: &Look, word: Option<&str>) -> Result<Vec<String>> {
    let known = &look.settings.on_call.schedules;
    if known.is_empty() {
        return Err(Refusal::not_now(
            "No schedule is configured; name them in pagerduty.schedules.",
        )
        .into());
    }
    let Some(word) = word else {
        return Ok(known.clone());
    };
    let seen = look.records.on_call().await?;
    let lower = word.to_lowercase();
    let named = |id: &String| {
        let mut seen = seen.iter().map(|seen| &seen.schedule);
        let schedule = seen.find(|schedule| schedule.id == *id);
        schedule.is_some_and(|schedule| schedule.name.to_lowercase().contains(&lower))
    };
    let meant: Vec<String> = known
        .iter()
        .filter(|id| id.eq_ignore_ascii_case(word) || named(id))
        .cloned()
        .collect();
    if meant.is_empty() {
        let listed: Vec<String> = known
            .iter()
            .map(|id| {
                let mut seen = seen.iter().map(|seen| &seen.schedule);
                let schedule = seen.find(|schedule| schedule.id == *id);
                schedule.map_or_else(
                    || id.clone(),
                    |schedule| format!("{id} ({})", schedule.name),
                )
            })
            .collect();
        return Err(Refusal::usage(format!(
            "No schedule is called `{word}`; habops knows {}.",
            listed.join(", ")
        ))
        .into());
    }
    Ok(meant)
}

/// `2026-11-28 09:00 UTC`
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `Sat 10:00 for them`, where their time zone is one that is known.
pub(super) fn local(at: Timestamp, responder: &Responder) -> Option<String> {
    let zone = TimeZone::get(responder.time_zone.as_deref()?).ok()?;
    Some(at.to_zoned(zone).strftime("%a %H:%M %Z").to_string())
}
