//! The terminal: `habops do …` on the same journey, so that the bot's hands work when Slack is down.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::{
    domain::{
        actor::Actor,
        command::Confirm,
        failure::RefusalKind,
        ids::OperationId,
        inbound::{Ack, Delivery, Inbound, Typed, Via},
        operation::{Operation, State},
        output::{HostOutcome, HostState, Output, Part, Status},
        place::Whence,
        records::{Inbox, Records},
    },
    render::text,
};

/// How often the operation's row is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What was typed after `habops do`.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The words after `--`, joined so that the parser splits them the same way again.
    pub text: String,
    /// Answer as one JSON object.
    pub json: bool,
    /// Say yes to `confirm = "self"`.
    pub yes: bool,
}

/// How it went: what the exit code is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// 0
    Done,
    /// 1
    Failed,
    /// 2
    Usage,
    /// 3
    Refused,
    /// 4
    Unconfirmed,
    /// 5
    Interrupted,
}

impl Went {
    /// What was typed wrong is not what one may not.
    fn refused(output: &Output) -> Self {
        match output.refusal {
            Some(RefusalKind::Usage) => Self::Usage,
            _ => Self::Refused,
        }
    }

    /// The exit code of design section 9.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unconfirmed => 4,
            Self::Interrupted => 5,
        }
    }
}

/// Runs one command and prints its answer on standard output.
pub async fn run(inbox: Arc<dyn Inbox>, records: Arc<dyn Records>, asked: &Asked) -> Result<Went> {
    let login = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| "somebody".to_owned());
    let actor = Actor::Console { login };
    let id = match submit(&*inbox, &actor, &asked.text, asked.yes).await? {
        Submitted::Operation(id) => id,
        Submitted::Unrecorded(answer, removed) => {
            show(asked, None, &answer, removed)?;
            return Ok(match answer.status {
                Status::Refused => Went::refused(&answer),
                Status::Failed | Status::Partly => Went::Failed,
                _ => Went::Done,
            });
        }
    };
    let mut operation = settled(&*records, id, asked.yes).await?;
    if operation.state == State::Awaiting
        && !asked.yes
        && !asked.json
        && std::io::stdin().is_terminal()
        && is_own(&operation)
        && is_yes(&operation)?
    {
        submit(&*inbox, &actor, &format!("approve {id}"), false).await?;
        operation = after_the_yes(&*records, id).await?;
    }
    let output = operation
        .output
        .clone()
        .unwrap_or_else(|| waiting(&operation));
    show(asked, Some(&operation), &output, operation.redacted)?;
    Ok(went(&operation))
}

enum Submitted {
    Operation(OperationId),
    /// The store cannot be written: the answer to a look, or the refusal of a change, and how many secrets were removed from it.
    Unrecorded(Output, u64),
}

async fn submit(inbox: &dyn Inbox, actor: &Actor, text: &str, yes: bool) -> Result<Submitted> {
    let random: [u8; 16] = rand::rng().random();
    let typed = Typed {
        in_passing: false,
        text: text.to_owned(),
        actor: actor.clone(),
        whence: Whence::Terminal,
        via: Via::Terminal,
        reply: None,
        message: None,
        yes,
    };
    let delivery = Delivery {
        key: format!("terminal:{}", hex::encode(random)),
        received: Timestamp::now(),
        inbound: Inbound::Typed(typed),
    };
    match inbox.accept(delivery).await {
        Ack::Accepted {
            operation: Some(id),
            ..
        } => Ok(Submitted::Operation(id)),
        Ack::Unstored { said, later: None } => Ok(Submitted::Unrecorded(said, 0)),
        Ack::Unstored {
            later: Some(later), ..
        } => {
            let answer = later.await;
            Ok(Submitted::Unrecorded(
                answer.output().clone(),
                answer.removed(),
            ))
        }
        Ack::Accepted {
            operation: None, ..
        }
        | Ack::Duplicate => bail!("the command was not taken; try again"),
    }
}

