//! What a running operation shows, and how it is ended from its message.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Pipeline, end::approved, outbox::Seen};
use crate::{
    domain::{
        ids::OperationId,
        journey::redact,
        message::Lane,
        operation::{Offer, Operation, State},
        output::{Action, Choice, Output, Part, Status},
    },
    handlers::Secrets,
};

/// A command that has not ended by then shows that it runs; an earlier end is posted once.
const SHOWS_AFTER: Duration = Duration::from_secs(1);
/// How often progress is written as a wish, at most. The poster edits no oftener than every three seconds anyway.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What the progress of a running operation is told from.
pub(super) struct Told {
    pub(super) operation: Operation,
    pub(super) seen: Seen,
    pub(super) reported: watch::Receiver<Option<Output>>,
    pub(super) stop: CancellationToken,
    pub(super) has_shown: Arc<AtomicBool>,
    pub(super) changes: bool,
    pub(super) secrets: Arc<Secrets>,
}

impl Pipeline {
    /// Shows that it runs once it takes longer than a moment, with a button to end it, and watches for a cancel from another process.
    pub(super) fn tell_progress(&self, mut told: Told) -> tokio::task::JoinHandle<()> {
        let pipeline = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SHOWS_AFTER).await;
            let button = pipeline.button_to_end(told.operation.id, told.changes);
            let mut offers = vec![button.1];
            let mut shown = None;
            loop {
                let latest = told.reported.borrow_and_update().clone();
                let output = latest
                    .unwrap_or_else(|| {
                        let title = format!("Running: {}", told.operation.text);
                        Output::new(Status::Running, title)
                    })
                    .text_of(approved(&told.operation));
                if shown.as_ref() != Some(&output) && matches!(told.seen, Seen::ByAll(_)) {
                    told.has_shown.store(true, Ordering::Relaxed);
                    let redacted =
                        redact(output.clone().with(button.0.clone()), &pipeline.parts.rules)
                            .and(told.secrets.removed());
                    let (wishes, more) = pipeline.shown(
                        &told.operation,
                        State::Running,
                        &told.seen,
                        Lane::Progress,
                        &redacted,
                    );
                    offers.extend(more);
                    let put = pipeline.parts.store.put_with(wishes, offers.clone()).await;
                    match put {
                        Ok(()) => offers.clear(),
                        Err(error) => {
                            let id = told.operation.id;
                            warn!("progress of {id} cannot be shown: {error}");
                        }
                    }
                    shown = Some(output);
                }
                let requested = pipeline.parts.store.cancel_requested(told.operation.id);
                if requested.await.unwrap_or(false) {
                    told.stop.cancel();
                }
                tokio::time::sleep(PROGRESS_EVERY).await;
            }
        })
    }

    /// Stop for a look, Cancel for a change: judged when it is pressed, and good until the operation has ended.
    fn button_to_end(&self, id: OperationId, changes: bool) -> (Part, Offer) {
        let (label, action) = if changes {
            ("Cancel", Action::Cancel)
        } else {
            ("Stop", Action::Stop)
        };
        let offer = self.offer(action, Some(id), None);
        let ask = Part::Ask {
            question: String::new(),
            choices: vec![Choice::of(&offer, label, format!("cancel {id}"))],
        };
        (ask, offer)
    }
}

/// Known to this process as running, while it lives.
pub(super) struct Running<'a> {
    pipeline: &'a Pipeline,
    id: OperationId,
}

impl<'a> Running<'a> {
    /// From now on, until it is dropped; `stop` ends it.
    pub(super) fn enter(pipeline: &'a Pipeline, id: OperationId, stop: CancellationToken) -> Self {
        pipeline
            .parts
            .running
            .lock()
            .expect("no journey panics while it holds this")
            .insert(id, stop);
        Self { pipeline, id }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Ok(mut running) = self.pipeline.parts.running.lock() {
            running.remove(&self.id);
        }
    }
}
