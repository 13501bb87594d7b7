//! One call: its headers, its limits, its errors.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::{Context as _, Result as Anyhow};
use backon::{ExponentialBuilder, Retryable as _};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::timeout;

use super::{config::Config, error::Error};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a read may take with all its tries, its turn in the queue included.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(25);
/// How often a read is tried again.
const RETRIES: usize = 2;
/// The first pause between two tries, where PagerDuty names none; doubles, with jitter.
const PAUSE: Duration = Duration::from_secs(1);
/// A read is not tried again when PagerDuty asks to wait longer than this: somebody waits for the answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Below the 960 calls a minute that a key may make, so that others with the same key find room.
const CALLS_A_MINUTE: NonZeroU32 = NonZeroU32::new(900).expect("900 is not zero");
/// Calls that may be made at once.
const BURST: NonZeroU32 = NonZeroU32::new(60).expect("60 is not zero");
/// Longest answer that is read.
const LONGEST_BODY: usize = 4 * 1024 * 1024;
/// Pages of a list that are read; a list of on-calls of a few schedules is one.
const MOST_PAGES: usize = 20;
/// Rows of a page.
const PAGE: usize = 100;

/// Talks to one account. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    base: String,
    token: SecretString,
    from: Option<String>,
    http: reqwest::Client,
    turns: DefaultDirectRateLimiter,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.inner.base)
            .finish_non_exhaustive()
    }
}

/// A query's names and values.
pub(super) type Query<'a> = Vec<(&'a str, String)>;

impl Client {
    /// Connects to nothing yet.
    pub fn new(config: &Config) -> Anyhow<Self> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .user_agent(concat!("habops/", env!("CARGO_PKG_VERSION")))
            // The token is for this address and no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot make an HTTP client")?;
        let token = config
            .token
            .clone()
            .context("pagerduty.token is missing; write { file = \"…\" } or { env = \"…\" }")?;
        Ok(Self {
            inner: Arc::new(Inner {
                base: config.url.trim_end_matches('/').to_owned(),
                token,
                from: config.from.clone(),
                http,
                turns: RateLimiter::direct(Quota::per_minute(CALLS_A_MINUTE).allow_burst(BURST)),
            }),
        })
    }

    /// The e-mail that habops acts as where the asker has none in PagerDuty.
    pub fn from(&self) -> Option<&str> {
        self.inner.from.as_deref()
    }

    /// What the account may do; an error when the token is not taken.
    pub async fn abilities(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Abilities {
            abilities: Vec<String>,
        }
        let read: Abilities = self.get("the abilities", "/abilities", &Vec::new()).await?;
        Ok(read.abilities)
    }

    /// A read, tried again while what is wrong may pass.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        query: &Query<'_>,
    ) -> Result<T, Error> {
        let once = || async {
            let request = self.request(Method::GET, path).query(query);
            self.answer(what, request).await
        };
        let tries = once
            .retry(
                ExponentialBuilder::default()
                    .with_min_delay(PAUSE)
                    .with_max_times(RETRIES)
                    .with_jitter(),
            )
            .sleep(tokio::time::sleep)
            .when(Error::is_passing)
            .adjust(|error, pause| match error {
                Error::Limited { after: Some(after) } => {
                    pause.and((*after <= LONGEST_PAUSE).then_some(*after))
                }
                _ => pause,
            });
        timeout(PATIENCE_IN_ALL, tries)
            .await
            .unwrap_or(Err(Error::TimedOut))
    }

    /// Every row of a classic list, page by page. A list longer than any that is asked for here is an error, not cut off unseen.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        name: &str,
        query: &Query<'_>,
    ) -> Result<Vec<T>, Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            more: bool,
            #[serde(flatten)]
            rest: serde_json::Map<String, Value>,
        }
        let unreadable = |why: String| Error::Unreadable {
            what: what.to_owned(),
            why,
        };
        let mut rows = Vec::new();
        for number in 0..MOST_PAGES {
            let mut query = query.clone();
            query.push(("limit", PAGE.to_string()));
            query.push(("offset", (number * PAGE).to_string()));
            let mut page: Page = self.get(what, path, &query).await?;
            let of_page = page.rest.remove(name).unwrap_or_default();
            let of_page: Vec<T> =
                serde_json::from_value(of_page).map_err(|error| unreadable(error.to_string()))?;
            rows.extend(of_page);
            if !page.more {
                return Ok(rows);
            }
        }
        Err(unreadable(format!(
            "it has more than {} rows",
            MOST_PAGES * PAGE
        )))
    }

    /// A write, sent once, in the name of `from` or of habops' own user.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        what: &str,
        path: &str,
        from: Option<&str>,
        body: &Value,
    ) -> Result<T, Error> {
        let mut request = self.request(method, path).json(body);
        if let Some(from) = from.or(self.inner.from.as_deref()) {
            request = request.header("From", from);
        }
        self.answer(what, request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let token = self.inner.token.expose_secret().trim();
        self.inner
            .http
            .request(method, format!("{}{path}", self.inner.base))
            .header("Authorization", format!("Token token={token}"))
            .header("Accept", "application/vnd.pagerduty+json;version=2")
            .header("Content-Type", "application/json")
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        what: &str,
        request: RequestBuilder,
    ) -> Result<T, Error> {
        timeout(PATIENCE, self.inner.turns.until_ready())
            .await
            .map_err(|_| Error::Limited { after: None })?;
        let mut reply = request.send().await.map_err(unanswered)?;
        let status = reply.status();
        let after = reset(&reply);
        let body = body(&mut reply, what).await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| Error::Unreadable {
                what: what.to_owned(),
                why: error.to_string(),
            });
        }
        Err(refusal(what, status, after, &body))
    }
}

