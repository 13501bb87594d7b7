//! A pattern that lines are searched for, in three languages: ours, `journalctl --grep`'s (PCRE2), and POSIX `grep -E` over the JSON that
//! `journalctl` prints, for a node whose journalctl has no `--grep` (systemd before 237).
//!
//! The node's own search only saves the way: it may let a line too many through, never one too few. Ours decides, and takes time
//! linear in the line whatever the pattern. A pattern in small letters matches either case, as `journalctl` has it.

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};
use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Largest compiled form.
const LARGEST: usize = 1 << 20;
/// Longest expression for `grep`; what becomes longer is shortened to what its beginning says, and ours decides.
const LONGEST: usize = 16 * 1024;
/// What is counted further is left to us: `grep` takes memory for each.
const MOST_COUNTED: u32 = 255;
/// Any character in the JSON form of a string.
const ANY: &str = r#"([^"\\]|\\.)"#;
/// A byte that is neither printable ASCII nor in JSON a control character: a piece of a character beyond ASCII.
const BEYOND_ASCII: &str = "[^ -~]+";

/// A pattern that was checked.
#[derive(Clone, Debug)]
pub struct Pattern {
    typed: String,
    regex: Regex,
    hir: Hir,
}

impl Pattern {
    /// Understands a pattern of the `regex` crate's language.
    pub fn new(typed: &str) -> Result<Self, String> {
        let unusable = |why: String| format!("`{typed}` cannot be searched for: {why}");
        let regex = RegexBuilder::new(typed)
            .case_insensitive(is_small(typed))
            .size_limit(LARGEST)
            .build()
            .map_err(|fault| unusable(fault.to_string()))?;
        let hir = ParserBuilder::new()
            .build()
            .parse(typed)
            .map_err(|fault| unusable(fault.to_string()))?;
        Ok(Self {
            typed: typed.to_owned(),
            regex,
            hir,
        })
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// Whether it is found in a text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Whether either case matches.
    pub fn ignores_case(&self) -> bool {
        is_small(&self.typed)
    }

    /// The same for `journalctl --grep`, where PCRE2 reads it as we do and without trying all ways through it.
    pub fn for_journalctl(&self) -> Option<&str> {
        let typed = &self.typed;
        let foreign = [
            "(?", "&&", "~~", "--", r"\p", r"\P", r"\u", r"\U", r"\x", r"\b{", r"\<", r"\>", r"\A",
            r"\z",
        ];
        let plain = typed.is_ascii() && !foreign.iter().any(|word| typed.contains(word));
        (plain && !repeats_a_repetition(&self.hir, false)).then_some(typed)
    }

    /// The same for `grep -E` with `LC_ALL=C` over `journalctl -o json`: found in the message alone.
    pub fn for_grep(&self) -> String {
        let mut own = String::new();
        posix(&self.hir, &mut own);
        if own.len() > LONGEST {
            own.clear();
        }
        format!(r#""MESSAGE" ?: ?"{ANY}*{own}"#)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.typed == other.typed
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.typed)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let typed = String::deserialize(deserializer)?;
        Self::new(&typed).map_err(D::Error::custom)
    }
}

fn is_small(typed: &str) -> bool {
    !typed.chars().any(char::is_uppercase)
}

/// Whether something unbounded is repeated without bound: what takes PCRE2 longer than a person lives.
fn repeats_a_repetition(hir: &Hir, inside: bool) -> bool {
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let many = repetition.max.is_none_or(|max| max > 1);
            (inside && many) || repeats_a_repetition(&repetition.sub, inside || many)
        }
        HirKind::Capture(capture) => repeats_a_repetition(&capture.sub, inside),
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            all.iter().any(|one| repeats_a_repetition(one, inside))
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

fn posix(hir: &Hir, out: &mut String) {
    match hir.kind() {
        // Where a line or a word begins or ends is left to us to see.
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => {
            for character in String::from_utf8_lossy(&literal.0).chars() {
                character_in_json(character, out);
            }
        }
        HirKind::Class(class) => out.push_str(&class_in_json(class)),
        HirKind::Repetition(repetition) => {
            let mut sub = String::new();
            posix(&repetition.sub, &mut sub);
            if sub.is_empty() {
                return;
            }
            out.extend(["(", &sub, ")"]);
            match (repetition.min, repetition.max) {
                (0, None) => out.push('*'),
                (1, None) => out.push('+'),
                (0, Some(1)) => out.push('?'),
                (min, Some(max)) if max <= MOST_COUNTED => {
                    let _ = write!(out, "{{{min},{max}}}");
                }
                (min, _) => {
                    let _ = write!(out, "{{{},}}", min.min(MOST_COUNTED));
                }
            }
        }
        HirKind::Capture(capture) => posix(&capture.sub, out),
        HirKind::Concat(all) => all.iter().for_each(|one| posix(one, out)),
        HirKind::Alternation(all) => {
            let branches: Vec<String> = all
                .iter()
                .map(|one| {
                    let mut branch = String::new();
                    posix(one, &mut branch);
                    branch
                })
                .collect();
            // An empty branch matches anywhere.
            if branches.iter().all(|branch| !branch.is_empty()) {
                out.extend(["(", &branches.join("|"), ")"]);
            }
        }
    }
}

/// One character as JSON writes it, as `grep -E` reads it.
fn character_in_json(character: char, out: &mut String) {
    match character {
        '"' => out.push_str(r#"\\""#),
        '\\' => out.push_str(r"\\\\"),
        character if character.is_ascii_control() => out.push_str(CONTROL),
        character if r".[](){}*+?^$|/".contains(character) => {
            if character != '/' {
                out.push('\\');
            }
            out.push(character);
        }
        // Its other case is other bytes.
        character if !character.is_ascii() => out.push_str(BEYOND_ASCII),
        character => out.push(character),
    }
}

/// A control character in JSON.
const CONTROL: &str = r"\\(u00[01][0-9A-Fa-f]|u007[Ff]|[bfnrt])";

fn class_in_json(class: &Class) -> String {
    let holds = |wanted: char| match class {
        Class::Unicode(class) => class
            .iter()
            .any(|range| range.start() <= wanted && wanted <= range.end()),
        Class::Bytes(class) => class.iter().any(|range| {
            u32::from(range.start()) <= u32::from(wanted)
                && u32::from(wanted) <= u32::from(range.end())
        }),
    };
    let beyond = match class {
        Class::Unicode(class) => class.iter().any(|range| !range.end().is_ascii()),
        Class::Bytes(class) => class.iter().any(|range| !range.end().is_ascii()),
    };
    let mut branches = Vec::new();
    let printable: String = (' '..='~')
        .filter(|&character| holds(character) && !matches!(character, '"' | '\\'))
        .collect();
    if !printable.is_empty() {
        branches.push(bracket(&printable));
    }
    if holds('"') {
        branches.push(r#"\\""#.to_owned());
    }
    if holds('\\') {
        branches.push(r"\\\\".to_owned());
    }
    if ('\0'..' ').chain(['\x7f']).any(holds) {
        branches.push(CONTROL.to_owned());
    }
    if beyond {
        branches.push(BEYOND_ASCII.to_owned());
    }
    if branches.is_empty() {
        // Nothing matches it, and so nothing matches the whole: ours says so.
        return String::new();
    }
    format!("({})", branches.join("|"))
}

/// A bracket expression: `]` first, `^` never first, `-` last, and no `[` before `.`, `=` or `:`.
fn bracket(characters: &str) -> String {
    if characters.chars().count() == 1 {
        let mut out = String::new();
        characters
            .chars()
            .for_each(|character| character_in_json(character, &mut out));
        return out;
    }
    let mut plain = String::new();
    let mut run: Option<(char, char)> = None;
    let close = |run: Option<(char, char)>, plain: &mut String| match run {
        Some((from, to)) if u32::from(to) - u32::from(from) > 2 => plain.extend([from, '-', to]),
        Some((from, to)) => plain.extend(from..=to),
        None => {}
    };
    for character in characters
        .chars()
        .filter(|character| !"]^-[".contains(*character))
    {
        run = match run {
            Some((from, to)) if u32::from(to) + 1 == u32::from(character) => {
                Some((from, character))
            }
            other => {
                close(other, &mut plain);
                Some((character, character))
            }
        };
    }
    close(run, &mut plain);
    let has = |wanted: char| characters.contains(wanted);
    let mut own = String::from("[");
    if has(']') {
        own.push(']');
    }
    own.push_str(&plain);
    if has('^') {
        if own == "[" {
            // `[^-]` would be a negation.
            return if has('[') {
                r"(\^|\[|-)".to_owned()
            } else {
                r"(\^|-)".to_owned()
            };
        }
        own.push('^');
    }
    if has('[') {
        own.push('[');
    }
    if has('-') {
        own.push('-');
    }
    own.push(']');
    own
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Pattern;

    #[rstest]
    #[case("net:route:3", true)]
    #[case("ERROR|FATAL", true)]
    #[case("(a+)+$", false)]
    #[case("(a|b+)*c", false)]
    #[case("(?x) a", false)]
    #[case("[a-z&&[^b]]", false)]
    #[case("größe", false)]
    fn journalctl_gets_what_it_reads_as_we_do(#[case] typed: &str, #[case] gets: bool) {
        assert_eq!(
            Pattern::new(typed).unwrap().for_journalctl().is_some(),
            gets
        );
    }
}
