//! `Planned` → `Cleared`: needs no approval, or has it. The card, the yes, the no, the lapse.

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tracing::info;

use super::{Case, Pipeline};
use crate::{
    domain::{
        actor::{Actor, Membership, Standing},
        audit::Event,
        command::Confirm,
        failure::{Failure, Refusal},
        fingerprint::differences,
        ids::OperationId,
        incident::EntryKind,
        journey::{
            Approval, Cleared, Clearing, Planned, Redacted, clear, may_decide, revive, thawed,
        },
        message::Lane,
        operation::{Operation, State, StoredProposal},
        output::{Output, Part, Status},
    },
    store::{Change, End},
};

impl Pipeline {
    /// May it run at once?
    pub(super) fn confirm(&self, planned: Planned) -> Result<Clearing, Failure> {
        Ok(clear(planned, None)?)
    }

    /// Opens the card and waits for a yes, in the store. At a terminal with `--yes` the asker says it at once.
    pub(super) async fn ask(&self, case: &Case, planned: Planned) -> Result<(), Failure> {
        let authorized = planned.routed().authorized();
        let spec = authorized.parsed().spec();
        let now = self.now();
        let expires_at = now
            .checked_add(spec.expires.unwrap_or(self.parts.settings.expires))
            .context("a confirmation cannot be dated")?;
        let named = match authorized.confirm() {
            Confirm::Named(arg) => authorized
                .parsed()
                .args()
                .get(arg)
                .and_then(|value| value.as_str())
                .map(str::to_owned),
            _ => None,
        };
        let preview = self.redacted(planned.proposal().preview.clone()).await;
        let stored = StoredProposal {
            plan: planned.proposal().plan.clone(),
            preview: preview.output().clone(),
            fingerprint: planned.proposal().fingerprint.clone(),
            confirm: authorized.confirm().clone(),
            expires_at,
            approved_by: None,
            named,
        };
        let open = self.open(case).await?;
        let mut operation = case.operation.clone();
        operation.incident = planned.routed().incident();
        let (approve, deny) = self.yes_and_no(&operation, &stored);
        let card = self.card_that_asks(&operation, &stored, &approve, &deny);
        let seen = self.seen(&operation, planned.routed(), &open);
        let (wishes, mut offers) = self.shown(
            &operation,
            State::Awaiting,
            &seen,
            Lane::Confirm,
            &self.redacted(card).await,
        );
        offers.extend([approve, deny]);
        let event = Event::Asked {
            confirm: stored.confirm.to_string(),
            fingerprint: stored.fingerprint.clone(),
        };
        let change = Change {
            environments: Some(authorized.environments().clone()),
            nodes: Some(authorized.nodes().to_vec()),
            incident: operation.incident,
            answer: planned.routed().answer().cloned(),
            fence: Some(case.fence),
            changes: Some(spec.changes),
            proposal: Some(stored.clone()),
            events: vec![event],
            timeline: self.entry(
                &operation,
                EntryKind::Decision,
                format!("{} asked for: {}", operation.id, operation.text),
            ),
            wishes,
            offers,
            ..Change::default()
        };
        let asked = self
            .parts
            .store
            .step(operation.id, State::Received, State::Awaiting, change)
            .await
            .context("cannot open the confirmation")?;
        if asked.won() {
            self.refresh_card(operation.incident).await;
            if case.yes && stored.confirm == Confirm::Own {
                let standing = self.standing(&operation.actor).await;
                self.decide(operation.id, &standing, true).await?;
            }
        }
        Ok(())
    }

