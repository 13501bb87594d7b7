//! What the commands on releases and jobs have in common: the client or what to do without it, a failure of Builder's as an answer,
//! and who installs from a channel.

pub mod moving;

use jiff::Timestamp;

use super::{Look, Result};
use crate::{
    clients::builder::{Client, Error, PUBLIC},
    domain::{
        failure::{Failure, Refusal},
        output::{Output, Part, Status},
        release::{Channel, FullIdent},
    },
};

/// Questions to Builder at once.
pub const ASKS_AT_ONCE: usize = 8;
/// Rows of a table before the rest is counted.
pub const MOST_ROWS: usize = 25;
/// Names of nodes that are said before the rest is counted.
const MOST_NAMES: usize = 4;

/// Builder, for looking.
pub fn builder(look: &Look) -> Result<&Client> {
    look.clients.builder.as_ref().ok_or_else(|| {
        Refusal::not_now(
            "Builder is not configured here. Add a section [builder] with its url and a token.",
        )
        .into()
    })
}

/// Builder, for changing something.
pub fn builder_with_token(look: &Look) -> Result<&Client> {
    let client = builder(look)?;
    if client.has_token() {
        return Ok(client);
    }
    Err(Refusal::not_now(
        "habops has no token for Builder, so it can only look. Put one where builder.token of the configuration says.",
    )
    .into())
}

/// Why nothing was begun: Builder could not be asked.
pub fn cannot(what: &str, error: &Error, look: &Look) -> Failure {
    let refusal = Refusal::not_now(format!("Cannot {what}: {error}."));
    match diagnosis(error, look) {
        Some((label, command)) => refusal.or_else(label, command).into(),
        None => refusal.into(),
    }
}

/// A look that came to nothing, with where to look next.
pub fn failed(what: &str, error: &Error, look: &Look) -> Output {
    let output = Output::new(Status::Failed, format!("Cannot {what}: {error}"));
    with_diagnosis(output, [error], look)
}

/// With a button for each service that these errors name.
pub fn with_diagnosis<'e>(
    mut output: Output,
    errors: impl IntoIterator<Item = &'e Error>,
    look: &Look,
) -> Output {
    let mut steps: Vec<(String, String)> = errors
        .into_iter()
        .filter_map(|error| diagnosis(error, look))
        .collect();
    steps.sort();
    steps.dedup();
    for (label, command) in steps {
        output = output.with(Part::Next { label, command });
    }
    output
}

/// The service that an error names, as a next step, where it is one of the fleet's.
fn diagnosis(error: &Error, look: &Look) -> Option<(String, String)> {
    let role = error.suspect()?;
    let known = look.settings.services.iter().any(|(_, it)| it.role == role);
    let there = look.commands.get("diagnose").is_some();
    (known && there).then(|| (format!("Diagnose {role}"), format!("diagnose {role}")))
}

/// `7 min`, `3 h 10 min`, `4 d`.
pub fn age(now: Timestamp, at: Timestamp) -> String {
    let minutes = now.duration_since(at).as_mins().max(0);
    match (minutes / 60, minutes % 60) {
        (0, 0) => "under a minute".to_owned(),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) if hours < 48 => format!("{hours} h {minutes} min"),
        (hours, _) => format!("{} d", hours / 24),
    }
}

/// Who installs from that channel by itself, in a sentence.
pub async fn followers(channel: &Channel, idents: &[FullIdent], look: &Look) -> String {
    let Some(environment) = channel.followed_by() else {
        return format!("No environment follows {channel}: nothing is installed by itself.");
    };
    let services = &look.settings.services;
    let roles: Vec<&str> = idents
        .iter()
        .filter_map(|ident| services.get(&ident.package()))
        .map(|service| service.role.as_str())
        .collect();
    let fleet = look.clients.fleet.snapshot().await;
    let nodes: Vec<&str> = fleet
        .nodes
        .iter()
        .filter(|node| node.environment == environment && roles.contains(&node.role.as_str()))
        .map(|node| node.name.as_str())
        .collect();
    if nodes.is_empty() {
        return format!("{environment} follows {channel}, but runs none of this as a service.");
    }
    format!(
        "{environment} follows {channel} and restarts the service at once: {}.",
        listed(&nodes, MOST_NAMES)
    )
}

/// `a, b, c and 4 more`.
pub fn listed(names: &[impl AsRef<str>], most: usize) -> String {
    let said: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(most) {
        0 => said.join(", "),
        more => format!("{} and {more} more", said.join(", ")),
    }
}

/// Channels in one order, whatever the order they are told in.
pub fn in_words(channels: &[Channel]) -> String {
    let mut names: Vec<&str> = channels.iter().map(Channel::as_str).collect();
    names.sort_unstable();
    match names.as_slice() {
        [] => "no channel".to_owned(),
        names => names.join(", "),
    }
}

/// What is to be said of a release's age: all that Builder tells of when it came into a channel is that it was built before.
pub fn built(ident: &FullIdent, now: Timestamp) -> String {
    ident.built_at().map_or_else(
        || "–".to_owned(),
        |at| {
            format!(
                "{}, {} ago",
                at.strftime("%Y-%m-%d %H:%M UTC"),
                age(now, at)
            )
        },
    )
}

/// `hab` is told which Builder is meant, where it is not the public one.
pub fn url_option(look: &Look) -> String {
    match &look.clients.builder {
        Some(client) if client.url() != PUBLIC => format!(" --url {}", client.url()),
        _ => String::new(),
    }
}

/// The first of the lines to type by hand: who is asked for.
pub const BY_HAND_TOKEN: &str =
    "# HAB_AUTH_TOKEN holds a token of an account that is a member of the origin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_as_one_would() {
        let now: Timestamp = "2017-11-20T12:00:00Z".parse().unwrap();
        let before = |text: &str| age(now, text.parse().unwrap());
        assert_eq!(before("2017-11-20T11:59:30Z"), "under a minute");
        assert_eq!(before("2017-11-20T11:18:00Z"), "42 min");
        assert_eq!(before("2017-11-20T08:50:00Z"), "3 h 10 min");
        assert_eq!(before("2017-11-15T19:31:20Z"), "4 d");
        assert_eq!(
            before("2017-11-20T12:00:30Z"),
            "under a minute",
            "a clock ahead"
        );
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        assert_eq!(listed(&["a", "b"], 2), "a, b");
        assert_eq!(listed(&["a", "b", "c"], 2), "a, b and 1 more");
    }
}
