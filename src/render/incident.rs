//! An incident as a document: Markdown, one self-contained HTML page, or JSON lines. Times are UTC, people are called by name.
//!
//! Nothing that a person or a node wrote is more than text in any of them: the page is a template that escapes everything, the
//! Markdown's texts are escaped one by one. Neither loads anything from outside itself; PagerDuty's own page is a link.

use std::fmt::Write as _;

use askama::Template;
use jiff::Timestamp;
use serde_json::json;

use super::{
    chart::sparkline,
    measure::head_and_tail,
    text::{self, Look},
};
use crate::domain::{
    incident::{Home, Incident, IncidentState},
    operation::{Operation, State},
    output::{Output, Part},
    recap::{is_about_the_record, lasted, pagerduty, verdict},
    story::{Chapter, Story},
};

/// Longest evidence of one operation, in bytes: what it showed, cut in the middle.
const EVIDENCE: usize = 16_000;
/// Longest document, in bytes: past it operations keep their facts and their hash, not their evidence.
const ALL_EVIDENCE: usize = 6_000_000;
/// Bars of a chart; more points are drawn as the highest of each group.
const BARS: usize = 120;

/// The document of that kind: `md`, `html` or `jsonl`.
pub fn document(story: &Story, kind: &str) -> String {
    match kind {
        "html" => html(story),
        "jsonl" => jsonl(story),
        _ => markdown(story),
    }
}

/// For the learning review, to paste as it is.
pub fn markdown(story: &Story) -> String {
    written(&Markdown {
        page: Page::of(story, inline),
    })
}

/// The same as a page that loads nothing.
pub fn html(story: &Story) -> String {
    written(&Html {
        page: Page::of(story, plain),
    })
}

/// For machines: the incident, then its operations, then each line of its timeline.
pub fn jsonl(story: &Story) -> String {
    let head = json!({
        "incident": story.incident, "audit_head": story.head, "told_at": story.told_at, "people": story.people,
        "left_out": story.left_out,
    });
    let mut text = format!("{head}\n");
    for Chapter { operation, sha256 } in &story.chapters {
        let mut told = json!(operation);
        if let Some(output) = &operation.output {
            told["output"] = json!(without_files(output));
        }
        let _ = writeln!(
            text,
            "{}",
            json!({ "operation": told, "output_sha256": sha256 })
        );
    }
    for entry in &story.timeline {
        let _ = writeln!(text, "{}", json!({ "timeline": entry }));
    }
    text
}

#[derive(Template)]
#[template(path = "incident.html", config = "src/render/askama.toml")]
struct Html {
    page: Page,
}

#[derive(Template)]
#[template(path = "incident.md", config = "src/render/askama.toml")]
struct Markdown {
    page: Page,
}

fn written(page: &impl Template) -> String {
    page.render()
        .unwrap_or_else(|error| format!("The document cannot be written: {error}\n"))
}

/// What both documents show; every text went through the one function that makes it safe there.
struct Page {
    title: String,
    facts: Vec<(String, String)>,
    linked: Vec<PagerDutyPage>,
    timeline: Vec<Line>,
    left_out: usize,
    operations: Vec<Section>,
    foot: String,
}

/// One of PagerDuty's incidents; its address only where it is one.
struct PagerDutyPage {
    name: String,
    address: Option<String>,
}

struct Line {
    at: String,
    who: String,
    text: String,
    kind: String,
}

struct Section {
    id: String,
    command: String,
    facts: Vec<(String, String)>,
    charts: Vec<Drawing>,
    evidence: Option<String>,
    fence: String,
    proof: String,
}

struct Drawing {
    title: String,
    lowest: u64,
    highest: u64,
    width: usize,
    bars: Vec<Bar>,
    first: String,
    last: String,
    spark: String,
}

struct Bar {
    x: usize,
    y: u64,
    width: usize,
    height: u64,
    label: String,
}

