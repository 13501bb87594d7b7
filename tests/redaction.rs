//! Law 10 as a property: whatever holds a secret, and wherever in it, nothing that leaves habops or is kept holds it. Each test here fails
//! where `Rules::redact` finds nothing.

use std::{fs, sync::LazyLock};

use habops::{
    domain::{
        actor::Actor,
        ids::OperationId,
        journey::redact,
        message::{About, MessageKey},
        output::{Action, Choice, HostOutcome, HostState, Output, Part, Status, Weight},
        redact::Rules,
    },
    render::{
        slack::{ephemeral, message, plain},
        text,
    },
};
use jiff::Timestamp;
use proptest::{collection::vec, prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::json;

use super::world::{Setup, everywhere, program::habops};

/// In every planted secret; no rule knows it.
const CORE: &str = "PLANTED";
/// What secrets look like; `{}` is the secret itself.
const KINDS: [&str; 15] = [
    "xoxb-{}",
    "xapp-1-{}",
    "https://hooks.slack.com/services/T1/{}",
    "ghp_{}abcdefghij",
    "AKIA{}",
    "aws_secret_access_key = {}/abcdefghijklmnop",
    "GET /v1/authenticate/{} HTTP/1.1",
    "HAB_AUTH_TOKEN={}",
    "Authorization: Bearer {}",
    "Token token={}",
    "postgres://hab:{}@10.0.0.1/builder",
    "password = \"{}\"",
    "eyJhbGciOiJ.eyJzdWIiOi{}.c2ln",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "sesame-{}",
];
/// The last of them, as the configuration knows it.
const CONFIGURED: &str = "sesame-[A-Z0-9]+";
/// How many commands the scene runs.
const COMMANDS: usize = 16;

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new([CONFIGURED]).unwrap());

fn filler() -> impl Strategy<Value = String> {
    "[a-z0-9 .,<>&`*_~@!#/|]{0,40}"
}

fn secret() -> impl Strategy<Value = String> {
    // As long as an AWS key wants it.
    (0..KINDS.len(), "[A-Z0-9]{9}")
        .prop_map(|(kind, rest)| KINDS[kind].replace("{}", &format!("{CORE}{rest}")))
}

/// A text, more often than not with a secret in it.
fn said() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => filler(),
        2 => (filler(), secret(), filler()).prop_map(|(before, secret, after)| format!("{before} {secret} {after}")),
    ]
}

/// What a machine printed: lines, few or too many for a message.
fn printed() -> impl Strategy<Value = String> {
    let long = (vec(said(), 1..8), vec(filler(), 100..140)).prop_map(|(mut some, many)| {
        some.extend(many);
        some
    });
    prop_oneof![vec(said(), 1..8).boxed(), long.boxed()].prop_map(|lines| lines.join("\n"))
}

fn facts() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((said(), said()), 0..3)
}

fn part() -> impl Strategy<Value = Part> {
    let host = (said(), said(), facts()).prop_map(|(node, said, facts)| HostOutcome {
        node,
        state: HostState::Failed,
        said,
        facts,
    });
    let choice = (said(), said()).prop_map(|(label, typed)| Choice {
        label,
        action: Action::Next,
        offer: "opaque".to_owned(),
        typed,
        weight: Weight::Plain,
    });
    prop_oneof![
        said().prop_map(Part::Text),
        facts().prop_map(Part::Facts),
        (vec(said(), 2), vec(vec(said(), 2), 0..3))
            .prop_map(|(columns, rows)| Part::Table { columns, rows }),
        (said(), printed()).prop_map(|(of, text)| Part::Log { of, text }),
        vec(host, 0..3).prop_map(Part::Hosts),
        (said(), printed()).prop_map(|(name, text)| Part::File { name, text }),
        (said(), vec((said(), 0_u64..9), 0..4))
            .prop_map(|(title, points)| Part::Chart { title, points }),
        (said(), said()).prop_map(|(label, command)| Part::Next { label, command }),
        said().prop_map(|command| Part::Undo { command }),
        said().prop_map(|command| Part::Retry { command }),
        (said(), said()).prop_map(|(label, url)| Part::Link { label, url }),
        (said(), vec(choice, 0..3)).prop_map(|(question, choices)| Part::Ask { question, choices }),
    ]
}

fn output() -> impl Strategy<Value = Output> {
    (said(), vec(part(), 0..6)).prop_map(|(title, parts)| Output {
        parts,
        ..Output::new(Status::Partly, title)
    })
}

