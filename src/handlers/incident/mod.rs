//! `/habops incident …`: one file a word. The records themselves change as effects.

mod close;
mod export;
mod link;
mod list;
mod note;
mod open;
mod recap;
mod role;
mod timeline;

pub use self::{
    close::Close, export::Export, link::Link, list::List, note::Note, open::Open, recap::Recap,
    role::Role, timeline::Timeline,
};

use super::{Look, Result};
use crate::domain::{
    failure::Refusal,
    ids::IncidentId,
    incident::{Incident, IncidentState},
    routing::holder,
};

/// The open incident that is meant: the one the answer goes to, the one whose place it was typed in, or the only one.
async fn which(look: &Look) -> Result<Incident> {
    if let Some(id) = look.asked.incident {
        let found = look.records.incident(id).await?;
        return found
            .filter(|found| found.state == IncidentState::Open)
            .ok_or_else(|| {
                Refusal::usage(format!(
                    "{id} is not open. `incident list` shows which are."
                ))
                .into()
            });
    }
    let mut open = look.records.incidents(false, 100).await?;
    if let Some(here) = look
        .asked
        .whence
        .place()
        .and_then(|place| holder(&open, place))
    {
        return Ok(here.clone());
    }
    match open.len() {
        1 => Ok(open.remove(0)),
        0 => Err(Refusal::usage(
            "No incident is open. `incident open \"what is wrong\"` opens one.",
        )
        .or_else("How", "help incident open")
        .into()),
        several => Err(Refusal::usage(format!(
            "{several} incidents are open; say which with `--incident <id>`."
        ))
        .into()),
    }
}

/// The same for what only reads: the one named may be closed.
async fn read(look: &Look, named: Option<IncidentId>) -> Result<Incident> {
    let Some(id) = named else {
        return which(look).await;
    };
    let found = look.records.incident(id).await?;
    found.ok_or_else(|| {
        Refusal::usage(format!(
            "There is no incident {id}. `incident list --all` shows them."
        ))
        .into()
    })
}
