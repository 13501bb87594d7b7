//! How the app hears of things: by envelope or by signed HTTP request, with three seconds to acknowledge either.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Deliver, core::Core, signature::sign, state::now};

/// How long the app has to acknowledge.
pub(super) const ACK_WITHIN: Duration = Duration::from_secs(3);
/// When an event without an ack comes again: at once, after a minute, after five.
const RETRIES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_mins(1),
    Duration::from_mins(5),
];
/// How long after the first a second copy follows, while the fault is on.
const SECOND_COPY_AFTER: Duration = Duration::from_millis(150);

/// What is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Slash,
    Interactive,
    Event,
}

impl Kind {
    fn envelope(self) -> &'static str {
        match self {
            Kind::Slash => "slash_commands",
            Kind::Interactive => "interactive",
            Kind::Event => "events_api",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Kind::Slash => "/slack/commands",
            Kind::Interactive => "/slack/interactions",
            Kind::Event => "/slack/events",
        }
    }
}

/// An acknowledgement.
#[derive(Clone, Debug)]
pub(super) struct Acked {
    /// What came with it; an empty object is nothing.
    pub(super) payload: Option<Value>,
    pub(super) took: Duration,
}

/// Why there is none, in the word Slack shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unacked {
    /// It was not acknowledged in time.
    Timeout,
    /// It could not be delivered, or the answer was not 200.
    Failed,
    /// As before, and the app asked not to be told again.
    NoRetry,
}

impl Unacked {
    pub(super) fn word(self) -> &'static str {
        match self {
            Unacked::Timeout => "operation_timeout",
            Unacked::Failed | Unacked::NoRetry => "dispatch_failed",
        }
    }

    fn retry_reason(self) -> &'static str {
        match self {
            Unacked::Timeout => "timeout",
            Unacked::Failed | Unacked::NoRetry => "http_error",
        }
    }
}

