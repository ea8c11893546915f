//! A server on a port of its own with a fake head behind it, and requests to it.

use crate::fake::{Fake, Scratch};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, Response, body::Body, body::Incoming};
use hyper_util::rt::TokioIo;
use iosdk_http::{Token, serve, serve_unix};
use serde_json::Value;
use std::error::Error;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// For anything that is to happen: longer is a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) head: Fake,
    pub(crate) scratch: Scratch,
    tasks: [JoinHandle<std::io::Result<()>>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A failure with this status whose text has all of `words`.
    pub(crate) fn fails(&self, status: u16, words: &[&str]) {
        assert_eq!(self.status, status, "{}", self.text());
        assert!(words.iter().all(|word| self.text().contains(word)), "{words:?} in {}", self.text());
        assert!(!self.text().contains(TOKEN));
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let scratch = Scratch::new();
        let file = scratch.path().join("token");
        std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let head = Fake::new(scratch.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = scratch.path().join("api");
        let unix = UnixListener::bind(&socket).unwrap();
        let tcp = tokio::spawn(serve(listener, Token::from_file(&file).unwrap(), head.clone()));
        let tasks = [tcp, tokio::spawn(serve_unix(unix, head.clone()))];
        Self { address, socket, head, scratch, tasks }
    }

    /// As it is, but for a Host if none is given.
    pub(crate) async fn send<B>(&self, mut request: Request<B>) -> Response<Incoming>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let host = self.address.to_string().parse().unwrap();
        request.headers_mut().entry("host").or_insert(host);
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time").unwrap()
    }

    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Reply {
        read(self.send(request).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(request(Method::GET, path, "")).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.ask(request(Method::POST, path, body.to_string())).await
    }

    pub(crate) async fn over_unix(&self, request: Request<Full<Bytes>>) -> Reply {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        read(sender.send_request(request).await.unwrap()).await
    }
}

/// With the token.
pub(crate) fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = bare(method, path, body);
    request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    request
}

pub(crate) fn bare(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(path).body(Full::new(body.into())).unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> Reply {
    let (parts, mut rest) = response.into_parts();
    let mut body = Vec::new();
    // It is progress that must not stop: large bodies take what they take.
    while let Some(frame) = tokio::time::timeout(PATIENCE, rest.frame()).await.expect("more of the body in time") {
        body.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    Reply { status: parts.status.as_u16(), headers: parts.headers, body: body.into() }
}
