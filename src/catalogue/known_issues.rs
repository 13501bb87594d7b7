//! `[[signature]]` and `[[symptom]]` of `commands/diagnose.toml`: what a journal says and people notice, and the command that comes next.
//!
//! An overlay's `diagnose.toml` holds such tables and nothing else; they stand beside habops' own, and none may take another's name.

use std::time::Duration;

use jiff::Timestamp;
use regex::{Regex, RegexBuilder};

use super::{
    command_file::lower_word,
    fault::Fault,
    section::{At, Page, Section},
};
use crate::domain::{
    command::Commands,
    ids::NodeRole,
    known_issue::{KnownIssues, Level, Signature, Suggestion, Symptom},
    nearest::nearest,
    parse::parse,
    service::Services,
};

/// The one file that holds them.
pub(super) const FILE: &str = "diagnose";
/// Longest pattern, in bytes: all of a role's are one pattern on the node.
const LONGEST_PATTERN: usize = 400;
/// Most lines a signature may need.
const MOST_LINES: i64 = 1000;
/// Longest stretch of time they may be in.
const LONGEST_WITHIN: Duration = Duration::from_hours(24);
/// What every reader of a pattern takes literally behind a backslash.
const ESCAPABLE: &str = ".[]()*+?{}|^$\\";

/// The tables of one file, with the lines that checks across files still need.
#[derive(Debug, Default)]
pub(super) struct Issues {
    file: String,
    signatures: Vec<At<Signature>>,
    symptoms: Vec<At<Symptom>>,
    suggestions: Vec<(String, At<Suggestion>)>,
}

/// Reads the tables of habops' own file, where they are the command's; elsewhere they are refused.
pub(super) fn read(top: &Section<'_>, name: &str, file: &str) -> Issues {
    if name != FILE {
        for key in ["signature", "symptom"]
            .into_iter()
            .filter(|key| top.has(key))
        {
            top.fault(top.line_of(key), key, "only `diagnose.toml` has them");
        }
        return Issues::default();
    }
    let mut issues = Issues {
        file: file.to_owned(),
        ..Issues::default()
    };
    for section in top.sections("signature") {
        if let Some(signature) = signature(&section, &mut issues.suggestions) {
            issues.signatures.push(signature);
        }
    }
    for section in top.sections("symptom") {
        if let Some(symptom) = symptom(&section, &mut issues.suggestions) {
            issues.symptoms.push(symptom);
        }
    }
    issues
}

/// Reads an overlay's file: these tables and nothing else.
pub(super) fn read_addition(file: &str, text: &str) -> Result<Issues, Vec<Fault>> {
    let page = Page::new(file, text);
    let table = page.table();
    let issues = table.as_ref().map(|table| {
        let top = page.section(table);
        top.only(&["signature", "symptom"]);
        read(&top, FILE, file)
    });
    let faults = page.into_faults();
    match issues {
        Some(issues) if faults.is_empty() => Ok(issues),
        _ => Err(faults),
    }
}

/// Joins the files' tables, and checks what needs all of them: names are unique, and what comes next is a command.
pub(super) fn join(
    files: Vec<Issues>,
    commands: &Commands,
    faults: &mut Vec<Fault>,
) -> KnownIssues {
    let mut known = KnownIssues::default();
    for file in files {
        let mut fault = |line: usize, key: &str, reason: String| {
            faults.push(Fault {
                file: file.file.clone(),
                line: Some(line),
                key: key.to_owned(),
                reason,
            });
        };
        for (key, suggestion) in &file.suggestions {
            if let Err(reason) = is_command(&suggestion.value, commands) {
                fault(suggestion.line, key, reason);
            }
        }
        for signature in file.signatures {
            let name = &signature.value.name;
            if known.signature(name).is_some() {
                let reason = format!("there is a signature `{name}` already");
                fault(signature.line, "signature.name", reason);
            }
            known.signatures.push(signature.value);
        }
        for symptom in file.symptoms {
            let word = &symptom.value.word;
            if known.symptom(word).is_some() {
                let reason = format!("there is a symptom `{word}` already");
                fault(symptom.line, "symptom.word", reason);
            }
            known.symptoms.push(symptom.value);
        }
    }
    known
}

