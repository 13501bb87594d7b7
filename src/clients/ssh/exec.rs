//! A command's messages on its session, made into what it wrote and how it ended.

use std::time::{Duration, Instant};

use russh::{ChannelMsg, Sig};

use super::command::{End, Output};
use super::config::Host;
use super::error::{Error, Phase};
use super::session::Session;

/// The status of `timeout` when it had to end the command.
pub(super) const TIMED_OUT: u32 = 124;
/// What dash and bash say when there is no such program to `exec`.
const NO_TIMEOUT: [&str; 2] = ["timeout: not found", "timeout: command not found"];

/// Reads to the close of the channel, because output may come after the exit status. Stops at the limit, and with it the command.
pub(super) async fn collect(
    host: &Host,
    session: &mut Session,
    limit: usize,
) -> Result<Output, Error> {
    let began = Instant::now();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (mut end, mut left, mut cut) = (End::Vanished, limit, false);
    while let Some(message) = session.next().await {
        match message {
            ChannelMsg::Data { data } => cut = keep(&mut stdout, &data, &mut left),
            ChannelMsg::ExtendedData { data, ext: 1 } => cut = keep(&mut stderr, &data, &mut left),
            ChannelMsg::Close => break,
            other => end = ended(host, &other)?.unwrap_or(end),
        }
        if cut {
            end = End::Vanished;
            break;
        }
    }
    Ok(Output {
        stdout,
        stderr,
        end,
        cut,
        took: began.elapsed(),
    })
}

/// Keeps what still fits, and says whether something did not.
pub(super) fn keep(into: &mut Vec<u8>, data: &[u8], left: &mut usize) -> bool {
    let fits = data.len().min(*left);
    into.extend_from_slice(&data[..fits]);
    *left -= fits;
    fits < data.len()
}

/// What a message that is not output says about the end.
pub(super) fn ended(host: &Host, message: &ChannelMsg) -> Result<Option<End>, Error> {
    Ok(match message {
        ChannelMsg::ExitStatus { exit_status } => Some(End::Exit(*exit_status)),
        ChannelMsg::ExitSignal { signal_name, .. } => Some(End::Signal(signal(signal_name))),
        ChannelMsg::Failure => {
            return Err(Error::Refused {
                host: host.to_string(),
                reason: "it turned the command down".into(),
            });
        }
        _ => None,
    })
}

/// Whether the shell found no `timeout`; the program itself complains in other words when *its* command is missing.
pub(super) fn misses_timeout(end: &End, stderr: &[u8]) -> bool {
    let said = String::from_utf8_lossy(stderr);
    *end == End::Exit(127)
        && NO_TIMEOUT
            .iter()
            .any(|says| said.trim_end().ends_with(says))
}

pub(super) fn ran_out(host: &Host, after: Duration) -> Error {
    Error::Timeout {
        host: host.to_string(),
        phase: Phase::Run,
        after,
    }
}

pub(super) fn closed(host: &Host, reason: &impl ToString) -> Error {
    Error::Closed {
        host: host.to_string(),
        reason: reason.to_string(),
    }
}

fn signal(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        named => format!("{named:?}"),
    }
}
