//! What Slack clients do to typed text, undone once, before anything is split or parsed (law 13); and a reason made a sentence.

/// Plain typing again: straight quotes, `--` for dashes that stand for it, ordinary spaces, `&<>` for their entities,
/// and Slack's `<…>` forms reduced to what was meant: `<@U1|ana>` → `<@U1>`, `<#C1|ops>` → `<#C1>`,
/// `<https://x|x>` → `https://x`, `<mailto:a@b|a@b>` → `a@b`. Zero-width characters and control characters are dropped;
/// line breaks become spaces.
pub fn normalise(typed: &str) -> String {
    let mut plain = String::with_capacity(typed.len());
    let mut rest = typed;
    while let Some(character) = rest.chars().next() {
        if character == '<'
            && let Some(end) = rest.find('>')
        {
            plain.push_str(&reference(&rest[1..end]));
            rest = &rest[end + 1..];
            continue;
        }
        rest = &rest[character.len_utf8()..];
        match character {
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{ab}' | '\u{bb}'
            | '\u{2033}' => plain.push('"'),
            '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2032}' => plain.push('\''),
            // A dash that a client made out of `--` stands alone or begins a word; inside a word it was one hyphen.
            '\u{2014}' | '\u{2013}' | '\u{2015}' if starts_a_word(&plain) => plain.push_str("--"),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => plain.push('-'),
            '\u{a0}'
            | '\u{202f}'
            | '\u{2000}'..='\u{200a}'
            | '\u{205f}'
            | '\u{3000}'
            | '\n'
            | '\r'
            | '\t' => plain.push(' '),
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{feff}'
            | '\u{ad}' => {}
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    entities(&plain)
}

/// A reason as errors give it, as people read it: a capital at its beginning and a stop at its end.
pub fn sentence(reason: &str) -> String {
    let mut characters = reason.chars();
    let capital: String = characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default();
    let stop = if capital.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    capital + stop
}

fn starts_a_word(so_far: &str) -> bool {
    so_far.is_empty() || so_far.ends_with(' ')
}

/// The inside of Slack's angle brackets, reduced to what the person meant.
fn reference(inside: &str) -> String {
    let (target, label) = inside
        .split_once('|')
        .map_or((inside, None), |(target, label)| (target, Some(label)));
    match target.chars().next() {
        Some('@' | '#' | '!') => format!("<{target}>"),
        _ if target.starts_with("mailto:") || target.starts_with("tel:") => target
            .split_once(':')
            .map_or(target, |(_, address)| address)
            .to_owned(),
        // A bare host that Slack made a link of: the label is what was typed.
        _ if target.starts_with("http://")
            && label.is_some_and(|label| target == format!("http://{label}")) =>
        {
            label.unwrap_or(target).to_owned()
        }
        _ if target.starts_with("http://") || target.starts_with("https://") => target.to_owned(),
        _ => format!("<{inside}>"),
    }
}

/// Slack's three entities, undone once: `&amp;lt;` is `&lt;`, not `<`.
fn entities(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (character, length) = if rest.starts_with("&lt;") {
            ('<', 4)
        } else if rest.starts_with("&gt;") {
            ('>', 4)
        } else if rest.starts_with("&amp;") {
            ('&', 5)
        } else {
            ('&', 1)
        };
        plain.push(character);
        rest = &rest[length..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{normalise, sentence};

    #[rstest]
    #[case(
        "restart live\u{2011}builder\u{2011}api\u{2011}0",
        "restart live-builder-api-0"
    )]
    #[case("logs api \u{2014}since 5m", "logs api --since 5m")]
    #[case("note \u{201c}it\u{2019}s down\u{201d}", "note \"it's down\"")]
    #[case("status\u{a0}api\u{200b}", "status api")]
    #[case("handoff <@U123|ana> --for 4h", "handoff <@U123> --for 4h")]
    #[case("link <#C1|>", "link <#C1>")]
    #[case(
        "note <https://example.com/a?b=1|example.com>",
        "note https://example.com/a?b=1"
    )]
    #[case(
        "note <http://bldr.habitat.sh|bldr.habitat.sh>",
        "note bldr.habitat.sh"
    )]
    #[case(
        "page <mailto:ana@example.com|ana@example.com>",
        "page ana@example.com"
    )]
    #[case("note a &lt; b &amp;&amp; c &amp;lt;", "note a < b && c &lt;")]
    #[case("note 1 < 2", "note 1 < 2")]
    fn undoes_what_clients_do(#[case] typed: &str, #[case] meant: &str) {
        assert_eq!(normalise(typed), meant);
    }

    #[rstest]
    #[case("there is none", "There is none.")]
    #[case("no node; did you mean `x`?", "No node; did you mean `x`?")]
    #[case("`x` is unknown.", "`x` is unknown.")]
    #[case("", ".")]
    fn a_reason_becomes_a_sentence(#[case] reason: &str, #[case] said: &str) {
        assert_eq!(sentence(reason), said);
    }
}
