//! One call to the Web API: sent once, within a time limit, its failure told apart by what is known of the outcome.

use std::{fmt, io, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slack_morphism::{
    SlackApiToken, SlackApiTokenValue, SlackClient, SlackClientApiCallContext,
    SlackClientHttpConnector as _, hyper_tokio::SlackClientHyperHttpsConnector,
};

use super::{
    answer::{is_bare_ok, parse, understand},
    config::Config,
    error::{Error, TokenKind},
};
use crate::clients::address;

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
/// A read is not tried again when Slack asks to wait longer than this: somebody waits for the answer.
const READ_PATIENCE: Duration = Duration::from_secs(3);
/// The first pause between two tries of a read; doubles, with jitter.
const READ_PAUSE: Duration = Duration::from_millis(100);
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
            Some(TokenKind::Bot),
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
            Some(TokenKind::App),
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
        let (url, nothing) = (self.method_url(method), json!({}));
        let once = || {
            // Slack documents GET for what is asked with parameters and POST for what is asked without.
            let cargo = if query.is_empty() {
                Cargo::Json(&nothing)
            } else {
                Cargo::Query(query)
            };
            self.call(method, &url, Some(TokenKind::Bot), cargo, self.limits.read)
        };
        let pauses = ExponentialBuilder::default()
            .with_min_delay(READ_PAUSE)
            .with_max_times(READ_RETRIES)
            .with_jitter();
        let tries =
            once.retry(pauses)
                .when(is_worth_another_read)
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
            None,
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
            None,
            Cargo::Bytes(bytes),
            self.limits.upload,
        )
        .await
        .map(drop)
    }

    fn token(&self, which: TokenKind) -> Result<&SlackApiToken, Error> {
        let token = match which {
            TokenKind::Bot => Some(&self.inner.bot),
            TokenKind::App => self.inner.app.as_ref(),
        };
        token.ok_or_else(|| Error::Token {
            which,
            code: "not_configured".to_owned(),
            begins: None,
        })
    }

    fn method_url(&self, method: &str) -> String {
        format!("{}/{method}", self.inner.api_url)
    }

    async fn call(
        &self,
        method: &'static str,
        url: &str,
        sign_as: Option<TokenKind>,
        cargo: Cargo<'_>,
        limit: Duration,
    ) -> Result<Value, Error> {
        let mut url = address::check(url, "https", "http").map_err(|what| Error::Unreachable {
            method,
            why: format!("its address {what}"),
        })?;
        let token = sign_as.map(|which| self.token(which)).transpose()?;
        let signed = sign_as.zip(token.map(|token| token.token_value.0.as_str()));
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
            Ok(Err(error)) if signed.is_none() && is_bare_ok(&error) => return Ok(Value::Null),
            Ok(Err(error)) => return Err(understand(method, signed, error)),
            Err(_) => {
                return Err(Error::Unknown {
                    method,
                    why: "no answer in time".to_owned(),
                });
            }
        };
        // Whatever is not `"ok": true` did not come from Slack's API: a proxy's page, for one, arrives as `{}`. Addresses
        // that are credentials answer a bare `ok` as text, which arrives the same way.
        match value.get("ok").and_then(Value::as_bool) {
            Some(true) => Ok(value),
            None if signed.is_none() => Ok(value),
            _ => Err(Error::Unknown {
                method,
                why: "the answer is not one of Slack's".to_owned(),
            }),
        }
    }
}

fn is_worth_another_read(error: &Error) -> bool {
    match error {
        Error::RateLimited { retry_after, .. } => *retry_after <= READ_PATIENCE,
        _ => error.is_passing(),
    }
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
