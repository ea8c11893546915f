//! A job's output in three forms: whole in JSON as Ray's client wants it, as bytes, and over a WebSocket until the job is over.

use crate::query::Query;
use crate::routes::App;
use crate::serve::Slot;
use crate::tail::{Follow, Log};
use crate::{ApiError, Head};
use axum::Extension;
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{iter, once};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Ray's client holds the whole answer in memory: it gets no more than so many bytes, the last ones.
const WHOLE_MAX: u64 = 64 << 20;
/// For a WebSocket's peer to answer a close.
const FAREWELL: Duration = Duration::from_secs(1);
/// Of what a WebSocket's peer sends. It has nothing to say.
const INCOMING_MAX: usize = 4 << 10;

/// `{"logs": "..."}`, written piece by piece.
pub(crate) async fn whole<H: Head>(State(app): State<App<H>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let about = app.head.logs(&id).await?;
    let log = Log::open(&about.path)?;
    let length = log.len()?;
    let from = length.saturating_sub(WHOLE_MAX);
    let notice = if from == 0 {
        String::new()
    } else {
        format!("[iosdk: the first {from} bytes of this log are left out here; /api/jobs/{id}/logs/raw has them]\n")
    };
    let mut text = Text::default();
    let pieces = log.part(from, length).map(Some).chain(once(ready(None))).map(move |piece| match piece {
        Some(piece) => Ok(text.push(&piece?)),
        None => Ok(text.finish()),
    });
    let start = iter([Ok(Bytes::from_static(b"{\"logs\":\"")), escaped(&notice)]);
    let escaped_pieces = pieces.map(|piece: Result<String, ApiError>| escaped(&piece?));
    let body = start.chain(escaped_pieces).chain(iter([Ok(Bytes::from_static(b"\"}"))]));
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response())
}

/// As it stands inside a JSON string.
fn escaped(text: &str) -> Result<Bytes, ApiError> {
    let quoted = serde_json::to_vec(text).map_err(|error| ApiError::internal(format!("writing JSON: {error}")))?;
    let inner = 1..quoted.len() - 1;
    Ok(Bytes::from(quoted).slice(inner))
}

/// Bytes that come in pieces, as text: a character that two pieces share is held back, what is no UTF-8 is replaced.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn push(&mut self, piece: &[u8]) -> String {
        self.0.extend_from_slice(piece);
        let unfinished = match self.0.utf8_chunks().last().map(|chunk| chunk.invalid()) {
            Some(end) if str::from_utf8(end).is_err_and(|error| error.error_len().is_none()) => end.len(),
            _ => 0,
        };
        let rest = self.0.split_off(self.0.len() - unfinished);
        let whole = std::mem::replace(&mut self.0, rest);
        String::from_utf8_lossy(&whole).into_owned()
    }

    fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned()
    }
}

/// Bytes: all of them, a range, or from `offset` on until the job is over.
pub(crate) async fn raw<H: Head>(
    State(app): State<App<H>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = Query::of(&uri);
    let (follow, offset) = (query.flag("follow")?, query.number("offset")?);
    let range = headers.get(header::RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if range.is_some() && (follow || offset.is_some()) {
        return Err(ApiError::invalid("a Range header goes with neither follow nor offset: use ?offset=N&follow=1"));
    }
    let about = app.head.logs(&id).await?;
    let log = Log::open(&about.path)?;
    let kind = (header::CONTENT_TYPE, "application/octet-stream");
    if follow {
        let follow = Follow::new(app.head, id, about, log, offset.unwrap_or(0));
        return Ok(([kind], follow.into_body()).into_response());
    }
    let length = log.len()?;
    let (from, to) = match range.as_deref() {
        None => (offset.unwrap_or(0).min(length), length),
        Some(range) => match bounds(range, length)? {
            Some(part) => part,
            None => {
                let text = format!("the log has {length} bytes, none of them in {range:?}");
                let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, text);
                return Ok(([(header::CONTENT_RANGE, format!("bytes */{length}"))], error).into_response());
            }
        },
    };
    let body = Body::from_stream(log.part(from, to));
    let size = [kind, (header::ACCEPT_RANGES, "bytes")];
    let mut response = (size, [(header::CONTENT_LENGTH, (to - from).to_string())], body).into_response();
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let shown = format!("bytes {from}-{}/{length}", to - 1);
        let shown = shown.parse().map_err(|_| ApiError::internal("a range has become no header"))?;
        response.headers_mut().insert(header::CONTENT_RANGE, shown);
    }
    Ok(response)
}

