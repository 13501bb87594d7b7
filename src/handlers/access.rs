//! `/habops access`: the guide's "what you need before going on call", as far as habops can check it, and what only a person can.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Handler, Look, Result, Settings, Work,
    responders::{moment, pagerduty, responder},
};
use crate::{
    clients::{Clients, pagerduty::ContactMethod},
    domain::{
        actor::{Actor, Profile},
        failure::{Failure, Refusal},
        ids::UserId,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        policy::{Policy, Reading},
        roster::{Responder, Seen, is_same_person},
    },
};

/// Whose.
#[derive(Deserialize, Serialize)]
pub struct Args {
    #[serde(default)]
    person: Option<UserId>,
}

/// The word in the registry.
pub struct Access;

/// How far ahead somebody's next shift is looked for.
const AHEAD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What no program can check for somebody, as the on-call guide lists it.
const BY_YOURSELF: [&str; 7] = [
    "the 1Password shared vault opens, and habitat-srv-admin is in it",
    "ssh to a production node works with that key",
    "the AWS console opens through Okta (else a ticket with #helpdesk)",
    "Sumo Logic: the Builder Searches run, Live Tail too",
    "Datadog and StatusPage open (any team member adds you)",
    "Pingdom opens (its credentials are in LastPass)",
    "you know the services and what a restart of each does",
];

impl Handler for Access {
    type Args = Args;
    type Plan = Args;

    async fn plan(args: Args, _look: &Look) -> Result<Proposal<Args>> {
        Ok(Proposal::just(args))
    }

    async fn run(plan: &Cleared<Args>, work: &Work) -> Result<Outcome> {
        let look = &work.look;
        let asker = look.asked.standing.actor.user();
        let Some(user) = plan.plan().person.as_ref().or(asker) else {
            return Err(Refusal::usage(
                "Say whose: `access @user`. At a terminal nobody is known.",
            )
            .into());
        };
        Ok(checklist(look, user).await?.into())
    }
}

/// One thing to have: whether it is there, what was found, and what to do about it.
struct Check {
    what: &'static str,
    ok: bool,
    found: String,
}

impl Check {
    fn new(what: &'static str, ok: bool, found: impl Into<String>) -> Self {
        let found = found.into();
        Self { what, ok, found }
    }
}

/// The checklist of one person. For the reminder before a shift too.
pub async fn checklist(look: &Look, user: &UserId) -> Result<Output> {
    let mut checks = Vec::new();
    match responder(look, user).await {
        Ok(found) => {
            let how = if look.settings.on_call.people.contains_key(user.as_str()) {
                "by [pagerduty.users]"
            } else {
                "by e-mail"
            };
            checks.push(Check::new(
                "PagerDuty user",
                true,
                format!("{}, found {how}", found.name),
            ));
            checks.push(reached(look, &found).await);
            checks.push(on_schedule(look, &found).await);
        }
        Err(Failure::Refused(refusal)) => {
            checks.push(Check::new("PagerDuty user", false, refusal.said));
        }
        Err(broken) => return Err(broken),
    }
    checks.push(role(look, user).await?);
    let missing = checks.iter().filter(|check| !check.ok).count();
    let title = match missing {
        0 => format!("<@{user}> has what habops can check"),
        1 => format!("<@{user}> lacks 1 thing before going on call"),
        several => format!("<@{user}> lacks {several} things before going on call"),
    };
    let rows = checks.into_iter().map(|check| {
        let mark = if check.ok { "ok" } else { "missing" };
        vec![check.what.to_owned(), mark.to_owned(), check.found]
    });
    let by_yourself: Vec<String> = BY_YOURSELF.iter().map(|line| format!("• {line}")).collect();
    let status = if missing == 0 {
        Status::Done
    } else {
        Status::Partly
    };
    Ok(Output::new(status, title)
        .with(Part::Table {
            columns: ["what", "", "found"].map(str::to_owned).to_vec(),
            rows: rows.collect(),
        })
        .text(format!(
            "Only they can check that:\n{}",
            by_yourself.join("\n")
        )))
}

/// Whether PagerDuty can wake them: an e-mail wakes nobody.
async fn reached(look: &Look, who: &Responder) -> Check {
    const WHAT: &str = "reached by";
    let methods = match pagerduty(look) {
        Ok(client) => client.contact_methods(&who.id).await,
        Err(_) => return Check::new(WHAT, false, "PagerDuty is not configured"),
    };
    match methods {
        Err(error) => Check::new(WHAT, false, error.to_string()),
        Ok(methods) => {
            let usable = |method: &&ContactMethod| method.enabled && !method.blacklisted;
            let kinds: BTreeSet<&str> = methods
                .iter()
                .filter(usable)
                .map(|method| {
                    let kind = method.kind.as_str();
                    kind.strip_suffix("_contact_method").unwrap_or(kind)
                })
                .collect();
            let wakes = kinds.iter().any(|kind| *kind != "email");
            let listed = kinds.into_iter().collect::<Vec<_>>().join(", ");
            let found = match (wakes, listed.is_empty()) {
                (true, _) => listed,
                (false, true) => {
                    "nothing; add a telephone in PagerDuty, My Profile, Contact Information"
                        .to_owned()
                }
                (false, false) => format!(
                    "{listed} only; add a telephone in PagerDuty, My Profile, Contact Information"
                ),
            };
            Check::new(WHAT, wakes, found)
        }
    }
}

