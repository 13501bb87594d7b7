//! The grammar of `journalctl`'s options, as `getopt_long` reads it: short ones may be run together, long ones may carry
//! their value after an equals sign, and what a version does not know is refused in getopt's words.

use std::iter::Peekable;
use std::slice::Iter;

/// Stands for `FIELD=value`.
pub(super) const MATCH: char = '=';
/// Stands for `--version`, which has no letter; so do the others below.
pub(super) const VERSION: char = 'V';
pub(super) const NO_TAIL: char = 'T';
pub(super) const NO_HOSTNAME: char = 'H';
pub(super) const SHOW_CURSOR: char = 'W';
pub(super) const AFTER: char = 'C';
pub(super) const FIELDS: char = 'F';
/// Stands for what changes nothing here.
const NOTHING: char = '_';

/// The first version that can search.
const WITH_GREP: u32 = 237;
/// Name, letter, and the first version that knows it.
const LONG: [(&str, char, u32); 26] = [
    ("unit", 'u', 0),
    ("since", 'S', 0),
    ("until", 'U', 0),
    ("lines", 'n', 0),
    ("output", 'o', 0),
    ("reverse", 'r', 0),
    ("follow", 'f', 0),
    ("quiet", 'q', 0),
    ("boot", 'b', 0),
    ("priority", 'p', 0),
    ("identifier", 't', 0),
    ("cursor", 'c', 0),
    ("pager-end", 'e', 0),
    ("dmesg", 'k', 0),
    ("after-cursor", AFTER, 0),
    ("show-cursor", SHOW_CURSOR, 0),
    ("version", VERSION, 0),
    ("no-tail", NO_TAIL, 0),
    ("no-pager", NOTHING, 0),
    ("utc", NOTHING, 0),
    ("all", 'a', 0),
    ("full", 'l', 0),
    ("merge", 'm', 0),
    ("no-hostname", NO_HOSTNAME, 230),
    ("output-fields", FIELDS, 236),
    ("grep", 'g', WITH_GREP),
];
const SHORT: &str = "fuSUnorqbgptkemaxlc";

enum Takes {
    Nothing,
    Value,
    Maybe,
}

const fn takes(letter: char) -> Takes {
    match letter {
        'u' | 'S' | 'U' | 'o' | 'g' | 'p' | 't' | 'c' | FIELDS | AFTER => Takes::Value,
        'n' | 'b' => Takes::Maybe,
        _ => Takes::Nothing,
    }
}

/// The options in the order given, each by its letter, with its value.
pub(super) fn read(args: &[String], systemd: u32) -> Result<Vec<(char, Option<String>)>, String> {
    let mut given = Vec::new();
    let mut rest = args.iter().peekable();
    while let Some(word) = rest.next() {
        if word == "--" {
            given.extend(rest.by_ref().map(|word| (MATCH, Some(word.clone()))));
        } else if let Some(long) = word.strip_prefix("--") {
            given.push(long_option(word, long, &mut rest, systemd)?);
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            short_options(letters, &mut rest, systemd, &mut given)?;
        } else {
            given.push((MATCH, Some(word.clone())));
        }
    }
    Ok(given)
}

type Rest<'a> = Peekable<Iter<'a, String>>;

fn long_option(
    word: &str,
    long: &str,
    rest: &mut Rest<'_>,
    systemd: u32,
) -> Result<(char, Option<String>), String> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    let known = LONG
        .iter()
        .find(|(known, _, since)| *known == name && systemd >= *since);
    let &(_, letter, _) =
        known.ok_or_else(|| format!("journalctl: unrecognized option '{word}'"))?;
    let value = match (takes(letter), value) {
        (Takes::Value, None) => {
            let next = rest
                .next()
                .ok_or_else(|| format!("journalctl: option '{word}' requires an argument"))?;
            Some(next.clone())
        }
        (Takes::Maybe, None) => number(rest),
        (Takes::Nothing, Some(_)) => {
            return Err(format!(
                "journalctl: option '--{name}' doesn't allow an argument"
            ));
        }
        (_, value) => value,
    };
    Ok((letter, value))
}

fn short_options(
    mut letters: &str,
    rest: &mut Rest<'_>,
    systemd: u32,
    given: &mut Vec<(char, Option<String>)>,
) -> Result<(), String> {
    while let Some(letter) = letters.chars().next() {
        letters = &letters[letter.len_utf8()..];
        if !SHORT.contains(letter) || (letter == 'g' && systemd < WITH_GREP) {
            return Err(format!("journalctl: invalid option -- '{letter}'"));
        }
        let value = match takes(letter) {
            Takes::Nothing => None,
            _ if !letters.is_empty() => Some(std::mem::take(&mut letters).to_owned()),
            Takes::Value => {
                let missing = || format!("journalctl: option requires an argument -- '{letter}'");
                Some(rest.next().ok_or_else(missing)?.clone())
            }
            Takes::Maybe => number(rest),
        };
        given.push((letter, value));
    }
    Ok(())
}

/// The next word, if an option that may do without a value can take it.
fn number(rest: &mut Rest<'_>) -> Option<String> {
    rest.next_if(|next| *next == "all" || next.parse::<i64>().is_ok())
        .cloned()
}
