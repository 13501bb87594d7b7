//! Typed lines, as a table: what each means, and in which words it is refused.

use habops::{
    catalogue::Catalogue,
    domain::{
        command::{ArgKind, Commands},
        parse::{self, LONGEST_LINE, read_value},
    },
};
use jiff::Timestamp;
use proptest::prelude::{
    ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest,
};
use rstest::rstest;
use serde_json::Value;

/// A command with an argument of every kind, as options so that each can be tried alone.
const EVERY_KIND: &str = r#"summary = "Try."
changes = false
role = "member"
confirm = "never"
handler = "kinds"
"#;

const KINDS: [&str; 15] = [
    "text",
    "integer",
    "choice",
    "environment",
    "target",
    "service",
    "ident",
    "channel",
    "person",
    "duration",
    "time",
    "pattern",
    "operation",
    "incident",
    "flag",
];

/// Positional arguments of several shapes.
const SHAPES: &str = r#"summary = "Try."
changes = false
role = "member"
confirm = "never"
handler = "shapes"

[[arg]]
name = "first"
kind = "target"
help = "x"

[[arg]]
name = "count"
kind = "integer"
default = "3"
help = "x"

[[arg]]
name = "rest"
kind = "service"
optional = true
many = true
help = "x"

[[arg]]
name = "since"
kind = "time"
option = true
optional = true
help = "x"
"#;

/// Many before one.
const MOVES: &str = r#"summary = "Try."
changes = false
role = "member"
confirm = "never"
handler = "moves"
environment_of = "to"

[[arg]]
name = "what"
kind = "ident"
many = true
help = "x"

[[arg]]
name = "to"
kind = "text"
help = "x"

[[arg]]
name = "group"
kind = "service"
option = true
optional = true
help = "x"
"#;

fn commands() -> Commands {
    let mut kinds = EVERY_KIND.to_owned();
    for kind in KINDS {
        let more = match kind {
            "choice" | "environment" => {
                "choices = [\"thread\", \"channel\"]\noption = true\noptional = true"
            }
            "flag" => "",
            _ => "option = true\noptional = true",
        };
        // `--incident` is a flag of every command.
        let name = if kind == "incident" { "which" } else { kind };
        let arg = format!("[[arg]]\nname = \"{name}\"\nkind = \"{kind}\"\nhelp = \"x\"\n{more}\n");
        kinds.push_str(&arg);
    }
    let tried = Catalogue::of(&[
        ("kinds.toml", &kinds),
        ("shapes.toml", SHAPES),
        ("moves.toml", MOVES),
    ]);
    let tried = tried.unwrap_or_else(|faults| panic!("{faults}")).commands;
    let embedded = Catalogue::embedded()
        .unwrap_or_else(|faults| panic!("{faults}"))
        .commands;
    Commands::new(
        tried
            .iter()
            .chain(embedded.iter())
            .map(|spec| (**spec).clone()),
    )
}

fn now() -> Timestamp {
    "2017-11-16T00:35:00Z".parse().unwrap()
}

/// What a line means: the command, its arguments, its flags; or why it means nothing.
fn meaning(typed: &str) -> String {
    match parse::parse(typed, &COMMANDS, now()) {
        Err(refusal) => refusal.said,
        Ok(parsed) => {
            let flags = parsed.flags();
            let args = parsed
                .args()
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let incident = flags
                .incident
                .map(|incident| format!("+incident={incident}"));
            let reason = flags
                .reason
                .as_ref()
                .map(|reason| format!("+reason={reason:?}"));
            let switches = [
                (flags.here, "+here"),
                (flags.by_hand, "+by-hand"),
                (flags.json, "+json"),
            ];
            let set = switches
                .into_iter()
                .filter(|(set, _)| *set)
                .map(|(_, name)| name.to_owned());
            let words: Vec<String> = std::iter::once(parsed.spec().name.to_string())
                .chain(args)
                .chain(incident)
                .chain(reason)
                .chain(set)
                .collect();
            words.join(" ")
        }
    }
}

