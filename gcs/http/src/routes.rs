//! The table of routes, and what every handler has at hand.

use crate::auth::{Door, guard};
use crate::dashboard::SESSION_PATH;
use crate::{ApiError, Head, cluster, dashboard, health, jobs, logs, metrics, packages, state, usage};
use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio::sync::watch;

#[derive(Clone)]
pub(crate) struct App<H> {
    pub(crate) head: H,
    /// Its other end lives as long as the listener: what outlives a request ends with it.
    pub(crate) serving: watch::Receiver<()>,
}

pub(crate) fn router<H: Head>(app: App<H>, door: Door) -> Router {
    Router::new()
        .route("/", get(dashboard::file))
        .route("/dashboard/{name}", get(dashboard::file))
        .route("/api/dashboard/ticket", post(dashboard::ticket))
        .route(SESSION_PATH, post(dashboard::session))
        .route("/healthz", get(health::healthz::<H>))
        .route("/metrics", get(metrics::metrics::<H>))
        .route("/api/version", get(health::version::<H>))
        .route("/api/gcs_healthz", get(health::gcs_healthz::<H>))
        .route("/api/cluster", get(cluster::cluster::<H>))
        .route("/api/usage", get(usage::usage::<H>))
        .route("/api/jobs", get(jobs::list::<H>).post(jobs::submit::<H>))
        .route("/api/jobs/", get(jobs::list::<H>).post(jobs::submit::<H>))
        .route("/api/jobs/{id}", get(jobs::show::<H>).delete(jobs::delete::<H>))
        .route("/api/jobs/{id}/stop", post(jobs::stop::<H>))
        .route("/api/jobs/{id}/logs", get(logs::whole::<H>))
        .route("/api/jobs/{id}/logs/raw", get(logs::raw::<H>))
        .route("/api/jobs/{id}/logs/tail", get(logs::tail::<H>))
        .route("/api/v0/explain/{id}", get(state::explain::<H>))
        .route("/api/v0/{kind}", get(state::list::<H>))
        .route("/api/v0/{kind}/{id}", get(state::one::<H>))
        .route("/api/packages/{protocol}/{name}", get(packages::exists::<H>).put(packages::upload::<H>))
        .fallback(unknown)
        .with_state(app)
        .layer(from_fn_with_state(door, guard))
        .layer(from_fn(metrics::count))
}

async fn unknown(request: Request) -> ApiError {
    ApiError::not_found(format!("there is no {}; docs/http-api.md has the routes", request.uri().path()))
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<Response, ApiError> {
    let text = serde_json::to_vec(value).map_err(|error| ApiError::internal(format!("writing JSON: {error}")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}
