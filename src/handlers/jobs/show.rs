//! `/habops jobs show`: one group, its packages, and where a build failed.

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        Handler, Look, Result, Work,
        releases::{ASKS_AT_ONCE, MOST_ROWS, builder, failed, url_option},
    },
    heading, progress, since,
};
use crate::{
    clients::builder::Client,
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        release::{GroupState, JobGroup, JobGroupId, Project, ProjectState},
    },
};

/// Which group.
#[derive(Deserialize, Serialize)]
pub struct Args {
    group: u64,
}

/// The word in the registry.
pub struct Show;

/// Failed jobs whose reason is read.
const MOST_REASONS: usize = 8;

impl Handler for Show {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let (id, look) = (JobGroupId(plan.plan().group), &work.look);
        let client = builder(look)?;
        match client.group(id).await {
            Ok(Some(group)) => {
                let reasons = reasons(&group, client).await;
                Ok(output(&group, &reasons, look).into())
            }
            Ok(None) => Err(Refusal::usage(format!("Builder has no job group {id}."))
                .or_else("List the groups", "jobs")
                .into()),
            Err(error) => Ok(failed(&format!("read group {id}"), &error, look).into()),
        }
    }

    fn by_hand(plan: &Args, look: &Look) -> Vec<String> {
        vec![format!(
            "hab bldr job status {} --showjobs{}",
            plan.group,
            url_option(look)
        )]
    }
}

/// Why the failed ones failed, as far as Builder lets the token's account see it.
async fn reasons(group: &JobGroup, client: &Client) -> Vec<(u64, String)> {
    if !client.has_token() {
        return Vec::new();
    }
    let failed = group
        .projects
        .iter()
        .filter(|project| project.state == ProjectState::Failure)
        .filter_map(|project| project.job)
        .take(MOST_REASONS);
    let asked: Vec<_> = failed
        .map(|job| async move {
            let reason = match client.job(job).await {
                Ok(found) => found.and_then(|job| job.error)?,
                Err(error) => format!("its reason cannot be read: {error}"),
            };
            Some((job, reason))
        })
        .collect();
    let read: Vec<Option<(u64, String)>> =
        stream::iter(asked).buffered(ASKS_AT_ONCE).collect().await;
    read.into_iter().flatten().collect()
}

fn output(group: &JobGroup, reasons: &[(u64, String)], look: &Look) -> Output {
    let now = look.asked.now;
    let title = heading(group);
    let mut output = Output::new(
        Status::Done,
        format!(
            "{title} is {}, {} old: {}",
            group.state,
            since(group, now),
            progress(group)
        ),
    );
    let mut projects: Vec<&Project> = group.projects.iter().collect();
    projects.sort_by_key(|project| match project.state {
        ProjectState::Failure => 0,
        ProjectState::InProgress => 1,
        ProjectState::NotStarted => 2,
        _ => 3,
    });
    let rows: Vec<Vec<String>> = projects
        .iter()
        .take(MOST_ROWS)
        .map(|project| {
            let reason = reasons.iter().find(|(job, _)| Some(*job) == project.job);
            let none = || "–".to_owned();
            vec![
                project.name.clone(),
                project.state.to_string(),
                project
                    .ident
                    .as_ref()
                    .map_or_else(none, ToString::to_string),
                project.job.map_or_else(none, |job| job.to_string()),
                reason.map_or_else(String::new, |(_, why)| why.clone()),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let columns = ["package", "state", "ident", "job", "why"].map(str::to_owned);
        output = output.with(Part::Table {
            columns: columns.to_vec(),
            rows,
        });
    }
    if projects.len() > MOST_ROWS {
        output = output.text(format!(
            "{} more packages are not shown.",
            projects.len() - MOST_ROWS
        ));
    }
    next_steps(output, group)
}

fn next_steps(output: Output, group: &JobGroup) -> Output {
    let next = |label: &str, command: String| Part::Next {
        label: label.to_owned(),
        command,
    };
    if group.state.is_active() {
        return output.with(next("Cancel it", format!("jobs cancel {}", group.id)));
    }
    let built = group.count(&ProjectState::Success) > 0;
    if group.state == GroupState::Complete && built && group.unfinished().next().is_none() {
        let command = format!("jobs promote {} stable", group.id);
        return output.with(next("Promote to stable", command));
    }
    output
}
