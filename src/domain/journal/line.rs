//! What stands in one line of a Builder service, in the style of November 2017 (`LEVEL:module: text`) and in that of February 2018 on
//! (`LEVEL 2018-02-07T16:56:53Z: module: text`), and of those that write in neither.

use std::{fmt, sync::LazyLock};

use regex::Regex;

/// How grave a line says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What only its programmer wants to know.
    Debug,
    /// How it goes.
    Info,
    /// Something odd.
    Warn,
    /// Something failed.
    Error,
    /// The process cannot go on.
    Fatal,
}

/// What finds again the lines that say that something failed, for `logs --grep`.
pub const ONLY_ERRORS: &str = "ERROR|FATAL|PANIC|panicked";

impl Level {
    /// `ERROR`, as the lines themselves write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    /// Whether something failed.
    pub fn is_error(self) -> bool {
        self >= Self::Error
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A message taken apart. Nothing of it is lost: `head` and `body` together are the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'m> {
    /// What the Supervisor put in front: `builder-api.live(O): `; empty for a line that it did not carry.
    pub head: &'m str,
    /// The rest.
    pub body: &'m str,
    /// `builder-api.live`, `hab-sup`; empty without a head.
    pub source: &'m str,
    /// How grave.
    pub level: Option<Level>,
    /// Where in the program: `habitat_net::conn`.
    pub module: Option<&'m str>,
    /// What it says, without level, time and module.
    pub text: &'m str,
}

impl<'m> Reading<'m> {
    /// The service without its group: `builder-api`.
    pub fn service(&self) -> &'m str {
        self.source.split('.').next().unwrap_or_default()
    }

    /// Whether a record begins with this line. Others may be the middle of one.
    pub fn begins(&self) -> bool {
        self.level.is_some()
    }
}

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)?)\([A-Z]{1,3}\)(?:\[[^\]\s]*\])?: ?")
        .expect("a fixed pattern")
});
static LEVEL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(FATAL|PANIC|ERROR|WARN(?:ING)?|INFO|LOG|DEBUG|TRACE)( \d{4}-\d\d-\d\dT[0-9:.]+Z?)?(?:: ?| +\| )")
        .expect("a fixed pattern")
});
static MODULE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([a-z_][a-z0-9_]*(?:::[a-z0-9_]+)*): ?").expect("a fixed pattern")
});
/// nginx: `2017/11/16 00:35:46 [error] 123#0: …`.
static NGINX: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\d{4}/\d\d/\d\d [0-9:]{8} \[(emerg|alert|crit|error|warn|notice|info)\] ")
        .expect("a fixed pattern")
});

/// Takes a message apart.
pub fn read(message: &str) -> Reading<'_> {
    let (head, source) = match HEAD.captures(message) {
        Some(found) => (found.get(0), found.get(1)),
        None => (None, None),
    };
    let head = head.map_or("", |head| head.as_str());
    let body = &message[head.len()..];
    let (level, rest) = level(body);
    let module = level.and_then(|_| MODULE.captures(rest)).filter(|found| {
        // `FATAL: could not …: why` has no module: one is written without a space in the older style, behind the time in the newer.
        found[1].contains("::")
            || dated(body)
            || body.as_bytes().get(body.len() - rest.len() - 1) == Some(&b':')
    });
    let (module, text) = match &module {
        Some(found) => {
            let whole = found.get(0).map_or(0, |whole| whole.end());
            (Some(&rest[..found[1].len()]), &rest[whole..])
        }
        None => (None, rest),
    };
    Reading {
        head,
        body,
        source: source.map_or("", |source| source.as_str()),
        level,
        module,
        text,
    }
}

fn dated(body: &str) -> bool {
    LEVEL
        .captures(body)
        .is_some_and(|found| found.get(2).is_some())
}

