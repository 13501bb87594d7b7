//! The lines of one node as a person wants to read them: a dumped request folded into one line, and lines that come again and again said
//! once, with their number.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Entry, Level, Reading, read};

/// A dump that is longer goes on without us.
const LONGEST_DUMP: usize = 40;
/// A repetition of more lines than this is not looked for: the guide's storm repeats four, once its request is folded.
const LONGEST_CYCLE: usize = 8;

/// What stands together in the view: one line, or lines that came several times in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// When its first line came first.
    pub first: Timestamp,
    /// When its last line came last.
    pub last: Timestamp,
    /// How often all of it came.
    pub times: usize,
    /// Its lines, as they came first.
    pub lines: Vec<Shown>,
}

/// One line of the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When it came.
    pub at: Timestamp,
    /// Service, level, module and text.
    pub text: String,
    /// How grave.
    pub level: Option<Level>,
    /// The name of the known issue it is a sign of.
    pub issue: Option<String>,
}

impl Item {
    /// Whether something failed in it.
    pub fn is_error(&self) -> bool {
        let mut levels = self.lines.iter().filter_map(|line| line.level);
        levels.any(Level::is_error) || self.lines.iter().any(|line| line.issue.is_some())
    }
}

/// Folds and collapses the entries of one node, oldest first. `issue` names the known issue that a message is a sign of.
pub fn digest(entries: &[Entry], issue: &dyn Fn(&str) -> Option<String>) -> Vec<Item> {
    collapse(fold(entries, issue))
}

/// A request that is being dumped.
struct Dump {
    /// Where its line stands.
    line: usize,
    lines: usize,
    method: String,
    url: String,
}

impl Dump {
    fn takes(&mut self, text: &str) {
        self.lines += 1;
        let text = text.trim();
        if let Some(method) = text.strip_prefix("method: ") {
            self.method = method.to_ascii_uppercase();
        } else if let Some((_, url)) = text.split_once("generic_url: \"") {
            url.split('"')
                .next()
                .unwrap_or_default()
                .clone_into(&mut self.url);
        }
    }

    fn told(&self, prefix: &str) -> String {
        let what = [self.method.as_str(), self.url.as_str()].join(" ");
        format!("{prefix}Request {{ {} }}", what.trim()).replace("{  }", "{ … }")
    }
}

fn fold(entries: &[Entry], issue: &dyn Fn(&str) -> Option<String>) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::with_capacity(entries.len());
    let mut dumps: HashMap<String, Dump> = HashMap::new();
    for entry in entries {
        let reading = read(&entry.message);
        let source = entry.source();
        let prefix = prefix(entry, &reading);
        if let Some(mut dump) = dumps.remove(&source) {
            let ends = reading.text.trim_end() == "}";
            if !reading.begins() && !ends && dump.lines < LONGEST_DUMP {
                dump.takes(reading.text);
                dumps.insert(source, dump);
                continue;
            }
            shown[dump.line].text = dump.told(&prefix_of(&shown[dump.line].text));
            if ends {
                continue;
            }
        }
        if reading.text.trim_end() == "Request {" {
            let dump = Dump {
                line: shown.len(),
                lines: 1,
                method: String::new(),
                url: String::new(),
            };
            dumps.insert(source, dump);
        }
        shown.push(Shown {
            at: entry.at,
            text: format!("{prefix}{}", reading.text.trim_end()),
            level: reading.level,
            issue: issue(&entry.message),
        });
    }
    for dump in dumps.into_values() {
        shown[dump.line].text = dump.told(&prefix_of(&shown[dump.line].text));
    }
    shown
}

/// `builder-api ERROR habitat_net::conn: `
fn prefix(entry: &Entry, reading: &Reading<'_>) -> String {
    let who = if reading.source.is_empty() {
        entry.process.as_str()
    } else {
        reading.service()
    };
    let mut prefix = who.to_owned();
    if let Some(level) = reading.level {
        prefix.extend([" ", level.word()]);
    }
    if let Some(module) = reading.module {
        prefix.extend([" ", module]);
    }
    prefix.push_str(": ");
    prefix
}

fn prefix_of(text: &str) -> String {
    text.strip_suffix("Request {")
        .unwrap_or_default()
        .to_owned()
}

