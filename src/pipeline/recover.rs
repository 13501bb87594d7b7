//! What a lost process left behind: ended, never run again by itself (law 6).

use anyhow::Context as _;
use tracing::warn;

use super::{Case, Pipeline};
use crate::domain::{
    actor::Actor,
    audit::Event,
    failure::Failure,
    ids::OperationId,
    operation::{Operation, State},
    output::{Output, Part, Status},
};

impl Pipeline {
    /// Takes over an operation whose lease has lapsed. What had not begun is begun; what had is interrupted, outcome unknown.
    pub(super) async fn recover(&self, id: OperationId) -> Result<(), Failure> {
        let operation = self
            .parts
            .store
            .operation(id)
            .await
            .context("cannot read the operation")?;
        let Some(operation) = operation.filter(|operation| !operation.state.is_end()) else {
            return Ok(());
        };
        if self.parts.store.is_at_work(id) {
            return Ok(()); // late in saying so, or the clock has jumped
        }
        let Some(fence) = self
            .parts
            .store
            .take_over(id, operation.fence)
            .await
            .context("cannot take the operation over")?
        else {
            return Ok(()); // its process lives, or another was quicker
        };
        match operation.state {
            State::Received => {
                warn!("{id} was left behind before it began; it begins now");
                self.depart(Case::again(Operation { fence, ..operation }));
                Ok(())
            }
            State::Approved | State::Running => {
                warn!("{id} was left behind while {}", operation.state.word());
                let output = interrupted(&operation);
                let case = Case::again(Operation { fence, ..operation });
                self.write_interrupted(&case, output).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn write_interrupted(&self, case: &Case, output: Output) -> Result<(), Failure> {
        let owner = case
            .operation
            .owner
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        self.parts
            .store
            .audit_event(
                Actor::Habops,
                Some(case.operation.id),
                vec![Event::Interrupted { owner }],
            )
            .await
            .context("cannot write the audit")?;
        self.write_end(case, None, State::Interrupted, output)
            .await?;
        Ok(())
    }
}

fn interrupted(operation: &Operation) -> Output {
    let title = format!("Interrupted: {}", operation.text);
    let begun = operation
        .started_at
        .map(|at| format!(" It began at {}.", at.strftime("%H:%M:%S UTC")))
        .unwrap_or_default();
    let output = Output::new(Status::Interrupted, title);
    if operation.changes {
        let nodes: Vec<&str> = operation
            .nodes
            .iter()
            .map(|node| node.name.as_str())
            .collect();
        let output = output
            .text(format!("habops ended in the middle.{begun} Whether it was done is unknown, and it is not run again by itself. Look first: {}.", nodes.join(", ")));
        // What it was confirmed on is what it can be compared with.
        let output = if operation.proposal.is_some() {
            output.with(Part::Next {
                label: "Re-check".to_owned(),
                command: format!("recheck {}", operation.id),
            })
        } else {
            output
        };
        output.with(Part::Next {
            label: "Look".to_owned(),
            command: if nodes.is_empty() {
                "status".to_owned()
            } else {
                format!("status {}", nodes.join(","))
            },
        })
    } else {
        output
            .text(format!(
                "habops ended in the middle.{begun} It changes nothing, so it can be run again."
            ))
            .with(Part::Next {
                label: "Run again".to_owned(),
                command: operation.text.clone(),
            })
    }
}
