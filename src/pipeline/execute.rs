//! `Cleared` → `Outcome`: the deed, recorded before and after; effects and the redacted output are written with the end state.

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use backon::{ExponentialBuilder, Retryable as _};
use futures_util::FutureExt as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Case, Pipeline, outbox::Seen};
use crate::{
    domain::{
        actor::Actor,
        audit::Event,
        failure::{Failure, Refusal},
        ids::OperationId,
        incident::{EntryKind, Incident},
        journey::{Cleared, Effect, OpenAt, Outcome, Parsed, Redacted, Routed, redact},
        message::Lane,
        operation::{Offer, Operation, State},
        output::{Action, Choice, HostState, Output, Part, Status, Weight},
        place::Whence,
        routing::Route,
    },
    handlers::{Fence, Secrets, Work},
    store::{Change, End, Stepped},
};

/// A command that has not ended by then shows that it runs; an earlier end is posted once.
const SHOWS_AFTER: Duration = Duration::from_secs(1);
/// How often progress is written as a wish, at most. The poster edits no oftener than every three seconds anyway.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// A change that took this long is watched by nobody any more: its end is also a reply, of which Slack notifies, as it does not of
/// an edit.
const NOTIFIES_AFTER: Duration = Duration::from_mins(1);
/// A look that ends by itself when it is stopped has this long to say what it found.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Longest a look may run. A change is bounded by its own steps.
const LONGEST_LOOK: Duration = Duration::from_mins(15);
/// Between two tries to write an end, at first and at most; and how long it is tried.
const WRITE_AGAIN: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const WRITE_WITHIN: Duration = Duration::from_mins(10);

impl Pipeline {
    /// Runs it, and writes what came of it.
    pub(super) async fn execute(
        &self,
        case: &Case,
        from: State,
        cleared: Cleared<Value>,
    ) -> Result<(), Failure> {
        let authorized = cleared.authorized();
        let parsed = authorized.parsed();
        let (spec, changes) = (parsed.spec().clone(), parsed.changes());
        let deed = self.deed(parsed)?;
        let open = self.open(case).await?;
        let mut operation = case.operation.clone();
        operation.incident = match cleared.routed().route() {
            Route::Incident { incident, .. } => Some(*incident),
            _ => operation.incident,
        };
        let mut seen = self.seen(&operation, cleared.routed(), &open);
        if !self.begin(case, from, &cleared, &operation).await? {
            return Ok(()); // another process, or a cancel, was quicker; its end is the one that is seen
        }
        let stop = self.parts.stop.child_token();
        let _running = Running::enter(self, operation.id, stop.clone());
        let (progress, reported) = watch::channel(None);
        let shown = Arc::new(AtomicBool::new(operation.proposal.is_some()));
        let asked = self.asked(case, cleared.routed()).await;
        let look = self.look(asked);
        let secrets = Arc::clone(&look.secrets);
        let teller = self.tell_progress(Told {
            operation: operation.clone(),
            seen: seen.clone(),
            reported,
            stop: stop.clone(),
            has_shown: Arc::clone(&shown),
            changes,
            secrets: Arc::clone(&secrets),
        });
        let work = Work::new(
            look,
            progress,
            stop.clone(),
            self.fence(operation.id, case.fence),
            self.door(operation.id, case.fence),
        );
        let began = Instant::now();
        let has_lines = !deed.by_hand(cleared.plan(), &work.look).is_empty();
        let mut ran = pin!(AssertUnwindSafe(deed.run(&cleared, &work)).catch_unwind());
        let outcome = if changes {
            ran.await
        } else {
            tokio::select! {
                outcome = timeout(LONGEST_LOOK, &mut ran) => outcome.unwrap_or_else(|_| Ok(Err(anyhow!("it took longer than {} minutes", LONGEST_LOOK.as_secs() / 60).into()))),
                () = stop.cancelled() => {
                    let last_words = async {
                        if deed.ends_itself() { timeout(LAST_WORDS, &mut ran).await.ok() } else { None }
                    };
                    match last_words.await {
                        Some(Ok(Ok(outcome))) => Ok(Ok(self.cut_short(outcome, parsed.text()))),
                        Some(fault) => fault,
                        None => Ok(Ok(self.stopped(parsed.text()).into())),
                    }
                }
            }
        };
        teller.abort();
        let _ = teller.await;
        let outcome = match outcome {
            Ok(Ok(outcome)) => self.judged(&cleared, outcome).await,
            Ok(Err(failure)) => Err(failure),
            Err(_panic) => {
                Err(anyhow!("{} ended in the middle by a fault of habops", spec.name).into())
            }
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(failure) => self.fell_short(&operation, &failure).await,
        };
        // A refusal is the asker's alone, unless everybody waits for the end of what they saw begin.
        if outcome.output.status == Status::Refused && !shown.load(Ordering::Relaxed) {
            seen = seen.by_the_asker(&operation);
        }
        let done = Done {
            case,
            operation: &operation,
            routed: Some(cleared.routed()),
            seen: &seen,
            open: &open,
            changes,
            by_hand: (has_lines && !parsed.flags().by_hand).then(|| by_hand(parsed)),
            removed: secrets.removed(),
            took: began.elapsed(),
        };
        self.end(done, State::Running, outcome)
            .await
            .map_err(Failure::Broken)
    }

