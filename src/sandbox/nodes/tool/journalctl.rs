//! `journalctl` on a node: its options, its output modes and its refusals, as far as somebody asks for log lines.

mod getopt;
mod options;
mod show;
mod time;

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
    let shown = cut(known, &options);
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
    // Without `--since`, where `--until` cuts depends on where reading begins: see `cut`.
    let later = options.lines.is_some()
        && !options.reverse
        && options.since.is_none()
        && options.after.is_none();
    let until = if later {
        now
    } else {
        options.until.unwrap_or(i64::MAX).min(now)
    };
    let mut found = entries(node, from, until);
    found.retain(|entry| options.wants(entry));
    found
}

/// Takes as many as asked for, from the side that journalctl takes them from (seen with 252, and older ones order their
/// seeks the same): with `--since` or a cursor and without `--reverse` it reads forward and gives the *first* lines; with
/// `--until` alone it steps back from the *end of the journal* and then stops at once, if that is past the time.
fn cut(mut found: Vec<Entry>, options: &Options) -> Vec<Entry> {
    if options.reverse {
        found.reverse();
    }
    let Some(lines) = options.lines else {
        return found;
    };
    if options.reverse || options.since.is_some() || options.after.is_some() {
        found.truncate(lines);
        return found;
    }
    let mut last = found.split_off(found.len().saturating_sub(lines));
    last.retain(|entry| options.until.is_none_or(|until| entry.at <= until));
    last
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

#[cfg(test)]
mod tests {
    use super::super::super::journal::clock;
    use super::super::super::state::{SECOND, TroubleKind};
    use super::super::tests_support::Fleet;

    const API: &str = "live-builder-api-0";
    const JOBSRV: &str = "live-builder-jobsrv-0";

    fn lines(fleet: &Fleet, node: &str, arguments: &str) -> Vec<String> {
        let (code, out, err) = fleet.run(node, &format!("journalctl --no-pager {arguments}"));
        assert_eq!((code, err.as_str()), (0, ""), "{arguments}");
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_looks_like_the_guides() {
        let fleet = Fleet::new();
        let shown = lines(&fleet, API, "-u hab-sup -n 5");
        assert!(
            shown[0].starts_with("-- Logs begin at ") && shown.len() == 6,
            "{shown:#?}"
        );
        let pattern = r"^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d ip-10-0-0-147 hab\[\d+\]: builder-api(-proxy)?\.live\(O\): ";
        let pattern = regex::Regex::new(pattern).unwrap();
        assert!(
            shown[1..].iter().all(|line| pattern.is_match(line)),
            "{shown:#?}"
        );
    }

    #[test]
    fn a_unit_and_a_span_of_time_choose_the_lines() {
        let fleet = Fleet::new();
        let now = fleet.node(API).now();
        let at = |ago: i64| clock(now - ago * SECOND, "%Y-%m-%d %H:%M:%S");
        let span = format!(
            "-q -u hab-sup --since '{}' --until '{}' -o short-iso",
            at(600),
            at(300)
        );
        let part = lines(&fleet, API, &span);
        let times: Vec<String> = part
            .iter()
            .map(|line| line[..19].replace('T', " "))
            .collect();
        assert!(
            !times.is_empty()
                && times
                    .iter()
                    .all(|time| *time >= at(600) && *time <= at(300)),
            "{times:?}"
        );
        assert!(times.is_sorted());
        let relative = lines(&fleet, API, "-q -u hab-sup.service -S -10m -U -5m -o cat").len();
        assert!(relative.abs_diff(part.len()) <= 3);
        assert_eq!(
            lines(&fleet, API, "-u nope").last().unwrap(),
            "-- No entries --"
        );
    }

    #[test]
    fn the_side_that_lines_are_taken_from_is_journalctls_own() {
        let fleet = Fleet::new();
        let now = fleet.node(API).now() / SECOND;
        let span = format!("-u hab-sup -S @{} -U @{} -o cat", now - 3600, now - 60);
        let all = lines(&fleet, API, &span);
        assert_eq!(
            lines(&fleet, API, &format!("{span} -n 3")),
            all[..3],
            "forward from the time"
        );
        let mut last: Vec<String> = all[all.len() - 3..].to_vec();
        last.reverse();
        assert_eq!(lines(&fleet, API, &format!("{span} -r -n 3")), last);
        let past = format!("-u hab-sup -U @{} -n 3 -o cat", now - 3600);
        assert!(
            lines(&fleet, API, &past).is_empty(),
            "back from the end, then past the time"
        );
    }

    #[test]
    fn an_old_journalctl_cannot_search() {
        let fleet = Fleet::new();
        let (code, out, err) = fleet.run(API, "journalctl -u hab-sup --grep=TIMEOUT");
        assert_eq!((code, out.as_str()), (1, ""));
        assert_eq!(err, "journalctl: unrecognized option '--grep=TIMEOUT'\n");
        assert_eq!(
            fleet.run(API, "journalctl -g TIMEOUT").2,
            "journalctl: invalid option -- 'g'\n"
        );
        assert!(
            fleet
                .run(API, "journalctl --version")
                .1
                .starts_with("systemd 229\n")
        );
        let found = lines(&fleet, JOBSRV, "-q --grep 'is ready$' -o cat");
        assert!(!found.is_empty() && found.iter().all(|line| line.ends_with("is Ready")));
        assert!(
            lines(&fleet, JOBSRV, "-q --grep 'IS READY' -o cat").is_empty(),
            "a capital makes case matter"
        );
    }

    #[test]
    fn json_export_and_cat_say_the_same() {
        let fleet = Fleet::new();
        for node in [API, JOBSRV] {
            let now = fleet.node(node).now() / SECOND;
            let span = format!("-u hab-sup -S @{} -U @{}", now - 1200, now - 1);
            let cat = lines(&fleet, node, &format!("{span} -o cat"));
            let json: Vec<serde_json::Value> = lines(&fleet, node, &format!("{span} -o json"))
                .iter()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let messages: Vec<&str> = json
                .iter()
                .map(|entry| entry["MESSAGE"].as_str().unwrap())
                .collect();
            assert!(!cat.is_empty());
            assert_eq!(messages, cat);
            assert!(json.iter().all(|entry| {
                entry["__REALTIME_TIMESTAMP"]
                    .as_str()
                    .unwrap()
                    .parse::<i64>()
                    .is_ok()
            }));
            let export = lines(&fleet, node, &format!("{span} -o export"));
            assert_eq!(
                export
                    .iter()
                    .filter(|line| line.starts_with("MESSAGE="))
                    .count(),
                json.len()
            );
        }
    }

    #[test]
    fn a_cursor_goes_on_where_it_was() {
        let fleet = Fleet::new();
        let from = fleet.node(API).now() / SECOND - 1200;
        let shown = lines(
            &fleet,
            API,
            &format!("-u hab-sup -S @{from} -n 5 --show-cursor -o cat"),
        );
        let cursor = shown.last().unwrap().strip_prefix("-- cursor: ").unwrap();
        let six = lines(&fleet, API, &format!("-u hab-sup -S @{from} -n 6 -o cat"));
        let next = lines(
            &fleet,
            API,
            &format!("-u hab-sup --after-cursor='{cursor}' -n 1 -o cat"),
        );
        assert_eq!(next, six[5..]);
    }

    #[test]
    fn a_storm_is_at_the_end_of_the_journal() {
        let fleet = Fleet::new();
        fleet.change(API, |node| {
            node.trouble(TroubleKind::Timeout, true);
            node.troubles.last_mut().unwrap().from -= 20 * SECOND;
        });
        let text = lines(&fleet, API, "-qu hab-sup -n60 -o cat").join("\n");
        assert!(text.contains("[err: TIMEOUT, msg: net:route:3], Connection recv timeout"));
        assert!(text.contains("generic_url: \"http://backend/v1/authenticate/"));
    }
}