#[rstest]
#[case::nothing("", "help")]
#[case::spaces("   ", "help")]
#[case::a_bare_command("status", "status")]
#[case::any_case("STATUS api", r#"status target="api""#)]
#[case::two_words(
    "incident open search is slow",
    r#"incident open title="search is slow""#
)]
#[case::quoted(
    "incident open \"search is slow\" --channel here",
    r#"incident open channel="here" title="search is slow""#
)]
#[case::option_first(
    "incident open --channel thread search is slow",
    r#"incident open channel="thread" title="search is slow""#
)]
#[case::inline_option(
    "incident open x --channel=thread",
    r#"incident open channel="thread" title="x""#
)]
#[case::global_flags(
    "status api --here --by-hand --json --incident 17 --reason 'why not'",
    r#"status target="api" +incident=inc-17 +reason="why not" +here +by-hand +json"#
)]
#[case::apostrophe("incident note it's down", r#"incident note text="it's down""#)]
#[case::apostrophe_at_the_end(
    "incident note the nodes' disks and the workers' queue",
    r#"incident note text="the nodes' disks and the workers' queue""#
)]
#[case::apostrophe_in_quotes("incident note \"it's down\"", r#"incident note text="it's down""#)]
#[case::apostrophe_in_single_quotes(
    "incident note 'it's down'",
    r#"incident note text="it's down""#
)]
#[case::single_quotes("incident note 'a  b'", r#"incident note text="a  b""#)]
#[case::hash("incident note see #ops", r#"incident note text="see #ops""#)]
#[case::hash_in_quotes("incident note \"see #ops\"", r#"incident note text="see #ops""#)]
#[case::backslash_in_quotes("incident note \"a\\\"b\"", r#"incident note text="a\"b""#)]
#[case::words_like_options_in_text(
    "incident note ran journalctl --since 5m -u hab-sup",
    r#"incident note text="ran journalctl --since 5m -u hab-sup""#
)]
#[case::help_in_text(
    "incident note hab --help is long",
    r#"incident note text="hab --help is long""#
)]
#[case::text_after_two_hyphens(
    "incident note -- --here it ends",
    r#"incident note text="--here it ends""#
)]
#[case::text_may_begin_with_a_hyphen(
    "incident note -5 degrees",
    r#"incident note text="-5 degrees""#
)]
#[case::help_of_a_command("incident open --help", r#"help command="incident open""#)]
#[case::freeze_everywhere("freeze \"db migration\"", r#"freeze why="db migration""#)]
#[case::freeze_everywhere_unquoted(
    "freeze db migration --force",
    r#"freeze why="db migration --force""#
)]
#[case::freeze_one(
    "freeze live \"db migration\"",
    r#"freeze environment="live" why="db migration""#
)]
#[case::freeze_one_unquoted(
    "freeze acceptance db migration",
    r#"freeze environment="acceptance" why="db migration""#
)]
#[case::freeze_one_on_a_phone(
    "Freeze Live migration",
    r#"freeze environment="live" why="migration""#
)]
#[case::freeze_starting_like_one("freeze \"live is down\"", r#"freeze why="live is down""#)]
#[case::default("shapes api", r#"shapes count=3 first="api""#)]
#[case::many(
    "shapes api 4 builder-api builder-jobsrv",
    r#"shapes count=4 first="api" rest=["builder-api","builder-jobsrv"]"#
)]
#[case::one_before_the_last("moves core/redis stable", r#"moves to="stable" what=["core/redis"]"#)]
#[case::many_before_the_last(
    "moves core/redis --group builder core/hab stable --here",
    r#"moves group="builder" to="stable" what=["core/redis","core/hab"] +here"#
)]
#[case::default_option("audit", "audit limit=20")]
#[case::unfreeze("unfreeze", "unfreeze")]
#[case::link("incident link <#C0123>", r#"incident link channel="C0123""#)]
fn a_line_means(#[case] typed: &str, #[case] meant: &str) {
    assert_eq!(meaning(typed), meant);
}

