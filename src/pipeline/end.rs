//! How an end is judged and written: effects, redacted output, wishes, audit and timeline in one transaction with the end state.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use backon::{ExponentialBuilder, Retryable as _};
use sha2::{Digest as _, Sha256};
use tracing::{error, info, warn};

use super::{Case, Pipeline, outbox::Seen};
use crate::{
    domain::{
        actor::Actor,
        audit::Event,
        ids::OperationId,
        incident::Incident,
        journey::{Redacted, Routed},
        message::Lane,
        operation::{Operation, State},
        outcome::{Effect, Outcome},
        output::{HostState, Output, Part, Status},
        place::Whence,
    },
    store::{End, Stepped},
};

/// A change that took this long is watched by nobody any more: its end is also a reply, of which Slack notifies, as it does not of
/// an edit.
const NOTIFIES_AFTER: Duration = Duration::from_mins(1);
/// Between two tries to write an end, at first and at most; and how long it is tried.
const WRITE_AGAIN: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const WRITE_WITHIN: Duration = Duration::from_mins(10);

/// What the end of an operation is written from.
pub(super) struct Done<'a> {
    pub(super) case: &'a Case,
    pub(super) operation: &'a Operation,
    pub(super) routed: Option<&'a Routed>,
    pub(super) seen: &'a Seen,
    pub(super) open: &'a [Incident],
    pub(super) changes: bool,
    /// What shows the lines to type for the same; absent where there are none.
    pub(super) by_hand: Option<String>,
    /// Secrets that the handler removed by itself.
    pub(super) removed: u64,
    pub(super) took: Duration,
}

impl Pipeline {
    /// Writes an outcome: effects, redacted output, wishes, audit and timeline in one transaction.
    pub(super) async fn end(
        &self,
        done: Done<'_>,
        from: State,
        outcome: Outcome,
    ) -> anyhow::Result<()> {
        let Done { operation, .. } = done;
        let state = end_state(outcome.output.status);
        let mut operation = operation.clone();
        let mut seen = done.seen.clone();
        if let Some(routed) = done.routed.filter(|_| outcome.writes_records()) {
            let spec = routed.authorized().parsed().spec();
            if !spec.is_more_than_a_look() {
                error!(
                    "{} writes records and its file does not say `records = true`",
                    spec.name
                );
            }
        }
        let (effects, mut wishes) = self
            .effects(&mut operation, &mut seen, outcome.effects)
            .await;
        if let Some(output) = outcome.announcement {
            wishes.extend(self.announced(&operation, output, done.open).await);
        }
        let mut output = outcome.output.text_of(approved(&operation));
        if can_be_retried(state, &output) && operation.whence.place().is_some() {
            output.parts.push(Part::Retry {
                command: format!("retry {}", operation.id),
            });
        }
        if let (Some(command), Some(routed)) = (outcome.undo, done.routed) {
            let spec = routed.authorized().parsed().spec();
            output.parts.extend(self.undo(spec, command));
        }
        let redacted = self.redacted(output).await.and(done.removed);
        let (ask, offer) = match done.by_hand {
            Some(text) if state != State::Refused => self.button_by_hand(operation.id, text),
            _ => (Vec::new(), Vec::new()),
        };
        let pressable = self.with(&redacted, ask);
        let (shown, mut offers) = self.shown(&operation, state, &seen, Lane::Verdict, &pressable);
        if !shown.is_empty() {
            offers.extend(offer);
        }
        wishes.extend(shown);
        if done.changes && done.took >= NOTIFIES_AFTER {
            wishes.extend(self.notice(&operation, state, &seen, &redacted));
        }
        if !done.case.told_where && state != State::Refused {
            wishes.extend(self.link(&operation, done.routed, done.open));
        }
        let timeline =
            if state != State::Refused && is_worth_a_line(&operation, done.changes, &effects) {
                self.ended_line(&operation, &redacted)
            } else {
                Vec::new()
            };
        let events = vec![finished(state, &redacted)];
        info!(state = state.word(), "ended as {}", state.word());
        let end = End {
            effects,
            events,
            wishes,
            timeline,
            offers,
            ..End::new(state, redacted)
        };
        let written = self
            .finish(operation.id, from, done.case.fence, end)
            .await?;
        if written.won() {
            self.count_end(&operation, state);
            self.refresh_card(operation.incident).await;
            self.attended(&operation);
        }
        Ok(())
    }

