//! Several nodes' lines in one view: the whole text for a file, the excerpt for a message, the errors a minute.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write as _};

use jiff::{SignedDuration, Timestamp};

use super::{Entry, Item, Level, read};

/// Longest line of an excerpt, in characters; the file has all of it.
const LINE: usize = 400;
/// Most points of a chart by the minute; a longer time is counted by the hour.
const MOST_MINUTES: i64 = 12 * 60;
/// And by the day.
const MOST_HOURS: i64 = 14 * 24;

/// What one node told, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Its friendly name.
    pub node: &'a str,
    /// Its lines, without secrets.
    pub entries: &'a [Entry],
}

/// All lines in the order of time, each with its node: what goes into the file.
pub fn whole(told: &[Told<'_>]) -> String {
    let mut lines: Vec<(Timestamp, &str, &Entry)> = told
        .iter()
        .flat_map(|told| {
            told.entries
                .iter()
                .map(|entry| (entry.at, told.node, entry))
        })
        .collect();
    lines.sort_by_key(|(at, ..)| *at);
    let mut text = String::new();
    for (at, node, entry) in lines {
        let at = at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
        let _ = writeln!(text, "{at} {node} {}", entry.said());
    }
    text
}

/// How many lines say that something failed.
pub fn errors(told: &[Told<'_>]) -> usize {
    error_times(told).count()
}

fn error_times<'a>(told: &'a [Told<'_>]) -> impl Iterator<Item = Timestamp> + 'a {
    let entries = told.iter().flat_map(|told| told.entries);
    let fails = |entry: &&Entry| read(&entry.message).level.is_some_and(Level::is_error);
    entries.filter(fails).map(|entry| entry.at)
}

/// The first and the last moment.
pub fn span(told: &[Told<'_>]) -> Option<(Timestamp, Timestamp)> {
    let times = || {
        told.iter()
            .flat_map(|told| told.entries)
            .map(|entry| entry.at)
    };
    Some((times().min()?, times().max()?))
}

/// Errors over time, where there is more than one minute of them: `minute`, `hour` or `day`, and the numbers, with the empty ones between.
pub fn errors_a_minute(told: &[Told<'_>]) -> Option<(&'static str, Vec<(String, u64)>)> {
    let mut minutes = BTreeMap::<i64, u64>::new();
    for at in error_times(told) {
        *minutes.entry(at.as_second().div_euclid(60)).or_default() += 1;
    }
    let (first, last) = (*minutes.first_key_value()?.0, *minutes.last_key_value()?.0);
    if first == last {
        return None;
    }
    let (unit, size, format) = match last - first {
        minutes if minutes < MOST_MINUTES => ("minute", 1, "%Y-%m-%d %H:%M"),
        minutes if minutes / 60 < MOST_HOURS => ("hour", 60, "%Y-%m-%d %H:%M"),
        _ => ("day", 24 * 60, "%Y-%m-%d"),
    };
    let mut cells = BTreeMap::<i64, u64>::new();
    for (minute, count) in minutes {
        *cells.entry(minute.div_euclid(size)).or_default() += count;
    }
    let points = (first.div_euclid(size)..=last.div_euclid(size)).map(|cell| {
        let at = Timestamp::from_second(cell * size * 60).unwrap_or_default();
        (
            at.strftime(format).to_string(),
            cells.get(&cell).copied().unwrap_or(0),
        )
    });
    Some((unit, points.collect()))
}

/// What is shown in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The lines, with a mark where some are left out.
    pub text: String,
    /// How many items are left out.
    pub left_out: usize,
}

/// The items of all nodes in the order of time, as many as there is room for, in bytes. What says that something failed comes first, in
/// half of the room; then what is nearest to `around`, or to the end. `with_node` puts each line's node before it.
pub fn excerpt(
    mut items: Vec<(&str, Item)>,
    with_node: bool,
    room: usize,
    around: Option<Timestamp>,
) -> Excerpt {
    items.sort_by_key(|(_, item)| item.first);
    let Some(end) = items.iter().map(|(_, item)| item.last).max() else {
        return Excerpt {
            text: String::new(),
            left_out: 0,
        };
    };
    let anchor = around.unwrap_or(end);
    let rendered: Vec<String> = items
        .iter()
        .map(|(node, item)| rendered(if with_node { Some(node) } else { None }, item))
        .collect();
    let mut nearest: Vec<usize> = (0..items.len()).collect();
    nearest.sort_by_key(|&index| {
        let item = &items[index].1;
        let away = |at: Timestamp| anchor.duration_since(at).abs();
        let inside = item.first <= anchor && anchor <= item.last;
        let away = if inside {
            SignedDuration::ZERO
        } else {
            away(item.first).min(away(item.last))
        };
        (away, Reverse(index))
    });
    let mut chosen = vec![false; items.len()];
    let mut left = room.saturating_sub(GAP);
    let mut choose = |index: usize, least: usize, left: &mut usize| {
        let size = rendered[index].len() + GAP;
        if !chosen[index] && *left >= size + least {
            chosen[index] = true;
            *left -= size;
        }
    };
    for &index in nearest.iter().filter(|&&index| items[index].1.is_error()) {
        choose(index, room / 2, &mut left);
    }
    for &index in &nearest {
        choose(index, 0, &mut left);
    }
    let (mut text, mut gap) = (String::new(), 0);
    for (index, lines) in rendered.iter().enumerate() {
        if chosen[index] {
            push_gap(&mut text, &mut gap);
            text.push_str(lines);
        } else {
            gap += 1;
        }
    }
    push_gap(&mut text, &mut gap);
    let left_out = chosen.iter().filter(|chosen| !**chosen).count();
    Excerpt { text, left_out }
}

/// Room for saying that something is left out.
const GAP: usize = 24;

fn push_gap(text: &mut String, gap: &mut usize) {
    if *gap > 0 {
        let _ = writeln!(text, "… {gap} more …");
        *gap = 0;
    }
}

fn rendered(node: Option<&&str>, item: &Item) -> String {
    let mut text = String::new();
    for line in &item.lines {
        let at = line.at.strftime("%Y-%m-%d %H:%M:%S");
        let node = node.map(|node| format!("{node} ")).unwrap_or_default();
        let issue = line
            .issue
            .as_ref()
            .map(|issue| format!("  ← {issue}"))
            .unwrap_or_default();
        let mut said: String = line.text.chars().take(LINE).collect();
        if said.len() < line.text.len() {
            said.push('…');
        }
        let again = if item.times > 1 && item.lines.len() == 1 {
            format!(
                "  ({} times until {})",
                item.times,
                item.last.strftime("%H:%M:%S")
            )
        } else {
            String::new()
        };
        let _ = writeln!(text, "{at} {node}{said}{issue}{again}");
    }
    if item.times > 1 && item.lines.len() > 1 {
        let until = item.last.strftime("%H:%M:%S");
        let _ = writeln!(
            text,
            "  (these {} lines {} times until {until})",
            item.lines.len(),
            item.times
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{super::digest, Entry, Told, errors, errors_a_minute, excerpt, span, whole};

    fn entry(second: i64, message: &str) -> Entry {
        Entry {
            at: Timestamp::from_second(1_510_792_546 + second).unwrap(),
            process: "hab".to_owned(),
            pid: Some(7),
            message: message.to_owned(),
        }
    }

    const FAILS: &str = "builder-api.live(O): ERROR:a::b: no";

    #[test]
    fn nodes_are_merged_in_the_order_of_time() {
        let (one, other) = (
            [entry(0, "a"), entry(2, "c")],
            [entry(1, "b"), entry(2, "d")],
        );
        let told = [
            Told {
                node: "n0",
                entries: &one,
            },
            Told {
                node: "n1",
                entries: &other,
            },
        ];
        let wanted = "2017-11-16T00:35:46.000000Z n0 hab[7]: a\n2017-11-16T00:35:47.000000Z n1 hab[7]: b\n\
                      2017-11-16T00:35:48.000000Z n0 hab[7]: c\n2017-11-16T00:35:48.000000Z n1 hab[7]: d\n";
        assert_eq!(whole(&told), wanted);
        let (first, last) = span(&told).unwrap();
        assert_eq!((last - first).get_seconds(), 2);
    }

    #[test]
    fn errors_are_counted_by_the_minute_only_where_there_are_several() {
        let lines = [entry(0, FAILS), entry(1, FAILS), entry(2, "x")];
        let one_minute = [Told {
            node: "n",
            entries: &lines,
        }];
        assert_eq!(
            (errors(&one_minute), errors_a_minute(&one_minute)),
            (2, None)
        );
        let lines = [entry(0, FAILS), entry(120, FAILS), entry(121, FAILS)];
        let (unit, points) = errors_a_minute(&[Told {
            node: "n",
            entries: &lines,
        }])
        .unwrap();
        let points: Vec<(&str, u64)> = points
            .iter()
            .map(|(at, count)| (at.as_str(), *count))
            .collect();
        assert_eq!(
            (unit, &points[..]),
            (
                "minute",
                &[
                    ("2017-11-16 00:35", 1),
                    ("2017-11-16 00:36", 0),
                    ("2017-11-16 00:37", 2)
                ][..]
            )
        );
        let lines = [entry(0, FAILS), entry(86_400 * 60, FAILS)];
        let (unit, points) = errors_a_minute(&[Told {
            node: "n",
            entries: &lines,
        }])
        .unwrap();
        assert_eq!((unit, points.len()), ("day", 61));
    }

    #[test]
    fn an_excerpt_keeps_the_errors_and_the_end() {
        let mut lines: Vec<Entry> = (0..200)
            .map(|n| entry(n, &format!("builder-api.live(O): INFO:a::b: {n}")))
            .collect();
        lines[50].message = FAILS.to_owned();
        let items = || {
            digest(&lines, &|_| None)
                .into_iter()
                .map(|item| ("n", item))
                .collect()
        };
        let shown = excerpt(items(), false, 600, None);
        assert!(shown.text.len() <= 600, "{}", shown.text);
        assert!(shown.text.contains("ERROR a::b: no"), "{}", shown.text);
        assert!(shown.text.ends_with("INFO a::b: 199\n"), "{}", shown.text);
        assert!(
            shown
                .text
                .starts_with("… 50 more …\n2017-11-16 00:36:36 builder-api ERROR"),
            "{}",
            shown.text
        );
        let around = excerpt(items(), true, 600, Some(lines[100].at));
        assert!(
            around.text.contains("n builder-api INFO a::b: 100\n")
                && !around.text.contains("INFO a::b: 199"),
            "{}",
            around.text
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Fails when the room for saying what is left out is not kept.
        #[test]
        fn an_excerpt_never_takes_more_than_its_room(lengths in proptest::collection::vec(0usize..900, 0..30), room in 24usize..3_000) {
            let lines: Vec<Entry> = (0..).zip(&lengths).map(|(n, length)| entry(n, &"ä".repeat(*length))).collect();
            let items = digest(&lines, &|_| None).into_iter().map(|item| ("node", item)).collect();
            let shown = excerpt(items, true, room, None);
            prop_assert!(shown.text.len() <= room.max(24), "{} > {}", shown.text.len(), room);
        }
    }
}
