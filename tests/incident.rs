//! Incidents end to end: where they live, who leads, what is kept of them, what PagerDuty tells, and how they are told afterwards.

#[path = "incident/cards.rs"]
mod cards;
#[path = "incident/doors.rs"]
mod doors;
#[path = "incident/paged.rs"]
pub mod paged;
#[path = "incident/places.rs"]
mod places;
#[path = "incident/routes.rs"]
mod routes;
#[path = "incident/story.rs"]
mod story;
#[path = "incident/timeline.rs"]
mod timeline;

use habops::{
    domain::{
        ids::IncidentId,
        incident::{Incident, TimelineEntry},
    },
    sandbox::slack::Message,
};

use super::world::{World, everywhere, of_metadata};

/// A look that waits for nobody.
const API: &str = "/habops status live-builder-api-0";

/// Opens an incident in a thread and waits for its card with its buttons: the incident's id, and the card.
pub async fn opened(world: &World, channel: &str, title: &str) -> (String, Message) {
    let ana = world.person("ana").at(channel);
    let said = ana
        .types(&format!("/habops incident open \"{title}\""))
        .await;
    let incident = said.operation.replace("op-", "inc-");
    world.shows(&format!("{incident}:card"), "open").await;
    world.comes_to_rest().await;
    (incident.clone(), card(world, &incident))
}

/// The card as it is to be seen now.
fn card(world: &World, incident: &str) -> Message {
    let key = format!("{incident}:card");
    let found = everywhere(world.slack()).find(|message| of_metadata(message, "key") == key);
    found.unwrap_or_else(|| panic!("no card of {incident}"))
}

async fn incident(world: &World, id: &str) -> Incident {
    let id: IncidentId = id.parse().unwrap();
    world.store.incident(id).await.unwrap().unwrap()
}

async fn timeline(world: &World, id: &str) -> Vec<TimelineEntry> {
    let id: IncidentId = id.parse().unwrap();
    world.store.timeline(id).await.unwrap()
}

/// The lines of a timeline, as text.
async fn lines(world: &World, id: &str) -> Vec<String> {
    let entries = timeline(world, id).await;
    entries.into_iter().map(|entry| entry.text).collect()
}

/// Every incident, oldest first.
async fn incidents(world: &World) -> Vec<Incident> {
    let mut all = world.store.incidents(true, 1_000).await.unwrap();
    all.reverse();
    all
}
