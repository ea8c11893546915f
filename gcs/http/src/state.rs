//! The state API: what is live, as tables, in the shape that Ray's state API has.

use crate::query::Query;
use crate::routes::{App, json};
use crate::{ApiError, Head};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 10_000;

/// One row: a value for each column of its kind.
pub type Row = serde_json::Map<String, Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    Tasks,
    Actors,
    Objects,
    Nodes,
    Workers,
    Jobs,
}

impl StateKind {
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Tasks, "tasks"),
        (Self::Actors, "actors"),
        (Self::Objects, "objects"),
        (Self::Nodes, "nodes"),
        (Self::Workers, "workers"),
        (Self::Jobs, "jobs"),
    ];

    /// What its rows have, the id first.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Tasks => &[
                "task_id",
                "attempt_number",
                "name",
                "type",
                "state",
                "job_id",
                "actor_id",
                "node_id",
                "owner_pid",
                "worker_pid",
                "retries_left",
                "creation_time_ms",
                "start_time_ms",
                "end_time_ms",
                "error_type",
                "error_message",
            ],
            Self::Actors => &[
                "actor_id",
                "class_name",
                "state",
                "job_id",
                "node_id",
                "pid",
                "owner_pid",
                "resources",
                "death_cause",
            ],
            Self::Objects => &[
                "object_id",
                "state",
                "location",
                "object_size",
                "owner_pid",
                "pid",
                "handles",
                "uses",
                "borrowers",
                "job_id",
                "node_id",
            ],
            Self::Nodes => &["node_id", "node_name", "state", "resources_total", "resources_available", "is_head_node"],
            Self::Workers => {
                &["worker_id", "worker_type", "pid", "node_id", "job_id", "state", "resources", "actor_id"]
            }
            Self::Jobs => &[
                "job_id",
                "submission_id",
                "status",
                "entrypoint",
                "start_time",
                "end_time",
                "driver_exit_code",
                "message",
            ],
        }
    }

    fn parse(name: &str) -> Result<Self, ApiError> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind).ok_or_else(|| {
            let names = Self::ALL.map(|(_, name)| name).join(", ");
            ApiError::not_found(format!("there is no state of {name:?}; there is that of {names}"))
        })
    }
}

/// A column must have this value, or must not. Numbers and truth are compared as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub key: String,
    pub equal: bool,
    pub value: String,
}

impl Filter {
    /// Absent values are written as the empty text.
    pub fn matches(&self, row: &Row) -> bool {
        let found = match row.get(&self.key) {
            Some(Value::String(text)) => *text == self.value,
            None | Some(Value::Null) => self.value.is_empty(),
            Some(Value::Bool(truth)) => self.value.eq_ignore_ascii_case(if *truth { "true" } else { "false" }),
            Some(other) => {
                let text = other.to_string();
                text == self.value
            }
        };
        found == self.equal
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePage {
    pub limit: usize,
    /// All of them must match.
    pub filters: Vec<Filter>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// How many there are.
    pub total: u64,
    /// How many were looked at, and how many of those match.
    pub collected: u64,
    pub matching: u64,
    pub rows: Vec<Row>,
    /// Who should have told more, and did not.
    pub warning: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// By name and type.
    pub lines: Vec<SummaryLine>,
    /// `total_tasks` and the like.
    pub totals: BTreeMap<&'static str, u64>,
    pub warning: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SummaryLine {
    pub func_or_class_name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub state_counts: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    pub id: String,
    pub kind: &'static str,
    pub state: String,
    pub lines: Vec<String>,
}

/// Errors of these routes are JSON, as Ray's client expects them.
pub(crate) struct Refused(ApiError);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "result": false, "msg": self.0.message(), "data": {} });
        (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}

fn answer(result: Value) -> Result<Response, Refused> {
    Ok(json(&json!({ "result": true, "msg": "", "data": { "result": result } }))?)
}

pub(crate) async fn list<H: Head>(
    State(app): State<App<H>>,
    Path(kind): Path<String>,
    uri: Uri,
) -> Result<Response, Refused> {
    let kind = StateKind::parse(&kind)?;
    let listing = app.head.state(kind, page(kind, &Query::of(&uri))?).await?;
    answer(json!({
        "total": listing.total,
        "num_after_truncation": listing.collected,
        "num_filtered": listing.matching,
        "result": listing.rows,
        "partial_failure_warning": listing.warning,
        "warnings": [],
    }))
}

fn page(kind: StateKind, query: &Query<'_>) -> Result<StatePage, ApiError> {
    let limit = query.number("limit")?.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be from 1 to {LIMIT_MAX}, got {limit}")));
    }
    let keys: Vec<&str> = query.texts("filter_keys").collect();
    let predicates: Vec<&str> = query.texts("filter_predicates").collect();
    let values: Vec<&str> = query.texts("filter_values").collect();
    if keys.len() != predicates.len() || keys.len() != values.len() {
        return Err(ApiError::invalid(format!(
            "each filter has a filter_keys, a filter_predicates and a filter_values, got {}, {} and {}",
            keys.len(),
            predicates.len(),
            values.len()
        )));
    }
    let mut filters = Vec::with_capacity(keys.len());
    for ((key, predicate), value) in keys.into_iter().zip(predicates).zip(values) {
        if !kind.columns().contains(&key) {
            let known = kind.columns().join(", ");
            return Err(ApiError::invalid(format!("filter_keys must be one of {known}, got {key:?}")));
        }
        let equal = match predicate {
            "=" => true,
            "!=" => false,
            other => return Err(ApiError::invalid(format!("filter_predicates must be = or !=, got {other:?}"))),
        };
        filters.push(Filter { key: key.to_owned(), equal, value: value.to_owned() });
    }
    Ok(StatePage { limit: limit as usize, filters })
}

/// One row, or the summary of all.
pub(crate) async fn one<H: Head>(
    State(app): State<App<H>>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let kind = StateKind::parse(&kind)?;
    if id != "summarize" {
        return answer(Value::Object(app.head.state_of(kind, &id).await?));
    }
    if !matches!(kind, StateKind::Tasks | StateKind::Actors | StateKind::Objects) {
        return Err(ApiError::not_found("there are summaries of tasks, actors and objects alone").into());
    }
    let Summary { lines, totals, warning } = app.head.summarize(kind).await?;
    let mut by_name = serde_json::Map::new();
    for line in lines {
        // One name may be a function's and a class's.
        let name = match by_name.get(&line.func_or_class_name) {
            Some(_) => format!("{} ({})", line.func_or_class_name, line.kind),
            None => line.func_or_class_name.clone(),
        };
        by_name.insert(name, json!(line));
    }
    let mut cluster = json!({ "summary": by_name });
    for (name, total) in totals {
        cluster[name] = json!(total);
    }
    answer(json!({ "node_id_to_summary": { "cluster": cluster }, "partial_failure_warning": warning }))
}

pub(crate) async fn explain<H: Head>(State(app): State<App<H>>, Path(id): Path<String>) -> Result<Response, Refused> {
    answer(json!(app.head.explain(&id).await?))
}
