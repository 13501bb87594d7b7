//! A question with its buttons, and what to type when buttons fail.

use serde_json::{Value, json};

use super::{
    context, parts,
    rich::{self, Line},
};
use crate::{
    domain::output::{Action, Choice, Weight},
    render::measure::{counted, cut, escape, weight},
};

/// Buttons in one block.
const BUTTONS: usize = 25;

/// Longest question.
const QUESTION: usize = 1_500;

/// Longest label. Slack takes 75 and shows about 30.
const LABEL: usize = 75;

/// Longest value.
const VALUE: usize = 2_000;

/// Longest command shown under a question or in a confirmation.
const TYPED: usize = 160;

/// Commands in the line below; with more buttons than these the line is no help.
const HINTS: usize = 8;

/// Numbers the buttons and blocks of one message, so that no id comes twice.
#[derive(Default)]
pub(super) struct Numbers {
    buttons: usize,
    asks: usize,
}

/// The question, its buttons and the line below them; at most three blocks, weighing no more than that.
pub(super) fn blocks(
    question: &str,
    choices: &[Choice],
    limit: usize,
    numbers: &mut Numbers,
) -> Vec<Value> {
    let mut blocks = Vec::new();
    let question = cut(&parts::paragraph(question), QUESTION.min(limit / 3)).into_owned();
    if !question.is_empty() {
        blocks.push(rich::paragraph(Line::default().sentence(&question, true)));
    }
    let mut left = limit.saturating_sub(weight(&question) + LEFT_OUT);
    let (mut buttons, mut hints) = (Vec::new(), Vec::new());
    for choice in choices {
        let typed = parts::line(&choice.typed);
        let button = button(choice, &typed, numbers.buttons);
        let hint = hint(&typed);
        let cost = super::weigh(&button) + weight(&typed) + HINT;
        if buttons.len() == BUTTONS || choice.offer.len() > VALUE || cost > left {
            continue;
        }
        left -= cost;
        numbers.buttons += 1;
        buttons.push(button);
        hints.extend(hint.filter(|_| hints.len() < HINTS));
    }
    let missing = choices.len() - buttons.len();
    if !buttons.is_empty() {
        let id = format!("habops.ask.{}", numbers.asks);
        numbers.asks += 1;
        blocks.push(json!({"type": "actions", "block_id": id, "elements": buttons}));
    }
    let mut below = Vec::new();
    if !hints.is_empty() {
        below.push(format!("or type {}", hints.join(" · ")));
    }
    if missing > 0 {
        below.push(format!("{} left out", counted(missing, "more choice")));
    }
    if !below.is_empty() {
        blocks.push(context(&below.join(" · ")));
    }
    blocks
}

/// Room kept for saying how many choices are missing, and for what stands around a hint.
const LEFT_OUT: usize = 60;
const HINT: usize = 16;

fn hint(typed: &str) -> Option<String> {
    let shown = !typed.is_empty() && weight(typed) <= TYPED;
    shown.then(|| code(typed))
}

/// A command in mrkdwn's own code marks; the only mrkdwn that holds typed words.
fn code(typed: &str) -> String {
    format!("`/habops {}`", escape(&typed.replace('`', "'")))
}

fn button(choice: &Choice, typed: &str, number: usize) -> Value {
    let label = plain(&choice.label, LABEL);
    let label = if label.is_empty() {
        choice.action.word().to_owned()
    } else {
        label
    };
    let mut button = json!({
        "type": "button",
        "action_id": format!("habops.{}.{number}", choice.action.word()),
        "text": {"type": "plain_text", "text": label, "emoji": false},
        "value": choice.offer,
    });
    let style = match choice.weight {
        Weight::Plain => None,
        Weight::Primary => Some("primary"),
        Weight::Danger => Some("danger"),
    };
    if let Some(style) = style {
        button["style"] = json!(style);
    }
    // A card that asks for a yes is the confirmation already; asking twice teaches people to click twice.
    let is_card = matches!(choice.action, Action::Approve | Action::Deny);
    if choice.weight == Weight::Danger && !is_card {
        button["confirm"] = confirm(&label, typed);
    }
    button
}

fn confirm(label: &str, typed: &str) -> Value {
    let text = |text: String| json!({"type": "plain_text", "text": text, "emoji": false});
    let says = if typed.is_empty() {
        "This button changes something.".to_owned()
    } else {
        format!("The same as typing: /habops {}", plain(typed, TYPED))
    };
    json!({
        "title": text("Are you sure?".to_owned()),
        "text": text(says),
        "confirm": text(plain(label, 30)),
        "deny": text("Not now".to_owned()),
        "style": "danger",
    })
}

/// For `plain_text`, where entities are not sure to be read as such: angle brackets become their look-alikes.
fn plain(text: &str, limit: usize) -> String {
    let harmless = parts::line(text).replace('<', "‹").replace('>', "›");
    cut(&harmless, limit).into_owned()
}
