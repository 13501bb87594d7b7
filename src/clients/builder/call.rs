//! One call: the token where it is needed, a bounded answer, a second try only for what is safe to repeat.

use std::{error::Error as _, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use rand::RngExt as _;
use reqwest::{Method, Response, header};
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;

use super::{Answer, Body, Client, Error, wire::Idents};

/// Longest answer that is read.
const LONGEST_ANSWER: usize = 8 << 20;
/// How often a question is asked again, beginning after `FIRST_PAUSE`: less than two seconds in all.
const TRIES_AGAIN: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Whether a call carries the token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// It must.
    Needed,
    /// It does where there is one: what is private is seen with it.
    Helps,
    /// It does not: the answer is the same, and a revoked token does no harm.
    No,
}

impl Client {
    /// Asks, again where that may help; nothing where Builder says that there is no such thing.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Token,
    ) -> Result<Option<T>, Error> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_times(TRIES_AGAIN)
            .with_jitter();
        let asked = (|| self.call(Method::GET, path, token, None))
            .retry(pauses)
            .when(Error::passes)
            .await;
        match asked {
            Ok(answer) => answer.read().map(Some),
            Err(Error::Refused(answer)) if answer.is_nothing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it answers at all.
    pub(super) async fn alive(&self) -> Result<(), Error> {
        self.call(Method::GET, "/v1/status", Token::No, None)
            .await?
            .is_yes()
    }

    /// Changes something: said once, never again by itself.
    pub(super) async fn tell(
        &self,
        method: Method,
        path: &str,
        body: Option<&Idents>,
    ) -> Result<Said, Error> {
        self.call(method, path, Token::Needed, body).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Token,
        body: Option<&Idents>,
    ) -> Result<Said, Error> {
        // builder-api-proxy keeps answers below /v1/depot by path and User-Agent: one of its own each time is never an old answer,
        // and what was promoted is read back as it is now.
        let agent = format!("{} ask/{:016x}", self.agent, rand::rng().random::<u64>());
        let url = format!("{}{path}", self.base);
        let mut request = self
            .http
            .request(method, &url)
            .header(header::USER_AGENT, agent);
        match (&self.token, token) {
            (Some(secret), Token::Needed | Token::Helps) => {
                request = request.bearer_auth(secret.expose_secret());
            }
            (None, Token::Needed) => return Err(Error::NoToken),
            _ => {}
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request.send().await.map_err(|error| self.broken(error))?;
        let status = reply.status();
        let body = self.body(reply).await?;
        if status.is_success() {
            Ok(Said {
                status: status.as_u16(),
                body,
            })
        } else {
            Err(Error::Refused(Answer::new(status.as_u16(), &body)))
        }
    }

    async fn body(&self, mut reply: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(Error::TooLong {
                    limit: LONGEST_ANSWER,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What a failed exchange was. The URL stays out: it is known, and the reason is shorter without.
    fn broken(&self, error: reqwest::Error) -> Error {
        if error.is_timeout() {
            return Error::Timeout {
                after: self.patience,
            };
        }
        let is_connect = error.is_connect();
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(deeper) = source {
            reason = deeper.to_string();
            source = deeper.source();
        }
        if is_connect {
            Error::Unreachable {
                base: self.base.clone(),
                reason,
            }
        } else {
            Error::Broken { reason }
        }
    }
}

/// A yes, and what came with it.
pub(super) struct Said {
    pub(super) status: u16,
    body: Vec<u8>,
}

impl Said {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Error::Unreadable(Answer::new(self.status, &self.body)))
    }

    /// A yes to a change: whatever came with it, a web page is none.
    pub(super) fn is_yes(&self) -> Result<(), Error> {
        let answer = Answer::new(self.status, &self.body);
        match answer.body {
            Body::Page => Err(Error::Unreadable(answer)),
            _ => Ok(()),
        }
    }
}

impl Answer {
    /// JSON of the right shape that holds a word nobody can use.
    pub(super) fn odd() -> Self {
        Self {
            status: 200,
            body: Body::Json,
        }
    }
}
