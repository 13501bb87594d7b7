//! `/habops jobs`: Builder's job groups by state, with their age; what waits or hangs comes first.

pub mod cancel;
pub mod promote;
pub mod show;
pub mod start;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Handler, Look, Result, Work,
    releases::{self, ASKS_AT_ONCE, MOST_ROWS, age, builder, cannot, with_diagnosis},
};
use crate::{
    clients::{
        builder::{Client, Error},
        datastore,
    },
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        release::{GroupState, Ident, JobGroup, JobGroupId, ProjectState},
    },
};

/// Which groups.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    state: Option<GroupState>,
    #[serde(default)]
    origin: Option<String>,
}

/// The word in the registry.
pub struct Jobs;

/// How long a group that has ended is still listed.
const NEWS: SignedDuration = SignedDuration::from_hours(48);
/// jobsrv gives a job this long; a group that dispatches for longer than one job may take deserves a look.
const LONG: SignedDuration = SignedDuration::from_mins(60);

impl Handler for Jobs {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        is_origin(args.origin.as_deref())?;
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let (args, look) = (plan.plan(), &work.look);
        let found = groups(args.origin.as_deref(), builder(look)?, look).await;
        Ok(output(args, found, look).into())
    }

    fn by_hand(plan: &Args, look: &Look) -> Vec<String> {
        let url = releases::url_option(look);
        origins(plan.origin.as_deref(), look)
            .into_iter()
            .map(|origin| format!("hab bldr job status --origin {origin}{url}"))
            .collect()
    }
}

/// An origin's name becomes part of a path: only a word that can be one is let through.
pub(super) fn is_origin(typed: Option<&str>) -> Result<()> {
    match typed {
        Some(word) if format!("{word}/x").parse::<Ident>().is_err() => {
            Err(Refusal::usage(format!("`{word}` is not an origin's name like `core`.")).into())
        }
        _ => Ok(()),
    }
}

/// Groups as they were found, and who could not be asked for them.
pub(super) struct Found {
    groups: Vec<JobGroup>,
    failed: Vec<(String, Error)>,
    /// Whether groups of other origins are among them, in a sentence.
    reach: String,
}

impl Found {
    /// The groups, where every origin answered, and how far that reaches: what is to be cancelled must be seen whole.
    fn whole(self, look: &Look) -> Result<(Vec<JobGroup>, String)> {
        match self.failed.first() {
            Some((origin, error)) => Err(cannot(
                &format!("read the job groups of {origin}"),
                error,
                look,
            )),
            None => Ok((self.groups, self.reach)),
        }
    }
}

/// The origins that are asked: Builder's API lists groups of one origin at a time. Those of the fleet's services and of what is
/// promoted together.
fn origins(only: Option<&str>, look: &Look) -> BTreeSet<String> {
    if let Some(only) = only {
        return BTreeSet::from([only.to_owned()]);
    }
    let services = look.settings.services.iter().map(|(_, it)| &it.package);
    let groups = look.settings.groups.values().flatten();
    services
        .chain(groups)
        .filter_map(|package| package.split('/').next())
        .map(str::to_owned)
        .collect()
}

/// Every group of these origins, in the order in which they matter: by state, the oldest first while they are active, then the
/// newest first.
pub(super) async fn groups(only: Option<&str>, client: &Client, look: &Look) -> Found {
    let origins = origins(only, look);
    let asked: Vec<_> = origins
        .iter()
        .map(|origin| async move { (origin.clone(), client.groups_of(origin).await) })
        .collect();
    let answers: Vec<_> = stream::iter(asked).buffered(ASKS_AT_ONCE).collect().await;
    let (mut groups, mut failed) = (Vec::new(), Vec::new());
    for (origin, answer) in answers {
        match answer {
            Ok(some) => groups.extend(some),
            Err(error) => failed.push((origin, error)),
        }
    }
    let reach = match (only, &look.clients.datastore) {
        (Some(_), _) => String::new(),
        (None, None) => {
            let asked: Vec<&String> = origins.iter().collect();
            format!(
                "Origins asked: {}. Another one: `--origin`.",
                releases::listed(&asked, 10)
            )
        }
        (None, Some(datastore)) => match in_datastore(datastore).await {
            Ok(rows) => {
                // What the API said of a group is more: it has its packages.
                let others = rows
                    .into_iter()
                    .filter(|row| !groups.iter().any(|known| known.id == row.id));
                let others: Vec<JobGroup> = others.collect();
                groups.extend(others);
                "Active groups of every origin, as the datastore has them.".to_owned()
            }
            Err(error) => format!(
                "The datastore cannot be asked, so groups of other origins are missing: {error}."
            ),
        },
    };
    groups.sort_by(|one, other| {
        let by_age = one.id.cmp(&other.id);
        let by_age = if one.state.is_active() {
            by_age
        } else {
            by_age.reverse()
        };
        one.state.cmp(&other.state).then(by_age)
    });
    Found {
        groups,
        failed,
        reach,
    }
}

/// Every active group, whatever its origin; its packages are not among what is read.
async fn in_datastore(
    datastore: &datastore::Client,
) -> std::result::Result<Vec<JobGroup>, datastore::Error> {
    let mut groups = Vec::new();
    for state in [
        GroupState::Dispatching,
        GroupState::Pending,
        GroupState::Queued,
    ] {
        let rows = datastore.groups(state.word()).await?;
        groups.extend(rows.into_iter().map(|row| JobGroup {
            id: JobGroupId(row.id),
            state: GroupState::from(row.state),
            project: row.project,
            created_at: row.created_at,
            projects: Vec::new(),
        }));
    }
    Ok(groups)
}

