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

#[tokio::test]
async fn large_bodies_pass_through_little_memory() {
    let server = Server::start().await;
    server.post("/api/jobs/", json!({"entrypoint": "true", "submission_id": "j"})).await.json();
    let piece = Bytes::from(vec![7; PIECE]);
    let before = peak();
    let pieces = iter(std::iter::repeat_n(piece, SIZE / PIECE));
    let body = StreamBody::new(pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
    let upload = Request::put("/api/packages/gcs/large.zip").header("authorization", format!("Bearer {TOKEN}"));
    let stored = read(server.send(upload.body(Box::pin(body)).unwrap()).await).await;
    assert_eq!(stored.json(), json!({"stored": true}));
    let file = server.scratch.path().join("packages/large.zip");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), SIZE as u64);

    std::fs::rename(file, server.head.log("j")).unwrap();
    for (path, least) in [("/api/jobs/j/logs/raw", SIZE), ("/api/jobs/j/logs", 64 << 20)] {
        let mut body = server.send(request(Method::GET, path, "")).await.into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame.unwrap().into_data().unwrap().len();
        }
        assert!(received >= least, "{received} bytes of {path}");
    }
    let growth = peak() - before;
    assert!(growth < GROWTH, "the process grew by {} MiB", growth >> 20);
}