fn signature(
    section: &Section<'_>,
    suggestions: &mut Vec<(String, At<Suggestion>)>,
) -> Option<At<Signature>> {
    section.only(&[
        "name", "roles", "cured_on", "pattern", "before", "at_least", "within", "level", "means",
        "look_at", "next", "source",
    ]);
    section.needs("name", "lower case words joined by hyphens");
    section.needs("pattern", "what is found in a line");
    section.needs("level", "error or warning");
    let name = section.text("name");
    if let Some(name) = name.as_ref().filter(|name| !lower_word(&name.value)) {
        let reason = format!("`{}` is not a name like `api-timeout`", name.value);
        section.fault(name.line, "name", reason);
    }
    let roles = roles(section, "roles");
    let cured_on = roles_of_cure(section, &roles);
    let pattern = pattern(section, "pattern");
    let before = pattern_before(section);
    let (at_least, within) = window(section);
    let level = level(section);
    let (means, look_at, source) = (
        sentence(section, "means", "what the line means"),
        sentence(section, "look_at", "what to look at"),
        sentence(section, "source", "where this is known from"),
    );
    let places = if before.is_some() {
        &Suggestion::PLACES[..]
    } else {
        &Suggestion::PLACES[..2]
    };
    let next = next(section, places, suggestions);
    Some(At {
        line: section.line_of("name"),
        value: Signature {
            name: name?.value,
            roles,
            cured_on,
            pattern: pattern?,
            before,
            at_least,
            within,
            level: level?,
            means: means?,
            look_at: look_at?,
            next,
            source: source?,
        },
    })
}

fn symptom(
    section: &Section<'_>,
    suggestions: &mut Vec<(String, At<Suggestion>)>,
) -> Option<At<Symptom>> {
    section.only(&["word", "seen", "look_at", "next", "source"]);
    section.needs("word", "what is typed after --symptom");
    let word = section.text("word");
    if let Some(word) = word.as_ref().filter(|word| !lower_word(&word.value)) {
        let reason = format!("`{}` is not a word like `login`", word.value);
        section.fault(word.line, "word", reason);
    }
    let seen = sentence(section, "seen", "what people notice");
    let look_at = sentence(section, "look_at", "what to look at");
    let source = sentence(section, "source", "where this is known from");
    let next = next(section, &["environment"], suggestions);
    if next.is_empty() && !section.has("next") {
        section.needs("next", "the commands that look at it");
    }
    Some(At {
        line: section.line_of("word"),
        value: Symptom {
            word: word?.value,
            seen: seen?,
            look_at: look_at?,
            next,
            source: source?,
        },
    })
}

fn sentence(section: &Section<'_>, key: &str, what: &str) -> Option<String> {
    section.needs(key, what);
    let text = section.text(key)?;
    if text.value.trim().is_empty() {
        section.fault(text.line, key, "is empty");
    }
    Some(text.value)
}

fn roles(section: &Section<'_>, key: &str) -> Vec<NodeRole> {
    let roles = section.texts(key).unwrap_or_default();
    for role in &roles {
        check_role(section, key, role);
    }
    roles.into_iter().map(|role| role.value.into()).collect()
}

/// Whoever restarts another node must know which journal to watch.
fn roles_of_cure(section: &Section<'_>, writers: &[NodeRole]) -> Vec<NodeRole> {
    let cured_on = roles(section, "cured_on");
    let line = section.line_of("cured_on");
    if !cured_on.is_empty() && writers.is_empty() {
        section.fault(line, "cured_on", "needs `roles`: whose journal shows it");
    }
    if let Some(both) = cured_on.iter().find(|role| writers.contains(role)) {
        let reason = format!("`{both}` is among `roles`, so its own journal shows it");
        section.fault(line, "cured_on", reason);
    }
    cured_on
}