/// Everything that leaves with an output: to a channel, to one person, where Slack takes no layout, into files, to a terminal; and what
/// is kept of it.
fn leaving(output: Output) -> Vec<String> {
    let redacted = redact(output, &RULES);
    let about = About {
        operation: Some(OperationId(17)),
        incident: None,
        state: "partly".to_owned(),
        actor: Actor::person("T1", "U1"),
        typed: "status".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        back_filled: false,
    };
    let key = MessageKey::operation(OperationId(17));
    let (shared, aside) = (message(&redacted, &about, &key, 1), ephemeral(&redacted));
    let mut all = vec![
        shared.text,
        json!(shared.blocks).to_string(),
        shared.metadata.to_string(),
        aside.text,
        json!(aside.blocks).to_string(),
        plain(&redacted),
        text::render(redacted.output(), text::Look::default()),
        serde_json::to_string(&redacted).unwrap(),
    ];
    let files = redacted.output().files().into_iter();
    all.extend(files.flat_map(|(name, text)| [name, text]));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_secret_leaves_with_an_output_wherever_in_it_it_stands(output in output()) {
        for text in leaving(output) {
            prop_assert!(!text.contains(CORE), "{}", text);
        }
    }
}

const SHOW: &str = r#"summary = "Print a file."
changes = false
role = "member"
confirm = "never"

[runbook]
on = "{target}"
steps = [{ say = "print", run = ["cat", "--", "{file}"] }]

[[arg]]
name = "target"
kind = "target"
help = "A node."

[[arg]]
name = "file"
kind = "text"
help = "Its path."

[[example]]
text = "live-builder-api-0 /proc/loadavg"
"#;

/// The same end to end: what nodes print and people type goes to Slack, into files, the store, the audit, the log, a document and a
/// terminal.
#[test]
fn no_secret_that_a_node_prints_or_a_person_types_is_to_be_seen_or_kept_anywhere() {
    let setup = Setup::default()
        .command("show", SHOW)
        .config(&format!("[redact]\npatterns = [\"{CONFIGURED}\"]"));
    setup.run(async |world| {
        let ana = world.person("ana");
        let opened = ana.types("/habops incident open \"login is slow\"").await;
        let incident = opened.operation.replace("op-", "inc-");
        let mut runner = TestRunner::default();
        let mut planted = 0;
        for number in 0..COMMANDS {
            let text = printed().new_tree(&mut runner).unwrap().current();
            planted += text.matches(CORE).count();
            let file = world.dir().join(format!("printed-{number}"));
            fs::write(&file, text).unwrap();
            ana.types(&format!(
                "/habops show live-builder-api-0 {}",
                file.display()
            ))
            .await;
        }
        let typed = secret().new_tree(&mut runner).unwrap().current();
        let typed = typed.replace(['\n', '"'], " ");
        ana.types(&format!("/habops incident note \"it is {typed} here\""))
            .await;
        world.comes_to_rest().await;
        ana.types("/habops incident export").await;
        world.comes_to_rest().await;

        let mut seen = Vec::new();
        let (mut files, slack) = (0, world.slack());
        for message in everywhere(slack).chain(slack.ephemerals("ana")) {
            let message = serde_json::to_value(&message).unwrap();
            for file in message["files"].as_array().into_iter().flatten() {
                let bytes = slack.file(file["id"].as_str().unwrap()).unwrap();
                seen.push(String::from_utf8(bytes).unwrap());
                files += 1;
            }
            seen.push(message.to_string());
        }
        assert!(files > 0, "no file");
        for entry in fs::read_dir(world.dir()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("habops.db") {
                let bytes = fs::read(entry.path()).unwrap();
                seen.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        seen.push(world.logged());
        let config = world.config();
        let config = config.to_str().unwrap();
        let file = world.dir().join("printed-0");
        let at_terminal = ["show", "live-builder-api-0", file.to_str().unwrap()];
        for words in [
            &[&["do", "--config", config, "--"], &at_terminal[..]].concat()[..],
            &["incident", "export", "--config", config, &incident],
            &["audit", "export", "--config", config],
        ] {
            let ran = habops(words);
            assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
            seen.extend([ran.out, ran.err]);
        }
        for text in &seen {
            let leaked = text.lines().find(|line| line.contains(CORE));
            assert!(leaked.is_none(), "{}", leaked.unwrap());
        }
        let marks: usize = seen
            .iter()
            .map(|text| text.matches("[redacted: ").count())
            .sum();
        assert!(
            planted > 0 && marks >= planted,
            "{marks} marks for {planted}"
        );
    });
}
