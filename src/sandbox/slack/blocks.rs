//! Slack's own check of Block Kit: every limit, refused in the words and with the pointers that Slack uses.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    args::Refused,
    elements::{Check, list},
};

/// Slack's undocumented limit on all text of a message's blocks together.
const ALL_TEXT: usize = 13_200;
/// Its limit on the text of a message's table cells together.
const ALL_CELLS: usize = 10_000;

/// Where blocks are shown; the number allowed differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Message,
    Modal,
    Home,
}

/// Checks the blocks and gives each the ids that Slack would give it.
pub(super) fn admit(blocks: &mut Value, place: Place) -> Result<(), Refused> {
    let Some(list) = blocks.as_array_mut() else {
        return Err("invalid_blocks_format".into());
    };
    let mut check = Check::default();
    let most = if place == Place::Message { 50 } else { 100 };
    if list.len() > most {
        check.says(&format!("no more than {most} items allowed"), "/blocks");
    }
    let mut ids = HashSet::new();
    let mut tables = 0;
    for (at, block) in list.iter_mut().enumerate() {
        let path = format!("/blocks/{at}");
        check.block(block, &path);
        if block["type"] == "table" {
            tables += 1;
            if all_text(block) > ALL_CELLS {
                let most = format!("no more than {ALL_CELLS} characters allowed in all cells");
                check.says(&most, &format!("{path}/rows"));
            }
        }
        if let Some(id) = block["block_id"].as_str()
            && !ids.insert(id.to_owned())
        {
            check.says("block_id must be unique", &format!("{path}/block_id"));
        }
    }
    if tables > 1 {
        check.says("only_one_table_allowed", "/blocks");
    }
    if !check.messages.is_empty() {
        return Err(Refused::with_messages("invalid_blocks", check.messages));
    }
    if place == Place::Message && all_text(blocks) > ALL_TEXT {
        return Err("msg_blocks_too_long".into());
    }
    name_all(blocks);
    Ok(())
}

/// How many characters of text there are in a value, at any depth.
fn all_text(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(all_text).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) if name == "text" => text.chars().count(),
                value => all_text(value),
            })
            .sum(),
        _ => 0,
    }
}

/// Blocks without a `block_id` and actions without an `action_id` get one.
fn name_all(blocks: &mut Value) {
    for block in blocks.as_array_mut().into_iter().flatten() {
        give(block, "block_id");
        if block["type"] == "actions" {
            for element in block["elements"].as_array_mut().into_iter().flatten() {
                give(element, "action_id");
            }
        }
        for part in ["accessory", "element"] {
            if let Some(element) = block.get_mut(part)
                && element["type"] != "image"
            {
                give(element, "action_id");
            }
        }
    }
}

fn give(thing: &mut Value, id: &str) {
    if thing[id].is_null() && thing.is_object() {
        thing[id] = json!(format!("{:05x}", rand::random_range(0..0x000F_FFFF)));
    }
}

impl Check {
    fn block(&mut self, block: &Value, path: &str) {
        let kind = block["type"].as_str().unwrap_or_default();
        self.length(block, "block_id", 0, 255, path);
        match kind {
            "section" => self.section(block, path),
            "header" => {
                self.text(block, "text", 150, path, true, true);
            }
            "image" => self.image(block, path),
            "actions" => {
                self.items(block, "elements", 1, 25, path);
                self.elements(block, path);
            }
            "context" => {
                self.items(block, "elements", 1, 10, path);
                for (at, element) in list(block, "elements").iter().enumerate() {
                    let path = format!("{path}/elements/{at}");
                    match element["type"].as_str() {
                        Some("image") => self.image(element, &path),
                        Some("mrkdwn" | "plain_text") => {
                            self.text_object(element, 3_000, &path, false);
                        }
                        other => self.unsupported(other, &path),
                    }
                }
            }
            "input" => {
                self.text(block, "label", 2_000, path, true, true);
                self.text(block, "hint", 2_000, path, true, false);
                match block.get("element") {
                    Some(element) => self.element(element, &format!("{path}/element")),
                    None => self.says("missing required field: element", path),
                }
            }
            "rich_text" => self.rich_text(block, path),
            "table" => self.table(block, path),
            "markdown" => {
                self.length(block, "text", 1, 12_000, path);
                self.markdown += block["text"]
                    .as_str()
                    .map_or(0, |text| text.chars().count());
                if self.markdown > 12_000 {
                    self.says(
                        "must be less than 12001 characters",
                        &format!("{path}/text"),
                    );
                }
            }
            // All but the divider are known to Slack and not checked here: nothing in this project sends them.
            "divider" | "file" | "video" | "alert" | "card" | "carousel" | "container"
            | "context_actions" | "plan" | "task_card" | "data_table" | "data_visualization" => {}
            _ => self.unsupported(block["type"].as_str(), path),
        }
    }

