//! What a machine printed, made harmless: Slack gets it without what cannot be seen, a terminal gets it as visible escapes.

use std::{borrow::Cow, fmt::Write as _};

/// Without ANSI sequences, control characters, bidirectional overrides and other characters nobody sees. Line breaks and
/// tabs stay; `\r\n` and the Unicode line separators become `\n`.
pub(super) fn strip(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            '\r' => {
                if rest.peek() != Some(&'\n') {
                    kept.push('\n');
                }
            }
            '\u{2028}' | '\u{2029}' => kept.push('\n'),
            other if is_unseen(other) => {}
            other => kept.push(other),
        }
    }
    Cow::Owned(kept)
}

/// The same characters as escapes a person can read: `\x1b[2J`, `\u{202e}`. Line breaks and tabs stay.
pub(super) fn reveal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\r' if rest.peek() == Some(&'\n') => {}
            other if is_unseen(other) && u32::from(other) < 0x100 => {
                let _ = write!(shown, "\\x{:02x}", u32::from(other));
            }
            other if is_unseen(other) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(other));
            }
            other => shown.push(other),
        }
    }
    Cow::Owned(shown)
}

/// One line of it: breaks and tabs are spaces, ends are trimmed.
pub(super) fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c })
        .collect();
    spaced.trim().to_owned()
}

/// `<@U1>` and `<#C1|ops>` without their brackets. Deliberately nobody is mentioned from a string of an output, because a
/// node may have printed it; the context line names the asker from the message's own data.
pub(super) fn unbracket(text: &str) -> Cow<'_, str> {
    if !text.contains('<') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest.find('>').map(|end| (&rest[1..end], &rest[end + 1..]));
        match reference {
            Some((inside, after)) if is_reference(inside) => {
                let sign = &inside[..1];
                let name = inside.split_once('|').map_or(&inside[1..], |(id, label)| {
                    if label.is_empty() { &id[1..] } else { label }
                });
                plain.push_str(sign);
                plain.push_str(name.trim_start_matches(['@', '#']));
                rest = after;
            }
            _ => {
                plain.push('<');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn is_reference(inside: &str) -> bool {
    let id = inside.split_once('|').map_or(inside, |(id, _)| id);
    id.len() > 1
        && id.starts_with(['@', '#'])
        && id[1..].chars().all(|c| c.is_ascii_alphanumeric())
        && !inside.contains(['<', '\n'])
}

fn is_unseen(character: char) -> bool {
    match character {
        // The joiner of emoji families is part of what is seen.
        '\n' | '\t' | '\u{200d}' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_control_sequence(rest);
        }
        // Operating-system command, device control and the like: up to BEL or ST, and never beyond the line.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(&character) = rest.peek() {
                if character == '\n' {
                    return;
                }
                rest.next();
                if character == '\u{7}' || character == '\u{9c}' {
                    return;
                }
                if character == '\u{1b}' {
                    if rest.peek() == Some(&'\\') {
                        rest.next();
                    }
                    return;
                }
            }
        }
        Some(c) if c.is_ascii() && !c.is_control() => {
            rest.next();
        }
        _ => {}
    }
}

/// Parameters and intermediates, then one final byte; anything else ends it unread.
fn skip_control_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(&character) = rest.peek() {
        match character {
            '\u{20}'..='\u{3f}' => {
                rest.next();
            }
            '\u{40}'..='\u{7e}' => {
                rest.next();
                return;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{reveal, strip, unbracket};

    #[rstest]
    #[case("plain\nlines\there", "plain\nlines\there")]
    #[case("\u{1b}[1;31mred\u{1b}[0m", "red")]
    #[case("\u{1b}]0;title\u{7}after", "after")]
    #[case("\u{1b}]8;;https://evil.example\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link")]
    #[case("\u{1b}]never closed\nnext line", "\nnext line")]
    #[case("a\0b\u{8}c\u{7f}d", "abcd")]
    #[case("a\r\nb\rc", "a\nb\nc")]
    #[case("user\u{202e}txt.exe", "usertxt.exe")]
    #[case(
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}"
    )]
    fn what_nobody_sees_is_gone(#[case] printed: &str, #[case] kept: &str) {
        assert_eq!(strip(printed), kept);
    }

    #[rstest]
    #[case("\u{1b}[2Jx", "\\x1b[2Jx")]
    #[case("a\u{202e}b", "a\\u{202e}b")]
    #[case("a\rb\r\nc", "a\\x0db\nc")]
    #[case("\u{9b}31m", "\\x9b31m")]
    fn a_terminal_shows_it(#[case] printed: &str, #[case] shown: &str) {
        assert_eq!(reveal(printed), shown);
    }

    #[rstest]
    #[case("ask <@U1> or <#C1|ops>", "ask @U1 or #ops")]
    #[case("<@U1|ana>", "@ana")]
    #[case("a < b > c <@>", "a < b > c <@>")]
    #[case("<<@U1>", "<@U1")]
    #[case("<@U1", "<@U1")]
    #[case("<!channel>", "<!channel>")]
    fn references_lose_their_brackets(#[case] text: &str, #[case] plain: &str) {
        assert_eq!(unbracket(text), plain);
    }
}