/// The operation once nothing more happens by itself: at its end, or waiting for a person. One that `yes` answers only passes
/// through `awaiting`.
async fn settled(records: &dyn Records, id: OperationId, yes: bool) -> Result<Operation> {
    loop {
        let operation = records
            .operation(id)
            .await?
            .with_context(|| format!("{id} is gone from the store"))?;
        let waits = match operation.state {
            State::Awaiting => !(yes && is_own(&operation)),
            state => state == State::Choosing,
        };
        if operation.state.is_end() || waits {
            return Ok(operation);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_own(operation: &Operation) -> bool {
    let proposal = operation.proposal.as_ref();
    proposal.is_some_and(|proposal| proposal.confirm == Confirm::Own)
}

/// The same after a yes: what still waits is on its way.
async fn after_the_yes(records: &dyn Records, id: OperationId) -> Result<Operation> {
    loop {
        let operation = records
            .operation(id)
            .await?
            .with_context(|| format!("{id} is gone from the store"))?;
        if operation.state.is_end() {
            return Ok(operation);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Shows the card on standard error and reads one word.
fn is_yes(operation: &Operation) -> Result<bool> {
    let card = operation
        .proposal
        .as_ref()
        .map(|proposal| text::render(&proposal.preview, look_of_stderr()))
        .unwrap_or_default();
    let mut err = std::io::stderr();
    write!(err, "{card}\n{}: type yes to go on: ", operation.text).context("cannot ask")?;
    err.flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

fn waiting(operation: &Operation) -> Output {
    let id = operation.id;
    match (&operation.proposal, operation.state) {
        (Some(proposal), State::Awaiting) => {
            let mut output = proposal.preview.clone();
            output.status = Status::Waiting;
            let until = proposal.expires_at.strftime("%Y-%m-%d %H:%M:%S UTC");
            output.text(format!(
                "{id} waits for a yes ({}) until {until}: `approve {id}` or `deny {id}`.",
                proposal.confirm
            ))
        }
        _ => Output::new(
            Status::Waiting,
            format!("{id} is {}", operation.state.word()),
        ),
    }
}

fn went(operation: &Operation) -> Went {
    match operation.state {
        State::Done => Went::Done,
        State::Refused => operation
            .output
            .as_ref()
            .map_or(Went::Refused, Went::refused),
        State::Awaiting
        | State::Choosing
        | State::Denied
        | State::Expired
        | State::Approved
        | State::Received => Went::Unconfirmed,
        State::Interrupted | State::Running => Went::Interrupted,
        State::Failed | State::Partly | State::Cancelled => Went::Failed,
    }
}

fn show(asked: &Asked, operation: Option<&Operation>, output: &Output, removed: u64) -> Result<()> {
    let mut out = std::io::stdout();
    if asked.json {
        let object = json_of(operation, output, removed);
        writeln!(out, "{object}").context("cannot print")
    } else {
        let look = text::Look {
            colour: out.is_terminal(),
            width: None,
        };
        writeln!(out, "{}", text::render(output, look).trim_end()).context("cannot print")
    }
}

fn look_of_stderr() -> text::Look {
    text::Look {
        colour: std::io::stderr().is_terminal(),
        width: None,
    }
}

/// The object of design section 9.
fn json_of(operation: Option<&Operation>, output: &Output, removed: u64) -> Value {
    let told = output.parts.iter().filter_map(|part| match part {
        Part::Hosts(hosts) => Some(hosts),
        _ => None,
    });
    let mut told: Vec<HostOutcome> = told.flatten().cloned().collect();
    // Where all went well, an answer in other words leaves the rows out; a program wants them all the same.
    if let Some(operation) = operation.filter(|it| it.state == State::Done && told.is_empty()) {
        let nodes = operation.nodes.iter();
        told.extend(
            nodes.map(|node| HostOutcome::new(node.name.as_str(), HostState::Done, "done")),
        );
    }
    let hosts: Vec<Value> = told
        .into_iter()
        .map(|host| {
            let facts: serde_json::Map<String, Value> = host.facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            json!({ "node": host.node, "state": host_word(host.state), "said": host.said, "facts": facts })
        })
        .collect();
    json!({
        "operation": operation.map(|operation| operation.id.to_string()),
        "command": operation.and_then(|operation| operation.command.as_ref().map(ToString::to_string)),
        "state": operation.map_or_else(|| unrecorded(output), |operation| operation.state.word()),
        "title": output.title,
        "parts": output.parts,
        "hosts": hosts,
        "redacted": removed,
    })
}

/// How that ended which no row holds; that it has no operation says that it is unrecorded.
fn unrecorded(output: &Output) -> &'static str {
    let state = match output.status {
        Status::Refused => State::Refused,
        Status::Partly => State::Partly,
        Status::Failed => State::Failed,
        Status::Cancelled => State::Cancelled,
        Status::Interrupted => State::Interrupted,
        Status::Done | Status::Waiting | Status::Running => State::Done,
    };
    state.word()
}

fn host_word(state: HostState) -> &'static str {
    match state {
        HostState::Done => "done",
        HostState::Failed => "failed",
        HostState::Unreachable => "unreachable",
        HostState::Skipped => "skipped",
    }
}
