//! What came in is stored, then acknowledged (law 1). Nothing slow happens here.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::{Case, MOST_JOURNEYS, Pipeline};
use crate::{
    domain::{
        audit::Event,
        failure::{Failure, Refusal},
        ids::OperationId,
        inbound::{Ack, Delivery, Inbound, Signal, Typed, Via},
        incident::Incident,
        journey::{Clearing, Parsed, redact},
        operation::{Operation, State},
        output::{Output, Status},
        parse::parse,
        records::Inbox,
        routing::Route,
        text::normalise,
    },
    handlers::Work,
    store::{Accept, Accepted, Error},
};

/// How long an acknowledgement waits to know who asks, where it would tell of an incident; mostly that is known already.
const WHO_ASKS: Duration = Duration::from_millis(300);

impl Inbox for Pipeline {
    fn accept(&self, delivery: Delivery) -> BoxFuture<'_, Ack> {
        Box::pin(async move {
            let Delivery {
                key,
                received,
                inbound,
            } = delivery;
            match inbound {
                Inbound::Typed(typed) => self.accept_typed(key, received, typed).await,
                Inbound::Pressed(pressed) => self.accept_pressed(key, pressed).await,
                Inbound::Signal(signal) if signal.is_kept() => {
                    self.hear(key, received, signal).await
                }
                Inbound::Signal(signal) => {
                    self.accept_signal(signal);
                    Ack::Accepted {
                        operation: None,
                        said: None,
                    }
                }
            }
        })
    }
}

/// Words, read as far as needs nothing from outside.
enum Understood {
    Parsed(Box<Parsed>),
    Refused(Refusal),
}

impl Pipeline {
    /// Words: understood, stored, sent on their way.
    pub(super) async fn accept_typed(
        &self,
        key: String,
        received: jiff::Timestamp,
        typed: Typed,
    ) -> Ack {
        let plain = normalise(&typed.text);
        let (masked, secrets) = self.parts.rules.redact(&plain);
        let understood = if secrets > 0 {
            Understood::Refused(Refusal::denied(
                "That holds a secret, so it was not run and is not kept. Anybody here may have seen it: revoke it. habops reads its own secrets from files.",
            ))
        } else if self.parts.tasks.len() >= MOST_JOURNEYS {
            Understood::Refused(Refusal::not_now(format!(
                "{MOST_JOURNEYS} commands are under way already. Try again in a moment."
            )))
        } else {
            match parse(&plain, &self.parts.commands, received) {
                Ok(parsed) => Understood::Parsed(Box::new(parsed)),
                Err(refusal) => Understood::Refused(refusal),
            }
        };
        let text: String = masked.chars().take(4_000).collect();
        let understood = match understood {
            Understood::Refused(_) if typed.in_passing && secrets == 0 => {
                debug!("a mention in passing is no command");
                return Ack::Accepted {
                    operation: None,
                    said: None,
                };
            }
            Understood::Parsed(parsed)
                if typed.in_passing && parsed.spec().is_more_than_a_look() =>
            {
                Understood::Refused(Refusal::usage(format!(
                    "`{text}` was mentioned in the middle of a sentence, so it was not run. To run it, begin the message with the mention."
                )))
            }
            Understood::Parsed(parsed) if parsed.flags().json && typed.via != Via::Terminal => {
                Understood::Refused(Refusal::usage(
                    "`--json` is for the terminal: `habops do --json -- …`. Leave it out here.",
                ))
            }
            understood => understood,
        };
        match understood {
            Understood::Refused(refusal) => {
                self.accept_refused(key, received, typed, text, refusal)
                    .await
            }
            Understood::Parsed(parsed) => {
                self.accept_parsed(key, received, typed, text, *parsed)
                    .await
            }
        }
    }

    async fn accept_parsed(
        &self,
        key: String,
        received: jiff::Timestamp,
        typed: Typed,
        text: String,
        parsed: Parsed,
    ) -> Ack {
        let command = parsed.spec().name.clone();
        let accept = Accept {
            key,
            received_at: received,
            text: text.clone(),
            command: Some(command.clone()),
            actor: typed.actor.clone(),
            whence: typed.whence.clone(),
            via: typed.via,
            reply: typed.reply,
            yes: typed.yes,
            state: State::Received,
            output: None,
            events: vec![Event::Received {
                text: text.clone(),
                command: Some(command.to_string()),
            }],
            wishes: Accept::no_wishes(),
            offers: Vec::new(),
        };
        let accepted = self.parts.store.accept(accept).await;
        let (actor, whence, via) = (typed.actor, typed.whence, typed.via);
        let operation =
            |id| Operation::received(id, text, Some(command), actor, whence, via, received);
        match accepted {
            Ok(Accepted::New { id, open }) => {
                let operation = operation(id);
                let (said, told_where) = self.placeholder(&operation, &parsed, &open).await;
                self.depart(Case {
                    operation,
                    fence: 1,
                    yes: typed.yes,
                    told_where,
                    open: Some(open.into()),
                });
                Ack::Accepted {
                    operation: Some(id),
                    said,
                }
            }
            Ok(Accepted::Duplicate(before)) => self.heard_again(via, before).await,
            Err(unwritable) => {
                error!("a command cannot be stored: {unwritable}");
                self.unstored(&unwritable, operation(OperationId(0)), parsed)
            }
        }
    }

