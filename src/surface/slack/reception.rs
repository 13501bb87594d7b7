//! What both ways in share: a payload is translated, handed over within a second, and answered as Slack wants it answered.

use std::{pin::pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use super::{
    built_in_rules, for_one, modal,
    translate::{self, Asked, Meaning},
    whisper, whispered,
};
use crate::{
    clients::slack::{Ack as Answer, Client, Error, Identity, Kind},
    domain::{
        ids::UserId,
        inbound::{Ack, Delivery, Inbound, Via},
        output::{Output, Status},
        place::Place,
        records::Inbox,
        redact::Rules,
    },
    render::slack::Rendered,
};

/// How long storing may take until Slack is answered without it (law 1).
const ACK_WITHIN: Duration = Duration::from_secs(1);
/// How much longer Slack waits for an event, which it delivers again where it hears nothing.
const EVENT_WITHIN: Duration = Duration::from_millis(2_500);
/// How long an unrecorded look may take.
const LATER_WITHIN: Duration = Duration::from_mins(1);
/// How long a person can be told something outside of the outbox.
const TELL_WITHIN: Duration = Duration::from_secs(10);
/// How many deliveries, late answers and forms are under way at once.
const MOST_AT_ONCE: usize = 128;

/// Takes payloads in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reception {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: Arc<dyn Inbox>,
    client: Client,
    identity: Identity,
    rules: Rules,
    tasks: TaskTracker,
    room: Arc<Semaphore>,
}

/// Whom an answer reaches that is not in the acknowledgement.
#[derive(Clone)]
struct Asker {
    via: Option<Via>,
    reply: Option<SecretString>,
    place: Option<Place>,
    user: Option<UserId>,
}

impl Asker {
    fn of(delivery: &Delivery) -> Self {
        match &delivery.inbound {
            Inbound::Typed(typed) => Self {
                via: Some(typed.via),
                reply: typed.reply.clone(),
                place: typed.whence.place().cloned(),
                user: typed.actor.user().cloned(),
            },
            Inbound::Pressed(pressed) => Self {
                via: Some(Via::Button),
                reply: pressed.reply.clone(),
                place: Some(pressed.place.clone()),
                user: pressed.actor.user().cloned(),
            },
            Inbound::Signal(_) => Self {
                via: None,
                reply: None,
                place: None,
                user: None,
            },
        }
    }
}

