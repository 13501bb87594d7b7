//! Socket Mode: every envelope is handed over and acknowledged.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::reception::Reception;
use crate::{
    clients::slack::{Ack, Client, Identity, LinkDisabled, Session},
    domain::records::Inbox,
};

/// How long private answers may still take when the session is stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Hears Slack until stopped. Ends by itself only where Slack has switched Socket Mode off.
pub async fn run(
    session: Session,
    client: Client,
    identity: Identity,
    inbox: Arc<dyn Inbox>,
    stop: CancellationToken,
) -> Result<(), LinkDisabled> {
    let reception = Reception::new(client, identity, inbox);
    let at_the_door = reception.clone();
    let ended = session
        .run(
            move |envelope| {
                let reception = at_the_door.clone();
                async move {
                    match reception.take(&envelope.kind, &envelope.payload).await {
                        Ack::Ack { payload } => Ack::Ack {
                            payload: payload.filter(|_| envelope.accepts_payload),
                        },
                        Ack::Withhold => Ack::Withhold,
                    }
                }
            },
            stop,
        )
        .await;
    reception.settled(LAST_ANSWERS).await;
    ended
}
