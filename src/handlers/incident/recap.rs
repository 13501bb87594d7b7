//! `/habops incident recap`: what somebody who has just come in must know. habops sends it by itself to whoever joins.

use serde::{Deserialize, Serialize};

use super::read;
use crate::{
    domain::{
        ids::IncidentId,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        recap::{LOOK_BACK, Records, recap},
    },
    handlers::{Handler, Look, Result, Work},
};

/// The word in the registry.
pub struct Recap;

/// Which incident; the one at hand without.
#[derive(Deserialize, Serialize)]
pub struct RecapArgs {
    #[serde(default)]
    id: Option<IncidentId>,
}

impl Handler for Recap {
    type Args = RecapArgs;
    type Plan = RecapArgs;

    async fn plan(args: RecapArgs, _look: &Look) -> Result<Proposal<RecapArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<RecapArgs>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let incident = read(look, plan.plan().id).await?;
        let records = Records {
            incident: &incident,
            operations: &look
                .records
                .operations(Some(incident.id), LOOK_BACK)
                .await?,
            awaiting: &look.records.awaiting().await?,
            timeline: &look.records.timeline(incident.id).await?,
            now: look.asked.now,
        };
        Ok(recap(records).into())
    }
}
