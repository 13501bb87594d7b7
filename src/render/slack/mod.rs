//! Redacted output → a Slack message: every limit of Slack's and every escaping is here. It fits whatever the output holds.
//!
//! Text stands in `rich_text`, which Slack does not parse; mrkdwn is used for the small lines alone, from words we compose.

mod ask;
mod parts;
mod rich;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

use self::{parts::Room, rich::Line};
use super::{
    measure::{counted, cut, escape, head_and_tail, share, weight},
    text,
};
use crate::domain::{
    actor::Actor,
    journey::Redacted,
    message::{About, MessageKey},
    output::{Action, Output, Part, Status},
};

/// What `chat.postMessage` and `chat.update` are given.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The notification, and what screen readers speak. Escaped; at most 4,000 bytes; never empty.
    pub text: String,
    /// At most 50 blocks, within all of Slack's limits.
    pub blocks: Vec<Value>,
    /// The message's metadata; `null` for an ephemeral, which can have none.
    pub metadata: Value,
}

/// The type of the metadata on every message of an operation.
pub const EVENT_TYPE: &str = "habops_operation";

/// Weight of all blocks together: below the undocumented 13,200 at which Slack answers `msg_blocks_too_long`.
const TOTAL: usize = 12_000;

/// Blocks in a message.
const BLOCKS: usize = 50;

/// Longest title.
const TITLE: usize = 300;

/// Longest of `text` with blocks beside it: a notification shows less.
const SUMMARY: usize = 1_000;

/// Longest `text` that Slack does not split.
const WHOLE_TEXT: usize = 4_000;

/// What all questions of a message may weigh together.
const ASKS: usize = 5_000;

/// Questions in one message; more than one is rare.
const MOST_ASKS: usize = 5;

/// Parts that are shown; each is one block, a table two.
const MOST_PARTS: usize = 30;

/// Longest the typed command is in the context line.
const TYPED: usize = 150;

/// An operation's message. `key` and `seq` are its wish's, read back from the metadata after an unknown outcome.
pub fn message(output: &Redacted, about: &About, key: &MessageKey, seq: u64) -> Rendered {
    let line = context_line(output, about);
    let output = output.output();
    Rendered {
        text: summary(output),
        blocks: blocks(
            output,
            mark(
                output,
                about.operation.is_none() && about.incident.is_some(),
            ),
            &line,
        ),
        metadata: metadata(about, key, seq),
    }
}

/// What only one person sees: the same without whose it is.
pub fn ephemeral(output: &Redacted) -> Rendered {
    Rendered {
        text: summary(output.output()),
        blocks: blocks(
            output.output(),
            mark(output.output(), false),
            &removed(output).join(" · "),
        ),
        metadata: Value::Null,
    }
}

/// The whole as text alone, for when Slack does not take the blocks: the title, then everything in one fence that nothing inside
/// can close. At most 4,000 bytes.
pub fn plain(output: &Redacted) -> String {
    let title = title_text(output.output());
    // A fence inside would close ours; the modifier letter looks like a backtick and is none.
    let body = text::for_slack(output.output()).replace('`', "\u{2cb}");
    if body.is_empty() {
        return title;
    }
    let room = WHOLE_TEXT - title.len() - "\n```\n\n```".len();
    let body = head_and_tail(&body, room, |missing| {
        format!("\u{2026} {} between \u{2026}", counted(missing, "line"))
    });
    format!("{title}\n```\n{}\n```", escape(&body))
}

