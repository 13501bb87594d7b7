//! What commands do. A handler never posts, never authorizes, never writes the store: it looks, proposes, does, and says what came of it.
//!
//! Adding one: a TOML in `commands/`, a file here, and its word in [`Registry::new`].

pub mod about;
pub mod access;
pub mod airlock;
pub mod approvals;
pub mod audit;
pub mod demote;
pub mod diagnose;
pub mod freeze;
pub mod handoff;
pub mod help;
pub mod hold;
mod hosts;
pub mod incident;
pub mod jobs;
pub mod journal;
pub mod logs;
pub mod oncall;
pub mod operations;
pub mod page;
pub mod pagerduty_incident;
mod parts;
pub mod promote;
pub mod query;
mod releases;
mod responders;
pub mod restart;
pub mod runbook;
pub mod services;
pub mod shard;
pub mod status;
mod supervisor;
pub mod tail;
pub mod why;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize as _, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    clients::Clients,
    domain::{
        actor::Standing,
        command::{CommandSpec, Commands, Source},
        failure::Failure,
        ids::{IncidentId, OperationId},
        journey::{Cleared, Flags, Proposal},
        node::Node,
        outcome::Outcome,
        output::{Output, Part, Status},
        place::Whence,
        policy::Policy,
        records::Records,
        redact::Rules,
        service::Services,
        story::Story,
    },
};

/// What a handler answers with.
pub type Result<T> = std::result::Result<T, Failure>;

/// One command's deeds. What undoes them, if anything does, the outcome says ([`Outcome::undo`]): the inverse of the catalogue with
/// exactly what was done as its arguments.
pub trait Handler: Send + Sync + 'static {
    /// Its arguments, as the catalogue's file names them.
    type Args: DeserializeOwned + Send;
    /// What would be done: stored, shown, approved, later run.
    type Plan: Serialize + DeserializeOwned + Send + Sync;

    /// Decides what would be done. May look; must not touch. For a command that changes nothing this is one line.
    fn plan(
        args: Self::Args,
        look: &Look,
    ) -> impl Future<Output = Result<Proposal<Self::Plan>>> + Send;

    /// Does it, and says what came of it.
    fn run(plan: &Cleared<Self::Plan>, work: &Work)
    -> impl Future<Output = Result<Outcome>> + Send;

    /// The world that this plan was made for, as it is now: compared with what was approved (law 4). Planning again tells, and
    /// is replaced where less is enough.
    fn fingerprint(
        args: Self::Args,
        _plan: &Self::Plan,
        look: &Look,
    ) -> impl Future<Output = Result<Value>> + Send {
        async move { Ok(Self::plan(args, look).await?.fingerprint) }
    }

    /// Whether a look ends by itself when it is asked to stop ([`Work::until_stopped`]), with what it has found. Any other is dropped where
    /// it stands.
    const ENDS_ITSELF: bool = false;

    /// The lines a person would type to do the same by hand.
    fn by_hand(_plan: &Self::Plan, _look: &Look) -> Vec<String> {
        Vec::new()
    }
}

/// What a handler may look at.
#[derive(Clone)]
pub struct Look {
    /// The outside.
    pub clients: Arc<Clients>,
    /// habops' own memory, read-only.
    pub records: Arc<dyn Records>,
    /// The catalogue.
    pub commands: Arc<Commands>,
    /// The configuration that commands read.
    pub settings: Arc<Settings>,
    /// Who holds which role.
    pub policy: Arc<Policy>,
    /// What is secret, for streams that are read line by line.
    pub secrets: Arc<Secrets>,
    /// What habops knows of itself: name and value, in order.
    pub vitals: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
    /// An incident as a document.
    pub document: Document,
    /// What was asked, by whom, about which nodes.
    pub asked: Arc<Asked>,
}

/// Makes a document of that kind (`md`, `html`, `jsonl`) of an incident's story: the renderer's work, put in by `app.rs`.
pub type Document = Arc<dyn Fn(&Story, &str) -> String + Send + Sync>;

/// What is secret, and how many secrets one operation has removed from streams by itself: before it merged, collapsed, cut or
/// hashed them (law 10). The message's footer counts them.
pub struct Secrets {
    rules: Arc<Rules>,
    removed: AtomicU64,
}

impl Secrets {
    /// For one operation.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            removed: AtomicU64::new(0),
        }
    }

    /// The rules.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Counts what was removed.
    pub fn count(&self, removed: u64) {
        self.removed.fetch_add(removed, Ordering::Relaxed);
    }

    /// How many were removed so far.
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }
}

/// The configuration that commands read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The fleet's services.
    pub services: Services,
    /// How long after one restart of a node the next is refused.
    pub cool_down: Duration,
    /// How long a restarted node's services may take to come up.
    pub comes_up_within: Duration,
    /// How long the journal is watched for the same error after a restart.
    pub watch: Duration,
    /// Packages that are promoted together, by the group's name.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Whether an incident lives in the whole channel where it is opened, rather than in a thread.
    pub place_is_channel: bool,
    /// How habops knows who is on call.
    pub on_call: OnCall,
}

