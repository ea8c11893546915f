//! `GET /api/cluster`: the nodes, what they have, and how many jobs run and wait.

use crate::routes::{App, json};
use crate::{ApiError, Head};
use axum::extract::State;
use axum::response::Response;

pub(crate) async fn cluster<H: Head>(State(app): State<App<H>>) -> Result<Response, ApiError> {
    json(&app.head.cluster().await?)
}
