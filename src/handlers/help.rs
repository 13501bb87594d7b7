//! `/habops help`: only what you may run, and how one command is typed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Handler, Look, Result, Work, why::by_environment};
use crate::domain::{
    actor::Standing,
    command::{ByEnvironment, CommandSpec},
    failure::Refusal,
    ids::Environment,
    journey::{Cleared, Proposal, may},
    outcome::Outcome,
    output::{Output, Part, Status},
    parse::usage,
};

/// Which command; the list without one.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    command: Option<String>,
}

/// The word in the registry.
pub struct Help;

impl Handler for Help {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let Some(name) = &plan.plan().command else {
            return Ok(list(look).into());
        };
        let words: Vec<String> = name.split_whitespace().map(str::to_owned).collect();
        match look.commands.longest(&words) {
            Some((spec, used)) if used == words.len() => Ok(one(spec).into()),
            _ => {
                let group: Vec<&str> = look
                    .commands
                    .iter()
                    .map(|spec| spec.name.as_str())
                    .filter(|known| {
                        known
                            .strip_prefix(name.as_str())
                            .is_some_and(|rest| rest.starts_with(' '))
                    })
                    .collect();
                if !group.is_empty() {
                    return Ok(Output::new(
                        Status::Done,
                        format!("`{name}` is one of: {}", group.join(", ")),
                    )
                    .into());
                }
                let near = look.commands.nearest(&words);
                let meant = near
                    .map(|near| format!(" Did you mean `{near}`?"))
                    .unwrap_or_default();
                Err(Refusal::usage(format!("There is no command `{name}`.{meant}")).into())
            }
        }
    }
}

fn list(look: &Look) -> Output {
    let mine: Vec<_> = look
        .commands
        .iter()
        .filter(|spec| may_somewhere(spec, &look.asked.standing))
        .collect();
    let rows = mine
        .iter()
        .map(|spec| vec![usage(spec), spec.summary.clone()])
        .collect();
    let columns = vec!["command".to_owned(), "does".to_owned()];
    Output::new(Status::Done, format!("What you may run ({} of {})", mine.len(), look.commands.iter().count()))
        .with(Part::Table { columns, rows })
        .text("`help <command>` tells more. In a thread say `@habops …`: Slack has no slash commands there.")
}

/// Whether this person may run it in any environment.
fn may_somewhere(spec: &CommandSpec, standing: &Standing) -> bool {
    let environments: Vec<Environment> = match &spec.role {
        ByEnvironment::Everywhere(_) => vec![Environment::from("live")],
        ByEnvironment::Each(values) => values.keys().cloned().collect(),
    };
    environments
        .into_iter()
        .any(|environment| may(spec, &BTreeSet::from([environment]), standing).is_ok())
}

fn one(spec: &CommandSpec) -> Output {
    let mut output = Output::new(Status::Done, format!("{}: {}", spec.name, spec.summary))
        .text(format!("/habops {}", usage(spec)));
    if !spec.args.is_empty() {
        let rows = spec
            .args
            .iter()
            .map(|arg| {
                let need = if arg.optional || arg.default.is_some() {
                    "may be left out"
                } else {
                    ""
                };
                let default = arg
                    .default
                    .as_ref()
                    .map(|default| format!("{default} if left out"))
                    .unwrap_or_default();
                let name = if arg.option {
                    format!("--{}", arg.name)
                } else {
                    arg.name.clone()
                };
                let need = if default.is_empty() {
                    need.to_owned()
                } else {
                    default
                };
                vec![name, arg.help.clone(), need]
            })
            .collect();
        output = output.with(Part::Table {
            columns: vec!["argument".to_owned(), "is".to_owned(), String::new()],
            rows,
        });
    }
    let examples: Vec<String> = spec
        .examples
        .iter()
        .map(|example| format!("/habops {} {example}", spec.name).trim().to_owned())
        .collect();
    if !examples.is_empty() {
        output = output.text(format!("For example: {}", examples.join("  ·  ")));
    }
    output = output.with(Part::Facts(vec![
        ("needs the role".to_owned(), by_environment(&spec.role)),
        ("needs a yes from".to_owned(), by_environment(&spec.confirm)),
    ]));
    if spec.changes {
        output = output.text("It changes something outside habops, so it is confirmed, recorded before it runs, and verified afterwards.");
    }
    output
}