fn blocks(output: &Output, mark: &str, context_words: &str) -> Vec<Value> {
    let title = cut(&parts::line(&output.title), TITLE).into_owned();
    let head = if title.is_empty() {
        text::word(output.status)
    } else {
        &title
    };
    let first = rich::paragraph(Line::default().emoji(mark).plain(" ").sentence(head, true));
    let mut fixed = weigh(&first) + weight(context_words) + LEFT_OUT;
    let asks = ask_blocks(output);
    fixed += asks.iter().flatten().map(weigh).sum::<usize>();
    let mut blocks = vec![first];
    let (middle, left_out) = part_blocks(output, TOTAL.saturating_sub(fixed), asks);
    blocks.extend(middle);
    if left_out > 0 {
        let said = format!(
            "{} left out, there is no room",
            counted(left_out, "more part")
        );
        blocks.push(context(&said));
    }
    if !context_words.is_empty() {
        blocks.push(context(context_words));
    }
    debug_assert!(blocks.len() <= BLOCKS);
    blocks
}

/// Room kept for saying that something was left out.
const LEFT_OUT: usize = 60;

/// The blocks of each question, in order. Buttons come first in the division of the room: without them nobody can answer.
fn ask_blocks(output: &Output) -> Vec<Vec<Value>> {
    let mut numbers = ask::Numbers::default();
    let asks = output.parts.iter().filter_map(|part| match part {
        Part::Ask { question, choices } => Some((question, choices)),
        _ => None,
    });
    let mut left = ASKS;
    asks.take(MOST_ASKS)
        .map(|(question, choices)| {
            let blocks = ask::blocks(question, choices, left, &mut numbers);
            left = left.saturating_sub(blocks.iter().map(weigh).sum());
            blocks
        })
        .collect()
}

/// The parts in order, each within its fair share of the room, and how many had none.
fn part_blocks(output: &Output, total: usize, asks: Vec<Vec<Value>>) -> (Vec<Value>, usize) {
    let file_below = output
        .parts
        .iter()
        .any(|part| matches!(part, Part::File { .. }));
    let is_ask = |part: &Part| matches!(part, Part::Ask { .. });
    let table_at = output.parts.iter().position(parts::wants_table);
    let shown: Vec<usize> = (0..output.parts.len())
        .filter(|&index| !is_ask(&output.parts[index]))
        .take(MOST_PARTS)
        .collect();
    let render = |index: usize, limit: usize| {
        let room = Room {
            limit,
            table_free: table_at == Some(index),
            file_below,
        };
        parts::blocks(&output.parts[index], room)
    };
    let wished: Vec<Vec<Value>> = shown.iter().map(|&index| render(index, total)).collect();
    let weights: Vec<usize> = wished
        .iter()
        .map(|blocks| blocks.iter().map(weigh).sum())
        .collect();
    let given = share(&weights, total);
    let shares = weights.into_iter().zip(given);
    let mut shown = shown.into_iter().zip(wished).zip(shares).peekable();
    let mut asks = asks.into_iter();
    let (mut blocks, mut left_out) = (Vec::new(), 0);
    for (index, part) in output.parts.iter().enumerate() {
        if is_ask(part) {
            match asks.next() {
                Some(ask) => blocks.extend(ask),
                None => left_out += 1,
            }
        } else if let Some(((_, as_wished), (wanted, given))) =
            shown.next_if(|((at, _), _)| *at == index)
        {
            // What has the room it wished for is there already; for a smaller share it is rendered again.
            if given == wanted {
                blocks.extend(as_wished);
            } else {
                blocks.extend(render(index, given));
            }
        } else {
            left_out += 1;
        }
    }
    (blocks, left_out)
}

/// What a block weighs: every string of it that a person could see or Slack could count.
fn weigh(block: &Value) -> usize {
    match block {
        Value::String(text) => weight(text),
        Value::Array(items) => items.iter().map(weigh).sum(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| {
                !matches!(name.as_str(), "type" | "style" | "block_id" | "action_id")
            })
            .map(|(_, value)| weigh(value))
            .sum(),
        _ => 0,
    }
}

/// A small grey line of mrkdwn that is escaped already.
fn context(words: &str) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": words, "verbatim": true}]})
}

/// What stands before the title. A lock is for what waits for a yes: not for an incident's card, which waits for people, nor for
/// the question which incident was meant.
fn mark(output: &Output, card: bool) -> &'static str {
    let chooses = |part: &Part| matches!(part, Part::Ask { choices, .. } if choices.iter().any(|choice| choice.action == Action::Choose));
    match output.status {
        Status::Waiting if card => "rotating_light",
        Status::Waiting if output.parts.iter().any(chooses) => "question",
        status => emoji(status),
    }
}

