//! `GET /metrics` in Prometheus's text format: the cluster as the head sees it, and what was asked over HTTP.

use crate::routes::App;
use crate::{ApiError, ClusterInfo, Head};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use iosdk_types::ResourceSet;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Mutex, PoisonError};

/// Method, route as the table has it, status. Of the process: all listeners together. Nothing here grows with what strangers ask.
static REQUESTS: Mutex<BTreeMap<(&'static str, String, u16), u64>> = Mutex::new(BTreeMap::new());

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

pub(crate) async fn count(request: Request, next: Next) -> Response {
    let method = METHODS.into_iter().find(|name| *name == Method::as_str(request.method())).unwrap_or("other");
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let mut requests = REQUESTS.lock().unwrap_or_else(PoisonError::into_inner);
    *requests.entry((method, route, response.status().as_u16())).or_default() += 1;
    response
}

pub(crate) async fn metrics<H: Head>(State(app): State<App<H>>) -> Result<Response, ApiError> {
    let mut page = Page::default();
    describe(&mut page, &app.head.cluster().await?);
    page.family("iosdk_http_connections", "gauge", "Connections that are open.");
    page.sample(&[], crate::serve::open_connections());
    page.family("iosdk_http_requests_total", "counter", "Requests that were answered.");
    for ((method, route, status), count) in REQUESTS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        page.sample(&[("method", method), ("route", route), ("status", &status.to_string())], count);
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, page.text).into_response())
}

fn describe(page: &mut Page, cluster: &ClusterInfo) {
    let (mut total, mut available) = (ResourceSet::new(), ResourceSet::new());
    let alive = || cluster.nodes.iter().filter(|node| node.alive);
    for node in alive() {
        total.add(&node.resources_total);
        available.add(&node.resources_available);
    }
    page.family("iosdk_nodes", "gauge", "Nodes of the cluster.");
    page.sample(&[("state", "alive")], alive().count());
    page.sample(&[("state", "dead")], cluster.nodes.len() - alive().count());
    page.family("iosdk_jobs", "gauge", "Submitted jobs that are not over.");
    page.sample(&[("state", "queued")], cluster.jobs_queued);
    page.sample(&[("state", "running")], cluster.jobs_running);
    page.family("iosdk_resource_total", "gauge", "What all live nodes have, in units or bytes.");
    for (name, amount) in total.iter() {
        page.sample(&[("resource", name)], amount);
    }
    page.family("iosdk_resource_available", "gauge", "What of it is not given out.");
    for (name, _) in total.iter() {
        page.sample(&[("resource", name)], available.get(name));
    }
}

#[derive(Default)]
struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let _text_takes_all = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let quoted = |text: &str| text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
        let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _text_takes_all = writeln!(self.text, "{}{braces} {value}", self.family);
    }
}
