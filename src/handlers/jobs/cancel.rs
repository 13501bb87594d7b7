//! `/habops jobs cancel` and `cancel-dispatching`: each group by one call to the API, and read back whether it is cancelled.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        Handler, Look, Result, Work,
        releases::{BY_HAND_TOKEN, builder_with_token, url_option, with_diagnosis},
    },
    group, groups, is_origin, name, progress, since,
};
use crate::{
    clients::builder::{Client, Error},
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        release::{GroupState, JobGroup, JobGroupId},
    },
};

/// Which group.
#[derive(Deserialize)]
pub struct Args {
    group: u64,
}

/// Of which origin.
#[derive(Deserialize)]
pub struct Of {
    #[serde(default)]
    origin: Option<String>,
}

/// The groups on the card, each with its project.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    groups: Vec<(JobGroupId, String)>,
}

/// The word in the registry.
pub struct Cancel;

/// The word in the registry.
pub struct CancelDispatching;

/// jobsrv takes a cancel into its scheduler's queue: read again, so often and so long after.
const READS: usize = 4;
const BETWEEN_READS: Duration = Duration::from_secs(1);
/// What a cancel does, for the card.
const MEANS: &str = "What waits is not built. What is being built ends at its next stage: a build inside its studio is not interrupted.";

impl Handler for Cancel {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        let client = builder_with_token(look)?;
        let found = group(JobGroupId(args.group), client, look).await?;
        if !found.state.is_active() {
            return Err(Refusal::not_now(format!(
                "There is nothing to cancel: {} is {}.",
                name(&found),
                found.state
            ))
            .into());
        }
        let title = format!("{} is cancelled", name(&found));
        Ok(proposal(title, vec![found], look))
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        cancelled(plan.plan(), work).await
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        by_hand(plan, look)
    }
}

impl Handler for CancelDispatching {
    type Args = Of;
    type Plan = Plan;

    async fn plan(args: Of, look: &Look) -> Result<Proposal<Plan>> {
        let client = builder_with_token(look)?;
        is_origin(args.origin.as_deref())?;
        let found = groups(args.origin.as_deref(), client, look).await;
        let (found, reach) = found.whole(look)?;
        let dispatching: Vec<JobGroup> = found
            .into_iter()
            .filter(|group| group.state == GroupState::Dispatching)
            .collect();
        if dispatching.is_empty() {
            return Err(Refusal::not_now(
                "No group is Dispatching, so there is nothing to cancel.",
            )
            .or_else("List the groups", "jobs")
            .into());
        }
        let title = format!(
            "{} groups that are Dispatching are cancelled",
            dispatching.len()
        );
        let mut proposal = proposal(title, dispatching, look);
        if !reach.is_empty() {
            proposal.preview = proposal.preview.text(reach);
        }
        Ok(proposal)
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        cancelled(plan.plan(), work).await
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        by_hand(plan, look)
    }
}

/// Deliberately without a fingerprint: groups end and begin by themselves all the time. What runs is the list on the card and no
/// group more, and each is read again before it is touched.
fn proposal(title: String, groups: Vec<JobGroup>, look: &Look) -> Proposal<Plan> {
    let now = look.asked.now;
    let rows = groups
        .iter()
        .map(|group| {
            vec![
                group.id.to_string(),
                group.project.clone(),
                group.state.to_string(),
                since(group, now),
                progress(group),
            ]
        })
        .collect();
    let columns = ["group", "project", "state", "for", "packages"].map(str::to_owned);
    let preview = Output::new(Status::Waiting, title)
        .with(Part::Table {
            columns: columns.to_vec(),
            rows,
        })
        .text(MEANS);
    let groups = groups.into_iter().map(|group| (group.id, group.project));
    Proposal {
        plan: Plan {
            groups: groups.collect(),
        },
        preview,
        fingerprint: serde_json::Value::Null,
    }
}

fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
    let url = url_option(look);
    let lines = plan
        .groups
        .iter()
        .map(|(id, _)| format!("hab bldr job cancel {id}{url}"));
    std::iter::once(BY_HAND_TOKEN.to_owned())
        .chain(lines)
        .collect()
}

/// What became of one group.
struct Row {
    id: JobGroupId,
    project: String,
    end: End,
    said: String,
    error: Option<Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Canceled,
    EndedBefore,
    Not,
    Unknown,
    Skipped,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Canceled => "cancelled",
            Self::EndedBefore => "had ended",
            Self::Not => "not cancelled",
            Self::Unknown => "unknown",
            Self::Skipped => "not begun",
        }
    }
}

