//! The limits of a listener, with small ones in place of the real: heads that are slow or large, and too many connections.

use crate::auth::Door;
use crate::fake::{Fake, Scratch};
use crate::serve::{Limits, run};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    socket: PathBuf,
    task: JoinHandle<std::io::Result<()>>,
    _scratch: Scratch,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn start(limits: Limits) -> Server {
    let scratch = Scratch::new();
    let socket = scratch.path().join("api");
    let listener = UnixListener::bind(&socket).unwrap();
    let head = Fake::new(scratch.path());
    let task = tokio::spawn(async move { run(&listener, Door::new(None), head, limits).await });
    Server { socket, task, _scratch: scratch }
}

impl Server {
    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }
}

/// What comes until the server closes.
async fn rest(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("closed in time");
    // The server may be gone while bytes for it are still on the way.
    let _reset_or_closed = read;
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let server = start(Limits { head_time: Duration::from_millis(100), ..Limits::default() });
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    assert!(!rest(&mut slow).await.contains("200 OK"));
    assert!(rest(&mut idle).await.ends_with("ok"));
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let server = start(Limits::default());
    let answer = async |size: usize| {
        let mut stream = server.connect().await;
        let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(size));
        // The server may close before it has read all.
        let _cut_short = stream.write_all(head.as_bytes()).await;
        rest(&mut stream).await
    };
    assert!(answer(12 << 10).await.starts_with("HTTP/1.1 200"));
    assert!(answer(17 << 10).await.starts_with("HTTP/1.1 431"));
    assert!(!answer(8 << 20).await.contains("200 OK"));
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_served() {
    let server = start(Limits { connections: 2, ..Limits::default() });
    let ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut answered = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(ask).await.unwrap();
        let mut first = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut first)).await.unwrap().unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        answered.push(stream);
    }
    let mut third = server.connect().await;
    third.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut byte = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(200), third.read(&mut byte)).await;
    assert!(early.is_err(), "a third connection was served beside two");
    answered.pop();
    assert!(rest(&mut third).await.ends_with("ok"));
}

#[tokio::test]
async fn a_websocket_counts_until_it_closes() {
    let server = start(Limits { connections: 1, ..Limits::default() });
    let body = r#"{"entrypoint":"true","submission_id":"j"}"#;
    let mut stream = server.connect().await;
    let head =
        format!("POST /api/jobs/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    let address = "ws://x/api/jobs/j/logs/tail";
    let socket = tokio_tungstenite::client_async(address, server.connect().await).await.unwrap().0;
    let mut second = server.connect().await;
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut [0; 1])).await;
    assert!(early.is_err(), "a second connection was served beside the WebSocket");
    drop(socket);
    assert!(rest(&mut second).await.ends_with("ok"));
}

#[tokio::test]
async fn dropping_the_server_ends_its_connections() {
    let server = start(Limits::default());
    let mut stream = server.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    drop(server);
    assert_eq!(rest(&mut stream).await, "");
}