fn emoji(status: Status) -> &'static str {
    match status {
        Status::Done => "white_check_mark",
        Status::Partly => "warning",
        Status::Failed => "x",
        Status::Refused => "no_entry",
        Status::Waiting => "lock",
        Status::Running => "hourglass_flowing_sand",
        Status::Cancelled => "octagonal_sign",
        Status::Interrupted => "grey_question",
    }
}

/// The title as mrkdwn: escaped, on one line, without marks that would open a code span or fence.
fn title_text(output: &Output) -> String {
    let title = parts::line(&output.title).replace('`', "'");
    let title = escape(&cut(&title, TITLE));
    if title.is_empty() {
        format!("habops: {}", text::word(output.status))
    } else {
        title
    }
}

/// The title first: it is what a phone shows.
fn summary(output: &Output) -> String {
    let mut said = title_text(output);
    for part in &output.parts {
        let (Part::Text(more) | Part::Ask { question: more, .. }) = part else {
            continue;
        };
        let more = parts::paragraph(more).replace('`', "'");
        let room = SUMMARY.saturating_sub(said.len() + 1);
        let more = escape(&cut(&more, room));
        if more.is_empty() {
            continue;
        }
        said.push('\n');
        said.push_str(&more);
    }
    said
}

fn metadata(about: &About, key: &MessageKey, seq: u64) -> Value {
    let mut payload = Map::new();
    if let Some(operation) = about.operation {
        payload.insert("operation".to_owned(), json!(operation.to_string()));
    }
    payload.insert("seq".to_owned(), json!(seq));
    payload.insert("state".to_owned(), json!(about.state));
    payload.insert("key".to_owned(), json!(key.0));
    json!({"event_type": EVENT_TYPE, "event_payload": payload})
}

/// `op-17 · status live/api · asked by <@U1> · 2026-11-23 03:04 UTC · …`: whose it is, in mrkdwn that is escaped here.
fn context_line(output: &Redacted, about: &About) -> String {
    let mut words = Vec::new();
    if let Some(operation) = about.operation {
        words.push(operation.to_string());
    } else if let Some(incident) = about.incident {
        words.push(incident.to_string());
    }
    let typed = parts::line(&about.typed).replace('`', "'");
    if !typed.is_empty() {
        // As code, because `live-builder-*` would be half a bold word.
        words.push(format!("`{}`", escape(&cut(&typed, TYPED))));
    }
    words.push(format!("asked by {}", person(&about.actor)));
    words.push(moment(about.at));
    words.extend(removed(output));
    if about.back_filled {
        words.push("back-filled".to_owned());
    }
    words.join(" · ")
}

/// A mention, where the actor is a person of Slack with an id that looks like one; else a name.
fn person(actor: &Actor) -> String {
    if let Some(user) = actor.user() {
        let id = user.as_str();
        let sound = id.starts_with(['U', 'W'])
            && id.len() <= 32
            && id
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        if sound {
            return format!("<@{id}>");
        }
    }
    escape(&cut(&parts::line(&actor.to_string()), 60))
}

/// UTC with its date, and the same moment where the reader is.
fn moment(at: Timestamp) -> String {
    let utc = at.to_zoned(TimeZone::UTC);
    let here = utc.strftime("%H:%M UTC");
    format!(
        "{} · <!date^{}^{{date_short_pretty}} {{time}} your time|{here}>",
        utc.strftime("%Y-%m-%d %H:%M UTC"),
        at.as_second(),
    )
}

fn removed(output: &Redacted) -> Vec<String> {
    let count = usize::try_from(output.removed()).unwrap_or(usize::MAX);
    if count == 0 {
        return Vec::new();
    }
    vec![format!("{} removed", counted(count, "secret"))]
}