    async fn accept_refused(
        &self,
        key: String,
        received: jiff::Timestamp,
        typed: Typed,
        text: String,
        refusal: Refusal,
    ) -> Ack {
        let output = redact(refusal.output(), &self.parts.rules);
        // A slash command's acknowledgement carries the refusal itself; everything else needs a message.
        let (shown, offers) = if typed.via == Via::Slash {
            (None, Vec::new())
        } else {
            let (shown, offers) = self.pressable(&output, None);
            (Some(shown), offers)
        };
        let pipeline = self.clone();
        let (actor, whence, via) = (typed.actor.clone(), typed.whence.clone(), typed.via);
        let kept_text = text.clone();
        let wishes = move |id| {
            let operation = Operation::received(id, kept_text, None, actor, whence, via, received);
            shown
                .and_then(|shown| pipeline.whispered(&operation, State::Refused, "refused", shown))
                .into_iter()
                .collect()
        };
        let accept = Accept {
            key,
            received_at: received,
            text: text.clone(),
            command: None,
            actor: typed.actor,
            whence: typed.whence,
            via: typed.via,
            reply: typed.reply,
            yes: false,
            state: State::Refused,
            output: Some(output.clone()),
            events: vec![
                Event::Received {
                    text,
                    command: None,
                },
                Event::Refused {
                    why: output.output().title.clone(),
                },
            ],
            wishes: Box::new(wishes),
            offers,
        };
        match self.parts.store.accept(accept).await {
            Ok(Accepted::New { id, .. }) => {
                let counts = &self.parts.counts;
                counts.refusals.count(&[refusal.kind.word()]);
                counts.commands.count(&["-", State::Refused.word()]);
                Ack::Accepted {
                    operation: Some(id),
                    said: Some(output.output().clone()),
                }
            }
            Ok(Accepted::Duplicate(before)) => self.heard_again(via, before).await,
            Err(unwritable) => {
                warn!("a refusal cannot be stored: {unwritable}");
                Ack::Unstored {
                    said: output.output().clone(),
                    later: None,
                }
            }
        }
    }

    /// Slack delivers again what it believes unacknowledged. A slash command that was refused at the door has its one answer in the
    /// acknowledgement, which is lost then, so it is said again; everything else is answered by messages.
    async fn heard_again(&self, via: Via, before: Option<OperationId>) -> Ack {
        let (Via::Slash, Some(id)) = (via, before) else {
            return Ack::Duplicate;
        };
        match self.parts.store.operation(id).await {
            Ok(Some(Operation {
                state: State::Refused,
                command: None,
                output: said @ Some(_),
                ..
            })) => Ack::Accepted {
                operation: Some(id),
                said,
            },
            Ok(_) => Ack::Duplicate,
            Err(unreadable) => {
                warn!("what {id} was answered cannot be read: {unreadable}");
                Ack::Duplicate
            }
        }
    }

    /// What was understood, and where the answer comes; and whether the latter was told.
    async fn placeholder(
        &self,
        operation: &Operation,
        parsed: &Parsed,
        open: &[Incident],
    ) -> (Option<Output>, bool) {
        if operation.via != Via::Slash {
            return (None, false);
        }
        let output = Output::new(
            Status::Running,
            format!("{} · {}", operation.id, parsed.text()),
        );
        let route = self.heard(operation, parsed.flags(), parsed.spec(), open);
        let output = match route {
            // Not everybody may know which incidents are open.
            Ok(Route::Incident { .. } | Route::Ask(_))
                if !self.may_somewhere(operation, parsed).await =>
            {
                return (
                    Some(output.text("You are told where the answer comes.")),
                    false,
                );
            }
            Ok(Route::Incident {
                incident,
                link_asker: true,
                ..
            }) => self.with_link(
                output.text(format!("The answer comes in {incident}.")),
                incident,
                open,
            ),
            Ok(Route::Ask(_)) => {
                output.text("Several incidents are open; you are asked which one it is for.")
            }
            _ => output.text("The answer comes here."),
        };
        (Some(output), true)
    }

