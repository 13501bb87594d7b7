//! Slack's `rich_text`: what stands in it is plain data, parsed by nobody, so no text can ping, link or end a fence.

use serde_json::{Map, Value, json};

use crate::render::measure::{cut, weight};

/// Most code spans read out of one paragraph; beyond them backticks are backticks.
const CODE_SPANS: usize = 24;

/// The elements of one section.
#[derive(Default)]
pub(super) struct Line(Vec<Value>);

impl Line {
    pub(super) fn plain(mut self, text: &str) -> Self {
        self.push(text, None);
        self
    }

    pub(super) fn bold(mut self, text: &str) -> Self {
        self.push(text, Some("bold"));
        self
    }

    pub(super) fn italic(mut self, text: &str) -> Self {
        self.push(text, Some("italic"));
        self
    }

    pub(super) fn code(mut self, text: &str) -> Self {
        self.push(text, Some("code"));
        self
    }

    pub(super) fn emoji(mut self, name: &str) -> Self {
        self.0.push(json!({"type": "emoji", "name": name}));
        self
    }

    pub(super) fn link(mut self, url: &str, label: &str) -> Self {
        self.0
            .push(json!({"type": "link", "url": url, "text": label}));
        self
    }

    /// A sentence in which `` `words` `` are code, as our own sentences write commands.
    pub(super) fn sentence(mut self, text: &str, bold: bool) -> Self {
        let style = bold.then_some("bold");
        let (mut rest, mut spans) = (text, 0);
        while spans < CODE_SPANS
            && let Some((before, code, after)) = code_span(rest)
        {
            self.push(before, style);
            self.push(code, Some("code"));
            rest = after;
            spans += 1;
        }
        self.push(rest, style);
        self
    }

    fn push(&mut self, text: &str, style: Option<&str>) {
        // Slack refuses an empty text element.
        if text.is_empty() {
            return;
        }
        self.0.push(match style {
            None => json!({"type": "text", "text": text}),
            Some(style) => json!({"type": "text", "text": text, "style": {style: true}}),
        });
    }

    pub(super) fn section(self) -> Value {
        holding("rich_text_section", self.0)
    }
}

fn code_span(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, after) = rest.split_once('`')?;
    let whole = !code.is_empty() && !code.contains('\n') && !after.starts_with('`');
    whole.then_some((before, code, after))
}

/// Text as a machine wrote it.
pub(super) fn preformatted(text: &str) -> Value {
    let text = if text.is_empty() { "(empty)" } else { text };
    json!({"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]})
}

/// A block of such elements.
pub(super) fn block(elements: Vec<Value>) -> Value {
    holding("rich_text", elements)
}

/// What `json!` makes too, which copies every element.
fn holding(kind: &str, elements: Vec<Value>) -> Value {
    let mut fields = Map::new();
    fields.insert("type".to_owned(), kind.into());
    fields.insert("elements".to_owned(), elements.into());
    fields.into()
}

/// A block of one section.
pub(super) fn paragraph(line: Line) -> Value {
    block(vec![line.section()])
}

const NOTE: &str = " (cut here)";

/// A paragraph cut to that weight, with a word about what is missing.
pub(super) fn cut_sentence(text: &str, limit: usize) -> Value {
    if weight(text) <= limit {
        return paragraph(Line::default().sentence(text, false));
    }
    let kept = cut(text, limit.saturating_sub(NOTE.len()));
    paragraph(Line::default().sentence(&kept, false).italic(NOTE))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Line;

    #[test]
    fn backticks_in_pairs_are_code_and_others_are_themselves() {
        assert_eq!(
            Line::default()
                .sentence("try `help`, not ``` or `", false)
                .section(),
            json!({"type": "rich_text_section", "elements": [
                {"type": "text", "text": "try "},
                {"type": "text", "text": "help", "style": {"code": true}},
                {"type": "text", "text": ", not ``` or `"},
            ]})
        );
    }
}
