//! What Builder's refusals and silences mean (`facts/habitat.md` 3.1), each in a sentence that says where to look.

use std::{fmt, time::Duration};

/// Why Builder did not do, or did not say, what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no token and the call needs one.
    #[error("builder.token is not configured, and Builder changes nothing without a token")]
    NoToken,
    /// No connection.
    #[error("Builder cannot be reached at {base}: {reason}")]
    Unreachable {
        /// The address from the configuration.
        base: String,
        /// What the system says.
        reason: String,
    },
    /// No whole answer in time.
    #[error("Builder did not answer within {}", humantime::format_duration(*.after))]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended in the middle of the answer.
    #[error("the connection to Builder broke before its answer was whole: {reason}")]
    Broken {
        /// What the system says.
        reason: String,
    },
    /// More than is ever read.
    #[error("Builder's answer is longer than {} MiB and was not read", .limit >> 20)]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// An answer that says no.
    #[error("{0}")]
    Refused(Answer),
    /// An answer that says yes, and nothing that can be read.
    #[error("{0}")]
    Unreadable(Answer),
}

/// An answer, as far as it is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What came with it.
    pub body: Body,
}

/// What came with a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Builder's own `{"code":6,"msg":"rt:route:2"}`.
    Coded {
        /// Of `net.proto`.
        code: u32,
        /// The site: `rt:route:2`.
        site: String,
    },
    /// Nothing.
    Empty,
    /// A web page: a proxy's, never Builder's.
    Page,
    /// JSON of another shape than was asked for.
    Json,
    /// Some other text; its beginning.
    Text(String),
}

/// Longest piece of a foreign text that is shown, in characters.
const LONGEST_QUOTE: usize = 120;

mod code {
    pub(super) const TIMEOUT: u32 = 1;
    pub(super) const NO_SHARD: u32 = 6;
    pub(super) const ACCESS_DENIED: u32 = 7;
    pub(super) const SESSION_EXPIRED: u32 = 8;
    pub(super) const DATA_STORE: u32 = 11;
    pub(super) const BAD_TOKEN: u32 = 12;
    pub(super) const GROUP_NOT_COMPLETE: u32 = 3000;
}

/// The names of `net.proto`.
fn name(code: u32) -> Option<&'static str> {
    Some(match code {
        0 => "BUG",
        code::TIMEOUT => "TIMEOUT",
        2 => "REMOTE_REJECTED",
        3 => "BAD_REMOTE_REPLY",
        4 => "ENTITY_NOT_FOUND",
        code::NO_SHARD => "NO_SHARD",
        code::ACCESS_DENIED => "ACCESS_DENIED",
        code::SESSION_EXPIRED => "SESSION_EXPIRED",
        9 => "ENTITY_CONFLICT",
        10 => "SOCK",
        code::DATA_STORE => "DATA_STORE",
        code::BAD_TOKEN => "BAD_TOKEN",
        13 => "REMOTE_UNAVAILABLE",
        14 => "SYS",
        1000 => "WORKSPACE_SETUP",
        1001 => "SECRET_KEY_FETCH",
        1002 => "SECRET_KEY_IMPORT",
        1003 => "VCS_CLONE",
        1004 => "BUILD",
        1005 => "POST_PROCESSOR",
        1006 => "INVALID_INTEGRATIONS",
        1007 => "EXPORT",
        2000 => "REG_CONFLICT",
        2001 => "REG_NOT_FOUND",
        code::GROUP_NOT_COMPLETE => "GROUP_NOT_COMPLETE",
        3001 => "PARTIAL_JOB_GROUP_PROMOTE",
        _ => return None,
    })
}

/// The role of the nodes whose service says errors of that site: `rt:route:2` → `router`.
pub fn role_of_site(site: &str) -> Option<&'static str> {
    Some(match site.split(':').next()? {
        "rt" => "router",
        "ss" => "sessionsrv",
        "vt" | "od" => "originsrv",
        "jb" => "jobsrv",
        "wk" => "worker",
        "net" | "hg" | "core" | "rg" => "api",
        _ => return None,
    })
}

impl Error {
    /// The role whose nodes to look at, where the answer tells it.
    pub fn suspect(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Broken { .. } => Some("api"),
            Self::Refused(answer) | Self::Unreadable(answer) => answer.suspect(),
            Self::NoToken | Self::TooLong { .. } => None,
        }
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(answer) | Self::Unreadable(answer) => Some(answer.status),
            _ => None,
        }
    }

    /// Whether the same question may well be answered a moment later. After a time-out nobody asks again by himself: whoever
    /// waits has waited long enough.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused(answer) => matches!(answer.status, 502 | 503),
            _ => false,
        }
    }

    /// Whether a change that was answered so may have been made all the same.
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::TooLong { .. }
            | Self::Unreadable(_) => true,
            Self::Refused(answer) => answer.status >= 500,
            Self::NoToken | Self::Unreachable { .. } => false,
        }
    }
}

