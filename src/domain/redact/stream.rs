//! Redaction of lines as they come, before anybody merges, collapses, cuts or hashes them (law 10).
//!
//! A secret may reach over several lines of one source: a private key always does, and a long line is cut in two by journald itself
//! (2,048 bytes in systemd 229, 48 KiB later). So the last lines of each source are remembered, whatever comes between.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use super::{KEY_BEGIN, KEY_END, KEY_KIND, Rules, mark};

/// How much on each side of a line's end is looked at for a secret that reaches over it. A longer one matches on one side alone.
const SEAM: usize = 1_024;
/// Lines of one source that a secret is followed back over, however short they are.
pub const LINES_BACK: usize = 64;
/// Sources remembered at once; of a node that has more, the older ones are forgotten.
const MOST_SOURCES: usize = 512;
/// A line of nothing but so much base64 is a piece of a key, wherever it stands; a shorter one is where a key is open.
const BARE: usize = 40;
const BARE_IN_A_KEY: usize = 16;
/// The lines of a Habitat key: its kind, its name, an empty one, the key.
const HABITAT_KEY: [&str; 4] = ["SIG-SEC-1", "BOX-SEC-1", "SYM-SEC-1", "HIDDEN-1"];
const HABITAT_LINES: u8 = 6;

/// The lines of one node, from whatever wrote them.
pub struct Stream {
    rules: Arc<Rules>,
    sources: HashMap<String, Source>,
    removed: u64,
}

/// What came last from one source.
#[derive(Default)]
struct Source {
    /// The last lines of one record as they were, end to end.
    raw: String,
    /// Where each of them stands in it, oldest first.
    lines: VecDeque<Shown>,
    open: Open,
}

/// A line of which it is remembered what of it is shown.
struct Shown {
    /// Where it begins in what is remembered.
    at: usize,
    /// What is shown in place of its beginning, where a secret reached into it, and how long that beginning was.
    head: String,
    head_was: usize,
}

/// What a source is in the middle of.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    PrivateKey,
    /// So many lines at most.
    HabitatKey(u8),
}

/// A line without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clean {
    /// What may be shown; none where the whole line belonged to a key.
    pub text: Option<String>,
    /// What the lines before it, of the same source, have to be instead, the nearest first: a secret reached from there into this
    /// one. At most [`LINES_BACK`].
    pub before: Vec<String>,
}