#[rstest]
#[case("--text", "-x y", r#""-x y""#)]
#[case("--integer", "42", "42")]
#[case("--choice", "thread", r#""thread""#)]
#[case("--environment", "Thread", r#""thread""#)]
#[case(
    "--target",
    "live/api,live-builder-worker-*",
    r#""live/api,live-builder-worker-*""#
)]
#[case("--service", "builder-api", r#""builder-api""#)]
#[case(
    "--ident",
    "core/redis/4.0.1/20171014212634",
    r#""core/redis/4.0.1/20171014212634""#
)]
#[case("--channel", "<#C0123>", r#""C0123""#)]
#[case("--channel", "D0123", r#""D0123""#)]
#[case("--person", "<@U0123>", r#""U0123""#)]
#[case("--duration", "15m", r#""15m""#)]
#[case("--duration", "2days 1h", r#""2days 1h""#)]
#[case("--time", "2017-11-15 23:59", r#""2017-11-15T23:59:00Z""#)]
#[case("--time", "2017-11-15T23:59:30", r#""2017-11-15T23:59:30Z""#)]
#[case("--time", "2017-11-15T16:00:00-08:00", r#""2017-11-16T00:00:00Z""#)]
#[case("--time", "00:10", r#""2017-11-16T00:10:00Z""#)]
#[case("--time", "23:50", r#""2017-11-15T23:50:00Z""#)]
#[case("--time", "15m", r#""2017-11-16T00:20:00Z""#)]
#[case("--time", "2h ago", r#""2017-11-15T22:35:00Z""#)]
#[case("--pattern", "(TIMEOUT|NO_SHARD)", r#""(TIMEOUT|NO_SHARD)""#)]
#[case("--operation", "OP-17", r#""op-17""#)]
#[case("--operation", "17", r#""op-17""#)]
#[case("--which", "inc-3", r#""inc-3""#)]
fn a_value_of_each_kind_is_read(#[case] option: &str, #[case] typed: &str, #[case] value: &str) {
    let name = option.trim_start_matches('-');
    assert_eq!(
        meaning(&format!("kinds {option} \"{typed}\"")),
        format!("kinds {name}={value}")
    );
}

#[test]
fn what_cannot_be_understood_is_refused_with_what_to_do() {
    let lines = [
        "statsu",
        "xyzzy",
        "incident",
        "incident opne x",
        "incident xyzzy",
        "inciden open x",
        "status api router",
        "status --taget api",
        "status --target api",
        "status --hree",
        "status --here=yes",
        "status --incident",
        "status --incident x",
        "status --reason ''",
        "services",
        "services -x",
        "status ../etc",
        "audit --limit many",
        "audit --limit -5",
        "approve 1.5",
        "freeze",
        "freeze live",
        "freeze lvie migration",
        "unfreeze everything",
        "incident open x --channel hall",
        "incident link operations",
        "incident note",
        "incident note \"  \"",
        "incident note \"open",
        "kinds --service -rf",
        "kinds --service 'a b'",
        "kinds --ident redis",
        "kinds --person ana",
        "kinds --duration 0s",
        "kinds --duration soon",
        "kinds --time 25:00",
        "kinds --pattern '('",
        "kinds --flag=yes",
        "shapes api 4 -x",
        "moves",
        "moves core/redis",
        "moves stable",
        "moves core/redis hab stable",
        "moves core/redis stable --grup builder",
    ];
    let mut said = String::new();
    for line in lines {
        let meaning = meaning(line);
        let (why, _usage) = meaning
            .split_once(" Usage: `kinds")
            .unwrap_or((&meaning, ""));
        said.extend([line, "\n    ", why, "\n"]);
    }
    insta::assert_snapshot!(said);
}

#[test]
fn the_fleets_environments_are_known_to_the_commands_that_name_one() {
    let of_fleet = commands().of_fleet(&["dev".into(), "live".into()].into());
    let choices = |name: &str| {
        let parsed = parse::parse(&format!("{name} dev x"), &of_fleet, now());
        parsed.map(|parsed| serde_json::to_string(parsed.args()).unwrap())
    };
    assert_eq!(
        choices("freeze").unwrap(),
        r#"{"environment":"dev","why":"x"}"#
    );
    let spec = of_fleet.get("unfreeze").unwrap();
    assert_eq!(spec.args[0].choices, ["live", "acceptance", "dev"]);
    let why = parse::parse("kinds --choice dev", &of_fleet, now()).unwrap_err();
    assert!(why.said.contains("is one of"), "{why}");
}

