//! Who people of PagerDuty's are in Slack: by the table in the configuration, otherwise by their e-mail.

use super::Pipeline;
use crate::domain::{
    actor::Actor,
    ids::{ChannelId, UserId},
    roster::{Responder, is_same_person},
};

impl Pipeline {
    /// Whether a person of Slack is one of these of PagerDuty's.
    pub(super) async fn is_one_of(&self, actor: &Actor, people: &[Responder]) -> bool {
        let Some(user) = actor.user() else {
            return false;
        };
        let email = match &self.parts.clients.directory {
            Some(directory) => directory.person(user).await.ok(),
            None => None,
        };
        let email = email.as_ref().and_then(|person| person.email());
        let told = self.parts.of_handlers.on_call.people.get(user.as_str());
        people.iter().any(|who| is_same_person(who, email, told))
    }

    /// Who the table in the configuration says that a user of PagerDuty's is.
    fn told_user(&self, pagerduty: &str) -> Option<UserId> {
        let mut table = self.parts.of_handlers.on_call.people.iter();
        let (user, _) = table.find(|(_, id)| *id == pagerduty)?;
        Some(UserId::new(user.clone()))
    }

    /// Who somebody of PagerDuty's is in Slack.
    pub(super) async fn user_of(&self, who: &Responder) -> Option<UserId> {
        if let Some(told) = self.told_user(&who.id) {
            return Some(told);
        }
        let directory = self.parts.clients.directory.as_ref()?;
        directory.found_by_email(who.email.as_deref()?).await.ok()
    }

    /// The same where only PagerDuty's id is known.
    pub(super) async fn user_of_id(&self, pagerduty: &str) -> Option<UserId> {
        if let Some(told) = self.told_user(pagerduty) {
            return Some(told);
        }
        let client = self.parts.clients.pagerduty.as_ref()?;
        let who = client.user(pagerduty).await.ok()?;
        self.user_of(&who).await
    }

    /// Who somebody is in Slack, and their direct messages.
    pub(super) async fn in_slack(&self, who: &Responder) -> Option<(UserId, ChannelId)> {
        let user = self.user_of(who).await?;
        let directory = self.parts.clients.directory.as_ref()?;
        let channel = directory.direct(&user).await.ok()?;
        Some((user, channel))
    }
}
