//! `/habops jobs start`: asks for a build and watches it, until it ends, somebody stops the watching, or two hours are over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        Handler, Look, Result, Work,
        releases::{
            BY_HAND_TOKEN, MOST_ROWS, age, builder_with_token, cannot, url_option, with_diagnosis,
        },
    },
    heading, name, progress,
};
use crate::{
    clients::builder::{Client, Error},
    domain::{
        failure::Refusal,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        release::{Channel, GroupState, Ident, JobGroup, ProjectState},
    },
};

/// What is to be built.
#[derive(Deserialize)]
pub struct Args {
    package: String,
    #[serde(default)]
    dependents: bool,
}

/// What is asked for.
#[derive(Serialize, Deserialize)]
pub struct Plan {
    package: Ident,
    dependents: bool,
}

/// The word in the registry.
pub struct Start;

/// How often the build is looked at: often in the beginning, when it may fail at once, then less.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LAST_LOOK: Duration = Duration::from_secs(20);
/// How long it is watched.
const LONGEST: Duration = Duration::from_hours(2);
/// Looks that may fail one after the other before the watching ends.
const MOST_FAILURES: usize = 5;

impl Handler for Start {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        let client = builder_with_token(look)?;
        let named: Ident = args.package.parse().map_err(Refusal::usage)?;
        if named.version.is_some() {
            let said = format!(
                "Builder builds what the plan says now, not a version: name the package alone, `{}/{}`.",
                named.origin, named.name
            );
            return Err(Refusal::usage(said).into());
        }
        let latest = client.latest(&named, &Channel::unstable()).await;
        let latest = latest.map_err(|error| cannot(&format!("read {named}"), &error, look))?;
        let groups = client.groups_of(&named.origin).await;
        let what = format!("read the job groups of {}", named.origin);
        let groups = groups.map_err(|error| cannot(&what, &error, look))?;
        let project = named.to_string();
        let mut before: Vec<JobGroup> = groups
            .into_iter()
            .filter(|group| group.project == project && group.state.is_active())
            .collect();
        before.sort_by(|one, other| one.state.cmp(&other.state).then(one.id.cmp(&other.id)));
        let active: Vec<String> = before.iter().map(|group| group.id.to_string()).collect();
        let fingerprint = json!({ project: { "active groups": active.join(", ") } });
        let plan = Plan {
            package: named,
            dependents: args.dependents,
        };
        let latest = latest.map_or_else(|| "no release yet".to_owned(), |it| it.what());
        let preview = preview(&plan, latest, &before, look);
        Ok(Proposal {
            plan,
            preview,
            fingerprint,
        })
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let plan = plan.plan();
        let client = builder_with_token(&work.look)?;
        if let Err(why) = work.may_touch().await {
            return Err(Refusal::not_now(why).into());
        }
        match client.schedule(&plan.package, !plan.dependents).await {
            Ok(group) => watch(group, client, work).await,
            Err(error) => Ok(not_started(plan, &error, &work.look).into()),
        }
    }

    fn by_hand(plan: &Plan, look: &Look) -> Vec<String> {
        let group = if plan.dependents { " --group" } else { "" };
        let url = url_option(look);
        vec![
            BY_HAND_TOKEN.to_owned(),
            format!("hab bldr job start {}{group}{url}", plan.package),
        ]
    }
}

fn preview(plan: &Plan, latest: String, before: &[JobGroup], look: &Look) -> Output {
    let with = if plan.dependents {
        " and everything that depends on it"
    } else {
        ""
    };
    let card = Output::new(
        Status::Waiting,
        format!("Builder builds {}{with}", plan.package),
    )
    .with(Part::Facts(vec![("latest in unstable".to_owned(), latest)]))
    .text("What is built goes into unstable, and acceptance installs it by itself.");
    match before.first() {
        Some(group) => card.text(format!(
            "{} is {} for {}; the new one waits until it has ended.",
            heading(group),
            group.state,
            group.created_at.map_or_else(
                || "an unknown time".to_owned(),
                |at| age(look.asked.now, at)
            )
        )),
        None => card,
    }
}

fn not_started(plan: &Plan, error: &Error, look: &Look) -> Output {
    let title = if error.leaves_doubt() {
        format!(
            "Whether {} is to be built is unknown: {error}",
            plan.package
        )
    } else {
        format!("{} is not built: {error}", plan.package)
    };
    let output = Output::new(Status::Failed, title).with(Part::Next {
        label: "List its groups".to_owned(),
        command: format!("jobs --origin {}", plan.package.origin),
    });
    with_diagnosis(output, [error], look)
}

/// Looks at it again and again.
async fn watch(mut group: JobGroup, client: &Client, work: &Work) -> Result<Outcome> {
    let until = Instant::now() + LONGEST;
    let (mut pause, mut failures) = (FIRST_LOOK, 0);
    while group.state.is_active() {
        work.report(seen(&group, Status::Running));
        tokio::select! {
            () = sleep(pause) => {}
            () = work.until_stopped() => return Ok(left(&group, "Nobody watches it any more")),
        }
        pause = (pause * 3 / 2).min(LAST_LOOK);
        if Instant::now() > until {
            return Ok(left(&group, "It was watched for two hours"));
        }
        match client.group(group.id).await {
            Ok(Some(now)) => (group, failures) = (now, 0),
            Ok(None) => {
                let said = format!("Builder does not know {} any more", name(&group));
                return Ok(Output::new(Status::Failed, said).into());
            }
            Err(error) => {
                failures += 1;
                if failures >= MOST_FAILURES {
                    let output = left(&group, &format!("It cannot be watched: {error}"));
                    return Ok(Outcome {
                        output: with_diagnosis(output.output, [&error], &work.look),
                        ..output
                    });
                }
            }
        }
    }
    let built = group.count(&ProjectState::Success);
    let status = match group.state {
        GroupState::Complete if built == group.projects.len() => Status::Done,
        _ if built > 0 => Status::Partly,
        _ => Status::Failed,
    };
    Ok(seen(&group, status)
        .with(Part::Next {
            label: "Show the group".to_owned(),
            command: format!("jobs show {}", group.id),
        })
        .into())
}

/// The build goes on without a watcher; the way back is to cancel it.
fn left(group: &JobGroup, why: &str) -> Outcome {
    let output = seen(group, Status::Done)
        .text(format!("{why}; the build goes on."))
        .with(Part::Next {
            label: "Show the group".to_owned(),
            command: format!("jobs show {}", group.id),
        });
    Outcome::from(output).undo(format!("jobs cancel {}", group.id))
}

fn seen(group: &JobGroup, status: Status) -> Output {
    let title = heading(group);
    let output = Output::new(
        status,
        format!("{title} is {}: {}", group.state, progress(group)),
    );
    let rows: Vec<Vec<String>> = group
        .projects
        .iter()
        .take(MOST_ROWS)
        .map(|project| {
            let ident = project.ident.as_ref().map(ToString::to_string);
            vec![
                project.name.clone(),
                project.state.to_string(),
                ident.unwrap_or_default(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return output;
    }
    let columns = ["package", "state", "ident"].map(str::to_owned);
    output.with(Part::Table {
        columns: columns.to_vec(),
        rows,
    })
}
