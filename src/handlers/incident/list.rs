//! `/habops incident list`: what is open, since when, who leads, where it lives.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        incident::{Home, Incident, IncidentState},
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        recap::stamp,
    },
    handlers::{Handler, Look, Result, Work},
};

/// The word in the registry.
pub struct List;

/// Whether closed ones are listed too.
#[derive(Deserialize, Serialize)]
pub struct ListArgs {
    #[serde(default)]
    all: bool,
}

impl Handler for List {
    type Args = ListArgs;
    type Plan = ListArgs;

    async fn plan(args: ListArgs, _look: &Look) -> Result<Proposal<ListArgs>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<ListArgs>, work: &Work) -> Result<Outcome> {
        let incidents = work.look.records.incidents(plan.plan().all, 50).await?;
        let open = incidents
            .iter()
            .filter(|incident| incident.state == IncidentState::Open)
            .count();
        let title = match open {
            0 => "No incident is open".to_owned(),
            1 => "1 incident is open".to_owned(),
            several => format!("{several} incidents are open"),
        };
        let mut output = Output::new(Status::Done, title);
        if incidents.is_empty() {
            return Ok(output
                .text("`incident open \"what is wrong\"` opens one.")
                .into());
        }
        let rows = incidents.iter().map(row).collect();
        let columns = [
            "incident",
            "title",
            "state",
            "since",
            "opened by",
            "lead",
            "place",
        ]
        .map(str::to_owned)
        .to_vec();
        output = output.with(Part::Table { columns, rows });
        Ok(output.into())
    }
}

fn row(incident: &Incident) -> Vec<String> {
    let state = match incident.state {
        IncidentState::Open => "open",
        IncidentState::Closed => "closed",
    };
    let lead = incident
        .lead
        .as_ref()
        .map_or_else(|| "–".to_owned(), |lead| format!("<@{lead}>"));
    let place = match &incident.home {
        Home::Card { channel, .. } => format!("thread in {channel}"),
        Home::Channel(channel) => channel.to_string(),
        Home::Nowhere => "terminal".to_owned(),
    };
    vec![
        incident.id.to_string(),
        incident.title.clone(),
        state.to_owned(),
        stamp(incident.opened_at),
        incident.opened_by.to_string(),
        lead,
        place,
    ]
}