fn level(body: &str) -> (Option<Level>, &str) {
    if let Some(found) = LEVEL.captures(body) {
        let level = match &found[1] {
            "FATAL" | "PANIC" => Level::Fatal,
            "ERROR" => Level::Error,
            "WARN" | "WARNING" => Level::Warn,
            "INFO" | "LOG" => Level::Info,
            _ => Level::Debug,
        };
        return (Some(level), &body[found[0].len()..]);
    }
    if let Some(found) = NGINX.captures(body) {
        let level = match &found[1] {
            "emerg" | "alert" | "crit" => Level::Fatal,
            "error" => Level::Error,
            "warn" => Level::Warn,
            _ => Level::Info,
        };
        return (Some(level), &body[found[0].len()..]);
    }
    if body.starts_with("thread '") && body.contains("' panicked at ") {
        return (Some(Level::Error), body);
    }
    (None, body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::{Level, read};

    #[rstest]
    #[case::older(
        "builder-api.live(O): ERROR:habitat_net::conn: [err: TIMEOUT]",
        "builder-api",
        Some(Level::Error),
        Some("habitat_net::conn"),
        "[err: TIMEOUT]"
    )]
    #[case::newer(
        "builder-api.live(O): ERROR 2018-02-07T16:56:53Z: habitat_net::conn: [err: TIMEOUT]",
        "builder-api",
        Some(Level::Error),
        Some("habitat_net::conn"),
        "[err: TIMEOUT]"
    )]
    #[case::one_word_module(
        "builder-router.live(O): WARN:router: late",
        "builder-router",
        Some(Level::Warn),
        Some("router"),
        "late"
    )]
    #[case::no_module(
        "builder-worker.live(O): FATAL: Could not find network interface ens4",
        "builder-worker",
        Some(Level::Fatal),
        None,
        "Could not find network interface ens4"
    )]
    #[case::a_colon_is_no_module(
        "builder-worker.live(O): ERROR: path: missing",
        "builder-worker",
        Some(Level::Error),
        None,
        "path: missing"
    )]
    #[case::postgres(
        "builder-datastore.live(O): LOG:  checkpoint complete",
        "builder-datastore",
        Some(Level::Info),
        None,
        " checkpoint complete"
    )]
    #[case::supervisor(
        "hab-sup(MR): Starting gossip-listener on 0.0.0.0:9638",
        "hab-sup",
        None,
        None,
        "Starting gossip-listener on 0.0.0.0:9638"
    )]
    #[case::verbose(
        "hab-sup(MN)[src/main.rs:1:2]: Started",
        "hab-sup",
        None,
        None,
        "Started"
    )]
    #[case::nginx(
        "builder-api-proxy.live(O): 2017/11/16 00:35:46 [error] 12#0: upstream timed out",
        "builder-api-proxy",
        Some(Level::Error),
        None,
        "12#0: upstream timed out"
    )]
    #[case::a_dump(
        "builder-api.live(O):     method: Get",
        "builder-api",
        None,
        None,
        "    method: Get"
    )]
    #[case::wrapper(
        "sumologic.live(O): INFO   | wrapper  | x",
        "sumologic",
        Some(Level::Info),
        None,
        "wrapper  | x"
    )]
    #[case::panic(
        "builder-api.live(O): thread 'main' panicked at 'x', src/main.rs:1",
        "builder-api",
        Some(Level::Error),
        None,
        "thread 'main' panicked at 'x', src/main.rs:1"
    )]
    #[case::somebody_else(
        "Connection closed by 10.0.0.2 port 30000 [preauth]",
        "",
        None,
        None,
        "Connection closed by 10.0.0.2 port 30000 [preauth]"
    )]
    #[case::no_level("ERRORS: none", "", None, None, "ERRORS: none")]
    fn a_line_is_taken_apart(
        #[case] message: &str,
        #[case] service: &str,
        #[case] level: Option<Level>,
        #[case] module: Option<&str>,
        #[case] text: &str,
    ) {
        let reading = read(message);
        assert_eq!(
            (
                reading.service(),
                reading.level,
                reading.module,
                reading.text
            ),
            (service, level, module, text)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Fails when the head is cut a byte too far.
        #[test]
        fn nothing_of_a_line_is_lost(
            service in "[a-z][a-z-]{0,12}", group in "[a-z]{1,8}", text in "[ -~ä]{0,40}", dated: bool, noise in "\\PC{0,60}",
        ) {
            let stamp = if dated { " 2018-02-07T16:56:53Z: " } else { ":" };
            let message = format!("{service}.{group}(O): ERROR{stamp}habitat_net::conn: {text}");
            let reading = read(&message);
            prop_assert_eq!([reading.head, reading.body].concat(), message.as_str());
            prop_assert_eq!((reading.service(), reading.level), (service.as_str(), Some(Level::Error)));
            prop_assert_eq!((reading.module, reading.text), (Some("habitat_net::conn"), text.as_str()));
            // And whatever it is, it is read without loss.
            let reading = read(&noise);
            prop_assert_eq!([reading.head, reading.body].concat(), noise.as_str());
            prop_assert!(reading.body.ends_with(reading.text));
        }
    }
}
