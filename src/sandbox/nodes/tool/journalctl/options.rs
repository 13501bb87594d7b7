//! What `journalctl` was asked for. Short options may be run together (`-fu hab-sup`), as the guide types them.

use regex::{Regex, RegexBuilder};

use super::super::super::journal::Entry;
use super::super::super::state::Node;
use super::getopt;
use super::time::time;

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
    let given = getopt::read(args, node.systemd)?;
    if given.iter().any(|(letter, _)| *letter == getopt::VERSION) {
        return Ok(Asked::Version);
    }
    for (letter, value) in &given {
        set(&mut options, *letter, value.as_deref(), node)?;
    }
    let no_tail = given.iter().any(|(letter, _)| *letter == getopt::NO_TAIL);
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
        getopt::MATCH => {
            let (field, value) = text
                .split_once('=')
                .ok_or_else(|| format!("Failed to add match '{text}': Invalid argument"))?;
            options.matches.push((field.into(), value.into()));
        }
        getopt::NO_HOSTNAME => options.no_hostname = true,
        getopt::SHOW_CURSOR => options.show_cursor = true,
        'r' => options.reverse = true,
        'f' => options.follow = true,
        'q' => options.quiet = true,
        'b' => options.boot = true,
        'k' => options.identifiers.push("kernel".into()),
        getopt::FIELDS => options.fields = text.split(',').map(str::to_owned).collect(),
        'c' | getopt::AFTER => {
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
            options.priority = priority(text).ok_or_else(|| format!("Unknown log level {text}"))?;
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
