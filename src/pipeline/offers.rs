//! Buttons: each carries the opaque id of a stored offer, judged by whoever presses it, now.

use std::collections::BTreeSet;

use anyhow::Context as _;
use tracing::{error, warn};

use super::{Case, Pipeline, outbox::at_place};
use crate::{
    domain::{
        actor::{Actor, Standing},
        command::CommandSpec,
        failure::{Failure, Refusal},
        ids::{Environment, OperationId},
        inbound::{Ack, Pressed, Via},
        journey::may,
        message::{About, Carrier, Lane, MessageKey, Wish},
        operation::{Offer, Operation, State},
        output::{Action, Output, Part, Status},
        parse::parse,
        place::Whence,
        text::normalise,
    },
    store::{Change, UseOffer},
};

impl Pipeline {
    /// A button: known once, then handled behind the acknowledgement.
    pub(super) async fn accept_pressed(&self, key: String, pressed: Pressed) -> Ack {
        match self.parts.store.first_time(key.clone()).await {
            Ok(true) => {}
            Ok(false) => return Ack::Duplicate,
            Err(unwritable) => {
                error!("a click cannot be stored: {unwritable}");
                let said = format!(
                    "habops cannot write its memory, so the button did nothing: {unwritable}"
                );
                return Ack::Unstored {
                    said: Output::new(Status::Refused, said),
                    later: None,
                };
            }
        }
        let pipeline = self.clone();
        self.parts.tasks.spawn(async move {
            let answer = match pipeline.press(&pressed).await {
                Ok(None) => return,
                Ok(Some(output)) => output,
                Err(failure) => {
                    if let Failure::Broken(broken) = &failure {
                        error!("a click broke: {broken:#}");
                    }
                    pipeline.output_of(&failure, "a click").await
                }
            };
            pipeline.tell_presser(&key, &pressed, answer).await;
        });
        Ack::Accepted {
            operation: None,
            said: None,
        }
    }

    /// What a press does; the output, if any, is for the presser alone.
    async fn press(&self, pressed: &Pressed) -> Result<Option<Output>, Failure> {
        let offer = self
            .parts
            .store
            .offer(&pressed.offer)
            .await
            .context("cannot read the button's offer")?;
        let offer = offer.filter(|offer| offer.action == pressed.action).ok_or_else(|| {
            Refusal::not_now("This button is not known to habops any more. Type the command instead; `help` lists them.")
        })?;
        match (offer.action, offer.operation) {
            (Action::Approve | Action::Accept | Action::Deny, Some(id)) => {
                let standing = self.standing(&pressed.actor).await;
                self.decide(id, &standing, offer.action != Action::Deny)
                    .await?;
                Ok(None) // the card itself says who decided
            }
            (Action::Cancel | Action::Stop, Some(id)) => {
                self.cancel(id, &pressed.actor).await.map(Some)
            }
            (Action::Choose, Some(id)) => {
                self.choose(&offer, id, &pressed.actor).await.map(|()| None)
            }
            // Not used up by the press: whoever may not accept must not take the button away from whoever may.
            (Action::Accept, None) => {
                let command = offer.command.clone().unwrap_or_default();
                let key = format!("accept:{}:{}", offer.id, self.now());
                let actor = pressed.actor.clone();
                Ok(self
                    .enters(key, Via::Button, command, actor, whence(pressed))
                    .await)
            }
            (_, _) if offer.command.is_some() => self.enter(&offer, pressed).await,
            _ => Err(Refusal::not_now(
                "This button leads nowhere. Type the command instead; `help` lists them.",
            )
            .into()),
        }
    }

    /// The asker says which incident was meant; the operation enters again where it waited.
    async fn choose(&self, offer: &Offer, id: OperationId, actor: &Actor) -> Result<(), Failure> {
        let operation = self
            .parts
            .store
            .operation(id)
            .await
            .context("cannot read the operation")?;
        let Some(operation) = operation.filter(|operation| operation.state == State::Choosing)
        else {
            return Err(Refusal::not_now("That question is answered already.").into());
        };
        if *actor != operation.actor {
            return Err(
                Refusal::denied(format!("Only {} can answer this.", operation.actor)).into(),
            );
        }
        let change = Change {
            chosen: offer.incident,
            ..Change::default()
        };
        let stepped = self
            .parts
            .store
            .step(id, State::Choosing, State::Received, change)
            .await
            .context("cannot write the choice")?;
        if let Some(fence) = stepped.fence() {
            self.depart(Case::again(Operation {
                chosen: offer.incident,
                state: State::Received,
                fence,
                ..operation
            }));
        }
        Ok(())
    }

