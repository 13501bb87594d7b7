//! What is to be seen, as wishes for the outbox. The poster brings them to Slack, whichever process it runs in.

use rand::RngExt as _;

use super::Pipeline;
use crate::domain::{
    ids::{IncidentId, OfferId, OperationId, UserId},
    inbound::Via,
    incident::{Home, Incident},
    journey::{Redacted, Routed, redact},
    message::{About, Carrier, Destination, Lane, MessageKey, Under, Wish},
    operation::{Offer, Operation, State},
    output::{Action, Choice, Output, Part},
    place::Place,
    routing::Route,
};

/// Where an operation's answer is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// By everybody there.
    ByAll(Destination),
    /// By the asker alone, there.
    ByAsker(Destination, UserId),
    /// At the terminal only.
    Nowhere,
}

impl Seen {
    /// Only the asker sees it, where it was typed; nobody, where the asker is not in Slack.
    pub(super) fn by_the_asker(self, operation: &Operation) -> Self {
        match (self, operation.whence.place(), operation.actor.user()) {
            (Self::ByAll(_), Some(place), Some(user)) => {
                Self::ByAsker(at_place(place), user.clone())
            }
            (Self::ByAll(_), _, _) => Self::Nowhere,
            (other, _, _) => other,
        }
    }
}

impl Pipeline {
    /// Where the answer of a routed command is seen: shared in its place; with the asker for personal commands.
    pub(super) fn seen(&self, operation: &Operation, routed: &Routed, open: &[Incident]) -> Seen {
        let personal = routed.authorized().parsed().spec().personal;
        let to = match routed.route() {
            Route::Incident { incident, at, .. } => destination_in(*incident, at.as_ref(), open),
            Route::Typed(place) => Some(at_place(place)),
            Route::Terminal | Route::Ask(_) => None,
        };
        match (to, operation.actor.user()) {
            (None, _) => Seen::Nowhere,
            (Some(to), Some(user)) if personal => Seen::ByAsker(to, user.clone()),
            (Some(to), _) => Seen::ByAll(to),
        }
    }

    /// Whose message it is.
    pub(super) fn about(&self, operation: &Operation, state: State) -> About {
        About {
            operation: Some(operation.id),
            incident: operation.incident,
            state: state.word().to_owned(),
            actor: operation.actor.clone(),
            typed: operation.text.clone(),
            at: operation.received_at,
            back_filled: operation.via == Via::Terminal,
        }
    }

    /// The wishes and offers that show this output: one message, and a file for each text too long for it.
    pub(super) fn shown(
        &self,
        operation: &Operation,
        state: State,
        seen: &Seen,
        lane: Lane,
        output: &Redacted,
    ) -> (Vec<Wish>, Vec<Offer>) {
        let (to, carrier) = match seen {
            Seen::Nowhere => return (Vec::new(), Vec::new()),
            Seen::ByAll(to) => (to, Carrier::Message),
            Seen::ByAsker(to, user) => (to, Carrier::Ephemeral(user.clone())),
        };
        let about = self.about(operation, state);
        let (pressable, offers) = self.pressable(output, Some(operation.id));
        let key = match carrier {
            Carrier::Message => MessageKey::operation(operation.id),
            _ => MessageKey::of_operation(operation.id, "answer"),
        };
        let mut wishes = vec![Wish {
            key,
            to: to.clone(),
            carrier: carrier.clone(),
            lane,
            output: pressable,
            about: about.clone(),
        }];
        if carrier == Carrier::Message && state.is_end() {
            let below = below(to, operation.id);
            for (number, (name, text)) in output.output().files().into_iter().enumerate() {
                let title = Output::new(
                    output.output().status,
                    format!("{name} of {}", operation.id),
                );
                wishes.push(Wish {
                    key: MessageKey::of_operation(operation.id, &format!("file:{number}")),
                    to: below.clone(),
                    carrier: Carrier::File { name, text },
                    lane: Lane::Verdict,
                    output: redact(title, &self.parts.rules),
                    about: about.clone(),
                });
            }
        }
        (wishes, offers)
    }

    /// The end in one line, as a reply of its own under the message that shows it in full.
    pub(super) fn notice(
        &self,
        operation: &Operation,
        state: State,
        seen: &Seen,
        output: &Redacted,
    ) -> Option<Wish> {
        let Seen::ByAll(to) = seen else { return None };
        let Output { status, title, .. } = output.output();
        Some(Wish {
            key: MessageKey::of_operation(operation.id, "end"),
            to: below(to, operation.id),
            carrier: Carrier::Message,
            lane: Lane::Verdict,
            output: redact(Output::new(*status, title.clone()), &self.parts.rules),
            about: self.about(operation, state),
        })
    }

    /// The same for an operation out of the store.
    pub(super) async fn seen_again(&self, operation: &Operation) -> Seen {
        let open = self.parts.store.open_incidents().await.unwrap_or_default();
        let to = match (&operation.answer, operation.incident) {
            (Some(place), _) => Some(at_place(place)),
            (None, Some(incident)) => destination_in(incident, None, &open),
            (None, None) => None,
        };
        let to = to.or_else(|| operation.whence.place().map(at_place));
        let spec = operation
            .command
            .as_ref()
            .and_then(|name| self.parts.commands.get(name.as_str()));
        match (to, operation.actor.user()) {
            (None, _) => Seen::Nowhere,
            (Some(to), Some(user)) if spec.is_some_and(|spec| spec.personal) => {
                Seen::ByAsker(to, user.clone())
            }
            (Some(to), _) => Seen::ByAll(to),
        }
    }

