//! Logs: whole, in ranges, followed, over a WebSocket.

use crate::client::{PATIENCE, Server, TOKEN, read, request};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::Method;
use iosdk_http::JobStatus;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

async fn with_job(log: &[u8]) -> Server {
    let server = Server::start().await;
    server.post("/api/jobs/", json!({"entrypoint": "true", "submission_id": "j"})).await.json();
    std::fs::write(server.head.log("j"), log).unwrap();
    server
}

fn append(server: &Server, text: &[u8]) {
    let mut log = OpenOptions::new().append(true).create(true).open(server.head.log("j")).unwrap();
    log.write_all(text).unwrap();
}

#[tokio::test]
async fn the_whole_log_is_json_text() {
    let server = with_job(b"a \"quote\"\n\xff\xe2\x82").await;
    assert_eq!(server.get("/api/jobs/j/logs").await.json(), json!({"logs": "a \"quote\"\n\u{fffd}\u{fffd}"}));
    let long = "€".repeat(100_000);
    std::fs::write(server.head.log("j"), &long).unwrap();
    assert_eq!(server.get("/api/jobs/j/logs").await.json()["logs"], long);
    std::fs::remove_file(server.head.log("j")).unwrap();
    assert_eq!(server.get("/api/jobs/j/logs").await.json(), json!({"logs": ""}));
    server.get("/api/jobs/none/logs").await.fails(404, &["none"]);
}

#[tokio::test]
async fn raw_bytes_come_whole_and_in_ranges() {
    let server = with_job(&(0..200_000).map(|n| n as u8).collect::<Vec<u8>>()).await;
    let log = std::fs::read(server.head.log("j")).unwrap();
    let whole = server.get("/api/jobs/j/logs/raw").await;
    assert_eq!((whole.status, &whole.body[..]), (200, &log[..]));
    assert_eq!(whole.headers["content-length"], "200000");
    assert_eq!(&server.get("/api/jobs/j/logs/raw?offset=199990").await.body[..], &log[199_990..]);
    assert!(server.get("/api/jobs/j/logs/raw?offset=200001").await.body.is_empty());
    let ranged = async |range: &str, query: &str| {
        let mut request = request(Method::GET, &format!("/api/jobs/j/logs/raw{query}"), "");
        request.headers_mut().insert("range", range.parse().unwrap());
        server.ask(request).await
    };
    for (range, part, shown) in [
        ("bytes=100000-", &log[100_000..], "bytes 100000-199999/200000"),
        ("bytes=5-9", &log[5..10], "bytes 5-9/200000"),
        ("bytes=-7", &log[199_993..], "bytes 199993-199999/200000"),
    ] {
        let reply = ranged(range, "").await;
        assert_eq!((reply.status, &reply.body[..]), (206, part), "{range}");
        assert_eq!(reply.headers["content-range"], shown);
    }
    let beyond = ranged("bytes=200000-", "").await;
    beyond.fails(416, &["200000 bytes"]);
    assert_eq!(beyond.headers["content-range"], "bytes */200000");
    ranged("lines=1", "").await.fails(400, &["Range must be", "lines=1"]);
    ranged("bytes=0-", "?follow=1").await.fails(400, &["offset"]);
    server.get("/api/jobs/j/logs/raw?offset=x").await.fails(400, &["offset", "x"]);
    server.get("/api/jobs/none/logs/raw").await.fails(404, &["none"]);
}

#[tokio::test]
async fn following_ends_with_the_job_and_loses_nothing() {
    let server = with_job(b"first\n").await;
    std::fs::remove_file(server.head.log("j")).unwrap();
    let mut body = server.send(request(Method::GET, "/api/jobs/j/logs/raw?follow=1", "")).await.into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("output in time");
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    };
    // The log is made after the client has come.
    append(&server, b"one\n");
    assert_eq!(next().await.unwrap(), "one\n");
    append(&server, b"two\n");
    assert_eq!(next().await.unwrap(), "two\n");
    append(&server, b"last\n");
    server.head.end("j", JobStatus::Succeeded);
    assert_eq!(next().await.unwrap(), "last\n");
    assert_eq!(next().await, None);
    // From some place on, of a job that is over: no waiting.
    let rest = read(server.send(request(Method::GET, "/api/jobs/j/logs/raw?follow=1&offset=8", "")).await).await;
    assert_eq!(rest.text(), "last\n");
}

#[tokio::test]
async fn following_a_job_that_is_deleted_ends() {
    let server = with_job(b"text").await;
    let reply = server.send(request(Method::GET, "/api/jobs/j/logs/raw?follow=1", "")).await;
    server.head.state().jobs.clear();
    assert_eq!(read(reply).await.text(), "text");
}

async fn tail(server: &Server, id: &str, token: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let address = format!("ws://{}/api/jobs/{id}/logs/tail", server.address);
    let mut request = address.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(server.address).await.unwrap();
    client_async(request, stream).await.map(|(socket, _)| socket)
}

async fn heard(socket: &mut WebSocketStream<TcpStream>) -> Message {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message in time").expect("still open").unwrap()
}

#[tokio::test]
async fn a_websocket_tells_all_and_closes_in_order() {
    let server = with_job(b"one \xe2\x82").await;
    let mut socket = tail(&server, "j", TOKEN).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::text("one "));
    append(&server, b"\xac\xff");
    assert_eq!(heard(&mut socket).await, Message::text("€\u{fffd}"));
    append(&server, b"end\xf0");
    server.head.end("j", JobStatus::Failed);
    assert_eq!(heard(&mut socket).await, Message::text("end"));
    assert_eq!(heard(&mut socket).await, Message::text("\u{fffd}"));
    let Message::Close(Some(frame)) = heard(&mut socket).await else { panic!("a close") };
    assert_eq!(frame.code, CloseCode::Normal);
    assert!(tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_websocket_ends_with_its_server() {
    let server = with_job(b"text").await;
    let mut socket = tail(&server, "j", TOKEN).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::text("text"));
    drop(server);
    let Message::Close(Some(frame)) = heard(&mut socket).await else { panic!("a close") };
    assert_eq!(frame.code, CloseCode::Away);
}

#[tokio::test]
async fn a_websocket_is_refused_before_it_opens() {
    let server = with_job(b"").await;
    for (id, token, expected) in [("none", TOKEN, 404), ("j", "wrong", 401)] {
        let Err(Error::Http(reply)) = tail(&server, id, token).await else { panic!("refused") };
        assert_eq!(reply.status().as_u16(), expected);
    }
    let plain = server.get("/api/jobs/j/logs/tail").await;
    plain.fails(400, &["logs/tail is a WebSocket"]);
}
