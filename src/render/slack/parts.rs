//! Each part of an output as blocks that weigh no more than their share.

use serde_json::{Value, json};

use super::rich::{self, Line};
use crate::{
    domain::output::{HostOutcome, HostState, INLINE_LOG, Part},
    render::{
        chart,
        clean::{one_line, strip, unbracket},
        measure::{counted, cut, grouped, head_and_tail, weight},
        table,
    },
};

/// Longest text in one block: Slack's 3,000 for a section, with room for what is counted differently.
const TEXT: usize = 2_900;

/// Rows of a table block, its heading included, and its columns.
const TABLE_ROWS: usize = 100;
const TABLE_COLUMNS: usize = 20;

/// Longest cell of a table.
const CELL: usize = 300;

/// A column with a cell longer than this wraps: Slack leaves the others on one line, and what does not fit is off the screen.
const WRAPPED: usize = 60;

/// Longest address Slack takes.
const URL: usize = 3_000;

/// What a part may use, and what it must know of its neighbours.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// Weight for all of it.
    pub(super) limit: usize,
    /// Whether the message's one table block is still free.
    pub(super) table_free: bool,
    /// Whether a file comes below the message.
    pub(super) file_below: bool,
}

/// Title-like and one-line strings: harmless, on one line, nobody mentioned.
pub(super) fn line(text: &str) -> String {
    one_line(&unbracket(&strip(text)))
}

/// Paragraphs: harmless, breaks kept, nobody mentioned.
pub(super) fn paragraph(text: &str) -> String {
    unbracket(&strip(text)).trim().to_owned()
}

/// Whether this part would take the message's table block.
pub(super) fn wants_table(part: &Part) -> bool {
    match part {
        Part::Table { columns, rows } => {
            !rows.is_empty()
                && rows.iter().map(Vec::len).fold(columns.len(), usize::max) <= TABLE_COLUMNS
        }
        Part::Hosts(hosts) => {
            hosts.iter().any(|host| !host.facts.is_empty())
                && table::of_hosts(hosts).0.len() <= TABLE_COLUMNS
        }
        _ => false,
    }
}

/// The blocks of every part but a question. At most two.
pub(super) fn blocks(part: &Part, room: Room) -> Vec<Value> {
    match part {
        Part::Text(text) => {
            let text = paragraph(text);
            if text.is_empty() {
                return Vec::new();
            }
            vec![rich::cut_sentence(&text, room.limit.min(TEXT))]
        }
        Part::Facts(facts) => facts_block(facts, room),
        Part::Table { columns, rows } => table_blocks(columns, rows, "row", room),
        Part::Log { of, text } => vec![log_block(of, text, room)],
        Part::Hosts(hosts) if hosts.iter().any(|host| !host.facts.is_empty()) => {
            let (columns, rows) = table::of_hosts(hosts);
            table_blocks(&columns, &rows, "node", room)
        }
        Part::Hosts(hosts) => hosts_block(hosts, room),
        Part::File { name, text } => {
            let size = counted(text.lines().count(), "line");
            let name = cut(&line(name), room.limit.saturating_sub(60).min(200)).into_owned();
            let said = Line::default()
                .emoji("page_facing_up")
                .plain(" ")
                .code(&name)
                .plain(&format!(": {size}, in the file below"));
            vec![rich::paragraph(said)]
        }
        Part::Chart { title, points } => vec![chart_block(title, points, room)],
        Part::Next { label, command } => vec![rich::paragraph(next(label, command, room.limit))],
        Part::Undo { command } => vec![rich::paragraph(next("undo", command, room.limit))],
        Part::Retry { command } => vec![rich::paragraph(next("retry", command, room.limit))],
        Part::Link { label, url } => vec![rich::paragraph(link(label, url, room.limit))],
        Part::Ask { .. } => Vec::new(),
    }
}

fn facts_block(facts: &[(String, String)], room: Room) -> Vec<Value> {
    let limit = room.limit.min(TEXT);
    let said = |missing: usize| format!("\nand {} more", grouped(missing));
    let (mut shown, mut used) = (Line::default(), 0);
    for (index, (name, value)) in facts.iter().enumerate() {
        let name = format!("{}: ", cut(&line(name), 100));
        let value = cut(&line(value), 600).into_owned();
        let rest = facts.len() - index - 1;
        let reserve = if rest > 0 { said(facts.len()).len() } else { 0 };
        let next = used + weight(&name) + weight(&value) + 1;
        if next + reserve > limit {
            let said = said(rest + 1);
            shown = shown.italic(said.trim_start_matches(if used == 0 { "\n" } else { "" }));
            return vec![rich::paragraph(shown)];
        }
        if used > 0 {
            shown = shown.plain("\n");
        }
        used = next;
        shown = shown.bold(&name).plain(&value);
    }
    if used == 0 {
        return Vec::new();
    }
    vec![rich::paragraph(shown)]
}