/// How habops knows who is on call, and what a handoff is held to.
#[derive(Clone, Debug, Default)]
pub struct OnCall {
    /// The schedules that are watched.
    pub schedules: Vec<String>,
    /// Slack user → PagerDuty user, where the e-mail addresses differ.
    pub people: BTreeMap<String, String>,
    /// How often the schedules are read.
    pub poll: Duration,
    /// How long until an unaccepted handoff is told to everybody.
    pub accept_within: Duration,
    /// How long before a shift whoever begins it is reminded.
    pub remind: Duration,
}

impl OnCall {
    /// How long what was read of a schedule counts as fresh: two readings may fail, and a minute for a slow answer.
    pub fn fresh_for(&self) -> Duration {
        self.poll * 3 + Duration::from_mins(1)
    }
}

/// What was asked, by whom, about which nodes.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The operation; 0 for one that could not be recorded.
    pub operation: OperationId,
    /// Who, and what they may.
    pub standing: Standing,
    /// The command.
    pub spec: Arc<CommandSpec>,
    /// The flags.
    pub flags: Flags,
    /// Where it was typed.
    pub whence: Whence,
    /// The incident that hears of it.
    pub incident: Option<IncidentId>,
    /// The nodes it was authorized for; empty for a command without a target.
    pub nodes: Vec<Node>,
    /// Now.
    pub now: Timestamp,
}

/// [`Look`], and the ways to tell of progress and to be told to stop.
pub struct Work {
    /// What may be looked at.
    pub look: Look,
    progress: watch::Sender<Option<Output>>,
    stop: CancellationToken,
    fence: Fence,
    hold: Arc<dyn hold::Hold>,
}

/// Asks whether this process still owns the operation.
pub type Fence = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

impl Work {
    /// For the pipeline: progress goes to that channel, the token stops it, the fence is asked before each node, and what is
    /// held is held through `hold`.
    pub fn new(
        look: Look,
        progress: watch::Sender<Option<Output>>,
        stop: CancellationToken,
        fence: Fence,
        hold: Arc<dyn hold::Hold>,
    ) -> Self {
        Self {
            look,
            progress,
            stop,
            fence,
            hold,
        }
    }

    /// Tells how it stands. The latest wins; the pipeline redacts, coalesces and posts it.
    pub fn report(&self, output: Output) {
        self.progress.send_replace(Some(output));
    }

    /// Whether a person asked for it to stop.
    pub fn stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Asked before each node is touched: whether this process still owns the operation (its lease and fencing number hold).
    pub async fn may_touch(&self) -> std::result::Result<(), String> {
        if (self.fence)().await {
            Ok(())
        } else {
            Err("not begun: another process has taken over this operation".to_owned())
        }
    }

    /// Returns when a person asks for it to stop.
    pub async fn until_stopped(&self) {
        self.stop.cancelled().await;
    }
}

/// A handler without its types, as the pipeline holds it.
pub trait Deed: Send + Sync {
    /// [`Handler::plan`] on JSON.
    fn plan<'a>(&'a self, args: Value, look: &'a Look) -> BoxFuture<'a, Result<Proposal<Value>>>;
    /// [`Handler::run`] on JSON. With `--by-hand` the lines to type instead: here, so that no caller can do what was only to be shown.
    fn run<'a>(
        &'a self,
        plan: &'a Cleared<Value>,
        work: &'a Work,
    ) -> BoxFuture<'a, Result<Outcome>>;
    /// [`Handler::fingerprint`] on JSON.
    fn fingerprint<'a>(
        &'a self,
        args: Value,
        plan: &'a Value,
        look: &'a Look,
    ) -> BoxFuture<'a, Result<Value>>;
    /// [`Handler::ENDS_ITSELF`].
    fn ends_itself(&self) -> bool;
    /// [`Handler::by_hand`] on JSON.
    fn by_hand(&self, plan: &Value, look: &Look) -> Vec<String>;
    /// Whether these arguments deserialise into the handler's own.
    fn takes(&self, args: Value) -> std::result::Result<(), String>;
}

struct Typed<H>(std::marker::PhantomData<H>);

impl<H: Handler> Deed for Typed<H> {
    fn plan<'a>(&'a self, args: Value, look: &'a Look) -> BoxFuture<'a, Result<Proposal<Value>>> {
        Box::pin(async move {
            let args = H::Args::deserialize(args)
                .context("the catalogue's arguments do not fit their handler")?;
            let proposal = H::plan(args, look).await?;
            let plan = serde_json::to_value(proposal.plan).context("a plan cannot be written")?;
            Ok(Proposal {
                plan,
                preview: proposal.preview,
                fingerprint: proposal.fingerprint,
            })
        })
    }

