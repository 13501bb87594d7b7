//! One set of outputs, every renderer, side by side; and whatever an output holds, the message fits into Slack's limits.

mod fixtures;
mod limits;
mod outputs;

use std::{
    env,
    fmt::Write as _,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use habops::{
    domain::{
        actor::Actor,
        ids::OperationId,
        journey::Redacted,
        message::{About, MessageKey},
        output::{Action, HostOutcome, HostState, Output, Part, Status, Weight},
    },
    render::{
        slack::{self, Rendered},
        text::{self, Look},
    },
};
use proptest::{prelude::*, strategy::ValueTree as _};
use rstest::rstest;
use serde_json::Value;

use self::{
    fixtures::{NAMES, choice, fixture, words},
    limits::faults,
    outputs::any_output,
};

fn about() -> About {
    About {
        operation: Some(OperationId(17)),
        incident: None,
        state: "done".into(),
        actor: Actor::person("T1", "U1"),
        typed: "status live/api".into(),
        at: "2026-11-23T03:04:00Z".parse().unwrap(),
        back_filled: false,
    }
}

fn message(output: Output, removed: u64) -> Rendered {
    let key = MessageKey::operation(OperationId(17));
    slack::message(&Redacted::restored(output, removed), &about(), &key, 3)
}

#[rstest]
fn every_fixture_looks_right_everywhere(
    #[values(
        "done",
        "partly",
        "failed",
        "refused",
        "ask",
        "running",
        "interrupted",
        "long_log",
        "twenty_nodes",
        "hostile",
        "unicode",
        "empty"
    )]
    name: &str,
) {
    let output = fixture(name);
    let rendered = message(output.clone(), u64::from(name == "failed") * 2);
    let faults = faults(&rendered);
    assert!(faults.is_empty(), "{faults:#?}");
    let shown = text::render(&output, Look::default());
    // The whole log is in the terminal's text; its ends are enough here.
    let shown = if name == "long_log" {
        let lines: Vec<&str> = shown.lines().collect();
        format!(
            "{}\n[…]\n{}",
            lines[..6].join("\n"),
            lines[lines.len() - 2..].join("\n")
        )
    } else {
        shown
    };
    insta::assert_snapshot!(format!("{name}.text"), shown);
    insta::assert_json_snapshot!(
        format!("{name}.slack"),
        serde_json::json!({"text": rendered.text, "blocks": rendered.blocks, "metadata": rendered.metadata})
    );
    insta::assert_snapshot!(
        format!("{name}.plain"),
        slack::plain(&Redacted::restored(output, 0))
    );
}

#[test]
fn the_context_line_says_whose_it_is_and_when() {
    let mut about = about();
    about.back_filled = true;
    about.typed = "status live-builder-* <@U2>".into();
    let output = Redacted::restored(Output::new(Status::Done, "x"), 2);
    let key = MessageKey::operation(OperationId(17));
    let rendered = slack::message(&output, &about, &key, 1);
    assert_eq!(
        rendered.blocks.last().unwrap()["elements"][0]["text"],
        "op-17 · `status live-builder-* @U2` · asked by <@U1> · 2026-11-23 03:04 UTC · \
         <!date^1795403040^{date_short_pretty} {time} your time|03:04 UTC> · 2 secrets removed · back-filled"
    );
    about.actor = Actor::person("T1", "U1> <!channel");
    let rendered = slack::message(&output, &about, &key, 1);
    let faults = faults(&rendered);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn nodes_that_are_well_in_the_same_way_stand_in_one_line() {
    let host = |node: &str, state: HostState, said: &str| HostOutcome {
        node: node.to_owned(),
        state,
        said: said.to_owned(),
        facts: Vec::new(),
    };
    let well = "no known issue";
    let rendered = message(
        Output::new(Status::Partly, "x").with(Part::Hosts(vec![
            host("n0", HostState::Done, well),
            host("n1", HostState::Failed, well),
            host("n2", HostState::Done, "TIMEOUT: 27 times"),
            host("n3", HostState::Done, well),
            host("n4", HostState::Failed, well),
        ])),
        0,
    );
    let list = &rendered.blocks[1]["elements"][0]["elements"];
    let lines = list.as_array().unwrap().iter().map(|line| {
        let elements = line["elements"].as_array().unwrap();
        let texts = elements
            .iter()
            .filter_map(|element| element["text"].as_str());
        texts.collect::<String>()
    });
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            " n0, n3 no known issue",
            " n1 no known issue",
            " n2 TIMEOUT: 27 times",
            " n4 no known issue",
        ]
    );
}

