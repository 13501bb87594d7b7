//! An incident's root card: one message, edited in place.

use tracing::warn;

use super::Pipeline;
use crate::domain::{
    ids::{ChannelId, IncidentId},
    incident::{Home, Incident, IncidentState},
    message::{About, Carrier, Destination, Lane, MessageKey, Under, Wish},
    operation::Operation,
    output::{Output, Part, Status},
    records::Records as _,
};

/// Operations shown on the card.
const LAST: usize = 5;

impl Pipeline {
    /// Wishes the card anew after something changed in the incident. What cannot be read now is shown at the next change.
    pub(super) async fn refresh_card(&self, incident: Option<IncidentId>) {
        let Some(id) = incident else { return };
        let refreshed = async {
            let Some(incident) = self.parts.store.incident(id).await? else {
                return anyhow::Ok(());
            };
            let Some(channel) = card_channel(&incident) else {
                return Ok(());
            };
            let operations = self.parts.store.operations(Some(id), LAST).await?;
            let wish = self.card(&incident, &channel, &operations).await;
            self.parts.store.put(vec![wish]).await?;
            Ok(())
        };
        if let Err(error) = refreshed.await {
            warn!("the card of {id} cannot be brought up to date: {error:#}");
        }
    }

    /// The card as it is to be seen now.
    pub(super) async fn card(
        &self,
        incident: &Incident,
        channel: &ChannelId,
        operations: &[Operation],
    ) -> Wish {
        let open = incident.state == IncidentState::Open;
        let state = if open { "open" } else { "closed" };
        let mut facts = vec![
            (
                "since".to_owned(),
                incident
                    .opened_at
                    .strftime("%Y-%m-%d %H:%M UTC")
                    .to_string(),
            ),
            ("opened by".to_owned(), incident.opened_by.to_string()),
        ];
        if let Some(closed) = incident.closed_at {
            facts.push((
                "closed".to_owned(),
                closed.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            ));
        }
        let waiting: Vec<String> = operations
            .iter()
            .filter(|operation| operation.state == crate::domain::operation::State::Awaiting)
            .map(|operation| format!("{} {}", operation.id, operation.text))
            .collect();
        if !waiting.is_empty() {
            facts.push(("waits for a yes".to_owned(), waiting.join("; ")));
        }
        let mut output = Output::new(
            if open { Status::Waiting } else { Status::Done },
            format!("{} · {} · {state}", incident.id, incident.title),
        )
        .with(Part::Facts(facts));
        let lines: Vec<String> = operations.iter().map(line).collect();
        if !lines.is_empty() {
            output = output.text(format!("Latest:\n{}", lines.join("\n")));
        }
        if open && matches!(incident.home, Home::Card { .. }) {
            output = output.text("Everything about it is in this thread; here `@habops status` works, slash commands do not.");
        }
        Wish {
            key: MessageKey::card(incident.id),
            to: Destination {
                channel: channel.clone(),
                thread: Under::Channel,
            },
            carrier: Carrier::Message,
            lane: Lane::Confirm,
            output: self.redacted(output).await,
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
}

fn card_channel(incident: &Incident) -> Option<ChannelId> {
    match &incident.home {
        Home::Card { channel, .. } | Home::Channel(channel) => Some(channel.clone()),
        Home::Nowhere => None,
    }
}

fn line(operation: &Operation) -> String {
    let said = operation.output.as_ref().map_or_else(
        || operation.state.word().to_owned(),
        |output| output.title.clone(),
    );
    format!(
        "{} {}: {said}",
        operation.received_at.strftime("%H:%M"),
        operation.text
    )
}
