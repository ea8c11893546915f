//! 100 MiB go through the server in either direction without its memory growing by them. A process of its own: it is measured.

#[path = "api/client.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod client;
#[path = "api/fake.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod fake;

use bytes::Bytes;
use client::{Server, TOKEN, read, request};
use futures_util::StreamExt;
use futures_util::stream::iter;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request};
use serde_json::json;
use std::convert::Infallible;

const SIZE: usize = 100 << 20;
const PIECE: usize = 1 << 20;
/// More than pieces and buffers, far less than the whole.
const GROWTH: usize = 32 << 20;

/// The most this process ever had in memory.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Of the piece `n`: each stands in four pieces.
fn letter(n: usize) -> u8 {
    b'a' + u8::try_from(n / 4).unwrap()
}

/// How many bytes an answer has, its first `edge` and its last three.
async fn edges(server: &Server, path: &str, edge: usize) -> (usize, String, String) {
    let mut body = server.send(request(Method::GET, path, "")).await.into_body();
    let (mut length, mut first, mut last) = (0, Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        length += piece.len();
        first.extend_from_slice(&piece[..piece.len().min(edge.saturating_sub(first.len()))]);
        last.extend_from_slice(&piece[piece.len().saturating_sub(3)..]);
        last.drain(..last.len().saturating_sub(3));
    }
    (length, String::from_utf8(first).unwrap(), String::from_utf8(last).unwrap())
}

#[tokio::test]
async fn large_bodies_pass_through_little_memory() {
    let server = Server::start().await;
    server.post("/api/jobs/", json!({"entrypoint": "true", "submission_id": "j"})).await.json();
    let before = peak();
    let pieces = iter((0..SIZE / PIECE).map(|n| Bytes::from(vec![letter(n); PIECE])));
    let body = StreamBody::new(pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
    let upload = Request::put("/api/packages/gcs/large.zip").header("authorization", format!("Bearer {TOKEN}"));
    let stored = read(server.send(upload.body(Box::pin(body)).unwrap()).await).await;
    assert_eq!(stored.json(), json!({"stored": true}));
    let file = server.scratch.path().join("packages/large.zip");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), SIZE as u64);

    std::fs::rename(file, server.head.log("j")).unwrap();
    let raw = edges(&server, "/api/jobs/j/logs/raw", 3).await;
    assert_eq!(raw, (SIZE, "aaa".into(), "yyy".into()));
    // Ray's client holds what it gets in memory: it gets the end, and is told so.
    let notice = "{\"logs\":\"[iosdk: the first 37748736 bytes of this log are left out here; \
                  /api/jobs/j/logs/raw has them]\\n";
    let whole = edges(&server, "/api/jobs/j/logs", notice.len() + 3).await;
    assert_eq!(whole, (notice.len() + (64 << 20) + 2, format!("{notice}jjj"), "y\"}".into()));
    let growth = peak() - before;
    assert!(growth < GROWTH, "the process grew by {} MiB", growth >> 20);
}