#[test]
fn a_line_longer_than_any_command_is_refused() {
    let long = "x".repeat(LONGEST_LINE + 1);
    assert_eq!(
        meaning(&long),
        "That is 4001 bytes; a command may have 4000."
    );
    let pattern = format!("kinds --pattern {}", "a".repeat(201));
    assert!(meaning(&pattern).starts_with("A pattern has 1 to 200 characters."));
}

#[test]
fn every_example_of_the_catalogue_means_its_command() {
    let commands = commands();
    let mut seen = 0;
    for spec in commands.iter() {
        for example in &spec.examples {
            let typed = format!("{} {example}", spec.name);
            let parsed = parse::parse(&typed, &commands, now())
                .unwrap_or_else(|refusal| panic!("{typed}: {refusal}"));
            assert_eq!(parsed.spec().name, spec.name, "{typed}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} examples");
}

/// Words that fit some kind, and some that fit almost.
const LIKELY: [&str; 18] = [
    "api",
    "3",
    "-3",
    "builder-api",
    "-rf",
    "-",
    "live",
    "15m",
    "00:10",
    "core/redis",
    "-a/b",
    "op-17",
    "17",
    "<@U1>",
    "<#C1>",
    "(a|b)",
    "it's",
    "\"a b\"",
];

/// Lines that look enough like commands to get past the first word.
fn line() -> impl Strategy<Value = String> {
    let names: Vec<String> = commands()
        .iter()
        .map(|spec| spec.name.to_string())
        .collect();
    let flags = [
        "incident", "here", "by-hand", "reason", "json", "help", "limit", "place", "all", "since",
    ];
    let options = prop::sample::select([KINDS.as_slice(), &flags].concat());
    let word = proptest::prop_oneof![
        any::<String>(),
        "\\PC{0,12}",
        "[-a-z0-9/.,*'\"#<>@ ]{0,12}",
        options.prop_map(|name| format!("--{name}")),
        prop::sample::select(LIKELY.as_slice()).prop_map(str::to_owned),
    ];
    // The commands that take every kind and shape come as often as all others.
    let shapes = ["kinds", "shapes api 4", "moves core/redis"].map(str::to_owned);
    let name = proptest::prop_oneof![
        prop::sample::select(names),
        prop::sample::select(shapes.to_vec()),
    ];
    (name, prop::collection::vec(word, 0..8))
        .prop_map(|(name, words)| format!("{name} {}", words.join(" ")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(typed in any::<String>()) {
        let _ = parse::parse(&typed, &COMMANDS, now());
    }

    #[test]
    fn an_argument_always_fits_its_kind(typed in line()) {
        let Ok(parsed) = parse::parse(&typed, &COMMANDS, now()) else {
            return Ok(());
        };
        for (name, value) in parsed.args() {
            let spec = parsed.spec().args.iter().find(|arg| arg.name == *name).expect("an argument of the command");
            let values = match value {
                Value::Array(values) => {
                    prop_assert!(spec.many);
                    values.clone()
                }
                value => vec![value.clone()],
            };
            for value in values {
                if spec.kind == ArgKind::Flag {
                    prop_assert_eq!(value, Value::Bool(true));
                    continue;
                }
                let again = match &value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    other => panic!("{other}"),
                };
                prop_assert!(spec.kind == ArgKind::Text || !again.starts_with('-') || spec.kind == ArgKind::Integer);
                prop_assert_eq!(read_value(spec, &again, now()), Ok(value));
            }
        }
        for spec in &parsed.spec().args {
            let may_miss = spec.optional || spec.kind == ArgKind::Flag;
            prop_assert!(may_miss || parsed.args().contains_key(&spec.name), "{} is missing", spec.name);
        }
    }
}

static COMMANDS: std::sync::LazyLock<Commands> = std::sync::LazyLock::new(commands);
