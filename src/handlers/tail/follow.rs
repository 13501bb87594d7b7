//! Following nodes to the end of the time, or until somebody says stop.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{Tail, ring::Ring};
use crate::{
    clients::ssh::{Error, Host},
    domain::{
        journal::{Cleaner, Entry, excerpt},
        output::{HostOutcome, HostState, INLINE_LOG, Output, Part, Status},
        redact::Stream,
    },
    handlers::{
        Work, hosts,
        journal::{CLOCK_TOLERANCE, Said, skew},
        logs::{clock, sign_of},
    },
};

/// How often what came is told; the pipeline edits no oftener than it may.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Lines on their way from the nodes to us. With more, the nodes wait.
const WAITING: usize = 256;
/// Room for the lines in the message, in bytes.
const ROOM: usize = INLINE_LOG - 100;

/// A tail under way.
pub(super) struct Following<'w> {
    tail: &'w Tail,
    work: &'w Work,
    ring: Ring,
    rows: Vec<HostOutcome>,
    told: u64,
}

/// What comes from a node.
enum News {
    Line(usize, Entry),
    Clock(usize, SignedDuration),
    Over(usize, HostState, String),
}

impl<'w> Following<'w> {
    pub(super) fn new(tail: &'w Tail, work: &'w Work) -> Self {
        let secrets = &work.look.secrets;
        let names = work
            .look
            .asked
            .nodes
            .iter()
            .map(|node| node.name.to_string());
        let cleaner = || Cleaner::new(Stream::new(secrets.rules().clone()));
        let rows = names
            .clone()
            .map(|node| HostOutcome::new(node, HostState::Done, "followed"));
        Self {
            tail,
            work,
            rows: rows.collect(),
            ring: Ring::new(names.map(|name| (name, cleaner())).collect()),
            told: 0,
        }
    }

    /// Follows, tells, and says what came of it. When this returns or is dropped, nothing is left running on the nodes.
    pub(super) async fn until_over(mut self) -> Output {
        let begun = Instant::now();
        let targets: Vec<Host> = self.work.look.asked.nodes.iter().map(Host::from).collect();
        let (tell, mut news) = mpsc::channel(WAITING);
        let mut nodes: FuturesUnordered<_> = targets
            .iter()
            .enumerate()
            .map(|(number, host)| one_node(self.work, self.tail, number, host, tell.clone()))
            .collect();
        drop(tell);
        let mut ticks = interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = sleep_until(begun + self.tail.length);
        tokio::pin!(deadline);
        let mut stopped = false;
        loop {
            tokio::select! {
                () = self.work.until_stopped() => { stopped = true; break }
                () = &mut deadline => break,
                _ = ticks.tick() => self.tell(begun),
                Some(()) = nodes.next() => {}
                one = news.recv() => match one {
                    Some(one) => self.hear(one),
                    None => break,
                },
            }
        }
        drop(nodes);
        while let Ok(one) = news.try_recv() {
            self.hear(one);
        }
        self.count();
        self.ended(begun.elapsed(), stopped)
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Line(node, entry) => self.ring.take(node, entry, Instant::now()),
            News::Clock(node, skew) if skew.abs() >= CLOCK_TOLERANCE => {
                let off = clock(skew);
                self.rows[node].said = format!("followed{off}");
            }
            News::Clock(..) => {}
            News::Over(node, state, said) => {
                self.rows[node].state = state;
                self.rows[node].said = said;
            }
        }
    }

    fn count(&mut self) {
        let removed = self.ring.removed();
        self.work.look.secrets.count(removed - self.told);
        self.told = removed;
    }

    fn tell(&mut self, begun: Instant) {
        self.count();
        let whole = Duration::from_secs(begun.elapsed().as_secs());
        let title = format!(
            "{}: {} in {}, until {}",
            self.tail.target,
            self.came(),
            humantime::format_duration(whole),
            humantime::format_duration(self.tail.length)
        );
        let output = Output::new(Status::Running, title);
        self.work.report(self.with_lines(output, false));
    }

    fn came(&self) -> String {
        let (lines, errors) = (self.ring.came(), self.ring.errors());
        let s = |count| if count == 1 { "" } else { "s" };
        format!("{lines} line{}, {errors} error{}", s(lines), s(errors))
    }

    fn with_lines(&self, mut output: Output, end: bool) -> Output {
        let many = self.rows.len() > 1;
        let issue = |node: &str, message: &str| sign_of(&self.work.look, node, message);
        let items = self.ring.items(Instant::now(), end, &issue);
        let shown = excerpt(items, many, ROOM, None);
        if !shown.text.is_empty() {
            let of = self.tail.target.clone();
            output = output.with(Part::Log {
                of,
                text: shown.text.trim_end().to_owned(),
            });
        }
        if end && shown.left_out > 0 {
            let name = format!(
                "tail-{}.log",
                self.tail.target.replace(['/', ',', '*'], "-")
            );
            let whole = self.ring.text();
            let (text, removed) = self.work.look.secrets.rules().redact(&whole);
            self.work.look.secrets.count(removed);
            output = output.with(Part::File {
                name,
                text: text.into_owned(),
            });
        }
        if self.ring.passed_over() > 0 {
            output = output.text(format!(
                "{} lines before these were passed over.",
                self.ring.passed_over()
            ));
        }
        output
    }

    fn ended(self, took: Duration, stopped: bool) -> Output {
        let unread = self
            .rows
            .iter()
            .filter(|row| row.state != HostState::Done)
            .count();
        let (status, how) = match unread {
            _ if stopped => (Status::Cancelled, "stopped after"),
            0 => (Status::Done, "followed for"),
            all if all == self.rows.len() => (Status::Failed, "gave up after"),
            _ => (Status::Partly, "followed for"),
        };
        let took = humantime::format_duration(Duration::from_secs(took.as_secs())).to_string();
        let title = format!("{}: {how} {took}, {}", self.tail.target, self.came());
        let output = self.with_lines(Output::new(status, title), true);
        output.with(Part::Hosts(self.rows))
    }
}

/// Hands on one node's lines until there are no more. Whatever is dropped, stops.
async fn one_node(work: &Work, tail: &Tail, node: usize, host: &Host, tell: mpsc::Sender<News>) {
    let over = |state, said| News::Over(node, state, said);
    let unanswered = |error: &Error| {
        let (state, said) = hosts::unanswered(error);
        over(state, said)
    };
    let mut lines = match work.look.clients.ssh.stream(host, &tail.command()).await {
        Ok(lines) => lines,
        Err(error) => {
            let _ = tell.send(unanswered(&error)).await;
            return;
        }
    };
    let sent = Timestamp::now();
    let mut complaint = None;
    let end = loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => {
                break over(
                    HostState::Failed,
                    complaint.unwrap_or_else(|| "its journal ended".to_owned()),
                );
            }
            Err(error) => break unanswered(&error),
        };
        match Said::of(&line) {
            Said::Clock(theirs) => {
                let skew = skew(theirs, sent, Timestamp::now());
                let _ = tell.send(News::Clock(node, skew)).await;
            }
            Said::Ended | Said::Unread => {}
            Said::Complaint(said) => {
                if complaint.is_none() {
                    complaint = Some(said);
                }
            }
            Said::Entries(entries) => {
                for entry in entries {
                    let wanted = tail
                        .pattern
                        .as_ref()
                        .is_none_or(|it| it.is_match(&entry.message));
                    if wanted && tell.send(News::Line(node, entry)).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let _ = tell.send(end).await;
}
