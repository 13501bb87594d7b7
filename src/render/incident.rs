//! An incident as a document: Markdown, one self-contained HTML page, or JSON lines. Times are UTC.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::json;

use crate::domain::incident::{Incident, IncidentState, TimelineEntry};

/// For the learning review, to paste as it is. `head` is the audit's newest hash.
pub fn markdown(incident: &Incident, timeline: &[TimelineEntry], head: &str) -> String {
    let mut text = format!("# {}: {}\n\n", incident.id, inline(&incident.title));
    for (name, value) in facts(incident, head) {
        let _ = writeln!(text, "- **{name}:** {}", inline(&value));
    }
    text.push_str("\n## Timeline (UTC)\n\n| time | who | what |\n| --- | --- | --- |\n");
    for entry in timeline {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            at(entry.at),
            inline(&entry.actor.to_string()),
            inline(&entry.text)
        );
    }
    text
}

/// The same as a page without any outside reference.
pub fn html(incident: &Incident, timeline: &[TimelineEntry], head: &str) -> String {
    const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d1c1d}\
        table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left;vertical-align:top}\
        td:first-child{white-space:nowrap;font-variant-numeric:tabular-nums}dt{font-weight:600}dd{margin:0 0 .4rem}";
    let title = escaped(&format!("{}: {}", incident.id, incident.title));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<dl>\n"
    );
    for (name, value) in facts(incident, head) {
        let _ = writeln!(
            page,
            "<dt>{}</dt><dd>{}</dd>",
            escaped(name),
            escaped(&value)
        );
    }
    page.push_str("</dl>\n<h2>Timeline (UTC)</h2>\n<table><thead><tr><th>time</th><th>who</th><th>what</th></tr></thead><tbody>\n");
    for entry in timeline {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            at(entry.at),
            escaped(&entry.actor.to_string()),
            escaped(&entry.text)
        );
    }
    page.push_str("</tbody></table>\n</body></html>\n");
    page
}

/// For machines: the incident, then each line of its timeline.
pub fn jsonl(incident: &Incident, timeline: &[TimelineEntry], head: &str) -> String {
    let mut text = format!("{}\n", json!({ "incident": incident, "audit_head": head }));
    for entry in timeline {
        let _ = writeln!(text, "{}", json!(entry));
    }
    text
}

fn facts(incident: &Incident, head: &str) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        (
            "State",
            if incident.state == IncidentState::Open {
                "open"
            } else {
                "closed"
            }
            .to_owned(),
        ),
        (
            "Opened",
            format!("{} UTC by {}", at(incident.opened_at), incident.opened_by),
        ),
    ];
    if let Some(closed) = incident.closed_at {
        let lasted =
            u64::try_from(closed.duration_since(incident.opened_at).as_secs()).unwrap_or_default();
        let lasted = humantime::format_duration(std::time::Duration::from_secs(lasted));
        facts.push(("Closed", format!("{} UTC, after {lasted}", at(closed))));
    }
    facts.push(("Audit head", head.to_owned()));
    facts
}

fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// One line of a Markdown table: nothing in it can end the cell, begin markup or make HTML.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' => {
                safe.push('\\');
                safe.push(character);
            }
            other if other.is_control() => {}
            other => safe.push(other),
        }
    }
    safe
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            other if other.is_control() && other != '\n' => {}
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Incident, IncidentState, TimelineEntry, html, jsonl, markdown};
    use crate::domain::{
        actor::Actor,
        ids::IncidentId,
        incident::{EntryKind, Home},
    };

    fn hostile() -> (Incident, Vec<TimelineEntry>) {
        let incident = Incident {
            id: IncidentId(7),
            title: "login <script>alert(1)</script> | is `slow`".to_owned(),
            state: IncidentState::Open,
            opened_by: Actor::Habops,
            opened_at: Timestamp::UNIX_EPOCH,
            closed_at: None,
            home: Home::Nowhere,
            links: Vec::new(),
        };
        let entry = TimelineEntry {
            incident: incident.id,
            at: Timestamp::UNIX_EPOCH,
            actor: Actor::Habops,
            kind: EntryKind::Note,
            text: "a | b\n<img src=x onerror=y>".to_owned(),
            operation: None,
        };
        (incident, vec![entry])
    }

    #[test]
    fn what_people_and_nodes_wrote_is_inert() {
        let (incident, timeline) = hostile();
        let page = html(&incident, &timeline, "00");
        assert!(
            !page.contains("<script>") && !page.contains("<img"),
            "{page}"
        );
        assert!(!page.contains("http"), "no outside reference: {page}");
        let text = markdown(&incident, &timeline, "00");
        assert!(
            text.lines()
                .filter(|line| line.starts_with("| 1970"))
                .count()
                == 1,
            "{text}"
        );
        assert!(!text.contains("<script>"), "{text}");
        assert_eq!(jsonl(&incident, &timeline, "00").lines().count(), 2);
    }
}
