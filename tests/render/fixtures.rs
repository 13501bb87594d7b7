//! One output for every status and every part.

use habops::domain::output::{
    Action, Choice, HostOutcome, HostState, Output, Part, Status, Weight,
};

/// Their names.
pub const NAMES: [&str; 12] = [
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
    "empty",
];

fn host(node: &str, state: HostState, said: &str) -> HostOutcome {
    HostOutcome {
        node: node.to_owned(),
        state,
        said: said.to_owned(),
        facts: Vec::new(),
    }
}

/// Owned words.
pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// A button.
pub fn choice(label: &str, action: Action, typed: &str, weight: Weight) -> Choice {
    Choice {
        label: label.to_owned(),
        action,
        offer: format!("offer-{}", action.word()),
        typed: typed.to_owned(),
        weight,
    }
}

/// The output of that name.
pub fn fixture(name: &str) -> Output {
    match name {
        "done" => done(),
        "partly" => Output::new(Status::Partly, "2 of 4 nodes restarted").with(Part::Hosts(vec![
            host("live-builder-worker-0", HostState::Done, "recovered"),
            host(
                "live-builder-worker-1",
                HostState::Failed,
                "did not come up",
            ),
            host(
                "live-builder-worker-2",
                HostState::Unreachable,
                "no answer within 5 s",
            ),
            host("live-builder-worker-3", HostState::Skipped, ""),
        ])),
        "failed" => Output::new(
            Status::Failed,
            "live-builder-router-0: sudo wants a password",
        )
        .with(Part::Log {
            of: "live-builder-router-0, stderr".into(),
            text: "sudo: a password is required\n".into(),
        }),
        "refused" => Output::new(Status::Refused, "No role called `aip`")
            .text("Did you mean `api`? Roles of live: api, router, worker."),
        "ask" => Output::new(Status::Waiting, "Restart hab-sup on live-builder-api-0?")
            .with(Part::Facts(vec![("up for".into(), "3 d 4 h".into())]))
            .with(Part::Ask {
                question: "A second person with the role operator has to say yes.".into(),
                choices: vec![
                    choice("Approve", Action::Approve, "approve op-17", Weight::Danger),
                    choice("Deny", Action::Deny, "deny op-17", Weight::Plain),
                ],
            })
            .with(Part::Ask {
                question: String::new(),
                choices: vec![choice(
                    "Restart all",
                    Action::Next,
                    "restart live/api",
                    Weight::Danger,
                )],
            }),
        "running" => Output::new(Status::Running, "status live: 3 of 8 nodes have answered"),
        "interrupted" => Output::new(Status::Interrupted, "restart live-builder-api-0"),
        "long_log" => Output::new(Status::Done, "1,912 lines of live/api").with(Part::Log {
            of: "live/api, builder-api".into(),
            text: (1..=1912).fold(String::new(), |text, n| {
                text + &format!(
                    "03:04:{:02} builder-api.live(O): request {n} took {n} ms\n",
                    n % 60
                )
            }),
        }),
        "twenty_nodes" => Output::new(Status::Partly, "19 of 20 nodes answer").with(Part::Hosts(
            (0..20)
                .map(|n| HostOutcome {
                    node: format!("live-builder-worker-{n}"),
                    state: if n == 0 {
                        HostState::Unreachable
                    } else {
                        HostState::Done
                    },
                    said: if n == 0 {
                        "no answer within 5 s".into()
                    } else {
                        String::new()
                    },
                    facts: if n == 0 {
                        vec![("ec2".into(), "running, ok".into())]
                    } else {
                        vec![
                            ("ec2".into(), "running, ok".into()),
                            ("up".into(), "2/2".into()),
                            ("load".into(), format!("0.{n}")),
                        ]
                    },
                })
                .collect(),
        )),
        other => odd(other),
    }
}

fn done() -> Output {
    Output::new(Status::Done, "live-builder-api-0: builder-api is up")
        .text("It came back after 12 s; `logs live/api --since 5m` shows nothing new.")
        .with(Part::Facts(vec![
            (
                "service".into(),
                "core/builder-api/6048/20171115193120".into(),
            ),
            ("pid".into(), "40751".into()),
        ]))
        .with(Part::Chart {
            title: "errors a minute".into(),
            points: [12, 40, 3, 0, 0]
                .iter()
                .enumerate()
                .map(|(n, v)| (format!("03:0{n}"), *v))
                .collect(),
        })
        .with(Part::Link {
            label: "incident inc-3".into(),
            url: "https://habitat.slack.com/archives/C1/p1".into(),
        })
        .with(Part::Next {
            label: "Look at its log".into(),
            command: "logs live/api --grep \"NO_SHARD\"".into(),
        })
}

fn odd(name: &str) -> Output {
    match name {
        "hostile" => Output::new(
            Status::Failed,
            "<!channel> <@U1> <https://evil.example|click> *bold* ```\n& \u{1b}[2J\u{202e}title",
        )
        .text("<!here> <#C1|ops> `code` ``` &lt;!everyone&gt; \u{0}\u{7} @channel _it_ ~no~")
        .with(Part::Log {
            of: "```<@U1>".into(),
            text: "```\n<!channel>\n\u{1b}]0;owned\u{7}\u{1b}[31mred\u{1b}[0m\n</pre><script>\nuser\u{202e}gpj.exe".into(),
        })
        .with(Part::Table { columns: words(&["<!channel>", "b"]), rows: vec![words(&["<@U1>\n```", ""]), words(&["one cell"])] })
        .with(Part::Facts(vec![("*k*<".into(), "<!here>\nnext".into())]))
        .with(Part::Link { label: "<!channel>".into(), url: "javascript:alert(1)".into() })
        .with(Part::Next { label: "`<!channel>`".into(), command: "note \"$(reboot) `id` <!channel>\"".into() })
        .with(Part::Ask {
            question: "<!channel> ```".into(),
            choices: vec![choice("<!channel>\n*x*", Action::Choose, "note `<!channel>`", Weight::Danger)],
        })
        .with(Part::Hosts(vec![host("<!channel>", HostState::Failed, "```<@U1>")])),
        "unicode" => Output::new(Status::Done, "Größe der Warteschlange 👨‍👩‍👧: 12")
            .with(Part::Table {
                columns: words(&["узел", "状態"]),
                rows: vec![words(&["приёмка-0", "動作中 ✅"]), words(&["é", "🇵🇹"])],
            })
            .with(Part::File { name: "bericht.txt".into(), text: "größe\n".repeat(1200) }),
        "empty" => Output::new(Status::Done, "")
            .text("")
            .with(Part::Facts(vec![]))
            .with(Part::Hosts(vec![]))
            .with(Part::Table { columns: vec![], rows: vec![] })
            .with(Part::Log { of: String::new(), text: String::new() })
            .with(Part::Chart { title: String::new(), points: vec![] })
            .with(Part::Ask { question: String::new(), choices: vec![] }),
        other => panic!("no fixture {other}"),
    }
}
