//! An operation entered again, with whoever asks as its actor: the whole of it, or what was missed.

use jiff::Timestamp;

use super::Pipeline;
use crate::domain::{
    actor::Actor,
    command::{ArgKind, Commands},
    failure::{Failure, Refusal},
    ids::OperationId,
    inbound::{Ack, Typed, Via},
    journey::Parsed,
    operation::Operation,
    output::{HostState, Output, Part, Status},
    parse::parse,
    place::Whence,
};

impl Pipeline {
    /// `retry <operation>`: its command again, with the asker as its actor.
    pub(super) async fn retry(&self, id: OperationId, actor: &Actor) -> Result<Output, Failure> {
        let operation = self.existing(id).await?;
        entered_again(&operation)?;
        let key = format!("retry:{id}:{}", self.now());
        let parsed = self.parsed(&operation)?;
        let text = again(&operation, &parsed, &self.parts.commands, self.now())?;
        let title = format!("Entered again: {text}");
        let refused = self
            .enters(
                key,
                Via::Button,
                text,
                actor.clone(),
                operation.whence.clone(),
            )
            .await;
        Ok(refused.unwrap_or_else(|| Output::new(Status::Done, title)))
    }

    /// Enters a command as if it had been typed, once under that key; the output, if any, says why it could not be.
    pub(super) async fn enters(
        &self,
        key: String,
        via: Via,
        text: String,
        actor: Actor,
        whence: Whence,
    ) -> Option<Output> {
        let typed = Typed {
            text,
            actor,
            whence,
            via,
            reply: None,
            message: None,
            yes: false,
            in_passing: false,
        };
        match self.accept_typed(key, self.now(), typed).await {
            Ack::Unstored { said, .. } => Some(said),
            Ack::Accepted { .. } | Ack::Duplicate => None,
        }
    }
}

/// Whether an operation can be entered again by this person: for the pipeline's buttons.
fn entered_again(operation: &Operation) -> Result<(), Refusal> {
    if operation.state.is_end() {
        Ok(())
    } else {
        Err(Refusal::not_now(format!(
            "{} has not ended yet; it is {}.",
            operation.id,
            operation.state.word()
        )))
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
