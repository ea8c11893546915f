//! What a program may ask about the cluster and about itself.

use crate::caller::resource_dict;
use crate::session;
use iosdk_runtime::definition::Definition;
use iosdk_types::TaskId;
use iosdk_types::message::{Answer, Query};
use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::sync::{Arc, Mutex, PoisonError};

/// The task that runs in this process now.
pub(crate) struct Context {
    pub(crate) task: TaskId,
    pub(crate) definition: Arc<Definition>,
    pub(crate) class_name: Arc<str>,
    pub(crate) is_actor: bool,
}

static CONTEXT: Mutex<Option<Context>> = Mutex::new(None);

pub(crate) fn set_context(context: Context) {
    *CONTEXT.lock().unwrap_or_else(PoisonError::into_inner) = Some(context);
}

#[pyfunction]
pub(crate) fn query(py: Python<'_>, what: &str) -> PyResult<Py<PyAny>> {
    let question = match what {
        "nodes" => Query::Nodes,
        "cluster_resources" => Query::ClusterResources,
        "available_resources" => Query::AvailableResources,
        other => return Err(PyValueError::new_err(format!("unknown query {other:?}"))),
    };
    let process = session::current()?;
    let answer = py
        .detach(|| process.query(question))
        .ok_or_else(|| PyTimeoutError::new_err(format!("the cluster did not answer the query {what:?} within 30 s")))?;
    match answer {
        Answer::Resources(set) => Ok(resource_dict(py, &set)?.into_any().unbind()),
        Answer::Nodes(nodes) => {
            let list = PyList::empty(py);
            for node in nodes {
                let fields = PyDict::new(py);
                fields.set_item("node_id", node.node.hex())?;
                fields.set_item("alive", node.alive)?;
                fields.set_item("ip", node.ip)?;
                fields.set_item("hostname", node.hostname)?;
                fields.set_item("resources", resource_dict(py, &node.resources)?)?;
                list.append(fields)?;
            }
            Ok(list.into_any().unbind())
        }
    }
}

#[pyfunction]
pub(crate) fn task_context(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let process = session::current()?;
    let session = process.session();
    let fields = PyDict::new(py);
    fields.set_item("job_id", session.job.hex())?;
    fields.set_item("node_id", session.node.hex())?;
    fields.set_item("worker_id", session.worker_id().hex())?;
    let context = CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
    match context.as_ref() {
        None => {
            for name in ["task_id", "task_name", "function_name", "actor_id"] {
                fields.set_item(name, py.None())?;
            }
            fields.set_item("resources", PyDict::new(py))?;
            fields.set_item("is_actor", false)?;
        }
        Some(context) => {
            let name = match context.is_actor {
                true => format!("{}.{}", context.class_name, context.definition.name),
                false => context.definition.name.clone(),
            };
            fields.set_item("task_id", context.task.hex())?;
            fields.set_item("function_name", format!("{}.{name}", context.definition.module))?;
            fields.set_item("task_name", name)?;
            fields.set_item("actor_id", context.is_actor.then(|| context.task.actor().hex()))?;
            fields.set_item("resources", resource_dict(py, &context.definition.resources)?)?;
            fields.set_item("is_actor", context.is_actor)?;
        }
    }
    Ok(fields)
}

/// Runs the cluster daemon in this process; returns its exit code.
#[pyfunction]
pub(crate) fn daemon_main(py: Python<'_>, argv: Vec<String>) -> i32 {
    py.detach(|| iosdk_cli::run(argv))
}

/// Runs the command line in this process; `program`: the words that run it again, before the arguments. Returns the exit code.
#[pyfunction]
pub(crate) fn cli_main(py: Python<'_>, args: Vec<String>, program: Vec<String>) -> i32 {
    py.detach(|| iosdk_cli::run_as(args, program.into_iter().map(Into::into).collect()))
}

#[pyfunction]
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
