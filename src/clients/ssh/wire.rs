//! The byte stream under one connection: a socket, or a channel through the jump host, that can be cut from outside.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use russh::ChannelStream;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Ends with an error once its token is cancelled. Without that, russh's task outlives a handshake that was given up on: it
/// listens to nothing but the network until the keys are agreed.
pub(super) struct Wire {
    stream: Stream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

enum Stream {
    Socket(TcpStream),
    Jump(ChannelStream<Msg>),
}

impl Wire {
    /// Sends small packets at once: with Nagle's algorithm a warm command takes 44 ms instead of 3.
    pub(super) fn socket(socket: TcpStream, cut: CancellationToken) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self {
            stream: Stream::Socket(socket),
            cut: Box::pin(cut.cancelled_owned()),
        })
    }

    pub(super) fn jump(channel: ChannelStream<Msg>, cut: CancellationToken) -> Self {
        Self {
            stream: Stream::Jump(channel),
            cut: Box::pin(cut.cancelled_owned()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match &mut self.stream {
            Stream::Jump(channel) => Pin::new(channel).poll_read(cx, buf),
            Stream::Socket(socket) => {
                let read = Pin::new(&mut *socket).poll_read(cx, buf);
                // Linux forgets the option after some packets. Without it, our delayed acknowledgement waits for sshd's Nagle: 40 ms
                // a cold connection.
                #[cfg(target_os = "linux")]
                if read.is_pending() {
                    let _ = socket.set_quickack(true);
                }
                read
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Socket(socket) => Pin::new(socket).poll_write(cx, buf),
            Stream::Jump(channel) => Pin::new(channel).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Socket(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Jump(channel) => Pin::new(channel).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Jump(channel) => Pin::new(channel).poll_shutdown(cx),
        }
    }
}
