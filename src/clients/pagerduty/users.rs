//! People: who they are, how they are reached, and which of them a Slack person is.

use serde::Deserialize;

use super::{call::Client, error::Error};
use crate::domain::roster::{Responder, Schedule};

/// `{"id","summary","html_url",…}`, as everything of PagerDuty's points to everything else.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) id: String,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    time_zone: Option<String>,
}

impl Reference {
    pub(super) fn name(&self) -> String {
        let name = self.name.as_ref().or(self.summary.as_ref());
        name.unwrap_or(&self.id).clone()
    }
}

impl From<Reference> for Responder {
    fn from(user: Reference) -> Self {
        Self {
            name: user.name(),
            id: user.id,
            email: user.email,
            time_zone: user.time_zone,
        }
    }
}

impl From<Reference> for Schedule {
    fn from(schedule: Reference) -> Self {
        Self {
            name: schedule.name(),
            id: schedule.id,
            url: schedule.html_url,
        }
    }
}

/// A way to reach somebody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ContactMethod {
    /// `email_contact_method`, `phone_contact_method`, `sms_contact_method`, `push_notification_contact_method`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether PagerDuty uses it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether PagerDuty gave up on it.
    #[serde(default)]
    pub blacklisted: bool,
}

fn yes() -> bool {
    true
}

impl Client {
    /// One user.
    pub async fn user(&self, id: &str) -> Result<Responder, Error> {
        #[derive(Deserialize)]
        struct Answer {
            user: Reference,
        }
        let what = format!("the user {id}");
        let answer: Answer = self
            .get(&what, &format!("/users/{id}"), &Vec::new())
            .await?;
        Ok(answer.user.into())
    }

    /// The user with that e-mail. The search finds parts of words, so each hit is compared.
    pub async fn user_of(&self, email: &str) -> Result<Option<Responder>, Error> {
        let query = vec![("query", email.to_owned())];
        let found: Vec<Reference> = self.list("the users", "/users", "users", &query).await?;
        let same = |user: &Reference| {
            let theirs = user.email.as_deref();
            theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(email))
        };
        Ok(found.into_iter().find(same).map(Responder::from))
    }

    /// How somebody is reached.
    pub async fn contact_methods(&self, user: &str) -> Result<Vec<ContactMethod>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            contact_methods: Vec<ContactMethod>,
        }
        let what = format!("the contact methods of {user}");
        let path = format!("/users/{user}/contact_methods");
        let answer: Answer = self.get(&what, &path, &Vec::new()).await?;
        Ok(answer.contact_methods)
    }
}
