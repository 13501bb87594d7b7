//! `journalctl` on a node: its options, its output modes and its refusals, as far as somebody asks for log lines.

mod options;
mod show;

use std::time::Duration;

use anyhow::Result;

use self::options::{Asked, Options};
use super::super::journal::{Entry, entries};
use super::super::state::Node;
use super::Place;

/// How often `--follow` looks for new entries.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) fn run(place: &mut Place<'_>, args: &[String]) -> Result<i32> {
    let node = place.node()?;
    let options = match options::parse(args, &node) {
        Ok(Asked::Version) => {
            write!(place.out, "{}", super::systemctl::version(node.systemd))?;
            return Ok(0);
        }
        Ok(Asked::Entries(options)) => options,
        Err(words) => return place.refuse(1, &words),
    };
    let now = node.now();
    let known = matching(&node, &options, now);
    let shown = cut(known, &options, now);
    if !options.quiet {
        let begin = super::systemctl::stamp(node.journal_from);
        if options.follow {
            writeln!(place.out, "-- Logs begin at {begin}. --")?;
        } else {
            writeln!(
                place.out,
                "-- Logs begin at {begin}, end at {}. --",
                super::systemctl::stamp(now)
            )?;
        }
        if shown.is_empty() && !options.follow {
            writeln!(place.out, "-- No entries --")?;
        }
    }
    for entry in &shown {
        show::entry(place.out, &node, &options, entry)?;
    }
    if options.show_cursor
        && let Some(last) = shown.last()
    {
        writeln!(place.out, "-- cursor: {}", show::cursor(&node, last.at))?;
    }
    if options.follow {
        follow(place, &options, now)?;
    }
    Ok(0)
}

/// The entries that match everything but the number of lines.
fn matching(node: &Node, options: &Options, now: i64) -> Vec<Entry> {
    let from = options
        .since
        .unwrap_or(i64::MIN)
        .max(options.after.map_or(i64::MIN, |at| at + 1));
    let from = if options.boot {
        from.max(node.booted)
    } else {
        from
    };
    let until = options.until.unwrap_or(i64::MAX).min(now);
    let mut found = entries(node, from, until);
    found.retain(|entry| options.wants(entry));
    found
}

/// Takes as many as asked for from the side that journalctl of this age takes them from.
fn cut(mut found: Vec<Entry>, options: &Options, now: i64) -> Vec<Entry> {
    if options.reverse {
        found.reverse();
    }
    let Some(lines) = options.lines else {
        return found;
    };
    // Up to 245 at least, `--since` (or a cursor) with `--lines` and without `--reverse` reads forward from there: it gives
    // the *first* lines, not the last (journalctl.c, the order of its seeks).
    let from_the_start = options.reverse || options.since.is_some() || options.after.is_some();
    if from_the_start {
        found.truncate(lines);
    } else if options.until.is_some_and(|until| until < now) {
        found = found.split_off(found.len().saturating_sub(lines));
    } else {
        found = found.split_off(found.len().saturating_sub(lines));
    }
    found
}

fn follow(place: &mut Place<'_>, options: &Options, mut seen: i64) -> Result<()> {
    loop {
        place.out.flush()?;
        std::thread::sleep(LOOK_EVERY);
        let node = place.node()?;
        let now = node.now();
        let fresh = Options {
            since: Some(seen + 1),
            after: None,
            ..options.clone()
        };
        for entry in matching(&node, &fresh, now) {
            show::entry(place.out, &node, options, &entry)?;
        }
        seen = now;
    }
}
