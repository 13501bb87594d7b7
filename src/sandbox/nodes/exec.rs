//! One command on one channel: a real `sh -c` in a process group of its own, which dies with its channel.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use russh::server::{Handle, Msg};
use russh::{Channel, ChannelId, ChannelMsg, Sig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Bytes read from the child at once: a packet's worth.
const PIECE: usize = 32 * 1024;
/// Pieces of input that wait for a child that does not read; with more, the channel is closed.
const INPUT_WAITING: usize = 64;
/// How long the output may stay open after the shell has ended, held by something it left behind.
const LINGER: Duration = Duration::from_secs(2);

/// Runs a command for a channel and tells the client how it ended.
pub async fn run(dir: &Path, command: &str, channel: Channel<Msg>, handle: Handle) {
    let id = channel.id();
    let (mut from_client, to_client) = channel.split();
    let mut shell = Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(command)
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", dir.join("bin").display()),
        )
        .env("HOME", dir)
        .env("USER", "ubuntu")
        .env("LOGNAME", "ubuntu")
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = match shell.spawn() {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(%error, "cannot start a shell for a node of the sandbox");
            let _ = handle.exit_status_request(id, 127).await;
            let _ = handle.close(id).await;
            return;
        }
    };
    let group = Group(child.id());
    let (input, waiting) = mpsc::channel(INPUT_WAITING);
    let feeder = child
        .stdin
        .take()
        .map(|stdin| tokio::spawn(feed(stdin, waiting)));
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();

    let output = async {
        tokio::join!(
            copy(stdout, to_client.make_writer()),
            copy(stderr, to_client.make_writer_ext(Some(1)))
        );
    };
    let ended = async {
        tokio::pin!(output);
        // The status goes out as soon as the shell has ended; what it wrote may well follow it, as with sshd.
        let mut copied = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status.ok(),
                () = &mut output, if !copied => copied = true,
            }
        };
        report(&handle, id, status).await;
        // Nothing but a slow reader or a process left behind can hold the pipes now; only the reader is waited for.
        while !copied {
            copied = tokio::time::timeout(LINGER, &mut output).await.is_ok();
            if !copied && to_client.writable_packet_size().await > 0 {
                break;
            }
        }
        let _ = handle.eof(id).await;
        let _ = handle.close(id).await;
        copied
    };
    let client = async {
        let mut input = Some(input);
        while let Some(message) = from_client.wait().await {
            match message {
                // Input that the child does not read must not hold up the connection's other channels.
                ChannelMsg::Data { data } => {
                    if let Some(Err(TrySendError::Full(_))) =
                        input.as_ref().map(|input| input.try_send(data))
                    {
                        return;
                    }
                }
                ChannelMsg::Eof => input = None,
                ChannelMsg::Signal { signal } => group.signal(name_of(&signal)).await,
                ChannelMsg::Close => return,
                _ => {}
            }
        }
    };
    let clean = tokio::select! {
        clean = ended => clean,
        () = client => {
            let _ = handle.close(id).await;
            false
        }
    };
    if !clean {
        group.signal("KILL").await;
        let _ = child.wait().await;
    }
    if let Some(feeder) = feeder {
        feeder.abort();
    }
}

/// A process group. `unsafe` is forbidden here, so a signal is sent by the shell's own `kill`.
struct Group(Option<u32>);

impl Group {
    async fn signal(&self, signal: &str) {
        let Some(leader) = self.0 else { return };
        let sent = Command::new("/bin/sh")
            .args([
                "-c",
                r#"kill -s "$1" -- "-$2" 2>/dev/null"#,
                "sh",
                signal,
                &leader.to_string(),
            ])
            .stdin(Stdio::null())
            .status()
            .await;
        if let Err(error) = sent {
            tracing::warn!(%error, "cannot end a command of the sandbox");
        }
    }
}

async fn feed(mut stdin: ChildStdin, mut waiting: mpsc::Receiver<impl AsRef<[u8]>>) {
    while let Some(data) = waiting.recv().await {
        if stdin.write_all(data.as_ref()).await.is_err() {
            return;
        }
    }
}

/// Copies until one side ends; the writer waits for the client's window, and so the child waits too.
async fn copy(from: Option<impl AsyncRead + Unpin>, to: impl AsyncWrite) {
    let Some(mut from) = from else { return };
    tokio::pin!(to);
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

async fn report(handle: &Handle, id: ChannelId, status: Option<ExitStatus>) {
    let signal = status.and_then(|status| status.signal());
    let _ = match (status.and_then(|status| status.code()), signal) {
        (Some(code), _) => handle.exit_status_request(id, code.cast_unsigned()).await,
        (None, Some(signal)) => {
            handle
                .exit_signal_request(id, signal_of(signal), false, String::new(), String::new())
                .await
        }
        (None, None) => Ok(()),
    };
}

fn signal_of(number: i32) -> Sig {
    match number {
        1 => Sig::HUP,
        2 => Sig::INT,
        3 => Sig::QUIT,
        4 => Sig::ILL,
        6 => Sig::ABRT,
        8 => Sig::FPE,
        9 => Sig::KILL,
        11 => Sig::SEGV,
        13 => Sig::PIPE,
        14 => Sig::ALRM,
        15 => Sig::TERM,
        other => Sig::Custom(other.to_string()),
    }
}

fn name_of(signal: &Sig) -> &'static str {
    match signal {
        Sig::HUP => "HUP",
        Sig::INT => "INT",
        Sig::QUIT => "QUIT",
        Sig::KILL => "KILL",
        Sig::USR1 => "USR1",
        _ => "TERM",
    }
}