    fn section(&mut self, block: &Value, path: &str) {
        if block.get("text").is_none() && block.get("fields").is_none() {
            self.says("missing required field: text or fields", path);
        }
        self.text(block, "text", 3_000, path, false, false);
        if block.get("fields").is_some() {
            self.items(block, "fields", 1, 10, path);
            for (at, field) in list(block, "fields").iter().enumerate() {
                self.text_object(field, 2_000, &format!("{path}/fields/{at}"), false);
            }
        }
        if let Some(accessory) = block.get("accessory") {
            let path = format!("{path}/accessory");
            if accessory["type"] == "image" {
                self.image(accessory, &path);
            } else {
                self.element(accessory, &path);
            }
        }
    }

    fn image(&mut self, image: &Value, path: &str) {
        if image.get("slack_file").is_none() {
            self.length(image, "image_url", 1, 3_000, path);
        }
        self.length(image, "alt_text", 1, 2_000, path);
        self.text(image, "title", 2_000, path, true, false);
    }

    fn elements(&mut self, block: &Value, path: &str) {
        let mut ids = HashSet::new();
        for (at, element) in list(block, "elements").iter().enumerate() {
            let path = format!("{path}/elements/{at}");
            self.element(element, &path);
            if let Some(id) = element["action_id"].as_str()
                && !ids.insert(id)
            {
                self.says(
                    &format!("`action_id` \"{id}\" already exists"),
                    &format!("{path}/action_id"),
                );
            }
        }
    }

    fn rich_text(&mut self, block: &Value, path: &str) {
        self.items(block, "elements", 1, usize::MAX, path);
        for (at, element) in list(block, "elements").iter().enumerate() {
            let path = format!("{path}/elements/{at}");
            match element["type"].as_str() {
                Some("rich_text_section" | "rich_text_preformatted" | "rich_text_quote") => {
                    self.rich_words(element, &path);
                }
                Some("rich_text_list") => {
                    for (at, item) in list(element, "elements").iter().enumerate() {
                        self.rich_words(item, &format!("{path}/elements/{at}"));
                    }
                }
                other => self.unsupported(other, &path),
            }
        }
    }

    fn rich_words(&mut self, element: &Value, path: &str) {
        if list(element, "elements").is_empty() {
            self.says("missing element", path);
        }
        for (at, word) in list(element, "elements").iter().enumerate() {
            let path = format!("{path}/elements/{at}");
            let needed = match word["type"].as_str() {
                Some("text") => "text",
                Some("link") => "url",
                Some("emoji") => "name",
                Some("user") => "user_id",
                Some("channel") => "channel_id",
                Some("usergroup") => "usergroup_id",
                Some("broadcast") => "range",
                Some("date") => "format",
                Some("color") => "value",
                other => {
                    self.unsupported(other, &path);
                    continue;
                }
            };
            match word.get(needed) {
                None => self.says(&format!("missing required field: {needed}"), &path),
                Some(_) => self.length(word, needed, 1, usize::MAX, &path),
            }
        }
    }

