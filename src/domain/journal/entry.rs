//! One line of `journalctl -o json`, whatever its version, as an entry.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// One entry of a node's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, to the microsecond.
    pub at: Timestamp,
    /// Who wrote it: `hab`, `sshd`.
    pub process: String,
    /// Its process id.
    pub pid: Option<u32>,
    /// What it wrote, on one line.
    pub message: String,
}

/// The fields that are asked for. Each is text, numbers for bytes that are not UTF-8, a list where it was given more than once, or null
/// where journalctl found it too long.
#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    at: String,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    process: Value,
    #[serde(rename = "_PID", default)]
    pid: Value,
    #[serde(rename = "MESSAGE", default)]
    message: Value,
}

impl Entry {
    /// The entry in a line of JSON, one a line where its message has several. Nothing where it is none: a line whose end is missing, words
    /// of journalctl's own.
    pub fn read(json: &str) -> Vec<Self> {
        let fields = serde_json::from_str::<Fields>(json).ok();
        fields.and_then(Fields::entries).unwrap_or_default()
    }

    /// What can be said of an entry whose line was too long to be read to its end: its time, and the beginning of its message.
    pub fn salvage(json: &str) -> Vec<Self> {
        let text = |name: &str| {
            let value = json.split_once(&format!("\"{name}\""))?.1.trim_start();
            beginning(value.strip_prefix(':')?.trim_start())
        };
        let fields = || {
            Some(Fields {
                at: text("__REALTIME_TIMESTAMP")?,
                process: text("SYSLOG_IDENTIFIER").into(),
                pid: text("_PID").into(),
                message: text("MESSAGE").into(),
            })
        };
        fields().and_then(Fields::entries).unwrap_or_default()
    }

    /// `hab[40751]: builder-api.live(O): …`: who wrote it, and what.
    pub fn said(&self) -> String {
        let pid = self.pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
        format!("{}{pid}: {}", self.process, self.message)
    }

    /// Whose line it is, for what goes on over several lines: the process, and the service that a Supervisor speaks for.
    pub fn source(&self) -> String {
        let service = super::read(&self.message).source;
        let pid = self.pid.unwrap_or_default();
        format!("{}[{pid}] {service}", self.process)
    }
}

impl Fields {
    fn entries(self) -> Option<Vec<Entry>> {
        let at = Timestamp::from_microsecond(self.at.parse().ok()?).ok()?;
        let process = text(self.process).unwrap_or_default();
        let pid = text(self.pid).and_then(|pid| pid.parse().ok());
        let message = text(self.message)
            .unwrap_or_else(|| "(a message that journalctl does not print)".to_owned());
        let message = message.trim_end_matches(['\n', '\r']);
        let lines = message.split('\n').map(|line| Entry {
            at,
            process: process.clone(),
            pid,
            message: line.trim_end_matches('\r').to_owned(),
        });
        Some(lines.collect())
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(values) => {
            let bytes: Option<Vec<u8>> = values
                .iter()
                .map(|value| value.as_u64().and_then(|byte| u8::try_from(byte).ok()))
                .collect();
            match bytes {
                Some(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                None => values.into_iter().rev().find_map(text),
            }
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// A JSON string whose end may be missing.
fn beginning(json: &str) -> Option<String> {
    let body = json.strip_prefix('"')?;
    let mut ends = body.len();
    let mut escaped = false;
    for (at, character) in body.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                ends = at;
                break;
            }
            _ => {}
        }
    }
    // An escape that was cut in two is left out: at most `\u12`.
    (0..6).find_map(|less| {
        let end = ends.checked_sub(less)?;
        let text = body.get(..end)?;
        serde_json::from_str(&format!("\"{text}\"")).ok()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::Entry;

    fn json(message: &serde_json::Value) -> String {
        json!({
            "__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1510792546123456", "_HOSTNAME": "ip-10-0-0-147",
            "SYSLOG_IDENTIFIER": "hab", "_PID": "40751", "MESSAGE": message,
        })
        .to_string()
    }

    #[test]
    fn both_spacings_of_the_json_are_read() {
        let old = r#"{ "__REALTIME_TIMESTAMP" : "1510792546123456", "SYSLOG_IDENTIFIER" : "hab", "_PID" : "40751", "MESSAGE" : "a \"b\"" }"#;
        let [entry] = &Entry::read(old)[..] else {
            panic!()
        };
        assert_eq!(entry.at.to_string(), "2017-11-16T00:35:46.123456Z");
        assert_eq!(
            (entry.process.as_str(), entry.pid, entry.message.as_str()),
            ("hab", Some(40751), "a \"b\"")
        );
        assert_eq!(&Entry::read(&json(&json!("a \"b\"")))[0], entry);
    }

    #[test]
    fn several_lines_bytes_and_what_is_left_out_are_read_too() {
        let messages = |message| {
            let entries = Entry::read(&json(&message)).into_iter();
            entries.map(|entry| entry.message).collect::<Vec<_>>()
        };
        assert_eq!(messages(json!("one\r\ntwo\n")), ["one", "two"]);
        assert_eq!(messages(json!([104, 255, 105])), ["h\u{fffd}i"]);
        assert_eq!(messages(json!(["first", "second"])), ["second"]);
        assert!(messages(json!(null))[0].contains("does not print"));
        assert_eq!(Entry::read("-- No entries --"), []);
        assert_eq!(Entry::read(r#"{"MESSAGE":"no time"}"#), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Fails when an escape that was cut in two is kept.
        #[test]
        fn whatever_is_missing_of_a_line_its_beginning_is_told_truly(message in "[ -~\n\tä\u{1f600}\\\\\"]{0,40}", cut in 0usize..400) {
            let whole = json(&json!(message));
            let first = message.split('\n').next().unwrap().trim_end_matches('\r');
            let mut cut = cut % (whole.len() + 1);
            while !whole.is_char_boundary(cut) { cut -= 1; }
            if let Some(entry) = Entry::salvage(&whole[..cut]).first() {
                prop_assert!(first.starts_with(entry.message.trim_end()) || entry.message.contains("does not print"), "{:?} of {:?}", entry.message, message);
            }
            // Read to its end it is the same either way.
            prop_assert_eq!(Entry::read(&whole), Entry::salvage(&whole));
        }
    }
}
