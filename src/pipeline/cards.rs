//! An incident's root card: one message, edited in place.

use tracing::warn;

use super::Pipeline;
use crate::domain::{
    ids::{ChannelId, IncidentId},
    incident::{Home, Incident, IncidentState},
    journey::Redacted,
    message::{About, Carrier, Destination, Lane, MessageKey, Under, Wish},
    operation::{Offer, Operation, State},
    output::{Output, Part, Status},
    paging::PagerDutyStatus,
    recap::{is_about_the_record, pagerduty, stamp, typed, verdict},
    records::Records as _,
    roster::{Seen as OnCall, names},
};

/// Operations shown on the card.
const LAST: usize = 5;
/// Operations looked through for them: what is about the record itself is left out.
const LOOK_THROUGH: usize = 50;
/// Confirmations named on the card.
const MOST_WAITING: usize = 5;

impl Pipeline {
    /// Wishes the card anew after something changed in the incident. What cannot be read now is shown at the next change.
    pub(super) async fn refresh_card(&self, incident: Option<IncidentId>) {
        let Some(id) = incident else { return };
        let refreshed = async {
            // One at a time, so that what was read first is not wished last.
            let _turn = self.parts.cards.lock().await;
            let Some(incident) = self.parts.store.incident(id).await? else {
                return anyhow::Ok(());
            };
            let Some(channel) = card_channel(&incident) else {
                return Ok(());
            };
            let operations = self.parts.store.operations(Some(id), LOOK_THROUGH).await?;
            let awaiting = self.parts.store.awaiting().await?;
            let (wish, offers) = self.card(&incident, &channel, &operations, &awaiting).await;
            self.parts.store.put_with(vec![wish], offers).await?;
            Ok(())
        };
        if let Err(error) = refreshed.await {
            warn!("the card of {id} cannot be brought up to date: {error:#}");
        }
    }

    /// The card as it is to be seen now, and the offers behind its buttons.
    pub(super) async fn card(
        &self,
        incident: &Incident,
        channel: &ChannelId,
        operations: &[Operation],
        awaiting: &[Operation],
    ) -> (Wish, Vec<Offer>) {
        let open = incident.state == IncidentState::Open;
        let state = if open { "open" } else { "closed" };
        let on_call = self.parts.store.on_call().await.unwrap_or_default();
        let mut output = Output::new(
            if open { Status::Waiting } else { Status::Done },
            format!("{} · {} · {state}", incident.id, incident.title),
        )
        .with(Part::Facts(facts(incident, awaiting, &on_call)));
        if let Some((page, url)) = incident
            .page()
            .and_then(|page| Some((page, page.url.clone()?)))
        {
            let label = page.title.clone().unwrap_or_else(|| page.id.clone());
            output = output.with(Part::Link {
                label: format!("PagerDuty: {label}"),
                url,
            });
        }
        let told = operations
            .iter()
            .filter(|operation| !is_about_the_record(operation))
            .filter(|operation| operation.state != State::Refused);
        let lines = latest(told);
        if !lines.is_empty() {
            output = output.text(format!("Latest:\n{}", lines.join("\n")));
        }
        if open && matches!(incident.home, Home::Card { .. }) {
            output = output.text("Everything about it is in this thread; here `@habops status` works, slash commands do not.");
        }
        for (label, command) in self.buttons(incident) {
            output = output.with(Part::Next { label, command });
        }
        let redacted = self.redacted(output).await;
        let (output, offers) = self.pressable(&redacted, None);
        (wish(incident, channel, state, output), offers)
    }

    /// What can be pressed on the card: each names its incident, because the card's channel may hold several.
    fn buttons(&self, incident: &Incident) -> Vec<(String, String)> {
        let id = incident.id;
        if incident.state == IncidentState::Closed {
            return vec![("Export".to_owned(), format!("incident export {id}"))];
        }
        let mut buttons = Vec::new();
        if let Some(page) = incident.page().filter(|page| !page.is_resolved()) {
            let page_is = format!(" --pd {}", page.id);
            if page.status != Some(PagerDutyStatus::Acknowledged) {
                buttons.push(("Acknowledge", "incident ack", page_is.clone()));
            }
            buttons.push(("Resolve", "incident resolve", page_is));
        }
        buttons.push(("Recap", "incident recap", String::new()));
        buttons.push(("Close", "incident close", String::new()));
        buttons
            .into_iter()
            .filter(|(_, word, _)| self.parts.commands.get(word).is_some())
            .map(|(label, word, page)| (label.to_owned(), format!("{word}{page} --incident {id}")))
            .collect()
    }
}

