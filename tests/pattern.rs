//! A pattern and the real `grep -E`: what a node lets through holds all that we find in it, whatever was typed.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use rstest::rstest;

use habops::domain::pattern::Pattern;

/// Which of the messages a real `grep -E` finds in journalctl's JSON.
fn grep(pattern: &Pattern, messages: &[&str]) -> Vec<bool> {
    let mut lines = String::new();
    for (number, message) in messages.iter().enumerate() {
        let entry = serde_json::json!({"A": "hab TIMEOUT 40751", "MESSAGE": message, "N": number});
        lines.extend([&entry.to_string(), "\n"]);
    }
    let case = if pattern.ignores_case() { "-i" } else { "-a" };
    let mut child = Command::new("grep")
        .args(["-n", case, "-a", "-E", "-e", &pattern.for_grep()])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.is_empty(), "{}: {complaint}", pattern.for_grep());
    let found: Vec<usize> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split(':').next().unwrap().parse().unwrap())
        .collect();
    (1..=messages.len())
        .map(|number| found.contains(&number))
        .collect()
}

const MESSAGES: [&str; 8] = [
    "builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout",
    "builder-api.live(O):     url: Url { generic_url: \"http://backend/v1/authenticate/ca36\" }",
    "builder-worker.live(O): Device \"ens4\" does not exist.",
    "path C:\\temp\\x and a tab\there",
    "größer als — nötig",
    "a]b^c-d[e",
    "worker[3] restarting...",
    "",
];

#[rstest]
#[case("TIMEOUT")]
#[case("timeout")]
#[case(r"net:route:\d+")]
#[case(r"\[err: (TIMEOUT|NO_SHARD), msg: [a-z:]+\d\]")]
#[case(r#"generic_url: "http"#)]
#[case(r"\\temp\\")]
#[case(r"tab\shere")]
#[case("gr.ßer")]
#[case("[^a-z]ens4[^a-z]")]
#[case(r"[]^\[-]b")]
#[case(r"^builder.*timeout$")]
#[case(r"(a+)+$")]
#[case("x{0,3}worker")]
#[case("(?i)DEVICE")]
#[case("hab|40751")]
#[case(r"\bens4\b")]
#[case("(|x)")]
fn what_grep_lets_through_holds_all_that_we_find(#[case] typed: &str) {
    let pattern = Pattern::new(typed).unwrap();
    for (message, let_through) in MESSAGES.iter().zip(grep(&pattern, &MESSAGES)) {
        assert!(
            let_through || !pattern.is_match(message),
            "{typed} by {}: {message}",
            pattern.for_grep()
        );
    }
}

#[rstest]
#[case("40751")]
#[case("hab TIMEOUT")]
fn other_fields_than_the_message_are_not_searched(#[case] typed: &str) {
    let pattern = Pattern::new(typed).unwrap();
    assert_eq!(grep(&pattern, &["nothing", "else"]), [false, false]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fails when a character's JSON form is not escaped for `grep`.
    #[test]
    fn any_text_is_found_in_itself(text in "[ -~äß\t]{1,30}", around in "[ -~]{0,10}") {
        let pattern = Pattern::new(&regex::escape(&text)).unwrap();
        let message = format!("{around}{text}{around}");
        prop_assert!(pattern.is_match(&message));
        prop_assert_eq!(grep(&pattern, &[&message, "@"])[0], true, "{}", pattern.for_grep());
    }

    /// Nobody can make `grep` or us fail with a pattern that was taken.
    #[test]
    fn any_pattern_that_is_taken_can_be_searched_for(typed in "[-a-c\\[\\](){}^$|.*+?\\\\dwsb0-3\"]{1,12}", message in "[a-c0-3 \\[\\]^\"\\\\-]{0,20}") {
        if let Ok(pattern) = Pattern::new(&typed) {
            let let_through = grep(&pattern, &[&message])[0];
            prop_assert!(let_through || !pattern.is_match(&message), "{} by {}: {}", typed, pattern.for_grep(), message);
        }
    }
}
