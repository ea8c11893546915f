//! The one session of this interpreter: the process's place in a cluster, and the errors of having none.

use crate::errors;
use crate::object_ref::ObjectRef;
use iosdk_runtime::{JoinError, Process};
use iosdk_types::Key;
use iosdk_types::message::Attach;
use pyo3::exceptions::{PyConnectionError, PyKeyError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

static CURRENT: RwLock<Option<Arc<Process>>> = RwLock::new(None);
static SESSION: AtomicU64 = AtomicU64::new(0);

/// The process, or the error that says what is wrong: not connected, or a fork of the one that was.
pub(crate) fn current() -> PyResult<Arc<Process>> {
    let process = CURRENT.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    match process {
        None => Err(errors::local("not_connected", |_, _| Ok(()))),
        Some(process) if process.is_fork() => Err(errors::local("forked", |_, _| Ok(()))),
        Some(process) => Ok(process),
    }
}

/// The reference's key in this session; an error for one of an earlier session.
pub(crate) fn key_of(process: &Arc<Process>, reference: &ObjectRef) -> PyResult<Key> {
    if Arc::ptr_eq(process, reference.handle.process()) {
        return Ok(reference.handle.key());
    }
    Err(errors::local("session_over", |_, _| Ok(())))
}

#[pyfunction]
#[allow(unsafe_code)]
#[pyo3(signature = (fd, is_driver, attach=None))]
pub(crate) fn connect<'py>(
    py: Python<'py>,
    fd: i32,
    is_driver: bool,
    attach: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    let attach = attach.map(|given| attach_of(&given)).transpose()?;
    let old = CURRENT.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    if let Some(old) = old {
        if !old.is_fork() {
            return Err(PyRuntimeError::new_err("this process is connected to a cluster already"));
        }
        // The parent's session, seen from a fork: nothing of it may run here, its destructors included.
        std::mem::forget(old);
    }
    // SAFETY: the caller gives the descriptor away.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let process = py.detach(|| Process::join(fd, is_driver, attach)).map_err(|error| match error {
        JoinError::Version { .. } => PyRuntimeError::new_err(error.to_string()),
        error => PyConnectionError::new_err(error.to_string()),
    })?;
    let session = process.session();
    let welcome = PyDict::new(py);
    welcome.set_item("address", session.address.to_string())?;
    welcome.set_item("node_id", session.node.hex())?;
    welcome.set_item("job_id", session.job.hex())?;
    welcome.set_item("session", &session.name)?;
    welcome.set_item("session_dir", &session.dir)?;
    welcome.set_item("node_ip", &session.node_ip)?;
    welcome.set_item("worker_id", session.worker_id().hex())?;
    welcome.set_item("arena_limit", session.arena_limit)?;
    *CURRENT.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(process);
    SESSION.fetch_add(1, Ordering::Relaxed);
    Ok(welcome)
}

fn attach_of(given: &Bound<'_, PyDict>) -> PyResult<Attach> {
    let item = |name: &str| given.get_item(name)?.ok_or_else(|| PyKeyError::new_err(name.to_owned()));
    Ok(Attach {
        namespace: item("namespace")?.extract()?,
        submission: item("submission")?.extract()?,
        python: item("python")?.extract()?,
        package: item("package")?.extract()?,
        sys_path: item("sys_path")?.extract()?,
        cwd: item("cwd")?.extract()?,
        env: item("env")?.extract()?,
        log_to_driver: item("log_to_driver")?.extract()?,
    })
}

#[pyfunction]
pub(crate) fn disconnect(py: Python<'_>) {
    let process = CURRENT.write().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(process) = process {
        if process.is_fork() {
            std::mem::forget(process);
            return;
        }
        py.detach(|| process.leave());
    }
}

#[pyfunction]
pub(crate) fn is_connected() -> bool {
    let current = CURRENT.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    current.as_ref().is_some_and(|process| !process.is_fork() && process.is_open())
}

/// How often this process slept to the end of a slice although somebody had rung: calls that waited for nothing.
#[pyfunction]
pub(crate) fn missed_wakeups() -> PyResult<u64> {
    Ok(current()?.missed_wakeups())
}

#[pyfunction]
pub(crate) fn session_id() -> u64 {
    SESSION.load(Ordering::Relaxed)
}

/// Asks the daemon to end the cluster and waits until it hung up; false when it did not in time.
#[pyfunction]
pub(crate) fn shutdown_cluster(py: Python<'_>, timeout_s: f64) -> PyResult<bool> {
    let process = current()?;
    Ok(py.detach(|| process.shut_down_cluster(Duration::from_secs_f64(timeout_s.clamp(0.0, 3600.0)))))
}

type LogTuple = (String, i32, bool, String);

/// Blocks for the next lines that workers printed; None when the session is over.
#[pyfunction]
pub(crate) fn next_log_lines(py: Python<'_>) -> PyResult<Option<Vec<LogTuple>>> {
    let process = current()?;
    let lines = py.detach(|| process.next_log_lines());
    Ok(lines.map(|lines| lines.into_iter().map(|line| (line.name, line.pid, line.stderr, line.text)).collect()))
}
