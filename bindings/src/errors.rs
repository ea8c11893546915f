//! The one map from errors of the system to Python exceptions. `iosdk._errors` knows the classes; this names kind and fields.

use crate::hooks::hooks;
use crate::value::{self, Source};
use iosdk_runtime::record::ErrorRecord;
use iosdk_runtime::{StoreError, SubmitError};
use iosdk_types::message::ActorDeath;
use iosdk_types::{Attempt, Death, Key};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

pub(crate) fn local(kind: &str, fill: impl for<'py> FnOnce(Python<'py>, &Bound<'py, PyDict>) -> PyResult<()>) -> PyErr {
    Python::attach(|py| build(py, kind, fill).map_or_else(|error| error, |value| PyErr::from_value(value)))
}

fn build<'py>(
    py: Python<'py>,
    kind: &str,
    fill: impl FnOnce(Python<'py>, &Bound<'py, PyDict>) -> PyResult<()>,
) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fill(py, &fields)?;
    hooks(py)?.error_local.bind(py).call1((kind, fields))
}

/// The exception behind an error value.
pub(crate) fn from_value(py: Python<'_>, source: &Source<'_>, bytes: &[u8], contains: &[Key]) -> PyErr {
    exception(py, source, bytes, contains).map_or_else(|error| error, PyErr::from_value)
}

fn exception<'py>(py: Python<'py>, source: &Source<'_>, bytes: &[u8], contains: &[Key]) -> PyResult<Bound<'py, PyAny>> {
    if let Some(record) = ErrorRecord::from_bytes(bytes) {
        return from_record(py, record);
    }
    let packed = value::decode(py, source, contains)?;
    hooks(py)?.error_unpack.bind(py).call1((packed,))
}

fn from_record<'py>(py: Python<'py>, record: ErrorRecord) -> PyResult<Bound<'py, PyAny>> {
    match record {
        ErrorRecord::WorkerCrashed { task, function, attempts } => build(py, "worker_crashed", |py, fields| {
            fields.set_item("task_id", task)?;
            fields.set_item("function", function)?;
            let list = PyList::empty(py);
            for attempt in &attempts {
                list.append(attempt_fields(py, attempt)?)?;
            }
            fields.set_item("attempts", list)
        }),
        ErrorRecord::ActorDied { actor, class_name, cause } => build(py, "actor_died", |py, fields| {
            fields.set_item("actor_id", actor)?;
            fields.set_item("class_name", class_name)?;
            actor_death(py, fields, cause)
        }),
        ErrorRecord::Cancelled { task, function } => build(py, "cancelled", |_, fields| {
            fields.set_item("task_id", task)?;
            fields.set_item("function", function)
        }),
        ErrorRecord::OwnerDied { object, owner, death } => build(py, "owner_died", |_, fields| {
            fields.set_item("object_id", object)?;
            fields.set_item("owner", owner)?;
            fields.set_item("detail", death.as_ref().map(describe_death).unwrap_or_default())
        }),
        ErrorRecord::ObjectLost { object } => {
            build(py, "object_lost", |_, fields| fields.set_item("object_id", object))
        }
        ErrorRecord::Infeasible { function, why } => build(py, "infeasible", |_, fields| {
            fields.set_item("function", function)?;
            fields.set_item("why", why)
        }),
        ErrorRecord::DependencyFailed { function, cause } => {
            let cause = exception(py, &Source::Private(&cause), &cause, &[])?;
            build(py, "dependency_failed", |_, fields| {
                fields.set_item("function", function)?;
                fields.set_item("cause", cause)
            })
        }
    }
}

fn attempt_fields<'py>(py: Python<'py>, attempt: &Attempt) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("number", attempt.number)?;
    fields.set_item("pid", attempt.death.pid)?;
    fields.set_item("exit", attempt.death.exit.to_string())?;
    fields.set_item("last_lines", &attempt.death.last_lines)?;
    Ok(fields)
}

fn describe_death(death: &Death) -> String {
    let mut text = format!("process {} {}", death.pid, death.exit);
    if !death.last_lines.is_empty() {
        text.push_str("; it last printed:\n  ");
        text.push_str(&death.last_lines.join("\n  "));
    }
    text
}

fn actor_death(py: Python<'_>, fields: &Bound<'_, PyDict>, cause: ActorDeath) -> PyResult<()> {
    let (cause, detail, error) = match cause {
        ActorDeath::InitFailed { error } if error.is_empty() => {
            ("init_failed", "which was never run: one of its arguments failed".to_owned(), None)
        }
        ActorDeath::InitFailed { error } => ("init_failed", String::new(), Some(error)),
        ActorDeath::Killed => ("killed", String::new(), None),
        ActorDeath::OutOfScope => ("out_of_scope", String::new(), None),
        ActorDeath::Process(death) => ("process", describe_death(&death), None),
        ActorDeath::OwnerDied(death) => ("owner_died", describe_death(&death), None),
        ActorDeath::NodeDied => ("node_died", String::new(), None),
        ActorDeath::Infeasible { why } => ("infeasible", why, None),
        ActorDeath::Exited => ("exited", String::new(), None),
    };
    fields.set_item("cause", cause)?;
    fields.set_item("detail", detail)?;
    match error {
        None => fields.set_item("error", py.None()),
        // The constructor's exception as a value; what cannot be loaded here is still told.
        Some(error) => match exception(py, &Source::Private(&error), &error, &[]) {
            Ok(exception) => fields.set_item("error", exception),
            Err(_) => fields.set_item("error", PyBytes::new(py, &error)),
        },
    }
}

pub(crate) fn from_submit(error: SubmitError) -> PyErr {
    match error {
        SubmitError::TooDeep { limit, function } => local("depth", |_, fields| {
            fields.set_item("limit", limit)?;
            fields.set_item("function", function)
        }),
        SubmitError::Closed => local("not_connected", |_, _| Ok(())),
    }
}

pub(crate) fn from_store(error: StoreError) -> PyErr {
    match error {
        StoreError::Full { needed, report } => local("store_full", |_, fields| {
            fields.set_item("needed", needed)?;
            fields.set_item("limit", report.limit)?;
            fields.set_item("used", report.used)?;
            let by: Vec<_> =
                report.by_process.iter().map(|user| (user.process.to_string(), user.pid, user.bytes)).collect();
            fields.set_item("by_process", by)
        }),
        StoreError::System(error) => PyErr::from(error),
        StoreError::Closed => local("not_connected", |_, _| Ok(())),
        StoreError::Interrupted => Python::attach(|py| {
            PyErr::take(py).unwrap_or_else(|| PyErr::new::<pyo3::exceptions::PyKeyboardInterrupt, _>(()))
        }),
    }
}
