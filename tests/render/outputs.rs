//! Random outputs, most of them hostile.

use habops::domain::output::{
    Action, Choice, HostOutcome, HostState, Output, Part, Status, Weight,
};
use proptest::prelude::*;

/// A short string with everything that ever broke a chat message.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ a-z0-9/-]{0,12}",
        2 => "\\PC{0,8}",
        1 => any::<char>().prop_map(String::from),
        3 => prop::sample::select(vec![
            "<!channel>", "<@U1>", "<@U2|x>", "<#C1|>", "<https://e.example|x>", "```", "`", "*", "_", "&amp;", "&lt;", "&",
            "\n", "\r\n", "\t", "\0", "\u{1b}[2J", "\u{1b}]0;t\u{7}", "\u{202e}", "\u{200b}", "\u{2028}", "👨‍👩‍👧", "é", "<", ">",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// The same, sometimes longer than any limit.
fn long() -> impl Strategy<Value = String> {
    (
        nasty(),
        prop_oneof![6 => Just(1usize), 2 => Just(20), 1 => Just(400)],
    )
        .prop_map(|(text, times)| text.repeat(times))
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((nasty(), long()), 0..12)
}

fn any_part() -> impl Strategy<Value = Part> {
    let state = prop::sample::select(vec![
        HostState::Done,
        HostState::Failed,
        HostState::Unreachable,
        HostState::Skipped,
    ]);
    let host = (
        nasty(),
        state,
        nasty(),
        prop_oneof![3 => Just(Vec::new()), 1 => pairs()],
    )
        .prop_map(|(node, state, said, facts)| HostOutcome {
            node,
            state,
            said,
            facts,
        });
    let weight = prop::sample::select(vec![Weight::Plain, Weight::Primary, Weight::Danger]);
    let action = prop::sample::select(Action::ALL.to_vec());
    let any_choice = (long(), action, "[a-z0-9]{1,40}", nasty(), weight).prop_map(
        |(label, action, offer, typed, weight)| Choice {
            label,
            action,
            offer,
            typed,
            weight,
        },
    );
    let cells = |most| prop::collection::vec(nasty(), 0..most);
    prop_oneof![
        long().prop_map(Part::Text),
        pairs().prop_map(Part::Facts),
        (
            cells(25),
            prop::collection::vec(cells(25), 0..6),
            1usize..60
        )
            .prop_map(|(columns, rows, times)| {
                let rows = rows
                    .iter()
                    .cycle()
                    .take(rows.len() * times)
                    .cloned()
                    .collect();
                Part::Table { columns, rows }
            }),
        (long(), long(), 1usize..12).prop_map(|(of, line, times)| Part::Log {
            of,
            text: format!("{line}\n").repeat(times)
        }),
        prop::collection::vec(host, 0..30).prop_map(Part::Hosts),
        (long(), long()).prop_map(|(name, text)| Part::File { name, text }),
        (
            nasty(),
            prop::collection::vec((nasty(), any::<u64>()), 0..80)
        )
            .prop_map(|(title, points)| Part::Chart { title, points }),
        (nasty(), nasty()).prop_map(|(label, command)| Part::Next { label, command }),
        nasty().prop_map(|command| Part::Undo { command }),
        nasty().prop_map(|command| Part::Retry { command }),
        (nasty(), nasty()).prop_map(|(label, rest)| Part::Link {
            label,
            url: format!("https://{rest}")
        }),
        (long(), prop::collection::vec(any_choice, 0..40))
            .prop_map(|(question, choices)| Part::Ask { question, choices }),
    ]
}

/// Any output at all.
pub fn any_output() -> impl Strategy<Value = Output> {
    let status = prop::sample::select(vec![
        Status::Done,
        Status::Partly,
        Status::Refused,
        Status::Waiting,
    ]);
    (
        nasty(),
        status,
        prop::collection::vec(any_part(), 0..8),
        prop_oneof![9 => Just(1usize), 1 => Just(12)],
    )
        .prop_map(|(title, status, parts, times)| {
            let parts = parts
                .iter()
                .cycle()
                .take(parts.len() * times)
                .cloned()
                .collect();
            Output {
                title,
                status,
                parts,
                refusal: None,
            }
        })
}