    /// Judges a yes or a no to an operation that waits, and carries it out. Returns what to tell whoever said it.
    pub(super) async fn decide(
        &self,
        id: OperationId,
        by: &Standing,
        yes: bool,
    ) -> Result<Output, Failure> {
        let operation = self
            .parts
            .store
            .operation(id)
            .await
            .context("cannot read the operation")?;
        let operation = operation.ok_or_else(|| {
            Refusal::usage(format!(
                "There is no operation {id}. `approvals` lists what waits."
            ))
        })?;
        let Some(proposal) = operation
            .proposal
            .clone()
            .filter(|_| operation.state == State::Awaiting)
        else {
            return Err(Refusal::not_now(too_late(&operation)).into());
        };
        let planned =
            revive(self.parsed(&operation)?, &operation).context("a card without a plan")?;
        let now = self.now();
        if now >= proposal.expires_at {
            self.lapse(&operation).await?;
            return Err(Refusal::not_now(
                "This confirmation has expired. Ask again for a fresh one.",
            )
            .or_else("Ask again", operation.text.clone())
            .into());
        }
        if !yes {
            let own =
                by.actor == operation.actor && !matches!(by.membership, Membership::Outside(_));
            if !own {
                may_decide(planned.routed().authorized(), by)?;
            }
            return self.say_no(&operation, by).await;
        }
        self.say_yes(operation, proposal, planned, by).await
    }

    /// The clicker's right, the freeze and the world are judged now; then it runs.
    async fn say_yes(
        &self,
        operation: Operation,
        proposal: StoredProposal,
        planned: Planned,
        by: &Standing,
    ) -> Result<Output, Failure> {
        let (id, now) = (operation.id, self.now());
        may_decide(planned.routed().authorized(), by)?;
        let case = Case::again(operation.clone());
        let freezes = self.parts.store.freezes().await;
        let authorized = planned.routed().authorized();
        thawed(
            authorized.parsed().spec(),
            authorized.environments(),
            &freezes.context("cannot read the freezes")?,
        )?;
        let fingerprint = self
            .fingerprint_now(&case, planned.routed(), &proposal.plan)
            .await?;
        let changed = differences(&proposal.fingerprint, &fingerprint);
        if !changed.is_empty() {
            return self.open_afresh(&operation, by, &changed).await;
        }
        let approval = Approval {
            by,
            at: now,
            expires_at: proposal.expires_at,
            fingerprint: &fingerprint,
        };
        let Clearing::Cleared(cleared) = clear(planned, Some(approval))? else {
            return Err(anyhow::anyhow!("an approved plan was not cleared").into());
        };
        let stored = StoredProposal {
            approved_by: Some((by.actor.clone(), now)),
            ..proposal
        };
        let card = Output::new(Status::Running, format!("Approved: {}", operation.text)).text(
            format!("approved by {}, {}", by.actor, now.strftime("%H:%M:%S UTC")),
        );
        let card = self.redacted(card).await;
        let decided = self
            .decided(&operation, "approved", &by.actor, State::Approved, &card)
            .await;
        let change = Change {
            proposal: Some(stored.clone()),
            ..decided
        };
        let stepped = self
            .parts
            .store
            .step(id, State::Awaiting, State::Approved, change)
            .await
            .context("cannot write the approval")?;
        let Some(fence) = stepped.fence() else {
            let operation = self
                .parts
                .store
                .operation(id)
                .await
                .context("cannot read the operation")?
                .unwrap_or(operation);
            return Err(Refusal::not_now(too_late(&operation)).into());
        };
        info!("{id} approved by {}", by.actor);
        let approved = Case::again(Operation {
            state: State::Approved,
            fence,
            proposal: Some(stored),
            ..operation
        });
        self.run_approved(approved, cleared);
        Ok(Output::new(Status::Done, format!("{id} approved")))
    }