async fn cancelled(plan: &Plan, work: &Work) -> Result<Outcome> {
    let client = builder_with_token(&work.look)?;
    let mut rows: Vec<Row> = Vec::new();
    for (id, project) in &plan.groups {
        let (end, said, error) = one(*id, client, work).await;
        rows.push(Row {
            id: *id,
            project: project.clone(),
            end,
            said,
            error,
        });
        if plan.groups.len() > 1 {
            let title = format!("{} of {} groups", rows.len(), plan.groups.len());
            work.report(Output::new(Status::Running, title).with(table(&rows)));
        }
    }
    Ok(output(&rows, work).into())
}

async fn one(id: JobGroupId, client: &Client, work: &Work) -> (End, String, Option<Error>) {
    if work.stopped() {
        return (End::Skipped, "stopped before it began".to_owned(), None);
    }
    if let Err(why) = work.may_touch().await {
        return (End::Skipped, why, None);
    }
    match client.group(id).await {
        Ok(Some(group)) if !group.state.is_active() => {
            return (End::EndedBefore, format!("it is {}", group.state), None);
        }
        Ok(Some(_)) => {}
        Ok(None) => return (End::Not, "Builder has no such group".to_owned(), None),
        Err(error) => return (End::Not, error.to_string(), Some(error)),
    }
    let told = client.cancel_group(id).await;
    let mut now = client.group(id).await;
    for _ in 1..READS {
        let still = matches!(&now, Ok(Some(group)) if group.state.is_active());
        // What was refused for good need not be waited for.
        let waits = told.as_ref().map_or_else(Error::leaves_doubt, |()| true);
        if !still || !waits {
            break;
        }
        tokio::time::sleep(BETWEEN_READS).await;
        now = client.group(id).await;
    }
    match (told, now) {
        (told, Ok(Some(group))) if group.state == GroupState::Canceled => {
            let note = told
                .err()
                .map(|error| format!("read back as cancelled, though its answer was: {error}"));
            (End::Canceled, note.unwrap_or_default(), None)
        }
        (_, Ok(Some(group))) if !group.state.is_active() => {
            (End::EndedBefore, format!("it is {}", group.state), None)
        }
        (Err(error), Ok(_)) => (End::Not, error.to_string(), Some(error)),
        (Ok(()), Ok(Some(group))) => (
            End::Not,
            format!("Builder said yes, and it is still {}", group.state),
            None,
        ),
        (Ok(()), Ok(None)) => (
            End::Unknown,
            "Builder does not know it any more".to_owned(),
            None,
        ),
        (Err(error), Err(_)) if !error.leaves_doubt() => (End::Not, error.to_string(), Some(error)),
        (_, Err(error)) => (
            End::Unknown,
            format!("its state cannot be read back: {error}"),
            Some(error),
        ),
    }
}

fn table(rows: &[Row]) -> Part {
    let columns = ["group", "project", "result", "why"].map(str::to_owned);
    let rows = rows.iter().map(|row| {
        vec![
            row.id.to_string(),
            row.project.clone(),
            row.end.word().to_owned(),
            row.said.clone(),
        ]
    });
    Part::Table {
        columns: columns.to_vec(),
        rows: rows.collect(),
    }
}

fn output(rows: &[Row], work: &Work) -> Output {
    let ended = |row: &&Row| matches!(row.end, End::Canceled | End::EndedBefore);
    let gone = rows.iter().filter(ended).count();
    let skipped = rows.iter().any(|row| row.end == End::Skipped);
    let status = match gone {
        _ if skipped && work.stopped() => Status::Cancelled,
        all if all == rows.len() => Status::Done,
        0 => Status::Failed,
        _ => Status::Partly,
    };
    let title = if let [row] = rows {
        format!("Group {} ({}): {}", row.id, row.project, row.end.word())
    } else {
        let cancelled = rows.iter().filter(|row| row.end == End::Canceled).count();
        format!("{cancelled} of {} groups are cancelled", rows.len())
    };
    let mut output = Output::new(status, title);
    match rows {
        [row] if row.said.is_empty() => {}
        [row] => output = output.text(row.said.clone()),
        _ => output = output.with(table(rows)),
    }
    with_diagnosis(
        output,
        rows.iter().filter_map(|row| row.error.as_ref()),
        &work.look,
    )
}
