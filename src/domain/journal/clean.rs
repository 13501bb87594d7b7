//! A node's entries without their secrets, before anybody merges, collapses, cuts or hashes them (law 10).

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
};

use super::{Entry, read};
use crate::domain::redact::{LINES_BACK, Stream};

/// Longest message that is kept, in bytes. The rest is redacted before it is cut off.
const LONGEST_MESSAGE: usize = 4 * 1024;

/// Redacts the entries of one node as they come, oldest first.
pub struct Cleaner {
    stream: Stream,
    /// The numbers of the last entries of each source, the newest first.
    last: HashMap<String, VecDeque<u64>>,
    next: u64,
}

/// An entry that may be shown, and what becomes of earlier ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// The entry and its number; none where all of it belonged to a key.
    pub entry: Option<(u64, Entry)>,
    /// The entries of these numbers have these messages instead.
    pub instead: Vec<(u64, String)>,
}

impl Cleaner {
    /// For the entries of one node.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            last: HashMap::new(),
            next: 0,
        }
    }

    /// How many secrets were removed so far.
    pub fn removed(&self) -> u64 {
        self.stream.removed()
    }

    /// The next entry.
    pub fn take(&mut self, mut entry: Entry) -> Cleaned {
        let source = entry.source();
        let reading = read(&entry.message);
        let clean = self.stream.line(&source, reading.body, reading.begins());
        let head = reading.head.to_owned();
        let number = self.next;
        self.next += 1;
        let last = self.last.entry(source).or_default();
        let instead = last
            .iter()
            .zip(clean.before)
            .map(|(number, body)| (*number, shortened(format!("{head}{body}"))))
            .collect();
        let entry = clean.text.map(|body| {
            entry.message = shortened(format!("{head}{body}"));
            last.truncate(LINES_BACK - 1);
            last.push_front(number);
            (number, entry)
        });
        Cleaned { entry, instead }
    }

    /// All of a node's entries at once.
    pub fn all(&mut self, entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
        let mut kept: Vec<(u64, Entry)> = Vec::new();
        for entry in entries {
            let cleaned = self.take(entry);
            for (number, message) in cleaned.instead {
                if let Ok(at) = kept.binary_search_by_key(&number, |(number, _)| *number) {
                    kept[at].1.message = message;
                }
            }
            kept.extend(cleaned.entry);
        }
        kept.into_iter().map(|(_, entry)| entry).collect()
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let end = message.floor_char_boundary(LONGEST_MESSAGE);
        let more = message.len() - end;
        message.truncate(end);
        let _ = write!(message, " … ({more} bytes more)");
    }
    message
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Cleaner, Entry};
    use crate::domain::redact::{Rules, Stream};

    fn cleaned(messages: &[&str]) -> (Vec<String>, u64) {
        let mut cleaner = Cleaner::new(Stream::new(Arc::new(Rules::new([]).unwrap())));
        let entries = messages.iter().map(|message| Entry {
            at: jiff::Timestamp::UNIX_EPOCH,
            process: "hab".to_owned(),
            pid: Some(40751),
            message: (*message).to_owned(),
        });
        let entries = cleaner.all(entries);
        (
            entries.into_iter().map(|entry| entry.message).collect(),
            cleaner.removed(),
        )
    }

    #[test]
    fn what_the_supervisor_puts_before_each_line_hides_no_secret() {
        let (told, removed) = cleaned(&[
            "builder-api.live(O): at xoxb-1234567",
            "builder-api-proxy.live(O): GET /v1/status",
            "builder-api.live(O): 89012-abcdef now",
            "builder-api.live(O): -----BEGIN RSA PRIVATE KEY-----",
            "builder-api-proxy.live(O): GET /v1/status",
            "builder-api.live(O): MIIEowIBAAKCAQEA",
            "builder-api.live(O): -----END RSA PRIVATE KEY-----",
            "builder-api.live(O): url: \"http://backend/v1/authenticate/ca363a29d90875123456\"",
        ]);
        assert_eq!(
            told,
            [
                "builder-api.live(O): at [redacted: over two lines]",
                "builder-api-proxy.live(O): GET /v1/status",
                "builder-api.live(O): [redacted: over two lines] now",
                "builder-api.live(O): [redacted: private key]",
                "builder-api-proxy.live(O): GET /v1/status",
                "builder-api.live(O): url: \"http://backend/v1/authenticate/[redacted: login code]\"",
            ]
        );
        assert_eq!(removed, 3);
    }

    #[test]
    fn a_long_message_is_redacted_before_it_is_cut() {
        let long = format!(
            "{} xoxb-1234567890-abcdef {}",
            "x".repeat(4_080),
            "y".repeat(100)
        );
        let (told, removed) = cleaned(&[&long]);
        assert!(
            told[0].len() < 4_200 && told[0].ends_with("bytes more)"),
            "{}",
            told[0]
        );
        assert!(!told[0].contains("xoxb-"));
        assert_eq!(removed, 1);
    }
}
