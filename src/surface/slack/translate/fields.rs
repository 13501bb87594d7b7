//! Single fields of a payload.

use secrecy::SecretString;
use serde_json::Value;

use super::Unheard;
use crate::domain::{actor::Actor, ids::ChannelId};

/// A text at a JSON pointer; an empty one is none.
pub(super) fn text<'p>(payload: &'p Value, at: &str) -> Option<&'p str> {
    payload
        .pointer(at)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// The same where Slack's documentation says that it is there.
pub(super) fn needed<'p>(
    payload: &'p Value,
    at: &str,
    name: &'static str,
) -> Result<&'p str, Unheard> {
    text(payload, at).ok_or(Unheard::Malformed(name))
}

/// The channel named there.
pub(super) fn channel(payload: &Value, at: &str, name: &'static str) -> Result<ChannelId, Unheard> {
    needed(payload, at, name).map(ChannelId::new)
}

/// Whether an event has something of that name.
pub(super) fn filled(event: &Value, name: &str) -> bool {
    event.get(name).is_some_and(|value| !value.is_null())
}

/// Whoever interacts, with their own workspace where Slack names it.
pub(super) fn person(payload: &Value) -> Result<Actor, Unheard> {
    let user = needed(payload, "/user/id", "user.id")?;
    let team = text(payload, "/user/team_id")
        .or_else(|| text(payload, "/team/id"))
        .ok_or(Unheard::Malformed("team.id"))?;
    Ok(Actor::person(team, user))
}

/// Where an answer may be sent for half an hour. A credential: never logged.
pub(super) fn reply(payload: &Value) -> Option<SecretString> {
    text(payload, "/response_url").map(SecretString::from)
}
