//! What an answer of Slack's means: told apart by what is known of the outcome, and stripped of everything that must not
//! travel on.

use std::io;

use serde::de::DeserializeOwned;
use serde_json::Value;
use slack_morphism::errors::{SlackClientError, SlackClientHttpProtocolError};

use super::error::{Error, RETRY_AFTER_UNSAID, TokenKind, is_about_the_token};

/// How many of Slack's remarks about single fields are kept, and how much of each.
const MOST_REMARKS: usize = 5;
const LONGEST_REMARK: usize = 300;
/// Slack's own words are shorter than this; anything longer is not one.
const LONGEST_CODE: usize = 64;

/// Reads an answer that Slack called good.
pub(super) fn parse<T: DeserializeOwned>(method: &'static str, answer: Value) -> Result<T, Error> {
    serde_json::from_value(answer).map_err(|_| Error::Unknown {
        method,
        why: "the answer lacks what was asked for".to_owned(),
    })
}

/// A good answer in plain text whose type was not said, so that the library took it for broken JSON. An empty body is one
/// too: not every server that takes a file says anything.
pub(super) fn is_bare_ok(error: &SlackClientError) -> bool {
    let SlackClientError::ProtocolError(broken) = error else {
        return false;
    };
    let body = broken.json_body.as_deref().unwrap_or_default().trim();
    body.is_empty()
        || body
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("ok"))
}

/// Which token a call was signed with, and the token; `None` where the address is the credential.
pub(super) type Signed<'a> = Option<(TokenKind, &'a str)>;

/// What the library's error means to us. Its own text is dropped: it holds whole bodies.
pub(super) fn understand(
    method: &'static str,
    signed: Signed<'_>,
    error: SlackClientError,
) -> Error {
    match error {
        SlackClientError::ApiError(refused) => {
            let body: Value = refused
                .http_response_body
                .and_then(|body| serde_json::from_str(&body).ok())
                .unwrap_or_default();
            refusal(method, signed, &refused.code, &body)
        }
        SlackClientError::RateLimitError(limited) => Error::RateLimited {
            method,
            retry_after: limited.retry_after.unwrap_or(RETRY_AFTER_UNSAID),
        },
        SlackClientError::HttpError(http) if http.status_code.is_server_error() => Error::Unknown {
            method,
            why: format!("Slack answered {}", http.status_code.as_u16()),
        },
        SlackClientError::HttpError(http) => {
            // A used-up response URL says so in plain text, or in JSON, under 404.
            let body = http.http_response_body.unwrap_or_default();
            let json: Value = serde_json::from_str(&body).unwrap_or_default();
            let said = json
                .get("error")
                .and_then(Value::as_str)
                .unwrap_or(body.trim());
            match code(said) {
                Some(code) => refusal(method, signed, code, &json),
                None => refusal(
                    method,
                    signed,
                    &format!("http_{}", http.status_code.as_u16()),
                    &json,
                ),
            }
        }
        SlackClientError::HttpProtocolError(broken) => not_answered(method, &broken),
        SlackClientError::ProtocolError(_) => Error::Unknown {
            method,
            why: "the answer is not JSON".to_owned(),
        },
        _ => Error::Unknown {
            method,
            why: "the connection broke".to_owned(),
        },
    }
}

fn refusal(method: &'static str, signed: Signed<'_>, said: &str, body: &Value) -> Error {
    let code = code(said).unwrap_or("unreadable_code").to_owned();
    if code == "ratelimited" || code == "rate_limited" {
        return Error::RateLimited {
            method,
            retry_after: RETRY_AFTER_UNSAID,
        };
    }
    if let Some((which, token)) = signed.filter(|_| is_about_the_token(&code)) {
        let begins = mistaken_prefix(which, token);
        return Error::Token {
            which,
            code,
            begins,
        };
    }
    let needed = body
        .get("needed")
        .and_then(Value::as_str)
        .filter(|scope| is_scope_list(scope))
        .map(str::to_owned);
    let remarks = body
        .pointer("/response_metadata/messages")
        .and_then(Value::as_array);
    let messages = remarks
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .take(MOST_REMARKS)
        .map(|remark| remark.chars().take(LONGEST_REMARK).collect())
        .collect();
    Error::Api {
        method,
        code,
        needed,
        messages,
    }
}

/// Slack's codes are words in snake case. Anything else is a body that must not travel on.
fn code(said: &str) -> Option<&str> {
    let is_word = !said.is_empty()
        && said.len() <= LONGEST_CODE
        && said
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    is_word.then_some(said)
}

fn is_scope_list(word: &str) -> bool {
    word.len() <= LONGEST_REMARK
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || matches!(b, b':' | b'.' | b'_' | b',' | b' '))
}

/// What the token begins with, if that shows it to be of the wrong kind.
fn mistaken_prefix(which: TokenKind, token: &str) -> Option<&'static str> {
    [
        "xoxb-", "xapp-", "xoxp-", "xoxe-", "xoxe.", "xoxc-", "xoxr-",
    ]
    .into_iter()
    .find(|prefix| token.starts_with(prefix) && *prefix != which.prefix())
}

/// The library's connection error, whose type cannot be named from here: only what says in so many words that no
/// connection was made counts as unreachable, everything else as unknown, which is the careful reading.
fn not_answered(method: &'static str, broken: &SlackClientHttpProtocolError) -> Error {
    let Some(cause) = broken.cause.as_deref() else {
        return Error::Unknown {
            method,
            why: "the connection broke".to_owned(),
        };
    };
    let mut why = "the connection broke".to_owned();
    let mut next = cause.source();
    while let Some(deeper) = next {
        if let Some(io) = deeper.downcast_ref::<io::Error>() {
            why = io.to_string();
        }
        next = deeper.source();
    }
    if cause.to_string() == "client error (Connect)" {
        Error::Unreachable { method, why }
    } else {
        Error::Unknown { method, why }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Error, TokenKind, code, refusal};

    #[test]
    fn a_body_is_never_taken_for_a_code() {
        assert_eq!(code("not_in_channel"), Some("not_in_channel"));
        for body in [
            "<html>xoxb-1</html>",
            "xoxb-1",
            "",
            "two words",
            &"a".repeat(65),
        ] {
            assert_eq!(code(body), None, "{body}");
        }
    }

    #[test]
    fn remarks_and_the_missing_scope_are_kept_and_bounded() {
        let long = "x".repeat(1000);
        let body = json!({"needed": "pins:write", "response_metadata": {"messages": [&long, "2", "3", "4", "5", "6"]}});
        let error = refusal(
            "pins.add",
            Some((TokenKind::Bot, "xoxb-1")),
            "missing_scope",
            &body,
        );
        let Error::Api {
            needed, messages, ..
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(needed.as_deref(), Some("pins:write"));
        assert_eq!((messages.len(), messages[0].len()), (5, 300));
    }
}
