//! Secrets leave before anything is posted or kept (law 10). Pure; the rules are built once from the configuration.

mod stream;

use std::{borrow::Cow, ops::Range};

use regex::{Regex, RegexBuilder};

pub use stream::{Clean, LINES_BACK, Stream};

/// The patterns whose matches are removed.
#[derive(Clone, Debug)]
pub struct Rules {
    patterns: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    what: &'static str,
    regex: Regex,
}

/// A pattern of the configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[redact] patterns: `{pattern}`: {why}")]
pub struct BadPattern {
    /// As configured.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// What is known to be secret everywhere. A group called `s` is what goes; without one the whole match goes. The boundaries are ASCII's:
/// with Unicode's the quickest searches give up at the first `·`.
const BUILT_IN: &[(&str, &str)] = &[
    (
        "slack token",
        r"(?-u:\b)xox[abeoprs]-[A-Za-z0-9-]{8,}|(?-u:\b)xapp-[A-Za-z0-9-]{8,}|https://hooks\.slack\.com/[A-Za-z0-9/_-]+",
    ),
    (
        "github token",
        r"(?-u:\b)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    ),
    ("aws key", r"(?-u:\b)(?:AKIA|ASIA)[A-Z0-9]{16}(?-u:\b)"),
    (
        "aws secret",
        r"(?i)aws_?secret_?(?:access_?)?key\S{0,3}\s*[=:]\s*(?P<s>[A-Za-z0-9/+=]{30,})",
    ),
    ("login code", r"/v1/authenticate/(?P<s>[^\s/?\x22'\\]+)"),
    (
        "builder token",
        r"(?:HAB_AUTH_TOKEN\s*[=:]\s*|Bearer\s+|bearer\s+)(?P<s>[^\s\x22',;]{6,})|(?-u:\b)_[A-Za-z0-9+/]{30,}={0,2}",
    ),
    ("pagerduty token", r"(?i)token token=(?P<s>[^\s\x22',;]+)"),
    (
        "password in a url",
        r"(?-u:\b)[a-z][a-z0-9+.-]{1,20}://[^\s:/@]*:(?P<s>[^\s@/]+)@",
    ),
    (
        "password",
        r"(?i)(?-u:\b)(?:password|passwd|pwd|secret|api_?key|access_?token|auth_?token|client_?secret|private_?token)\x22?\s*(?:[=:]|=>)\s*\x22?(?P<s>[^\s\x22',;]{4,})",
    ),
    (
        "json web token",
        r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}",
    ),
    (
        "habitat key",
        r"(?s)(?-u:\b)(?:SIG-SEC|BOX-SEC|SYM-SEC|HIDDEN)-1\s.*",
    ),
];

/// Where a private key begins; it is removed to its end, or to the end of the text when the end is missing.
const KEY_BEGIN: &str = "-----BEGIN ";
const KEY_KIND: &str = "PRIVATE KEY";
const KEY_END: &str = "-----END ";

/// What stands where a secret stood.
fn mark(what: &str) -> String {
    format!("[redacted: {what}]")
}

impl Rules {
    /// The built-in rules and those of the configuration.
    pub fn new<'a>(configured: impl IntoIterator<Item = &'a str>) -> Result<Self, BadPattern> {
        let mut patterns = Vec::new();
        for (what, pattern) in BUILT_IN {
            patterns.push(Rule {
                what,
                regex: Regex::new(pattern)
                    .expect("the built-in patterns compile: a test runs them"),
            });
        }
        for pattern in configured {
            let bad = |why: String| BadPattern {
                pattern: pattern.to_owned(),
                why,
            };
            let regex = RegexBuilder::new(pattern)
                .size_limit(1 << 20)
                .build()
                .map_err(|error| bad(in_one_line(&error)))?;
            if regex.is_match("") {
                return Err(bad(
                    "it matches the empty text, so it would remove everything".to_owned(),
                ));
            }
            patterns.push(Rule {
                what: "configured pattern",
                regex,
            });
        }
        Ok(Self { patterns })
    }

    /// The text without its secrets, and how many were removed. Redacting twice changes nothing more.
    pub fn redact<'a>(&self, text: &'a str) -> (Cow<'a, str>, u64) {
        let (mut clean, mut removed) = keys(text);
        for rule in &self.patterns {
            if !rule.regex.is_match(&clean) {
                continue;
            }
            let (replaced, count) = apply(rule, &clean);
            if count > 0 {
                clean = Cow::Owned(replaced);
                removed += count;
            }
        }
        (clean, removed)
    }

    /// Where secrets are: what tells each, and itself within that. A private key is seen to by [`Stream`].
    fn spans(&self, text: &str) -> Vec<(Range<usize>, Range<usize>)> {
        let found = self.patterns.iter().flat_map(|rule| {
            rule.regex.captures_iter(text).map(|found| {
                let whole = found.get(0).expect("group 0 is the match").range();
                let secret = found
                    .name("s")
                    .map_or(whole.clone(), |secret| secret.range());
                (whole, secret)
            })
        });
        found.collect()
    }
}

