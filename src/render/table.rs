//! Rows under headings, aligned, for a terminal and for a preformatted text.

use std::borrow::Cow;

use comfy_table::{ContentArrangement, Table, presets};

use crate::domain::output::{HostOutcome, HostState};

/// Aligned columns, two spaces apart; the first line is the heading. Cells wrap where a width is given. Long rows are cut to the
/// number of headings' columns or the longest row, short ones are filled.
pub(super) fn aligned(columns: &[String], rows: &[Vec<String>], width: Option<u16>) -> Vec<String> {
    let widest = rows.iter().map(Vec::len).fold(columns.len(), usize::max);
    let full = |row: &[String]| -> Vec<String> {
        let mut row: Vec<String> = row.iter().map(|cell| cell.replace('\t', " ")).collect();
        row.resize(widest, String::new());
        row
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    if !columns.is_empty() {
        table.set_header(full(columns));
    }
    for row in rows {
        table.add_row(full(row));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// What a host's state is called.
pub(super) fn state_word(state: HostState) -> &'static str {
    match state {
        HostState::Done => "ok",
        HostState::Failed => "failed",
        HostState::Unreachable => "unreachable",
        HostState::Skipped => "skipped",
    }
}

/// Hosts with facts as a table: node, state, what was said where anything was, and each fact's name in the order first seen. A
/// thread is narrow, and what it cuts off is on the right: what is wrong must not be there.
pub(super) fn of_hosts(hosts: &[HostOutcome]) -> (Vec<String>, Vec<Vec<String>>) {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in hosts.iter().flat_map(|host| &host.facts) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let anything_said = hosts.iter().any(|host| !host.said.is_empty());
    let mut columns: Vec<String> = ["node", "state"].map(str::to_owned).to_vec();
    if anything_said {
        columns.push("note".to_owned());
    }
    columns.extend(names.iter().map(ToString::to_string));
    let rows = hosts
        .iter()
        .map(|host| {
            let mut row = vec![host.node.clone(), state_word(host.state).to_owned()];
            if anything_said {
                row.push(host.said.clone());
            }
            row.extend(names.iter().map(|name| {
                let fact = host.facts.iter().find(|(known, _)| known == name);
                fact.map_or(String::new(), |(_, value)| value.clone())
            }));
            row
        })
        .collect();
    (columns, rows)
}

/// Every cell made harmless by that rule, on one line each.
pub(super) fn cells(
    columns: &[String],
    rows: &[Vec<String>],
    harmless: impl Fn(&str) -> Cow<'_, str>,
) -> (Vec<String>, Vec<Vec<String>>) {
    let row = |row: &[String]| -> Vec<String> {
        row.iter()
            .map(|cell| super::clean::one_line(&harmless(cell)))
            .collect()
    };
    (row(columns), rows.iter().map(|cells| row(cells)).collect())
}
