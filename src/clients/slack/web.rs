//! One call to the Web API: sent once, within a time limit, its failure told apart by what is known of the outcome.

use std::{fmt, io, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use slack_morphism::{
    SlackApiToken, SlackApiTokenValue, SlackClient, SlackClientApiCallContext,
    SlackClientHttpConnector as _,
    errors::{SlackClientError, SlackClientHttpProtocolError},
    hyper_tokio::SlackClientHyperHttpsConnector,
};

use super::{
    address,
    config::Config,
    error::{Error, RETRY_AFTER_UNSAID, TokenKind, is_about_the_token},
};

/// How long a call that changes something may take before its outcome counts as unknown.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How long one try of a call that only reads may take.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// How long a call that only reads may take with all its tries.
const READ_LIMIT_IN_ALL: Duration = Duration::from_secs(12);
/// How long the bytes of one file may take.
const UPLOAD_LIMIT: Duration = Duration::from_mins(1);
/// How often a read is tried again.
const READ_RETRIES: usize = 2;
/// The first pause between two tries of a read; doubles, with jitter.
const READ_PAUSE: Duration = Duration::from_millis(100);
/// How many of Slack's remarks about single fields are kept, and how much of each.
const MOST_REMARKS: usize = 5;
const LONGEST_REMARK: usize = 300;
/// Slack's own words are shorter than this; anything longer is not one.
const LONGEST_CODE: usize = 64;

/// How long calls may take; the defaults are what to use outside of tests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A call that changes something.
    pub write: Duration,
    /// One try of a call that only reads.
    pub read: Duration,
    /// A read with all its tries.
    pub read_in_all: Duration,
    /// The bytes of one file.
    pub upload: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            write: WRITE_LIMIT,
            read: READ_LIMIT,
            read_in_all: READ_LIMIT_IN_ALL,
            upload: UPLOAD_LIMIT,
        }
    }
}

/// Calls Slack. Cheap to clone; all clones share one pool of connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    limits: Limits,
}

struct Inner {
    slack: SlackClient<SlackClientHyperHttpsConnector>,
    tls: Arc<ClientConfig>,
    bot: SlackApiToken,
    app: Option<SlackApiToken>,
    api_url: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("api_url", &self.inner.api_url)
            .finish_non_exhaustive()
    }
}

/// What a call is allowed to be called with.
enum Sign {
    With(TokenKind),
    /// Addresses that are credentials themselves: a response URL, an upload URL. They get no token.
    Not,
}