    fn table(&mut self, block: &Value, path: &str) {
        self.items(block, "rows", 1, 100, path);
        if block.get("column_settings").is_some() {
            self.items(block, "column_settings", 0, 20, path);
        }
        for (at, row) in list(block, "rows").iter().enumerate() {
            let path = format!("{path}/rows/{at}");
            let cells = row.as_array().map_or(&[][..], Vec::as_slice);
            if cells.len() > 20 {
                self.says("no more than 20 items allowed", &path);
            }
            for (at, cell) in cells.iter().enumerate() {
                let path = format!("{path}/{at}");
                match cell["type"].as_str() {
                    Some("raw_text") => self.length(cell, "text", 1, usize::MAX, &path),
                    Some("raw_number") if cell["value"].is_number() => {}
                    Some("raw_number") => self.says("missing required field: value", &path),
                    Some("rich_text") => self.rich_text(cell, &path),
                    other => self.unsupported(other, &path),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn refusal(blocks: Value) -> Refused {
        let mut blocks = blocks;
        admit(&mut blocks, Place::Message).unwrap_err()
    }

    fn mrkdwn(length: usize) -> Value {
        json!({"type": "mrkdwn", "text": "x".repeat(length)})
    }

    fn plain(length: usize) -> Value {
        json!({"type": "plain_text", "text": "x".repeat(length)})
    }

    #[rstest]
    #[case::section(json!({"type": "section", "text": mrkdwn(3_001)}), "must be less than 3001 characters", "/blocks/0/text/text")]
    #[case::empty(json!({"type": "section", "text": mrkdwn(0)}), "must be more than 0 characters", "/blocks/0/text/text")]
    #[case::fields(json!({"type": "section", "fields": vec![mrkdwn(1); 11]}), "no more than 10 items allowed", "/blocks/0/fields")]
    #[case::field(json!({"type": "section", "fields": [mrkdwn(2_001)]}), "must be less than 2001 characters", "/blocks/0/fields/0/text")]
    #[case::header(json!({"type": "header", "text": plain(151)}), "must be less than 151 characters", "/blocks/0/text/text")]
    #[case::header_mrkdwn(json!({"type": "header", "text": mrkdwn(5)}), "unsupported type: mrkdwn", "/blocks/0/text/type")]
    #[case::context(json!({"type": "context", "elements": vec![mrkdwn(1); 11]}), "no more than 10 items allowed", "/blocks/0/elements")]
    #[case::button(json!({"type": "actions", "elements": [{"type": "button", "text": plain(76)}]}), "must be less than 76 characters", "/blocks/0/elements/0/text/text")]
    #[case::value(json!({"type": "actions", "elements": [{"type": "button", "text": plain(1), "value": "x".repeat(2_001)}]}), "must be less than 2001 characters", "/blocks/0/elements/0/value")]
    #[case::action(json!({"type": "actions", "elements": [{"type": "button", "text": plain(1), "action_id": "x".repeat(256)}]}), "must be less than 256 characters", "/blocks/0/elements/0/action_id")]
    #[case::confirm(json!({"type": "actions", "elements": [{"type": "button", "text": plain(1), "confirm": {"title": plain(101), "text": mrkdwn(1), "confirm": plain(1), "deny": plain(1)}}]}), "must be less than 101 characters", "/blocks/0/elements/0/confirm/title/text")]
    #[case::rows(json!({"type": "table", "rows": vec![json!([{"type": "raw_text", "text": "x"}]); 101]}), "no more than 100 items allowed", "/blocks/0/rows")]
    #[case::cells(json!({"type": "table", "rows": [vec![json!({"type": "raw_text", "text": "x"}); 21]]}), "no more than 20 items allowed", "/blocks/0/rows/0")]
    #[case::word(json!({"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": ""}]}]}), "must be more than 0 characters", "/blocks/0/elements/0/elements/0/text")]
    #[case::unknown(json!({"type": "sparkle"}), "unsupported type: sparkle", "/blocks/0/type")]
    fn a_block_past_its_limit_is_refused_with_a_pointer(
        #[case] block: Value,
        #[case] what: &str,
        #[case] pointer: &str,
    ) {
        let refusal = refusal(json!([block]));
        assert_eq!(refusal.error, "invalid_blocks");
        let message = format!("[ERROR] {what} [json-pointer:{pointer}]");
        assert_eq!(refusal.messages, [message]);
    }

    #[test]
    fn more_than_fifty_blocks_are_refused() {
        let refusal = refusal(json!(vec![json!({"type": "divider"}); 51]));
        assert_eq!(
            refusal.messages,
            ["[ERROR] no more than 50 items allowed [json-pointer:/blocks]"]
        );
    }

    #[test]
    fn all_text_together_has_its_own_limit() {
        let section = json!({"type": "section", "text": mrkdwn(2_900)});
        assert_eq!(
            refusal(json!(vec![section; 5])).error,
            "msg_blocks_too_long"
        );
    }

    #[test]
    fn a_second_table_is_refused() {
        let table = json!({"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]});
        let refusal = refusal(json!([table, table]));
        assert!(refusal.messages[0].contains("only_one_table_allowed"));
    }

    #[test]
    fn blocks_at_their_limits_pass_and_get_ids() {
        let mut blocks = json!([
            {"type": "section", "text": mrkdwn(3_000)},
            {"type": "header", "text": plain(150)},
            {"type": "actions", "elements": [{"type": "button", "text": plain(75), "value": "x"}]},
        ]);
        admit(&mut blocks, Place::Message).unwrap();
        assert!(blocks[0]["block_id"].is_string());
        assert!(blocks[2]["elements"][0]["action_id"].is_string());
    }
}