/// A table block with as many rows as fit, and the rest as preformatted text where a table cannot take them.
fn table_blocks(columns: &[String], rows: &[Vec<String>], thing: &str, room: Room) -> Vec<Value> {
    if rows.is_empty() {
        return vec![rich::paragraph(Line::default().italic("none"))];
    }
    let (columns, rows) = table::cells(columns, rows, strip);
    let widest = rows.iter().map(Vec::len).fold(columns.len(), usize::max);
    let preformatted = || {
        vec![preformatted_rows(
            &columns,
            &rows,
            thing,
            room.limit,
            room.file_below,
        )]
    };
    if !room.table_free || widest > TABLE_COLUMNS || widest == 0 {
        return preformatted();
    }
    let reserve = more(rows.len(), thing, room.file_below).len();
    let whole: usize = row_weight(&columns, widest)
        + rows
            .iter()
            .map(|row| row_weight(row, widest))
            .sum::<usize>();
    let limit = if whole <= room.limit {
        room.limit
    } else {
        room.limit.saturating_sub(reserve)
    };
    let mut used = row_weight(&columns, widest);
    let mut fit = 0;
    for row in &rows {
        used += row_weight(row, widest);
        if fit + 1 >= TABLE_ROWS || used > limit {
            break;
        }
        fit += 1;
    }
    if fit == 0 {
        return preformatted();
    }
    let (shown, rest) = rows.split_at(fit);
    let grid: Vec<Value> = std::iter::once(&columns)
        .chain(shown)
        .map(|row| table_row(row, widest))
        .collect();
    let mut table = json!({"type": "table", "rows": grid});
    let long = |column: usize| {
        let cells = shown.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max() > Some(WRAPPED)
    };
    let wrapped: Vec<bool> = (0..widest).map(long).collect();
    if wrapped.contains(&true) {
        table["column_settings"] = wrapped
            .iter()
            .map(|wrapped| json!({ "is_wrapped": wrapped }))
            .collect();
    }
    let mut blocks = vec![table];
    if !rest.is_empty() {
        let left = room
            .limit
            .saturating_sub(row_weight(&columns, widest))
            .saturating_sub(shown.iter().map(|row| row_weight(row, widest)).sum());
        blocks.push(preformatted_rows(&[], rest, thing, left, room.file_below));
    }
    blocks
}

fn cell(text: &str) -> String {
    // Slack refuses an empty cell.
    let text = if text.is_empty() { "–" } else { text };
    cut(text, CELL).into_owned()
}

fn row_weight(row: &[String], widest: usize) -> usize {
    let filled: usize = row.iter().map(|text| weight(&cell(text))).sum();
    filled + (widest - row.len()) * weight(&cell(""))
}

fn table_row(row: &[String], widest: usize) -> Value {
    let cells: Vec<Value> = (0..widest)
        .map(|index| {
            let text = cell(row.get(index).map_or("", String::as_str));
            json!({"type": "raw_text", "text": text})
        })
        .collect();
    Value::Array(cells)
}

fn more(missing: usize, thing: &str, file_below: bool) -> String {
    let plural = if missing == 1 { "" } else { "s" };
    let place = if file_below { ", in the file" } else { "" };
    format!("and {} more {thing}{plural}{place}", grouped(missing))
}

fn preformatted_rows(
    columns: &[String],
    rows: &[Vec<String>],
    thing: &str,
    limit: usize,
    file_below: bool,
) -> Value {
    let limit = limit.min(TEXT);
    let short = |row: &Vec<String>| -> Vec<String> {
        row.iter()
            .map(|text| cut(text, CELL).into_owned())
            .collect()
    };
    // No more rows than could fit are aligned: one that comes later must not widen the columns.
    let candidates: Vec<Vec<String>> = rows.iter().take(limit / 2).map(short).collect();
    let lines = table::aligned(&short(&columns.to_vec()), &candidates, None);
    let heading = usize::from(!columns.is_empty());
    let whole: usize = lines.iter().map(|line| weight(line) + 1).sum();
    let reserve = if whole <= limit && candidates.len() == rows.len() {
        0
    } else {
        more(rows.len(), thing, file_below).len()
    };
    let (mut kept, mut used) = (Vec::new(), 0);
    for line in &lines {
        used += weight(line) + 1;
        if used + reserve > limit {
            break;
        }
        kept.push(line.as_str());
    }
    let shown = kept.len().saturating_sub(heading);
    if shown == 0 {
        kept.clear();
    }
    let missing = rows.len() - shown;
    let note = more(missing, thing, file_below);
    if missing == 0 {
        rich::block(vec![rich::preformatted(&kept.join("\n"))])
    } else if shown == 0 {
        let all = note.replacen("and ", "", 1).replacen(" more", "", 1);
        let said = format!("{all}: too much for this message");
        rich::paragraph(Line::default().italic(&cut(&said, limit)))
    } else {
        let note = Line::default().italic(&note).section();
        rich::block(vec![rich::preformatted(&kept.join("\n")), note])
    }
}