/// Says once what comes several times: of all cycles that begin at a line, the one that saves most lines.
fn collapse(mut lines: Vec<Shown>) -> Vec<Item> {
    let same = |lines: &[Shown], one: usize, other: usize| {
        lines[one].text == lines[other].text && lines[one].level == lines[other].level
    };
    let mut items = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (mut length, mut times) = (1, 1);
        for cycle in 1..=LONGEST_CYCLE.min((lines.len() - at) / 2) {
            let mut count = 1;
            while at + (count + 1) * cycle <= lines.len()
                && (0..cycle).all(|line| same(&lines, at + line, at + count * cycle + line))
            {
                count += 1;
            }
            // What is said once more costs a line of its own.
            if (count - 1) * cycle > (times - 1) * length {
                (length, times) = (cycle, count);
            }
        }
        let end = at + length * times;
        items.push(Item {
            first: lines[at].at,
            last: lines[end - 1].at,
            times,
            lines: lines[at..at + length].iter_mut().map(take).collect(),
        });
        at = end;
    }
    items
}

fn take(line: &mut Shown) -> Shown {
    Shown {
        at: line.at,
        text: std::mem::take(&mut line.text),
        level: line.level,
        issue: line.issue.take(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Entry, Item, digest};

    fn entries(messages: &[&str]) -> Vec<Entry> {
        let numbered = (0..).zip(messages);
        numbered
            .map(|(number, message)| Entry {
                at: jiff::Timestamp::from_second(1_510_792_546 + number).unwrap(),
                process: "hab".to_owned(),
                pid: Some(40751),
                message: (*message).to_owned(),
            })
            .collect()
    }

    fn told(items: &[Item]) -> Vec<String> {
        items
            .iter()
            .map(|item| {
                let lines: Vec<&str> = item.lines.iter().map(|line| line.text.as_str()).collect();
                format!("{} x{}", lines.join(" | "), item.times)
            })
            .collect()
    }

    const STORM: [&str; 9] = [
        "builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout",
        "builder-api.live(O): ERROR:iron::iron: Error handling:",
        "builder-api.live(O): Request {",
        "builder-api.live(O):     url: Url { generic_url: \"http://backend/v1/authenticate/[redacted: login code]\" }",
        "builder-api.live(O):     method: Get",
        "builder-api.live(O):     remote_addr: V4(",
        "builder-api.live(O):     local_addr: V4(",
        "builder-api.live(O): }",
        "builder-api.live(O): Error was: NetError(code: TIMEOUT msg: \"net:route:3\")",
    ];

    #[test]
    fn the_guides_storm_is_four_lines_and_a_number() {
        let storm: Vec<&str> = STORM.iter().copied().cycle().take(9 * 5).collect();
        let items = digest(&entries(&storm), &|_| None);
        assert_eq!(
            told(&items),
            [
                "builder-api ERROR habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout | \
              builder-api ERROR iron::iron: Error handling: | \
              builder-api: Request { GET http://backend/v1/authenticate/[redacted: login code] } | \
              builder-api: Error was: NetError(code: TIMEOUT msg: \"net:route:3\") x5"
            ]
        );
        assert_eq!((items[0].last - items[0].first).get_seconds(), 44);
    }

    #[test]
    fn a_dump_is_folded_around_the_lines_of_others_and_without_its_end() {
        let items = digest(
            &entries(&[
                STORM[2],
                "builder-api-proxy.live(O): x",
                STORM[4],
                "builder-api.live(O): INFO:a::b: y",
                STORM[2],
            ]),
            &|_| None,
        );
        assert_eq!(
            told(&items),
            [
                "builder-api: Request { GET } x1",
                "builder-api-proxy: x x1",
                "builder-api INFO a::b: y x1",
                "builder-api: Request { … } x1"
            ]
        );
    }

    #[test]
    fn only_what_is_the_same_in_all_but_its_time_is_said_once() {
        let router = "builder-router.live(O): ERROR:habitat_builder_router::server: [err: NO_SHARD, msg: rt:route:2]";
        let newer = router.replace("ERROR:", "ERROR 2018-02-07T16:56:53Z: ");
        let items = digest(
            &entries(&[router, router, &newer, "cron", "a", "b", "a", "b", "c"]),
            &|message| message.contains("NO_SHARD").then(|| "no-shard".to_owned()),
        );
        assert_eq!(
            told(&items),
            [
                "builder-router ERROR habitat_builder_router::server: [err: NO_SHARD, msg: rt:route:2] x3",
                "hab: cron x1",
                "hab: a | hab: b x2",
                "hab: c x1"
            ]
        );
        assert_eq!(items[0].lines[0].issue.as_deref(), Some("no-shard"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Fails when a cycle is counted once too often.
        #[test]
        fn no_line_is_lost_or_made_up(words in proptest::collection::vec("[ab]", 0..40)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let items = digest(&entries(&words), &|_| None);
            let again: Vec<String> = items.iter()
                .flat_map(|item| (0..item.times).flat_map(|_| item.lines.iter().map(|line| line.text.replace("hab: ", ""))))
                .collect();
            prop_assert_eq!(again, words);
        }
    }
}
