//! The journey of one command, one file a stage. Read `Pipeline::journey` as the drawing.
//!
//! ```text
//! inbox          what came in is stored, then acknowledged
//! parse          text       → Parsed, in `domain`
//! authorize      Parsed     → Authorized, the nodes frozen
//! route          Authorized → Routed
//! plan           Routed     → Planned
//! confirm        Planned    → Cleared, or a card
//! execute        Cleared    → Outcome
//! redact         Outcome    → Redacted: secrets gone, people by name
//! end            how an end is judged and written
//! outbox         what is to be seen, as wishes
//!
//! proposal_card  what the card shows that waits for a yes
//! copies         such a card in more than one place
//! fresh          such a card about a world that has changed
//! hold           what a running change holds of the store
//! progress       what a running operation shows, and how it is ended from there
//! effects        what an outcome does to habops' own records
//! recover        what a lost process left behind
//! offers         buttons
//! again          an operation entered again
//!
//! timeline       an operation's lines on its incident's timeline
//! cards          an incident's root card
//! channels       a channel of its own for an incident
//! kept           messages for the timeline, recaps for who joins
//!
//! heard          what came in by itself, stored and dealt with in order
//! paged          what PagerDuty told
//! people         who people of PagerDuty's are in Slack
//! handoff        a shift that changed, told once
//! taken          whether somebody has taken it
//! soon           a shift that begins soon
//! undelivered    what Slack will never show
//! ```

mod again;
mod authorize;
mod cards;
mod channels;
mod confirm;
mod copies;
mod effects;
mod end;
mod execute;
mod fresh;
mod handoff;
mod heard;
mod hold;
mod inbox;
mod kept;
mod offers;
mod outbox;
mod paged;
mod people;
mod plan;
mod progress;
mod proposal_card;
mod recover;
mod redact;
mod route;
mod soon;
mod taken;
mod timeline;
mod undelivered;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, error, info, info_span};

use crate::{
    clients::Clients,
    domain::{
        command::Commands,
        failure::{Failure, Refusal},
        ids::{ChannelId, Environment, OperationId, TeamId, UserId},
        inbound::Via,
        incident::Incident,
        journey::{Clearing, Parsed},
        operation::{Operation, State},
        parse::parse,
        policy::Policy,
        redact::Rules,
        tally::Tally,
        text::normalise,
    },
    handlers::{self, Look, Registry},
    store::Store,
};

/// Everything a command passes through. Cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    parts: Arc<Parts>,
}

/// What the pipeline is made of; put together by `app.rs`.
pub struct Parts {
    /// habops' memory.
    pub store: Store,
    /// The catalogue.
    pub commands: Arc<Commands>,
    /// What commands do.
    pub registry: Registry,
    /// The outside.
    pub clients: Arc<Clients>,
    /// The configuration that handlers read.
    pub of_handlers: Arc<handlers::Settings>,
    /// Who holds which role.
    pub policy: Arc<Policy>,
    /// What is secret.
    pub rules: Arc<Rules>,
    /// How habops itself is, for `self`.
    pub vitals: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
    /// What is counted on the way.
    pub counts: Counts,
    /// The rest of the configuration that matters here.
    pub settings: Settings,
    /// Stops new work; what runs is finished.
    pub stop: CancellationToken,
    /// Every journey under way.
    pub tasks: TaskTracker,
    /// How many journeys may be under way at once.
    pub turns: Arc<Semaphore>,
    /// How to stop what runs in this process. Not the truth, which is `cancel_requested` in the store; only quicker.
    pub running: std::sync::Mutex<HashMap<OperationId, CancellationToken>>,
    /// Whose turn it is to deal with what was heard.
    pub hearing: Hearing,
    /// Whose turn it is to bring a card up to date.
    pub cards: tokio::sync::Mutex<()>,
    /// An incident as a document of that kind, `md`, `html` or `jsonl`.
    pub document: handlers::Document,
    /// Who is noted in the store under which name, so that it is written once.
    pub called: std::sync::Mutex<HashMap<UserId, String>>,
}

/// What is counted on the way, for `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Operations that ended, by command (`-` where none was understood) and end state, from their receipt on.
    pub commands: Tally,
    /// Refusals, by kind.
    pub refusals: Tally,
}

/// The configuration that the journey needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bot's own workspace; absent at a terminal without Slack.
    pub home: Option<TeamId>,
    /// `https://team.slack.com/`, for links to messages.
    pub team_url: Option<String>,
    /// Where habops lives when no incident is open.
    pub channel: Option<ChannelId>,
    /// The environment of a command that names none.
    pub default_environment: Environment,
    /// How long a confirmation stays open.
    pub expires: Duration,
    /// The emoji that keeps a message on the timeline.
    pub pin_emoji: String,
    /// PagerDuty service → the target whose evidence belongs to it.
    pub pager_targets: BTreeMap<String, String>,
}

pub use self::heard::Hearing;

