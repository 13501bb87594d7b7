//! `/habops approvals`: what waits for a yes.

use serde::{Deserialize, Serialize};

use super::{Handler, Look, Result, Work};
use crate::domain::{
    journey::{Cleared, Proposal},
    outcome::Outcome,
    output::{Output, Part, Status},
};

/// No arguments.
#[derive(Deserialize, Serialize)]
pub struct Nothing {}

/// The word in the registry.
pub struct Approvals;

impl Handler for Approvals {
    type Args = Nothing;
    type Plan = Nothing;

    async fn plan(args: Nothing, _look: &Look) -> Result<Proposal<Nothing>> {
        Ok(Proposal::just(args))
    }

    async fn run(_plan: &Cleared<Nothing>, work: &Work) -> Result<Outcome> {
        let waiting = work.look.records.awaiting().await?;
        let title = match waiting.len() {
            0 => "Nothing waits for a confirmation".to_owned(),
            1 => "1 confirmation waits".to_owned(),
            several => format!("{several} confirmations wait"),
        };
        let rows = waiting
            .iter()
            .map(|operation| {
                let confirm = operation
                    .proposal
                    .as_ref()
                    .map(|proposal| proposal.confirm.to_string());
                let until = operation
                    .proposal
                    .as_ref()
                    .map(|proposal| proposal.expires_at.strftime("%H:%M:%S UTC").to_string());
                vec![
                    operation.id.to_string(),
                    operation.text.clone(),
                    operation.actor.to_string(),
                    confirm.unwrap_or_default(),
                    until.unwrap_or_default(),
                ]
            })
            .collect::<Vec<_>>();
        let mut output = Output::new(Status::Done, title);
        if !rows.is_empty() {
            let columns = ["operation", "command", "asked by", "needs", "until"]
                .map(str::to_owned)
                .to_vec();
            output = output
                .with(Part::Table { columns, rows })
                .text("Say `approve <operation>` or `deny <operation>`.");
        }
        Ok(output.into())
    }
}
