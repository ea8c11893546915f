//! Who may ask: over TCP who shows the token, over the Unix socket who is this user; a session of the dashboard may read. Decided
//! from the head of a request alone, before its address, query or body means anything. Pages of other origins are refused even
//! with the token.

use crate::ApiError;
use crate::dashboard::{SESSION_PATH, is_public};
use crate::pace::Pace;
use crate::pass::{SESSIONS, TICKETS};
use crate::token::{COOKIE, Token};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use subtle::Choice;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where a connection comes in. Every request of it carries this.
#[derive(Clone, Copy)]
pub(crate) enum Caller {
    /// The address that the peer connected to.
    Tcp { local: SocketAddr },
    /// The user that the peer is, as the kernel says.
    Unix { uid: u32 },
}

#[derive(Clone)]
pub(crate) struct Door {
    /// None on the Unix socket.
    token: Option<Token>,
    pace: Arc<Pace>,
    /// For answers to sessions.
    places: Arc<Semaphore>,
}

/// How a caller got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// By the token, or as this user.
    Trusted,
    Anybody,
    /// By a pass of the dashboard.
    Session,
}

/// Answers to sessions that may be under way: a log that is followed is one for as long as the job runs.
const ANSWERS_MAX: usize = 32;

/// What is there says "ok" and nothing else. Beside it only the dashboard's page is open, which says nothing of the cluster.
const OPEN_PATH: &str = "/healthz";

pub(crate) async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().copied();
    let admitted = door.admit(caller, &request);
    if admitted != Ok(Standing::Trusted) {
        door.pace.turn().await;
    }
    match admitted {
        Ok(Standing::Session) => match door.places.try_acquire_owned() {
            Ok(place) => hold(next.run(request).await, place),
            Err(_) => {
                let text =
                    format!("{ANSWERS_MAX} answers to the dashboard are under way; close pages that follow logs");
                ApiError::unavailable(text).into_response()
            }
        },
        Ok(Standing::Trusted | Standing::Anybody) => next.run(request).await,
        Err(refusal) => {
            let mut response = refusal.into_response();
            let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            if unauthorized {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

/// Until the answer has been sent, or its reader has gone.
fn hold(response: Response, place: OwnedSemaphorePermit) -> Response {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &place;
            frame
        }))
    })
}

impl Door {
    pub(crate) fn new(token: Option<Token>) -> Self {
        Self { token, pace: Arc::new(Pace::new()), places: Arc::new(Semaphore::new(ANSWERS_MAX)) }
    }

    fn admit<B>(&self, caller: Option<Caller>, request: &axum::http::Request<B>) -> Result<Standing, ApiError> {
        match (caller, &self.token) {
            (Some(Caller::Unix { uid }), None) => {
                let own = rustix::process::getuid().as_raw();
                let text = || format!("this socket belongs to the user with uid {own}, yours is {uid}");
                if uid == own { Ok(Standing::Trusted) } else { Err(ApiError::new(StatusCode::FORBIDDEN, text())) }
            }
            (Some(Caller::Tcp { local }), Some(token)) => {
                let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
                check_host(headers, local)?;
                check_origin(headers)?;
                if path == OPEN_PATH || is_public(method, path) {
                    Ok(Standing::Anybody)
                } else if shows(headers, token) {
                    Ok(Standing::Trusted)
                } else if shows_pass(method, path, headers) {
                    Ok(Standing::Session)
                } else {
                    Err(unauthorized(token))
                }
            }
            // A door without a lock, or a caller from nowhere: neither is opened by accident.
            _ => Err(ApiError::internal("the connection does not say where it comes from")),
        }
    }
}

/// The same whatever was asked for and whatever was shown.
fn unauthorized(token: &Token) -> ApiError {
    let file = token.file().display();
    let text = format!(
        "no valid token was shown. The token is in the file {file} (`iosdk status` shows where it is). Send it as the header \
         `Authorization: Bearer TOKEN`; for Ray's client set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH={file}"
    );
    ApiError::new(StatusCode::UNAUTHORIZED, text)
}

/// The header decides where there is one; else any cookie of the right name.
fn shows(headers: &HeaderMap, token: &Token) -> bool {
    if headers.contains_key(header::AUTHORIZATION) {
        return bearer(headers).is_some_and(|shown| token.is(shown));
    }
    let cookies =
        headers.get_all(header::COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let named = cookies.filter_map(|cookie| cookie.trim_ascii().strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"="));
    // Each is looked at, so that the time does not tell which one it was.
    named.fold(Choice::from(0), |found, shown| found | Choice::from(u8::from(token.is(shown)))).into()
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, shown) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(shown)
}