fn wish(incident: &Incident, channel: &ChannelId, state: &str, output: Redacted) -> Wish {
    Wish {
        key: MessageKey::card(incident.id),
        to: Destination {
            channel: channel.clone(),
            thread: Under::Channel,
        },
        carrier: Carrier::Message,
        lane: Lane::Confirm,
        output,
        about: About {
            operation: None,
            incident: Some(incident.id),
            state: state.to_owned(),
            actor: incident.opened_by.clone(),
            typed: format!("incident open \"{}\"", incident.title),
            at: incident.opened_at,
            back_filled: false,
        },
    }
}

fn facts(incident: &Incident, awaiting: &[Operation], on_call: &[OnCall]) -> Vec<(String, String)> {
    let mut facts = vec![
        ("since".to_owned(), stamp(incident.opened_at)),
        ("opened by".to_owned(), incident.opened_by.to_string()),
    ];
    let people = [("lead", &incident.lead), ("scribe", &incident.scribe)];
    for (part, user) in people {
        facts.extend(
            user.as_ref()
                .map(|user| (part.to_owned(), format!("<@{user}>"))),
        );
    }
    match incident.closed_at {
        Some(closed) => facts.push(("closed".to_owned(), stamp(closed))),
        None => facts.extend(who_is_on_call(on_call).map(|who| ("on call".to_owned(), who))),
    }
    facts.extend(pagerduty(incident).map(|told| ("PagerDuty".to_owned(), told)));
    let waiting: Vec<String> = awaiting
        .iter()
        .filter(|operation| operation.incident == Some(incident.id))
        .map(|operation| format!("{} {}", operation.id, operation.text))
        .collect();
    if !waiting.is_empty() {
        let more = waiting.len().saturating_sub(MOST_WAITING);
        let named = waiting[..waiting.len() - more].join("; ");
        let said = match more {
            0 => named,
            more => format!("{named} and {more} more"),
        };
        facts.push(("waits for a yes".to_owned(), said));
    }
    facts
}

/// `Ana Lima for Builder on call; Bo Haugen for Builder second line`, as it was last looked at.
fn who_is_on_call(on_call: &[OnCall]) -> Option<String> {
    let each = on_call
        .iter()
        .map(|seen| format!("{} for {}", names(&seen.on_call), seen.schedule.name));
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| each.join("; "))
}

fn card_channel(incident: &Incident) -> Option<ChannelId> {
    match &incident.home {
        Home::Card { channel, .. } | Home::Channel(channel) => Some(channel.clone()),
        Home::Nowhere => None,
    }
}

/// The newest operations, newest first; those of which the same is to be said are one line, with how many they are.
fn latest<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Vec<String> {
    let mut lines: Vec<(&Operation, String, usize)> = Vec::new();
    for operation in operations {
        let said = said(operation);
        if let Some((_, _, times)) = lines.iter_mut().find(|(_, known, _)| *known == said) {
            *times += 1;
        } else if lines.len() < LAST {
            lines.push((operation, said, 1));
        }
    }
    lines
        .into_iter()
        .map(|(newest, said, times)| {
            let at = newest.received_at.strftime("%H:%M");
            let times = if times > 1 {
                format!(" ({times} times)")
            } else {
                String::new()
            };
            format!("{at} {said}{times}")
        })
        .collect()
}

fn said(operation: &Operation) -> String {
    format!("{}: {}", typed(operation), verdict(operation))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{LAST, Operation, Output, Status, latest};
    use crate::domain::{actor::Actor, ids::OperationId, inbound::Via, place::Whence};

    fn ended(minute: i64, text: &str, title: &str) -> Operation {
        let at = Timestamp::from_second(minute * 60).unwrap();
        let id = OperationId(u64::try_from(minute).unwrap());
        let mut operation = Operation::received(
            id,
            text.to_owned(),
            None,
            Actor::Habops,
            Whence::Terminal,
            Via::Terminal,
            at,
        );
        operation.output = Some(Output::new(Status::Done, title));
        operation
    }

    #[test]
    fn a_card_says_the_same_once_with_how_often_and_the_newest_time() {
        let operations = [
            ended(9, "status live", "All 12 nodes are up"),
            ended(8, "status live", "11 of 12 nodes are up"),
            ended(7, "status live", "All 12 nodes are up"),
            ended(6, "status live", "All 12 nodes are up"),
        ];
        let lines = latest(&operations);
        assert_eq!(
            lines,
            [
                "00:09 status live: All 12 nodes are up (3 times)",
                "00:08 status live: 11 of 12 nodes are up",
            ]
        );
    }

    #[test]
    fn a_card_shows_no_more_than_the_newest() {
        let operations: Vec<Operation> = (0..9)
            .map(|number| ended(9 - number, &format!("why {number}"), "so"))
            .collect();
        let lines = latest(&operations);
        assert_eq!(lines.len(), LAST);
        assert_eq!(lines[0], "00:09 why 0: so");
    }
}