    fn run_approved(&self, approved: Case, cleared: Cleared<serde_json::Value>) {
        let pipeline = self.clone();
        let operation = approved.operation.clone();
        // Boxed, because what runs may itself decide: `approve op-17` is a command like any other.
        let run: BoxFuture<'static, ()> = Box::pin(async move {
            let ran = pipeline.execute(&approved, State::Approved, cleared).await;
            if let Err(failure) = ran {
                pipeline.end_badly(&approved, failure).await;
            }
        });
        self.travel(&operation, run);
    }

    async fn say_no(&self, operation: &Operation, by: &Standing) -> Result<Output, Failure> {
        let id = operation.id;
        let title = format!("Denied: {}", operation.text);
        let output = self
            .redacted(Output::new(Status::Cancelled, title).text(format!("{} said no.", by.actor)))
            .await;
        let decided = self
            .decided(operation, "denied", &by.actor, State::Denied, &output)
            .await;
        if !self
            .ended_by_decision(operation, State::Denied, output, decided)
            .await?
        {
            let operation = self
                .parts
                .store
                .operation(id)
                .await
                .context("cannot read the operation")?;
            return Err(
                Refusal::not_now(operation.as_ref().map_or_else(String::new, too_late)).into(),
            );
        }
        self.refresh_card(operation.incident).await;
        Ok(Output::new(Status::Done, format!("{id} denied")))
    }

    /// Ends a card or a choice that nobody answered in time.
    pub(super) async fn lapse(&self, operation: &Operation) -> Result<(), Failure> {
        let title = match operation.state {
            State::Awaiting => format!("Expired: {}", operation.text),
            State::Choosing => format!("Nobody said which incident: {}", operation.text),
            _ => return Ok(()),
        };
        let output = self
            .redacted(
                Output::new(Status::Cancelled, title)
                    .text("Nobody answered in time, so nothing was done.")
                    .with(Part::Next {
                        label: "Ask again".to_owned(),
                        command: operation.text.clone(),
                    }),
            )
            .await;
        let mut decided = self
            .decided(
                operation,
                "expired",
                &Actor::Habops,
                State::Expired,
                &output,
            )
            .await;
        if operation.state == State::Choosing {
            (decided.wishes, decided.offers) =
                self.only_to_asker(operation, State::Expired, "lapsed", &output);
        }
        self.ended_by_decision(operation, State::Expired, output, decided)
            .await?;
        self.refresh_card(operation.incident).await;
        Ok(())
    }

    /// Ends what waits as it was decided, and says whether nobody was faster.
    pub(super) async fn ended_by_decision(
        &self,
        operation: &Operation,
        state: State,
        output: Redacted,
        decided: Change,
    ) -> Result<bool, Failure> {
        let end = End {
            by: decided.by,
            events: decided.events,
            timeline: decided.timeline,
            wishes: decided.wishes,
            offers: decided.offers,
            ..End::new(state, output)
        };
        let stepped = self
            .parts
            .store
            .finish(operation.id, operation.state, operation.fence, end)
            .await
            .with_context(|| format!("cannot write that {} is {}", operation.id, state.word()))?;
        if stepped.won() {
            self.count_end(operation, state);
        }
        Ok(stepped.won())
    }

    /// What every decision writes: the audit, the timeline, and a card that is no longer pressable.
    pub(super) async fn decided(
        &self,
        operation: &Operation,
        decision: &str,
        by: &Actor,
        state: State,
        card: &Redacted,
    ) -> Change {
        let seen = self.seen_again(operation).await;
        let (mut wishes, mut offers) = self.shown(operation, state, &seen, Lane::Confirm, card);
        let (copies, buttons) = self.copies(operation, state, card).await;
        wishes.extend(copies);
        offers.extend(buttons);
        let text = format!("{} {decision}: {}", operation.id, operation.text);
        Change {
            by: Some(by.clone()),
            events: vec![Event::Decided {
                decision: decision.to_owned(),
            }],
            timeline: self.entry_by(operation, by, EntryKind::Decision, text),
            wishes,
            offers,
            ..Change::default()
        }
    }
}

/// Why a yes or a no comes too late.
fn too_late(operation: &Operation) -> String {
    let id = operation.id;
    if operation.state == State::Refused {
        return format!("{id} was refused: what it was about had changed.");
    }
    let approved = operation
        .proposal
        .as_ref()
        .and_then(|proposal| proposal.approved_by.as_ref());
    match (operation.state, approved) {
        (State::Denied, _) => format!("{id} was denied already."),
        (State::Expired, _) => format!("{id} has expired. Ask again for a fresh one."),
        (State::Cancelled, _) => format!("{id} was cancelled."),
        (_, Some((by, at))) => format!(
            "{id} was approved already, by {by} at {}.",
            at.strftime("%H:%M:%S UTC")
        ),
        (state, None) => format!(
            "{id} does not wait for a confirmation; it is {}.",
            state.word()
        ),
    }
}
