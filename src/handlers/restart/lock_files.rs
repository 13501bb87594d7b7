//! What a dirty stop of the datastore's PostgreSQL leaves behind, and its next start fails on (the guide's warning).

use std::time::Duration;

use super::{Found, Plan, host};
use crate::{clients::ssh::Command, domain::node::Node, handlers::Look};

/// The datastore's key in `[services]`.
const KEY: &str = "datastore";
/// Longest the look at two files may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// PostgreSQL's own, under the service's data, and beside its socket in the host's temporary directory.
const SOCKET_LOCK: &str = "/tmp/.s.PGSQL.5432.lock";

fn files(service: &str) -> [String; 2] {
    [
        format!("/hab/svc/{service}/data/postmaster.pid"),
        SOCKET_LOCK.to_owned(),
    ]
}

/// The datastore's service where it goes down with this restart of a node.
fn datastore<'a>(plan: &Plan, services: &[String], look: &'a Look) -> Option<&'a str> {
    let name = look.settings.services.get(KEY)?.name.as_str();
    let goes_down = plan.what.takes(name) && services.iter().any(|service| service == name);
    goes_down.then_some(name)
}

/// For the card, where a datastore is among what goes down.
pub fn warning(plan: &Plan, found: &[Found<'_>], look: &Look) -> Option<String> {
    let name = found.iter().find_map(|found| {
        let reading = found.reading.as_ref().ok()?;
        let loaded = reading.services().iter();
        let loaded: Vec<String> = loaded.map(|service| service.name().to_owned()).collect();
        datastore(plan, &loaded, look)
    })?;
    let [pid, socket] = files(name);
    Some(format!(
        "If {name} does not stop cleanly it leaves {pid} and {socket}, and its next start fails on them. Every service that keeps data stands still meanwhile."
    ))
}

/// After a failed start: which are there, and what to do about them.
pub async fn left(look: &Look, node: &Node, plan: &Plan, loaded: &[String]) -> Option<String> {
    let files = files(datastore(plan, loaded, look)?);
    let words = ["sudo", "-n", "ls", "-d"].map(str::to_owned);
    let command = Command::new(words.into_iter().chain(files)).timeout(PATIENCE);
    Some(match look.clients.ssh.run(&host(node), &command).await {
        Err(error) => format!("Whether lock files are there cannot be told: {error}."),
        Ok(answer) => {
            let text = answer.text();
            let there: Vec<&str> = text.lines().collect();
            match (there.as_slice(), answer.complaint()) {
                ([], said) if said.contains("No such file") => {
                    "No lock file was left; the cause is another.".to_owned()
                }
                ([], said) => format!(
                    "Whether lock files are there cannot be told: {}.",
                    said.trim()
                ),
                (there, _) => format!(
                    "Left on {}: {}. Remove what the error names, and only if no postmaster lives (`pgrep -a postgres`); then restart again.",
                    node.name,
                    there.join(", ")
                ),
            }
        }
    })
}
