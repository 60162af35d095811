//! A listener that limits the number of connections and their idle time. Idle strangers must not
//! take the file descriptors that mail needs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at once; the next one waits in the kernel's queue.
const CONNECTIONS: usize = 256;
/// A connection that neither sends nor receives anything for this long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Pause after a failed accept (no file descriptors left, for example).
const AFTER_FAILURE: Duration = Duration::from_millis(200);

pub(super) struct Limited {
    inner: TcpListener,
    free: Arc<Semaphore>,
    idle: Duration,
}

impl Limited {
    pub(super) fn new(inner: TcpListener) -> Self {
        Self {
            inner,
            free: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: IDLE,
        }
    }
}

impl axum::serve::Listener for Limited {
    type Io = AdminConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (AdminConnection, SocketAddr) {
        loop {
            // The semaphore is never closed, so there is always a permit; without one the
            // connection would still be served.
            let permit = Arc::clone(&self.free).acquire_owned().await.ok();
            match self.inner.accept().await {
                Ok((io, address)) => {
                    let quiet = Box::pin(tokio::time::sleep(self.idle));
                    return (
                        AdminConnection {
                            io,
                            quiet,
                            idle: self.idle,
                            _permit: permit,
                        },
                        address,
                    );
                }
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept an HTTP connection");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// One connection with its place among the others.
pub(super) struct AdminConnection {
    io: TcpStream,
    quiet: Pin<Box<Sleep>>,
    idle: Duration,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AdminConnection {
    /// Returns the result; a wait that has lasted too long becomes an error.
    fn timed<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.quiet.as_mut().reset(Instant::now() + self.idle);
            return result;
        }
        self.quiet
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for AdminConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        self.timed(cx, result)
    }
}

impl AsyncWrite for AdminConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.timed(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::serve::Listener;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_silent_connection_ends_and_gives_its_place_back() {
        let inner = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let mut listener = Limited {
            inner,
            free: Arc::new(Semaphore::new(1)),
            idle: Duration::from_millis(10),
        };
        let address = listener.local_addr().expect("address");
        let _first = TcpStream::connect(address).await.expect("connect");
        let _second = TcpStream::connect(address).await.expect("connect");
        let (mut one, _) = listener.accept().await;
        assert_eq!(
            listener.free.available_permits(),
            0,
            "the second has to wait"
        );
        let mut byte = [0u8];
        assert_eq!(
            one.read(&mut byte).await.expect_err("silent").kind(),
            io::ErrorKind::TimedOut
        );
        drop(one);
        let (_two, _) = listener.accept().await;
        assert_eq!(listener.free.available_permits(), 0);
    }
}
