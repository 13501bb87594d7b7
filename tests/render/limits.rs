//! Slack's limits and what may not be in a message, written from facts and not from the renderer.

use std::collections::BTreeSet;

use habops::{domain::output::Action, render::slack::Rendered};
use serde_json::Value;

#[derive(Default)]
struct Faults {
    found: Vec<String>,
    ids: BTreeSet<String>,
    total: usize,
}

/// What is wrong with a message.
pub fn faults(rendered: &Rendered) -> Vec<String> {
    let mut faults = Faults::default();
    let text = &rendered.text;
    faults.when(text.trim().is_empty(), "the text is empty");
    faults.when(text.len() > 4_000, "the text is longer than 4,000");
    faults.when(
        text.contains(['<', '>', '`']),
        "the text could mention, link or open a fence",
    );
    faults.when(rendered.blocks.is_empty(), "there are no blocks");
    faults.when(rendered.blocks.len() > 50, "more than 50 blocks");
    let of_kind = |kind: &str| rendered.blocks.iter().filter(|b| b["type"] == kind).count();
    faults.when(of_kind("table") > 1, "more than one table");
    for block in &rendered.blocks {
        faults.block(block);
        walk(block, "", &mut |at, value| {
            faults.element(value);
            faults.string(at, value);
        });
    }
    let total = faults.total;
    faults.when(
        total > 12_000,
        &format!("{total} characters over all blocks"),
    );
    faults.found
}

fn walk(value: &Value, at: &str, see: &mut dyn FnMut(&str, &Value)) {
    see(at, value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, at, see)),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, field)| walk(field, name, see)),
        _ => {}
    }
}

fn count(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

impl Faults {
    fn when(&mut self, bad: bool, what: &str) {
        if bad {
            self.found.push(what.to_owned());
        }
    }

    fn block(&mut self, block: &Value) {
        match block["type"].as_str().unwrap() {
            "rich_text" => self.when(count(&block["elements"]) == 0, "an empty rich text"),
            "table" => {
                let rows = block["rows"].as_array().unwrap();
                self.when(rows.len() > 100, "more than 100 rows");
                let widths: BTreeSet<usize> = rows.iter().map(count).collect();
                self.when(widths.len() != 1, "rows of different widths");
                let odd = widths.iter().any(|&width| width == 0 || width > 20);
                self.when(odd, "not 1 to 20 columns");
            }
            "actions" => {
                let buttons = count(&block["elements"]);
                self.when(buttons == 0 || buttons > 25, "not 1 to 25 buttons");
                let fresh = self.ids.insert(block["block_id"].to_string());
                self.when(!fresh, "a block id twice");
            }
            "context" => {
                let elements = count(&block["elements"]);
                self.when(elements == 0 || elements > 10, "not 1 to 10 in a context");
            }
            other => self.when(true, &format!("an unknown block {other}")),
        }
    }

    fn element(&mut self, value: &Value) {
        let text = value["text"].as_str().unwrap_or_default();
        match value["type"].as_str().unwrap_or_default() {
            "user" | "usergroup" | "channel" | "broadcast" | "team" => {
                self.when(true, "an element that mentions");
            }
            "mrkdwn" => {
                // What is left when our own mention and date are taken out may hold no markup at all.
                let date = "<!date^1795403040^{date_short_pretty} {time} your time|03:04 UTC>";
                let plain = text.replace("<@U1>", "").replace(date, "");
                let markup = plain.contains(['<', '>']);
                self.when(markup, &format!("unescaped mrkdwn: {text}"));
                let open = !text.matches('`').count().is_multiple_of(2) || text.contains("```");
                self.when(open, &format!("an open code span: {text}"));
            }
            "plain_text" => {
                let markup = text.contains(['<', '>']);
                self.when(markup, &format!("markup in plain text: {text}"));
            }
            "link" => {
                let url = value["url"].as_str().unwrap();
                let sound = url.starts_with("https://") || url.starts_with("http://");
                self.when(!sound || url.len() > 3_000, "a link that is none");
            }
            "button" => self.button(value),
            _ => {}
        }
    }

    fn button(&mut self, button: &Value) {
        let action = button["action_id"].as_str().unwrap();
        let fresh = self.ids.insert(action.to_owned());
        self.when(!fresh, "an action id twice");
        self.when(action.len() > 255, "an action id over 255");
        self.when(Action::of_id(action).is_none(), "an action nobody knows");
        let label = button["text"]["text"].as_str().unwrap();
        self.when(label.len() > 75, "a label over 75");
        let value = button["value"].as_str().unwrap();
        self.when(value.len() > 2_000, "a value over 2,000");
        let card = action.starts_with("habops.approve.") || action.starts_with("habops.deny.");
        let needs = button["style"] == "danger" && !card;
        let confirm = &button["confirm"];
        self.when(
            confirm.is_object() != needs,
            "a confirm too many or too few",
        );
        if !needs {
            return;
        }
        for (name, limit) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
            let text = confirm[name]["text"].as_str().unwrap_or_default();
            let odd = text.is_empty() || text.len() > limit;
            self.when(odd, &format!("a confirm {name} not 1 to {limit}"));
        }
    }

    fn string(&mut self, at: &str, value: &Value) {
        let Some(string) = value.as_str() else { return };
        if ["type", "style", "block_id", "action_id"].contains(&at) {
            return;
        }
        let escaped = string
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        self.total += escaped.len();
        self.when(string.is_empty(), &format!("an empty {at}"));
        self.when(escaped.len() > 3_000, &format!("a {at} over 3,000"));
        let unseen = |c: char| {
            c.is_control() && c != '\n' && c != '\t'
                || "\u{202e}\u{202d}\u{2066}\u{200b}\u{feff}".contains(c)
        };
        let hidden = string.contains(unseen);
        self.when(hidden, &format!("an unseen character in {at}: {string:?}"));
    }
}