impl Page {
    fn of(story: &Story, safe: fn(&str) -> String) -> Self {
        let incident = &story.incident;
        let both = |facts: Vec<(&str, String)>| -> Vec<(String, String)> {
            let safely = facts.into_iter();
            safely
                .map(|(name, value)| (name.to_owned(), safe(&story.named(&value))))
                .collect()
        };
        let linked = incident.pagerduty.iter().map(|page| PagerDutyPage {
            name: safe(&match &page.title {
                Some(title) => format!("{} {title}", page.id),
                None => page.id.clone(),
            }),
            address: page.url.clone().filter(|url| is_an_address(url)),
        });
        let timeline = story.timeline.iter().map(|entry| Line {
            at: at(entry.at),
            who: safe(&story.name(&entry.actor)),
            text: safe(&story.named(&entry.text)),
            kind: serde_json::to_value(entry.kind)
                .ok()
                .and_then(|kind| kind.as_str().map(str::to_owned))
                .unwrap_or_default(),
        });
        let mut room = ALL_EVIDENCE;
        let shown = story.chapters.iter().filter(|chapter| {
            !is_about_the_record(&chapter.operation) && chapter.operation.state != State::Refused
        });
        let operations = shown.map(|chapter| {
            let section = Section {
                id: chapter.operation.id.to_string(),
                command: safe(&story.named(&chapter.operation.text)),
                facts: both(facts_of(&chapter.operation)),
                charts: charts(chapter.operation.output.as_ref(), safe),
                evidence: evidence(story, &chapter.operation, &mut room),
                fence: String::new(),
                proof: proof(chapter),
            };
            Section {
                fence: fence(section.evidence.as_deref().unwrap_or_default()),
                ..section
            }
        });
        Self {
            title: safe(&format!("{}: {}", incident.id, incident.title)),
            facts: both(facts(story)),
            linked: linked.collect(),
            timeline: timeline.collect(),
            left_out: story.left_out,
            operations: operations.collect(),
            foot: format!(
                "Written by habops on {} UTC from its own records. Every line above is in the audit chain, whose newest hash \
                 then was {}; `habops audit verify --head {}` proves that nothing before it was changed since.",
                at(story.told_at),
                story.head,
                story.head
            ),
        }
    }
}

fn facts(story: &Story) -> Vec<(&'static str, String)> {
    let incident = &story.incident;
    let open = incident.state == IncidentState::Open;
    let mut facts = vec![
        ("State", if open { "open" } else { "closed" }.to_owned()),
        (
            "Opened",
            format!("{} UTC by {}", at(incident.opened_at), incident.opened_by),
        ),
    ];
    if let Some(closed) = incident.closed_at {
        let lasted = lasted(incident.opened_at, closed);
        facts.push(("Closed", format!("{} UTC, after {lasted}", at(closed))));
    }
    for (part, user) in [("Lead", &incident.lead), ("Scribe", &incident.scribe)] {
        facts.extend(user.as_ref().map(|user| (part, format!("<@{user}>"))));
    }
    facts.extend(place(incident).map(|place| ("Place", place)));
    facts.extend(pagerduty(incident).map(|told| ("PagerDuty", told)));
    let changes = story.chapters.iter().filter(|it| it.operation.changes);
    facts.push((
        "Operations",
        format!(
            "{}, {} of them changes",
            story.chapters.len(),
            changes.count()
        ),
    ));
    facts.push(("Audit head", story.head.clone()));
    facts
}

fn place(incident: &Incident) -> Option<String> {
    match &incident.home {
        Home::Card { channel, .. } => Some(format!("a thread in channel {channel}")),
        Home::Channel(channel) => Some(format!("channel {channel}")),
        Home::Nowhere => None,
    }
}

fn facts_of(operation: &Operation) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        (
            "asked",
            format!("{} UTC by {}", at(operation.received_at), operation.actor),
        ),
        ("verdict", verdict(operation)),
        ("state", operation.state.word().to_owned()),
    ];
    if let (Some(begun), Some(ended)) = (operation.started_at, operation.ended_at) {
        let took = ended.duration_since(begun).as_secs().max(0);
        facts.push(("ran", format!("{} UTC, for {took} s", at(begun))));
    }
    if let Some(proposal) = &operation.proposal {
        let said = match &proposal.approved_by {
            Some((by, when)) => format!("{by}, {} UTC", at(*when)),
            None => "nobody".to_owned(),
        };
        facts.push(("approved by", said));
        facts.push(("needed", format!("confirm = {}", proposal.confirm)));
    }
    if !operation.nodes.is_empty() && operation.nodes.len() <= 12 {
        let nodes = operation.nodes.iter();
        let nodes: Vec<&str> = nodes.map(|node| node.name.as_str()).collect();
        facts.push(("nodes", nodes.join(", ")));
    } else if !operation.nodes.is_empty() {
        facts.push(("nodes", operation.nodes.len().to_string()));
    }
    if operation.redacted > 0 {
        facts.push(("secrets removed", operation.redacted.to_string()));
    }
    facts
}

fn proof(chapter: &Chapter) -> String {
    let kept = chapter.operation.output.is_some();
    match (&chapter.sha256, kept) {
        (Some(sha256), true) => format!("sha256 of the answer as the audit has it: {sha256}"),
        (Some(sha256), false) => {
            format!("The answer is past its keeping; its sha256, as the audit has it, was {sha256}")
        }
        (None, _) => "It has not ended, so the audit has no hash of an answer.".to_owned(),
    }
}

