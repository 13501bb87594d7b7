//! The parts of blocks: elements, options, text objects, and the lengths and counts that Slack holds them to.

use serde_json::Value;

/// What is wrong with a list of blocks, gathered on the way through it.
#[derive(Default)]
pub(super) struct Check {
    /// In Slack's words, each with its pointer.
    pub(super) messages: Vec<String>,
    /// How much standard Markdown there has been so far, in characters.
    pub(super) markdown: usize,
}

impl Check {
    pub(super) fn element(&mut self, element: &Value, path: &str) {
        self.length(element, "action_id", 0, 255, path);
        if let Some(confirm) = element.get("confirm") {
            let path = format!("{path}/confirm");
            self.text(confirm, "title", 100, &path, true, true);
            self.text(confirm, "text", 300, &path, false, true);
            self.text(confirm, "confirm", 30, &path, true, true);
            self.text(confirm, "deny", 30, &path, true, true);
        }
        match element["type"].as_str().unwrap_or_default() {
            "button" => {
                self.text(element, "text", 75, path, true, true);
                self.length(element, "value", 0, 2_000, path);
                self.length(element, "url", 0, 3_000, path);
                if let Some(style) = element.get("style")
                    && style != "primary"
                    && style != "danger"
                {
                    self.says(
                        "must be one of the allowed values: primary, danger",
                        &format!("{path}/style"),
                    );
                }
            }
            "static_select" | "multi_static_select" => {
                self.text(element, "placeholder", 150, path, true, false);
                if element.get("option_groups").is_some() {
                    self.items(element, "option_groups", 1, 100, path);
                    for (at, group) in list(element, "option_groups").iter().enumerate() {
                        let path = format!("{path}/option_groups/{at}");
                        self.text(group, "label", 75, &path, true, true);
                        self.options(group, 100, &path);
                    }
                } else {
                    self.options(element, 100, path);
                }
            }
            "overflow" => self.options(element, 5, path),
            "radio_buttons" | "checkboxes" => self.options(element, 10, path),
            "plain_text_input" => {
                self.length(element, "initial_value", 0, 3_000, path);
                self.text(element, "placeholder", 150, path, true, false);
            }
            "users_select"
            | "multi_users_select"
            | "conversations_select"
            | "multi_conversations_select"
            | "channels_select"
            | "multi_channels_select"
            | "external_select"
            | "multi_external_select"
            | "datepicker"
            | "timepicker"
            | "datetimepicker"
            | "email_text_input"
            | "url_text_input"
            | "number_input"
            | "rich_text_input"
            | "file_input"
            | "workflow_button"
            | "icon_button"
            | "feedback_buttons" => {}
            _ => self.unsupported(element["type"].as_str(), path),
        }
    }

    pub(super) fn options(&mut self, element: &Value, most: usize, path: &str) {
        self.items(element, "options", 1, most, path);
        for (at, option) in list(element, "options").iter().enumerate() {
            let path = format!("{path}/options/{at}");
            self.text(option, "text", 75, &path, false, true);
            self.length(option, "value", 1, 150, &path);
        }
    }

    pub(super) fn says(&mut self, what: &str, path: &str) {
        self.messages
            .push(format!("[ERROR] {what} [json-pointer:{path}]"));
    }

    /// A field that is a text object: `plain_text` only where `plain`.
    pub(super) fn text(
        &mut self,
        of: &Value,
        name: &str,
        most: usize,
        path: &str,
        plain: bool,
        needed: bool,
    ) {
        match of.get(name) {
            None if needed => self.says(&format!("missing required field: {name}"), path),
            None => {}
            Some(text) => self.text_object(text, most, &format!("{path}/{name}"), plain),
        }
    }

    pub(super) fn text_object(&mut self, text: &Value, most: usize, path: &str, plain: bool) {
        match text["type"].as_str() {
            Some("plain_text") => {}
            Some("mrkdwn") if !plain => {}
            other => self.unsupported(other, path),
        }
        match text["text"].as_str() {
            None => self.says("missing required field: text", path),
            Some(_) => self.length(text, "text", 1, most, path),
        }
    }

    /// A word field of so many characters, if it is there; one that needs at least one must be.
    pub(super) fn length(&mut self, of: &Value, name: &str, least: usize, most: usize, path: &str) {
        let Some(value) = of.get(name) else {
            if least > 0 {
                self.says(&format!("missing required field: {name}"), path);
            }
            return;
        };
        let Some(text) = value.as_str() else {
            self.says("must be a string", &format!("{path}/{name}"));
            return;
        };
        let length = text.chars().count();
        if length < least {
            self.says(
                &format!("must be more than {} characters", least - 1),
                &format!("{path}/{name}"),
            );
        }
        if length > most {
            self.says(
                &format!("must be less than {} characters", most + 1),
                &format!("{path}/{name}"),
            );
        }
    }

    pub(super) fn items(&mut self, of: &Value, name: &str, least: usize, most: usize, path: &str) {
        let Some(items) = of[name].as_array() else {
            self.says(&format!("missing required field: {name}"), path);
            return;
        };
        if items.len() < least {
            self.says("no fewer than 1 items allowed", &format!("{path}/{name}"));
        }
        if items.len() > most {
            self.says(
                &format!("no more than {most} items allowed"),
                &format!("{path}/{name}"),
            );
        }
    }

    pub(super) fn unsupported(&mut self, kind: Option<&str>, path: &str) {
        match kind {
            Some(kind) => self.says(
                &format!("unsupported type: {kind}"),
                &format!("{path}/type"),
            ),
            None => self.says("missing required field: type", path),
        }
    }
}

/// The array of that name, or nothing.
pub(super) fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}
