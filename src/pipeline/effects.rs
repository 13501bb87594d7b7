//! What an outcome does to habops' own records, and what is to be seen of it: the card, the announcement, the link.

use tracing::warn;

use super::{
    Pipeline,
    outbox::{Seen, at_place},
};
use crate::domain::{
    failure::{Failure, Refusal},
    ids::{ChannelId, IncidentId, MessageTs},
    incident::{Home, Incident},
    journey::{Redacted, Routed, redact},
    message::{Carrier, Destination, Lane, MessageKey, Under, Wish},
    operation::{Operation, State},
    outcome::{Effect, OpenAt},
    output::{Output, Part, Status},
    redact::Rules,
    routing::Route,
};

impl Pipeline {
    /// The effects as the store applies them, and the wishes that come with them.
    pub(super) async fn effects(
        &self,
        operation: &mut Operation,
        seen: &mut Seen,
        effects: Vec<Effect>,
    ) -> (Vec<Effect>, Vec<Wish>) {
        let mut wishes = Vec::new();
        let mut kept = Vec::new();
        for effect in effects {
            match effect {
                Effect::OpenIncident {
                    title,
                    place,
                    pagerduty,
                } => {
                    let place = self.opened_at(place);
                    let incident = self.opened(operation, &title, &place);
                    operation.incident = Some(incident.id);
                    if let OpenAt::CardIn(channel) | OpenAt::Channel(channel) = &place {
                        wishes.extend(self.begun(operation, &incident, channel).await);
                        let below = Under::Key(MessageKey::card(incident.id));
                        *seen = Seen::ByAll(Destination {
                            channel: channel.clone(),
                            thread: below,
                        });
                    }
                    kept.push(Effect::OpenIncident {
                        title,
                        place,
                        pagerduty,
                    });
                }
                Effect::AssignPart {
                    incident,
                    part,
                    user,
                } => {
                    operation.incident = Some(incident);
                    kept.push(Effect::AssignPart {
                        incident,
                        part,
                        user,
                    });
                }
                Effect::LinkIncident { incident, place } => {
                    operation.incident = Some(incident);
                    // Announced in both places: the answer goes to the incident, this to the place that now belongs to it.
                    let said = Output::new(
                        Status::Done,
                        format!(
                            "This place now belongs to {incident}. Output of the incident comes here when it is asked for here."
                        ),
                    );
                    wishes.push(self.said(operation, "linked", at_place(&place), said).await);
                    kept.push(Effect::LinkIncident { incident, place });
                }
                Effect::AddNote { incident, text } => {
                    operation.incident = Some(incident);
                    kept.push(Effect::AddNote { incident, text });
                }
                Effect::CloseIncident { incident } => {
                    operation.incident = Some(incident);
                    kept.push(Effect::CloseIncident { incident });
                }
                other => kept.push(other),
            }
        }
        (kept, wishes)
    }

    /// Something said where habops lives, unless everybody there sees the answer itself.
    pub(super) async fn announced(
        &self,
        operation: &Operation,
        output: Output,
        open: &[Incident],
    ) -> Option<Wish> {
        let here = operation.whence.place().map(|place| &place.channel);
        let channel = self.parts.settings.channel.as_ref()?;
        if Some(channel) == here && open.is_empty() {
            return None;
        }
        let to = Destination {
            channel: channel.clone(),
            thread: Under::Channel,
        };
        Some(self.said(operation, "announced", to, output).await)
    }

    /// The card of a new incident; pinned where the whole channel is the incident's, and told where it was typed elsewhere. Its
    /// buttons come with the first refresh, right after it is recorded.
    async fn begun(
        &self,
        operation: &Operation,
        incident: &Incident,
        channel: &ChannelId,
    ) -> Vec<Wish> {
        let (mut card, _) = self.card(incident, channel, &[], &[]).await;
        card.output = unpressed(&card.output, &self.parts.rules);
        let mut wishes = vec![card];
        if !matches!(incident.home, Home::Channel(_)) {
            return wishes;
        }
        let pinned = Output::new(Status::Done, incident.title.clone());
        wishes.push(Wish {
            key: MessageKey(format!("{}:pin", incident.id)),
            to: Destination {
                channel: channel.clone(),
                thread: Under::Channel,
            },
            carrier: Carrier::Pin(MessageKey::card(incident.id)),
            lane: Lane::Verdict,
            output: redact(pinned, &self.parts.rules),
            about: self.about(operation, State::Done),
        });
        let typed = operation.whence.place();
        if let Some(typed) = typed.filter(|typed| typed.channel != *channel) {
            let said = Output::new(
                Status::Done,
                format!("{} is open: {}", incident.id, incident.title),
            );
            let said = self.with_link(said, incident.id, std::slice::from_ref(incident));
            wishes.push(self.said(operation, "opened", at_place(typed), said).await);
        }
        wishes
    }