/// A role's typo would make a signature silent; a role that is like none of Builder's is a fleet's own.
fn check_role(section: &Section<'_>, key: &str, role: &At<String>) {
    let services = Services::default();
    let known: Vec<&str> = services
        .iter()
        .map(|(_, service)| service.role.as_str())
        .collect();
    if known.contains(&role.value.as_str()) {
        return;
    }
    let near = nearest(&role.value, known.iter().copied());
    match near {
        Some(near) => section.fault(
            role.line,
            key,
            format!("there is no role `{}`; did you mean `{near}`?", role.value),
        ),
        None if lower_word(&role.value) => {}
        None => section.fault(
            role.line,
            key,
            format!("`{}` is not a role like `api`", role.value),
        ),
    }
}

fn pattern(section: &Section<'_>, key: &str) -> Option<Regex> {
    let typed = section.text(key)?;
    let read = portable(&typed.value).and_then(|()| {
        RegexBuilder::new(&typed.value)
            .size_limit(1 << 18)
            .build()
            .map_err(|error| {
                let said = error.to_string();
                let last = said.lines().last().unwrap_or_default();
                format!("cannot be read: {}", last.trim_start_matches("error: "))
            })
    });
    let read = read.and_then(|regex| {
        if regex.is_match("") {
            Err("fits an empty line, so it would fit any".to_owned())
        } else {
            Ok(regex)
        }
    });
    match read {
        Ok(regex) => Some(regex),
        Err(why) => {
            section.fault(typed.line, key, why);
            None
        }
    }
}

fn pattern_before(section: &Section<'_>) -> Option<Regex> {
    let before = pattern(section, "before")?;
    if before.captures_len() != 2 {
        let reason = "needs exactly one group, around the service that it tells";
        section.fault(section.line_of("before"), "before", reason);
    }
    Some(before)
}

/// What `grep -E`, `journalctl --grep` and this program read alike: the filter on a node and the count here must agree.
fn portable(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() || pattern.len() > LONGEST_PATTERN {
        return Err(format!("must be 1 to {LONGEST_PATTERN} bytes"));
    }
    if !pattern.is_ascii() || pattern.contains(|c: char| c.is_ascii_control()) {
        return Err("may hold plain ASCII only".to_owned());
    }
    let refuse = |what: &str| {
        Err(format!(
            "{what} is not read alike by grep -E, journalctl and habops; use letters, `.`, `[0-9]`, `*`, `+`, `?`, `{{n}}`, `(…)` and `|`"
        ))
    };
    let (mut characters, mut in_set, mut repeats) = (pattern.chars().peekable(), false, false);
    while let Some(character) = characters.next() {
        let repeated = std::mem::take(&mut repeats);
        match character {
            '\\' if in_set => return refuse("a backslash inside `[…]`"),
            ']' if in_set => in_set = false,
            _ if in_set => {}
            '\\' => match characters.next() {
                Some(escaped) if ESCAPABLE.contains(escaped) => {}
                Some(escaped) => return refuse(&format!("`\\{escaped}`")),
                None => return refuse("a backslash at the end"),
            },
            '[' => {
                in_set = true;
                // A `]` that comes first is a character of the set.
                let _ = characters.next_if_eq(&'^');
                if characters.peek() == Some(&']') {
                    return refuse("`[]`");
                }
            }
            '(' if characters.peek() == Some(&'?') => return refuse("`(?`"),
            '^' | '$' => {
                return Err(format!(
                    "`{character}`: a line begins with whatever its service writes first, so a pattern is found anywhere in it"
                ));
            }
            '*' | '+' | '?' if repeated => return refuse("a repetition of a repetition"),
            '*' | '+' | '?' | '}' => repeats = true,
            _ => {}
        }
    }
    Ok(())
}

