//! The dashboard: its page, which anybody may see since it says nothing about the cluster, and how a browser gets in. What the
//! page shows it asks of the other routes.

use crate::ApiError;
use crate::pass::{Passes, SESSIONS, TICKETS};
use crate::routes::json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use std::time::Instant;

struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! script {
    ($name:literal) => {
        File {
            path: concat!("/dashboard/", $name),
            kind: "text/javascript; charset=utf-8",
            text: include_str!(concat!("../dashboard/", $name)),
        }
    };
}

const FILES: [File; 12] = [
    File { path: "/", kind: "text/html; charset=utf-8", text: include_str!("../dashboard/index.html") },
    File {
        path: "/dashboard/style.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("../dashboard/style.css"),
    },
    File { path: "/dashboard/icon.svg", kind: "image/svg+xml", text: include_str!("../dashboard/icon.svg") },
    script!("app.js"),
    script!("api.js"),
    script!("dom.js"),
    script!("format.js"),
    script!("overview.js"),
    script!("jobs.js"),
    script!("log.js"),
    script!("states.js"),
    script!("usage.js"),
];

/// Of all files together: they belong to one another.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let digest = FILES.iter().fold(Sha256::new(), |digest, file| digest.chain_update(file.text)).finalize();
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
});

/// Scripts, styles and requests of this origin alone; in no frame; and no address of it is told to others.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Kept, and asked for each time: the answer is 304 until the head is another version.
    (header::CACHE_CONTROL, "no-cache"),
];

pub(crate) const SESSION_PATH: &str = "/api/dashboard/session";

/// Whether it is the page or a file of it.
pub(crate) fn is_public(method: &Method, path: &str) -> bool {
    (method == Method::GET || method == Method::HEAD) && FILES.iter().any(|file| file.path == path)
}

pub(crate) async fn file(uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let Some(file) = FILES.iter().find(|file| file.path == uri.path()) else {
        return Err(ApiError::not_found(format!("the dashboard has no {}", uri.path())));
    };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == TAG.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, file.kind)], file.text).into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::ETAG, value(&TAG)?);
    Ok(response)
}

fn value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(|_| ApiError::internal("the dashboard's version has become no header"))
}

/// What `POST /api/dashboard/ticket` and `POST /api/dashboard/session` answer.
#[derive(Serialize, Deserialize)]
pub struct DashboardPass {
    /// Shown as `Authorization: Bearer PASS`.
    pub pass: String,
    pub seconds: u64,
}

/// For whoever has the token: one that may be handed to a browser.
pub(crate) async fn ticket() -> Result<Response, ApiError> {
    issue(&TICKETS)
}

/// Whoever gets here has shown the token or a ticket, which is used up now.
pub(crate) async fn session() -> Result<Response, ApiError> {
    issue(&SESSIONS)
}

fn issue(passes: &Passes) -> Result<Response, ApiError> {
    let made = passes.issue(Instant::now());
    let pass = made.map_err(|error| ApiError::internal(format!("making a random word: {error}")))?;
    let mut response = json(&DashboardPass { pass, seconds: passes.lasts().as_secs() })?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
