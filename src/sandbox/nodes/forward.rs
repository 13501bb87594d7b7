//! TCP connections through a node, as `ssh -W`, `-L` and a jump host ask for them and OpenSSH allows by default.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::gateway;

/// How long a connection to a loopback port may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Connects on and carries bytes both ways until one end is gone. A node's loopback is this machine's but for its Supervisor's gateway,
/// and there is nothing else: the sandbox opens no connection to the outside.
pub(super) async fn carry(
    channel: Channel<Msg>,
    reply: ChannelOpenHandle,
    host: &str,
    port: u32,
    dir: PathBuf,
) {
    let Some(address) = loopback(host) else {
        return reply
            .reject(ChannelOpenFailure::AdministrativelyProhibited)
            .await;
    };
    let Ok(port) = u16::try_from(port) else {
        return reply.reject(ChannelOpenFailure::ConnectFailed).await;
    };
    if port == gateway::PORT {
        let node = dir.clone();
        let listens = tokio::task::spawn_blocking(move || gateway::listens(&node)).await;
        if !listens.unwrap_or(false) {
            return reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
        reply.accept().await;
        return gateway::serve(channel.into_stream(), dir).await;
    }
    let Ok(Ok(mut far)) = timeout(CONNECT, TcpStream::connect((address, port))).await else {
        return reply.reject(ChannelOpenFailure::ConnectFailed).await;
    };
    let _ = far.set_nodelay(true);
    reply.accept().await;
    let mut near = channel.into_stream();
    if let Err(error) = copy_bidirectional(&mut near, &mut far).await {
        tracing::debug!(%error, "a connection through a node of the sandbox ended");
    }
}

fn loopback(host: &str) -> Option<IpAddr> {
    let address = if host == "localhost" {
        IpAddr::from([127, 0, 0, 1])
    } else {
        host.parse().ok()?
    };
    address.is_loopback().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::loopback;

    #[test]
    fn only_this_machine_is_reached() {
        for inside in ["127.0.0.1", "127.0.1.7", "localhost", "::1"] {
            assert!(loopback(inside).is_some(), "{inside}");
        }
        for outside in [
            "10.0.0.1",
            "0.0.0.0",
            "example.com",
            "127.0.0.1.example.com",
            "",
        ] {
            assert!(loopback(outside).is_none(), "{outside}");
        }
    }
}
