//! One session channel: a command's wire. Dropping it stops the command.

use std::sync::Arc;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;

/// Holds its place on the connection until the channel is closed.
pub(super) struct Session {
    incoming: ChannelReadHalf,
    open: Option<(ChannelWriteHalf<Msg>, OwnedSemaphorePermit)>,
    connection: Arc<Connection>,
}

impl Session {
    pub(super) fn new(
        channel: Channel<Msg>,
        connection: Arc<Connection>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let (incoming, outgoing) = channel.split();
        Self {
            incoming,
            open: Some((outgoing, permit)),
            connection,
        }
    }

    /// Sends the command, and that nothing will be typed to it, unless its input is held open. An error means that nothing was sent.
    pub(super) async fn exec(&self, line: &str, held: bool) -> Result<(), russh::Error> {
        let Some((outgoing, _)) = &self.open else {
            return Err(russh::Error::SendError);
        };
        // With a reply: a server that refuses would otherwise be waited for in vain.
        outgoing.exec(true, line).await?;
        if !held {
            // If this fails, the connection died behind the command; reading says so.
            let _ = outgoing.eof().await;
        }
        Ok(())
    }

    /// The next message, `None` once the connection is gone. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<ChannelMsg> {
        let message = self.incoming.wait().await;
        if let None | Some(ChannelMsg::Close) = message {
            self.open = None;
        }
        message
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.touch();
        let Some((outgoing, permit)) = self.open.take() else {
            return;
        };
        // Closing alone does not end a process that is silent. sshd passes signals on since 7.9 (not for root); on older ones
        // `timeout` on the node is what ends it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let connection = Arc::clone(&self.connection);
            runtime.spawn(async move {
                let _ = outgoing.signal(Sig::TERM).await;
                let _ = outgoing.close().await;
                drop((permit, connection));
            });
        }
    }
}
