//! People and the user groups they are in.

use serde::{Deserialize, Deserializer};

use super::{error::Error, web::Client};
use crate::domain::{
    actor::Profile,
    ids::{GroupId, TeamId, UserId},
};

/// A person as Slack describes them. A flag that Slack leaves out is `None`, never `false`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Person {
    /// The immutable id.
    pub id: UserId,
    /// Their workspace.
    #[serde(default)]
    pub team_id: Option<TeamId>,
    /// The handle. For people to read; never for rights.
    #[serde(default)]
    pub name: String,
    /// The full name.
    #[serde(default)]
    pub real_name: Option<String>,
    /// IANA time zone.
    #[serde(default)]
    pub tz: Option<String>,
    /// Seconds east of UTC.
    #[serde(default)]
    pub tz_offset: Option<i64>,
    /// Deactivated.
    #[serde(default)]
    pub deleted: Option<bool>,
    /// A bot.
    #[serde(default)]
    pub is_bot: Option<bool>,
    /// An app that acts for a person.
    #[serde(default)]
    pub is_app_user: Option<bool>,
    /// A guest of several channels.
    #[serde(default)]
    pub is_restricted: Option<bool>,
    /// A guest of one channel.
    #[serde(default)]
    pub is_ultra_restricted: Option<bool>,
    /// From a workspace that shares no channel with ours.
    #[serde(default)]
    pub is_stranger: Option<bool>,
    #[serde(default)]
    profile: Details,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Details {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    real_name: Option<String>,
}

impl Person {
    /// Their e-mail, where the app may see it (`users:read.email`).
    pub fn email(&self) -> Option<&str> {
        self.profile
            .email
            .as_deref()
            .filter(|email| !email.is_empty())
    }

    /// What colleagues call them: the display name, the full name, or the handle.
    pub fn shown_name(&self) -> &str {
        [
            &self.profile.display_name,
            &self.real_name,
            &self.profile.real_name,
        ]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty())
        .unwrap_or(&self.name)
    }
}

/// Slackbot's id is the same everywhere, and Slack does not call it a bot.
const SLACKBOT: &str = "USLACKBOT";

impl From<&Person> for Profile {
    fn from(person: &Person) -> Self {
        Self {
            team: person.team_id.clone(),
            name: person.shown_name().to_owned(),
            is_bot: if person.id.as_str() == SLACKBOT {
                Some(true)
            } else {
                person.is_bot
            },
            is_restricted: person.is_restricted,
            is_ultra_restricted: person.is_ultra_restricted,
            is_stranger: person.is_stranger,
            deleted: person.deleted,
            time_zone: person.tz.clone(),
            email: person.email().map(str::to_owned),
        }
    }
}

/// A user group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// Its id, `S…`.
    pub id: GroupId,
    /// What is typed after the @.
    #[serde(default)]
    pub handle: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whether it was switched off.
    #[serde(default, rename = "date_delete", deserialize_with = "is_past_zero")]
    pub disabled: bool,
}

/// Slack writes "never deleted" as 0.
fn is_past_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<i64>::deserialize(deserializer)?.is_some_and(|when| when != 0))
}

impl Client {
    /// One person.
    pub async fn user(&self, user: &UserId) -> Result<Person, Error> {
        #[derive(Deserialize)]
        struct Answer {
            user: Person,
        }
        Ok(self
            .read::<Answer>("users.info", &[("user", Some(user.to_string()))])
            .await?
            .user)
    }

    /// Whoever has that e-mail; `users_not_found` where nobody has.
    pub async fn user_by_email(&self, email: &str) -> Result<Person, Error> {
        #[derive(Deserialize)]
        struct Answer {
            user: Person,
        }
        let query = [("email", Some(email.to_owned()))];
        Ok(self
            .read::<Answer>("users.lookupByEmail", &query)
            .await?
            .user)
    }

    /// Who is in a user group now. A group that is switched off has no members.
    pub async fn group_members(&self, group: &GroupId) -> Result<Vec<UserId>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            users: Vec<UserId>,
        }
        let query = [
            ("usergroup", Some(group.to_string())),
            ("include_disabled", Some("false".to_owned())),
        ];
        Ok(self
            .read::<Answer>("usergroups.users.list", &query)
            .await?
            .users)
    }

    /// The workspace's user groups, to check that the policy names real ones.
    pub async fn groups(&self) -> Result<Vec<Group>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            usergroups: Vec<Group>,
        }
        let query = [("include_disabled", Some("true".to_owned()))];
        Ok(self
            .read::<Answer>("usergroups.list", &query)
            .await?
            .usergroups)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Group, Person, Profile};

    #[test]
    fn a_flag_that_slack_leaves_out_is_unknown_and_not_false() {
        let person: Person = serde_json::from_value(json!({"id": "U1", "name": "ana"})).unwrap();
        assert_eq!(
            (person.is_bot, person.is_restricted, person.deleted),
            (None, None, None)
        );
        assert_eq!((person.shown_name(), person.email()), ("ana", None));
    }

    #[test]
    fn people_are_called_what_they_call_themselves() {
        let profile =
            json!({"display_name": "", "real_name": "Ana Lima", "email": "ana@example.com"});
        let person: Person =
            serde_json::from_value(json!({"id": "U1", "name": "ana", "profile": profile})).unwrap();
        assert_eq!(
            (person.shown_name(), person.email()),
            ("Ana Lima", Some("ana@example.com"))
        );
    }

    #[test]
    fn slackbot_is_a_bot_whatever_slack_says() {
        let person: Person =
            serde_json::from_value(json!({"id": "USLACKBOT", "is_bot": false})).unwrap();
        assert_eq!(Profile::from(&person).is_bot, Some(true));
    }

    #[test]
    fn a_group_with_a_date_of_deletion_is_off() {
        let group = |date: i64| {
            serde_json::from_value::<Group>(json!({"id": "S1", "date_delete": date})).unwrap()
        };
        assert_eq!(
            (group(0).disabled, group(1_700_000_000).disabled),
            (false, true)
        );
    }
}
