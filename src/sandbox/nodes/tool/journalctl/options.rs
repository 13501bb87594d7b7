//! What `journalctl` was asked for. Short options may be run together (`-fu hab-sup`), as the guide types them.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use regex::{Regex, RegexBuilder};

use super::super::super::journal::Entry;
use super::super::super::state::{Node, SECOND};

/// The first version that can search; before it the option does not exist.
const WITH_GREP: u32 = 237;
/// The first version that can choose fields.
const WITH_FIELDS: u32 = 236;
/// Lines shown by `-f`, `-e` and a bare `-n`.
const FEW: usize = 10;

/// What to do.
#[derive(Debug)]
pub(super) enum Asked {
    Version,
    Entries(Options),
}

/// How to write an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Short,
    ShortIso,
    ShortPrecise,
    Cat,
    Json,
    Export,
}

/// Which entries, and how.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of journalctl's that is there or not"
)]
pub(super) struct Options {
    pub units: Vec<String>,
    pub identifiers: Vec<String>,
    pub matches: Vec<(String, String)>,
    pub grep: Option<Regex>,
    pub priority: u8,
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub after: Option<i64>,
    pub lines: Option<usize>,
    pub boot: bool,
    pub reverse: bool,
    pub follow: bool,
    pub quiet: bool,
    pub show_cursor: bool,
    pub no_hostname: bool,
    pub mode: Mode,
    pub fields: Vec<String>,
}

impl Options {
    /// Whether an entry matches everything but the time.
    pub fn wants(&self, entry: &Entry) -> bool {
        let any = |list: &[String], value: &str| {
            list.is_empty() || list.iter().any(|wanted| wanted == value)
        };
        any(&self.units, &entry.unit)
            && any(&self.identifiers, &entry.identifier)
            && self.priority >= super::show::PRIORITY
            && self
                .grep
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(&entry.message))
            && self
                .matches
                .iter()
                .all(|(field, value)| super::show::field(entry, field).as_deref() == Some(value))
    }
}

/// Understands the arguments, or says in journalctl's words why not.
pub(super) fn parse(args: &[String], node: &Node) -> Result<Asked, String> {
    let mut options = Options {
        units: Vec::new(),
        identifiers: Vec::new(),
        matches: Vec::new(),
        grep: None,
        priority: 7,
        since: None,
        until: None,
        after: None,
        lines: None,
        boot: false,
        reverse: false,
        follow: false,
        quiet: false,
        show_cursor: false,
        no_hostname: false,
        mode: Mode::Short,
        fields: Vec::new(),
    };
    let mut no_tail = false;
    let mut rest = args.iter().peekable();
    while let Some(word) = rest.next() {
        let (mut letters, long) = match word.strip_prefix("--") {
            Some("") => break,
            Some(long) => ("", Some(long)),
            None => match word.strip_prefix('-') {
                Some("") | None => {
                    let Some((field, value)) = word.split_once('=') else {
                        return Err(format!("Failed to add match '{word}': Invalid argument"));
                    };
                    options.matches.push((field.into(), value.into()));
                    continue;
                }
                Some(letters) => (letters, None),
            },
        };
        if let Some(long) = long {
            let (name, given) = long
                .split_once('=')
                .map_or((long, None), |(name, value)| (name, Some(value)));
            match name {
                "version" => return Ok(Asked::Version),
                "no-tail" => no_tail = true,
                "no-pager" | "utc" | "all" | "full" | "no-full" | "merge" | "catalog" => {}
                "no-hostname" if node.systemd >= 230 => options.no_hostname = true,
                _ => {
                    let letter = short_of(name, node)
                        .ok_or_else(|| format!("journalctl: unrecognized option '{word}'"))?;
                    let value = match (takes(letter), given) {
                        (Takes::Value, None) => Some(
                            rest.next()
                                .ok_or_else(|| {
                                    format!("journalctl: option '{word}' requires an argument")
                                })?
                                .as_str(),
                        ),
                        (Takes::Maybe, None) => {
                            rest.next_if(|next| is_number(next)).map(String::as_str)
                        }
                        (Takes::Nothing, Some(_)) => {
                            return Err(format!(
                                "journalctl: option '--{name}' doesn't allow an argument"
                            ));
                        }
                        (_, given) => given,
                    };
                    set(&mut options, letter, value, node)?;
                }
            }
            continue;
        }
        while let Some(letter) = letters.chars().next() {
            letters = &letters[letter.len_utf8()..];
            if !"fuSUnorqbgptkemaxlc".contains(letter)
                || (letter == 'g' && node.systemd < WITH_GREP)
            {
                return Err(format!("journalctl: invalid option -- '{letter}'"));
            }
            let value = match takes(letter) {
                Takes::Nothing => None,
                _ if !letters.is_empty() => Some(std::mem::take(&mut letters)),
                Takes::Value => {
                    let missing =
                        || format!("journalctl: option requires an argument -- '{letter}'");
                    Some(rest.next().ok_or_else(missing)?.as_str())
                }
                Takes::Maybe => rest.next_if(|next| is_number(next)).map(String::as_str),
            };
            set(&mut options, letter, value, node)?;
        }
    }
    if options.follow && options.lines.is_none() && options.since.is_none() && !no_tail {
        options.lines = Some(FEW);
    }
    if options.follow && options.reverse {
        return Err("Please specify either --reverse= or --follow=, not both.".into());
    }
    if let (Some(since), Some(until)) = (options.since, options.until)
        && since > until
    {
        return Err("--since= must be before --until=.".into());
    }
    Ok(Asked::Entries(options))
}

