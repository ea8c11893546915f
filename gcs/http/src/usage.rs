//! `GET /api/usage`: what each job was given and used.

use crate::query::Query;
use crate::routes::{App, json};
use crate::{ApiError, Head, UsageQuery};
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

pub(crate) async fn usage<H: Head>(State(app): State<App<H>>, uri: Uri) -> Result<Response, ApiError> {
    let query = Query::of(&uri);
    let query = UsageQuery { user: query.text("user").map(str::to_owned), job: query.text("job").map(str::to_owned) };
    json(&app.head.usage(query).await?)
}