async fn on_schedule(look: &Look, who: &Responder) -> Check {
    const WHAT: &str = "on a schedule";
    let (schedules, now) = (&look.settings.on_call.schedules, look.asked.now);
    let Ok(client) = pagerduty(look) else {
        return Check::new(WHAT, false, "PagerDuty is not configured");
    };
    let rosters = match client.rosters(schedules, now, now + AHEAD).await {
        Ok(rosters) => rosters,
        Err(error) => return Check::new(WHAT, false, error.to_string()),
    };
    let first = rosters
        .iter()
        .flat_map(|roster| roster.shifts.iter().map(move |shift| (roster, shift)))
        .filter(|(_, shift)| shift.responder.id == who.id)
        .min_by_key(|(_, shift)| shift.start);
    match first {
        Some((roster, shift)) if shift.covers(now) => Check::new(
            WHAT,
            true,
            format!("on call for {} now", roster.schedule.name),
        ),
        Some((roster, shift)) => {
            let start = shift.start.map(moment).unwrap_or_default();
            Check::new(
                WHAT,
                true,
                format!("{}, next from {start}", roster.schedule.name),
            )
        }
        None => Check::new(
            WHAT,
            false,
            "on none of habops' schedules in the next 30 days",
        ),
    }
}

/// Which roles they hold in habops, read as when they type a command.
async fn role(look: &Look, user: &UserId) -> Result<Check> {
    const WHAT: &str = "role in habops";
    let now = look.asked.now;
    let seen = look.records.on_call().await?;
    let Some(reading) = reading(
        &look.clients,
        &look.policy,
        &look.settings,
        &seen,
        user,
        now,
    )
    .await
    else {
        return Ok(Check::new(
            WHAT,
            false,
            "Slack cannot be asked who they are",
        ));
    };
    let team = reading.profile.as_ref().and_then(|it| it.team.clone());
    let Some(team) = team else {
        return Ok(Check::new(
            WHAT,
            false,
            "Slack does not say which workspace they are of",
        ));
    };
    let actor = Actor::person(team.clone(), user.clone());
    let standing = look.policy.standing(&actor, &team, &reading);
    let on_shift = Reading {
        on_call: true,
        ..reading
    };
    let then = look.policy.standing(&actor, &team, &on_shift);
    let list = |roles: &BTreeSet<crate::domain::ids::Role>| {
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        roles.join(", ")
    };
    let acts = |roles: &BTreeSet<crate::domain::ids::Role>| {
        let mut commands = look
            .commands
            .iter()
            .filter(|spec| spec.name.as_str() == "page");
        commands.all(|spec| {
            spec.role
                .values()
                .into_iter()
                .all(|role| roles.contains(role))
        })
    };
    let found = match (
        standing.roles.is_empty(),
        acts(&standing.roles),
        acts(&then.roles),
    ) {
        (true, _, false) => "none; add them to [policy.roles]".to_owned(),
        (_, true, _) => list(&standing.roles),
        (_, false, true) => format!("{}; on shift: {}", list(&standing.roles), list(&then.roles)),
        (_, false, false) => format!(
            "{}; that is not enough to page or restart, add them to [policy.roles]",
            list(&standing.roles)
        ),
    };
    Ok(Check::new(WHAT, acts(&then.roles), found))
}

/// What habops knows of somebody, to judge by; absent where Slack cannot be asked.
async fn reading(
    clients: &Clients,
    policy: &Policy,
    settings: &Settings,
    seen: &[Seen],
    user: &UserId,
    now: Timestamp,
) -> Option<Reading> {
    let directory = clients.directory.as_ref()?;
    let profile = Profile::from(&*directory.person(user).await.ok()?);
    let mut groups = BTreeSet::new();
    for group in policy.groups() {
        if directory
            .members(&group)
            .await
            .is_ok_and(|members| members.contains(user))
        {
            groups.insert(group);
        }
    }
    let told = settings.on_call.people.get(user.as_str());
    let email = profile.email.clone();
    let on_call = seen.iter().any(|seen| {
        let is_them = |who: &Responder| is_same_person(who, email.as_deref(), told);
        seen.is_on_call(is_them, now, settings.on_call.fresh_for())
    });
    Some(Reading {
        profile: Some(profile),
        groups,
        on_call,
    })
}
