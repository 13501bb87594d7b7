//! People: they type, press buttons, and read what Slack shows them.

use habops::sandbox::slack::{Clicked, Message, Typed};
use serde_json::{Value, json};

use super::{World, words, words_of};

/// Somebody, somewhere in Slack.
#[derive(Clone)]
pub struct Person<'w> {
    world: &'w World,
    /// The handle.
    pub name: String,
    channel: String,
    thread: Option<String>,
}

/// What became of something typed.
#[derive(Debug)]
pub struct Said {
    /// What the acknowledgement showed, if it was a slash command.
    pub ack: String,
    /// The operation that was made of it, as the acknowledgement names it.
    pub operation: String,
    /// As Slack tells it.
    pub typed: Typed,
}

impl<'w> Person<'w> {
    pub(super) fn new(world: &'w World, name: &str) -> Self {
        Self {
            world,
            name: name.to_owned(),
            channel: "operations".to_owned(),
            thread: None,
        }
    }

    /// Goes to another channel.
    pub fn at(&self, channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            thread: None,
            ..self.clone()
        }
    }

    /// Opens a thread of that channel.
    pub fn under(&self, root: &str) -> Self {
        Self {
            thread: Some(root.to_owned()),
            ..self.clone()
        }
    }

    /// Types a line and presses Return.
    pub async fn types(&self, text: &str) -> Said {
        let slack = self.world.slack();
        let typed = slack
            .types(&self.name, &self.channel, self.thread.as_deref(), text)
            .await;
        assert_eq!(typed.error, None, "{} types {text}", self.name);
        let ack = typed.ack.as_ref().map(words_of).unwrap_or_default();
        let operation = ack
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .find(|word| word.starts_with("op-"))
            .unwrap_or_default()
            .to_owned();
        Said {
            ack,
            operation,
            typed,
        }
    }

    /// Types a slash command that is understood, and waits until its end is to be seen by all.
    pub async fn runs(&self, text: &str) -> Message {
        let said = self.types(text).await;
        assert!(!said.operation.is_empty(), "{text}: {}", said.ack);
        let ended = self.world.ended(&said.operation).await;
        self.world.shows(&said.operation, ended.state.word()).await
    }

    /// Types a slash command that needs a yes: its operation, and its card.
    pub async fn proposes(&self, text: &str) -> (String, Message) {
        let said = self.types(text).await;
        let card = self.world.shows(&said.operation, "awaiting").await;
        (said.operation, card)
    }

    /// Waits for something that only they see and that holds these words; the acknowledgements are among it.
    pub async fn hears(&self, wanted: &str) -> Message {
        let what = format!("{} to be told `{wanted}`", self.name);
        self.world
            .until(&what, |slack| {
                let mut own = slack.ephemerals(&self.name).into_iter();
                own.find(|message| words(message).contains(wanted))
            })
            .await
    }

    /// Presses the button of that label.
    pub async fn presses(&self, message: &Message, label: &str) -> Clicked {
        let (block, action) = button(message, label)
            .unwrap_or_else(|| panic!("no button `{label}` on: {}", words(message)));
        let slack = self.world.slack();
        let clicked = slack
            .uses(
                &self.name,
                &message.channel,
                &message.ts,
                Some(&block),
                &action,
                None,
            )
            .await;
        assert_eq!(clicked.error, None, "{} presses {label}", self.name);
        clicked
    }

    /// Uses the message shortcut and fills in its form.
    pub async fn asks_about(&self, message: &Message, command: &str) {
        let slack = self.world.slack();
        let clicked = slack
            .shortcut(&self.name, &message.channel, &message.ts, "habops_message")
            .await;
        assert_eq!(clicked.error, None);
        let view = self
            .world
            .until("the form", |slack| slack.view(&self.name))
            .await;
        let input = view["blocks"][0].clone();
        let (block, action) = (&input["block_id"], &input["element"]["action_id"]);
        let values = json!({
            block.as_str().unwrap(): { action.as_str().unwrap(): command }
        });
        let submitted = slack
            .submits(&self.name, view["id"].as_str().unwrap(), &values)
            .await;
        assert_eq!(submitted.error, None);
    }
}

/// Where the button of that label is: its block and its action.
pub fn button(message: &Message, label: &str) -> Option<(String, String)> {
    let blocks = message.blocks.as_ref()?.as_array()?;
    blocks.iter().find_map(|block| {
        let elements = block["elements"].as_array().into_iter().flatten();
        let mut all = elements.chain([&block["accessory"]]);
        let found = all.find(|element| {
            let text = element["text"]["text"].as_str();
            element["type"] == "button" && text == Some(label)
        })?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some((word(&block["block_id"]), word(&found["action_id"])))
    })
}
