//! A very small HTTP client: one connection that is kept, over a Unix socket or TCP.

use crate::process::PATIENCE;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

pub(crate) struct Client {
    socket: PathBuf,
    connection: Option<BufReader<UnixStream>>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, connection: None }
    }

    /// An error: the head is not there, or went away before it had answered.
    pub(crate) fn try_ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Reply> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let dir = File::open(self.socket.parent().unwrap())?;
                let name = self.socket.file_name().unwrap().to_str().unwrap();
                let stream = UnixStream::connect(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                BufReader::new(stream)
            }
        };
        let reply = exchange(&mut connection, method, path, "", body)?;
        self.connection = Some(connection);
        Ok(reply)
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Reply {
        self.try_ask(method, path, body).unwrap()
    }

    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, b"")
    }

    pub(crate) fn submit(&mut self, job: &Value) -> Reply {
        self.ask("POST", "/api/jobs/", job.to_string().as_bytes())
    }

    pub(crate) fn job(&mut self, id: &str) -> Value {
        self.get(&format!("/api/jobs/{id}")).json()
    }
}

/// Over TCP, with or without a token.
pub(crate) fn ask_tcp(url: &str, token: Option<&str>, path: &str) -> Reply {
    let host = url.strip_prefix("http://").unwrap();
    let mut connection = BufReader::new(TcpStream::connect(host).unwrap());
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    exchange(&mut connection, "GET", path, &format!("Host: {host}\r\n{token}"), b"").unwrap()
}

fn exchange<S: Read + Write>(
    connection: &mut BufReader<S>,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<Reply> {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    connection.get_mut().write_all(&request)?;
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok(Reply { status, body })
}

pub(crate) fn plain(id: &str) -> Value {
    json!({"entrypoint": "true", "submission_id": id})
}
