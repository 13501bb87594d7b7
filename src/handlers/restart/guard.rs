//! What speaks against a restart before a card is opened, and what overrides it.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::{SignedDuration, Timestamp};

use super::{Args, Found, What};
use crate::{
    domain::{
        failure::Refusal, nearest::nearest, node::Node, records::Touched, supervisor::ServiceState,
    },
    handlers::{Look, Result, hold},
};

/// What is to be restarted: the Supervisor, or a service that the fleet knows.
pub fn what(args: &Args, look: &Look) -> Result<What> {
    let Some(typed) = &args.service else {
        return Ok(What::Supervisor);
    };
    let services = &look.settings.services;
    if let Some(service) = services.get(typed) {
        return Ok(What::Service(service.name.clone()));
    }
    let names = services.iter().map(|(_, service)| service.name.as_str());
    let near = nearest(typed, names)
        .map(|near| format!(" Did you mean `{near}`?"))
        .unwrap_or_default();
    let known: Vec<&str> = services
        .iter()
        .map(|(_, service)| service.name.as_str())
        .collect();
    Err(Refusal::usage(format!(
        "No service is called `{typed}`.{near} Known are {}.",
        known.join(", ")
    ))
    .into())
}

/// Every node of a role goes down only where that was said: `--all`. A role of one node is that node.
pub async fn not_a_whole_role(args: &Args, look: &Look) -> Result<()> {
    if args.all {
        return Ok(());
    }
    let Some((role, nodes)) = whole_roles(look).await.into_iter().next() else {
        return Ok(());
    };
    Err(Refusal::not_now(format!(
        "These are all {nodes} nodes of {role}. Name those you mean, or say `--all`: one after the other, and no further than the first that does not come back."
    ))
    .into())
}

/// Roles of more than one running node, as `live/worker`, all of whose running nodes are meant.
pub async fn whole_roles(look: &Look) -> Vec<(String, usize)> {
    let fleet = look.clients.fleet.snapshot().await;
    let asked = &look.asked.nodes;
    let roles: BTreeSet<_> = asked
        .iter()
        .map(|node| (&node.environment, &node.role))
        .collect();
    let meant = |node: &Node| asked.iter().any(|asked| asked.name == node.name);
    roles
        .into_iter()
        .filter_map(|(environment, role)| {
            let of_role: Vec<&Node> = fleet
                .nodes
                .iter()
                .filter(|node| node.environment == *environment && node.role == *role)
                .filter(|node| node.is_running())
                .collect();
            let whole = of_role.len() > 1 && of_role.iter().all(|node| meant(node));
            whole.then(|| (format!("{environment}/{role}"), of_role.len()))
        })
        .collect()
}