impl Reception {
    pub(super) fn new(client: Client, identity: Identity, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            inner: Arc::new(Inner {
                inbox,
                client,
                identity,
                rules: built_in_rules(),
                tasks: TaskTracker::new(),
                room: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            }),
        }
    }

    /// Takes one payload and says what Slack is told.
    pub(super) async fn take(&self, kind: &Kind, payload: &Value) -> Answer {
        match translate::read(kind, payload, &self.inner.identity, Timestamp::now()) {
            Ok(Meaning::Deliver(delivery)) => self.deliver(kind, *delivery).await,
            Ok(Meaning::Ask(asked)) => {
                self.ask(asked);
                Answer::empty()
            }
            Ok(Meaning::Wordless) => Answer::with(modal::wordless()),
            Err(unheard @ translate::Unheard::Malformed(_)) => {
                warn!(?kind, "Slack sent what cannot be read: {unheard}");
                Answer::empty()
            }
            Err(unheard) => {
                debug!(?kind, "nothing to do for what Slack sent: {unheard}");
                Answer::empty()
            }
        }
    }

    /// Waits until what was taken is dealt with; nothing new is expected by then.
    pub(super) async fn settled(&self, within: Duration) {
        self.inner.tasks.close();
        if timeout(within, self.inner.tasks.wait()).await.is_err() {
            warn!("stopped before everybody was told what they asked privately");
        }
    }

    /// The delivery goes on by itself, because one that was given up half-way could be stored and never run.
    async fn deliver(&self, kind: &Kind, delivery: Delivery) -> Answer {
        let asker = Asker::of(&delivery);
        let Ok(room) = self.inner.room.clone().try_acquire_owned() else {
            warn!("{MOST_AT_ONCE} deliveries are under way; one was turned away");
            return self.turned_away(kind);
        };
        let (tell, told) = oneshot::channel();
        let reception = self.clone();
        let from = asker.clone();
        self.inner.tasks.spawn(async move {
            let ack = reception.inner.inbox.accept(delivery).await;
            drop(room);
            // Nobody waits any longer: the answer goes to the person instead.
            if let Err(ack) = tell.send(ack)
                && let Some(said) = reception.unpack(&from, ack)
            {
                reception
                    .tell(&from, whisper(&reception.inner.rules, said))
                    .await;
            }
        });
        let mut told = pin!(told);
        let limit = if *kind == Kind::EventsApi {
            EVENT_WITHIN
        } else {
            ACK_WITHIN
        };
        match timeout(limit, &mut told).await {
            // Nobody would be told that it is lost; Slack delivers an event again.
            Ok(Ok(Ack::Unstored { .. })) if asker.user.is_none() && *kind == Kind::EventsApi => {
                Answer::Withhold
            }
            Ok(Ok(ack)) => self.answer(&asker, ack),
            Ok(Err(_)) => {
                error!("a delivery ended without an answer");
                self.turned_away(kind)
            }
            Err(_) => {
                warn!(
                    "storing what Slack sent takes longer than {} ms",
                    limit.as_millis()
                );
                self.late(kind)
            }
        }
    }

    /// The acknowledgement of what was taken.
    fn answer(&self, asker: &Asker, ack: Ack) -> Answer {
        let Some(said) = self.unpack(asker, ack) else {
            return Answer::empty();
        };
        let said = whisper(&self.inner.rules, said);
        if asker.via == Some(Via::Slash) {
            return Answer::with(for_one(said));
        }
        // Slack shows no payload for anything but a slash command.
        let (reception, asker) = (self.clone(), asker.clone());
        self.spawn(async move { reception.tell(&asker, said).await });
        Answer::empty()
    }

    /// What is said at once; what is said later is on its way when this returns.
    fn unpack(&self, asker: &Asker, ack: Ack) -> Option<Output> {
        match ack {
            // A mention or a form is answered by messages; its acknowledgement is not seen.
            Ack::Accepted { said, .. } => {
                said.filter(|_| matches!(asker.via, Some(Via::Slash | Via::Button)))
            }
            Ack::Duplicate => None,
            Ack::Unstored { said, later } => {
                if let Some(later) = later {
                    let (reception, asker) = (self.clone(), asker.clone());
                    self.spawn(async move {
                        let said = match timeout(LATER_WITHIN, later).await {
                            Ok(redacted) => whispered(&redacted),
                            Err(_) => whisper(&reception.inner.rules, too_slow()),
                        };
                        reception.tell(&asker, said).await;
                    });
                }
                Some(said)
            }
        }
    }

    /// Shows it to one person, by the reply address where there is one. Tried once: it cannot be read back.
    async fn tell(&self, asker: &Asker, said: Rendered) {
        let told = timeout(TELL_WITHIN, async {
            if let Some(reply) = &asker.reply {
                return self.inner.client.respond(reply, &for_one(said)).await;
            }
            let (Some(place), Some(user)) = (&asker.place, &asker.user) else {
                return Ok(());
            };
            let blocks = Value::from(said.blocks);
            self.inner
                .client
                .ephemeral(
                    &place.channel,
                    user,
                    place.thread.as_ref(),
                    &said.text,
                    Some(&blocks),
                )
                .await
        });
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("cannot tell somebody what they asked privately: {error}"),
            Err(_) => warn!("cannot tell somebody what they asked privately: Slack did not answer"),
        }
    }

    /// Opens the form of the shortcut, after the acknowledgement: both have three seconds.
    fn ask(&self, form: Asked) {
        let reception = self.clone();
        self.spawn(async move {
            let Err(error) = reception
                .inner
                .client
                .open_view(&form.trigger, &form.view)
                .await
            else {
                return;
            };
            if is_second(&error) {
                debug!("the form is open already: {error}");
                return;
            }
            warn!("cannot open the form of the shortcut: {error}");
            let asker = Asker {
                via: Some(Via::Shortcut),
                reply: form.reply,
                place: None,
                user: None,
            };
            let said = Output::new(Status::Failed, "The form did not open").text(error.advice());
            reception
                .tell(&asker, whisper(&reception.inner.rules, said))
                .await;
        });
    }

    fn turned_away(&self, kind: &Kind) -> Answer {
        let said = Output::new(
            Status::Refused,
            "habops has too much to do and did not take this",
        )
        .text("Nothing was done. Please try again in a moment.");
        self.instead(kind, said)
    }

    fn late(&self, kind: &Kind) -> Answer {
        let said = Output::new(Status::Waiting, "habops is slow to write this down").text(
            "It goes on by itself; you are told as soon as it is stored. No need to send it again.",
        );
        self.instead(kind, said)
    }

    /// An answer in place of the inbox's. Events are not acknowledged: Slack delivers them again, and the key tells it apart.
    fn instead(&self, kind: &Kind, said: Output) -> Answer {
        match kind {
            Kind::SlashCommands => Answer::with(for_one(whisper(&self.inner.rules, said))),
            Kind::EventsApi => Answer::Withhold,
            _ => Answer::empty(),
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(room) = self.inner.room.clone().try_acquire_owned() else {
            info!("{MOST_AT_ONCE} private answers are under way; one is left out");
            return;
        };
        self.inner.tasks.spawn(async move {
            work.await;
            drop(room);
        });
    }
}

fn too_slow() -> Output {
    Output::new(Status::Failed, "That took too long")
        .text("Nothing was recorded. Ask again, or use `habops do` on the machine.")
}

/// A second copy of a shortcut finds its trigger used.
fn is_second(error: &Error) -> bool {
    matches!(
        error.code(),
        Some("exchanged_trigger_id" | "trigger_exchanged")
    )
}
