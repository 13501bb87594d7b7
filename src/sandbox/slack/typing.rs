//! What Slack's client makes of what a person types: `<`, `>`, `&` escaped, people, channels, groups and links marked up.

use super::state::State;

/// Which kind of text it is; commands carry names beside ids (`should_escape`), messages only ids for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typing {
    Message,
    Command,
}

/// The text as the app will see it.
pub(super) fn encode(state: &State, text: &str, typing: Typing) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let begins_word = encoded
            .chars()
            .next_back()
            .is_none_or(|before| before.is_whitespace() || "(,\"'".contains(before));
        let marked = if next == '<' {
            already(rest)
        } else if begins_word {
            mark(state, rest, typing)
        } else {
            None
        };
        if let Some((mark, taken)) = marked {
            encoded.push_str(&mark);
            rest = &rest[taken..];
            continue;
        }
        match next {
            '&' => encoded.push_str("&amp;"),
            '<' => encoded.push_str("&lt;"),
            '>' => encoded.push_str("&gt;"),
            other => encoded.push(other),
        }
        rest = &rest[next.len_utf8()..];
    }
    encoded
}

/// Mark-up that was typed as such is left alone, so that a test can type exactly what it means.
fn already(text: &str) -> Option<(String, usize)> {
    let marks = ["<@U", "<#C", "<!subteam^", "<http://", "<https://"];
    if !marks.iter().any(|mark| text.starts_with(mark)) {
        return None;
    }
    let end = text.find('>')? + 1;
    Some((text[..end].to_owned(), end))
}

fn mark(state: &State, text: &str, typing: Typing) -> Option<(String, usize)> {
    if text.starts_with("https://") || text.starts_with("http://") {
        let end = text
            .find(|c: char| c.is_whitespace() || "<>\"".contains(c))
            .unwrap_or(text.len());
        let link = &text[..end];
        return Some((format!("<{}>", link.replace('&', "&amp;")), end));
    }
    let sigil = text.chars().next()?;
    if sigil != '@' && sigil != '#' {
        return None;
    }
    let named = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == '.';
    let end = text[1..]
        .find(|c| !named(c))
        .map_or(text.len(), |at| at + 1);
    let name = text[1..end].trim_end_matches('.');
    let taken = name.len() + 1;
    if name.is_empty() {
        return None;
    }
    if sigil == '#' {
        let channel = state.channels.iter().find(|channel| channel.name == name);
        return channel.map(|channel| (format!("<#{}|{name}>", channel.id), taken));
    }
    if let Some(group) = state.seed.groups.iter().find(|group| group.handle == name) {
        return Some((format!("<!subteam^{}|@{name}>", group.id), taken));
    }
    let bot = &state.seed.bot;
    let id = if name == bot.name {
        &bot.user_id
    } else {
        &state.person(name).filter(|person| person.name == name)?.id
    };
    Some(match typing {
        Typing::Message => (format!("<@{id}>"), taken),
        Typing::Command => (format!("<@{id}|{name}>"), taken),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::sandbox::slack::seed::Seed;

    #[rstest]
    #[case::plain("status api", "status api")]
    #[case::escaped("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d")]
    #[case::person("handoff @bo --for 4h", "handoff <@U0BO|bo> --for 4h")]
    #[case::group("page @ops", "page <!subteam^S0OPS|@ops>")]
    #[case::channel(
        "incident link #operations",
        "incident link <#C0OPERATIONS|operations>"
    )]
    #[case::link(
        "note https://x.example/?a=1&b=2 seen",
        "note <https://x.example/?a=1&amp;b=2> seen"
    )]
    #[case::nobody("mail a@b.example @nobody", "mail a@b.example @nobody")]
    #[case::as_meant("ask <@U0CYD>", "ask <@U0CYD>")]
    #[case::quotes("freeze live “disk full” —now", "freeze live “disk full” —now")]
    fn a_command_is_encoded_as_slacks_client_does(#[case] typed: &str, #[case] sent: &str) {
        let state = State::new(Seed::default(), "");
        assert_eq!(encode(&state, typed, Typing::Command), sent);
    }

    #[test]
    fn a_mention_in_a_message_carries_no_name() {
        let state = State::new(Seed::default(), "");
        let sent = encode(&state, "@habops status, please", Typing::Message);
        assert_eq!(sent, "<@U0HABOPS> status, please");
    }
}
