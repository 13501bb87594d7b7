//! Why a call to Slack did not work, what is known of its outcome, and what a person can do about it.
//!
//! Nothing here holds a response body, an address or a token, so that an error may be logged and shown as it is.

use std::{borrow::Cow, fmt, time::Duration};

/// Slack gives whole seconds; without the header this is what "a moment" means.
pub(super) const RETRY_AFTER_UNSAID: Duration = Duration::from_secs(1);

/// Why a call to Slack did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Slack read the call and said no.
    #[error("Slack refused {method}: {code}")]
    Api {
        /// The Web API method.
        method: &'static str,
        /// Slack's word for it.
        code: String,
        /// The scope that was missing, for `missing_scope`.
        needed: Option<String>,
        /// What Slack says of single fields, for `invalid_blocks` and its like; for the log.
        messages: Vec<String>,
    },
    /// Too many calls: nothing was done, try again after that long.
    #[error("Slack asks to wait {} s before {method}", retry_after.as_secs())]
    RateLimited {
        /// The Web API method.
        method: &'static str,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The call went out and no usable answer came: it may have been done.
    #[error("{method} may or may not have reached Slack: {why}")]
    Unknown {
        /// The Web API method.
        method: &'static str,
        /// What happened instead of an answer.
        why: String,
    },
    /// No connection was made: it was surely not done.
    #[error("cannot connect to Slack for {method}: {why}")]
    Unreachable {
        /// The Web API method.
        method: &'static str,
        /// Why not.
        why: String,
    },
    /// Slack does not take our token.
    #[error("Slack does not accept the {which} token: {code}")]
    Token {
        /// Which of the tokens.
        which: TokenKind,
        /// Slack's word for it.
        code: String,
        /// What the token begins with, where that is the mistake.
        begins: Option<&'static str>,
    },
}

/// Which of the two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `xoxb-…`, for everything but the sockets.
    Bot,
    /// `xapp-…`, for the sockets.
    App,
}

impl TokenKind {
    /// What such a token begins with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Bot => "xoxb-",
            Self::App => "xapp-",
        }
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bot => "bot",
            Self::App => "app",
        })
    }
}

/// What is known of a call that did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Surely not done; it may be made again.
    NotDone,
    /// It may have been done: look before it is made again.
    Unknown,
}

impl Error {
    /// What is known of the call.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown { .. } => Outcome::Unknown,
            // Slack says of these: "some aspect of the operation may have succeeded before the error was raised".
            Self::Api { code, .. } if is_slacks_own_failure(code) => Outcome::Unknown,
            _ => Outcome::NotDone,
        }
    }

    /// Whether the same call may work a little later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Unknown { .. } | Self::Unreachable { .. } => true,
            Self::Api { code, .. } => is_slacks_own_failure(code),
            Self::Token { .. } => false,
        }
    }

    /// Slack's own word, where it said one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } | Self::Token { code, .. } => Some(code),
            _ => None,
        }
    }

    /// What a person can do about it: one plain sentence.
    pub fn advice(&self) -> Cow<'static, str> {
        match self {
            Self::Api { code, needed, .. } => advice_for(code, needed.as_deref()),
            Self::RateLimited { retry_after, .. } => {
                format!("Slack is limiting habops; it goes on by itself in {} s.", retry_after.as_secs()).into()
            }
            Self::Unknown { .. } => "Slack did not answer; it may have been done. habops looks before it tries again.".into(),
            Self::Unreachable { .. } => {
                "habops cannot reach Slack: check the network and status.slack.com. Nothing was done.".into()
            }
            Self::Token { which, code, begins } => token_advice(*which, code, *begins).into(),
        }
    }
}

/// Slack's words for "we broke", after which the outcome is open.
fn is_slacks_own_failure(code: &str) -> bool {
    matches!(
        code,
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout"
    )
}

/// Slack's words for "not with this token".
pub(super) fn is_about_the_token(code: &str) -> bool {
    matches!(
        code,
        "invalid_auth"
            | "not_authed"
            | "account_inactive"
            | "token_revoked"
            | "token_expired"
            | "not_allowed_token_type"
            | "no_permission_for_token"
    )
}

fn token_advice(which: TokenKind, code: &str, begins: Option<&str>) -> String {
    let wanted = which.prefix();
    if let Some(begins) = begins {
        return format!(
            "The {which} token begins with {wanted}, this one begins with {begins} ({code}): put the right one into slack.{which}_token."
        );
    }
    match code {
        "token_revoked" | "account_inactive" => format!(
            "The {which} token was revoked ({code}): reinstall the app in Slack and put the new token into slack.{which}_token."
        ),
        "token_expired" => format!(
            "The {which} token has expired ({code}): turn token rotation off for the app, or put a fresh token into slack.{which}_token."
        ),
        "not_allowed_token_type" => {
            format!(
                "Slack wants another kind of token here ({code}): slack.{which}_token must begin with {wanted}."
            )
        }
        _ => format!(
            "Slack does not know the {which} token ({code}): check slack.{which}_token; it begins with {wanted}."
        ),
    }
}

