//! The arguments of a Web API call, however they came (query, form, multipart, JSON), and the ways Slack refuses.

use axum::{
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Form, FromRequest, Multipart, Query},
    http::{HeaderValue, Method, Request, Uri, header},
};
use serde_json::{Map, Value, json};

/// What a method answers.
pub(super) type Answer = Result<Value, Refused>;

/// An `"ok": false`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    pub(super) error: String,
    /// `response_metadata.messages`: what is wrong, and where.
    pub(super) messages: Vec<String>,
    /// Fields beside `error`, such as `needed`.
    pub(super) more: Map<String, Value>,
    /// Seconds of `Retry-After`; makes it a 429.
    pub(super) retry_after: Option<u64>,
}

impl From<&str> for Refused {
    fn from(error: &str) -> Self {
        Refused {
            error: error.into(),
            messages: Vec::new(),
            more: Map::new(),
            retry_after: None,
        }
    }
}

impl Refused {
    pub(super) fn with_messages(error: &str, messages: Vec<String>) -> Self {
        Refused {
            messages,
            ..Refused::from(error)
        }
    }

    pub(super) fn rate_limited(seconds: u64) -> Self {
        Refused {
            retry_after: Some(seconds),
            ..Refused::from("ratelimited")
        }
    }

    pub(super) fn body(&self) -> Value {
        let mut body = self.more.clone();
        body.insert("ok".into(), false.into());
        body.insert("error".into(), self.error.as_str().into());
        if !self.messages.is_empty() {
            body.insert(
                "response_metadata".into(),
                json!({"messages": self.messages}),
            );
        }
        Value::Object(body)
    }
}

/// The arguments by name. Forms carry words only, so each reader takes a word or the real thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Args(pub(super) Map<String, Value>);

type Words = Vec<(String, String)>;

impl Args {
    /// Reads them from the request's parts.
    pub(super) async fn read(
        method: &Method,
        uri: &Uri,
        content_type: Option<&HeaderValue>,
        body: Bytes,
    ) -> Result<Args, Refused> {
        let mut args = Map::new();
        if let Ok(Query(words)) = Query::<Words>::try_from_uri(uri) {
            args.extend(words.into_iter().map(|(name, word)| (name, word.into())));
        }
        if method == Method::GET || body.is_empty() {
            return Ok(Args(args));
        }
        let kind = content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if kind.starts_with("application/json") {
            let value: Value =
                serde_json::from_slice(&body).map_err(|_| Refused::from("invalid_json"))?;
            let Value::Object(fields) = value else {
                return Err("json_not_object".into());
            };
            args.extend(fields);
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            let request = request(kind, body);
            let Form(words) = Form::<Words>::from_request(request, &())
                .await
                .map_err(|_| Refused::from("invalid_form_data"))?;
            args.extend(words.into_iter().map(|(name, word)| (name, word.into())));
        } else if kind.starts_with("multipart/form-data") {
            args.extend(multipart(kind, body).await?);
        } else {
            return Err("invalid_post_type".into());
        }
        Ok(Args(args))
    }

    /// A word; an empty one is as good as none.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        let word = match self.0.get(name)? {
            Value::String(word) => word.clone(),
            Value::Null => return None,
            other => other.to_string(),
        };
        (!word.is_empty()).then_some(word)
    }

    /// A word that must be there.
    pub(super) fn needed(&self, name: &str) -> Result<String, Refused> {
        self.word(name).ok_or_else(|| {
            let message = format!("[ERROR] missing required field: {name}");
            Refused::with_messages("invalid_arguments", vec![message])
        })
    }

    /// A yes or no: `true`, `1` and their words.
    pub(super) fn yes(&self, name: &str) -> bool {
        matches!(self.word(name).as_deref(), Some("true" | "1"))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.word(name)?.parse().ok()
    }

    /// Something with a shape: as it is, or as JSON in a word. `Err` when the word is no JSON.
    pub(super) fn shape(&self, name: &str) -> Result<Option<Value>, ()> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(word)) if word.is_empty() => Ok(None),
            Some(Value::String(word)) => serde_json::from_str(word).map(Some).map_err(|_| ()),
            Some(value) => Ok(Some(value.clone())),
        }
    }

    /// A list of words: an array, or words with commas between.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::Array(words)) => words
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => self
                .word(name)
                .iter()
                .flat_map(|words| words.split(','))
                .map(|word| word.trim().to_owned())
                .filter(|word| !word.is_empty())
                .collect(),
        }
    }
}

fn request(kind: &str, body: Bytes) -> Request<Body> {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = Method::POST;
    // The route has limited the body already.
    DefaultBodyLimit::disable().apply(&mut request);
    if let Ok(kind) = HeaderValue::from_str(kind) {
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    request
}

async fn multipart(kind: &str, body: Bytes) -> Result<Map<String, Value>, Refused> {
    let bad = |_| Refused::from("invalid_form_data");
    let mut parts = Multipart::from_request(request(kind, body), &())
        .await
        .map_err(|_| Refused::from("invalid_form_data"))?;
    let mut args = Map::new();
    while let Some(field) = parts.next_field().await.map_err(bad)? {
        let name = field.name().unwrap_or_default().to_owned();
        args.insert(name, field.text().await.map_err(bad)?.into());
    }
    Ok(args)
}

/// The bytes of an uploaded file: the body itself, or the first part of a multipart one.
pub(super) async fn uploaded(content_type: Option<&HeaderValue>, body: Bytes) -> Option<Bytes> {
    let kind = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        return Some(body);
    }
    let mut parts = Multipart::from_request(request(kind, body), &())
        .await
        .ok()?;
    parts.next_field().await.ok()??.bytes().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(kind: &str, body: &str) -> Result<Args, Refused> {
        let kind = HeaderValue::from_str(kind).unwrap();
        let uri: Uri = "/api/chat.postMessage?channel=C1".parse().unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        Args::read(&Method::POST, &uri, Some(&kind), body).await
    }

    #[tokio::test]
    async fn query_form_and_json_are_read_alike() {
        let form = read(
            "application/x-www-form-urlencoded",
            "text=a%20b&blocks=%5B%5D&mrkdwn=1",
        );
        let json = read(
            "application/json; charset=utf-8",
            r#"{"text":"a b","blocks":[],"mrkdwn":true}"#,
        );
        for args in [form.await.unwrap(), json.await.unwrap()] {
            assert_eq!(args.word("channel").as_deref(), Some("C1"));
            assert_eq!(args.word("text").as_deref(), Some("a b"));
            assert_eq!(args.shape("blocks"), Ok(Some(json!([]))));
            assert!(args.yes("mrkdwn"));
        }
    }

    #[tokio::test]
    async fn a_body_that_is_no_json_is_refused_with_slacks_word() {
        assert_eq!(
            read("application/json", "{").await.unwrap_err().error,
            "invalid_json"
        );
        assert_eq!(
            read("application/json", "[]").await.unwrap_err().error,
            "json_not_object"
        );
    }
}