    /// Writes the end of something that never ran, or that another process left behind, if it still stands in `only_from`. Whether
    /// this was its end.
    pub(super) async fn write_end(
        &self,
        case: &Case,
        only_from: Option<State>,
        state: State,
        output: Output,
    ) -> anyhow::Result<bool> {
        let now = self
            .parts
            .store
            .operation(case.operation.id)
            .await
            .context("cannot read the operation")?;
        let may_end = |now: State| only_from.map_or(!now.is_end(), |from| now == from);
        let Some(operation) = now.filter(|operation| may_end(operation.state)) else {
            return Ok(false);
        };
        let operation = self.of_its_incident(operation);
        let redacted = self.redacted(output).await;
        let from = operation.state;
        // What a machine asked for is nobody's alone: what became of it is seen where it was meant for.
        let by_machine = matches!(operation.actor, Actor::Habops | Actor::PagerDuty);
        let shared = operation.started_at.is_some() || operation.proposal.is_some() || by_machine;
        let (wishes, offers) = if shared {
            let seen = self.seen_again(&operation).await;
            self.shown(&operation, state, &seen, Lane::Verdict, &redacted)
        } else {
            self.only_to_asker(&operation, state, "refused", &redacted)
        };
        let event = match state {
            State::Refused => Event::Refused {
                why: redacted.output().title.clone(),
            },
            _ => finished(state, &redacted),
        };
        let timeline = if shared {
            self.ended_line(&operation, &redacted)
        } else {
            Vec::new()
        };
        let (mut wishes, mut offers) = (wishes, offers);
        if from == State::Awaiting {
            let (copies, buttons) = self.copies(&operation, state, &redacted).await;
            wishes.extend(copies);
            offers.extend(buttons);
        }
        let end = End {
            events: vec![event],
            wishes,
            offers,
            timeline,
            ..End::new(state, redacted)
        };
        let written = self.finish(operation.id, from, case.fence, end).await?;
        if written.won() {
            self.count_end(&operation, state);
        }
        self.refresh_card(operation.incident).await;
        self.attended(&operation);
        Ok(written.won())
    }

    /// Writes an end; while the store cannot be written it is tried again, so that what was done is not told as what it was not. What
    /// cannot be written for so long is left to recovery.
    async fn finish(
        &self,
        id: OperationId,
        from: State,
        fence: u64,
        end: End,
    ) -> anyhow::Result<Stepped> {
        let again = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(WRITE_AGAIN)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times()
            .with_total_delay(Some(WRITE_WITHIN));
        let end = Arc::new(end);
        let write = || self.parts.store.finish(id, from, fence, Arc::clone(&end));
        let written = write
            .retry(again)
            .when(|error| error.may_pass() && !self.parts.stop.is_cancelled())
            .notify(|error, pause| warn!("the end of {id} is written again in {pause:?}: {error}"));
        written.await.context("cannot write the end")
    }

    /// A machine's operation names its incident in its words; until it is routed its row does not.
    fn of_its_incident(&self, operation: Operation) -> Operation {
        let machine = operation.whence == Whence::Machine && operation.incident.is_none();
        let named = machine
            .then(|| self.parsed(&operation).ok()?.flags().incident)
            .flatten();
        Operation {
            incident: operation.incident.or(named),
            ..operation
        }
    }
}

/// Who said yes and when, where somebody had to.
pub(super) fn approved(operation: &Operation) -> Option<String> {
    let (by, at) = operation.proposal.as_ref()?.approved_by.as_ref()?;
    Some(format!("approved by {by}, {}", at.strftime("%H:%M:%S UTC")))
}

fn end_state(status: Status) -> State {
    match status {
        Status::Done | Status::Waiting | Status::Running => State::Done,
        Status::Partly => State::Partly,
        Status::Failed => State::Failed,
        Status::Refused => State::Refused,
        Status::Cancelled => State::Cancelled,
        Status::Interrupted => State::Interrupted,
    }
}

/// Whether some of it was done and some was not: then what was not can be asked for by itself.
fn can_be_retried(state: State, output: &Output) -> bool {
    let missed = |part: &Part| match part {
        Part::Hosts(hosts) => hosts.iter().any(|host| host.state != HostState::Done),
        _ => false,
    };
    match state {
        State::Partly => true,
        State::Failed | State::Cancelled => output.parts.iter().any(missed),
        _ => false,
    }
}

/// An incident's timeline tells of changes, of what people saw, and not of the timeline itself.
fn is_worth_a_line(operation: &Operation, changes: bool, effects: &[Effect]) -> bool {
    let own_line = effects.iter().any(|effect| {
        matches!(
            effect,
            Effect::OpenIncident { .. }
                | Effect::AssignPart { .. }
                | Effect::LinkIncident { .. }
                | Effect::AddNote { .. }
                | Effect::CloseIncident { .. }
        )
    });
    let about_itself = operation
        .command
        .as_ref()
        .is_some_and(|name| name.as_str().starts_with("incident "));
    changes || !(own_line || about_itself)
}

fn finished(state: State, output: &Redacted) -> Event {
    let json = serde_json::to_vec(output).expect("an output has only string keys");
    Event::Finished {
        state: state.word().to_owned(),
        title: output.output().title.clone(),
        output_sha256: hex::encode(Sha256::digest(json)),
    }
}
