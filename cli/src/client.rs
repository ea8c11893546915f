//! Requests to a head: over its Unix socket, where the kernel says who asks, or over TCP with the token. One connection each.

use crate::data_dir::{DataDir, HTTP_SOCKET};
use crate::failure::{Failure, failed};
use crate::payload::Payload;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use rustix::process::getuid;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A head that says nothing for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

pub(crate) enum Client {
    Local(DataDir),
    Remote { host: String, port: u16, token: String },
}

/// Runs a command's requests. Nothing of it outlives the command.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed("starting the command's event loop", error))?;
    runtime.block_on(work)
}

impl Client {
    pub(crate) fn local(dir: DataDir) -> Self {
        Self::Local(dir)
    }

    pub(crate) fn remote((host, port): (String, u16), token: String) -> Self {
        Self::Remote { host, port, token }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Payload::empty()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: Payload) -> Result<T, Failure> {
        self.ask(Method::POST, path, body).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::DELETE, path, Payload::empty()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Payload) -> Result<T, Failure> {
        in_time(async {
            let text = whole(self.send(method, path, body).await?).await?;
            serde_json::from_slice(&text)
                .map_err(|error| Failure::Failed(format!("the head's answer to {path} makes no sense: {error}")))
        })
        .await
    }

    /// Whether there is something at `path`.
    pub(crate) async fn exists(&self, path: &str) -> Result<bool, Failure> {
        match in_time(self.send(Method::GET, path, Payload::empty())).await {
            Ok(_) => Ok(true),
            Err(Failure::Answer { status: 404, .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Takes as long as the content needs.
    pub(crate) async fn upload<T: DeserializeOwned>(&self, path: &str, content: Payload) -> Result<T, Failure> {
        let text = whole(self.send(Method::PUT, path, content).await?).await?;
        serde_json::from_slice(&text).map_err(|error| failed("the head's answer to the upload makes no sense", error))
    }

    /// An answer whose body is still to come.
    pub(crate) async fn stream(&self, path: &str) -> Result<Response<Incoming>, Failure> {
        in_time(self.send(Method::GET, path, Payload::empty())).await
    }

    async fn send(&self, method: Method, path: &str, body: Payload) -> Result<Response<Incoming>, Failure> {
        let request = Request::builder().method(method).uri(path);
        let response = match self {
            Self::Local(dir) => {
                let stream = connect_local(dir).await?;
                let request = request.header(header::HOST, "localhost").body(body);
                converse(stream, request.map_err(|error| failed("making the request", error))?).await?
            }
            Self::Remote { host, port, token } => {
                let stream = connect_remote(host, *port).await?;
                let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                let request = request.header(header::HOST, authority);
                let request = request.header(header::AUTHORIZATION, format!("Bearer {token}")).body(body);
                converse(stream, request.map_err(|error| failed("making the request", error))?).await?
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = String::from_utf8_lossy(&whole(response).await?).trim().to_owned();
        let text = if text.is_empty() { format!("the head answered {status}") } else { text };
        Err(Failure::Answer { status: status.as_u16(), text })
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = || Failure::Degraded(format!("the head has not answered for {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_elapsed| Err(late()))
}

async fn connect_local(dir: &DataDir) -> Result<UnixStream, Failure> {
    let shown = dir.path().display();
    let none = |why: &str| {
        Failure::NoHead(format!(
            "no head runs in {shown}{why}. Start one with `iosdk start --head`, or say where it is with --address or \
             IOSDK_ADDRESS"
        ))
    };
    let Some(open) = dir.open()? else { return Err(none(", which does not exist")) };
    match UnixStream::connect(dir.socket(&open, HTTP_SOCKET)).await {
        Ok(stream) => {
            let peer = stream.peer_cred().map_err(|error| failed("asking who serves the socket", error))?.uid();
            if peer == getuid().as_raw() {
                return Ok(stream);
            }
            Err(Failure::Failed(format!("the socket in {shown} is served by uid {peer}: it is not believed")))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            if dir.locked()? || dir.node()?.is_some() {
                let log = dir.path().join("logs");
                let text = "accepts no connections: it starts, ends, or has failed";
                return Err(Failure::Degraded(format!(
                    "the head in {shown} {text}; its logs are in {}",
                    log.display()
                )));
            }
            Err(none(""))
        }
        Err(error) => Err(failed(&format!("connecting to the head in {shown}"), error)),
    }
}

async fn connect_remote(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let none = |why: &dyn Display| Failure::NoHead(format!("no head answers at http://{host}:{port}: {why}"));
    match tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(none(&error)),
        Err(elapsed) => Err(none(&elapsed)),
    }
}

async fn converse<S>(stream: S, request: Request<Payload>) -> Result<Response<Incoming>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // Its errors arrive at the request or the body as well.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| broken(&error))
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let collected = response.into_body().collect().await;
    collected.map(|collected| collected.to_bytes()).map_err(|error| broken(&error))
}

/// With what lies behind it: hyper's own words are few.
pub(crate) fn broken(error: &hyper::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    // The file that was sent could not be read.
    if error.is_user() {
        return Failure::Failed(format!("the request could not be sent: {text}"));
    }
    Failure::Broken(format!("the connection to the head broke: {text}"))
}

/// A part of a path. Ids are plain; whatever else was typed must not become another address.
pub(crate) fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    match text {
        "." | ".." => text.replace('.', "%2E"),
        _ => text.bytes().map(encode).collect(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_stays_one_part_of_the_path() {
        assert_eq!(super::segment("raysubmit_a-1.x"), "raysubmit_a-1.x");
        assert_eq!(super::segment("../stop?force=1"), "..%2Fstop%3Fforce%3D1");
        assert_eq!(super::segment(".."), "%2E%2E");
    }
}
