//! A command's output as it comes, line by line.

use std::collections::VecDeque;
use std::time::Duration;

use russh::ChannelMsg;
use tokio::time::{Instant, timeout_at};

use super::command::End;
use super::config::Host;
use super::error::Error;
use super::exec;
use super::session::Session;

/// A longer line is cut; the rest of it is read and dropped.
const LONGEST: usize = 64 * 1024;

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text; bytes that are not UTF-8 show as U+FFFD.
    pub text: String,
    /// Whether it came on standard error.
    pub stderr: bool,
    /// Whether its end is missing: longer than 64 KiB, or the output broke off in it.
    pub cut: bool,
}

/// The lines of a running command. Dropping them stops it.
pub struct Lines {
    host: Host,
    session: Option<Session>,
    deadline: Instant,
    bound: Duration,
    left: usize,
    cut: bool,
    end: End,
    stdout: Partial,
    stderr: Partial,
    ready: VecDeque<Line>,
}

impl Lines {
    pub(super) fn new(host: &Host, session: Session, limit: usize, bound: Duration) -> Self {
        Self {
            host: host.clone(),
            session: Some(session),
            deadline: Instant::now() + bound,
            bound,
            left: limit,
            cut: false,
            end: End::Vanished,
            stdout: Partial::new(false),
            stderr: Partial::new(true),
            ready: VecDeque::new(),
        }
    }

    /// The next line; `None` at the end, after which [`end`](Self::end) and [`cut`](Self::cut) are known. Cancel safe.
    ///
    /// A command that runs into its time-out is an error, after the lines it wrote before.
    pub async fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let Some(session) = &mut self.session else {
                return Ok(None);
            };
            match timeout_at(self.deadline, session.next()).await {
                Ok(Some(ChannelMsg::Data { data })) => self.take(&data, false),
                Ok(Some(ChannelMsg::ExtendedData { data, ext: 1 })) => self.take(&data, true),
                Ok(None | Some(ChannelMsg::Close)) => self.close(self.end.clone()),
                Ok(Some(other)) => {
                    if let Some(end) = self.ended(&other)? {
                        self.end = end;
                    }
                }
                Err(_) => {
                    self.session = None;
                    return Err(exec::ran_out(&self.host, self.bound));
                }
            }
        }
    }

    /// How the command ended; [`End::Vanished`] before it did.
    pub fn end(&self) -> &End {
        &self.end
    }

    /// Whether the byte limit was reached; then the command was stopped there.
    pub fn cut(&self) -> bool {
        self.cut
    }

    fn ended(&self, message: &ChannelMsg) -> Result<Option<End>, Error> {
        let end = exec::ended(&self.host, message)?;
        // `timeout` on the node may tell in the same moment.
        if end == Some(End::Exit(exec::TIMED_OUT)) && Instant::now() >= self.deadline {
            return Err(exec::ran_out(&self.host, self.bound));
        }
        Ok(end)
    }

    fn take(&mut self, data: &[u8], stderr: bool) {
        let fits = data.len().min(self.left);
        self.left -= fits;
        let partial = if stderr {
            &mut self.stderr
        } else {
            &mut self.stdout
        };
        partial.take(&data[..fits], &mut self.ready);
        if fits < data.len() {
            self.cut = true;
            self.close(End::Vanished);
        }
    }

    fn close(&mut self, end: End) {
        self.end = end;
        self.session = None;
        let cut = self.cut || self.end == End::Vanished;
        self.stdout.flush(cut, &mut self.ready);
        self.stderr.flush(cut, &mut self.ready);
    }
}

/// A line whose end has not come yet.
struct Partial {
    text: Vec<u8>,
    stderr: bool,
    cut: bool,
}

impl Partial {
    fn new(stderr: bool) -> Self {
        Self {
            text: Vec::new(),
            stderr,
            cut: false,
        }
    }

    fn take(&mut self, data: &[u8], ready: &mut VecDeque<Line>) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let mut left = LONGEST - self.text.len();
            self.cut |= exec::keep(&mut self.text, text, &mut left);
            if whole {
                self.push(ready);
            }
        }
    }

    fn flush(&mut self, cut: bool, ready: &mut VecDeque<Line>) {
        if !self.text.is_empty() {
            self.cut |= cut;
            self.push(ready);
        }
    }

    fn push(&mut self, ready: &mut VecDeque<Line>) {
        ready.push_back(Line {
            text: String::from_utf8_lossy(&self.text).into_owned(),
            stderr: self.stderr,
            cut: self.cut,
        });
        self.text.clear();
        self.cut = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(String, bool)> {
        let mut ready = VecDeque::new();
        let mut partial = Partial::new(false);
        for piece in pieces {
            partial.take(piece, &mut ready);
        }
        partial.flush(true, &mut ready);
        ready
            .into_iter()
            .map(|line| (line.text, line.cut))
            .collect()
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        let got = lines(&[b"on", b"e\n\ntw", "ö\nthree".as_bytes()]);
        let want = [("one", false), ("", false), ("twö", false), ("three", true)];
        assert_eq!(got, want.map(|(text, cut)| (text.to_owned(), cut)));
    }

    #[test]
    fn a_line_past_the_limit_is_cut_and_the_next_is_whole() {
        let long = vec![b'x'; LONGEST + 7];
        let got = lines(&[&long, b"yz\nnext\n"]);
        assert_eq!(got[0], ("x".repeat(LONGEST), true));
        assert_eq!(got[1], ("next".to_owned(), false));
    }
}