/// What is wrong, without the drawing that points at the place.
fn in_one_line(error: &regex::Error) -> String {
    let said = error.to_string();
    let last = said.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn apply(rule: &Rule, text: &str) -> (String, u64) {
    let (mut out, mut at, mut count) = (String::with_capacity(text.len()), 0, 0);
    for found in rule.regex.captures_iter(text) {
        let secret = found
            .name("s")
            .or_else(|| found.get(0))
            .expect("group 0 is the match");
        if secret.as_str().starts_with("[redacted:") || secret.as_str().is_empty() {
            continue;
        }
        out.push_str(&text[at..secret.start()]);
        out.push_str(&mark(rule.what));
        at = secret.end();
        count += 1;
    }
    out.push_str(&text[at..]);
    (out, count)
}

/// Private-key blocks, removed whole; one without an end is removed to the end of the text.
fn keys(text: &str) -> (Cow<'_, str>, u64) {
    let (mut out, mut rest, mut count) = (String::new(), text, 0);
    while let Some(begin) = rest.find(KEY_BEGIN) {
        let after = &rest[begin + KEY_BEGIN.len()..];
        let header = after.split(['\n', '\r']).next().unwrap_or_default();
        if !header.contains(KEY_KIND) {
            out.push_str(&rest[..begin + KEY_BEGIN.len()]);
            rest = after;
            continue;
        }
        out.push_str(&rest[..begin]);
        out.push_str(&mark("private key"));
        count += 1;
        rest = match after.find(KEY_END) {
            Some(end) => {
                let tail = &after[end + KEY_END.len()..];
                let close = tail.find(KEY_KIND).map_or(0, |at| at + KEY_KIND.len());
                tail[close..].trim_start_matches('-')
            }
            None => "",
        };
    }
    if count == 0 {
        return (Cow::Borrowed(text), 0);
    }
    out.push_str(rest);
    (Cow::Owned(out), count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::Rules;

    fn rules() -> Rules {
        Rules::new(["sesame-[0-9]+"]).unwrap()
    }

    #[rstest]
    #[case(
        "url: http://backend/v1/authenticate/ca363a29d90875123456\" }",
        "ca363a29d90875123456"
    )]
    #[case("token xoxb-1234567890-abcdefgh here", "xoxb-1234567890-abcdefgh")]
    #[case("postgres://hab:hunter22@127.0.0.1/db", "hunter22")]
    #[case("HAB_AUTH_TOKEN=_Qk9YLVNFQy0xCg==", "Qk9YLVNFQy0xCg")]
    #[case("Authorization: Bearer abcdef123456", "abcdef123456")]
    #[case("Token token=y_NbAkKc66ryYTWUXYEu", "y_NbAkKc66ryYTWUXYEu")]
    #[case("password = \"swordfish\"", "swordfish")]
    #[case("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE")]
    #[case("Schlüsselé·AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE")]
    #[case("éxoxb-1234567890-abcdefgh", "xoxb-1234567890-abcdefgh")]
    #[case("open sesame-42 now", "sesame-42")]
    #[case(
        "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----\nb",
        "MIIEow"
    )]
    #[case(
        "a\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk",
        "b3BlbnNzaC1rZXk"
    )]
    fn removes(#[case] text: &str, #[case] secret: &str) {
        let rules = rules();
        let (clean, removed) = rules.redact(text);
        assert!(!clean.contains(secret), "{clean}");
        assert!(removed >= 1);
        assert_eq!(
            rules.redact(&clean).1,
            0,
            "redacting twice changes nothing more: {clean}"
        );
    }

    #[rstest]
    #[case("ERROR:habitat_net::conn: [err: TIMEOUT, msg: net:route:3], Connection recv timeout")]
    #[case("core/builder-api/6048/20171115193120  standalone  up  90215  40751")]
    #[case("ip-10-0-0-147 hab[40751]: builder-api.live(O)")]
    #[case("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----")]
    fn leaves_ordinary_lines(#[case] text: &str) {
        assert_eq!(rules().redact(text), (text.into(), 0));
    }

    #[test]
    fn keeps_what_follows_a_key() {
        let text = "a\n-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\nb";
        assert_eq!(rules().redact(text).0, "a\n[redacted: private key]\nb");
    }

    proptest! {
        #[test]
        fn a_planted_token_never_survives(before in "[ -~\n]{0,60}", after in "[ -~\n]{0,60}", code in "[A-Za-z0-9]{12,30}") {
            let text = format!("{before}\n/v1/authenticate/{code}\n{after} xoxb-{code} {after}");
            let (clean, _) = rules().redact(&text).clone();
            prop_assert!(!clean.contains(&code) || before.contains(&code) || after.contains(&code), "{}", clean);
        }
    }
}
