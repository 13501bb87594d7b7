//! `Parsed` → `Authorized`: may this person, here, on these nodes. Fetches what the pure rule judges by.

use std::collections::BTreeSet;

use anyhow::Context as _;
use tracing::warn;

use super::Pipeline;
use crate::domain::{
    actor::{Actor, Profile, Standing},
    failure::{Failure, Refusal},
    ids::{TeamId, UserId},
    journey::{Authorized, Parsed, authorize},
    node::Node,
    policy::Reading,
    records::Records as _,
    roster::{Responder, is_same_person},
    target::Target,
    text::sentence,
};

impl Pipeline {
    /// Reads who they are and which nodes are meant, and judges.
    pub(super) async fn authorize(
        &self,
        parsed: Parsed,
        actor: &Actor,
    ) -> Result<Authorized, Failure> {
        let standing = self.standing(actor).await;
        let nodes = self.nodes(&parsed).await?;
        let freezes = if parsed.spec().changes {
            self.parts
                .store
                .freezes()
                .await
                .context("cannot read the freezes")?
        } else {
            Vec::new()
        };
        Ok(authorize(
            parsed,
            &standing,
            nodes,
            &freezes,
            &self.parts.settings.default_environment,
        )?)
    }

    /// What an actor is and may be now. What cannot be read counts as a no (law 7).
    pub(super) async fn standing(&self, actor: &Actor) -> Standing {
        let nowhere = TeamId::from("");
        let home = self.parts.settings.home.as_ref().unwrap_or(&nowhere);
        let reading = match actor {
            Actor::Person { user, .. } => self.reading(user).await,
            _ => Reading::default(),
        };
        self.parts.policy.standing(actor, home, &reading)
    }

    async fn reading(&self, user: &UserId) -> Reading {
        let Some(directory) = &self.parts.clients.directory else {
            return Reading::default();
        };
        let profile = match directory.person(user).await {
            Ok(person) => {
                self.called(user, person.shown_name());
                Some(Profile::from(&*person))
            }
            Err(error) => {
                warn!("cannot read who {user} is: {error}");
                None
            }
        };
        let mut groups = BTreeSet::new();
        for group in self.parts.policy.groups() {
            match directory.members(&group).await {
                Ok(members) if members.contains(user) => {
                    groups.insert(group);
                }
                Ok(_) => {}
                Err(error) => warn!("cannot read the members of {group}: {error}"),
            }
        }
        let email = profile.as_ref().and_then(|profile| profile.email.clone());
        Reading {
            on_call: self.is_on_call(user, email.as_deref()).await,
            profile,
            groups,
        }
    }

    /// Whether PagerDuty had them on call when it was last looked at. No call goes out for it: rights must not wait for PagerDuty.
    async fn is_on_call(&self, user: &UserId, email: Option<&str>) -> bool {
        if !self.parts.policy.asks_who_is_on_call() {
            return false;
        }
        let of = &self.parts.of_handlers.on_call;
        let seen = match self.parts.store.on_call().await {
            Ok(seen) => seen,
            Err(error) => {
                warn!("cannot read who is on call: {error:#}");
                return false;
            }
        };
        let told = of.people.get(user.as_str());
        let watched = seen
            .iter()
            .filter(|seen| of.schedules.contains(&seen.schedule.id));
        watched.into_iter().any(|seen| {
            let is_them = |who: &Responder| is_same_person(who, email, told);
            seen.is_on_call(is_them, self.now(), of.fresh_for())
        })
    }

    /// The nodes meant, frozen here. A look without a target means the whole fleet.
    async fn nodes(&self, parsed: &Parsed) -> Result<Vec<Node>, Failure> {
        if !parsed.takes_target() {
            return Ok(Vec::new());
        }
        let fleet = self.parts.clients.fleet.snapshot().await;
        match parsed.target() {
            Some(typed) => {
                let target = Target::parse(typed).map_err(unresolved)?;
                Ok(target.resolve(&fleet).map_err(unresolved)?)
            }
            None if parsed.spec().changes => Ok(Vec::new()),
            None if fleet.nodes.is_empty() => {
                let why = fleet
                    .stale
                    .clone()
                    .unwrap_or_else(|| "no node is configured and none was found".to_owned());
                Err(Refusal::not_now(format!("The fleet is empty: {why}.")).into())
            }
            None => Ok(fleet.nodes.clone()),
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` takes"
)]
fn unresolved(why: crate::domain::target::Unresolved) -> Refusal {
    Refusal::usage(sentence(&why.to_string())).or_else("All nodes", "status")
}