impl Stream {
    /// Lines of a node, from its first.
    pub fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            sources: HashMap::new(),
            removed: 0,
        }
    }

    /// How many secrets were removed so far.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// The next whole line of a source. `begins` says that a record begins with it (a level stands at its head): it continues nothing, and
    /// is shown even where a key is open around it.
    pub fn line(&mut self, source: &str, text: &str, begins: bool) -> Clean {
        if self.sources.len() >= MOST_SOURCES && !self.sources.contains_key(source) {
            self.sources.retain(|_, known| known.open != Open::Nothing);
        }
        let near_a_key = self
            .sources
            .values()
            .any(|known| known.open != Open::Nothing);
        let mut state = self.sources.remove(source).unwrap_or_default();
        let clean = self.next(&mut state, text, begins, near_a_key);
        self.sources.insert(source.to_owned(), state);
        clean
    }

    fn next(&mut self, source: &mut Source, text: &str, begins: bool, near_a_key: bool) -> Clean {
        if source.open != Open::Nothing && !begins {
            let rest = source.within(text);
            return match rest {
                Some(rest) if !rest.trim().is_empty() => self.next(source, rest, false, false),
                _ => Clean {
                    text: None,
                    before: Vec::new(),
                },
            };
        }
        let bare = base64(text) >= if near_a_key { BARE_IN_A_KEY } else { BARE };
        if bare && mixed(text) {
            self.removed += 1;
            source.forget();
            return Clean {
                text: Some(mark("key material")),
                before: Vec::new(),
            };
        }
        if text.contains(KEY_END) && text.contains(KEY_KIND) && !text.contains(KEY_BEGIN) {
            return self.end_without_a_beginning(source);
        }
        let over = if begins {
            source.forget();
            None
        } else {
            self.over_the_seam(&source.raw, text)
        };
        let mut before = Vec::new();
        let (mut clean, mut own) = (String::new(), text);
        if let Some(secret) = over {
            self.removed += 1;
            let seam = source.raw.len();
            if secret.start < seam {
                before = self.shortened(source, secret.start);
            } else {
                clean.push_str(&self.rules.redact(&text[..secret.start - seam]).0);
            }
            clean.push_str(&mark("over two lines"));
            own = &text[secret.end - seam..];
        }
        source.remember(text, clean.clone(), text.len() - own.len());
        let (rest, removed) = self.rules.redact(own);
        self.removed += removed;
        clean.push_str(&rest);
        source.opens(own);
        if let Open::HabitatKey(_) = source.open {
            self.removed += 1;
            clean = mark("habitat key");
        }
        Clean {
            text: Some(clean),
            before,
        }
    }

    /// A secret that is told by something in the lines before and ends in this one, in bytes of all of them together.
    fn over_the_seam(&self, raw: &str, text: &str) -> Option<Range<usize>> {
        if raw.is_empty() || text.is_empty() {
            return None;
        }
        let from = raw.floor_char_boundary(raw.len().saturating_sub(SEAM));
        let to = text.floor_char_boundary(SEAM);
        let joined = [&raw[from..], &text[..to]].concat();
        let seam = raw.len() - from;
        let spans = self.rules.spans(&joined).into_iter();
        spans
            .filter(|(whole, secret)| whole.start < seam && seam < secret.end)
            .map(|(_, secret)| secret.start + from..secret.end + from)
            .reduce(|one, other| one.start.min(other.start)..one.end.max(other.end))
    }

    /// The lines before without the secret that begins at that byte of what is remembered; the nearest first.
    fn shortened(&self, source: &Source, start: usize) -> Vec<String> {
        let mut end = source.raw.len();
        let mut all = Vec::new();
        for line in source.lines.iter().rev() {
            let own = (line.at + line.head_was).min(end);
            let (rest, _) = self.rules.redact(&source.raw[own..start.clamp(own, end)]);
            let mut clean = format!("{}{rest}", line.head);
            let mark = mark("over two lines");
            if line.at < end && !clean.ends_with(&mark) {
                clean.push_str(&mark);
            }
            all.push(clean);
            if line.at <= start {
                break;
            }
            end = line.at;
        }
        all
    }

    /// The beginning was not read: what was taken for an ordinary line before was the key's last one.
    fn end_without_a_beginning(&mut self, source: &mut Source) -> Clean {
        self.removed += 1;
        let last = source.lines.back().map_or(0, |line| line.at);
        let is_of_it = base64(&source.raw[last..]) > 0;
        let before = is_of_it.then(|| mark("private key")).into_iter().collect();
        source.forget();
        Clean {
            text: Some(mark("private key")),
            before,
        }
    }
}

impl Source {
    fn forget(&mut self) {
        self.raw.clear();
        self.lines.clear();
    }

    /// Whole lines are forgotten, the oldest first, once a secret that began there would have matched by now.
    fn remember(&mut self, text: &str, head: String, head_was: usize) {
        while self.lines.len() >= LINES_BACK
            || self
                .lines
                .get(1)
                .is_some_and(|line| self.raw.len() - line.at >= SEAM)
        {
            self.lines.pop_front();
            let old = self.lines.front().map_or(self.raw.len(), |line| line.at);
            self.raw.drain(..old);
            for line in &mut self.lines {
                line.at -= old;
            }
        }
        let at = self.raw.len();
        self.raw.push_str(text);
        self.lines.push_back(Shown { at, head, head_was });
    }

