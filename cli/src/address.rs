//! Which head a command talks to: the options and variables that say so.

use crate::client::Client;
use crate::data_dir::DataDir;
use crate::failure::Failure;
use hyper::Uri;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Address {
    /// The head: a data directory, `auto` or http://HOST:PORT [default: $IOSDK_ADDRESS, then auto]
    #[arg(long, value_name = "HEAD")]
    address: Option<String>,
    /// File with the token for an http:// address [default: $IOSDK_TOKEN_FILE, then the token in $RAY_AUTH_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Address {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match self.address.clone().or_else(|| set("IOSDK_ADDRESS")).as_deref() {
            None | Some("auto") => Ok(Client::local(DataDir::found(None)?)),
            Some(url) if url.contains("://") => {
                let authority = authority(url)?;
                let file = self.token_file.clone().or_else(|| set("IOSDK_TOKEN_FILE").map(PathBuf::from));
                Ok(Client::remote(authority, token(url, file.as_deref(), set("RAY_AUTH_TOKEN"))?))
            }
            Some(dir) if dir.contains('/') || Path::new(dir).is_dir() => {
                Ok(Client::local(DataDir::found(Some(Path::new(dir)))?))
            }
            Some(other) => Err(Failure::Usage(format!("{EXPECTED}, got {other:?}"))),
        }
    }

    /// As it has to be typed again in commands that are proposed.
    pub(crate) fn again(&self) -> String {
        let quoted = |name, value: &str| format!(" {name} {}", crate::quoting::quoted(value));
        let address = self.address.as_deref().map(|address| quoted("--address", address));
        let file = self.token_file.as_deref().map(|file| quoted("--token-file", &file.display().to_string()));
        address.unwrap_or_default() + &file.unwrap_or_default()
    }
}

const EXPECTED: &str = "the address of a head must be a data directory (a path with a /), `auto` or http://HOST:PORT";

/// Host and port. No token goes over a network in the clear, so the host is this one.
fn authority(url: &str) -> Result<(String, u16), Failure> {
    let wrong = |why: &str| Failure::Usage(format!("{EXPECTED}, got {url:?}{why}"));
    let uri: Uri = url.parse().map_err(|_| wrong(""))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(wrong(": heads do not speak TLS yet")),
        Some("ray") => return Err(wrong(": ray:// connections are not served")),
        _ => return Err(wrong("")),
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || url.contains('@') {
        return Err(wrong(": nothing follows the port"));
    }
    let host = uri.host().ok_or_else(|| wrong(""))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(80);
    if host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return Ok((bare.to_owned(), port));
    }
    Err(Failure::Usage(format!(
        "{url} is another machine, and the token would cross the network unencrypted. Make a tunnel, \
         `ssh -N -L {port}:localhost:{port} {host}`, and use http://localhost:{port}"
    )))
}

fn token(url: &str, file: Option<&Path>, value: Option<String>) -> Result<String, Failure> {
    let text = match (file, value) {
        (Some(file), _) => std::fs::read_to_string(file)
            .map_err(|error| Failure::Failed(format!("the token file {} cannot be read: {error}", file.display())))?,
        (None, Some(value)) => value,
        (None, None) => {
            return Err(Failure::Usage(format!(
                "{url} asks for a token: give --token-file FILE or set IOSDK_TOKEN_FILE (`iosdk status`, where the head \
                 runs, says which file it is)"
            )));
        }
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::Failed(format!("the token for {url} must be one line of visible characters")));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_this_machine() {
        assert_eq!(authority("http://127.0.0.1:8265"), Ok(("127.0.0.1".into(), 8265)));
        assert_eq!(authority("http://localhost:1/"), Ok(("localhost".into(), 1)));
        assert_eq!(authority("http://[::1]:5"), Ok(("::1".into(), 5)));
        for (url, expected) in [
            ("https://127.0.0.1:1", "TLS"),
            ("ray://127.0.0.1:10001", "not served"),
            ("http://head:8265", "ssh -N -L 8265:localhost:8265 head"),
            ("http://127.0.0.1:1/api", "nothing follows"),
            ("http://a@127.0.0.1:1", "nothing follows"),
            ("http://", "must be a data directory"),
        ] {
            let error = authority(url).unwrap_err();
            assert!(error.to_string().contains(expected), "{url}: {error}");
            assert_eq!(error.code(), 2);
        }
    }

    #[test]
    fn a_token_is_one_line_of_a_file() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("token");
        std::fs::write(&file, "abc\n").unwrap();
        assert_eq!(token("u", Some(&file), Some("other".into())), Ok("abc".into()));
        assert_eq!(token("u", None, Some("other".into())), Ok("other".into()));
        assert!(token("u", None, None).unwrap_err().to_string().contains("--token-file"));
        std::fs::write(&file, "secret line\nsecond").unwrap();
        let error = token("u", Some(&file), None).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