/// Delivers once and waits for the ack. `retry` is the attempt's number and reason, for events that come again.
pub(super) async fn once(
    core: &Arc<Core>,
    kind: Kind,
    payload: &Value,
    retry: Option<(u8, &'static str)>,
) -> Result<Acked, Unacked> {
    let began = Instant::now();
    let result = match core.deliver() {
        Deliver::Socket => by_envelope(core, kind, payload, retry).await,
        Deliver::Http { base } => by_request(core, &base, kind, payload, retry).await,
    };
    let took = began.elapsed();
    match result {
        Ok(payload) => {
            let payload =
                payload.filter(|payload| payload.as_object().is_none_or(|it| !it.is_empty()));
            Ok(Acked {
                payload: payload.filter(|payload| !payload.is_null()),
                took,
            })
        }
        Err(why) => {
            let note = json!({"why": why.word(), "seconds": took.as_secs_f64()});
            core.journal.note("unacked", kind.envelope(), note);
            Err(why)
        }
    }
}

async fn by_envelope(
    core: &Core,
    kind: Kind,
    payload: &Value,
    retry: Option<(u8, &'static str)>,
) -> Result<Option<Value>, Unacked> {
    let mut envelope = json!({
        "envelope_id": "", "type": kind.envelope(), "payload": payload,
        "accepts_response_payload": kind != Kind::Event,
    });
    if kind == Kind::Event {
        let (attempt, reason) = retry.unwrap_or((0, ""));
        envelope["retry_attempt"] = attempt.into();
        envelope["retry_reason"] = reason.into();
    }
    let flight = core.sockets.send(envelope);
    let note =
        json!({"envelope_id": flight.id, "payload": payload, "retry": retry.map(|retry| retry.0)});
    core.journal.note("envelope", kind.envelope(), note);
    match tokio::time::timeout(ACK_WITHIN, flight.ack).await {
        Ok(Ok(payload)) => Ok(payload),
        _ if core.sockets.give_up(&flight.id) => Err(Unacked::Timeout),
        _ => Err(Unacked::Failed),
    }
}

async fn by_request(
    core: &Core,
    base: &str,
    kind: Kind,
    payload: &Value,
    retry: Option<(u8, &'static str)>,
) -> Result<Option<Value>, Unacked> {
    let (content_type, body) = match kind {
        Kind::Slash => ("application/x-www-form-urlencoded", form(payload)),
        Kind::Interactive => {
            let payload = json!({"payload": payload.to_string()});
            ("application/x-www-form-urlencoded", form(&payload))
        }
        Kind::Event => ("application/json", payload.to_string()),
    };
    let timestamp = now().to_string();
    let mut request = core
        .http
        .post(format!("{base}{}", kind.path()))
        .timeout(ACK_WITHIN)
        .header("Content-Type", content_type)
        .header("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
        .header(
            "X-Slack-Signature",
            sign(&core.signing_secret, &timestamp, &body),
        )
        .header("X-Slack-Request-Timestamp", timestamp);
    if let Some((attempt, reason)) = retry {
        request = request
            .header("X-Slack-Retry-Num", attempt.to_string())
            .header("X-Slack-Retry-Reason", reason);
    }
    let response = request.body(body).send().await;
    let note = |status: Option<u16>| json!({"payload": payload, "status": status});
    let response = response.map_err(|error| {
        core.journal.note("http", kind.envelope(), note(None));
        if error.is_timeout() {
            Unacked::Timeout
        } else {
            Unacked::Failed
        }
    })?;
    let status = response.status();
    core.journal
        .note("http", kind.envelope(), note(Some(status.as_u16())));
    if !status.is_success() {
        let no_retry = response.headers().get("X-Slack-No-Retry").is_some();
        return Err(if no_retry {
            Unacked::NoRetry
        } else {
            Unacked::Failed
        });
    }
    let text = response.text().await.map_err(|_| Unacked::Timeout)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    // A body that is no JSON is text to show, as Slack has it.
    let payload = serde_json::from_str(&text).unwrap_or_else(|_| json!({"text": text}));
    Ok(Some(payload))
}

/// Tells the app of an event, again and again until it is acknowledged or Slack tires.
pub(super) async fn event(core: Arc<Core>, event: Value) {
    let body = json!({
        "token": "sandbox-verification", "team_id": core.team_id, "api_app_id": core.bot.app_id,
        "type": "event_callback", "event": event, "event_id": format!("Ev{:016X}", rand::random::<u64>()),
        "event_time": now(),
        "is_ext_shared_channel": false, "event_context": format!("4-{:016x}", rand::random::<u64>()),
        "authorizations": [{
            "enterprise_id": null, "team_id": core.team_id, "user_id": core.bot.user_id, "is_bot": true,
            "is_enterprise_install": false,
        }],
    });
    if core.faults.redelivers() {
        let (core, body) = (core.clone(), body.clone());
        tokio::spawn(async move {
            tokio::time::sleep(SECOND_COPY_AFTER).await;
            once(&core, Kind::Event, &body, Some((1, "timeout")))
                .await
                .ok();
        });
    }
    let Err(mut why) = once(&core, Kind::Event, &body, None).await else {
        return;
    };
    for (attempt, wait) in (1..).zip(RETRIES) {
        if why == Unacked::NoRetry {
            return;
        }
        let slept = core
            .stop
            .run_until_cancelled(tokio::time::sleep(wait))
            .await;
        if slept.is_none() {
            return;
        }
        match once(
            &core,
            Kind::Event,
            &body,
            Some((attempt, why.retry_reason())),
        )
        .await
        {
            Ok(_) => return,
            Err(next) => why = next,
        }
    }
}

/// Waits as long as the fault keeps a second copy back.
pub(super) async fn second_copy() {
    tokio::time::sleep(SECOND_COPY_AFTER).await;
}

/// An object's words as a form.
fn form(fields: &Value) -> String {
    let mut form = String::new();
    for (name, value) in fields.as_object().into_iter().flatten() {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(&percent(name));
        form.push('=');
        form.push_str(&percent(value.as_str().unwrap_or_default()));
    }
    form
}

/// Everything but the unreserved characters, percent-encoded.
pub(super) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_as_browsers_do() {
        assert_eq!(
            form(&json!({"command": "/habops", "text": "a b&c=ü"})),
            "command=%2Fhabops&text=a%20b%26c%3D%C3%BC"
        );
    }
}
