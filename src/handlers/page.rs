//! `/habops page`: asks more people to help with an incident. *Pages them, at any hour.*

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Handler, Look, Result, Work, pagerduty_incident,
    responders::{local, pagerduty, responder, told},
};
use crate::{
    clients::pagerduty::{Client, Policy, Target},
    domain::{
        failure::Refusal,
        ids::UserId,
        journey::{Cleared, Proposal},
        outcome::Outcome,
        output::{Output, Part, Status},
        roster::Responder,
    },
};

/// Whom, for which incident, with which words.
#[derive(Deserialize)]
pub struct Args {
    /// Whom, then what they are told: one argument, because a policy's name may have several words.
    who: String,
    #[serde(default)]
    pd: Option<String>,
}

/// Who would be paged.
#[derive(Deserialize, Serialize)]
pub struct Plan {
    incident: String,
    title: String,
    user: Option<String>,
    policy: Option<String>,
    name: String,
    requester: String,
    requester_email: Option<String>,
    message: String,
}

/// The word in the registry.
pub struct Page;

/// Without it PagerDuty answers 402 to every request for help.
const ABILITY: &str = "coordinated_responding";

impl Handler for Page {
    type Args = Args;
    type Plan = Plan;

    async fn plan(args: Args, look: &Look) -> Result<Proposal<Plan>> {
        let client = pagerduty(look)?;
        let incident = pagerduty_incident::which(look, args.pd.as_deref()).await?;
        pagerduty_incident::open(&incident)?;
        let requester = requester(look, client).await?;
        let abilities = client.abilities().await.map_err(told)?;
        if !abilities.iter().any(|ability| ability == ABILITY) {
            return Err(Refusal::not_now(
                "The PagerDuty account's plan has no responders (coordinated_responding), so habops cannot page anybody. Call them, or reassign the incident on PagerDuty's own page.",
            )
            .into());
        }
        let mut facts = vec![("incident".to_owned(), incident.title.clone())];
        let (first, rest) = args.who.split_once(' ').unwrap_or((&args.who, ""));
        let (user, policy, name, rest) = if let Some(user) = slack_user(first) {
            let found = responder(look, &user).await?;
            let theirs = local(look.asked.now, &found);
            facts.push(("pages".to_owned(), found.name.clone()));
            facts.extend(theirs.map(|now| ("their time".to_owned(), now)));
            (Some(found.id), None, found.name, rest.to_owned())
        } else {
            let (policy, rest) = policy(client, &args.who).await?;
            let name = policy.name;
            facts.push(("pages".to_owned(), format!("whoever {name} tells first")));
            (None, Some(policy.id), name, rest)
        };
        let message = match rest.trim() {
            "" => format!("Please help: {}", incident.title),
            said => said.to_owned(),
        };
        facts.push(("message".to_owned(), message.clone()));
        facts.push(("asked by".to_owned(), requester.name.clone()));
        Ok(Proposal {
            preview: Output::new(Status::Waiting, format!("Pages {name}, now"))
                .with(Part::Facts(facts)),
            fingerprint: json!({ "incident": incident.id, "status": incident.status.word() }),
            plan: Plan {
                incident: incident.id,
                title: incident.title,
                user,
                policy,
                name,
                requester: requester.id,
                requester_email: requester.email,
                message,
            },
        })
    }

    async fn run(plan: &Cleared<Plan>, work: &Work) -> Result<Outcome> {
        let client = pagerduty(&work.look)?;
        let plan = plan.plan();
        let target = match (&plan.user, &plan.policy) {
            (Some(user), _) => Target::User(user.clone()),
            (None, policy) => Target::Policy(policy.clone().unwrap_or_default()),
        };
        let asked = client
            .ask_responders(
                &plan.incident,
                &plan.requester,
                &plan.message,
                &[target],
                plan.requester_email.as_deref(),
            )
            .await;
        let output = match asked {
            Ok(people) => {
                let people = if people.is_empty() {
                    plan.name.clone()
                } else {
                    people.join(", ")
                };
                Output::new(
                    Status::Done,
                    format!("{people}: paged to help with {}", plan.title),
                )
                .text("habops says so here when they answer, where PagerDuty's webhooks reach it.")
            }
            Err(error) if error.is_doubtful() => Output::new(
                Status::Failed,
                format!("Whether {} was paged is unknown: {error}", plan.name),
            )
            .text("Look at the incident in PagerDuty before paging again."),
            Err(error) => Output::new(
                Status::Failed,
                format!("{} was not paged: {error}", plan.name),
            ),
        };
        Ok(output.into())
    }

