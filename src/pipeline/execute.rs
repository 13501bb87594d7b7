//! `Cleared` → `Outcome`: the deed, recorded before and after.

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
use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::{sync::watch, time::timeout};
use tracing::error;

use super::{
    Case, Pipeline,
    end::Done,
    progress::{Running, Told},
};
use crate::{
    domain::{
        audit::Event,
        failure::Failure,
        ids::OperationId,
        incident::EntryKind,
        journey::{Cleared, Parsed},
        operation::{Operation, State},
        outcome::{Effect, Judgement, OpenAt, Outcome},
        output::{Output, Part, Status},
    },
    handlers::{Fence, Work},
    store::Change,
};

/// A look that ends by itself when it is stopped has this long to say what it found.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Longest a look may run. A change is bounded by its own steps.
const LONGEST_LOOK: Duration = Duration::from_mins(15);

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
        operation.incident = cleared.routed().incident().or(operation.incident);
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
            // On the heap: it holds the state of every judgement at once.
            Ok(Ok(outcome)) => Box::pin(self.judged(&cleared, outcome)).await,
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
        let by = cleared.authorized().actor();
        match outcome.judgement.clone() {
            None => {}
            Some(Judgement::Decide { operation, yes }) => {
                let standing = self.standing(by).await;
                outcome.output = self.decide(operation, &standing, yes).await?;
            }
            Some(Judgement::Cancel { operation }) => {
                outcome.output = self.cancel(operation, by).await?;
            }
            Some(Judgement::Recheck { operation }) => {
                outcome.output = self.recheck(operation).await?;
            }
            Some(Judgement::Retry { operation }) => {
                outcome.output = self.retry(operation, by).await?;
            }
            Some(Judgement::AcceptHandoff { schedule }) => {
                outcome.output = self.accept_handoff(&schedule, by).await?;
            }
        }
        for effect in &mut outcome.effects {
            let Effect::OpenIncident { title, place, .. } = effect else {
                continue;
            };
            let OpenAt::NewChannel { name, otherwise } = place.clone() else {
                continue;
            };
            let (made, remark) = self.make_channel(&name, otherwise, by.user(), title).await;
            *place = made;
            outcome.output = outcome.output.text_of(remark);
        }
        Ok(outcome)
    }
}

/// The same command, asking for its lines alone.
fn by_hand(parsed: &Parsed) -> String {
    let name = parsed.spec().name.as_str();
    let rest = parsed.text().get(name.len()..).unwrap_or_default();
    format!("{name} --by-hand{rest}")
}