    async fn said(
        &self,
        operation: &Operation,
        what: &str,
        to: Destination,
        output: Output,
    ) -> Wish {
        Wish {
            key: MessageKey::of_operation(operation.id, what),
            to,
            carrier: Carrier::Message,
            lane: Lane::Confirm,
            output: self.redacted(output).await,
            about: self.about(operation, State::Done),
        }
    }

    /// An incident opened at a terminal lives where habops lives, if that is known.
    fn opened_at(&self, place: OpenAt) -> OpenAt {
        match (place, &self.parts.settings.channel) {
            (OpenAt::Nowhere | OpenAt::NewChannel { .. }, Some(channel)) => {
                OpenAt::CardIn(channel.clone())
            }
            (place, _) => place,
        }
    }

    /// The incident as it is about to be.
    fn opened(&self, operation: &Operation, title: &str, place: &OpenAt) -> Incident {
        let home = match place {
            OpenAt::CardIn(channel) => Home::Card {
                channel: channel.clone(),
                ts: None,
            },
            OpenAt::Channel(channel) => Home::Channel(channel.clone()),
            OpenAt::Nowhere | OpenAt::NewChannel { .. } => Home::Nowhere,
        };
        Incident::opened(
            IncidentId(operation.id.0),
            title.to_owned(),
            operation.actor.clone(),
            self.now(),
            home,
        )
    }

    /// For what has no acknowledgement to carry it: where the answer went, to the asker alone.
    pub(super) fn link(
        &self,
        operation: &Operation,
        routed: Option<&Routed>,
        open: &[Incident],
    ) -> Vec<Wish> {
        match routed.map(Routed::route) {
            Some(Route::Incident {
                link_asker: true,
                incident,
                ..
            }) => {
                let output = Output::new(Status::Done, format!("The answer is in {incident}."));
                self.only_to_asker(
                    operation,
                    State::Done,
                    "link",
                    &redact(self.with_link(output, *incident, open), &self.parts.rules),
                )
                .0
            }
            _ => Vec::new(),
        }
    }

    /// With a link to an incident's place, where that can be linked to.
    pub(super) fn with_link(
        &self,
        output: Output,
        incident: IncidentId,
        open: &[Incident],
    ) -> Output {
        let Some(found) = open.iter().find(|known| known.id == incident) else {
            return output;
        };
        let url = match &found.home {
            Home::Card { channel, ts } => self.url(channel, ts.as_ref()),
            Home::Channel(channel) => self.url(channel, None),
            Home::Nowhere => None,
        };
        let label = format!("{} · {}", found.id, found.title);
        linked(output, label, url)
    }

    /// A failure as an output, with a link to the message of the operation that stands in the way.
    pub(super) async fn output_of(&self, failure: &Failure, reference: &str) -> Output {
        let output = failure.output(reference);
        let Failure::Refused(Refusal {
            because_of: Some(id),
            ..
        }) = failure
        else {
            return output;
        };
        match self
            .parts
            .store
            .message_ts(&MessageKey::operation(*id))
            .await
        {
            Ok(Some((channel, ts))) => {
                linked(output, id.to_string(), self.url(&channel, Some(&ts)))
            }
            Ok(None) => output,
            Err(error) => {
                warn!("the message of {id} cannot be looked up: {error}");
                output
            }
        }
    }

    /// Where a channel or a message of it is to be seen.
    fn url(&self, channel: &ChannelId, ts: Option<&MessageTs>) -> Option<String> {
        let base = self.parts.settings.team_url.as_ref()?.trim_end_matches('/');
        let message = ts.map(|ts| format!("/p{}", ts.as_str().replace('.', "")));
        let message = message.unwrap_or_default();
        Some(format!("{base}/archives/{channel}{message}"))
    }
}

fn linked(output: Output, label: String, url: Option<String>) -> Output {
    match url {
        Some(url) => output.with(Part::Link { label, url }),
        None => output,
    }
}

/// The same without its buttons.
fn unpressed(output: &Redacted, rules: &Rules) -> Redacted {
    let mut plain = output.output().clone();
    plain.parts.retain(|part| !matches!(part, Part::Ask { .. }));
    redact(plain, rules).counting(output.removed())
}