    /// A line inside a key; what stands behind the key's end, if it ends here.
    fn within<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        self.forget();
        match self.open {
            Open::Nothing => Some(text),
            Open::PrivateKey => {
                let end = text.find(KEY_END)?;
                self.open = Open::Nothing;
                let tail = &text[end + KEY_END.len()..];
                let close = tail.find(KEY_KIND).map_or(0, |at| at + KEY_KIND.len());
                Some(tail[close..].trim_start_matches('-'))
            }
            Open::HabitatKey(left) => {
                let ends = base64(text) >= BARE || left <= 1;
                self.open = if ends {
                    Open::Nothing
                } else {
                    Open::HabitatKey(left - 1)
                };
                None
            }
        }
    }

    /// Whether a key begins in this line and does not end in it.
    fn opens(&mut self, text: &str) {
        let begin = text.rfind(KEY_BEGIN).filter(|at| {
            let header = &text[at + KEY_BEGIN.len()..];
            header.contains(KEY_KIND) && !header.contains(KEY_END)
        });
        if begin.is_some() {
            self.open = Open::PrivateKey;
        } else if self.open == Open::Nothing
            && HABITAT_KEY
                .iter()
                .any(|kind| text.trim_end().ends_with(kind))
        {
            self.open = Open::HabitatKey(HABITAT_LINES);
        }
    }
}

/// How long a line is that is nothing but base64; 0 for any other.
fn base64(text: &str) -> usize {
    let text = text.trim();
    let all = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    if all { text.len() } else { 0 }
}

