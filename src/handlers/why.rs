//! `/habops why`: why a command would be refused or needs a yes, or what became of an operation.

use serde::{Deserialize, Serialize};

use super::{Handler, Look, Result, Work};
use crate::domain::{
    actor::Membership,
    command::{ByEnvironment, CommandSpec},
    failure::Refusal,
    ids::OperationId,
    journey::{Cleared, Proposal},
    operation::Operation,
    outcome::Outcome,
    output::{Output, Part, Status},
};

/// A command's name, or an operation.
#[derive(Deserialize, Serialize)]
pub struct Args {
    what: String,
}

/// The word in the registry.
pub struct Why;

impl Handler for Why {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let what = plan.plan().what.trim();
        if let Ok(id) = what.parse::<OperationId>() {
            let found = work.look.records.operation(id).await?;
            let operation = found.ok_or_else(|| {
                Refusal::usage(format!(
                    "There is no operation {id}. `audit` lists the newest."
                ))
            })?;
            return Ok(of_operation(&operation).into());
        }
        let words: Vec<String> = what.split_whitespace().map(str::to_owned).collect();
        let Some((spec, _)) = work.look.commands.longest(&words) else {
            let near = work
                .look
                .commands
                .nearest(&words)
                .map(|near| format!(" Did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(Refusal::usage(format!("There is no command `{what}`.{near}")).into());
        };
        Ok(of_command(spec, &work.look).into())
    }
}

fn of_operation(operation: &Operation) -> Output {
    let mut facts = vec![
        ("asked by".to_owned(), operation.actor.to_string()),
        (
            "at".to_owned(),
            operation
                .received_at
                .strftime("%Y-%m-%d %H:%M:%S UTC")
                .to_string(),
        ),
        ("state".to_owned(), operation.state.word().to_owned()),
    ];
    if let Some(proposal) = &operation.proposal {
        facts.push(("needs".to_owned(), proposal.confirm.to_string()));
        if let Some((by, at)) = &proposal.approved_by {
            facts.push((
                "approved by".to_owned(),
                format!("{by}, {}", at.strftime("%H:%M:%S UTC")),
            ));
        }
    }
    if let Some(output) = &operation.output {
        facts.push(("answer".to_owned(), output.title.clone()));
    }
    Output::new(
        Status::Done,
        format!("{}: {}", operation.id, operation.text),
    )
    .with(Part::Facts(facts))
}

fn of_command(spec: &CommandSpec, look: &Look) -> Output {
    let standing = &look.asked.standing;
    let held: Vec<String> = standing.roles.iter().map(ToString::to_string).collect();
    let mut facts = vec![
        (
            "changes something".to_owned(),
            if spec.changes { "yes" } else { "no" }.to_owned(),
        ),
        ("needs the role".to_owned(), by_environment(&spec.role)),
        ("needs a yes from".to_owned(), by_environment(&spec.confirm)),
        (
            "you hold".to_owned(),
            if held.is_empty() {
                "no role".to_owned()
            } else {
                held.join(", ")
            },
        ),
    ];
    if let Membership::Outside(why) = &standing.membership {
        facts.push(("but".to_owned(), why.clone()));
    }
    let missing: Vec<&str> = spec
        .role
        .values()
        .into_iter()
        .filter(|role| !standing.roles.contains(*role))
        .map(crate::domain::ids::Role::as_str)
        .collect();
    let title = if missing.is_empty() {
        format!("You may run `{}`", spec.name)
    } else {
        let members = missing.iter().map(|role| {
            let members = look
                .policy
                .roles
                .get(&crate::domain::ids::Role::from(*role))
                .cloned()
                .unwrap_or_default();
            let members: Vec<String> = members.into_iter().map(String::from).collect();
            (
                format!("{role} is held by"),
                if members.is_empty() {
                    "nobody".to_owned()
                } else {
                    members.join(", ")
                },
            )
        });
        facts.extend(members);
        format!(
            "`{}` needs a role you do not hold: {}",
            spec.name,
            missing.join(", ")
        )
    };
    Output::new(Status::Done, title).with(Part::Facts(facts))
}

/// One value, or one for each environment, in words.
pub(super) fn by_environment<T: ToString>(value: &ByEnvironment<T>) -> String {
    match value {
        ByEnvironment::Everywhere(value) => value.to_string(),
        ByEnvironment::Each(values) => values
            .iter()
            .map(|(environment, value)| format!("{}: {}", environment, value.to_string()))
            .collect::<Vec<_>>()
            .join(", "),
    }
}
