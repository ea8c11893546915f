//! Whether the head answers, and which API it speaks.

use crate::routes::{App, json};
use crate::{ApiError, Head, VersionInfo};
use axum::extract::State;
use axum::response::Response;
use std::time::Duration;

/// Of the job API: jobs have submission ids, resources of their own, and can be deleted.
const JOBS_VERSION: &str = "4";
/// Ray's client refuses servers that are older than what it needs.
const RAY_VERSION: &str = "2.60.0";

const PATIENCE: Duration = Duration::from_secs(1);

async fn answers<H: Head>(head: &H) -> bool {
    tokio::time::timeout(PATIENCE, head.ping()).await.is_ok_and(|answer| answer.is_ok())
}

pub(crate) async fn healthz<H: Head>(State(app): State<App<H>>) -> Result<&'static str, ApiError> {
    if answers(&app.head).await { Ok("ok") } else { Err(ApiError::unavailable("the head does not answer")) }
}

/// Ray's name for it, and Ray's word.
pub(crate) async fn gcs_healthz<H: Head>(State(app): State<App<H>>) -> Result<&'static str, ApiError> {
    if answers(&app.head).await { Ok("success") } else { Err(ApiError::unavailable("the head does not answer")) }
}

pub(crate) async fn version<H: Head>(State(app): State<App<H>>) -> Result<Response, ApiError> {
    json(&VersionInfo {
        version: JOBS_VERSION.to_owned(),
        ray_version: RAY_VERSION.to_owned(),
        ray_commit: format!("iosdk-{}", env!("CARGO_PKG_VERSION")),
        session_name: app.head.session_name(),
        iosdk_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
