//! A card about a world that has changed since: refused, and a fresh one opened; and the same comparison on request.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::{Case, Pipeline};
use crate::domain::{
    actor::Standing,
    failure::{Failure, Refusal},
    fingerprint::{Difference, differences},
    ids::OperationId,
    inbound::Via,
    journey::revive,
    operation::{Operation, State},
    output::{HostOutcome, HostState, Output, Part, Status},
};

/// Differences that are told of one node; more say nothing more.
const MOST_TOLD: usize = 6;

impl Pipeline {
    /// Ends a card that was approved about another world, and opens one about this: the asker's command enters again, in the
    /// asker's name. Always an answer of the refusing kind.
    pub(super) async fn open_afresh(
        &self,
        operation: &Operation,
        by: &Standing,
        changed: &[Difference],
    ) -> Result<Output, Failure> {
        let again = operation.whence.place().is_some();
        let follows = if again {
            "A fresh card follows."
        } else {
            "Ask again for a fresh one."
        };
        let output = Output::new(
            Status::Refused,
            format!("Changed since this was posted: {}", operation.text),
        )
        .text(format!(
            "{} said yes, but it is not as it was, so nothing was done. {follows}",
            by.actor
        ))
        .with(Part::Facts(told(changed)));
        let output = self.redacted(output).await;
        let decided = self
            .decided(
                operation,
                "not approved, because it has changed",
                &by.actor,
                State::Refused,
                &output,
            )
            .await;
        if self
            .ended_by_decision(operation, State::Refused, output, decided)
            .await?
        {
            self.refresh_card(operation.incident).await;
            if again {
                self.enter_afresh(operation).await?;
            }
        }
        Err(Refusal::not_now(format!(
            "What this card was about has changed since it was posted, so nothing was done. {follows}"
        ))
        .into())
    }

    async fn enter_afresh(&self, operation: &Operation) -> Result<(), Failure> {
        let name = operation
            .command
            .as_ref()
            .map_or("", crate::domain::ids::CommandName::as_str);
        let text = match (operation.chosen, operation.text.strip_prefix(name)) {
            (Some(incident), Some(rest)) if !rest.contains("--incident") => {
                format!("{name} --incident {incident}{rest}")
            }
            _ => operation.text.clone(),
        };
        // One of several clicks opens it.
        let key = format!("fresh:{}", operation.id);
        let (actor, whence) = (operation.actor.clone(), operation.whence.clone());
        match self.enters(key, Via::Button, text, actor, whence).await {
            Some(said) => Err(Refusal::not_now(said.title).into()),
            None => Ok(()),
        }
    }

    /// Compares what a change was approved on with how it is now: one row a node.
    pub(super) async fn recheck(&self, id: OperationId) -> Result<Output, Failure> {
        let operation = self.existing(id).await?;
        let Some(proposal) = operation.proposal.clone() else {
            return Err(Refusal::usage(format!(
                "{id} was never confirmed on anything, so there is nothing to compare. `why {id}` tells of it."
            ))
            .into());
        };
        let planned =
            revive(self.parsed(&operation)?, &operation).context("a card without a plan")?;
        let case = Case::again(operation);
        let now = self
            .fingerprint_now(&case, planned.routed(), &proposal.plan)
            .await?;
        let mut of_node: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
        for difference in differences(&proposal.fingerprint, &now) {
            of_node
                .entry(difference.of.clone())
                .or_default()
                .push(difference);
        }
        Ok(compared(&case.operation, &of_node))
    }
}

fn compared(operation: &Operation, changed: &BTreeMap<String, Vec<Difference>>) -> Output {
    let rows: Vec<HostOutcome> = operation
        .nodes
        .iter()
        .map(|node| {
            let said = match changed.get(node.name.as_str()) {
                None => "as it was confirmed on: the change has not reached it".to_owned(),
                Some(differences) => format!("not as it was: {}", in_words(differences)),
            };
            HostOutcome {
                node: node.name.to_string(),
                state: HostState::Done,
                said,
                facts: Vec::new(),
            }
        })
        .collect();
    let reached = operation
        .nodes
        .iter()
        .filter(|node| changed.contains_key(node.name.as_str()))
        .count();
    let title = match (reached, rows.len()) {
        (_, 0) if changed.is_empty() => {
            format!("{}: nothing has changed since its card", operation.id)
        }
        (_, 0) => format!("{}: it is not as its card says", operation.id),
        (0, _) => format!("{}: no node has changed since its card", operation.id),
        (reached, all) => format!(
            "{}: {reached} of {all} nodes have changed since its card",
            operation.id
        ),
    };
    let output = Output::new(Status::Done, title);
    let output = if rows.is_empty() {
        output.with(Part::Facts(told(
            &changed.values().flatten().cloned().collect::<Vec<_>>(),
        )))
    } else {
        output.with(Part::Hosts(rows))
    };
    output.text(format!("{} was: {}", operation.id, operation.text))
}

fn in_words(differences: &[Difference]) -> String {
    let mut said: Vec<String> = differences
        .iter()
        .take(MOST_TOLD)
        .map(Difference::said)
        .collect();
    if differences.len() > MOST_TOLD {
        said.push(format!("and {} more", differences.len() - MOST_TOLD));
    }
    said.join(", ")
}

/// One fact a node.
fn told(changed: &[Difference]) -> Vec<(String, String)> {
    let mut of_node: BTreeMap<&str, Vec<Difference>> = BTreeMap::new();
    for difference in changed {
        of_node
            .entry(&difference.of)
            .or_default()
            .push(difference.clone());
    }
    of_node
        .into_iter()
        .map(|(node, differences)| {
            let name = if node.is_empty() { "it" } else { node };
            (name.to_owned(), in_words(&differences))
        })
        .collect()
}
