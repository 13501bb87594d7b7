//! Who may do what, where: the role that each environment asks for, and freezes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::{
        actor::{Membership, Standing},
        command::CommandSpec,
        failure::Refusal,
        ids::{Environment, Role},
        node::Node,
        records::Freeze,
    },
    Parsed,
};

/// The environments that a command touches: those of its nodes, or the one that an argument means.
pub(super) fn environments(
    parsed: &Parsed,
    nodes: &[Node],
    default: &Environment,
) -> BTreeSet<Environment> {
    if !nodes.is_empty() {
        return nodes.iter().map(|node| node.environment.clone()).collect();
    }
    let told = parsed
        .spec
        .environment_of
        .as_ref()
        .and_then(|arg| parsed.args.get(arg))
        .and_then(Value::as_str);
    let environment = match told {
        Some("live" | "stable") => "live".into(),
        Some(_) => "acceptance".into(),
        None => default.clone(),
    };
    BTreeSet::from([environment])
}

/// While a freeze holds, no change begins there: neither when it is asked for nor when its card is approved.
pub fn thawed(
    spec: &CommandSpec,
    environments: &BTreeSet<Environment>,
    freezes: &[Freeze],
) -> Result<(), Refusal> {
    let holds = |freeze: &&Freeze| {
        freeze
            .environment
            .as_ref()
            .is_none_or(|frozen| environments.contains(frozen))
    };
    let Some(freeze) = freezes.iter().find(holds).filter(|_| spec.changes) else {
        return Ok(());
    };
    let place = freeze
        .environment
        .as_ref()
        .map_or("everything".to_owned(), ToString::to_string);
    Err(Refusal::not_now(format!(
        "Changes are frozen: {place}, by {} since {}: {}. `unfreeze` ends it.",
        freeze.by,
        freeze.at.strftime("%Y-%m-%d %H:%M UTC"),
        freeze.why
    )))
}

/// Whether this standing holds the command's role in each of these environments.
pub fn may(
    spec: &CommandSpec,
    environments: &BTreeSet<Environment>,
    standing: &Standing,
) -> Result<(), Refusal> {
    match &standing.membership {
        Membership::Outside(why) => return Err(Refusal::denied(format!("You may not: {why}."))),
        Membership::Machine if spec.changes => {
            return Err(Refusal::denied(format!(
                "{} may look, but changes nothing by itself.",
                standing.actor
            )));
        }
        _ => {}
    }
    for environment in environments {
        let needed = spec.role.of(environment);
        if needed.is_none_or(|role| !standing.roles.contains(role)) {
            return Err(
                Refusal::denied(lacking(spec, environment, needed, standing))
                    .or_else(format!("why {}", spec.name), format!("why {}", spec.name)),
            );
        }
    }
    Ok(())
}

fn lacking(
    spec: &CommandSpec,
    environment: &Environment,
    needed: Option<&Role>,
    standing: &Standing,
) -> String {
    let held: Vec<String> = standing.roles.iter().map(ToString::to_string).collect();
    let held = if held.is_empty() {
        "no role".to_owned()
    } else {
        held.join(", ")
    };
    match needed {
        Some(role) => format!(
            "`{}` on {environment} needs the role {role}; you hold {held}.",
            spec.name
        ),
        None => format!(
            "`{}` may be run by nobody on {environment}: its file names no role for it.",
            spec.name
        ),
    }
}