/// Journeys under way at once, beyond which a command waits its turn.
pub const JOURNEYS_AT_ONCE: usize = 128;
/// Journeys waiting or under way, beyond which a command is refused.
pub const MOST_JOURNEYS: usize = 4_096;

/// One operation on its way in this process.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    operation: Operation,
    fence: u64,
    /// Whoever waits at the terminal says yes to `confirm = "self"`.
    yes: bool,
    /// The acknowledgement told where the answer comes.
    told_where: bool,
    /// The incidents that were open when it came in, so that it goes where the acknowledgement said; absent where that is long ago.
    open: Option<Arc<[Incident]>>,
}

impl Case {
    /// One that goes on after it waited, or after its process was lost. A slash command's acknowledgement told where the answer
    /// comes; where it did not, the card did.
    fn again(operation: Operation) -> Self {
        Self {
            fence: operation.fence,
            yes: false,
            told_where: operation.via == Via::Slash,
            open: None,
            operation,
        }
    }
}

impl Pipeline {
    /// Puts it together. Nothing runs until something is accepted.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Waits until everything under way has ended.
    pub async fn settled(&self) {
        self.parts.tasks.close();
        self.parts.tasks.wait().await;
        self.parts.tasks.reopen();
    }

    fn now(&self) -> Timestamp {
        self.parts.store.now()
    }

    /// Sends an operation on its way; its end is always written, whatever happens on it.
    fn depart(&self, case: Case) {
        let pipeline = self.clone();
        let operation = case.operation.clone();
        self.travel(&operation, async move {
            // On the heap: it holds every stage's state at once.
            if let Err(failure) = Box::pin(pipeline.journey(&case)).await {
                pipeline.end_badly(&case, failure).await;
            }
        });
    }

    /// Runs a part of an operation's journey, under its name in the log and when it is its turn.
    fn travel(&self, operation: &Operation, part: impl Future<Output = ()> + Send + 'static) {
        let command = operation.command.as_ref().map(tracing::field::display);
        let span = info_span!("operation", id = %operation.id, actor = %operation.actor, command);
        let turns = Arc::clone(&self.parts.turns);
        let at_work = self.parts.store.at_work(operation.id);
        let in_turn = async move {
            let _at_work = at_work;
            let _turn = turns.acquire().await;
            part.await;
        };
        self.parts.tasks.spawn(in_turn.instrument(span));
    }

    /// The drawing of design section 2.
    async fn journey(&self, case: &Case) -> Result<(), Failure> {
        let parsed = self.parsed(&case.operation)?;
        let authorized = self.authorize(parsed, &case.operation.actor).await?;
        let Some(routed) = self.route(case, authorized).await? else {
            return Ok(()); // the asker is asked which incident; the answer enters again
        };
        let planned = self.plan(case, routed).await?;
        match self.confirm(planned)? {
            Clearing::Cleared(cleared) => self.execute(case, State::Received, cleared).await,
            Clearing::NeedsApproval(planned) => self.ask(case, planned).await,
        }
    }

    /// What an operation says, understood again.
    fn parsed(&self, operation: &Operation) -> Result<Parsed, Refusal> {
        parse(
            &normalise(&operation.text),
            &self.parts.commands,
            operation.received_at,
        )
    }

    /// Writes the end of an operation that did not get through.
    async fn end_badly(&self, case: &Case, failure: Failure) {
        let id = case.operation.id;
        let state = match &failure {
            Failure::Refused(refusal) => {
                info!(kind = ?refusal.kind, "refused");
                self.parts.counts.refusals.count(&[refusal.kind.word()]);
                State::Refused
            }
            Failure::Broken(broken) => {
                error!("{id} broke: {broken:#}");
                State::Failed
            }
        };
        let output = self.output_of(&failure, &id.to_string()).await;
        if let Err(unwritten) = self.write_end(case, None, state, output).await {
            error!("the end of {id} cannot be written: {unwritten:#}");
        }
    }

    /// Counts an end that was written.
    fn count_end(&self, operation: &Operation, state: State) {
        let took = self.now().duration_since(operation.received_at);
        let took = Duration::try_from(took).unwrap_or_default();
        let command = operation.command.as_ref().map_or("-", |name| name.as_str());
        let labels = [command, state.word()];
        self.parts.counts.commands.took(&labels, took);
    }

    /// What a handler may look at for this operation.
    fn look(&self, asked: crate::handlers::Asked) -> Look {
        Look {
            clients: Arc::clone(&self.parts.clients),
            records: Arc::new(self.parts.store.clone()),
            commands: Arc::clone(&self.parts.commands),
            settings: Arc::clone(&self.parts.of_handlers),
            policy: Arc::clone(&self.parts.policy),
            secrets: Arc::new(handlers::Secrets::new(Arc::clone(&self.parts.rules))),
            vitals: Arc::clone(&self.parts.vitals),
            document: Arc::clone(&self.parts.document),
            asked: Arc::new(asked),
        }
    }
}
