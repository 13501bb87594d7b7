//! `auth.test`, `users.*` and `usergroups.*`: who is who.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    args::{Answer, Args, Refused},
    core::Core,
    seed::{Group, Kind, Person},
    state::State,
};

/// `auth.test`
pub(super) fn auth_test(core: &Arc<Core>) -> Answer {
    let url = format!("https://{}.slack.com/", core.team_domain);
    core.with(|state| {
        Ok(json!({
            "url": url, "team": state.seed.team_name, "user": core.bot.name, "team_id": core.team_id,
            "user_id": core.bot.user_id, "bot_id": core.bot.bot_id, "is_enterprise_install": false,
        }))
    })
}

/// `users.info`
pub(super) fn info(core: &Arc<Core>, args: &Args) -> Answer {
    let id = args.word("user").ok_or(Refused::from("user_not_found"))?;
    core.with(|state| {
        let user = state.user(&id).ok_or(Refused::from("user_not_found"))?;
        Ok(json!({"user": user}))
    })
}

/// `users.lookupByEmail`; those who left are not found.
pub(super) fn by_email(core: &Arc<Core>, args: &Args) -> Answer {
    let email = args.word("email").ok_or(Refused::from("users_not_found"))?;
    core.with(|state| {
        let person = state.seed.people.iter().find(|person| {
            person.email.eq_ignore_ascii_case(&email)
                && !matches!(person.kind, Kind::Deleted | Kind::Bot)
        });
        let id = person.ok_or(Refused::from("users_not_found"))?.id.clone();
        Ok(json!({"user": state.user(&id)}))
    })
}

/// `users.list`
pub(super) fn list(core: &Arc<Core>) -> Answer {
    core.with(|state| {
        let mut ids: Vec<&str> = state.seed.people.iter().map(|it| it.id.as_str()).collect();
        ids.push(&state.seed.bot.user_id);
        let members: Vec<Value> = ids.into_iter().filter_map(|id| state.user(id)).collect();
        Ok(json!({"members": members, "cache_ts": 1_764_000_000, "response_metadata": {"next_cursor": ""}}))
    })
}

/// `usergroups.list`
pub(super) fn groups(core: &Arc<Core>, args: &Args) -> Answer {
    core.with(|state| {
        let group = |group: &Group| {
            let mut shown = json!({
                "id": group.id, "team_id": state.seed.team_id, "is_usergroup": true, "is_subteam": true,
                "name": group.name, "description": "", "handle": group.handle, "is_external": false,
                "auto_provision": false, "date_create": 1_764_000_000, "date_update": 1_764_000_000,
                "date_delete": 0, "auto_type": null, "created_by": group.users.first(),
                "updated_by": group.users.first(), "deleted_by": null,
                "prefs": {"channels": [], "groups": []}, "user_count": group.users.len(), "channel_count": 0,
            });
            if args.yes("include_users") {
                shown["users"] = json!(group.users);
            }
            shown
        };
        let groups: Vec<Value> = state.seed.groups.iter().map(group).collect();
        Ok(json!({"usergroups": groups}))
    })
}

/// `usergroups.users.list`
pub(super) fn group_users(core: &Arc<Core>, args: &Args) -> Answer {
    let id = args
        .word("usergroup")
        .ok_or(Refused::from("no_such_subteam"))?;
    core.with(|state| {
        let group = state.seed.groups.iter().find(|group| group.id == id);
        let group = group.ok_or(Refused::from("no_such_subteam"))?;
        Ok(json!({"users": group.users}))
    })
}

impl State {
    /// A user as `users.info` shows them.
    pub(super) fn user(&self, id: &str) -> Option<Value> {
        let bot = &self.seed.bot;
        if id == bot.user_id {
            return Some(json!({
                "id": bot.user_id, "team_id": self.seed.team_id, "name": bot.name, "deleted": false, "color": "1d3557",
                "real_name": bot.name, "tz": "America/Los_Angeles", "tz_label": "Pacific Standard Time",
                "tz_offset": -28800, "is_admin": false, "is_owner": false, "is_primary_owner": false,
                "is_restricted": false, "is_ultra_restricted": false, "is_bot": true, "is_app_user": false,
                "updated": 1_764_000_000, "profile": {
                    "real_name": bot.name, "display_name": "", "team": self.seed.team_id, "bot_id": bot.bot_id,
                    "api_app_id": bot.app_id, "always_active": true,
                },
            }));
        }
        let person = self.seed.people.iter().find(|person| person.id == id)?;
        Some(user(person))
    }
}

fn user(person: &Person) -> Value {
    let (tz, tz_label, tz_offset) = &person.tz;
    let (first, last) = person
        .real_name
        .split_once(' ')
        .unwrap_or((&person.real_name, ""));
    let mut user = json!({
        "id": person.id, "team_id": person.team_id, "name": person.name, "deleted": person.kind == Kind::Deleted,
        "color": person.color, "real_name": person.real_name, "tz": tz, "tz_label": tz_label, "tz_offset": tz_offset,
        "is_admin": false, "is_owner": false, "is_primary_owner": false,
        "is_restricted": matches!(person.kind, Kind::Guest | Kind::SingleChannelGuest),
        "is_ultra_restricted": person.kind == Kind::SingleChannelGuest, "is_bot": person.kind == Kind::Bot,
        "is_app_user": false, "is_email_confirmed": true, "updated": 1_764_000_000,
        "who_can_share_contact_card": "EVERYONE",
        "profile": {
            "title": person.title, "phone": "", "real_name": person.real_name,
            "real_name_normalized": person.real_name, "display_name": person.name,
            "display_name_normalized": person.name, "status_text": "", "status_emoji": "", "status_expiration": 0,
            "email": person.email, "first_name": first, "last_name": last, "team": person.team_id,
        },
    });
    // Slack sends this flag for people of other workspaces only; for its own it is absent.
    if person.kind == Kind::Stranger
        && let Some(fields) = user.as_object_mut()
    {
        fields.insert("is_stranger".into(), true.into());
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::slack::seed::Seed;

    fn state() -> State {
        State::new(Seed::default(), "")
    }

    #[test]
    fn only_a_person_of_another_workspace_carries_the_strangers_flag() {
        let state = state();
        assert_eq!(state.user("U0SOL").unwrap()["is_stranger"], true);
        assert!(state.user("U0ANA").unwrap().get("is_stranger").is_none());
        assert_eq!(state.user("U0GUS").unwrap()["is_restricted"], true);
    }
}
