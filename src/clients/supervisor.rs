//! The Supervisor's HTTP gateway on a node, read over SSH, so that its port need not be open to us
//! (<https://github.com/habitat-sh/habitat/blob/main/components/sup/doc/api.yaml>).
//!
//! `/services` tells the whole configuration of every service beside its state, secrets and all. Only its state is read; neither
//! what came nor a piece of it goes into an error.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use tokio::{task::JoinSet, time::timeout};

use super::ssh::{self, Host, Tunnel};
use crate::domain::supervisor::{Service, gateway};

/// How long the gateway may take once the connection to it is there. It reads a file, or what it has in memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// A service is some 10 KB of JSON with its configuration; more than this is no Supervisor.
const MOST_BODY: usize = 4 << 20;

/// Reads the gateways of the fleet. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    ssh: ssh::Client,
    port: u16,
}

/// Why there is no list of services.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node was not reached; asking it another way would fail as well.
    #[error(transparent)]
    Node(ssh::Error),
    /// The gateway does not tell: a reason to ask `hab`.
    #[error("{0}")]
    Gateway(String),
}

impl Client {
    /// The gateways on that port, over these connections.
    pub fn new(ssh: &ssh::Client, port: u16) -> Self {
        Self {
            ssh: ssh.clone(),
            port,
        }
    }

    /// What the Supervisor of a node has loaded, and how it is.
    pub async fn services(&self, host: &Host) -> Result<Vec<Service>, Error> {
        let tunnel = match self.ssh.own_port(host, self.port).await {
            Ok(tunnel) => tunnel,
            Err(ssh::Error::PortClosed { reason, .. }) => {
                return Err(Error::Gateway(format!("port {}: {reason}", self.port)));
            }
            Err(fault) => return Err(Error::Node(fault)),
        };
        timeout(PATIENCE, self.read(tunnel))
            .await
            .unwrap_or_else(|_| {
                let patience = humantime::format_duration(PATIENCE);
                Err(format!("no answer within {patience}"))
            })
            .map_err(Error::Gateway)
    }

    async fn read(&self, tunnel: Tunnel) -> Result<Vec<Service>, String> {
        let broken = |_| "the connection to it broke off".to_owned();
        let (mut gateway, connection) = http1::handshake(TokioIo::new(tunnel))
            .await
            .map_err(broken)?;
        // Ends with this call, however it ends.
        let mut carrying = JoinSet::new();
        carrying.spawn(connection);
        let request = Request::get("/services")
            .header(header::HOST, format!("127.0.0.1:{}", self.port))
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|fault| fault.to_string())?;
        let response = gateway.send_request(request).await.map_err(broken)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err("it wants a token (401), which habops has none of".to_owned());
            }
            other => return Err(format!("it answered {}", other.as_u16())),
        }
        let now = now(&response);
        let body = Limited::new(response.into_body(), MOST_BODY);
        let body = body.collect().await.map_err(|fault| {
            if fault.is::<http_body_util::LengthLimitError>() {
                format!("it answered more than {} MiB", MOST_BODY >> 20)
            } else {
                "the connection to it broke off".to_owned()
            }
        })?;
        gateway::read(&body.to_bytes(), now)
            .ok_or_else(|| "what it answered is no list of services".to_owned())
    }
}

/// The node's own clock, by which its services' times are told; ours, where it does not say.
fn now(response: &Response<Incoming>) -> Timestamp {
    let date = response.headers().get(header::DATE);
    let told = date.and_then(|date| DateTimeParser::new().parse_timestamp(date.as_bytes()).ok());
    told.unwrap_or_else(Timestamp::now)
}
