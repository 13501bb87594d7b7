//! The Slack app manifest: what an administrator pastes into "Create an app from a manifest".
//!
//! Every scope is there for a feature, with the reason beside it; one that no feature asks for is not there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::domain::{command::Commands, parse::usage};

/// Slack's limit for `usage_hint`, in characters.
const LONGEST_HINT: usize = 1_000;
/// Commands named in the hint that Slack shows while one types: few, or nobody reads it.
const HINTED: [&str; 6] = [
    "status",
    "logs",
    "restart",
    "incident open",
    "incident note",
    "help",
];

/// A thing habops does in Slack, and the scope it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The bot scope; empty where the method takes none.
    pub scope: &'static str,
    /// Web API methods that are called for it; none where Slack calls us.
    pub methods: &'static [&'static str],
    /// What for.
    pub reason: &'static str,
}

/// What each feature needs. A method may stand in several rows: then it takes all their scopes.
pub const NEEDS: [Need; 19] = [
    Need {
        scope: "commands",
        methods: &[],
        reason: "the slash command /habops and the message shortcut",
    },
    Need {
        scope: "app_mentions:read",
        methods: &[],
        reason: "@habops in threads, where slash commands do not work",
    },
    Need {
        scope: "chat:write",
        methods: &["chat.postMessage", "chat.update", "chat.postEphemeral"],
        reason: "answers, progress and confirmation cards",
    },
    Need {
        scope: "files:write",
        methods: &["files.getUploadURLExternal", "files.completeUploadExternal"],
        reason: "logs too long for a message",
    },
    Need {
        scope: "channels:read",
        methods: &["conversations.info"],
        reason: "whether a channel is public, archived, joined",
    },
    Need {
        scope: "groups:read",
        methods: &["conversations.info"],
        reason: "the same for private channels habops was invited to",
    },
    Need {
        scope: "channels:manage",
        methods: &[
            "conversations.create",
            "conversations.setTopic",
            "conversations.invite",
        ],
        reason: "a channel of its own for an incident, with its topic and whoever opened it",
    },
    Need {
        scope: "channels:history",
        methods: &["conversations.history", "conversations.replies"],
        reason: "reading back whether a post arrived before it is made again, and the message that somebody marked",
    },
    Need {
        scope: "groups:history",
        methods: &["conversations.history", "conversations.replies"],
        reason: "the same in private channels",
    },
    Need {
        scope: "im:history",
        methods: &["conversations.history", "conversations.replies"],
        reason: "the same in habops' own direct messages",
    },
    Need {
        scope: "channels:join",
        methods: &["conversations.join"],
        reason: "files and pins work only where habops is a member; it joins a public channel by itself",
    },
    Need {
        scope: "im:write",
        methods: &["conversations.open"],
        reason: "telling the asker directly when a channel cannot be posted to",
    },
    Need {
        scope: "users:read",
        methods: &["users.info"],
        reason: "whether somebody is a full member, a guest, a bot or deleted; their time zone",
    },
    Need {
        scope: "users:read.email",
        methods: &["users.info", "users.lookupByEmail"],
        reason: "who is who in PagerDuty, by the same address",
    },
    Need {
        scope: "usergroups:read",
        methods: &["usergroups.list", "usergroups.users.list"],
        reason: "roles that are made of a user group",
    },
    Need {
        scope: "reactions:read",
        methods: &[],
        reason: "a message marked with the emoji goes onto the timeline",
    },
    Need {
        scope: "pins:read",
        methods: &[],
        reason: "so does a pinned one",
    },
    Need {
        scope: "pins:write",
        methods: &["pins.add"],
        reason: "the incident's card, pinned in its channel",
    },
    Need {
        scope: "",
        methods: &["auth.test", "views.open"],
        reason: "who habops is and the shortcut's form take no scope",
    },
];

/// What Slack tells by itself: words to us, marks on messages, and who comes into an incident's channel.
const EVENTS: [&str; 4] = [
    "app_mention",
    "member_joined_channel",
    "pin_added",
    "reaction_added",
];

/// The whole manifest, as JSON that Slack takes. Socket Mode also takes an app-level token with `connections:write`, which no
/// manifest can hold.
pub fn manifest(commands: &Commands) -> Value {
    let scopes: BTreeSet<&str> = NEEDS
        .iter()
        .map(|need| need.scope)
        .filter(|scope| !scope.is_empty())
        .collect();
    json!({
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {
            "name": "habops",
            "description": "On-call operations of Habitat Builder, where everybody sees them",
            "long_description": "habops looks after Habitat Builder's nodes from Slack: it shows how they are, explains known issues, \
                                 proposes the next step, and acts after a confirmation. What it does is posted in the incident's \
                                 channel or thread and kept as the incident's timeline. Type /habops help to begin; in a thread, \
                                 where Slack has no slash commands, type @habops help.",
            "background_color": "#1d3557",
        },
        "features": {
            // Direct messages are read, never answered: a plain message to habops would otherwise meet silence.
            "app_home": {"home_tab_enabled": false, "messages_tab_enabled": true, "messages_tab_read_only_enabled": true},
            "bot_user": {"display_name": "habops", "always_online": true},
            "shortcuts": [{
                "name": "habops on this message",
                "type": "message",
                "callback_id": "habops_message",
                "description": "Run a habops command in this message's thread",
            }, {
                "name": "Keep on the timeline",
                "type": "message",
                "callback_id": "habops_keep",
                "description": "Put this message on the incident's timeline",
            }],
            "slash_commands": [{
                "command": "/habops",
                "description": "Look after Habitat Builder",
                "usage_hint": usage_hint(commands),
                // Channels and people arrive as ids that cannot be mistaken, `<#C…>` and `<@U…>`.
                "should_escape": true,
            }],
        },
        "oauth_config": {"scopes": {"bot": scopes}},
        "settings": {
            "event_subscriptions": {"bot_events": EVENTS},
            "interactivity": {"is_enabled": true},
            "org_deploy_enabled": false,
            "socket_mode_enabled": true,
            "token_rotation_enabled": false,
        },
    })
}

fn usage_hint(commands: &Commands) -> String {
    let hints: Vec<String> = HINTED
        .iter()
        .filter_map(|name| commands.get(name))
        .map(|spec| usage(spec))
        .collect();
    hints.join(" | ").chars().take(LONGEST_HINT).collect()
}
