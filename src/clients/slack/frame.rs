//! What comes over a socket, read tolerantly: only what is used has to be there, because the server may not be Slack's own.

use std::{fmt, time::Instant};

use serde_json::{Map, Value, json};

/// Something Slack hands over and wants acknowledged within three seconds.
#[derive(Clone)]
pub struct Envelope {
    /// What the acknowledgement names.
    pub envelope_id: String,
    /// What kind of thing it holds.
    pub kind: Kind,
    /// The thing itself, as Slack documents it.
    pub payload: Value,
    /// Which redelivery this is, where Slack says so.
    pub retry_attempt: Option<u32>,
    /// Why it is delivered again.
    pub retry_reason: Option<String>,
    /// Whether the acknowledgement may carry an answer.
    pub accepts_payload: bool,
    /// When it was read from the socket.
    pub received: Instant,
}

/// Without the payload: it holds what people wrote, and credentials.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("envelope_id", &self.envelope_id)
            .field("kind", &self.kind)
            .field("retry_attempt", &self.retry_attempt)
            .finish_non_exhaustive()
    }
}

/// What kind of thing an envelope holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A slash command.
    SlashCommands,
    /// A button, a shortcut, a modal.
    Interactive,
    /// An event.
    EventsApi,
    /// What this program does not know yet.
    Other(String),
}

/// What Slack is told about an envelope.
#[derive(Clone, Debug, PartialEq)]
pub enum Ack {
    /// It was taken; the payload, if any, is shown at once.
    Ack {
        /// What is shown.
        payload: Option<Value>,
    },
    /// Nothing: it was not taken, and Slack may deliver it again.
    Withhold,
}

impl Ack {
    /// Taken, nothing to show.
    pub fn empty() -> Self {
        Self::Ack { payload: None }
    }

    /// Taken, and this is shown.
    pub fn with(payload: Value) -> Self {
        Self::Ack {
            payload: Some(payload),
        }
    }
}

/// One text frame.
#[derive(Debug)]
pub(super) enum Frame {
    /// The socket is in use from here on.
    Hello,
    /// Slack will close this socket.
    Disconnect(String),
    /// Something to take.
    Envelope(Envelope),
    /// Nothing we can use; with its id it is acknowledged all the same, since it would come back no better.
    Unusable {
        why: &'static str,
        envelope_id: Option<String>,
    },
}

/// The word Slack gives for a `disconnect` when it gives none.
const REASON_UNSAID: &str = "unsaid";

pub(super) fn read(text: &str) -> Frame {
    let mut fields = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => {
            return Frame::Unusable {
                why: "not an object",
                envelope_id: None,
            };
        }
        Err(_) => {
            return Frame::Unusable {
                why: "not JSON",
                envelope_id: None,
            };
        }
    };
    let kind = string(&mut fields, "type");
    match (kind.as_deref(), string(&mut fields, "envelope_id")) {
        (Some("hello"), _) => Frame::Hello,
        (Some("disconnect"), _) => Frame::Disconnect(
            string(&mut fields, "reason").unwrap_or_else(|| REASON_UNSAID.to_owned()),
        ),
        (Some(kind), Some(envelope_id)) => envelope(kind, envelope_id, &mut fields),
        (None, envelope_id) => Frame::Unusable {
            why: "it has no type",
            envelope_id,
        },
        (Some(_), None) => Frame::Unusable {
            why: "it has no envelope_id",
            envelope_id: None,
        },
    }
}

fn envelope(kind: &str, envelope_id: String, fields: &mut Map<String, Value>) -> Frame {
    let Some(payload @ Value::Object(_)) = fields.remove("payload") else {
        return Frame::Unusable {
            why: "it has no payload",
            envelope_id: Some(envelope_id),
        };
    };
    Frame::Envelope(Envelope {
        envelope_id,
        kind: match kind {
            "slash_commands" => Kind::SlashCommands,
            "interactive" => Kind::Interactive,
            "events_api" => Kind::EventsApi,
            other => Kind::Other(other.to_owned()),
        },
        payload,
        retry_attempt: fields
            .get("retry_attempt")
            .and_then(Value::as_u64)
            .and_then(|n| u32::try_from(n).ok()),
        retry_reason: string(fields, "retry_reason").filter(|reason| !reason.is_empty()),
        accepts_payload: fields
            .get("accepts_response_payload")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        received: Instant::now(),
    })
}

