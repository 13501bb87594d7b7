//! The form of the message shortcut: one line to type, because slash commands do not work in threads.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::translate::SHORTCUT;
use crate::domain::{ids::MessageTs, place::Place};

const BLOCK: &str = "habops_words";
const INPUT: &str = "words";
/// Longest line that the form takes; Slack allows no more.
const MOST_WORDS: usize = 3_000;

/// Where the shortcut was used; travels in the form, which only the app and Slack can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct At {
    /// The thread of the message.
    pub(super) place: Place,
    /// The message itself.
    pub(super) message: MessageTs,
}

/// The form.
pub(super) fn view(at: &At) -> Value {
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    json!({
        "type": "modal",
        "callback_id": SHORTCUT,
        "private_metadata": json!(at).to_string(),
        "title": plain("habops"),
        "submit": plain("Run"),
        "close": plain("Cancel"),
        "blocks": [{
            "type": "input",
            "block_id": BLOCK,
            "label": plain("Command"),
            "hint": plain("As after /habops. The answer comes in this message's thread, or in the open incident."),
            "element": {
                "type": "plain_text_input",
                "action_id": INPUT,
                "max_length": MOST_WORDS,
                "focus_on_load": true,
                "placeholder": plain("status api"),
            },
        }],
    })
}

/// What a submitted form says of where it was opened.
pub(super) fn at(view: &Value) -> Option<At> {
    serde_json::from_str(view.get("private_metadata")?.as_str()?).ok()
}

/// The words of a submitted form.
pub(super) fn words(view: &Value) -> Option<&str> {
    view.get("state")?
        .get("values")?
        .get(BLOCK)?
        .get(INPUT)?
        .get("value")?
        .as_str()
}

/// The answer to a form without words: it stays open and says so.
pub(super) fn wordless() -> Value {
    json!({"response_action": "errors", "errors": {BLOCK: "Type a command, for example: status api"}})
}
