//! The listeners: who may connect, how many at once, and how long a request's head may take.

use crate::auth::{Caller, Door};
use crate::routes::{App, router};
use crate::{Head, Token};
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use iosdk_complain::complain;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Bytes of a request's head.
const HEAD_MAX: usize = 16 << 10;
/// A peer that is gone without a word is found out after so long without traffic.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Before another try, when the process or the machine has run out of descriptors or memory.
const BREATHER: Duration = Duration::from_millis(100);

pub(crate) struct Limits {
    /// At once. More wait outside, in the listener's queue.
    pub(crate) connections: usize,
    /// For the head of a request, from when it could begin.
    pub(crate) head_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1_024, head_time: Duration::from_secs(10) }
    }
}

/// Serves until the listener fails. Dropped before, it ends every connection.
pub async fn serve(listener: TcpListener, token: Token, head: impl Head) -> io::Result<()> {
    run(&listener, Door::new(Some(token)), head, Limits::default()).await
}

/// The same for processes of this user: no token, the kernel says who they are.
pub async fn serve_unix(listener: UnixListener, head: impl Head) -> io::Result<()> {
    run(&listener, Door::new(None), head, Limits::default()).await
}

pub(crate) async fn run<L: Listen>(listener: &L, door: Door, head: impl Head, limits: Limits) -> io::Result<()> {
    let (_ends_with_this, serving) = watch::channel(());
    let router = router(App { head, serving }, door);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut short = false;
    loop {
        let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                complain!("http: a connection's task failed: {error}");
            }
        }
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) if is_of_the_peer(&error) => continue,
            Err(error) if is_of_the_listener(&error) => return Err(error),
            Err(error) => {
                if !std::mem::replace(&mut short, true) {
                    complain!("http: no connection can be taken for now: {error}");
                }
                tokio::time::sleep(BREATHER).await;
                continue;
            }
        };
        short = false;
        // One that cannot be asked is gone already.
        if let Ok(caller) = L::caller(&stream) {
            connections.spawn(converse(stream, caller, Slot::new(slot), router.clone(), limits.head_time));
        }
    }
}

/// It was gone before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

/// It will never accept again. Anything else, such as too many open files, passes.
fn is_of_the_listener(error: &io::Error) -> bool {
    let broken = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK];
    error.raw_os_error().is_some_and(|code| broken.iter().any(|errno| errno.raw_os_error() == code))
}

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Connections of all listeners.
pub(crate) fn open_connections() -> usize {
    OPEN.load(Ordering::Relaxed)
}

/// A connection's place among those that may be open. A WebSocket takes it along.
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    fn new(permit: OwnedSemaphorePermit) -> Arc<Self> {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { _permit: permit })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn converse<S>(stream: S, caller: Caller, slot: Arc<Slot>, router: Router, head_time: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(slot.clone());
        router.clone().oneshot(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_time).max_buf_size(HEAD_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let _it_left_or_spoke_no_http = connection.await;
}

pub(crate) trait Listen: Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    fn caller(stream: &Self::Stream) -> io::Result<Caller>;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }

    fn caller(stream: &TcpStream) -> io::Result<Caller> {
        // A log's pieces are small and should not wait for one another.
        stream.set_nodelay(true)?;
        set_socket_keepalive(stream, true)?;
        set_tcp_keepidle(stream, KEEPALIVE)?;
        Ok(Caller::Tcp { local: stream.local_addr()? })
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }

    fn caller(stream: &UnixStream) -> io::Result<Caller> {
        Ok(Caller::Unix { uid: stream.peer_cred()?.uid() })
    }
}
