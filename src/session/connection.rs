//! One connection from accept to close: PROXY header, limits, TLS. The driver runs the session in
//! between.

use super::driver::{Driver, End};
use super::limits::RefusedSession;
use super::standing::{Door, Entrance, Standing};
use super::{Sessions, turn_away};
use crate::config::Settings;
use crate::config::settings::ListenerKind;
use crate::identity::{self, Peer};
use crate::smtp::proxy;
use crate::smtp::server::ServerConfig;
use crate::telemetry::events;
use crate::types::replies;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Longest time for the TLS handshake, and for the PROXY header.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Serves one accepted connection to its end.
pub(super) async fn serve(
    sessions: Arc<Sessions>,
    door: Door,
    mut stream: TcpStream,
    peer: SocketAddr,
) {
    let settings = sessions.intake.settings();
    let mut address = peer.ip().to_canonical();
    let mut left_over = Vec::new();
    let entrance = Entrance {
        door,
        from: address,
        by_proxy: door.is_proxy(&settings, address),
    };
    if entrance.by_proxy {
        match tokio::time::timeout(HANDSHAKE, read_proxy_header(&mut stream)).await {
            Ok(Ok((source, rest))) => {
                address = source.map_or(address, |ip| ip.to_canonical());
                left_over = rest;
            }
            Ok(Err(error)) => {
                return tracing::warn!(client = %address, %error, "PROXY header refused");
            }
            Err(_) => return tracing::warn!(client = %address, "no PROXY header in time"),
        }
    }
    let _entered = match sessions.counts.enter(address, &settings.limits) {
        Ok(entered) => entered,
        Err(refused) => {
            let reply = match refused {
                RefusedSession::Total => replies::TOO_MANY_SESSIONS,
                RefusedSession::Address => replies::TOO_MANY_SESSIONS_OF_ADDRESS,
            };
            return turn_away(stream, &reply.into()).await;
        }
    };
    events::session_opened(door.kind.as_str(), address);
    run(&sessions, entrance, &settings, stream, address, left_over).await;
}

/// Reads the header that a listed proxy must send first; returns the source and the octets after
/// the header.
async fn read_proxy_header(stream: &mut TcpStream) -> io::Result<(Option<IpAddr>, Vec<u8>)> {
    let mut buffer = Vec::with_capacity(256);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(header) =
            proxy::parse(&buffer).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?
        {
            let rest = buffer.split_off(header.octets.min(buffer.len()));
            return Ok((header.source.map(|s| s.ip()), rest));
        }
    }
}

fn server_config(
    settings: &Settings,
    kind: ListenerKind,
    listed: bool,
    trusted: bool,
    tls: bool,
) -> ServerConfig {
    let reports = kind == ListenerKind::Reports;
    ServerConfig {
        hostname: settings.server.hostname.as_str().to_owned(),
        tls_available: tls,
        tls_active: kind == ListenerKind::Submissions,
        // Without a certificate there is no TLS, so AUTH is not offered.
        auth_offered: tls && !reports,
        auth_required: kind.is_submission(),
        trust_xclient: trusted && kind == ListenerKind::Relay,
        refusals_are_errors: !listed,
        message_size_bytes: if reports {
            settings
                .reports
                .message_size_bytes
                .min(settings.limits.message_size_bytes)
        } else {
            settings.limits.message_size_bytes
        },
        // Each report gets its own answer.
        recipients_per_message: if reports {
            1
        } else {
            settings.limits.recipients_per_message
        },
        messages_per_session: 0,
        line_bytes: settings.limits.line_bytes,
        errors_per_session: settings.limits.errors_per_session,
        idle_commands: settings.limits.idle_commands,
    }
}

async fn run(
    sessions: &Arc<Sessions>,
    entrance: Entrance,
    settings: &Arc<Settings>,
    stream: TcpStream,
    address: IpAddr,
    left_over: Vec<u8>,
) {
    let kind = entrance.door.kind;
    let acceptor = sessions.tls.borrow().clone().map(TlsAcceptor::from);
    // Submission listeners always require AUTH, so no `[[client]]` applies there.
    let client = identity::find_client(settings, address).filter(|_| kind == ListenerKind::Relay);
    let trusted = client.as_ref().is_some_and(|c| c.trust_xclient);
    let config = server_config(
        settings,
        kind,
        client.is_some(),
        trusted,
        acceptor.is_some(),
    );
    let peer = Peer {
        address,
        client,
        login: None,
        xclient_login: None,
        origin: None,
    };
    let standing = Standing::new(sessions, entrance, Arc::clone(settings));
    let mut driver = Driver::new(sessions, config, peer, standing);
    let result = match (kind, acceptor) {
        (ListenerKind::Submissions, Some(acceptor)) => {
            implicit_tls(&mut driver, &acceptor, stream, left_over).await
        }
        (ListenerKind::Submissions, None) => {
            Err(io::Error::other("no certificate for implicit TLS"))
        }
        (_, acceptor) => plain(&mut driver, acceptor, stream, left_over).await,
    };
    let why = result
        .as_ref()
        .err()
        .map_or_else(|| "closed".to_owned(), ToString::to_string);
    events::session_closed(address, driver.messages(), &why);
}

/// A session with TLS from the first octet (RFC 8314). Octets read together with the PROXY header
/// are the beginning of the handshake.
async fn implicit_tls(
    driver: &mut Driver<'_>,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    left_over: Vec<u8>,
) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let stream = tokio::io::join(io::Cursor::new(left_over).chain(read), write);
    let mut tls = Box::new(handshake(acceptor, stream).await?);
    driver.drive(&mut *tls, Vec::new()).await.map(drop)
}

/// A session that begins in plain text and may change to TLS.
async fn plain(
    driver: &mut Driver<'_>,
    acceptor: Option<TlsAcceptor>,
    mut stream: TcpStream,
    left_over: Vec<u8>,
) -> io::Result<()> {
    match (driver.drive(&mut stream, left_over).await?, acceptor) {
        (End::StartTls, Some(acceptor)) => {
            let mut tls = Box::new(handshake(&acceptor, stream).await?);
            driver.tls_started();
            driver.drive(&mut *tls, Vec::new()).await.map(drop)
        }
        _ => Ok(()),
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &TlsAcceptor,
    stream: S,
) -> io::Result<TlsStream<S>> {
    tokio::time::timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