/// What the operation showed, as a terminal would show it, without the documents it made.
fn evidence(story: &Story, operation: &Operation, room: &mut usize) -> Option<String> {
    let output = without_files(operation.output.as_ref()?);
    if output.parts.is_empty() || *room == 0 {
        return None;
    }
    let whole = story.named(&text::render(&output, Look::default()));
    let whole = whole.trim();
    let cut = if whole.len() <= EVIDENCE {
        whole.to_owned()
    } else {
        head_and_tail(whole, EVIDENCE, |missing| {
            format!("… {missing} lines left out …")
        })
    };
    *room = room.saturating_sub(cut.len());
    Some(cut)
}

fn without_files(output: &Output) -> Output {
    let mut output = output.clone();
    output.parts.retain(|part| {
        !matches!(
            part,
            Part::File { .. }
                | Part::Ask { .. }
                | Part::Next { .. }
                | Part::Undo { .. }
                | Part::Retry { .. }
        )
    });
    output
}

fn charts(output: Option<&Output>, safe: fn(&str) -> String) -> Vec<Drawing> {
    let parts = output.into_iter().flat_map(|output| &output.parts);
    parts
        .filter_map(|part| match part {
            Part::Chart { title, points } if !points.is_empty() => {
                Some(drawing(title, points, safe))
            }
            _ => None,
        })
        .collect()
}

fn drawing(title: &str, points: &[(String, u64)], safe: fn(&str) -> String) -> Drawing {
    const STEP: usize = 10;
    let group = points.len().div_ceil(BARS);
    let groups: Vec<(&str, u64)> = points
        .chunks(group)
        .map(|group| {
            let highest = group.iter().map(|(_, value)| *value).max();
            (group[0].0.as_str(), highest.unwrap_or_default())
        })
        .collect();
    let highest = points
        .iter()
        .map(|(_, value)| *value)
        .max()
        .unwrap_or_default();
    let lowest = points
        .iter()
        .map(|(_, value)| *value)
        .min()
        .unwrap_or_default();
    let bars = groups.iter().enumerate().map(|(number, (label, value))| {
        // A tenth of the height for one error among thousands, so that it is seen; none for none.
        let height = match value {
            0 => 0,
            value => (u128::from(*value) * 100)
                .div_ceil(u128::from(highest.max(1)))
                .clamp(2, 100),
        };
        let height = u64::try_from(height).unwrap_or(100);
        Bar {
            x: number * STEP,
            y: 100 - height,
            width: STEP - 1,
            height,
            label: format!("{}: {value}", safe(label)),
        }
    });
    Drawing {
        title: safe(title),
        lowest,
        highest,
        width: groups.len() * STEP,
        bars: bars.collect(),
        first: safe(&points[0].0),
        last: safe(&points[points.len() - 1].0),
        spark: sparkline(points),
    }
}

fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Whether it can be a link in both documents as it stands, and leads to a site and nowhere else.
fn is_an_address(url: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&+,;=%".contains(c);
    url.starts_with("https://") && url.chars().all(plain)
}

/// A fence that nothing in the text can close.
fn fence(text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    "`".repeat((longest + 1).max(3))
}

/// As it is, without control characters; the page's template escapes it.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect()
}

