//! A TCP connection through a node, for what only the fleet's own network reaches.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::connection::Connection;
use super::error::Error;

/// Bytes to and from the far end. Dropping it closes its channel, and the SSH connection under it where that was made for it.
pub struct Tunnel {
    stream: ChannelStream<Msg>,
    _connection: Arc<Connection>,
}

impl Tunnel {
    pub(super) async fn open(
        connection: Arc<Connection>,
        address: &str,
        port: u16,
        within: Duration,
    ) -> Result<Self, Error> {
        let channel = timeout(within, connection.forward(address, port))
            .await
            .unwrap_or_else(|_| {
                Err(Error::Unreachable {
                    host: format!("{address}:{port} through {}", connection.peer.host),
                    reason: "no answer".into(),
                })
            })?;
        Ok(Self::on(connection, channel))
    }

    pub(super) fn on(connection: Arc<Connection>, channel: Channel<Msg>) -> Self {
        Self {
            stream: channel.into_stream(),
            _connection: connection,
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