fn output(args: &Args, found: Found, look: &Look) -> Output {
    let now = look.asked.now;
    let Found {
        groups,
        failed,
        reach,
    } = found;
    if groups.is_empty()
        && let Some((origin, error)) = failed.first()
    {
        return releases::failed(&format!("read the job groups of {origin}"), error, look);
    }
    let mut counts: BTreeMap<&GroupState, usize> = BTreeMap::new();
    for group in &groups {
        *counts.entry(&group.state).or_default() += 1;
    }
    let is_news = |group: &&JobGroup| match &args.state {
        Some(state) => group.state == *state,
        None => {
            group.state.is_active()
                || group
                    .created_at
                    .is_none_or(|at| now.duration_since(at) < NEWS)
        }
    };
    let shown: Vec<&JobGroup> = groups.iter().filter(is_news).collect();
    let said: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let title = match (said.is_empty(), &args.state) {
        (true, _) => "There are no job groups".to_owned(),
        (false, Some(state)) => format!("{} job groups are {state}", shown.len()),
        (false, None) => format!("Job groups: {}", said.join(", ")),
    };
    let status = if failed.is_empty() {
        Status::Done
    } else {
        Status::Partly
    };
    let mut output = Output::new(status, title);
    if !shown.is_empty() {
        let rows = shown.iter().take(MOST_ROWS).map(|group| row(group, now));
        let columns = ["state", "for", "group", "project", "packages"].map(str::to_owned);
        output = output.with(Part::Table {
            columns: columns.to_vec(),
            rows: rows.collect(),
        });
    }
    if let Some(more) = shown.len().checked_sub(MOST_ROWS + 1) {
        output = output.text(format!(
            "{} more are not shown; `--state` and `--origin` narrow it.",
            more + 1
        ));
    }
    for (origin, error) in &failed {
        output = output.text(format!("The groups of {origin} cannot be read: {error}."));
    }
    output = hanging(output, &groups, now);
    if !reach.is_empty() {
        output = output.text(reach);
    }
    with_diagnosis(output, failed.iter().map(|(_, error)| error), look)
}

/// What has been dispatching for longer than a job may take, and what can be done about it.
fn hanging(output: Output, groups: &[JobGroup], now: Timestamp) -> Output {
    let dispatching: Vec<&JobGroup> = groups
        .iter()
        .filter(|group| group.state == GroupState::Dispatching)
        .collect();
    let long = dispatching.iter().find_map(|group| {
        let since = group.created_at?;
        (now.duration_since(since) > LONG).then_some((group, since))
    });
    let Some((group, since)) = long else {
        return output;
    };
    let output = output
        .text(format!(
            "{} has been dispatching for {}. Until it ends, other groups of that project stay Queued.",
            group.project,
            age(now, since)
        ))
        .with(Part::Next {
            label: format!("Show {}", group.project),
            command: format!("jobs show {}", group.id),
        })
        .with(Part::Next {
            label: format!("Cancel {}", group.project),
            command: format!("jobs cancel {}", group.id),
        });
    if dispatching.len() < 2 {
        return output;
    }
    output.with(Part::Next {
        label: format!("Cancel all {} dispatching", dispatching.len()),
        command: "jobs cancel-dispatching".to_owned(),
    })
}

fn row(group: &JobGroup, now: Timestamp) -> Vec<String> {
    vec![
        group.state.to_string(),
        since(group, now),
        group.id.to_string(),
        group.project.clone(),
        progress(group),
    ]
}

/// How old a group is.
pub(super) fn since(group: &JobGroup, now: Timestamp) -> String {
    group
        .created_at
        .map_or_else(|| "–".to_owned(), |at| age(now, at))
}

/// `3 of 5 built, 1 failed`.
pub(super) fn progress(group: &JobGroup) -> String {
    let total = group.projects.len();
    if total == 0 {
        return "–".to_owned();
    }
    let mut said = vec![format!(
        "{} of {total} built",
        group.count(&ProjectState::Success)
    )];
    for (state, word) in [
        (ProjectState::InProgress, "building"),
        (ProjectState::Failure, "failed"),
        (ProjectState::Skipped, "skipped"),
    ] {
        match group.count(&state) {
            0 => {}
            count => said.push(format!("{count} {word}")),
        }
    }
    said.join(", ")
}

/// The group of that id, or what to do where there is none.
pub(super) async fn group(id: JobGroupId, client: &Client, look: &Look) -> Result<JobGroup> {
    let found = client.group(id).await;
    let found = found.map_err(|error| cannot(&format!("read group {id}"), &error, look))?;
    Ok(found.ok_or_else(|| {
        Refusal::usage(format!("Builder has no job group {id}.")).or_else("List the groups", "jobs")
    })?)
}

/// How a group is called at the beginning of a sentence.
pub(super) fn heading(group: &JobGroup) -> String {
    format!("Group {} ({})", group.id, group.project)
}

/// How a group is called in a sentence.
pub(super) fn name(group: &JobGroup) -> String {
    format!("group {} ({})", group.id, group.project)
}
