//! Sockets, TLS and limits around the pure SMTP server.

mod answers;
mod connection;
mod driver;
mod limits;
mod login;
mod memory;
mod pace;
mod penalties;
mod standing;
mod tls;
mod turns;

use crate::config::Settings;
use crate::config::settings::ListenerKind;
use crate::env::Vitals;
use crate::feedback::Feedback;
use crate::intake::Intake;
use crate::types::Reply;
use limits::SessionCounts;
use login::LoginGuard;
use memory::BodyMemory;
use rustls::pki_types::pem;
use standing::Door;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// Connections that may wait for accept. With the usual 128, some of 500 clients that connect at
/// once would wait for a retransmission of their SYN.
const BACKLOG: u32 = 4096;

/// Why the listeners cannot work with these settings. The operator can repair it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The address cannot be bound.
    #[error("[[listener]] bind {0}: {1}")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// The file of the certificate or of its key cannot be read.
    #[error("[tls] {0} {file}: {2}", file = .1.display())]
    Pem(&'static str, PathBuf, #[source] pem::Error),
    #[error("[tls]: {0}")]
    Protocols(#[source] rustls::Error),
    /// Its certificates do not match the key.
    #[error("[tls] certificate {file}: {1}", file = .0.display())]
    Certificate(PathBuf, #[source] rustls::Error),
}

/// State that all sessions share.
pub(crate) struct Sessions {
    intake: Arc<Intake>,
    feedback: Arc<Feedback>,
    tls: watch::Sender<Option<Arc<rustls::ServerConfig>>>,
    counts: SessionCounts,
    bodies: BodyMemory,
    logins: LoginGuard,
    draining: watch::Sender<bool>,
    vitals: Vitals,
}

impl Sessions {
    /// Loads the certificate of the settings.
    pub(crate) fn new(
        intake: Arc<Intake>,
        feedback: Arc<Feedback>,
        vitals: Vitals,
    ) -> Result<Arc<Self>, ListenError> {
        let tls = tls::load(&intake.settings())?;
        Ok(Arc::new(Self {
            intake,
            feedback,
            tls: watch::Sender::new(tls),
            counts: SessionCounts::default(),
            bodies: BodyMemory::default(),
            logins: LoginGuard::default(),
            draining: watch::Sender::new(false),
            vitals,
        }))
    }

    /// Reads certificate and key again; keeps the old ones on error.
    pub(crate) fn reload_tls(&self, settings: &Settings) -> Result<(), ListenError> {
        self.tls.send_replace(tls::load(settings)?);
        Ok(())
    }

    /// Accepts no new sessions; idle ones end with 421, running transactions finish or are cut off
    /// at the deadline.
    pub(crate) async fn drain(&self, deadline: Duration) {
        self.draining.send_replace(true);
        if tokio::time::timeout(deadline, self.counts.wait_until_none())
            .await
            .is_err()
        {
            tracing::warn!(sessions = self.counts.open(), "sessions cut at shutdown");
        }
    }
}

/// Binds all listeners and serves them. Returns their bound addresses.
pub(crate) async fn listen(
    sessions: &Arc<Sessions>,
    settings: &Settings,
) -> Result<Vec<(ListenerKind, SocketAddr)>, ListenError> {
    let mut bound = Vec::new();
    for (place, listener) in settings.listeners.iter().enumerate() {
        let failed = |e| ListenError::Bind(listener.bind, e);
        let socket = bind(listener.bind).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        bound.push((listener.kind, address));
        let door = Door {
            place,
            kind: listener.kind,
        };
        sessions
            .vitals
            .spawn("listener", accept(Arc::clone(sessions), socket, door));
    }
    Ok(bound)
}

/// A listening socket with a backlog for many clients at once.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // After a restart the port must be free even if old connections still exist.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the relay drains.
async fn accept(sessions: Arc<Sessions>, socket: TcpListener, door: Door) {
    let mut draining = sessions.draining.subscribe();
    loop {
        let accepted = tokio::select! {
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection::serve(Arc::clone(&sessions), door, stream, peer));
            }
            Err(error) => {
                // Either file descriptors have run out or the peer is gone: the socket is not at
                // fault, and the error passes.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Sends one reply and closes: for peers that get no session.
async fn turn_away(mut stream: TcpStream, reply: &Reply) {
    let mut out = Vec::new();
    reply.write_to(&mut out);
    driver::count_reply(reply.code, reply.enhanced);
    // The peer may not read it, but the socket must be closed.
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.write_all(&out)).await;
}
