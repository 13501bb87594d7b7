//! What Slack will never show. Whoever asked for it was told by the poster; what nobody asked for, as an incident's card in a channel
//! that was archived, goes to whoever is on call.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use tokio::time::timeout;
use tracing::warn;

use super::{Pipeline, outbox::at_place};
use crate::{
    domain::{
        ids::{ChannelId, UserId},
        message::{Carrier, Lane, MessageKey, Wish},
        output::Part,
        place::Place,
        records::Records as _,
    },
    store::DeadLetter,
};

/// How long it may take to find out who somebody on call is in Slack.
const WHO_WITHIN: Duration = Duration::from_secs(10);
/// Most people who are told.
const MOST_TOLD: usize = 6;
/// What the key of such a message to a person holds, so that it is not told again when it cannot be posted either.
const INSTEAD: &str = ":instead:";

impl Pipeline {
    /// Deals with what was given up since it was last looked.
    pub(super) async fn tell_undelivered(&self) -> anyhow::Result<()> {
        let store = &self.parts.store;
        let letters = store.dead_letters().await;
        let letters = letters.context("cannot read what was given up")?;
        if letters.is_empty() {
            return Ok(());
        }
        let people = self.on_call_in_slack().await;
        for letter in letters {
            let nobodys = letter.about.actor.user().is_none();
            let wishes =
                if nobodys && letter.lane != Lane::Progress && !letter.key.0.contains(INSTEAD) {
                    if people.is_empty() {
                        warn!(key = %letter.key.0, "nobody is on call who could be told of it");
                    }
                    let mut wishes = Vec::with_capacity(people.len());
                    for (user, direct) in &people {
                        wishes.push(self.instead(&letter, user, direct).await);
                    }
                    wishes
                } else {
                    Vec::new()
                };
            let buried = store.bury(letter.row, wishes).await;
            buried.context("cannot note that it was told")?;
        }
        Ok(())
    }

    async fn instead(&self, letter: &DeadLetter, user: &UserId, direct: &ChannelId) -> Wish {
        let mut output = letter.output.output().clone();
        let reason = format!(
            "This was meant for <#{}>. {}",
            letter.channel, letter.advice
        );
        output.parts.insert(0, Part::Text(reason));
        Wish {
            key: MessageKey(format!("{}{INSTEAD}{user}", letter.key.0)),
            to: at_place(&Place::channel(direct.clone())),
            carrier: Carrier::Message,
            lane: letter.lane,
            output: self.redacted(output).await,
            about: letter.about.clone(),
        }
    }

    /// Everybody who is on call as it was last looked, with their direct messages.
    async fn on_call_in_slack(&self) -> BTreeMap<UserId, ChannelId> {
        let seen = self.parts.store.on_call().await.unwrap_or_default();
        let mut people = BTreeMap::new();
        for who in seen.iter().flat_map(|seen| &seen.on_call).take(MOST_TOLD) {
            if let Ok(Some((user, direct))) = timeout(WHO_WITHIN, self.in_slack(who)).await {
                people.insert(user, direct);
            }
        }
        people
    }
}