    fn by_hand(plan: &Plan, _look: &Look) -> Vec<String> {
        vec![format!(
            "# in PagerDuty: Incidents, {}, More Actions, Add Responders: {}",
            plan.incident, plan.name
        )]
    }
}

/// In whose name it is asked: the asker's own, otherwise habops' user. PagerDuty refuses a request of nobody.
pub(super) async fn requester(look: &Look, client: &Client) -> Result<Responder> {
    if let Some(user) = look.asked.standing.actor.user()
        && let Ok(found) = responder(look, user).await
    {
        return Ok(found);
    }
    let nobody = |why: &str| {
        Refusal::not_now(format!(
            "PagerDuty wants to know who asks, and you have no user there; {why}. Set pagerduty.from to the e-mail of a PagerDuty user, or name yours under [pagerduty.users]."
        ))
    };
    let Some(from) = client.from() else {
        return Err(nobody("pagerduty.from is not set either").into());
    };
    let found = client.user_of(from).await.map_err(told)?;
    Ok(found.ok_or_else(|| nobody("pagerduty.from is no user of the account"))?)
}

/// The Slack person that a word means.
fn slack_user(word: &str) -> Option<UserId> {
    let id = word
        .strip_prefix("<@")
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(word);
    let is_id = id.len() > 2
        && id.starts_with(['U', 'W'])
        && id
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    is_id.then(|| UserId::from(id))
}

/// The policy that the words begin with, by its id or name, and what comes after it.
async fn policy(client: &Client, words: &str) -> Result<(Policy, String)> {
    let all = client.policies("").await.map_err(told)?;
    let found = all.iter().find_map(|policy| {
        let rest = after(words, &policy.id).or_else(|| after(words, &policy.name))?;
        Some((policy.clone(), rest.to_owned()))
    });
    if let Some(found) = found {
        return Ok(found);
    }
    let listed: Vec<&str> = all
        .iter()
        .map(|policy| policy.name.as_str())
        .take(20)
        .collect();
    let first = words.split(' ').next().unwrap_or_default();
    Err(Refusal::usage(format!(
        "`{first}` is neither a person nor an escalation policy. Pick a person from the list that Slack offers after `@`, or one of {}.",
        listed.join(", ")
    ))
    .into())
}

/// What comes after a name that the words begin with, in any case.
fn after<'a>(words: &'a str, name: &str) -> Option<&'a str> {
    let (begin, rest) = words.split_at_checked(name.len())?;
    let ends = rest.is_empty() || rest.starts_with(' ');
    (!name.is_empty() && ends && begin.eq_ignore_ascii_case(name)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::{UserId, after, slack_user};

    #[test]
    fn a_person_is_a_slack_id_and_a_policy_is_anything_else() {
        for (word, user) in [
            ("<@U0BO>", Some("U0BO")),
            ("U0BO", Some("U0BO")),
            ("Builder", None),
            ("UX", None),
            ("PT20YPA", None),
        ] {
            assert_eq!(
                slack_user(word).as_ref().map(UserId::as_str),
                user,
                "{word}"
            );
        }
    }

    #[test]
    fn a_policy_is_named_in_any_case_and_the_rest_is_the_message() {
        for (words, rest) in [
            ("builder please look", Some(" please look")),
            ("Builder", Some("")),
            ("Builders please", None),
            ("Build", None),
        ] {
            assert_eq!(after(words, "Builder"), rest, "{words}");
        }
    }
}