/// Something can be restarted at all: a node that answers, and on each that does the service, because `hab svc stop` says
/// nothing about a wrong one.
pub fn can_be_done(what: &What, found: &[Found<'_>], look: &Look) -> Result<()> {
    if found.is_empty() {
        return Err(Refusal::not_now("None of these nodes is known any more.").into());
    }
    let unreachable: Vec<String> = found
        .iter()
        .filter_map(|found| {
            let (_, why) = found.reading.as_ref().err()?;
            Some(format!("{}: {why}", found.node.name))
        })
        .collect();
    if unreachable.len() == found.len() {
        return Err(Refusal::not_now(format!(
            "Nothing can be restarted there. {}.",
            unreachable.join("; ")
        ))
        .into());
    }
    let What::Service(name) = what else {
        return Ok(());
    };
    for found in found {
        let Ok(reading) = &found.reading else {
            continue;
        };
        let node = &found.node.name;
        match &reading.loaded {
            Err(why) => {
                return Err(Refusal::not_now(format!(
                    "Whether {name} is loaded on {node} cannot be told: {why}. `restart {node}` restarts the whole Supervisor."
                ))
                .into());
            }
            Ok(loaded) if loaded.iter().all(|service| service.name() != name) => {
                let role = look.settings.services.get(name).map_or("", |it| &it.role);
                return Err(Refusal::usage(format!(
                    "{name} is not loaded on {node}; it belongs on the role {role}. `services {node}` shows what is."
                ))
                .or_else(format!("services {node}"), format!("services {node}"))
                .into());
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The names of the locks of a node: one for each service that goes down. Whoever restarts the Supervisor has them all.
pub fn locks(what: &What, found: &Found<'_>) -> Vec<String> {
    let mut names: Vec<String> = match (&found.reading, what) {
        (Err(_), _) => Vec::new(),
        (Ok(reading), what) => {
            let services = reading.services().iter();
            let taken = services.filter(|service| what.takes(service.name()));
            taken.map(|service| service.name().to_owned()).collect()
        }
    };
    if *what == What::Supervisor && found.reading.is_ok() {
        names.push(what.name().to_owned());
    }
    names
        .iter()
        .map(|name| hold::lock_of(found.node, name))
        .collect()
}

/// Refused early where somebody is at it; the lock itself is taken when it runs.
pub async fn nobody_is_at_it(what: &What, found: &[Found<'_>], look: &Look) -> Result<()> {
    let names: Vec<String> = found.iter().flat_map(|found| locks(what, found)).collect();
    look.nobody_holds(&names).await
}

/// A node that was restarted just now is left alone, unless it is down or `--force --reason` says otherwise; then what is
/// overridden.
pub async fn cooled_down(
    args: &Args,
    what: &What,
    found: &[Found<'_>],
    look: &Look,
) -> Result<Option<String>> {
    if args.force && look.asked.flags.reason.is_none() {
        return Err(Refusal::usage(
            "`--force` needs `--reason \"…\"`: it is kept with what it overrides.",
        )
        .into());
    }
    let mut warm = Vec::new();
    for found in found.iter().filter(|found| !is_down(what, found)) {
        let node = &found.node.name;
        let Some(last) = look.records.touched(node.as_str()).await? else {
            continue;
        };
        if age(&last, look.asked.now) < signed(look.settings.cool_down) {
            warm.push(format!("{node}: {}", last_change(&last, look.asked.now)));
        }
    }
    if warm.is_empty() {
        return Ok(None);
    }
    let cool_down = humantime::format_duration(look.settings.cool_down);
    if args.force {
        return Ok(Some(format!(
            "the cool-down of {cool_down}: {}",
            warm.join("; ")
        )));
    }
    Err(Refusal::not_now(format!(
        "Not within {cool_down} of the last change. {}. Give it time, or say `--force --reason \"…\"`.",
        warm.join("; ")
    ))
    .into())
}

/// Whether there is nothing left to protect: what is to be restarted does not run.
fn is_down(what: &What, found: &Found<'_>) -> bool {
    let Ok(reading) = &found.reading else {
        return true;
    };
    !reading.unit.is_active()
        || reading
            .services()
            .iter()
            .any(|service| what.takes(service.name()) && service.state == ServiceState::Down)
}

/// A restart needs evidence or a reason. *None found* and *unavailable* are not the same.
pub fn has_a_reason(what: &What, found: &[Found<'_>], look: &Look) -> Result<()> {
    if look.asked.flags.reason.is_some() {
        return Ok(());
    }
    let lacking = found.iter().filter(|found| !speaks_for_it(what, found));
    let said: Vec<String> = lacking.map(lacking_evidence).collect();
    if said.is_empty() {
        return Ok(());
    }
    Err(Refusal::not_now(format!(
        "{} To restart all the same, say why with `--reason \"…\"`.",
        said.join(" ")
    ))
    .into())
}

fn lacking_evidence(found: &Found<'_>) -> String {
    let (node, minutes) = (&found.node.name, super::evidence::MINUTES);
    let mut said = match &found.evidence.errors {
        Err(why) => format!("The evidence on {node} is unavailable: {why}."),
        Ok(warnings) if !warnings.is_empty() => {
            format!("Only warnings on {node}, and no error line in the last {minutes} minutes.")
        }
        Ok(_) => format!("None found on {node}: no error line in the last {minutes} minutes."),
    };
    for witness in &found.evidence.elsewhere {
        if let Err(why) = &witness.errors {
            let _ = write!(
                said,
                " {}, which may tell of it, is unavailable: {why}.",
                witness.node
            );
        }
    }
    said
}

/// Errors, a service or a Supervisor that is down, a crash loop; a node that will not be touched needs nothing.
fn speaks_for_it(what: &What, found: &Found<'_>) -> bool {
    let Ok(reading) = &found.reading else {
        return true;
    };
    found.evidence.has_errors()
        || is_down(what, found)
        || reading
            .services()
            .iter()
            .any(|service| what.takes(service.name()) && found.evidence.crashes(reading, service))
}

/// `restart of hab-sup 3m ago by @ana (op-17)`.
pub fn last_change(last: &Touched, now: Timestamp) -> String {
    let seconds = u64::try_from(age(last, now).as_secs()).unwrap_or_default();
    format!(
        "{} {} ago by {} ({})",
        last.what,
        humantime::format_duration(std::time::Duration::from_secs(seconds)),
        last.by,
        last.operation
    )
}

fn age(last: &Touched, now: Timestamp) -> SignedDuration {
    now.duration_since(last.at).max(SignedDuration::ZERO)
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
