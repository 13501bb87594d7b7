//! Who may do what: roles from configured members, and the pure rules over them. Deny by default (law 7).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    actor::{Actor, Membership, Profile, Standing},
    ids::{GroupId, Role, TeamId, UserId},
};

/// One member of a role, as the configuration writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Member {
    /// `*`: every full member of the bot's own workspace.
    Everyone,
    /// `U0123`.
    User(UserId),
    /// `group:S0OPS`.
    Group(GroupId),
    /// `pagerduty:oncall`: whoever is on call now.
    OnCall,
}

impl From<Member> for String {
    fn from(member: Member) -> Self {
        match member {
            Member::Everyone => "*".to_owned(),
            Member::User(user) => user.to_string(),
            Member::Group(group) => format!("group:{group}"),
            Member::OnCall => "pagerduty:oncall".to_owned(),
        }
    }
}

impl TryFrom<String> for Member {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let slack_id = |text: &str, first: &[char]| {
            text.starts_with(first)
                && text.len() > 1
                && text
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        };
        match text.as_str() {
            "*" => Ok(Self::Everyone),
            "pagerduty:oncall" => Ok(Self::OnCall),
            user if slack_id(user, &['U', 'W']) => Ok(Self::User(user.into())),
            _ => match text.strip_prefix("group:") {
                Some(group) if slack_id(group, &['S']) => Ok(Self::Group(group.into())),
                _ => Err(format!(
                    "`{text}` is not a member; write \"*\", a Slack user id such as \"U0123\", \"group:S0OPS\" or \"pagerduty:oncall\""
                )),
            },
        }
    }
}

/// `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The roles of whoever may run `habops do` with this configuration.
    pub console: BTreeSet<Role>,
    /// Members of each role.
    pub roles: BTreeMap<Role, Vec<Member>>,
}

/// What was read about a person, to judge by. What could not be read counts as a no.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Slack's profile.
    pub profile: Option<Profile>,
    /// The configured groups the person is in.
    pub groups: BTreeSet<GroupId>,
    /// Whether PagerDuty has them on call now.
    pub on_call: bool,
}

impl Policy {
    /// The Slack user groups that roles are made of.
    pub fn groups(&self) -> BTreeSet<GroupId> {
        self.roles
            .values()
            .flatten()
            .filter_map(|member| match member {
                Member::Group(group) => Some(group.clone()),
                _ => None,
            })
            .collect()
    }

    /// Whether any role comes from being on call.
    pub fn asks_who_is_on_call(&self) -> bool {
        self.roles
            .values()
            .flatten()
            .any(|member| *member == Member::OnCall)
    }

    /// What an actor may be called now.
    pub fn standing(&self, actor: &Actor, home: &TeamId, reading: &Reading) -> Standing {
        let membership = match actor {
            Actor::Person { team, .. } => Membership::of(reading.profile.as_ref(), team, home),
            Actor::Console { .. } => Membership::Console,
            Actor::Habops | Actor::PagerDuty => Membership::Machine,
        };
        let roles = match (&membership, actor) {
            (Membership::Full, Actor::Person { user, .. }) => self
                .roles
                .iter()
                .filter(|(_, members)| members.iter().any(|member| holds(member, user, reading)))
                .map(|(role, _)| role.clone())
                .collect(),
            (Membership::Console, _) => self.console.clone(),
            (Membership::Machine, _) => BTreeSet::from([Role::from("member")]),
            _ => BTreeSet::new(),
        };
        Standing {
            actor: actor.clone(),
            membership,
            roles,
        }
    }
}

fn holds(member: &Member, user: &UserId, reading: &Reading) -> bool {
    match member {
        Member::Everyone => true,
        Member::User(of) => of == user,
        Member::Group(group) => reading.groups.contains(group),
        Member::OnCall => reading.on_call,
    }
}

#[cfg(test)]
mod tests {
    use super::{Actor, Membership, Policy, Profile, Reading};

    fn policy() -> Policy {
        let members = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned().try_into().unwrap())
                .collect()
        };
        Policy {
            console: ["member".into()].into(),
            roles: [
                ("member".into(), members(&["*"])),
                (
                    "operator".into(),
                    members(&["U1", "group:S0OPS", "pagerduty:oncall"]),
                ),
            ]
            .into(),
        }
    }

    fn full() -> Profile {
        Profile {
            team: Some("T1".into()),
            is_bot: Some(false),
            is_restricted: Some(false),
            is_ultra_restricted: Some(false),
            deleted: Some(false),
            ..Profile::default()
        }
    }

    fn roles(team: &str, user: &str, reading: &Reading) -> String {
        let standing = policy().standing(&Actor::person(team, user), &"T1".into(), reading);
        standing
            .roles
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn roles_come_from_id_group_and_shift() {
        let reading = Reading {
            profile: Some(full()),
            ..Reading::default()
        };
        assert_eq!(roles("T1", "U9", &reading), "member");
        assert_eq!(roles("T1", "U1", &reading), "member operator");
        assert_eq!(
            roles(
                "T1",
                "U9",
                &Reading {
                    groups: ["S0OPS".into()].into(),
                    ..reading.clone()
                }
            ),
            "member operator"
        );
        assert_eq!(
            roles(
                "T1",
                "U9",
                &Reading {
                    on_call: true,
                    ..reading
                }
            ),
            "member operator"
        );
    }

    #[test]
    fn outsiders_hold_nothing_and_an_absent_flag_is_a_no() {
        assert_eq!(
            roles(
                "T2",
                "U1",
                &Reading {
                    profile: Some(full()),
                    ..Reading::default()
                }
            ),
            ""
        );
        assert_eq!(roles("T1", "U1", &Reading::default()), "", "unknown person");
        for change in [
            |profile: &mut Profile| profile.is_bot = Some(true),
            |profile: &mut Profile| profile.is_bot = None,
            |profile: &mut Profile| profile.is_restricted = Some(true),
            |profile: &mut Profile| profile.is_ultra_restricted = None,
            |profile: &mut Profile| profile.deleted = Some(true),
            |profile: &mut Profile| profile.deleted = None,
            |profile: &mut Profile| profile.is_stranger = Some(true),
            |profile: &mut Profile| profile.team = Some("T2".into()),
        ] {
            let mut profile = full();
            change(&mut profile);
            assert_eq!(
                roles(
                    "T1",
                    "U1",
                    &Reading {
                        profile: Some(profile),
                        ..Reading::default()
                    }
                ),
                ""
            );
        }
    }

    #[test]
    fn a_machine_may_only_look() {
        let standing = policy().standing(&Actor::PagerDuty, &"T1".into(), &Reading::default());
        assert_eq!(standing.membership, Membership::Machine);
    }
}