/// A session reads whatever there is; a ticket opens a session, and is used up by that.
fn shows_pass(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let Some(shown) = bearer(headers) else { return false };
    match *method {
        // A WebSocket would outlive its answer.
        Method::GET | Method::HEAD => !headers.contains_key(header::UPGRADE) && SESSIONS.has(shown, Instant::now()),
        Method::POST => path == SESSION_PATH && TICKETS.take(shown, Instant::now()),
        _ => false,
    }
}

/// A name that somebody else's page made point here is refused: the name is theirs.
fn check_host(headers: &HeaderMap, local: SocketAddr) -> Result<(), ApiError> {
    let mut given = headers.get_all(header::HOST).iter();
    let (first, second) = (given.next(), given.next());
    if second.is_none() && first.is_some_and(|host| answers_to(host, local)) {
        return Ok(());
    }
    let port = local.port();
    let shown = first.map_or("none".to_owned(), |host| format!("{host:?}"));
    let own = match local.ip().to_canonical() {
        ip if ip.is_loopback() => String::new(),
        ip => format!(", {}", SocketAddr::new(ip, port)),
    };
    let names = format!("localhost:{port}, 127.0.0.1:{port}, [::1]:{port}{own}");
    Err(ApiError::new(StatusCode::FORBIDDEN, format!("the Host header must be one of {names}; it is {shown}")))
}

fn answers_to(host: &HeaderValue, local: SocketAddr) -> bool {
    let Some(authority) = host.to_str().ok().filter(|text| !text.contains('@')) else { return false };
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    if authority.port_u16().unwrap_or(80) != local.port() {
        return false;
    }
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), local.ip().to_canonical()];
    bare.parse::<IpAddr>().is_ok_and(|ip| own.contains(&ip.to_canonical()))
}

/// Browsers say where a page is from. Only pages from here may ask; programs send no origin. The host has been checked before.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    for origin in headers.get_all(header::ORIGIN) {
        let from_here =
            origin.as_bytes().strip_prefix(b"http://").is_some_and(|it| it.eq_ignore_ascii_case(host.as_bytes()));
        if !from_here {
            let text = format!("pages of the origin {origin:?} may not use this server; only its own pages may");
            return Err(ApiError::new(StatusCode::FORBIDDEN, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_user_gets_through_the_unix_socket() {
        let own = rustix::process::getuid().as_raw();
        let request = axum::http::Request::new(());
        let knock = |uid| Door::new(None).admit(Some(Caller::Unix { uid }), &request);
        assert_eq!(knock(own), Ok(Standing::Trusted));
        let refusal = knock(own + 1).unwrap_err();
        assert_eq!(refusal.status(), 403);
        assert!(refusal.message().contains(&(own + 1).to_string()), "{refusal}");
    }

    #[test]
    fn a_connection_from_nowhere_is_refused() {
        let request = axum::http::Request::builder().uri("/healthz").body(()).unwrap();
        assert_eq!(Door::new(None).admit(None, &request).unwrap_err().status(), 500);
        let tcp = Caller::Tcp { local: "127.0.0.1:1".parse().unwrap() };
        assert_eq!(Door::new(None).admit(Some(tcp), &request).unwrap_err().status(), 500);
    }

    #[test]
    fn hosts_are_addresses_of_this_listener() {
        let local: SocketAddr = "10.0.0.7:8265".parse().unwrap();
        let says = |host: &str| answers_to(&HeaderValue::from_str(host).unwrap(), local);
        for good in ["localhost:8265", "LocalHost:8265", "127.0.0.1:8265", "[::1]:8265", "10.0.0.7:8265"] {
            assert!(says(good), "{good}");
        }
        let bad = ["localhost", "localhost:80", "evil.com:8265", "localhost.evil.com:8265", "10.0.0.8:8265", ""];
        for bad in
            bad.into_iter().chain(["x@localhost:8265", "[::2]:8265", "localhost:8265/", "localhost:8265,a", "::1:8265"])
        {
            assert!(!says(bad), "{bad}");
        }
        let on_80 = answers_to(&HeaderValue::from_static("localhost"), "127.0.0.1:80".parse().unwrap());
        assert!(on_80);
    }
}