    /// Why a look ended early: a person said so, or the program ends and it can be run again.
    fn stopped(&self, text: &str) -> Output {
        if self.parts.stop.is_cancelled() {
            Output::new(Status::Interrupted, format!("Interrupted: {text}"))
                .text(
                    "habops was stopped in the middle. It changes nothing, so it can be run again.",
                )
                .with(Part::Next {
                    label: "Run again".to_owned(),
                    command: text.to_owned(),
                })
        } else {
            Output::new(Status::Cancelled, format!("Cancelled: {text}"))
        }
    }

    /// What a look that ended by itself had to say: as it says it, unless it is the program that ends.
    fn cut_short(&self, mut outcome: Outcome, text: &str) -> Outcome {
        if self.parts.stop.is_cancelled() {
            let Output { status, parts, .. } = self.stopped(text);
            outcome.output.status = status;
            outcome.output.parts.extend(parts);
        }
        outcome
    }

    /// Writes `started` before the first byte goes out (law 5). Whether this process may go on.
    async fn begin(
        &self,
        case: &Case,
        from: State,
        cleared: &Cleared<Value>,
        operation: &Operation,
    ) -> Result<bool, Failure> {
        let authorized = cleared.authorized();
        let parsed = authorized.parsed();
        let changes = parsed.changes();
        let event = Event::Started {
            command: parsed.spec().name.to_string(),
            nodes: authorized
                .nodes()
                .iter()
                .map(|node| node.name.to_string())
                .collect(),
            changes,
            reason: parsed.flags().reason.clone(),
        };
        let timeline = if changes {
            self.entry(
                operation,
                EntryKind::Started,
                format!("{} begins: {}", operation.id, operation.text),
            )
        } else {
            Vec::new()
        };
        let change = Change {
            fence: Some(case.fence),
            environments: Some(authorized.environments().clone()),
            nodes: Some(authorized.nodes().to_vec()),
            incident: operation.incident,
            answer: cleared.routed().answer().cloned(),
            changes: Some(changes),
            events: vec![event],
            timeline,
            ..Change::default()
        };
        let begun = self
            .parts
            .store
            .step(case.operation.id, from, State::Running, change)
            .await;
        Ok(begun
            .context("the start cannot be recorded, so nothing was run")?
            .won())
    }

    fn fence(&self, id: OperationId, fence: u64) -> Fence {
        let store = self.parts.store.clone();
        Arc::new(move || {
            let store = store.clone();
            Box::pin(async move { store.holds(id, fence).await.unwrap_or(false) })
        })
    }

    /// Shows that it runs once it takes longer than a moment, with a button to end it, and watches for a cancel from another process.
    fn tell_progress(&self, mut told: Told) -> tokio::task::JoinHandle<()> {
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
        let choice = Choice {
            label: label.to_owned(),
            action,
            offer: offer.id.to_string(),
            typed: format!("cancel {id}"),
            weight: Weight::Plain,
        };
        let ask = Part::Ask {
            question: String::new(),
            choices: vec![choice],
        };
        (ask, offer)
    }

    /// A run that was refused or broke: told once in the log, counted, and said.
    async fn fell_short(&self, operation: &Operation, failure: &Failure) -> Outcome {
        match failure {
            Failure::Broken(broken) => error!("{} broke: {broken:#}", operation.id),
            Failure::Refused(refusal) => {
                self.parts.counts.refusals.count(&[refusal.kind.word()]);
            }
        }
        let reference = operation.id.to_string();
        self.output_of(failure, &reference).await.into()
    }