enum Takes {
    Nothing,
    Value,
    Maybe,
}

const fn takes(letter: char) -> Takes {
    match letter {
        'u' | 'S' | 'U' | 'o' | 'g' | 'p' | 't' | 'c' | 'F' | 'C' => Takes::Value,
        'n' | 'b' => Takes::Maybe,
        _ => Takes::Nothing,
    }
}

/// The short form of a long option; `F` and `C` stand for two that have none.
fn short_of(name: &str, node: &Node) -> Option<char> {
    Some(match name {
        "unit" => 'u',
        "since" => 'S',
        "until" => 'U',
        "lines" => 'n',
        "output" => 'o',
        "reverse" => 'r',
        "follow" => 'f',
        "quiet" => 'q',
        "boot" => 'b',
        "priority" => 'p',
        "identifier" => 't',
        "cursor" => 'c',
        "pager-end" => 'e',
        "dmesg" => 'k',
        "after-cursor" => 'C',
        "show-cursor" => 'w',
        "grep" if node.systemd >= WITH_GREP => 'g',
        "output-fields" if node.systemd >= WITH_FIELDS => 'F',
        _ => return None,
    })
}

fn is_number(word: &str) -> bool {
    word == "all" || word.parse::<i64>().is_ok()
}

fn set(
    options: &mut Options,
    letter: char,
    value: Option<&str>,
    node: &Node,
) -> Result<(), String> {
    let text = value.unwrap_or_default();
    match letter {
        'u' => options.units.push(if text.contains('.') {
            text.into()
        } else {
            format!("{text}.service")
        }),
        't' => options.identifiers.push(text.into()),
        'S' => options.since = Some(time(text, node.now())?),
        'U' => options.until = Some(time(text, node.now())?),
        'n' => {
            options.lines = match value {
                None => Some(FEW),
                Some("all") => None,
                Some(number) => Some(
                    number
                        .parse()
                        .map_err(|_| format!("Failed to parse lines '{number}'"))?,
                ),
            }
        }
        'e' => options.lines = options.lines.or(Some(1000)),
        'o' => {
            options.mode = match text {
                "short" | "short-full" => Mode::Short,
                "short-iso" => Mode::ShortIso,
                "short-precise" => Mode::ShortPrecise,
                "cat" => Mode::Cat,
                "json" => Mode::Json,
                "export" => Mode::Export,
                _ => return Err(format!("Unknown output format '{text}'.")),
            };
            options.quiet |= matches!(options.mode, Mode::Cat | Mode::Json | Mode::Export);
        }
        'r' => options.reverse = true,
        'f' => options.follow = true,
        'q' => options.quiet = true,
        'w' => options.show_cursor = true,
        'b' => options.boot = true,
        'k' => options.identifiers.push("kernel".into()),
        'F' => options.fields = text.split(',').map(str::to_owned).collect(),
        'c' | 'C' => {
            let at = super::show::cursor_time(text)
                .ok_or("Failed to seek to cursor: Invalid argument")?;
            options.after = Some(if letter == 'c' { at - 1 } else { at });
        }
        'g' => {
            // As pcre2 is asked to: a pattern without capitals matches either case.
            let small = !text.chars().any(char::is_uppercase);
            let pattern = RegexBuilder::new(text).case_insensitive(small).build();
            options.grep = Some(
                pattern
                    .map_err(|_| format!("Bad pattern \"{text}\": missing closing parenthesis"))?,
            );
        }
        'p' => {
            options.priority = priority(text).ok_or_else(|| format!("Unknown log level {text}"))?
        }
        _ => {}
    }
    Ok(())
}

