//! What is known of a release before it is promoted: where it is and since when, what it would replace, what it needs.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::{
    Look, Result,
    releases::{ASKS_AT_ONCE, age, built, cannot, in_words},
};
use crate::{
    clients::{builder::Client, datastore},
    domain::{
        failure::{Failure, Refusal},
        release::{Channel, FullIdent, Ident},
    },
};

/// Releases on one card.
const MOST: usize = 40;
/// Dependencies whose channels are read.
const MOST_DEPS: usize = 200;
/// How long a card waits for the datastore to say since when: it can do without.
const PATIENCE: Duration = Duration::from_secs(4);

/// One release that may be promoted.
pub(super) struct Candidate {
    pub(super) ident: FullIdent,
    pub(super) is_there: bool,
    channels: Vec<Channel>,
    holds: Option<FullIdent>,
    deps: Vec<FullIdent>,
}

/// Each of them, in the order named.
pub(super) async fn all(
    idents: &[FullIdent],
    channel: &Channel,
    client: &Client,
    look: &Look,
) -> Result<Vec<Candidate>> {
    if idents.len() > MOST {
        return Err(Refusal::usage(format!(
            "That is {} packages; one card holds {MOST}. Promote them in parts.",
            idents.len()
        ))
        .into());
    }
    let read: Vec<_> = idents
        .iter()
        .map(|ident| one(ident, channel, client, look))
        .collect();
    stream::iter(read)
        .buffered(ASKS_AT_ONCE)
        .try_collect()
        .await
}

async fn one(
    ident: &FullIdent,
    channel: &Channel,
    client: &Client,
    look: &Look,
) -> Result<Candidate> {
    let cannot = |what: &str| {
        let what = format!("read {what} {ident}");
        move |error| cannot(&what, &error, look)
    };
    let package = client.package(ident).await.map_err(cannot("the package"))?;
    let Some(package) = package else {
        return Err(unknown(ident, channel, client).await.into());
    };
    let channels = client.channels_of(ident).await;
    let channels = channels.map_err(cannot("the channels of"))?;
    let name = Ident {
        version: None,
        release: None,
        origin: ident.origin.clone(),
        name: ident.name.clone(),
    };
    let holds = client.latest(&name, channel).await;
    Ok(Candidate {
        ident: ident.clone(),
        is_there: channels.contains(channel),
        channels,
        holds: holds.map_err(cannot("what would be replaced by"))?,
        deps: package.deps,
    })
}

/// No such release: the latest that there is may be what was meant.
async fn unknown(ident: &FullIdent, channel: &Channel, client: &Client) -> Refusal {
    let refusal = Refusal::usage(format!("Builder has no {ident}."));
    let Ok(name) = ident.package().parse() else {
        return refusal;
    };
    match client.latest(&name, &Channel::unstable()).await {
        Ok(Some(latest)) => {
            Refusal::usage(format!("Builder has no {ident}; its latest is {latest}.")).or_else(
                format!("promote {}", latest.what()),
                format!("promote {latest} {channel}"),
            )
        }
        _ => refusal,
    }
}

/// Since when releases are in their channels, as far as the datastore tells.
pub(super) struct Since {
    known: datastore::Since,
    /// What is to be said where it does not.
    pub(super) unknown: Option<String>,
}

/// Since when these are where they are. No fault of the datastore's is in the way of a promotion.
pub(super) async fn since(moves: &[&Candidate], look: &Look) -> Since {
    let unknown = |why: String| Since {
        known: datastore::Since::new(),
        unknown: Some(why),
    };
    let Some(datastore) = &look.clients.datastore else {
        return unknown("Builder does not tell since when a release is in a channel; it is so at most since its build.".to_owned());
    };
    let idents: Vec<FullIdent> = moves.iter().map(|one| one.ident.clone()).collect();
    let asked = timeout(PATIENCE, datastore.in_channels_since(&idents)).await;
    match asked {
        Ok(Ok(known)) => Since {
            known,
            unknown: None,
        },
        Ok(Err(error)) => unknown(format!(
            "Since when it is where it is, only the datastore knows: {error}."
        )),
        Err(_) => unknown(format!(
            "Since when it is where it is, only the datastore knows, and it did not answer within {} s.",
            PATIENCE.as_secs()
        )),
    }
}

/// What these need that the channel does not hold and that does not come with them; each with who needs it first.
pub(super) async fn missing(
    moves: &[&Candidate],
    channel: &Channel,
    client: &Client,
    look: &Look,
) -> Result<Vec<(FullIdent, String)>> {
    let mut deps: Vec<(FullIdent, String)> = Vec::new();
    for one in moves {
        for dep in &one.deps {
            let comes_too = moves.iter().any(|other| other.ident == *dep);
            if !comes_too && !deps.iter().any(|(known, _)| known == dep) {
                deps.push((dep.clone(), one.ident.package()));
            }
        }
    }
    deps.truncate(MOST_DEPS);
    let asked: Vec<_> = deps
        .into_iter()
        .map(|(dep, by)| async move {
            let channels = client.channels_of(&dep).await;
            let what = format!("read the channels of {dep}");
            let channels = channels.map_err(|error| cannot(&what, &error, look))?;
            Ok::<_, Failure>((!channels.contains(channel)).then_some((dep, by)))
        })
        .collect();
    let missing: Vec<Option<(FullIdent, String)>> = stream::iter(asked)
        .buffered(ASKS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(missing.into_iter().flatten().collect())
}

/// What must be the same when they are approved: where each release is, and what the channel holds of its package.
pub(super) fn fingerprint<'c>(
    candidates: impl IntoIterator<Item = &'c Candidate>,
    channel: &Channel,
) -> Value {
    let each = candidates.into_iter().map(|one| {
        let seen = json!({
            "is in": in_words(&one.channels),
            format!("{channel} holds"): one.holds,
        });
        (one.ident.to_string(), seen)
    });
    Value::Object(each.collect())
}

impl Candidate {
    /// Whether the channel holds a later release of the same package.
    pub(super) fn is_older(&self) -> bool {
        let holds = self.holds.as_ref();
        holds.is_some_and(|held| self.ident.age(held).is_lt())
    }

    pub(super) fn row(&self, since: &Since, now: Timestamp) -> Vec<String> {
        vec![
            self.ident.package(),
            self.ident.what(),
            self.holds
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), FullIdent::what),
            self.is_in(since, now),
            built(&self.ident, now),
        ]
    }

    /// `unstable for 3 h 10 min`.
    fn is_in(&self, since: &Since, now: Timestamp) -> String {
        let ident = self.ident.to_string();
        let said = |channel: &Channel| {
            let at = since.known.get(&(ident.clone(), channel.to_string()))?;
            Some(format!("{channel} for {}", age(now, *at)))
        };
        let each = self.channels.iter();
        let mut names: Vec<String> = each
            .map(|channel| said(channel).unwrap_or_else(|| channel.to_string()))
            .collect();
        if names.is_empty() {
            return in_words(&[]);
        }
        names.sort_unstable();
        names.join(", ")
    }
}