fn string(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The frame that acknowledges.
pub(super) fn acknowledgement(envelope_id: &str, payload: Option<Value>) -> String {
    match payload {
        Some(payload) => json!({"envelope_id": envelope_id, "payload": payload}).to_string(),
        None => json!({"envelope_id": envelope_id}).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Frame, Kind, read};

    #[rstest]
    #[case::slacks(
        r#"{"type":"hello","num_connections":2,"debug_info":{"host":"applink-111-xxx","build_number":10,"approximate_connection_time":18060},"connection_info":{"app_id":"A111"}}"#
    )]
    #[case::bare(r#"{"type":"hello"}"#)]
    fn a_hello_may_be_bare(#[case] text: &str) {
        assert!(matches!(read(text), Frame::Hello));
    }

    #[test]
    fn a_disconnect_gives_its_reason() {
        let text = r#"{"type":"disconnect","reason":"too_many_websockets","num_connections":2,"debug_info":{"host":"applink-111-xxx"},"connection_info":{"app_id":"A111"}}"#;
        assert!(matches!(read(text), Frame::Disconnect(reason) if reason == "too_many_websockets"));
        assert!(matches!(
            read(r#"{"type":"disconnect"}"#),
            Frame::Disconnect(_)
        ));
    }

    #[test]
    fn an_envelope_is_read_as_slack_documents_it() {
        let text = r#"{"envelope_id":"e1","payload":{"command":"/x","text":""},"type":"slash_commands","accepts_response_payload":true}"#;
        let Frame::Envelope(envelope) = read(text) else {
            panic!("not an envelope")
        };
        assert_eq!(
            (envelope.envelope_id.as_str(), &envelope.kind),
            ("e1", &Kind::SlashCommands)
        );
        assert_eq!(
            (&envelope.payload["command"], envelope.accepts_payload),
            (&"/x".into(), true)
        );
    }

    #[test]
    fn a_redelivery_says_which_and_why() {
        let text = r#"{"envelope_id":"e1","payload":{},"type":"events_api","accepts_response_payload":false,"retry_attempt":1,"retry_reason":"timeout"}"#;
        let Frame::Envelope(envelope) = read(text) else {
            panic!("not an envelope")
        };
        assert_eq!(
            (envelope.retry_attempt, envelope.retry_reason.as_deref()),
            (Some(1), Some("timeout"))
        );
        assert!(!envelope.accepts_payload);
    }

    #[test]
    fn an_unknown_kind_is_handed_over() {
        let text = r#"{"envelope_id":"e1","payload":{},"type":"news"}"#;
        assert!(
            matches!(read(text), Frame::Envelope(e) if e.kind == Kind::Other("news".to_owned()))
        );
    }

    #[rstest]
    #[case::not_json("{", None)]
    #[case::not_an_object("[]", None)]
    #[case::empty("{}", None)]
    #[case::no_payload(r#"{"type":"interactive","envelope_id":"e1"}"#, Some("e1"))]
    #[case::odd_payload(
        r#"{"type":"interactive","envelope_id":"e1","payload":"p"}"#,
        Some("e1")
    )]
    #[case::no_type(r#"{"envelope_id":"e1","payload":{}}"#, Some("e1"))]
    #[case::odd_id(r#"{"type":"interactive","envelope_id":1,"payload":{}}"#, None)]
    fn what_cannot_be_used_keeps_its_id(#[case] text: &str, #[case] id: Option<&str>) {
        assert!(
            matches!(read(text), Frame::Unusable { envelope_id, .. } if envelope_id.as_deref() == id)
        );
    }

    #[test]
    fn printing_an_envelope_prints_nothing_that_was_written() {
        let text = r#"{"envelope_id":"e1","payload":{"text":"hush","response_url":"https://hooks.slack.com/x"},"type":"slash_commands"}"#;
        let printed = format!("{:?}", read(text));
        assert!(
            !printed.contains("hush") && !printed.contains("hooks"),
            "{printed}"
        );
    }
}
