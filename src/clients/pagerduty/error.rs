//! Why PagerDuty did not do it, as a sentence that says what to do next.

use std::time::Duration;

/// Why PagerDuty did not answer, or did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error(
        "PagerDuty cannot be reached: {why}; see pagerduty.url and the network, or use PagerDuty's own page"
    )]
    Unreachable {
        /// Why.
        why: String,
    },
    /// No answer in time.
    #[error("PagerDuty did not answer in time; try again, or use PagerDuty's own page")]
    TimedOut,
    /// 401
    #[error(
        "PagerDuty does not take the token (401); make a REST API key under Integrations, API Access Keys, and put it where pagerduty.token points"
    )]
    Unauthorized,
    /// 402
    #[error(
        "PagerDuty says that the account's plan lacks this (402: {message}); use PagerDuty's own page, or call the person"
    )]
    Lacks {
        /// PagerDuty's words.
        message: String,
    },
    /// 403
    #[error("PagerDuty does not allow it to this token (403: {message}); it may be read-only")]
    Forbidden {
        /// PagerDuty's words.
        message: String,
    },
    /// 404
    #[error(
        "PagerDuty does not know {what} (404); see whether its id is right and the token may see it"
    )]
    Missing {
        /// What was asked for.
        what: String,
    },
    /// 429
    #[error("PagerDuty takes no more calls now (429){}", again(*.after))]
    Limited {
        /// When it said to come back.
        after: Option<Duration>,
    },
    /// Any other 4xx, or a refusal inside a 2xx.
    #[error("PagerDuty refused {what}: {}{}", said(.message, .errors), advice(*.code))]
    Refused {
        /// What was wanted.
        what: String,
        /// The HTTP status.
        status: u16,
        /// PagerDuty's own code; 0 where it gave none.
        code: u32,
        /// PagerDuty's words.
        message: String,
        /// Further words.
        errors: Vec<String>,
    },
    /// 5xx
    #[error("PagerDuty is broken ({status}); see status.pagerduty.com and try again")]
    Broken {
        /// The HTTP status.
        status: u16,
    },
    /// An answer that is none.
    #[error("PagerDuty's answer about {what} cannot be read: {why}")]
    Unreadable {
        /// What was asked for.
        what: String,
        /// Why.
        why: String,
    },
}

fn again(after: Option<Duration>) -> String {
    match after {
        Some(after) => format!("; try again in {} s", after.as_secs().max(1)),
        None => "; try again in a minute".to_owned(),
    }
}

fn said(message: &str, errors: &[String]) -> String {
    if errors.is_empty() {
        message.to_owned()
    } else {
        format!("{message} ({})", errors.join("; "))
    }
}

/// What to do about the codes that a person can do something about.
fn advice(code: u32) -> &'static str {
    match code {
        1008 => {
            "; whoever asks must be a user of the account: give them one, map them under [pagerduty.users], or set pagerduty.from"
        }
        1018 => "; that user may not ask for this: their role in PagerDuty is too small",
        2011 => "; nobody asks for it: set pagerduty.from to the e-mail of a PagerDuty user",
        _ => "",
    }
}

impl Error {
    /// Whether the same call may succeed a moment later.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::TimedOut | Self::Limited { .. } | Self::Broken { .. }
        )
    }

    /// Whether a write that ended so may have been done all the same.
    pub fn is_doubtful(&self) -> bool {
        matches!(
            self,
            Self::TimedOut | Self::Broken { .. } | Self::Unreadable { .. }
        )
    }

    /// PagerDuty's own code, where it gave one.
    pub fn code(&self) -> u32 {
        match self {
            Self::Refused { code, .. } => *code,
            _ => 0,
        }
    }
}
