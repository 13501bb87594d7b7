//! `/habops freeze` and `unfreeze`: while frozen, every change is refused.

use serde::{Deserialize, Serialize};

use super::{Handler, Look, Result, Work};
use crate::domain::{
    failure::Refusal,
    ids::Environment,
    journey::{Cleared, Proposal},
    outcome::{Effect, Outcome},
    output::{Output, Part, Status},
};

/// Where and why.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    environment: Option<Environment>,
    why: String,
}

/// Where.
#[derive(Deserialize, Serialize)]
pub struct Where {
    #[serde(default)]
    environment: Option<Environment>,
}

/// The word in the registry.
pub struct Freeze;

/// The word in the registry.
pub struct Unfreeze;

fn place(environment: Option<&Environment>) -> String {
    environment.map_or("everything".to_owned(), ToString::to_string)
}

impl Handler for Freeze {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let Args { environment, why } = plan.plan();
        let place = place(environment.as_ref());
        let who = &work.look.asked.standing.actor;
        let output = Output::new(Status::Done, format!("Changes are frozen: {place}"))
            .text(format!("{who}: {why}"))
            .with(Part::Next {
                label: "Unfreeze".to_owned(),
                command: unfreeze(environment.as_ref()),
            });
        let announcement =
            Output::new(Status::Done, format!("Changes are frozen: {place}")).text(why.clone());
        Ok(Outcome::from(output)
            .effect(Effect::Freeze {
                environment: environment.clone(),
                why: why.clone(),
            })
            .announced(announcement))
    }
}

fn unfreeze(environment: Option<&Environment>) -> String {
    environment.map_or("unfreeze".to_owned(), |environment| {
        format!("unfreeze {environment}")
    })
}

impl Handler for Unfreeze {
    type Args = Where;
    type Plan = Where;

    async fn plan(args: Where, look: &Look) -> Result<Proposal<Where>> {
        let frozen = look.records.freezes().await?;
        if !frozen
            .iter()
            .any(|freeze| freeze.environment == args.environment)
        {
            let held: Vec<String> = frozen
                .iter()
                .map(|freeze| place(freeze.environment.as_ref()))
                .collect();
            let held = if held.is_empty() {
                "nothing is frozen".to_owned()
            } else {
                format!("frozen: {}", held.join(", "))
            };
            return Err(Refusal::usage(format!(
                "There is no freeze of {} to end; {held}.",
                place(args.environment.as_ref())
            ))
            .into());
        }
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Where>, _work: &Work) -> Result<Outcome> {
        let environment = plan.plan().environment.clone();
        let title = format!("Changes are allowed again: {}", place(environment.as_ref()));
        Ok(Outcome::from(Output::new(Status::Done, title.clone()))
            .effect(Effect::Unfreeze { environment })
            .announced(Output::new(Status::Done, title)))
    }
}
