//! Whatever bytes come over a connection: the API answers or closes, and serves the next one. How to look for longer than a test
//! does: `docs/fuzzing.md`.

use crate::auth::Door;
use crate::fake::{Fake, Scratch};
use crate::serve::{Limits, run};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const PATIENCE: Duration = Duration::from_secs(10);

async fn answer(socket: &std::path::Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).await.expect("the listener lives");
    // It may have answered and closed before it has read all.
    let _cut_short = stream.write_all(bytes).await;
    let _closed_already = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end of the connection");
    let _reset = read;
    answer
}

#[test]
fn requests() {
    let scratch = Scratch::new();
    let socket = scratch.path().join("api");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let guard = runtime.enter();
    let listener = UnixListener::bind(&socket).expect("a socket");
    let (head, limits) = (Fake::new(scratch.path()), Limits::default());
    let serving = tokio::spawn(async move { run(&listener, Door::new(None), head, limits).await });
    drop(guard);
    bolero::check!().for_each(|bytes: &[u8]| {
        runtime.block_on(async {
            answer(&socket, bytes).await;
            // As the body of a submission, which is what is parsed deepest.
            let head = format!("POST /api/jobs/ HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", bytes.len());
            let submitted = answer(&socket, &[head.as_bytes(), bytes].concat()).await;
            assert!(submitted.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&submitted));
            let health = answer(&socket, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            assert!(health.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&health));
        });
    });
    serving.abort();
}
