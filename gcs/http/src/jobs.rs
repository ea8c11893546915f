//! Jobs: submit, list, show, stop, delete.

use crate::query::Query;
use crate::routes::{App, json};
use crate::{ApiError, Deleted, Head, JobQuery, JobStatus, Stopped, submission};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// Bytes of a JSON body.
const BODY_MAX: usize = 4 << 20;
/// From the head of a request to the last byte of its JSON.
const BODY_TIME: Duration = Duration::from_secs(30);

pub(crate) async fn submit<H: Head>(State(app): State<App<H>>, body: Body) -> Result<Response, ApiError> {
    let body = match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let text = format!("the body must have at most {BODY_MAX} bytes; large files go to /api/packages");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Ok(Err(error)) => return Err(ApiError::invalid(format!("the body cannot be read: {error}"))),
        Err(_elapsed) => {
            let text = format!("the body did not arrive within {} s", BODY_TIME.as_secs());
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, text));
        }
    };
    json(&app.head.submit(submission::parse(&body)?).await?)
}

pub(crate) async fn list<H: Head>(State(app): State<App<H>>, uri: Uri) -> Result<Response, ApiError> {
    let query = Query::of(&uri);
    let page = JobQuery {
        limit: query.number("limit")?,
        offset: query.number("offset")?.unwrap_or(0),
        status: query.text("status").map(status).transpose()?,
    };
    json(&app.head.jobs(page).await?)
}

fn status(text: &str) -> Result<JobStatus, ApiError> {
    let known = JobStatus::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
    known.map(|(status, _)| *status).ok_or_else(|| {
        let names = JobStatus::ALL.map(|(_, name)| name).join(", ");
        ApiError::invalid(format!("status must be one of {names}, got {text:?}"))
    })
}

pub(crate) async fn show<H: Head>(State(app): State<App<H>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    json(&app.head.job(&id).await?)
}

pub(crate) async fn stop<H: Head>(
    State(app): State<App<H>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let force = Query::of(&uri).flag("force")?;
    json(&Stopped { stopped: app.head.stop(&id, force).await? })
}

pub(crate) async fn delete<H: Head>(State(app): State<App<H>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    json(&Deleted { deleted: app.head.delete(&id).await? })
}