    /// Whether the asker may run it in some environment at least; no, where that is not known at once.
    async fn may_somewhere(&self, operation: &Operation, parsed: &Parsed) -> bool {
        let standing = timeout(WHO_ASKS, self.standing(&operation.actor)).await;
        standing.is_ok_and(|standing| {
            let mut roles = parsed.spec().role.values().into_iter();
            roles.any(|role| standing.roles.contains(role))
        })
    }

    /// The memory cannot be written: say so; refuse a change, answer a look unrecorded (law 1).
    fn unstored(&self, unwritable: &Error, operation: Operation, parsed: Parsed) -> Ack {
        let why = format!("habops cannot write its memory, so nothing is recorded: {unwritable}");
        if parsed.spec().is_more_than_a_look() {
            return Ack::Unstored {
                said: Output::new(Status::Refused, why)
                    .text("Changes are refused until that is mended."),
                later: None,
            };
        }
        let pipeline = self.clone();
        let later = async move {
            let answer = pipeline
                .look_unrecorded(operation, parsed)
                .await
                .unwrap_or_else(|failure| failure.output("unrecorded"));
            redact(
                answer.text("Unrecorded: habops cannot write its memory."),
                &pipeline.parts.rules,
            )
        };
        Ack::Unstored {
            said: Output::new(Status::Running, why),
            later: Some(Box::pin(later)),
        }
    }

    async fn look_unrecorded(
        &self,
        operation: Operation,
        parsed: Parsed,
    ) -> Result<Output, Failure> {
        let place = operation.whence.place().cloned();
        let authorized = self.authorize(parsed, &operation.actor).await?;
        let route = place.clone().map_or(Route::Terminal, Route::Typed);
        let routed = crate::domain::journey::Routed::new(authorized, route, place);
        let case = Case {
            operation,
            fence: 0,
            yes: false,
            told_where: true,
            open: None,
        };
        let planned = self.plan(&case, routed).await?;
        let Clearing::Cleared(cleared) = self.confirm(planned)? else {
            return Err(
                Refusal::not_now("It needs a confirmation, which cannot be recorded now.").into(),
            );
        };
        let deed = self.deed(cleared.authorized().parsed())?;
        let asked = self.asked(&case, cleared.routed()).await;
        let (progress, _) = tokio::sync::watch::channel(None);
        let fence: crate::handlers::Fence = std::sync::Arc::new(|| Box::pin(async { true }));
        let (id, unheld) = (case.operation.id, case.fence);
        let work = Work::new(
            self.look(asked),
            progress,
            self.parts.stop.child_token(),
            fence,
            self.door(id, unheld),
        );
        let outcome = deed.run(&cleared, &work).await?;
        if outcome.writes_records() {
            return Err(
                Refusal::not_now("It writes a record, which cannot be written now.").into(),
            );
        }
        Ok(outcome.output)
    }

    fn accept_signal(&self, signal: Signal) {
        let pipeline = self.clone();
        self.parts.tasks.spawn(async move {
            let handled = match signal {
                Signal::Expired { operation } => pipeline.expired(operation).await,
                Signal::Lapsed { operation } => pipeline.recover(operation).await,
                Signal::Undelivered => pipeline.tell_undelivered().await.map_err(Into::into),
                Signal::Behind { incident } => {
                    pipeline.refresh_card(Some(incident)).await;
                    Ok(())
                }
                Signal::Waiting
                | Signal::PagerDuty { .. }
                | Signal::Joined { .. }
                | Signal::Marked { .. } => {
                    pipeline.attend();
                    Ok(())
                }
                Signal::ShiftChanged {
                    before,
                    after,
                    changes,
                } => pipeline.shift_changed(before, *after, changes).await,
                Signal::HandoffUnaccepted { schedule } => {
                    pipeline.handoff_unaccepted(&schedule).await
                }
                Signal::ShiftSoon {
                    schedule,
                    shift,
                    before,
                } => pipeline.shift_soon(&schedule, &shift, before).await,
            };
            if let Err(Failure::Broken(error)) = handled {
                error!("a signal could not be handled: {error:#}");
            }
        });
    }

    async fn expired(&self, id: OperationId) -> Result<(), Failure> {
        let found = self
            .parts
            .store
            .operation(id)
            .await
            .map_err(anyhow::Error::from)?;
        match found {
            Some(operation) => self.lapse(&operation).await,
            None => Ok(()),
        }
    }
}
