//! What is run on a node, built from words only, and what came of it. The one place where words become a line for a shell.

use std::time::Duration;

use super::error::Error;

/// The bytes of output kept where a command does not say: enough for any look, small beside 64 nodes at once.
const LIMIT: usize = 1024 * 1024;
/// Seconds between asking the process on the node to end and ending it.
const KILL_AFTER: u64 = 2;

/// A command, as words. No shell ever sees them unquoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    words: Vec<String>,
    limit: usize,
    timeout: Option<Duration>,
    held: bool,
}

impl Command {
    /// A program and its arguments.
    pub fn new<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            limit: LIMIT,
            timeout: None,
            held: false,
        }
    }

    /// A fixed script for `sh`, where a pipe is needed on the node. The words are its `"$1"`, `"$2"` …, never part of it.
    pub fn script<W: Into<String>>(
        script: &'static str,
        words: impl IntoIterator<Item = W>,
    ) -> Self {
        let fixed = ["sh", "-c", script, "sh"].map(String::from);
        Self::new(fixed.into_iter().chain(words.into_iter().map(Into::into)))
    }

    /// Keeps at most this many bytes of output, both kinds together; the command is stopped there. Default 1 MiB.
    #[must_use]
    pub fn limit(mut self, max_bytes: usize) -> Self {
        self.limit = max_bytes;
        self
    }

    /// Stops the command after this long, here and (in whole seconds, rounded up) on the node. Default: `command_timeout`.
    #[must_use]
    pub fn timeout(mut self, after: Duration) -> Self {
        self.timeout = Some(after);
        self
    }

    /// Keeps the command's standard input open for as long as somebody reads what it writes. A script learns from its end that nobody
    /// does any more, also where sshd passes no signal on; nothing is ever typed there.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// The words, as they will arrive.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The line a person would type on the node for the same.
    pub fn by_hand(&self) -> Result<String, Error> {
        quote(self.words.iter().map(String::as_str))
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.limit
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    pub(super) fn bound(&self, otherwise: Duration) -> Duration {
        self.timeout.unwrap_or(otherwise)
    }

    /// The line for the node's login shell, and the seconds after which the node itself ends it.
    ///
    /// `exec`, so that the shell does not stay in between: a signal then reaches `timeout`, which passes it on. What runs under
    /// `sudo` belongs to root and only ends when `sudo` passes the signal on or its output has nowhere to go.
    pub(super) fn line(&self, bound: Duration) -> Result<(String, u64), Error> {
        if self.words.first().is_none_or(String::is_empty) {
            return Err(Error::Unquotable {
                reason: "it has no program".into(),
            });
        }
        let seconds = (bound.as_secs() + u64::from(bound.subsec_nanos() > 0)).max(1);
        let line = format!("exec timeout -k {KILL_AFTER} {seconds} {}", self.by_hand()?);
        Ok((line, seconds))
    }
}

fn quote<'a>(words: impl Iterator<Item = &'a str> + Clone) -> Result<String, Error> {
    shlex::try_join(words.clone()).map_err(|fault| {
        let number = words.take_while(|word| !word.contains('\0')).count() + 1;
        Error::Unquotable {
            reason: format!("word {number}: {fault}"),
        }
    })
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It ended by itself, with this status.
    Exit(u32),
    /// A signal ended it; the name is without `SIG`.
    Signal(String),
    /// The channel or the connection closed without saying how, or we closed it at the byte limit. The outcome is unknown.
    Vanished,
}

/// What a command wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub end: End,
    /// Whether the byte limit was reached; then the rest was never read and the command was stopped.
    pub cut: bool,
    /// From sending it to the end of its output.
    pub took: Duration,
}

impl Output {
    /// Standard output as text; what is not UTF-8 shows as U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text; what is not UTF-8 shows as U+FFFD.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_line_is_bounded_on_the_node_in_whole_seconds() {
        let command = Command::new(["sudo", "-n", "hab", "sup", "status"]);
        let (line, seconds) = command.line(Duration::from_millis(1500)).unwrap();
        assert_eq!(line, "exec timeout -k 2 2 sudo -n hab sup status");
        assert_eq!(seconds, 2);
        assert_eq!(command.by_hand().unwrap(), "sudo -n hab sup status");
    }

    #[test]
    fn a_script_stays_fixed_and_its_words_stay_words() {
        let command = Command::script("grep -c \"$1\" /proc/uptime", ["; rm -rf /"]);
        assert_eq!(
            command.by_hand().unwrap(),
            "sh -c 'grep -c \"$1\" /proc/uptime' sh '; rm -rf /'"
        );
    }

    #[rstest]
    #[case::nul(&["echo", "a\0b"], "word 2: ")]
    #[case::nothing(&[], "no program")]
    #[case::empty_program(&["", "x"], "no program")]
    fn what_no_shell_can_be_given_is_refused(#[case] words: &[&str], #[case] says: &str) {
        let command = Command::new(words.iter().copied());
        let fault = command
            .line(Duration::from_secs(1))
            .unwrap_err()
            .to_string();
        assert!(fault.contains(says), "{fault}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        /// Fails when `quote` joins with spaces instead.
        #[test]
        fn a_shell_gives_back_the_words_it_was_given(words in proptest::collection::vec("[^\0]{0,12}|[;$`'\"\\\\\n!*~ &|<>(){}#-]{0,12}", 1..6)) {
            let command = Command::new(["printf".to_owned(), "%s\\0".to_owned()].into_iter().chain(words.clone()));
            // Somewhere else, for the day the quoting is broken.
            let away = tempfile::tempdir().unwrap();
            let output = std::process::Command::new("sh").current_dir(away.path()).arg("-c").arg(command.by_hand().unwrap()).output().unwrap();
            let back: Vec<&[u8]> = output.stdout.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0).collect();
            let given: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            prop_assert_eq!(back, given);
        }
    }
}
