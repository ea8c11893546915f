//! The columns of `iosdk list`, for each kind: the id first, what may be long last.

use super::cells::{field, in_use, took};
use super::{Kind, Row};
use crate::printing::{Cell, Screen, state_cell};
use serde_json::Value;

type Column = (&'static str, fn(&Row) -> Cell);

const TASKS: [Column; 7] = [
    ("ID", |row| field(row, "task_id")),
    ("STATE", |row| state(row, "state")),
    ("TYPE", |row| field(row, "type")),
    ("PID", |row| field(row, "worker_pid")),
    ("STARTED", |row| field(row, "start_time_ms")),
    ("TOOK", |row| took(row, "start_time_ms", "end_time_ms")),
    ("NAME", |row| field(row, "name")),
];

const ACTORS: [Column; 6] = [
    ("ID", |row| field(row, "actor_id")),
    ("STATE", |row| state(row, "state")),
    ("PID", |row| field(row, "pid")),
    ("JOB", |row| field(row, "job_id")),
    ("RESOURCES", |row| field(row, "resources")),
    ("CLASS", |row| field(row, "class_name")),
];

const OBJECTS: [Column; 9] = [
    ("ID", |row| field(row, "object_id")),
    ("STATE", |row| state(row, "state")),
    ("LOCATION", |row| field(row, "location")),
    ("SIZE", |row| field(row, "object_size")),
    ("PID", |row| field(row, "pid")),
    ("OWNER", |row| field(row, "owner_pid")),
    ("HANDLES", |row| field(row, "handles")),
    ("USES", |row| field(row, "uses")),
    ("BORROWERS", |row| field(row, "borrowers")),
];

const NODES: [Column; 5] = [
    ("ID", |row| field(row, "node_id")),
    ("STATE", |row| state(row, "state")),
    ("HEAD", |row| field(row, "is_head_node")),
    ("NAME", |row| field(row, "node_name")),
    ("IN USE", in_use),
];

const JOBS: [Column; 6] = [
    ("ID", job_name),
    ("STATUS", |row| state(row, "status")),
    ("STARTED", |row| field(row, "start_time")),
    ("TOOK", |row| took(row, "start_time", "end_time")),
    ("EXIT", |row| field(row, "driver_exit_code")),
    ("COMMAND", |row| field(row, "entrypoint")),
];

const WORKERS: [Column; 7] = [
    ("ID", |row| field(row, "worker_id")),
    ("TYPE", |row| field(row, "worker_type")),
    ("STATE", |row| state(row, "state")),
    ("PID", |row| field(row, "pid")),
    ("JOB", |row| field(row, "job_id")),
    ("ACTOR", |row| field(row, "actor_id")),
    ("RESOURCES", |row| field(row, "resources")),
];

pub(super) fn table(kind: Kind, rows: &[Row], screen: Screen) -> String {
    match kind {
        Kind::Tasks => lines(TASKS, rows, screen),
        Kind::Actors => lines(ACTORS, rows, screen),
        Kind::Objects => lines(OBJECTS, rows, screen),
        Kind::Nodes => lines(NODES, rows, screen),
        Kind::Jobs => lines(JOBS, rows, screen),
        Kind::Workers => lines(WORKERS, rows, screen),
    }
}

fn lines<const N: usize>(columns: [Column; N], rows: &[Row], screen: Screen) -> String {
    let line = |row: &Row| columns.map(|(_, cell)| cell(row));
    screen.table(columns.map(|(header, _)| header), rows.iter().map(line).collect())
}

fn state(row: &Row, key: &str) -> Cell {
    state_cell(row.get(key).and_then(Value::as_str).unwrap_or("-"))
}

/// By which its user knows it.
fn job_name(row: &Row) -> Cell {
    let submitted = row.get("submission_id").is_some_and(Value::is_string);
    field(row, if submitted { "submission_id" } else { "job_id" })
}
