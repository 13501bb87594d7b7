//! What the card of a restart shows: the evidence, what goes down with it, the last change, what may go wrong.

use super::{
    Args, Found, Plan, What, builds,
    evidence::Sign,
    guard::{last_change, whole_roles},
    lock_files,
};
use crate::{
    domain::{
        output::{Output, Part, Status},
        supervisor::Service,
    },
    handlers::Look,
};

/// Kinds of errors told of one node; the rest is a number.
const MOST_ERRORS: usize = 3;

/// The preview.
pub async fn preview(args: &Args, plan: &Plan, found: &[Found<'_>], look: &Look) -> Output {
    let nodes: Vec<&str> = found.iter().map(|found| found.node.name.as_str()).collect();
    let mut output = Output::new(
        Status::Waiting,
        format!("Restarts {} on {}.", plan.what.name(), nodes.join(", ")),
    );
    for found in found {
        output = evidence(output, found, look);
    }
    let mut rows = Vec::new();
    for found in found {
        rows.push(row(plan, found, look).await);
    }
    let columns = ["node", "Supervisor", "goes down", "last change"];
    output = output.with(Part::Table {
        columns: columns.map(str::to_owned).to_vec(),
        rows,
    });
    for remark in remarks(args, plan, found, look).await {
        output = output.text(remark);
    }
    output
}

/// What was found on a node, and elsewhere about it, with the newest line of the most frequent error.
fn evidence(mut output: Output, found: &Found<'_>, look: &Look) -> Output {
    let node = &found.node.name;
    if let Err((_, why)) = &found.reading {
        return output.text(format!("{node} is left out: {why}"));
    }
    output = output.text(match &found.evidence.errors {
        Err(why) => format!("{node}: evidence unavailable: {why}"),
        Ok(errors) if errors.is_empty() => format!(
            "{node}: none found: no error line in {} min",
            super::evidence::MINUTES
        ),
        Ok(errors) => format!("{node}: {}", said(errors)),
    });
    for witness in &found.evidence.elsewhere {
        let of = &witness.node;
        match &witness.errors {
            Ok(errors) if errors.is_empty() => {}
            Ok(errors) => output = output.text(format!("{of} tells of it: {}", said(errors))),
            Err(why) => {
                output = output.text(format!("{of}, which may tell of it, is unavailable: {why}"));
            }
        }
    }
    if look.asked.nodes.len() > 1 {
        return output; // one line a node is enough where there are several
    }
    let own = (node.as_str(), found.evidence.errors.as_ref().ok());
    let elsewhere = found.evidence.elsewhere.iter();
    let elsewhere = elsewhere.map(|it| (it.node.as_str(), it.errors.as_ref().ok()));
    let mut logs = std::iter::once(own).chain(elsewhere);
    match logs.find_map(|(of, errors)| Some((of, errors?.first()?))) {
        Some((of, newest)) => output.with(Part::Log {
            of: format!("{of}, newest"),
            text: newest.line.clone(),
        }),
        None => output,
    }
}

/// The most frequent kinds of errors.
fn said(errors: &[Sign]) -> String {
    let mut said: Vec<String> = errors.iter().take(MOST_ERRORS).map(Sign::said).collect();
    if errors.len() > MOST_ERRORS {
        said.push(format!("{} more kinds", errors.len() - MOST_ERRORS));
    }
    said.join("; ")
}

async fn row(plan: &Plan, found: &Found<'_>, look: &Look) -> Vec<String> {
    let last = match look.records.touched(found.node.name.as_str()).await {
        Ok(Some(last)) => last_change(&last, look.asked.now),
        Ok(None) => "none by habops".to_owned(),
        Err(error) => format!("unavailable: {error:#}"),
    };
    let (unit, services) = match &found.reading {
        Err((_, why)) => (why.clone(), "–".to_owned()),
        Ok(reading) => {
            let unit = match (reading.unit.is_active(), reading.unit.pid) {
                (true, Some(pid)) => format!("since {}, pid {pid}", since(&reading.unit.started)),
                (true, None) => format!("since {}", since(&reading.unit.started)),
                (false, _) => reading.unit.state.clone(),
            };
            let services = match &reading.loaded {
                Err(why) => format!("unknown: {why}"),
                Ok(loaded) => {
                    let taken = loaded.iter().filter(|it| plan.what.takes(it.name()));
                    taken.map(service).collect::<Vec<_>>().join("; ")
                }
            };
            (unit, services)
        }
    };
    vec![found.node.name.to_string(), unit, services, last]
}

/// `builder-api up 1d 1h`.
fn service(service: &Service) -> String {
    let up = service.elapsed.map(|seconds| {
        let up = std::time::Duration::from_secs(seconds);
        format!(" {}", humantime::format_duration(up))
    });
    format!(
        "{} {}{}",
        service.name(),
        service.state.word(),
        up.unwrap_or_default()
    )
}

/// `Thu 2017-11-16 00:35:46 UTC` without the weekday.
pub fn since(stamp: &str) -> &str {
    stamp.split_once(' ').map_or(stamp, |(_, rest)| rest)
}

async fn remarks(args: &Args, plan: &Plan, found: &[Found<'_>], look: &Look) -> Vec<String> {
    let mut said = Vec::new();
    for found in found {
        let Ok(reading) = &found.reading else {
            continue;
        };
        let looping = reading.services().iter().filter(|service| {
            plan.what.takes(service.name()) && found.evidence.crashes(reading, service)
        });
        said.extend(looping.map(|service| {
            format!(
                "{} on {} is in a crash loop: {} starts in {} min. Its process is another at every look, so this card is not about one.",
                service.name(),
                found.node.name,
                found.evidence.starts(reading, service),
                super::evidence::MINUTES
            )
        }));
    }
    said.extend(builds::in_flight(found, look).await);
    said.extend(lock_files::warning(plan, found, look));
    if let Some(forced) = &plan.forced {
        said.push(format!("--force overrides {forced}."));
    }
    if let Some(reason) = &look.asked.flags.reason {
        said.push(format!("Reason: {reason}"));
    }
    if args.all {
        for (role, nodes) in whole_roles(look).await {
            said.push(format!("These are all {nodes} nodes of {role}."));
        }
    }
    if found.len() > 1 {
        said.push("One node after the other; the first that does not recover stops it.".to_owned());
    }
    if let What::Service(name) = &plan.what {
        said.push(format!(
            "Only {name} is stopped and started; the Supervisor goes on."
        ));
    }
    said
}