    /// Enters an offer's command with the presser as its actor, once.
    async fn enter(&self, offer: &Offer, pressed: &Pressed) -> Result<Option<Output>, Failure> {
        let command = offer.command.clone().unwrap_or_default();
        match self
            .parts
            .store
            .use_offer(&offer.id, &pressed.actor)
            .await
            .context("cannot use the button's offer")?
        {
            UseOffer::Won(_) => {}
            UseOffer::Lost(offer) => {
                let by = offer
                    .used_by
                    .map(|by| format!(" by {by}"))
                    .unwrap_or_default();
                return Err(Refusal::not_now(format!(
                    "That button was pressed already{by}. To do it again, type `/habops {command}`."
                ))
                .into());
            }
            UseOffer::Expired => {
                return Err(Refusal::not_now(format!(
                    "That button has expired. Type `/habops {command}`."
                ))
                .into());
            }
            UseOffer::Unknown => {
                return Err(
                    Refusal::not_now("This button is not known to habops any more.").into(),
                );
            }
        }
        let key = format!("offer:{}", offer.id);
        let actor = pressed.actor.clone();
        Ok(self
            .enters(key, Via::Button, command, actor, whence(pressed))
            .await)
    }

    /// The way back that an outcome names, where the catalogue says that its command has one and this is it.
    pub(super) fn undo(&self, spec: &CommandSpec, command: String) -> Option<Part> {
        let inverse = spec.inverse.as_ref()?;
        let understood = parse(&normalise(&command), &self.parts.commands, self.now());
        if understood.is_ok_and(|parsed| parsed.spec().name == *inverse) {
            return Some(Part::Undo { command });
        }
        warn!("`{}` cannot be undone by `{command}`", spec.name);
        None
    }

    /// Asks an operation to stop: one that waits is over at once, one that runs is told.
    pub(super) async fn cancel(&self, id: OperationId, actor: &Actor) -> Result<Output, Failure> {
        let operation = self.existing(id).await?;
        let standing = self.standing(actor).await;
        let parsed = self.parsed(&operation)?;
        if operation.actor != *actor {
            may_end(parsed.spec(), &operation.environments, &standing)?;
        }
        match operation.state {
            State::Running | State::Approved => self.ask_to_stop(id).await,
            waits @ (State::Received | State::Awaiting | State::Choosing) => {
                let case = Case::again(operation);
                let output = Output::new(
                    Status::Cancelled,
                    format!("Cancelled: {}", case.operation.text),
                )
                .text(format!("by {actor}"));
                let ended = self
                    .write_end(&case, Some(waits), State::Cancelled, output)
                    .await?;
                if ended {
                    return Ok(Output::new(Status::Done, format!("{id} is cancelled")));
                }
                // It went on meanwhile, or another process has it in hand.
                match self.existing(id).await?.state {
                    ended if ended.is_end() => Err(over(id, ended)),
                    _ => self.ask_to_stop(id).await,
                }
            }
            ended => Err(over(id, ended)),
        }
    }

    /// Tells whoever runs it, here or in another process.
    async fn ask_to_stop(&self, id: OperationId) -> Result<Output, Failure> {
        let asked = self.parts.store.request_cancel(id).await;
        if !asked.context("cannot ask it to stop")? {
            return Err(over(id, self.existing(id).await?.state));
        }
        let running = self.parts.running.lock();
        if let Some(stop) = running.ok().and_then(|running| running.get(&id).cloned()) {
            stop.cancel();
        }
        Ok(Output::new(Status::Done, format!("{id} was asked to stop")))
    }

    /// The operation with that number.
    pub(super) async fn existing(&self, id: OperationId) -> Result<Operation, Failure> {
        let found = self
            .parts
            .store
            .operation(id)
            .await
            .context("cannot read the operation")?;
        Ok(found.ok_or_else(|| {
            Refusal::usage(format!(
                "There is no operation {id}. `audit` lists the newest."
            ))
        })?)
    }

    /// An answer to a press, for the presser alone.
    async fn tell_presser(&self, key: &str, pressed: &Pressed, output: Output) {
        let Some(user) = pressed.actor.user() else {
            return;
        };
        let wish = Wish {
            key: MessageKey(format!("press:{key}")),
            to: at_place(&pressed.place),
            carrier: Carrier::Ephemeral(user.clone()),
            lane: Lane::Verdict,
            output: self.redacted(output).await,
            about: About {
                operation: None,
                incident: None,
                state: "refused".to_owned(),
                actor: pressed.actor.clone(),
                typed: pressed.action.word().to_owned(),
                at: self.now(),
                back_filled: false,
            },
        };
        if let Err(error) = self.parts.store.put(vec![wish]).await {
            warn!("the answer to a click cannot be kept: {error}");
        }
    }
}

fn whence(pressed: &Pressed) -> Whence {
    Whence::Slack {
        place: pressed.place.clone(),
    }
}

fn over(id: OperationId, ended: State) -> Failure {
    Refusal::not_now(format!("{id} has ended already: {}.", ended.word())).into()
}

/// Whether this person may end what another asked for. Before its environments are known it takes the role of each that it could be.
fn may_end(
    spec: &CommandSpec,
    environments: &BTreeSet<Environment>,
    by: &Standing,
) -> Result<(), Refusal> {
    if environments.is_empty()
        && let Some(missing) = spec
            .role
            .values()
            .into_iter()
            .find(|role| !by.roles.contains(*role))
    {
        return Err(Refusal::denied(format!(
            "Only its asker or somebody with the role {missing} may cancel it now."
        )));
    }
    may(spec, environments, by)
}