fn log_block(of: &str, text: &str, room: Room) -> Value {
    let heading = cut(&line(of), 150.min(room.limit / 3)).into_owned();
    let has_file = text.len() > INLINE_LOG;
    let limit = room.limit.min(TEXT).saturating_sub(weight(&heading));
    let limit = if has_file {
        limit.min(INLINE_LOG)
    } else {
        limit
    };
    let note = |missing: usize| {
        let what = if missing == 0 {
            "long lines cut".to_owned()
        } else {
            format!("{} between", counted(missing, "line"))
        };
        let place = if has_file {
            ", whole text in the file below"
        } else {
            ""
        };
        format!("\u{2026} {what}{place} \u{2026}")
    };
    let shown = head_and_tail(&strip(text), limit, note);
    let lines = rich::preformatted(&shown);
    if heading.is_empty() {
        rich::block(vec![lines])
    } else {
        rich::block(vec![Line::default().bold(&heading).section(), lines])
    }
}

/// Nodes that are told in one line.
struct Alike {
    state: HostState,
    said: String,
    nodes: Vec<String>,
}

/// Nodes that did well and of which the same is said stand in one line: on a phone the others are looked for. The order is that of
/// the first of each.
fn alike(hosts: &[HostOutcome]) -> Vec<Alike> {
    let mut lines: Vec<Alike> = Vec::new();
    for host in hosts {
        let node = cut(&line(&host.node), 100).into_owned();
        let said = cut(&line(&host.said), 400).into_owned();
        let is_like = |other: &&mut Alike| {
            host.state == HostState::Done && other.state == host.state && other.said == said
        };
        match lines.iter_mut().find(is_like) {
            Some(same) => same.nodes.push(node),
            None => lines.push(Alike {
                state: host.state,
                said,
                nodes: vec![node],
            }),
        }
    }
    lines
}

fn hosts_block(hosts: &[HostOutcome], room: Room) -> Vec<Value> {
    if hosts.is_empty() {
        return Vec::new();
    }
    let limit = room.limit.min(TEXT * 2);
    let left_out = |missing: usize| more(missing, "node", room.file_below);
    let (mut sections, mut used, mut rest) = (Vec::new(), 0, hosts.len());
    for Alike { state, said, nodes } in alike(hosts) {
        let names = nodes.join(", ");
        let said = match (said.is_empty(), state) {
            (false, _) => format!(" {said}"),
            (true, HostState::Done) => String::new(),
            (true, state) => format!(" {}", table::state_word(state)),
        };
        let emoji = host_emoji(state);
        let reserve = if rest > nodes.len() {
            left_out(hosts.len()).len()
        } else {
            0
        };
        let next = used + emoji.len() + 1 + weight(&names) + weight(&said);
        if next + reserve > limit {
            sections.push(Line::default().italic(&left_out(rest)).section());
            break;
        }
        used = next;
        rest -= nodes.len();
        let line = Line::default().emoji(emoji).plain(" ");
        sections.push(line.bold(&names).plain(&said).section());
    }
    // A list keeps each line apart; bare sections run together in some clients.
    vec![rich::block(vec![
        json!({"type": "rich_text_list", "style": "bullet", "elements": sections}),
    ])]
}

fn host_emoji(state: HostState) -> &'static str {
    match state {
        HostState::Done => "white_check_mark",
        HostState::Failed => "x",
        HostState::Unreachable => "warning",
        HostState::Skipped => "heavy_minus_sign",
    }
}

fn chart_block(title: &str, points: &[(String, u64)], room: Room) -> Value {
    let title = cut(&line(title), 150.min(room.limit / 3)).into_owned();
    let limit = room.limit.saturating_sub(weight(&title)).min(TEXT);
    let bars = cut(&strip(&chart::sparkline(points)), limit).into_owned();
    let bars = rich::preformatted(&bars);
    if title.is_empty() {
        rich::block(vec![bars])
    } else {
        rich::block(vec![Line::default().bold(&title).section(), bars])
    }
}

fn next(label: &str, command: &str, limit: usize) -> Line {
    let label = cut(&line(label), 80.min(limit / 3)).into_owned();
    let label = if label.is_empty() {
        label
    } else {
        format!(" ({label})")
    };
    let command = format!("/habops {}", line(command));
    let room = limit.saturating_sub("Next: ".len() + weight(&label));
    let line = Line::default().plain("Next: ");
    // A command that was cut would be another command.
    if weight(&command) > room {
        return line.italic("too long to be shown").plain(&label);
    }
    line.code(&command).plain(&label)
}

fn link(label: &str, url: &str, limit: usize) -> Line {
    let label = cut(&line(label), 200.min(limit / 3)).into_owned();
    let room = limit.saturating_sub(weight(&label) + 2);
    let sound = (url.starts_with("https://") || url.starts_with("http://"))
        && url.len() <= URL
        && weight(url) <= room
        && url.chars().all(|c| c.is_ascii_graphic());
    if sound {
        let label = if label.is_empty() { "link" } else { &label };
        return Line::default().link(url, label);
    }
    let shown = line(url);
    let shown = cut(&shown, room.min(300)).into_owned();
    Line::default().plain(&format!("{label}: ")).code(&shown)
}