    fn run<'a>(
        &'a self,
        plan: &'a Cleared<Value>,
        work: &'a Work,
    ) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(async move {
            let plan = plan
                .read::<H::Plan>()
                .context("a stored plan cannot be read; ask again for a fresh one")?;
            let parsed = plan.authorized().parsed();
            if parsed.flags().by_hand {
                let lines = H::by_hand(plan.plan(), &work.look);
                return Ok(by_hand(&lines, parsed.text()).into());
            }
            H::run(&plan, work).await
        })
    }

    fn fingerprint<'a>(
        &'a self,
        args: Value,
        plan: &'a Value,
        look: &'a Look,
    ) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move {
            let args = H::Args::deserialize(args)
                .context("the catalogue's arguments do not fit their handler")?;
            let plan = H::Plan::deserialize(plan)
                .context("a stored plan cannot be read; ask again for a fresh one")?;
            H::fingerprint(args, &plan, look).await
        })
    }

    fn ends_itself(&self) -> bool {
        H::ENDS_ITSELF
    }

    fn by_hand(&self, plan: &Value, look: &Look) -> Vec<String> {
        H::Plan::deserialize(plan)
            .map(|plan| H::by_hand(&plan, look))
            .unwrap_or_default()
    }

    fn takes(&self, args: Value) -> std::result::Result<(), String> {
        H::Args::deserialize(args)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

fn by_hand(lines: &[String], text: &str) -> Output {
    if lines.is_empty() {
        return Output::new(
            Status::Done,
            format!("`{text}` is done by habops alone: there are no lines to type for it"),
        );
    }
    Output::new(Status::Done, format!("By hand, `{text}` is")).with(Part::Log {
        of: "by hand".to_owned(),
        text: lines.join("\n"),
    })
}

/// Every handler by its word.
pub struct Registry {
    deeds: BTreeMap<&'static str, Arc<dyn Deed>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// All of them; the one list.
    pub fn new() -> Self {
        let mut deeds: BTreeMap<&'static str, Arc<dyn Deed>> = BTreeMap::new();
        let mut add = |word: &'static str, deed: Arc<dyn Deed>| {
            let before = deeds.insert(word, deed);
            assert!(before.is_none(), "two handlers are called {word}");
        };
        macro_rules! register {
            ($($word:literal => $handler:ty,)+) => { $(add($word, Arc::new(Typed::<$handler>(std::marker::PhantomData)));)+ };
        }
        register! {
            "airlock" => airlock::Airlock,
            "access" => access::Access,
            "approvals" => approvals::Approvals,
            "approve" => operations::Approve,
            "audit" => audit::Audit,
            "cancel" => operations::Cancel,
            "demote" => demote::Demote,
            "deny" => operations::Deny,
            "diagnose" => diagnose::Diagnose,
            "freeze" => freeze::Freeze,
            "handoff" => handoff::Handoff,
            "handoff_accept" => handoff::Accept,
            "handoff_packet" => handoff::TellPacket,
            "help" => help::Help,
            "incident_ack" => pagerduty_incident::Ack,
            "incident_annotate" => pagerduty_incident::Annotate,
            "incident_close" => incident::Close,
            "incident_export" => incident::Export,
            "incident_link" => incident::Link,
            "incident_list" => incident::List,
            "incident_note" => incident::Note,
            "incident_open" => incident::Open,
            "incident_recap" => incident::Recap,
            "incident_resolve" => pagerduty_incident::Resolve,
            "incident_role" => incident::Role,
            "incident_timeline" => incident::Timeline,
            "jobs" => jobs::Jobs,
            "jobs_cancel" => jobs::cancel::Cancel,
            "jobs_cancel_dispatching" => jobs::cancel::CancelDispatching,
            "jobs_promote" => jobs::promote::Promote,
            "jobs_show" => jobs::show::Show,
            "jobs_start" => jobs::start::Start,
            "logs" => logs::Logs,
            "oncall" => oncall::OnCall,
            "page" => page::Page,
            "promote" => promote::Promote,
            "recheck" => operations::Recheck,
            "restart" => restart::Restart,
            "retry" => operations::Retry,
            "self" => about::About,
            "services" => services::Services,
            "shard" => shard::Shard,
            "status" => status::Status,
            "tail" => tail::TailHandler,
            "unfreeze" => freeze::Unfreeze,
            "why" => why::Why,
        }
        Self { deeds }
    }

    /// Their words.
    pub fn words(&self) -> Vec<&'static str> {
        self.deeds.keys().copied().collect()
    }

    /// What runs for a command: its handler, or the runner of its runbook or query.
    pub fn deed(&self, spec: &CommandSpec) -> Option<Arc<dyn Deed>> {
        match &spec.source {
            Source::Handler(word) => self.deeds.get(word.as_str()).cloned(),
            Source::Runbook(_) => Some(Arc::new(Typed::<runbook::RunbookHandler>(
                std::marker::PhantomData,
            ))),
            Source::Query(_) => Some(Arc::new(Typed::<query::QueryHandler>(
                std::marker::PhantomData,
            ))),
        }
    }
}