/// What is sent.
enum Cargo<'a> {
    Query(&'a [(&'static str, Option<String>)]),
    Json(&'a Value),
    Bytes(&'a [u8]),
}

impl Client {
    /// A client for that workspace. Makes no connection yet; fails where the machine has no root certificates.
    pub fn new(config: &Config) -> io::Result<Self> {
        let api_url = config.api_url.trim_end_matches('/').to_owned();
        let tls = tls(api_url.starts_with("https:"))?;
        // Deliberately HTTP/1.1 only: the library sets no keep-alive on HTTP/2, so one dead connection would time out
        // every call for as long as TCP waits, whereas a timed-out HTTP/1.1 call takes its own connection with it.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .build();
        let connector =
            SlackClientHyperHttpsConnector::from(connector).with_slack_api_url(&api_url);
        Ok(Self {
            inner: Arc::new(Inner {
                slack: SlackClient::new(connector),
                tls: Arc::new(tls),
                bot: token(&config.bot_token),
                app: config.app_token.as_ref().map(token),
                api_url,
            }),
            limits: Limits::default(),
        })
    }

    /// The same client with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The TLS set-up, shared with the sockets.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.inner.tls.clone()
    }

    /// A call that changes something: sent exactly once.
    pub(super) async fn write(&self, method: &'static str, body: &Value) -> Result<Value, Error> {
        self.call(
            method,
            &self.method_url(method),
            &Sign::With(TokenKind::Bot),
            Cargo::Json(body),
            self.limits.write,
        )
        .await
    }

    /// The same with the app token.
    pub(super) async fn write_as_app(
        &self,
        method: &'static str,
        body: &Value,
    ) -> Result<Value, Error> {
        self.call(
            method,
            &self.method_url(method),
            &Sign::With(TokenKind::App),
            Cargo::Json(body),
            self.limits.write,
        )
        .await
    }

    /// A call that only reads: tried again on passing failures, since reading twice hurts nobody.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        method: &'static str,
        query: &[(&'static str, Option<String>)],
    ) -> Result<T, Error> {
        let url = self.method_url(method);
        let once = || {
            self.call(
                method,
                &url,
                &Sign::With(TokenKind::Bot),
                Cargo::Query(query),
                self.limits.read,
            )
        };
        let pauses = ExponentialBuilder::default()
            .with_min_delay(READ_PAUSE)
            .with_max_times(READ_RETRIES)
            .with_jitter();
        let tries = once
            .retry(pauses)
            .when(Error::is_passing)
            .adjust(|error, pause| match error {
                Error::RateLimited { retry_after, .. } => pause.map(|_| *retry_after),
                _ => pause,
            });
        let answer = tokio::time::timeout(self.limits.read_in_all, tries)
            .await
            .map_err(|_| Error::Unknown {
                method,
                why: "no answer in time".to_owned(),
            })??;
        parse(method, answer)
    }

    /// Posts to an address that is itself the credential.
    pub(super) async fn write_to(
        &self,
        method: &'static str,
        url: &SecretString,
        body: &Value,
    ) -> Result<(), Error> {
        self.call(
            method,
            url.expose_secret(),
            &Sign::Not,
            Cargo::Json(body),
            self.limits.write,
        )
        .await
        .map(drop)
    }

    /// Sends bytes to an address that is itself the credential.
    pub(super) async fn send_to(
        &self,
        method: &'static str,
        url: &SecretString,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.call(
            method,
            url.expose_secret(),
            &Sign::Not,
            Cargo::Bytes(bytes),
            self.limits.upload,
        )
        .await
        .map(drop)
    }

    fn method_url(&self, method: &str) -> String {
        format!("{}/{method}", self.inner.api_url)
    }

    async fn call(
        &self,
        method: &'static str,
        url: &str,
        sign: &Sign,
        cargo: Cargo<'_>,
        limit: Duration,
    ) -> Result<Value, Error> {
        let mut url = address::check(url, "https", "http").map_err(|what| Error::Unreachable {
            method,
            why: format!("its address {what}"),
        })?;
        let token = match sign {
            Sign::With(TokenKind::Bot) => Some(&self.inner.bot),
            Sign::With(TokenKind::App) => {
                Some(self.inner.app.as_ref().ok_or_else(|| Error::Token {
                    which: TokenKind::App,
                    code: "not_configured".to_owned(),
                    begins: None,
                })?)
            }
            Sign::Not => None,
        };
        let span = tracing::debug_span!("slack", method);
        let context = SlackClientApiCallContext {
            rate_control_params: None,
            token,
            tracing_span: &span,
            is_sensitive_url: true, // the library then logs no path, which for a response URL is the secret
        };
        let connector = &self.inner.slack.http_api.connector;
        let answer = match cargo {
            Cargo::Query(query) => {
                url.query_pairs_mut().extend_pairs(
                    query
                        .iter()
                        .filter_map(|(key, value)| Some((key, value.as_deref()?))),
                );
                tokio::time::timeout(limit, connector.http_get_uri::<Value>(url, context)).await
            }
            Cargo::Json(body) => {
                tokio::time::timeout(
                    limit,
                    connector.http_post_uri::<Value, Value>(url, body, context),
                )
                .await
            }
            Cargo::Bytes(bytes) => {
                let kind = "application/octet-stream".to_owned();
                tokio::time::timeout(
                    limit,
                    connector.http_post_uri_binary::<Value>(url, kind, bytes, context),
                )
                .await
            }
        };
        let value = match answer {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => return Err(understand(method, token, sign, error)),
            Err(_) => {
                return Err(Error::Unknown {
                    method,
                    why: "no answer in time".to_owned(),
                });
            }
        };
        // Whatever is not `"ok": true` did not come from Slack's API: a proxy's page, for one, arrives as `{}`. Addresses
        // that are credentials answer a bare `ok` as text, which arrives the same way.
        match (sign, value.get("ok").and_then(Value::as_bool)) {
            (Sign::With(_), Some(true)) | (Sign::Not, Some(true) | None) => Ok(value),
            _ => Err(Error::Unknown {
                method,
                why: "the answer is not one of Slack's".to_owned(),
            }),
        }
    }
}

/// Reads an answer that Slack called good.
pub(super) fn parse<T: DeserializeOwned>(method: &'static str, answer: Value) -> Result<T, Error> {
    serde_json::from_value(answer).map_err(|_| Error::Unknown {
        method,
        why: "the answer lacks what was asked for".to_owned(),
    })
}

fn tls(with_roots: bool) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    // A loopback stand-in needs no certificates, and a machine without any must be able to run one.
    let builder = if with_roots {
        builder.with_native_roots()?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

fn token(secret: &SecretString) -> SlackApiToken {
    SlackApiToken::new(SlackApiTokenValue(secret.expose_secret().trim().to_owned()))
}

/// What the library's error means to us. Its own text is dropped: it holds whole bodies.
fn understand(
    method: &'static str,
    token: Option<&SlackApiToken>,
    sign: &Sign,
    error: SlackClientError,
) -> Error {
    match error {
        SlackClientError::ApiError(refused) => {
            let body: Value = refused
                .http_response_body
                .and_then(|body| serde_json::from_str(&body).ok())
                .unwrap_or_default();
            refusal(method, token, sign, &refused.code, &body)
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
                Some(code) => refusal(method, token, sign, code, &json),
                None => refusal(
                    method,
                    token,
                    sign,
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

fn refusal(
    method: &'static str,
    token: Option<&SlackApiToken>,
    sign: &Sign,
    said: &str,
    body: &Value,
) -> Error {
    let code = code(said).unwrap_or("unreadable_code").to_owned();
    if code == "ratelimited" || code == "rate_limited" {
        return Error::RateLimited {
            method,
            retry_after: RETRY_AFTER_UNSAID,
        };
    }
    if let (Sign::With(which), true) = (sign, is_about_the_token(&code)) {
        let begins = token.and_then(|token| mistaken_prefix(*which, &token.token_value.0));
        return Error::Token {
            which: *which,
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

    use super::{Sign, TokenKind, code, refusal};
    use crate::clients::slack::Error;

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
            None,
            &Sign::With(TokenKind::Bot),
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
