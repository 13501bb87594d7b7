//! How much Slack counts, and cutting to it.
//!
//! Slack says neither whether it counts characters, UTF-16 units or bytes, nor before or after escaping. Bytes after escaping are the
//! most of these, so what fits here fits there.

use std::borrow::Cow;

const ELLIPSIS: char = '\u{2026}';

/// What a text weighs: its UTF-8 bytes after escaping.
pub(super) fn weight(text: &str) -> usize {
    text.chars().map(character_weight).sum()
}

fn character_weight(character: char) -> usize {
    match character {
        '&' => 5,
        '<' | '>' => 4,
        other => other.len_utf8(),
    }
}

/// Slack's three entities. Called once on each string that Slack parses.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The text, or its beginning and an ellipsis, weighing no more than that.
pub(super) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit && weight(text) <= limit {
        return Cow::Borrowed(text);
    }
    let Some(room) = limit.checked_sub(ELLIPSIS.len_utf8()) else {
        return Cow::Borrowed("");
    };
    let mut used = 0;
    let mut kept: String = text
        .chars()
        .take_while(|&character| {
            used += character_weight(character);
            used <= room
        })
        .collect();
    kept.truncate(kept.trim_end().len());
    kept.push(ELLIPSIS);
    Cow::Owned(kept)
}

/// The lines that fit: all of them, or the first, a note, and the last. The note is told how many lines are missing; none, where
/// long lines alone were cut.
pub(super) fn head_and_tail(text: &str, limit: usize, note: impl Fn(usize) -> String) -> String {
    let text = text.trim_matches('\n');
    if text.len() <= limit && weight(text) <= limit {
        return text.to_owned();
    }
    let total = text.lines().count();
    let room = limit.saturating_sub(weight(&note(total)) + 2);
    // One endless line must not push out all the others, nor a lone one be lost.
    let longest = (room / 3).max(room.min(60));
    let head_room = room * 2 / 5;
    let (mut head, mut used) = (Vec::new(), 0);
    for line in text.lines() {
        let line = cut(line, longest);
        let next = used + weight(&line) + 1;
        if next > head_room {
            break;
        }
        used = next;
        head.push(line);
    }
    let mut tail = Vec::new();
    for line in text.lines().rev().take(total - head.len()) {
        let line = cut(line, longest);
        let next = used + weight(&line) + 1;
        if next > room {
            break;
        }
        used = next;
        tail.push(line);
    }
    let missing = total - head.len() - tail.len();
    let note = note(missing);
    let lines: Vec<&str> = head
        .iter()
        .map(AsRef::as_ref)
        .chain([note.as_str()])
        .chain(tail.iter().rev().map(AsRef::as_ref))
        .collect();
    cut(&lines.join("\n"), limit).into_owned()
}

/// Divides what there is among what is wanted: nobody gets more than they want, and what the small leave the large share.
pub(super) fn share(wanted: &[usize], total: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&index| wanted[index]);
    let (mut left, mut given) = (total, vec![0; wanted.len()]);
    for (served, &index) in order.iter().enumerate() {
        let fair = left / (wanted.len() - served);
        given[index] = wanted[index].min(fair);
        left -= given[index];
    }
    given
}

/// `1912` as `1,912`.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 row`, `37 rows`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{counted, cut, escape, head_and_tail, share, weight};

    #[test]
    fn a_long_log_keeps_its_ends_and_says_how_much_is_missing() {
        let text: String = (1..=2000).fold(String::new(), |text, n| format!("{text}line {n}\n"));
        let shown = head_and_tail(&text, 200, |missing| {
            format!("… {} between …", counted(missing, "line"))
        });
        assert!(shown.starts_with("line 1\n"), "{shown}");
        assert!(shown.ends_with("line 2000"), "{shown}");
        assert!(shown.contains("lines between"), "{shown}");
    }

    #[test]
    fn what_the_small_leave_the_large_share() {
        assert_eq!(share(&[10, 1000, 500, 20], 630), [10, 300, 300, 20]);
        assert_eq!(share(&[], 100), [0usize; 0]);
    }

    proptest! {
        #[test]
        fn a_weight_is_what_is_sent(text in ".*") {
            prop_assert_eq!(weight(&text), escape(&text).len());
        }

        #[test]
        fn a_cut_fits(text in "[<&a\u{1f600}é \n]{0,200}", limit in 0usize..120) {
            prop_assert!(weight(&cut(&text, limit)) <= limit);
        }

        #[test]
        fn ends_fit(text in "[<&a\u{1f600}\n]{0,400}", limit in 0usize..300) {
            let shown = head_and_tail(&text, limit, |missing| format!("… {missing} …"));
            prop_assert!(weight(&shown) <= limit, "{} > {limit}", weight(&shown));
        }

        #[test]
        fn shares_never_exceed_the_whole(wanted in prop::collection::vec(0usize..5000, 0..60), total in 0usize..12000) {
            let given = share(&wanted, total);
            prop_assert!(given.iter().sum::<usize>() <= total);
            prop_assert!(given.iter().zip(&wanted).all(|(given, wanted)| given <= wanted));
        }
    }
}
