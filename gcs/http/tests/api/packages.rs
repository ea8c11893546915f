//! Archives: stored once, whole or not at all.

use crate::client::{PATIENCE, Server, TOKEN, request};
use hyper::Method;
use serde_json::json;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn listed(server: &Server) -> Vec<String> {
    let entries = std::fs::read_dir(server.scratch.path().join("packages")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_package_appears_once_and_never_changes() {
    let server = Server::start().await;
    let path = "/api/packages/gcs/_ray_pkg_0123.zip";
    server.get(path).await.fails(404, &["gcs://_ray_pkg_0123.zip"]);
    assert_eq!(server.ask(request(Method::PUT, path, "content")).await.json(), json!({"stored": true}));
    let there = server.get(path).await;
    assert_eq!((there.status, there.body.len()), (200, 0));
    assert_eq!(server.ask(request(Method::PUT, path, "other".repeat(100_000))).await.json(), json!({"stored": false}));
    let stored = iosdk_http::package_path(&server.scratch.path().join("packages"), "gcs", "_ray_pkg_0123.zip").unwrap();
    assert_eq!(std::fs::read(&stored).unwrap(), b"content");
    assert_eq!(listed(&server), ["_ray_pkg_0123.zip"]);
}

#[tokio::test]
async fn of_many_uploads_at_once_one_wins_whole() {
    let server = Server::start().await;
    let upload = |n: u8| server.ask(request(Method::PUT, "/api/packages/gcs/x.whl", vec![n; 1 << 20]));
    let replies = futures_util::future::join_all((0..8).map(upload)).await;
    let won: Vec<usize> = (0..8).filter(|n| replies[*n].json() == json!({"stored": true})).collect();
    assert_eq!(won.len(), 1);
    let content = std::fs::read(server.scratch.path().join("packages/x.whl")).unwrap();
    assert_eq!(content, vec![won[0] as u8; 1 << 20]);
    assert_eq!(listed(&server), ["x.whl"]);
}

#[tokio::test]
async fn hostile_names_reach_no_file() {
    let server = Server::start().await;
    let before = std::fs::read_dir(server.scratch.path()).unwrap().count();
    let long = "x".repeat(256);
    for name in [
        "..",
        ".",
        "..%2Fx",
        "%2Fetc%2Fpasswd",
        "a%2Fb",
        ".hidden",
        ".upload-1",
        "a%00",
        "-x",
        "a%20b",
        "%C3%A9",
        &long,
    ] {
        for method in [Method::GET, Method::PUT] {
            let reply = server.ask(request(method, &format!("/api/packages/gcs/{name}"), "x")).await;
            reply.fails(400, &["a package's name must be"]);
        }
    }
    assert_eq!(server.ask(request(Method::PUT, "/api/packages/gcs/a/b", "x")).await.status, 404);
    assert_eq!(server.ask(request(Method::PUT, "/api/packages/gcs/%FF", "x")).await.status, 400);
    server.ask(request(Method::PUT, "/api/packages/s3/x.zip", "x")).await.fails(400, &["protocol gcs", "s3"]);
    let fits = format!("/api/packages/gcs/{}", "x".repeat(255));
    assert_eq!(server.ask(request(Method::PUT, &fits, "x")).await.json(), json!({"stored": true}));
    assert_eq!(listed(&server), ["x".repeat(255)]);
    assert_eq!(std::fs::read_dir(server.scratch.path()).unwrap().count(), before);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "PUT /api/packages/gcs/x.zip HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\nhalf",
        server.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut reply = String::new();
    // The server may close without a word or say what was wrong: both end the connection.
    let _closed_or_answered = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut reply)).await.expect("an end");
    server.get("/api/packages/gcs/x.zip").await.fails(404, &["x.zip"]);
    assert_eq!(
        server.ask(request(Method::PUT, "/api/packages/gcs/x.zip", "whole")).await.json(),
        json!({"stored": true})
    );
    assert_eq!(listed(&server), ["x.zip"]);
}

#[tokio::test]
async fn a_store_that_fails_says_so() {
    let server = Server::start().await;
    std::fs::remove_dir(server.scratch.path().join("packages")).unwrap();
    server.ask(request(Method::PUT, "/api/packages/gcs/x.zip", "x")).await.fails(500, &["package store failed"]);
}

#[test]
fn what_a_killed_head_left_is_swept() {
    let scratch = crate::fake::Scratch::new();
    let packages = scratch.path().join("packages");
    for name in [".upload-1-0", ".upload-7-3", "kept.zip"] {
        std::fs::write(packages.join(name), "x").unwrap();
    }
    iosdk_http::sweep_uploads(&packages).unwrap();
    let left: Vec<_> = std::fs::read_dir(&packages).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["kept.zip"]);
    assert!(iosdk_http::sweep_uploads(Path::new("/nowhere")).is_err());
}
