//! Slack in both directions: payloads become deliveries, wishes become messages.

pub mod http;
mod modal;
pub mod post;
mod reception;
pub mod socket;
pub mod translate;

use serde_json::{Value, json};

use crate::{
    domain::{
        journey::{Redacted, redact},
        output::Output,
        redact::Rules,
    },
    render::slack::{Rendered, ephemeral},
};

/// What only one person sees. Whoever made the output has redacted it by the configured rules; the built-in ones are applied once
/// more, because it has lost the type that proves it.
fn whisper(rules: &Rules, output: Output) -> Rendered {
    whispered(&redact(output, rules))
}

fn whispered(output: &Redacted) -> Rendered {
    ephemeral(output)
}

/// What a slash command's acknowledgement and a reply address take.
fn for_one(said: Rendered) -> Value {
    let mut body = json!({
        "response_type": "ephemeral",
        "replace_original": false,
        "text": said.text,
    });
    body["blocks"] = said.blocks.into();
    body
}

/// The rules that need no configuration.
fn built_in_rules() -> Rules {
    Rules::new([]).expect("the built-in rules alone are always good")
}
