//! Buttons: each carries the opaque id of a stored offer, judged by whoever presses it, now.

use std::collections::BTreeSet;

use anyhow::Context as _;
use jiff::Timestamp;
use tracing::{error, warn};

use super::{Case, Pipeline, execute::entered_again, outbox::at_place};
use crate::{
    domain::{
        actor::{Actor, Standing},
        command::{ArgKind, CommandSpec, Commands},
        failure::{Failure, Refusal},
        ids::{Environment, OperationId},
        inbound::{Ack, Pressed, Typed, Via},
        journey::{Parsed, may},
        message::{About, Carrier, Lane, MessageKey, Wish},
        operation::{Offer, Operation, State},
        output::{Action, HostState, Output, Part, Status},
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
                self.enter_again(key, command, pressed.actor.clone(), whence(pressed))
                    .await
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
        self.enter_again(
            format!("offer:{}", offer.id),
            command,
            pressed.actor.clone(),
            whence(pressed),
        )
        .await
    }

    /// `retry <operation>`: its command again, with the asker as its actor.
    pub(super) async fn retry(&self, id: OperationId, actor: &Actor) -> Result<Output, Failure> {
        let operation = self.existing(id).await?;
        entered_again(&operation)?;
        let key = format!("retry:{id}:{}", self.now());
        let parsed = self.parsed(&operation)?;
        let text = again(&operation, &parsed, &self.parts.commands, self.now())?;
        let title = format!("Entered again: {text}");
        let refused = self
            .enter_again(key, text, actor.clone(), operation.whence.clone())
            .await?;
        Ok(refused.unwrap_or_else(|| Output::new(Status::Done, title)))
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

    async fn enter_again(
        &self,
        key: String,
        text: String,
        actor: Actor,
        whence: Whence,
    ) -> Result<Option<Output>, Failure> {
        let typed = Typed {
            text,
            actor,
            whence,
            via: Via::Button,
            reply: None,
            message: None,
            yes: false,
            in_passing: false,
        };
        match self.accept_typed(key, self.now(), typed).await {
            Ack::Unstored { said, .. } => Ok(Some(said)),
            Ack::Accepted { .. } | Ack::Duplicate => Ok(None),
        }
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

    async fn existing(&self, id: OperationId) -> Result<Operation, Failure> {
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

/// The command to enter again: after a partial result only for the nodes where it was not done, begun or not.
fn again(
    operation: &Operation,
    parsed: &Parsed,
    commands: &Commands,
    now: Timestamp,
) -> Result<String, Refusal> {
    let rows = operation.output.iter().flat_map(|output| &output.parts);
    let hosts: Vec<_> = rows
        .filter_map(|part| match part {
            Part::Hosts(hosts) => Some(hosts),
            _ => None,
        })
        .flatten()
        .collect();
    let missed: Vec<&str> = hosts
        .iter()
        .filter(|host| host.state != HostState::Done)
        .map(|host| host.node.as_str())
        .collect();
    let text = &operation.text;
    if !parsed.takes_target() || missed.is_empty() || missed.len() == hosts.len() {
        return Ok(text.clone());
    }
    let missed = missed.join(",");
    let Some(typed) = parsed.target() else {
        let name = parsed.spec().name.as_str();
        let rest = text.get(name.len()..).unwrap_or_default();
        return Ok(format!("{name} {missed}{rest}"));
    };
    for_other_nodes(text, typed, &missed, commands, now).ok_or_else(|| {
        Refusal::usage(format!(
            "`{text}` cannot be entered again by itself. Type it for what was missed: {missed}."
        ))
    })
}

/// The line with other nodes as its target and everything else as it was; a word that only happens to be equal stays.
fn for_other_nodes(
    text: &str,
    typed: &str,
    nodes: &str,
    commands: &Commands,
    now: Timestamp,
) -> Option<String> {
    let but_for_nodes = |parsed: &Parsed| {
        let specs = parsed.spec().args.iter();
        let mut args = parsed.args().clone();
        for spec in specs.filter(|spec| spec.kind == ArgKind::Target) {
            args.remove(&spec.name);
        }
        (args, parsed.flags().clone())
    };
    let before = parse(text, commands, now).ok()?;
    text.match_indices(typed).find_map(|(at, _)| {
        let entered = format!("{}{nodes}{}", &text[..at], &text[at + typed.len()..]);
        let after = parse(&entered, commands, now).ok()?;
        let is_it = after.spec().name == before.spec().name
            && after.target() == Some(nodes)
            && but_for_nodes(&after) == but_for_nodes(&before);
        is_it.then_some(entered)
    })
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{
        Actor, HostState, Operation, OperationId, Output, Part, Status, Timestamp, Via, Whence,
        again,
    };
    use crate::{
        catalogue::Catalogue,
        domain::{output::HostOutcome, parse::parse},
    };

    #[rstest]
    #[case::some_missed("status live", &[("a", HostState::Done), ("b", HostState::Failed), ("c", HostState::Unreachable)], "status b,c")]
    #[case::not_begun("status live --here", &[("a", HostState::Done), ("b", HostState::Failed), ("c", HostState::Skipped)], "status b,c --here")]
    #[case::no_target_typed("status --here", &[("a", HostState::Done), ("b", HostState::Unreachable)], "status b --here")]
    #[case::an_equal_word_stays("logs --grep live live --reason live", &[("a", HostState::Done), ("b", HostState::Failed)], "logs --grep live b --reason live")]
    #[case::a_part_of_a_word_stays("logs --grep a-live \"live\"", &[("a", HostState::Done), ("b", HostState::Failed)], "logs --grep a-live \"b\"")]
    #[case::a_part_of_the_command_stays("restart re --reason x", &[("a", HostState::Done), ("b", HostState::Failed)], "restart b --reason x")]
    #[case::all_missed("status live", &[("a", HostState::Failed)], "status live")]
    #[case::none_missed("status live", &[("a", HostState::Done)], "status live")]
    #[case::no_nodes("incident list", &[], "incident list")]
    fn a_retry_is_for_what_was_missed(
        #[case] text: &str,
        #[case] hosts: &[(&str, HostState)],
        #[case] entered: &str,
    ) {
        let commands = Catalogue::embedded().unwrap().commands;
        let now = Timestamp::UNIX_EPOCH;
        let parsed = parse(text, &commands, now).unwrap();
        let rows = hosts.iter().map(|(node, state)| HostOutcome {
            node: (*node).to_owned(),
            state: *state,
            said: String::new(),
            facts: Vec::new(),
        });
        let mut operation = Operation::received(
            OperationId(1),
            text.to_owned(),
            None,
            Actor::Habops,
            Whence::Machine,
            Via::Signal,
            now,
        );
        let output = Output::new(Status::Partly, "").with(Part::Hosts(rows.collect()));
        operation.output = Some(output);
        assert_eq!(again(&operation, &parsed, &commands, now).unwrap(), entered);
    }
}