/// Upper case, lower case and digits: what a word or a hexadecimal digest does not have.
fn mixed(text: &str) -> bool {
    let any = |class: fn(&u8) -> bool| text.bytes().any(|byte| class(&byte));
    any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase) && any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::{Rules, Stream};

    const KEY: &str = "MIIEowIBAAKCAQEAv3bFq2l0dGxlIGZha2Uga2V5IGZvciBhIHRlc3QgMDEyMzQ1";

    fn stream() -> Stream {
        Stream::new(Arc::new(Rules::new([]).unwrap()))
    }

    /// The lines as they may be shown, each `source: text`.
    fn shown(lines: &[(&str, &str)]) -> String {
        let mut stream = stream();
        let mut kept: Vec<(String, Option<String>)> = Vec::new();
        for (source, text) in lines {
            let clean = stream.line(source, text, text.starts_with("ERROR:"));
            let earlier = kept
                .iter_mut()
                .rev()
                .filter(|(of, text)| of == source && text.is_some());
            for (line, before) in earlier.zip(clean.before) {
                line.1 = Some(before);
            }
            kept.push(((*source).to_owned(), clean.text));
        }
        let lines = kept
            .into_iter()
            .filter_map(|(of, text)| Some(format!("{of}: {}", text?)));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_key_goes_whole_and_what_comes_between_stays() {
        let told = shown(&[
            ("api", "before"),
            ("api", "key: -----BEGIN RSA PRIVATE KEY-----"),
            ("proxy", "GET /v1/status"),
            ("api", KEY),
            ("proxy", "rr7Gk3vN0cK2sT1u"),
            ("api", "ERROR:habitat_net::conn: a line of another thread"),
            ("api", "short="),
            ("api", "-----END RSA PRIVATE KEY----- after"),
            ("api", "later"),
        ]);
        let wanted = "api: before\napi: key: [redacted: private key]\nproxy: GET /v1/status\n\
                      proxy: [redacted: key material]\napi: ERROR:habitat_net::conn: a line of another thread\napi:  after\napi: later";
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_key_without_its_end_is_redacted_to_the_end() {
        let told = shown(&[
            ("a", "-----BEGIN PRIVATE KEY-----"),
            ("a", KEY),
            ("a", "QQ=="),
            ("b", "x"),
        ]);
        assert_eq!(told, "a: [redacted: private key]\nb: x");
    }

    #[test]
    fn a_key_without_its_beginning_is_no_line_either() {
        let told = shown(&[
            ("a", KEY),
            ("a", "dGFpbA=="),
            ("a", "-----END PRIVATE KEY-----"),
            ("a", "x"),
        ]);
        assert_eq!(
            told,
            "a: [redacted: key material]\na: [redacted: private key]\na: [redacted: private key]\na: x"
        );
    }

    #[test]
    fn a_habitat_key_goes_with_its_four_lines() {
        let told = shown(&[
            ("a", "SIG-SEC-1"),
            ("a", "core-20170101000000"),
            ("a", ""),
            ("a", KEY),
            ("a", "x"),
        ]);
        assert_eq!(told, "a: [redacted: habitat key]\na: x");
    }

    #[rstest]
    #[case::in_two(&["at xoxb-1234567", "89012-abcdef now"], "xoxb-1234567|89012-abcdef")]
    #[case::in_three(&["at xoxb-123", "4567890", "12-abcdef now"], "xoxb-123|4567890|12-abcdef")]
    #[case::too_short_for_long(&["at xoxb-AAAAa", "b", "", "c", "9012-abcdef now"], "AAAAa|9012-abcdef")]
    #[case::whole_and_more(&["/v1/authenticate/ca363a29", "d90875123456 done"], "ca363a29|d90875123456")]
    #[case::a_header_at_the_end(&["Authorization: Bearer ", "abcdef123456"], "abcdef123456")]
    fn a_token_over_several_lines_goes_from_each(#[case] lines: &[&str], #[case] secrets: &str) {
        let of_one: Vec<(&str, &str)> = lines.iter().map(|line| ("a", *line)).collect();
        let told = shown(&of_one);
        for secret in secrets.split('|') {
            assert!(!told.contains(secret), "{told}");
        }
        // Whatever another source says in between.
        let mut mixed = Vec::new();
        for line in lines {
            mixed.extend([("a", *line), ("b", "GET /v1/status")]);
        }
        let told = shown(&mixed);
        for secret in secrets.split('|') {
            assert!(!told.contains(secret), "{told}");
        }
        assert_eq!(told.matches("GET /v1/status").count(), lines.len());
    }

    #[test]
    fn a_record_that_begins_is_never_swallowed_by_the_line_before() {
        let told = shown(&[
            ("a", "GET /v1/authenticate/abc"),
            ("a", "ERROR:iron::iron: Error handling:"),
        ]);
        assert_eq!(
            told,
            "a: GET /v1/authenticate/[redacted: login code]\na: ERROR:iron::iron: Error handling:"
        );
    }

    #[test]
    fn ordinary_lines_stay_as_they_are() {
        let lines = [
            (
                "a",
                "ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout",
            ),
            ("a", "Request {"),
            ("a", "    method: Get"),
            ("a", "}"),
            (
                "a",
                "d41d8cd98f00b204e9800998ecf8427ed41d8cd98f00b204e9800998ecf8427e",
            ),
            ("a", "ConnectionRefused"),
        ];
        let told = shown(&lines);
        assert_eq!(
            told,
            lines.map(|(of, text)| format!("{of}: {text}")).join("\n")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Fails when `over_the_seam` finds nothing.
        #[test]
        fn a_token_cut_anywhere_never_survives(
            code in "[A-Z]{4}[a-z]{4}[0-9]{4}[A-Za-z0-9]{4,20}",
            cuts in proptest::collection::vec(0usize..60, 0..3),
            others in proptest::collection::vec("[ -~]{0,40}", 4),
        ) {
            let text = format!("said xoxb-{code} to /v1/authenticate/{code} end");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let lines: Vec<(&str, &str)> = pieces.iter().zip(&others)
                .flat_map(|(piece, other)| [("b", other.as_str()), ("a", *piece)])
                .collect();
            let told = shown(&lines);
            let own: String = told.lines().filter_map(|line| line.strip_prefix("a: ")).collect();
            // Any five characters of it in a row would be a leak.
            for at in 0..code.len() - 4 {
                prop_assert!(!own.contains(&code[at..at + 5]), "{}", told);
            }
        }
    }
}
