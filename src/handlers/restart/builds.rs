//! Builds in flight, which a restart of a worker, the job server or the datastore cuts off: told where the datastore is configured.

use std::time::Duration;

use tokio::time::timeout;

use super::Found;
use crate::{domain::build::Build, handlers::Look};

/// Longest a card waits for them.
const PATIENCE: Duration = Duration::from_secs(5);
/// Roles of nodes whose restart a build notices.
const NOTICED: [&str; 3] = ["worker", "jobsrv", "datastore"];
/// Builds that are named; the rest is a number.
const MOST_NAMED: usize = 3;

/// One line for the card. *None* and *unavailable* are not the same; nothing where it does not matter or cannot be asked at all.
pub async fn in_flight(found: &[Found<'_>], look: &Look) -> Option<String> {
    let noticed = |found: &Found<'_>| NOTICED.contains(&found.node.role.as_str());
    let datastore = look.clients.datastore.as_ref()?;
    if !found.iter().any(noticed) {
        return None;
    }
    Some(
        match timeout(PATIENCE, datastore.builds_in_flight()).await {
            Ok(Ok(builds)) => said(&builds),
            Ok(Err(error)) => format!("Builds in flight: unavailable: {error}"),
            Err(_) => format!(
                "Builds in flight: unavailable: no answer within {} s",
                PATIENCE.as_secs()
            ),
        },
    )
}

fn said(builds: &[Build]) -> String {
    if builds.is_empty() {
        return "Builds in flight: none.".to_owned();
    }
    let mut named: Vec<String> = builds.iter().take(MOST_NAMED).map(one).collect();
    if builds.len() > MOST_NAMED {
        named.push(format!("{} more", builds.len() - MOST_NAMED));
    }
    format!(
        "Builds in flight, which may be cut off: {}.",
        named.join("; ")
    )
}

/// `core/redis on worker-7 since 00:35 UTC`.
fn one(build: &Build) -> String {
    let mut said = build
        .project
        .clone()
        .unwrap_or_else(|| format!("job {}", build.job));
    if let Some(worker) = &build.worker {
        said = format!("{said} on {worker}");
    }
    if let Some(since) = build.since {
        said = format!("{said} since {}", since.strftime("%Y-%m-%d %H:%M UTC"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::{Build, said};

    #[test]
    fn the_oldest_builds_are_named_and_the_rest_is_a_number() {
        let build = |job: u64| Build {
            job,
            project: (job != 2).then(|| format!("core/p{job}")),
            state: None,
            worker: (job == 1).then(|| "worker-7".to_owned()),
            quarantined: false,
            since: None,
        };
        assert_eq!(said(&[]), "Builds in flight: none.");
        let builds: Vec<Build> = (1..=5).map(build).collect();
        assert_eq!(
            said(&builds),
            "Builds in flight, which may be cut off: core/p1 on worker-7; job 2; core/p3; 2 more."
        );
    }
}
