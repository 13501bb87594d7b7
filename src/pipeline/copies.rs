//! A card that waits for a yes, shown in more than one place: whichever copy is pressed, all of them show what became of it.

use super::{Pipeline, handoff::Shown};
use crate::domain::{
    handoff::{Handoff, Packet},
    journey::Redacted,
    message::{Carrier, Destination, Lane, MessageKey, Under, Wish},
    operation::{Offer, Operation, State},
};

impl Pipeline {
    /// The cards that wait, once more, below the packet. Until when they count stays as it was.
    pub(super) async fn cards_again(&self, shown: &mut Shown, handoff: &Handoff, packet: &Packet) {
        let Some(channel) = self.parts.settings.channel.clone() else {
            return;
        };
        for operation in &packet.waiting {
            let Some(proposal) = &operation.proposal else {
                continue;
            };
            let (approve, deny) = self.yes_and_no(operation, proposal);
            let card = self.card_that_asks(operation, proposal, &approve, &deny);
            let at = handoff.told_at.as_nanosecond();
            shown.wishes.push(Wish {
                key: MessageKey::of_operation(operation.id, &format!("again:{at}")),
                to: Destination {
                    channel: channel.clone(),
                    thread: Under::Key(MessageKey(handoff.key())),
                },
                carrier: Carrier::Message,
                lane: Lane::Confirm,
                output: self.redacted(card).await,
                about: self.about(operation, State::Awaiting),
            });
            shown.offers.extend([approve, deny]);
        }
    }

    /// The copies of a card, brought to what the card shows by now.
    pub(super) async fn copies(
        &self,
        operation: &Operation,
        state: State,
        card: &Redacted,
    ) -> (Vec<Wish>, Vec<Offer>) {
        let (mut wishes, mut all) = (Vec::new(), Vec::new());
        let copies = self.parts.store.copies(operation.id).await;
        for (key, to) in copies.unwrap_or_default() {
            let (output, offers) = self.pressable(card, Some(operation.id));
            all.extend(offers);
            wishes.push(Wish {
                key,
                to,
                carrier: Carrier::Message,
                lane: Lane::Confirm,
                output,
                about: self.about(operation, state),
            });
        }
        (wishes, all)
    }
}
