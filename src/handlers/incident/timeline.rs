//! `/habops incident timeline`: what happened so far, line by line.

use serde::{Deserialize, Serialize};

use super::read;
use crate::{
    domain::{
        ids::IncidentId,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
    },
    handlers::{Handler, Look, Result, Work},
};

/// The word in the registry.
pub struct Timeline;

/// Which incident; the one at hand without.
#[derive(Deserialize, Serialize)]
pub struct TimelineArgs {
    #[serde(default)]
    id: Option<IncidentId>,
}

impl Handler for Timeline {
    type Args = TimelineArgs;
    type Plan = TimelineArgs;

    async fn plan(args: TimelineArgs, _look: &Look) -> Result<Proposal<TimelineArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<TimelineArgs>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let incident = read(look, plan.plan().id).await?;
        let entries = look.records.timeline(incident.id).await?;
        let lines: Vec<String> = entries
            .iter()
            .map(|entry| {
                format!(
                    "{}  {}  {}",
                    entry.at.strftime("%Y-%m-%d %H:%M:%S"),
                    entry.actor,
                    entry.text.replace('\n', " ")
                )
            })
            .collect();
        Ok(Output::new(
            Status::Done,
            format!(
                "{}: {} ({} lines, UTC)",
                incident.id,
                incident.title,
                lines.len()
            ),
        )
        .with(Part::Log {
            of: format!("{}-timeline", incident.id),
            text: lines.join("\n"),
        })
        .with(Part::Next {
            label: "Export".to_owned(),
            command: format!("incident export {}", incident.id),
        })
        .into())
    }
}
