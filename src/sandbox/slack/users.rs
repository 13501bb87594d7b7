//! `auth.test`, `users.*` and `usergroups.*`: who is who.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    args::{Answer, Args, Refused},
    core::Core,
    seed::{Group, Kind},
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
