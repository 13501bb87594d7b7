//! `Authorized` → `Routed`: which incident, channel and thread hears the answer. The rule is pure; this reads the open incidents.

use std::sync::Arc;

use anyhow::Context as _;

use super::{Case, Pipeline};
use crate::{
    domain::{
        command::CommandSpec,
        failure::{Failure, Refusal},
        ids::IncidentId,
        incident::{Home, Incident},
        journey::{Authorized, Flags, Routed, redact},
        operation::{Operation, State},
        output::{Action, Choice, Output, Part, Status},
        place::Place,
        routing::{Route, route},
        text::sentence,
    },
    store::Change,
};

/// How long the question which incident was meant stays open.
pub(super) const CHOICE_STAYS_OPEN: std::time::Duration = std::time::Duration::from_mins(10);

impl Pipeline {
    /// Decides, or asks the asker which incident was meant; then nothing is returned.
    pub(super) async fn route(
        &self,
        case: &Case,
        authorized: Authorized,
    ) -> Result<Option<Routed>, Failure> {
        let open = self.open(case).await?;
        let operation = &case.operation;
        match self.heard(
            operation,
            authorized.parsed().flags(),
            authorized.parsed().spec(),
            &open,
        )? {
            Route::Ask(incidents) => {
                self.ask_which(case, &incidents, &open).await?;
                Ok(None)
            }
            found => {
                let answer = answer(&found, &open);
                Ok(Some(Routed::new(authorized, found, answer)))
            }
        }
    }

    /// The incidents among which it finds its place.
    pub(super) async fn open(&self, case: &Case) -> Result<Arc<[Incident]>, Failure> {
        if let Some(open) = &case.open {
            return Ok(Arc::clone(open));
        }
        let open = self.parts.store.open_incidents().await;
        Ok(open.context("cannot read the open incidents")?.into())
    }

    /// The route of an operation, with the incident that a button chose.
    pub(super) fn heard(
        &self,
        operation: &Operation,
        flags: &Flags,
        spec: &CommandSpec,
        open: &[Incident],
    ) -> Result<Route, Refusal> {
        let chosen = Flags {
            incident: operation.chosen.or(flags.incident),
            // A new incident is none of the open ones': its place exists only after it ran.
            here: flags.here || spec.name.as_str() == "incident open",
            ..flags.clone()
        };
        route(&operation.whence, &chosen, spec.personal, open).map_err(|astray| {
            Refusal::usage(sentence(&astray.to_string())).or_else("Open incidents", "incident list")
        })
    }

    async fn ask_which(
        &self,
        case: &Case,
        incidents: &[IncidentId],
        open: &[Incident],
    ) -> Result<(), Failure> {
        let operation = &case.operation;
        let expires = self
            .now()
            .checked_add(CHOICE_STAYS_OPEN)
            .map_err(anyhow::Error::from)?;
        let mut offers = Vec::new();
        let mut choices = Vec::new();
        for id in incidents.iter().take(20) {
            let title = open
                .iter()
                .find(|incident| incident.id == *id)
                .map(|incident| incident.title.as_str())
                .unwrap_or_default();
            let mut offer = self.offer(Action::Choose, Some(operation.id), Some(expires));
            offer.incident = Some(*id);
            let typed = format!("{} --incident {id}", operation.text);
            choices.push(Choice::of(&offer, format!("{id} {title}"), typed));
            offers.push(offer);
        }
        let question = Output::new(
            Status::Waiting,
            format!("Which incident is `{}` for?", operation.text),
        )
        .with(Part::Ask {
            question: String::new(),
            choices,
        });
        let question = redact(question, &self.parts.rules);
        let (wishes, _) = self.only_to_asker(operation, State::Choosing, "which", &question);
        let change = Change {
            fence: Some(case.fence),
            offers,
            wishes,
            waits_until: Some(expires),
            ..Change::default()
        };
        self.parts
            .store
            .step(operation.id, State::Received, State::Choosing, change)
            .await
            .map_err(anyhow::Error::from)?;
        Ok(())
    }
}

/// The place itself, where it is known already: a card that is not posted yet has no thread.
pub(super) fn answer(route: &Route, open: &[Incident]) -> Option<Place> {
    match route {
        Route::Typed(place)
        | Route::Incident {
            at: Some(place), ..
        } => Some(place.clone()),
        Route::Incident {
            incident, at: None, ..
        } => {
            let home = &open.iter().find(|known| known.id == *incident)?.home;
            match home {
                Home::Card {
                    channel,
                    ts: Some(ts),
                } => Some(Place::thread(channel.clone(), ts.clone())),
                Home::Channel(channel) => Some(Place::channel(channel.clone())),
                Home::Card { ts: None, .. } | Home::Nowhere => None,
            }
        }
        Route::Terminal | Route::Ask(_) => None,
    }
}
