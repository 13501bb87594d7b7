//! `/habops incident close`: answers go where they are typed again; the timeline stays.

use serde::{Deserialize, Serialize};

use super::which;
use crate::{
    domain::{
        ids::IncidentId,
        journey::{Cleared, Proposal},
        outcome::{Effect, Outcome},
        output::{Output, Part, Status},
        recap::lasted,
    },
    handlers::{Handler, Look, Result, Work},
};

/// The word in the registry.
pub struct Close;

/// How it ended, in a few words.
#[derive(Deserialize, Serialize)]
pub struct CloseArgs {
    #[serde(default)]
    note: Option<String>,
}

impl Handler for Close {
    type Args = CloseArgs;
    type Plan = CloseArgs;

    async fn plan(args: CloseArgs, _look: &Look) -> Result<Proposal<CloseArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<CloseArgs>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let incident = which(look).await?;
        let lasted = lasted(incident.opened_at, look.asked.now);
        let mut output = Output::new(
            Status::Done,
            format!(
                "{} is closed after {lasted}: {}",
                incident.id, incident.title
            ),
        );
        let waits = waiting(look, incident.id).await?;
        if waits > 0 {
            output = output.text(format!(
                "Still waiting for a yes: {waits}. `approvals` lists them; their answers come where they were asked."
            ));
        }
        let mut effects = Vec::new();
        if let Some(note) = &plan.plan().note {
            output = output.text(note.clone());
            effects.push(Effect::AddNote {
                incident: incident.id,
                text: note.clone(),
            });
        }
        output = output.with(Part::Next {
            label: "Export".to_owned(),
            command: format!("incident export {}", incident.id),
        });
        effects.push(Effect::CloseIncident {
            incident: incident.id,
        });
        Ok(Outcome {
            effects,
            ..Outcome::from(output)
        })
    }
}

async fn waiting(look: &Look, incident: IncidentId) -> Result<usize> {
    let awaiting = look.records.awaiting().await?;
    let of_it = awaiting
        .iter()
        .filter(|operation| operation.incident == Some(incident));
    Ok(of_it.count())
}