    /// A wish that only the asker sees, where it was typed, and the offers behind its buttons.
    pub(super) fn only_to_asker(
        &self,
        operation: &Operation,
        state: State,
        what: &str,
        output: &Redacted,
    ) -> (Vec<Wish>, Vec<Offer>) {
        let (output, offers) = self.pressable(output, Some(operation.id));
        match self.whispered(operation, state, what, output) {
            Some(wish) => (vec![wish], offers),
            None => (Vec::new(), Vec::new()),
        }
    }

    /// A wish that only the asker sees, as it stands; none where the asker is not in Slack.
    pub(super) fn whispered(
        &self,
        operation: &Operation,
        state: State,
        what: &str,
        output: Redacted,
    ) -> Option<Wish> {
        Some(Wish {
            key: MessageKey::of_operation(operation.id, what),
            to: at_place(operation.whence.place()?),
            carrier: Carrier::Ephemeral(operation.actor.user()?.clone()),
            lane: Lane::Verdict,
            output,
            about: self.about(operation, state),
        })
    }

    /// The same output with each next step as a button: a stored offer behind it.
    pub(super) fn pressable(
        &self,
        redacted: &Redacted,
        operation: Option<OperationId>,
    ) -> (Redacted, Vec<Offer>) {
        let is_button = |part: &Part| {
            matches!(
                part,
                Part::Next { .. } | Part::Undo { .. } | Part::Retry { .. }
            )
        };
        if !redacted.output().parts.iter().any(is_button) {
            return (redacted.clone(), Vec::new());
        }
        let mut output = redacted.output().clone();
        let mut offers = Vec::new();
        let mut choices = Vec::new();
        output.parts.retain(|part| {
            let (label, action, command) = match part {
                Part::Next { label, command } => (label.as_str(), Action::Next, command),
                Part::Undo { command } => ("Undo", Action::Undo, command),
                Part::Retry { command } => ("Retry what failed", Action::Retry, command),
                _ => return true,
            };
            let mut offer = self.offer(action, operation, None);
            offer.command = Some(command.clone());
            choices.push(Choice::of(&offer, label, command));
            offers.push(offer);
            false
        });
        // One row of buttons: the next steps, then what the pipeline itself offers.
        if let Some(Part::Ask {
            question,
            choices: own,
        }) = output.parts.last_mut()
            && question.is_empty()
        {
            own.splice(0..0, choices);
        } else if !choices.is_empty() {
            output.parts.push(Part::Ask {
                question: String::new(),
                choices,
            });
        }
        let mut pressable = redact(output, &self.parts.rules);
        if pressable.removed() < redacted.removed() {
            pressable = pressable.counting(redacted.removed());
        }
        (pressable, offers)
    }

    /// The button that shows the lines to type by hand, and the offer behind it: the same command, entered by whoever presses it.
    pub(super) fn button_by_hand(
        &self,
        operation: OperationId,
        text: String,
    ) -> (Vec<Part>, Vec<Offer>) {
        let mut offer = self.offer(Action::Byhand, Some(operation), None);
        offer.command = Some(text.clone());
        let ask = Part::Ask {
            question: String::new(),
            choices: vec![Choice::of(&offer, "By hand", text)],
        };
        (vec![ask], vec![offer])
    }

    /// The same output with more parts, as it is shown; what is kept stays without them.
    pub(super) fn with(&self, redacted: &Redacted, parts: Vec<Part>) -> Redacted {
        if parts.is_empty() {
            return redacted.clone();
        }
        let mut output = redacted.output().clone();
        output.parts.extend(parts);
        redact(output, &self.parts.rules).counting(redacted.removed())
    }

    /// A new offer with an id that nobody can guess.
    pub(super) fn offer(
        &self,
        action: Action,
        operation: Option<OperationId>,
        expires_at: Option<jiff::Timestamp>,
    ) -> Offer {
        let random: [u8; 16] = rand::rng().random();
        Offer {
            id: OfferId::new(hex::encode(random)),
            action,
            operation,
            command: None,
            incident: None,
            expires_at,
            used_by: None,
        }
    }
}

/// The thread that an operation's message stands in, or begins.
fn below(to: &Destination, operation: OperationId) -> Destination {
    let thread = match &to.thread {
        Under::Channel => Under::Key(MessageKey::operation(operation)),
        thread => thread.clone(),
    };
    Destination {
        channel: to.channel.clone(),
        thread,
    }
}

/// The place as a destination.
pub(super) fn at_place(place: &Place) -> Destination {
    Destination {
        channel: place.channel.clone(),
        thread: place.thread.clone().map_or(Under::Channel, Under::Ts),
    }
}

/// An incident's place: where it was typed inside it, otherwise its home. Under a card that is not posted yet it waits for it.
pub(super) fn destination_in(
    incident: IncidentId,
    at: Option<&Place>,
    open: &[Incident],
) -> Option<Destination> {
    if let Some(place) = at {
        return Some(at_place(place));
    }
    match &open.iter().find(|known| known.id == incident)?.home {
        Home::Card {
            channel,
            ts: Some(ts),
        } => Some(Destination {
            channel: channel.clone(),
            thread: Under::Ts(ts.clone()),
        }),
        Home::Card { channel, ts: None } => Some(Destination {
            channel: channel.clone(),
            thread: Under::Key(MessageKey::card(incident)),
        }),
        Home::Channel(channel) => Some(Destination {
            channel: channel.clone(),
            thread: Under::Channel,
        }),
        Home::Nowhere => None,
    }
}
