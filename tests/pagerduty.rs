//! PagerDuty: what it refuses is a sentence, what changes on call is told exactly once, and a handoff is taken only by whom it names.

#[path = "pagerduty/client.rs"]
mod client;
#[path = "pagerduty/rotation.rs"]
mod rotation;
#[path = "pagerduty/scenes.rs"]
mod scenes;
