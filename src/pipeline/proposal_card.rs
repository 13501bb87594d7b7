//! The card of what waits for a yes: what it shows, and its two buttons.

use super::Pipeline;
use crate::domain::{
    command::Confirm,
    operation::{Offer, Operation, StoredProposal},
    output::{Action, Choice, Output, Part, Status, Weight},
};

impl Pipeline {
    /// The card of what waits for a yes.
    pub(super) fn card_that_asks(
        &self,
        operation: &Operation,
        proposal: &StoredProposal,
        approve: &Offer,
        deny: &Offer,
    ) -> Output {
        let id = operation.id;
        let who = match &proposal.confirm {
            Confirm::SecondPerson => "somebody other than the asker".to_owned(),
            Confirm::Named(_) => format!("<@{}>", proposal.named.as_deref().unwrap_or("nobody")),
            Confirm::Own | Confirm::Never => {
                "anybody who may run it, the asker included".to_owned()
            }
        };
        let mut card = Output::new(Status::Waiting, format!("Confirm: {}", operation.text));
        card.parts.clone_from(&proposal.preview.parts);
        if !proposal.preview.title.is_empty() {
            card.parts
                .insert(0, Part::Text(proposal.preview.title.clone()));
        }
        let approve = match approve.action {
            Action::Accept => {
                Choice::of(approve, "Accept", format!("approve {id}")).weighing(Weight::Primary)
            }
            _ => Choice::of(approve, "Approve", format!("approve {id}")).weighing(Weight::Danger),
        };
        let deny = Choice::of(deny, "Deny", format!("deny {id}"));
        card.with(Part::Ask {
            question: format!(
                "Needs a yes from {who}, until {}.",
                proposal.expires_at.strftime("%H:%M:%S UTC")
            ),
            choices: vec![approve, deny],
        })
    }

    /// The buttons of a card: a handoff is accepted, everything else approved.
    pub(super) fn yes_and_no(
        &self,
        operation: &Operation,
        proposal: &StoredProposal,
    ) -> (Offer, Offer) {
        let until = Some(proposal.expires_at);
        (
            self.offer(yes(&proposal.confirm), Some(operation.id), until),
            self.offer(Action::Deny, Some(operation.id), until),
        )
    }
}

/// What is taken is accepted; what is done is approved.
fn yes(confirm: &Confirm) -> Action {
    match confirm {
        Confirm::Named(_) => Action::Accept,
        Confirm::Never | Confirm::Own | Confirm::SecondPerson => Action::Approve,
    }
}