fn advice_for(code: &str, needed: Option<&str>) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        "missing_scope" => {
            return match needed {
                Some(scope) => format!("Add the scope {scope} to the Slack app and reinstall it.").into(),
                None => "A scope is missing: compare the Slack app with `habops commands --manifest` and reinstall it.".into(),
            };
        }
        "not_in_channel" => "I am not in this channel: invite me with /invite @habops.",
        "channel_not_found" => {
            "I cannot see this channel. If it is private, invite me with /invite @habops."
        }
        "is_archived" => "This channel is archived: unarchive it, or use another one.",
        "restricted_action"
        | "restricted_action_read_only_channel"
        | "restricted_action_thread_only_channel" => {
            "This channel's settings do not let apps post here: ask its owner, or use another channel."
        }
        "restricted_action_non_threadable_channel" | "restricted_action_thread_locked" => {
            "Threads are locked here: use another channel."
        }
        "method_not_supported_for_channel_type" => {
            "Slack does not allow this kind of conversation here: use a channel."
        }
        "user_not_in_channel" => {
            "That person is not in this channel, so I cannot show them a message here."
        }
        "user_not_found" | "users_not_found" => "Slack does not know that person.",
        "cannot_dm_bot" => "Bots cannot be written to directly.",
        "no_such_subteam" | "subteam_not_found" => {
            "Slack does not know that user group: check its id in the policy."
        }
        "msg_too_long" | "msg_blocks_too_long" => {
            "The message is too long for Slack; it will be sent as a file."
        }
        "invalid_blocks" | "invalid_blocks_format" | "invalid_attachments" => {
            "Slack cannot show this layout; it will be sent as plain text."
        }
        "no_text" => "Slack does not take an empty message.",
        "message_not_found" | "thread_not_found" => "That message is gone from Slack.",
        "cant_update_message" | "edit_window_closed" => {
            "That message can no longer be edited; a new one will be sent."
        }
        "expired_trigger_id" | "trigger_expired" => {
            "That took too long for Slack: please do it again."
        }
        "exchanged_trigger_id" | "trigger_exchanged" | "invalid_trigger_id" => {
            "Slack has used that click already: please do it again."
        }
        "used_url" | "expired_url" => {
            "The half hour for a private answer is over: please ask again."
        }
        "already_reacted" | "already_pinned" | "already_in_channel" => {
            "That was done before; nothing is left to do."
        }
        "too_many_pins" => "This channel has as many pins as Slack allows: unpin something.",
        "file_uploads_disabled" | "file_upload_size_restricted" | "storage_limit_reached" => {
            "This workspace takes no more files: ask its administrators."
        }
        "not_allowed"
        | "access_denied"
        | "team_access_not_granted"
        | "ekm_access_denied"
        | "enterprise_is_restricted" => {
            "The workspace's settings do not let habops do this: ask its administrators."
        }
        "org_login_required" | "team_added_to_org" => {
            "Slack is moving this workspace; try again later."
        }
        "message_limit_exceeded" => {
            "This workspace has reached its message limit: ask its administrators."
        }
        "unknown_method" | "http_404" => "There is no Slack at that address: check slack.api_url.",
        _ if is_slacks_own_failure(code) => {
            "Slack had a failure of its own; see status.slack.com. It may have been done."
        }
        _ => return format!("Slack refused this ({code}); the log has more.").into(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::{Error, Outcome, TokenKind};

    fn api(code: &str, needed: Option<&str>) -> Error {
        Error::Api {
            method: "chat.postMessage",
            code: code.to_owned(),
            needed: needed.map(str::to_owned),
            messages: vec![],
        }
    }

    #[rstest]
    #[case(
        "not_in_channel",
        "I am not in this channel: invite me with /invite @habops."
    )]
    #[case(
        "is_archived",
        "This channel is archived: unarchive it, or use another one."
    )]
    #[case(
        "some_new_word",
        "Slack refused this (some_new_word); the log has more."
    )]
    fn a_refusal_says_what_to_do(#[case] code: &str, #[case] advice: &str) {
        assert_eq!(api(code, None).advice(), advice);
    }

    #[test]
    fn a_missing_scope_is_named() {
        let advice = api("missing_scope", Some("pins:write")).advice();
        assert_eq!(
            advice,
            "Add the scope pins:write to the Slack app and reinstall it."
        );
    }

    #[test]
    fn a_wrong_kind_of_token_is_told_by_what_it_begins_with() {
        let error = Error::Token {
            which: TokenKind::Bot,
            code: "not_allowed_token_type".to_owned(),
            begins: Some("xapp-"),
        };
        assert_eq!(
            error.advice(),
            "The bot token begins with xoxb-, this one begins with xapp- (not_allowed_token_type): put the right one into slack.bot_token."
        );
    }

    #[rstest]
    #[case::refused(api("not_in_channel", None), Outcome::NotDone)]
    #[case::slack_broke(api("fatal_error", None), Outcome::Unknown)]
    #[case::limited(Error::RateLimited { method: "m", retry_after: Duration::from_secs(2) }, Outcome::NotDone)]
    #[case::no_connection(Error::Unreachable { method: "m", why: String::new() }, Outcome::NotDone)]
    #[case::no_answer(Error::Unknown { method: "m", why: String::new() }, Outcome::Unknown)]
    fn only_what_may_have_been_done_is_unknown(#[case] error: Error, #[case] outcome: Outcome) {
        assert_eq!(error.outcome(), outcome);
    }
}