/// One range of a file: `bytes=A-`, `bytes=A-B` or `bytes=-N`. None when nothing of it is there.
fn bounds(range: &str, length: u64) -> Result<Option<(u64, u64)>, ApiError> {
    let wrong = || ApiError::invalid(format!("Range must be bytes=FROM-, bytes=FROM-TO or bytes=-LAST, got {range:?}"));
    let (from, to) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let (from, to) = match (from, to) {
        ("", last) => (length.saturating_sub(number(last)?), length),
        (from, "") => (number(from)?, length),
        (from, to) if number(from)? > number(to)? => return Err(wrong()),
        (from, to) => (number(from)?, number(to)?.saturating_add(1).min(length)),
    };
    Ok((from < to).then_some((from, to)))
}

/// The log as text messages until the job is over, then a normal close: what Ray's client follows.
pub(crate) async fn tail<H: Head>(
    State(app): State<App<H>>,
    Path(id): Path<String>,
    Extension(slot): Extension<Arc<Slot>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let about = app.head.logs(&id).await?;
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::new(rejection.status(), format!("logs/tail is a WebSocket: {}", rejection.body_text()))
    })?;
    let log = Log::open(&about.path)?;
    let follow = Follow::new(app.head, id, about, log, 0);
    let upgrade = upgrade.max_message_size(INCOMING_MAX).max_frame_size(INCOMING_MAX);
    Ok(upgrade.on_upgrade(|socket| speak(socket, follow, app.serving, slot)))
}

/// Ends with the job, the peer or the listener, whichever ends first. The connection counts until then.
async fn speak<H: Head>(
    mut socket: WebSocket,
    mut follow: Follow<H>,
    mut serving: watch::Receiver<()>,
    _slot: Arc<Slot>,
) {
    let mut text = Text::default();
    let (last, code, reason) = loop {
        let piece = tokio::select! {
            piece = follow.next() => piece,
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            _ = serving.changed() => break (String::new(), close_code::AWAY, "the head ends".to_owned()),
        };
        let said = match piece {
            Ok(Some(piece)) => text.push(&piece),
            Ok(None) => break (text.finish(), close_code::NORMAL, String::new()),
            // A reason has at most 123 bytes, and a character up to four.
            Err(error) => break (text.finish(), close_code::ERROR, error.message().chars().take(30).collect()),
        };
        let sent = tokio::select! {
            sent = socket.send(Message::Text(said.into())) => sent,
            _ = serving.changed() => return,
        };
        if sent.is_err() {
            return;
        }
    };
    if !last.is_empty() && socket.send(Message::Text(last.into())).await.is_err() {
        return;
    }
    let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    let _the_peer_may_be_gone = socket.send(close).await;
    // The peer answers with its own close; dropped before that, the connection would break instead of ending.
    let _whatever_it_says = tokio::time::timeout(FAREWELL, socket.recv()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_any_cut() {
        let bytes = "aé€😀\n".bytes().chain([0xff, b'b', 0xf0, 0x9f]).collect::<Vec<u8>>();
        let expected = String::from_utf8_lossy(&bytes).into_owned();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut text = Text::default();
                let parts = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                let joined: String = parts.map(|part| text.push(part)).concat() + &text.finish();
                assert_eq!(joined, expected, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn ranges_are_of_what_is_there() {
        assert_eq!(bounds("bytes=0-", 10), Ok(Some((0, 10))));
        assert_eq!(bounds("bytes=3-5", 10), Ok(Some((3, 6))));
        assert_eq!(bounds("bytes=3-18446744073709551615", 10), Ok(Some((3, 10))));
        assert_eq!(bounds("bytes=-4", 10), Ok(Some((6, 10))));
        assert_eq!(bounds("bytes=-40", 10), Ok(Some((0, 10))));
        for none in ["bytes=10-", "bytes=11-12", "bytes=-0"] {
            assert_eq!(bounds(none, 10), Ok(None), "{none}");
        }
        for wrong in ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-3", "bytes=0-1,3-4", "lines=0-1"] {
            assert_eq!(bounds(wrong, 10).map_err(|error| error.status()), Err(400), "{wrong}");
        }
    }
}