    /// Carries out what an outcome asks of other operations; the judgement becomes the output.
    async fn judged(
        &self,
        cleared: &Cleared<Value>,
        mut outcome: Outcome,
    ) -> Result<Outcome, Failure> {
        let mut records = Vec::new();
        for effect in std::mem::take(&mut outcome.effects) {
            match effect {
                Effect::Decide { operation, yes } => {
                    let standing = self.standing(cleared.authorized().actor()).await;
                    outcome.output = self.decide(operation, &standing, yes).await?;
                }
                Effect::Cancel { operation } => {
                    outcome.output = self.cancel(operation, cleared.authorized().actor()).await?;
                }
                Effect::Recheck { operation } => {
                    outcome.output = self.recheck(operation).await?;
                }
                Effect::Retry { operation } => {
                    outcome.output = self.retry(operation, cleared.authorized().actor()).await?;
                }
                Effect::OpenIncident {
                    title,
                    place: OpenAt::NewChannel { name, otherwise },
                    pagerduty,
                } => {
                    let asker = cleared.authorized().actor().user();
                    let (place, remark) = self.make_channel(&name, otherwise, asker, &title).await;
                    if let Some(remark) = remark {
                        outcome.output = outcome.output.text(remark);
                    }
                    records.push(Effect::OpenIncident {
                        title,
                        place,
                        pagerduty,
                    });
                }
                Effect::AcceptHandoff { schedule } => {
                    let by = cleared.authorized().actor();
                    outcome.output = self.accept_handoff(&schedule, by).await?;
                }
                other => records.push(other),
            }
        }
        outcome.effects = records;
        Ok(outcome)
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
        let write = || self.parts.store.finish(id, from, fence, end.clone());
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

    /// Writes an outcome: effects, redacted output, wishes, audit and timeline in one transaction.
    async fn end(&self, done: Done<'_>, from: State, outcome: Outcome) -> anyhow::Result<()> {
        let Done { operation, .. } = done;
        let state = end_state(outcome.output.status);
        let mut operation = operation.clone();
        let mut seen = done.seen.clone();
        if let Some(routed) = done.routed.filter(|_| !outcome.effects.is_empty()) {
            let spec = routed.authorized().parsed().spec();
            if !spec.is_more_than_a_look() {
                error!(
                    "{} writes records and its file does not say `records = true`",
                    spec.name
                );
            }
        }
        let (effects, mut wishes) = self
            .effects(&mut operation, &mut seen, outcome.effects, done.open)
            .await;
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
}

/// The same command, asking for its lines alone.
fn by_hand(parsed: &Parsed) -> String {
    let name = parsed.spec().name.as_str();
    let rest = parsed.text().get(name.len()..).unwrap_or_default();
    format!("{name} --by-hand{rest}")
}

/// What the end of an operation is written from.
struct Done<'a> {
    case: &'a Case,
    operation: &'a Operation,
    routed: Option<&'a Routed>,
    seen: &'a Seen,
    open: &'a [Incident],
    changes: bool,
    /// What shows the lines to type for the same; absent where there are none.
    by_hand: Option<String>,
    /// Secrets that the handler removed by itself.
    removed: u64,
    took: Duration,
}

/// What the progress of a running operation is told from.
struct Told {
    operation: Operation,
    seen: Seen,
    reported: watch::Receiver<Option<Output>>,
    stop: CancellationToken,
    has_shown: Arc<AtomicBool>,
    changes: bool,
    secrets: Arc<Secrets>,
}

/// Known to this process as running, while it lives.
struct Running<'a> {
    pipeline: &'a Pipeline,
    id: OperationId,
}

impl<'a> Running<'a> {
    fn enter(pipeline: &'a Pipeline, id: OperationId, stop: CancellationToken) -> Self {
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

/// Who said yes and when, where somebody had to.
fn approved(operation: &Operation) -> Option<String> {
    let (by, at) = operation.proposal.as_ref()?.approved_by.as_ref()?;
    Some(format!("approved by {by}, {}", at.strftime("%H:%M:%S UTC")))
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

/// Whether an operation can be entered again by this person: for the pipeline's buttons.
pub(super) fn entered_again(operation: &Operation) -> Result<(), Refusal> {
    if operation.state.is_end() {
        Ok(())
    } else {
        Err(Refusal::not_now(format!(
            "{} has not ended yet; it is {}.",
            operation.id,
            operation.state.word()
        )))
    }
}