/// The reason without the address: that a person knows, and a log need not.
fn unanswered(error: reqwest::Error) -> Error {
    if error.is_timeout() {
        return Error::TimedOut;
    }
    let mut why = error.without_url();
    let mut cause: &dyn std::error::Error = &why;
    while let Some(below) = cause.source() {
        cause = below;
    }
    let said = cause.to_string();
    if why.is_connect() {
        return Error::Unreachable { why: said };
    }
    // Sent, and no whole answer: what it did is not known.
    why = why.without_url();
    Error::Unreadable {
        what: "the call".to_owned(),
        why: format!("{why}: {said}"),
    }
}

async fn body(reply: &mut Response, what: &str) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = reply.chunk().await.map_err(unanswered)? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(Error::Unreadable {
                what: what.to_owned(),
                why: format!("it is longer than {LONGEST_BODY} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// In how many seconds calls are taken again: `ratelimit-reset`, or what every proxy says.
fn reset(reply: &Response) -> Option<Duration> {
    ["ratelimit-reset", "retry-after"]
        .into_iter()
        .find_map(|name| {
            let seconds = reply.headers().get(name)?.to_str().ok()?;
            seconds.trim().parse().ok().map(Duration::from_secs)
        })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    error: Words,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Words {
    message: String,
    code: u32,
    errors: Vec<String>,
}

fn refusal(what: &str, status: StatusCode, after: Option<Duration>, body: &[u8]) -> Error {
    let Words {
        message,
        code,
        errors,
    } = serde_json::from_slice::<Complaint>(body)
        .unwrap_or_default()
        .error;
    let message: String = if message.is_empty() {
        status
            .canonical_reason()
            .unwrap_or("no reason given")
            .to_owned()
    } else {
        message.chars().take(500).collect()
    };
    match status.as_u16() {
        401 => Error::Unauthorized,
        402 => Error::Lacks { message },
        403 => Error::Forbidden { message },
        404 => Error::Missing {
            what: what.to_owned(),
        },
        429 => Error::Limited { after },
        status if status >= 500 => Error::Broken { status },
        status => Error::Refused {
            what: what.to_owned(),
            status,
            code,
            message,
            errors,
        },
    }
}