/// One line of Markdown: nothing in it can end a table's cell, begin markup or make HTML.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '!' | '~' => {
                safe.push('\\');
                safe.push(character);
            }
            other if other.is_control() => {}
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{
        Chapter, Home, Incident, Operation, Output, Part, State, Story, fence, html, jsonl,
        markdown,
    };
    use crate::domain::{
        actor::Actor,
        ids::{IncidentId, OperationId},
        inbound::Via,
        incident::{EntryKind, TimelineEntry},
        output::Status,
        paging::PagerDutyIncident,
        place::Whence,
    };

    const HOSTILE: &str = "login <script>alert(1)</script> | is `slow` <img src=x onerror=y>";

    fn chapter(id: u64) -> Chapter {
        let output = Output::new(Status::Done, HOSTILE)
            .with(Part::Log {
                of: "api".to_owned(),
                text: "```` ends </pre> nothing".to_owned(),
            })
            .with(Part::Chart {
                title: "errors <b>".to_owned(),
                points: vec![("03:00".to_owned(), 0), ("03:01".to_owned(), 7)],
            })
            .with(Part::File {
                name: "inc-7.md".to_owned(),
                text: "a document in a document".to_owned(),
            });
        let mut operation = Operation::received(
            OperationId(id),
            format!("status {HOSTILE}"),
            Some("status".into()),
            Actor::person("T", "U0ANA"),
            Whence::Machine,
            Via::Slash,
            Timestamp::UNIX_EPOCH,
        );
        operation.state = State::Done;
        operation.output = Some(output);
        Chapter {
            operation,
            sha256: Some("ab".repeat(32)),
        }
    }

    fn story(operations: u64) -> Story {
        let at = Timestamp::UNIX_EPOCH;
        let incident = Incident::opened(
            IncidentId(7),
            HOSTILE.to_owned(),
            Actor::person("T", "U0ANA"),
            at,
            Home::Nowhere,
        );
        let entry = TimelineEntry {
            incident: incident.id,
            at,
            actor: Actor::person("T", "U0ANA"),
            kind: EntryKind::Note,
            text: format!("a | b\n{HOSTILE}"),
            operation: None,
        };
        Story {
            incident,
            chapters: (1..=operations).map(chapter).collect(),
            left_out: 0,
            timeline: vec![entry],
            people: [("U0ANA".into(), "Ana <i>Lima</i>".to_owned())].into(),
            head: "00".repeat(32),
            told_at: at,
        }
    }

    #[test]
    fn what_people_and_nodes_wrote_is_inert() {
        let page = html(&story(1));
        for live in ["<script", "<img", "<i>", "<b>", "ends </pre>"] {
            assert!(!page.contains(live), "{live}: {page}");
        }
        assert!(
            !page.contains("http:") && !page.contains("https:"),
            "{page}"
        );
        let text = markdown(&story(1));
        let rows = text.lines().filter(|line| line.starts_with("| 1970"));
        assert_eq!(rows.count(), 1, "{text}");
        let outside_of_fences: String = text.split("`````").step_by(2).collect();
        assert!(!outside_of_fences.contains("<script>"), "{text}");
    }

    #[test]
    fn pagerdutys_page_is_a_link_where_it_has_an_address_and_text_where_it_has_none() {
        let mut story = story(1);
        let page = |id: &str, url: &str| PagerDutyIncident {
            title: Some(HOSTILE.to_owned()),
            url: Some(url.to_owned()),
            ..PagerDutyIncident::of_id(id)
        };
        let ours = "https://habitat.pagerduty.com/incidents/Q1";
        story.incident.pagerduty = vec![
            page("Q1", ours),
            page("Q2", "javascript:alert(1)"),
            page("Q3", "https://x.example/\" onclick=\"alert(1)"),
            page("Q4", "https://x.example/) [x](y"),
        ];
        let html = html(&story);
        assert!(
            html.contains(&format!("<a href=\"{ours}\" rel=\"noreferrer\">Q1 login ")),
            "{html}"
        );
        assert_eq!(html.matches("href").count(), 1, "{html}");
        let text = markdown(&story);
        assert!(text.contains(&format!("]({ours})")), "{text}");
        assert_eq!(text.matches("](").count(), 1, "{text}");
        for id in ["Q2 login", "Q3 login", "Q4 login"] {
            assert!(html.contains(id) && text.contains(id), "{id}");
        }
    }

    #[test]
    fn a_fence_is_longer_than_what_it_fences() {
        assert_eq!(fence("no ticks"), "```");
        assert_eq!(fence("a ```` b `"), "`````");
    }

    #[test]
    fn the_story_has_names_verdicts_hashes_and_charts_but_no_document_in_it() {
        let story = story(2);
        for told in [html(&story), markdown(&story)] {
            for wanted in [
                "Ana ",
                "op-1",
                "op-2",
                &"ab".repeat(32),
                &"00".repeat(32),
                "03:01",
            ] {
                assert!(told.contains(wanted), "no {wanted}: {told}");
            }
            assert!(!told.contains("a document in a document"), "{told}");
        }
        assert!(html(&story).contains("<rect "), "the chart is drawn");
        let lines = jsonl(&story);
        assert_eq!(lines.lines().count(), 1 + 2 + 1, "{lines}");
        for line in lines.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }

    #[test]
    fn a_long_incident_stays_within_bounds() {
        let mut story = story(1_000);
        for chapter in &mut story.chapters {
            let output = chapter.operation.output.as_mut().unwrap();
            output.parts.push(Part::Log {
                of: "api".to_owned(),
                text: "line\n".repeat(20_000),
            });
        }
        let page = html(&story);
        assert!(page.len() < 12_000_000, "{} bytes", page.len());
        assert!(page.contains("op-1000"));
    }
}
