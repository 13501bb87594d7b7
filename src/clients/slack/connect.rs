//! Opens one socket: asks for its address, then connects to it. The address is a credential and never told.

use std::{io, time::Duration};

use secrecy::ExposeSecret as _;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{self, protocol::WebSocketConfig},
};

use super::{error::Error, web::Client};
use crate::clients::address;

/// The largest frame that is read. Slack's largest payloads are some hundred kilobytes.
const LARGEST_FRAME: usize = 4 << 20;
/// Read and write buffers of one socket; the library's own 128 KiB are for bulk.
const BUFFER: usize = 16 << 10;

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotOpen {
    #[error("{}", .0.advice())]
    Refused(#[from] Error),
    #[error("the address Slack gave {0}")]
    Address(String),
    #[error("no connection in time")]
    Late,
    #[error("{0}")]
    Handshake(String),
}

impl CannotOpen {
    pub(super) fn at_least(&self) -> Option<Duration> {
        match self {
            Self::Refused(Error::RateLimited { retry_after, .. }) => Some(*retry_after),
            _ => None,
        }
    }
}

pub(super) type Opened = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) async fn open(client: &Client, limit: Duration) -> Result<Opened, CannotOpen> {
    let ticket = client.connections_open().await?;
    address::check(ticket.expose_secret(), "wss", "ws").map_err(CannotOpen::Address)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_FRAME))
        .max_frame_size(Some(LARGEST_FRAME))
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER);
    let connector = Connector::Rustls(client.tls());
    let connect =
        connect_async_tls_with_config(ticket.expose_secret(), Some(config), true, Some(connector));
    match timeout(limit, connect).await {
        Err(_) => Err(CannotOpen::Late),
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(CannotOpen::Handshake(plain(&error))),
    }
}

/// The library's error without the address, which is a credential.
pub(super) fn plain(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection ended".to_owned()
        }
        tungstenite::Error::Io(error) => error.to_string(),
        tungstenite::Error::Http(answer) => {
            format!("the server answered {}", answer.status().as_u16())
        }
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => {
            "its address cannot be used".to_owned()
        }
        tungstenite::Error::Tls(error) => format!("TLS: {error}"),
        tungstenite::Error::Capacity(_) => "a frame was too large".to_owned(),
        tungstenite::Error::Protocol(error) => format!("not a WebSocket: {error}"),
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            "the connection was closed".to_owned()
        }
        _ => "the WebSocket broke".to_owned(),
    }
}
