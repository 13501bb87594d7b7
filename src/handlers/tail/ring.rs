//! The newest lines of all nodes, without secrets, in bounded memory.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::domain::journal::{Cleaner, Entry, Item, Told, digest, errors, whole};

/// Bytes of messages that are kept; older ones were shown and are passed over.
const MOST_BYTES: usize = 128 * 1024;
/// A line is shown once the next of its source could have been there: it may be the second half of a token.
const HELD_FOR: Duration = Duration::from_millis(500);

/// What came, and the newest of it.
pub(super) struct Ring {
    nodes: Vec<Node>,
    kept: VecDeque<Kept>,
    bytes: usize,
    came: usize,
    errors: usize,
    passed_over: usize,
}

struct Node {
    name: String,
    cleaner: Cleaner,
}

struct Kept {
    node: usize,
    number: u64,
    heard: Instant,
    entry: Entry,
}

impl Ring {
    /// For these nodes.
    pub(super) fn new(nodes: Vec<(String, Cleaner)>) -> Self {
        Self {
            nodes: nodes
                .into_iter()
                .map(|(name, cleaner)| Node { name, cleaner })
                .collect(),
            kept: VecDeque::new(),
            bytes: 0,
            came: 0,
            errors: 0,
            passed_over: 0,
        }
    }

    /// A line of a node.
    pub(super) fn take(&mut self, node: usize, entry: Entry, heard: Instant) {
        let cleaned = self.nodes[node].cleaner.take(entry);
        for (number, message) in cleaned.instead {
            let before = self
                .kept
                .iter_mut()
                .rev()
                .find(|kept| kept.node == node && kept.number == number);
            if let Some(kept) = before {
                self.bytes = self.bytes - kept.entry.message.len() + message.len();
                kept.entry.message = message;
            }
        }
        let Some((number, entry)) = cleaned.entry else {
            return;
        };
        self.came += 1;
        self.errors += errors(&[Told {
            node: "",
            entries: std::slice::from_ref(&entry),
        }]);
        self.bytes += entry.message.len();
        self.kept.push_back(Kept {
            node,
            number,
            heard,
            entry,
        });
        while self.bytes > MOST_BYTES
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.entry.message.len();
            self.passed_over += 1;
        }
    }

    /// How many lines came.
    pub(super) fn came(&self) -> usize {
        self.came
    }

    /// How many of them say that something failed.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// How many of them are not kept any more.
    pub(super) fn passed_over(&self) -> usize {
        self.passed_over
    }

    /// How many secrets were removed.
    pub(super) fn removed(&self) -> u64 {
        self.nodes.iter().map(|node| node.cleaner.removed()).sum()
    }

    /// The newest lines for a message, by node. Those that came a moment ago are left out, unless it is the end. `issue` names the
    /// known issue that a node's message is a sign of.
    pub(super) fn items(
        &self,
        now: Instant,
        end: bool,
        issue: &dyn Fn(&str, &str) -> Option<String>,
    ) -> Vec<(&str, Item)> {
        let ready = |kept: &&Kept| end || now.duration_since(kept.heard) >= HELD_FOR;
        let by_node = self.entries(ready);
        let items = self.nodes.iter().zip(by_node).flat_map(|(node, entries)| {
            let items = digest(&entries, &|message| issue(&node.name, message)).into_iter();
            items.map(|item| (node.name.as_str(), item))
        });
        items.collect()
    }

    /// All that is kept, for a file.
    pub(super) fn text(&self) -> String {
        let by_node = self.entries(|_| true);
        let told: Vec<Told<'_>> = self
            .nodes
            .iter()
            .zip(&by_node)
            .map(|(node, entries)| Told {
                node: &node.name,
                entries,
            })
            .collect();
        whole(&told)
    }

    fn entries(&self, wanted: impl Fn(&&Kept) -> bool) -> Vec<Vec<Entry>> {
        let mut by_node = vec![Vec::new(); self.nodes.len()];
        for kept in self.kept.iter().filter(wanted) {
            by_node[kept.node].push(kept.entry.clone());
        }
        by_node
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::redact::{Rules, Stream};

    fn ring() -> Ring {
        let rules = Arc::new(Rules::new([]).unwrap());
        Ring::new(vec![("n0".to_owned(), Cleaner::new(Stream::new(rules)))])
    }

    fn entry(message: &str) -> Entry {
        Entry {
            at: jiff::Timestamp::UNIX_EPOCH,
            process: "hab".to_owned(),
            pid: Some(7),
            message: message.to_owned(),
        }
    }

    #[test]
    fn what_came_a_moment_ago_waits_for_the_line_behind_it() {
        let (mut ring, now) = (ring(), Instant::now());
        ring.take(0, entry("at xoxb-123"), now);
        assert!(ring.items(now, false, &|_, _| None).is_empty());
        assert_eq!(ring.items(now + HELD_FOR, false, &|_, _| None).len(), 1);
        ring.take(0, entry("4567890-abcdef now"), now);
        let text = ring.text();
        assert!(
            !text.contains("xoxb") && !text.contains("4567890-abc"),
            "{text}"
        );
        assert_eq!((ring.came(), ring.removed()), (2, 1));
    }

    #[test]
    fn memory_is_bounded_and_what_is_passed_over_is_counted() {
        let (mut ring, now) = (ring(), Instant::now());
        for number in 0..2_000 {
            ring.take(
                0,
                entry(&format!("ERROR:a::b: {number} {}", "x".repeat(1_000))),
                now,
            );
        }
        assert!(ring.bytes <= MOST_BYTES);
        assert_eq!(ring.passed_over() + ring.kept.len(), 2_000);
        assert_eq!((ring.came(), ring.errors()), (2_000, 2_000));
    }
}