fn priority(word: &str) -> Option<u8> {
    let names = [
        "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
    ];
    let worst = word.rsplit("..").next().unwrap_or(word);
    (0u8..)
        .zip(names)
        .find(|(number, name)| *name == worst || number.to_string() == worst)
        .map(|(number, _)| number)
}

/// A time as systemd takes it: absolute, `@seconds`, `now`, `today`, `yesterday`, `-15m`, `15 min ago`. UTC.
fn time(text: &str, now: i64) -> Result<i64, String> {
    parse_time(text.trim(), now).ok_or_else(|| format!("Failed to parse timestamp: {text}"))
}

fn parse_time(text: &str, now: i64) -> Option<i64> {
    let today = Timestamp::from_microsecond(now)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .date();
    let at = |moment: DateTime| {
        moment
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|moment| moment.timestamp().as_microsecond())
    };
    match text {
        "now" => return Some(now),
        "today" => return at(today.to_datetime(Time::midnight())),
        "yesterday" => {
            return at(today
                .checked_sub(1.day())
                .ok()?
                .to_datetime(Time::midnight()));
        }
        "tomorrow" => {
            return at(today
                .checked_add(1.day())
                .ok()?
                .to_datetime(Time::midnight()));
        }
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        let (whole, part) = seconds.split_once('.').unwrap_or((seconds, "0"));
        let part: i64 = format!("{part:0<6}").get(..6)?.parse().ok()?;
        return Some(whole.parse::<i64>().ok()? * SECOND + part);
    }
    if let Some(ago) = text.strip_prefix('-').or_else(|| text.strip_suffix("ago")) {
        return Some(now - span(ago)?);
    }
    if let Some(ahead) = text.strip_prefix('+') {
        return Some(now + span(ahead)?);
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(moment) = DateTime::strptime(format, text) {
            return at(moment);
        }
    }
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return at(date.to_datetime(Time::midnight()));
    }
    for format in ["%H:%M:%S", "%H:%M"] {
        if let Ok(clock) = Time::strptime(format, text) {
            return at(today.to_datetime(clock));
        }
    }
    None
}

/// `1h30min`, `15m`, `2 days`.
fn span(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let number: i64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "us" | "usec" => 1,
            "ms" | "msec" => 1000,
            "" | "s" | "sec" | "second" | "seconds" => SECOND,
            "m" | "min" | "minute" | "minutes" => 60 * SECOND,
            "h" | "hr" | "hour" | "hours" => 3600 * SECOND,
            "d" | "day" | "days" => 86_400 * SECOND,
            "w" | "week" | "weeks" => 7 * 86_400 * SECOND,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total += number.checked_mul(unit)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_systemd_reads_them() {
        let now = 1_510_792_546 * SECOND; // 2017-11-16 00:35:46 UTC
        let seconds = |text: &str| parse_time(text, now).map(|time| time / SECOND);
        assert_eq!(seconds("2017-11-13 10:00:00"), Some(1_510_567_200));
        assert_eq!(seconds("2017-11-13 10:00:00 UTC"), Some(1_510_567_200));
        assert_eq!(seconds("2017-11-13"), Some(1_510_531_200));
        assert_eq!(seconds("@1510567200"), Some(1_510_567_200));
        assert_eq!(seconds("today"), Some(1_510_790_400));
        assert_eq!(seconds("yesterday"), Some(1_510_704_000));
        assert_eq!(seconds("-15m"), Some(1_510_791_646));
        assert_eq!(seconds("15 min ago"), Some(1_510_791_646));
        assert_eq!(seconds("-1h30min"), Some(1_510_787_146));
        assert_eq!(seconds("00:10"), Some(1_510_791_000));
        for wrong in ["2017-11-13T10:00:00Z", "soon", "-", "-15x", "2017-13-01"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
