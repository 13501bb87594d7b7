//! `/habops incident role lead|scribe @user`: who leads, who keeps the notes. The card names them.

use serde::{Deserialize, Serialize};

use super::which;
use crate::{
    domain::{
        ids::UserId,
        incident::Part,
        journey::{Cleared, Proposal},
        outcome::{Effect, Outcome},
        output::{Output, Status},
    },
    handlers::{Handler, Look, Result, Work},
};

/// The word in the registry.
pub struct Role;

/// What somebody is from now on.
#[derive(Deserialize, Serialize)]
pub struct RoleArgs {
    role: Part,
    user: UserId,
}

impl Handler for Role {
    type Args = RoleArgs;
    type Plan = RoleArgs;

    async fn plan(args: RoleArgs, _look: &Look) -> Result<Proposal<RoleArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<RoleArgs>, work: &Work) -> Result<Outcome> {
        let incident = which(&work.look).await?;
        let RoleArgs { role, user } = plan.plan();
        let (does, held) = match role {
            Part::Lead => ("leads", &incident.lead),
            Part::Scribe => ("keeps the notes of", &incident.scribe),
        };
        let mut output = Output::new(Status::Done, format!("<@{user}> {does} {}", incident.id));
        if let Some(before) = held.as_ref().filter(|before| *before != user) {
            output = output.text(format!("Until now it was <@{before}>."));
        }
        Ok(Outcome::from(output).effect(Effect::AssignPart {
            incident: incident.id,
            part: *role,
            user: user.clone(),
        }))
    }
}