#[test]
fn a_second_table_and_a_longer_one_are_told_as_text() {
    let table = |rows: usize| Part::Table {
        columns: words(&["node", "state"]),
        rows: (0..rows)
            .map(|n| vec![format!("n{n}"), "up".to_owned()])
            .collect(),
    };
    let rendered = message(
        Output::new(Status::Done, "x")
            .with(table(140))
            .with(table(2)),
        0,
    );
    assert!(faults(&rendered).is_empty());
    let kinds: Vec<&str> = rendered
        .blocks
        .iter()
        .map(|block| block["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["rich_text", "table", "rich_text", "rich_text", "context"]
    );
    assert_eq!(rendered.blocks[1]["rows"].as_array().unwrap().len(), 100);
    let rest = rendered.blocks[2].to_string();
    assert!(rest.contains("n99") && rest.contains("n139"), "{rest}");

    let long = Part::Table {
        columns: words(&["node"]),
        rows: (0..500)
            .map(|n| vec![format!("live-builder-worker-{n} {}", "x".repeat(60))])
            .collect(),
    };
    let file = Part::File {
        name: "all.txt".into(),
        text: "x".into(),
    };
    let rendered = message(Output::new(Status::Done, "x").with(long).with(file), 0);
    assert!(faults(&rendered).is_empty());
    let whole = Value::from(rendered.blocks).to_string();
    assert!(whole.contains("more rows, in the file"), "{whole}");
}

#[test]
fn many_parts_of_everything_still_fit_and_say_so() {
    let mut output = Output::new(Status::Done, "x".repeat(5000));
    for n in 0..200 {
        output = output.text(format!("{n} {}", "<".repeat(4000)));
    }
    for _ in 0..9 {
        output = output.with(Part::Ask {
            question: "?".repeat(4000),
            choices: vec![
                choice(
                    &"l".repeat(400),
                    Action::Next,
                    &"t".repeat(100),
                    Weight::Danger
                );
                40
            ],
        });
    }
    let rendered = message(output.clone(), 0);
    let found = faults(&rendered);
    assert!(found.is_empty(), "{found:#?}");
    let whole = Value::from(rendered.blocks).to_string();
    assert!(whole.contains("more parts left out"), "{whole}");
    assert!(whole.contains("more choices left out"), "{whole}");
    assert!(
        whole.contains("habops.next.0"),
        "the first buttons are there: {whole}"
    );
    assert!(slack::plain(&Redacted::restored(output, 0)).len() <= 4_000);
}

#[test]
fn an_ephemeral_fits_too_and_has_no_metadata() {
    let rendered = slack::ephemeral(&Redacted::restored(fixture("hostile"), 1));
    assert!(faults(&rendered).is_empty());
    assert_eq!(rendered.metadata, Value::Null);
    let whole = Value::from(rendered.blocks).to_string();
    assert!(whole.contains("1 secret removed"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_an_output_holds_it_fits(output in any_output(), removed in 0u64..3) {
        let rendered = message(output.clone(), removed);
        let found = faults(&rendered);
        prop_assert!(found.is_empty(), "{:#?}", found);
        let redacted = Redacted::restored(output.clone(), removed);
        let plain = slack::plain(&redacted);
        prop_assert!(plain.len() <= 4_000 && !plain.contains(['<', '>']), "{}", plain);
        let fences = plain.matches("```").count();
        prop_assert!(fences == 0 || fences == 2 && plain.ends_with("\n```"), "{}", plain);
        let shown = text::render(&output, Look { colour: false, width: Some(80) });
        prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
    }
}

/// The interpreter that has Slack's SDK.
fn python() -> PathBuf {
    env::var_os("HABOPS_TEST_PYTHON").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"),
        PathBuf::from,
    )
}

#[test]
fn slacks_own_models_take_every_message() {
    let mut lines = String::new();
    let mut say = |blocks: Vec<Value>| writeln!(lines, "{}", Value::from(blocks)).unwrap();
    for name in NAMES {
        say(message(fixture(name), 1).blocks);
        say(slack::ephemeral(&Redacted::restored(fixture(name), 0)).blocks);
    }
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..40 {
        let output = any_output().new_tree(&mut runner).unwrap().current();
        say(message(output, 0).blocks);
    }
    let said = check(&lines);
    assert!(said.contains(" 0 faults"), "{said}");
    let bad = r#"[{"type":"actions","elements":[{"type":"button","action_id":"a","text":{"type":"plain_text","text":"LABEL"}}]}]"#;
    let said = check(&bad.replace("LABEL", &"x".repeat(76)));
    assert!(
        said.contains("75"),
        "the checker finds a label over 75: {said}"
    );
}

fn check(lines: &str) -> String {
    let python = python();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/python/block_kit_check.py"
    );
    let child = Command::new(&python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!(
            "{}: {error}. Slack's SDK is needed: python3 -m venv .venv && .venv/bin/pip install slack_sdk",
            python.display()
        )
    });
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_ne!(done.status.code(), Some(3), "{said}");
    writer.join().unwrap().unwrap();
    said
}