fn window(section: &Section<'_>) -> (usize, Option<Duration>) {
    let at_least = section.number("at_least").map_or(1, |number| {
        if !(1..=MOST_LINES).contains(&number.value) {
            let reason = format!("must be 1 to {MOST_LINES}");
            section.fault(number.line, "at_least", reason);
        }
        usize::try_from(number.value).unwrap_or(1).max(1)
    });
    let within = section.text("within").and_then(|typed| {
        let length = humantime::parse_duration(&typed.value)
            .ok()
            .filter(|length| !length.is_zero() && *length <= LONGEST_WITHIN);
        if length.is_none() {
            let reason = format!(
                "`{}` is not a duration of up to a day, like \"5m\"",
                typed.value
            );
            section.fault(typed.line, "within", reason);
        }
        length
    });
    if at_least > 1 {
        section.needs("within", "in how long so many lines make it an issue");
    }
    (at_least, within)
}

fn level(section: &Section<'_>) -> Option<Level> {
    let typed = section.text("level")?;
    match typed.value.as_str() {
        "error" => Some(Level::Error),
        "warning" => Some(Level::Warning),
        other => {
            let reason = format!("`{other}` is not one of error, warning");
            section.fault(typed.line, "level", reason);
            None
        }
    }
}

fn next(
    section: &Section<'_>,
    places: &[&str],
    suggestions: &mut Vec<(String, At<Suggestion>)>,
) -> Vec<Suggestion> {
    let mut next = Vec::new();
    for typed in section.texts("next").unwrap_or_default() {
        if let Some(odd) = place_that_is_not(&typed.value, places) {
            let known: Vec<String> = places
                .iter()
                .map(|place| format!("`{{{place}}}`"))
                .collect();
            let reason = format!("`{odd}` is not one of {}", known.join(", "));
            section.fault(typed.line, "next", reason);
            continue;
        }
        let suggestion = Suggestion::new(typed.value);
        suggestions.push((
            section.full("next"),
            At {
                value: suggestion.clone(),
                line: typed.line,
            },
        ));
        next.push(suggestion);
    }
    next
}

/// The first thing in braces that has no value here, or a brace alone.
fn place_that_is_not(text: &str, places: &[&str]) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let from = &rest[at..];
        let known = places
            .iter()
            .map(|place| format!("{{{place}}}"))
            .find(|place| from.starts_with(place.as_str()));
        let Some(known) = known else {
            let end = from.find('}').map_or(from.len(), |end| end + 1);
            return Some(from[..end].to_owned());
        };
        rest = &from[known.len()..];
    }
    None
}

/// Whether it is a command once its places are filled; what for is the fleet's business.
fn is_command(suggestion: &Suggestion, commands: &Commands) -> Result<(), String> {
    let filled = suggestion.fill(
        Some(&"live-builder-api-0".into()),
        &"live".into(),
        Some("api"),
    );
    let filled = filled.unwrap_or_default();
    let written = suggestion.as_str();
    match parse(&filled, commands, Timestamp::UNIX_EPOCH) {
        Ok(parsed) if filled.starts_with(parsed.spec().name.as_str()) => Ok(()),
        Ok(parsed) => Err(format!(
            "`{written}` is understood as `{}`",
            parsed.spec().name
        )),
        Err(refusal) => Err(format!("`{written}`: {}", refusal.said)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::portable;

    #[rstest]
    #[case::words("err: NO_SHARD, msg: rt:route:2", true)]
    #[case::sets("Worker\\[[0-9]+\\] restarting\\.\\.\\.", true)]
    #[case::quotes("lock file \"[^\"]+\" already exists", true)]
    #[case::choices("(a|b)c{2}", true)]
    #[case::digits("\\d+", false)]
    #[case::named("(?P<service>x)", false)]
    #[case::lazy("a*?b", false)]
    #[case::anchored("^ERROR", false)]
    #[case::a_backslash_in_a_set("[\\]]", false)]
    #[case::other_letters("naïve", false)]
    #[case::nothing("", false)]
    fn a_pattern_means_the_same_to_every_reader(#[case] pattern: &str, #[case] portably: bool) {
        assert_eq!(portable(pattern).is_ok(), portably);
    }
}