impl Answer {
    /// What is to be told of an answer with this body.
    pub(super) fn new(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            body: Body::read(body),
        }
    }

    /// Whether Builder itself says that there is no such thing. A proxy's page says only that the address is wrong.
    pub(super) fn is_nothing(&self) -> bool {
        self.status == 404 && self.body != Body::Page
    }

    fn suspect(&self) -> Option<&'static str> {
        match (&self.body, self.status) {
            (_, 400..=499) => None,
            (Body::Coded { site, .. }, _) => role_of_site(site).or(Some("api")),
            (_, 500..=599) => Some("api"),
            _ => None,
        }
    }

    fn code(&self) -> Option<u32> {
        match self.body {
            Body::Coded { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl Body {
    fn read(body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Coded {
            code: u32,
            #[serde(default)]
            msg: String,
        }
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        let quote = || -> String {
            let line = text.lines().next().unwrap_or_default();
            line.chars().take(LONGEST_QUOTE).collect()
        };
        if text.is_empty() {
            return Self::Empty;
        }
        if let Ok(Coded { code, msg }) = serde_json::from_str(text) {
            let site = msg.chars().take(LONGEST_QUOTE).collect();
            return Self::Coded { code, site };
        }
        let begins: String = text.chars().take(15).collect::<String>().to_lowercase();
        if begins.starts_with("<!doctype") || begins.starts_with("<html") {
            Self::Page
        } else if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
            Self::Json
        } else {
            Self::Text(quote())
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        if let Body::Coded { code, site } = &self.body {
            match name(*code) {
                Some(name) => write!(f, "{name} ({status}, {site}): ")?,
                None => write!(f, "error {code} ({status}, {site}): ")?,
            }
        } else if matches!(status, 404 | 409) && self.body != Body::Page {
            write!(f, "{status}: ")?;
        }
        let said_by = match &self.body {
            Body::Coded { site, .. } => role_of_site(site),
            _ => None,
        };
        match (status, self.code(), &self.body) {
            (_, Some(code::TIMEOUT), _) => f.write_str(
                "builder-api got no reply within 15 s from the service behind it",
            ),
            (_, Some(code::NO_SHARD), _) => f.write_str(
                "builder-router knows no server for this; the service behind it has not registered for 35 s",
            ),
            (_, Some(code::DATA_STORE), _) => write!(
                f,
                "builder-{} could not use the datastore",
                said_by.unwrap_or("api")
            ),
            (_, Some(code::ACCESS_DENIED), _) => {
                f.write_str("the account of builder.token is no member of that origin")
            }
            (_, Some(code::BAD_TOKEN | code::SESSION_EXPIRED), _) => f.write_str(
                "builder.token is not valid any more; make a new one in Builder's profile page",
            ),
            (422, ..) => f.write_str(
                "a project of that group still builds; Builder promotes a group when all have ended",
            ),
            (404, ..) if self.is_nothing() => f.write_str("Builder knows nothing of that name"),
            (409, ..) => f.write_str("there is one of that name already"),
            (_, Some(_), _) => match said_by {
                Some(role) => write!(f, "said by builder-{role}; its journal says more"),
                None => f.write_str("builder-api's journal says more"),
            },
            (_, None, Body::Page) => page(f, status),
            (200..=299, None, Body::Empty) => {
                write!(f, "Builder answered {status} and nothing that could be read")
            }
            (200..=299, ..) => write!(
                f,
                "Builder answered {status} with something else than was asked for; is builder.url right?"
            ),
            (300..=399, ..) => write!(
                f,
                "Builder sends elsewhere ({status}); is builder.url right, `https://` included?"
            ),
            (401, ..) => f.write_str(
                "Builder does not take builder.token (401): it is revoked, or a proxy drops the Authorization header",
            ),
            (403, ..) => f.write_str(
                "Builder refuses (403): builder.token has expired, or its account is no member of that origin",
            ),
            (502..=504, ..) => write!(
                f,
                "builder-api-proxy answers {status} by itself: builder-api does not answer it"
            ),
            (_, None, Body::Text(text)) => write!(f, "Builder answered {status}: {text}"),
            _ => write!(f, "Builder answered {status} without a reason"),
        }
    }
}

fn page(f: &mut fmt::Formatter<'_>, status: u16) -> fmt::Result {
    match status {
        502..=504 => write!(
            f,
            "builder-api-proxy answers {status} by itself: builder-api does not answer it"
        ),
        _ => write!(
            f,
            "a web page answered ({status}), not Builder's API; is builder.url right?"
        ),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("rt:route:2", Some("router"))]
    #[case("ss:session-get:1", Some("sessionsrv"))]
    #[case("vt:origin-get:1", Some("originsrv"))]
    #[case("od:x:0", Some("originsrv"))]
    #[case("jb:job-get:1", Some("jobsrv"))]
    #[case("wk:run:build", Some("worker"))]
    #[case("net:route:3", Some("api"))]
    #[case("core:promote-package-to-channel:0", Some("api"))]
    #[case("what", None)]
    fn the_site_names_the_service(#[case] site: &str, #[case] role: Option<&str>) {
        assert_eq!(role_of_site(site), role);
    }

    #[test]
    fn a_foreign_text_is_cut_and_a_page_is_not_quoted() {
        let long = "x".repeat(10_000);
        let Body::Text(text) = Body::read(long.as_bytes()) else {
            panic!("text");
        };
        assert_eq!(text.len(), LONGEST_QUOTE);
        assert_eq!(Body::read(b"\n <!DOCTYPE html><p>x"), Body::Page);
        assert_eq!(Body::read(b"[1,2]"), Body::Json);
        assert_eq!(Body::read(b" "), Body::Empty);
    }
}
