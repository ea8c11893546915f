//! `put`, `get`, `wait` and the small calls around them.

use crate::errors;
use crate::object_ref::{Handle, ObjectRef};
use crate::references;
use crate::session::{self, key_of};
use crate::value::{self, Encoded, Source};
use crate::view::Held;
use iosdk_runtime::{Fetched, INLINE_MAX, Need, Process, Waited};
use iosdk_types::{Address, Extent, Key};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[pyfunction]
pub(crate) fn put(value: &Bound<'_, PyAny>) -> PyResult<ObjectRef> {
    let process = session::current()?;
    Ok(ObjectRef { handle: put_value(&process, value)? })
}

pub(crate) fn put_value(process: &Arc<Process>, value: &Bound<'_, PyAny>) -> PyResult<Handle> {
    let encoded = value::encode(value)?;
    let py = value.py();
    if encoded.len <= INLINE_MAX {
        let mut encoded = encoded;
        let noted = std::mem::take(&mut encoded.contains);
        let (key, descriptor) = process.put_inline(&encoded.into_vec(py)?, &references::keys(&noted));
        return Ok(Handle::with(process.clone(), key, descriptor));
    }
    let extent = store(py, process, &encoded, None)?;
    let (key, descriptor) = process.put_extent(extent, &references::keys(&encoded.contains));
    Ok(Handle::with(process.clone(), key, descriptor))
}

/// Copies a large value into the arena. The GIL is given up for the copy of anything that takes long.
/// `owner`: whose object it will be; this process's own when none is named.
pub(crate) fn store(
    py: Python<'_>,
    process: &Arc<Process>,
    encoded: &Encoded,
    owner: Option<Address>,
) -> PyResult<Extent> {
    let interrupted = || Python::attach(|py| py.check_signals().map_err(|error| error.restore(py)).is_err());
    let mut writer = match process.try_allocate(encoded.len, owner) {
        Some(writer) => writer.map_err(errors::from_store)?,
        None => py.detach(|| process.allocate(encoded.len, owner, interrupted)).map_err(errors::from_store)?,
    };
    encoded.write(py, |offset, bytes| {
        if bytes.len() <= 1 << 20 {
            writer.write(offset, bytes, || false).map_err(errors::from_store)
        } else {
            py.detach(|| writer.write(offset, bytes, interrupted)).map_err(errors::from_store)
        }
    })?;
    writer.seal().map_err(errors::from_store)
}

#[pyfunction]
#[pyo3(signature = (refs, timeout=None))]
pub(crate) fn get<'py>(refs: &Bound<'py, PyAny>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
    let py = refs.py();
    let process = session::current()?;
    if let Ok(reference) = refs.cast_exact::<ObjectRef>() {
        let key = key_of(&process, reference.get())?;
        await_all(py, &process, &[key], timeout)?;
        return fetch(py, &process, key);
    }
    let list = refs.cast::<PyList>().map_err(|_| invalid_refs(refs))?;
    let keys = keys_of(&process, list, |item| PyTypeError::new_err(not_a_ref("get", item)))?;
    await_all(py, &process, &keys, timeout)?;
    if let Some(failed) = process.first_error(&keys) {
        fetch(py, &process, failed)?;
    }
    let values = PyList::empty(py);
    for key in keys {
        values.append(fetch(py, &process, key)?)?;
    }
    Ok(values.into_any())
}

fn invalid_refs(given: &Bound<'_, PyAny>) -> PyErr {
    let kind = given.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    PyValueError::new_err(format!("Invalid type of object refs, {kind}: get takes one ObjectRef or a list of them"))
}

fn not_a_ref(call: &str, item: &Bound<'_, PyAny>) -> String {
    let kind = item.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    format!("Attempting to call `{call}` on the value {item:?} of type {kind}, which is not an ObjectRef")
}

fn keys_of(
    process: &Arc<Process>,
    list: &Bound<'_, PyList>,
    wrong: impl Fn(&Bound<'_, PyAny>) -> PyErr,
) -> PyResult<Vec<Key>> {
    let mut keys = Vec::with_capacity(list.len());
    for item in list.iter() {
        match item.cast_exact::<ObjectRef>() {
            Ok(reference) => keys.push(key_of(process, reference.get())?),
            Err(_) => return Err(wrong(&item)),
        }
    }
    Ok(keys)
}

/// Waits until all are there or one of them is an error.
fn await_all(py: Python<'_>, process: &Arc<Process>, keys: &[Key], timeout: Option<f64>) -> PyResult<()> {
    match wait_for(py, process, keys, Need::AllOrError, timeout)? {
        Waited::Done => Ok(()),
        Waited::TimedOut { ready } => Err(errors::local("get_timeout", |_, fields| {
            fields.set_item("waiting", keys.len() - ready)?;
            fields.set_item("total", keys.len())?;
            fields.set_item("timeout", timeout)
        })),
        Waited::Interrupted | Waited::Closed => Err(errors::local("not_connected", |_, _| Ok(()))),
    }
}

/// First with the GIL held, for answers that come at once; then without it, looking at signals now and then.
fn wait_for(
    py: Python<'_>,
    process: &Arc<Process>,
    keys: &[Key],
    need: Need,
    timeout: Option<f64>,
) -> PyResult<Waited> {
    if process.try_wait(keys, need) {
        return Ok(Waited::Done);
    }
    let deadline = timeout
        .filter(|seconds| seconds.is_finite())
        .map(|seconds| Instant::now() + Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX / 4));
    loop {
        match py.detach(|| process.wait(keys, need, deadline)) {
            Waited::Interrupted => py.check_signals()?,
            waited => return Ok(waited),
        }
    }
}

/// The value of an object that is there: a new Python object each time.
pub(crate) fn fetch<'py>(py: Python<'py>, process: &Arc<Process>, key: Key) -> PyResult<Bound<'py, PyAny>> {
    match process.fetch(key) {
        Fetched::Pending => Err(PyRuntimeError::new_err("the value went away while it was read")),
        Fetched::Gone => Err(errors::local("object_lost", |_, fields| fields.set_item("object_id", ""))),
        Fetched::Inline { bytes, is_error, contains } => {
            let source = Source::Private(&bytes);
            if is_error {
                return Err(errors::from_value(py, &source, &bytes, &contains));
            }
            value::decode(py, &source, &contains)
        }
        Fetched::Shared { view, is_error, contains } => {
            let reference = Handle::retain(process.clone(), key);
            let owner = Arc::new(Held { view, _reference: reference });
            let bytes = owner.view.bytes();
            let source = Source::Shared { bytes, owner: &owner };
            if is_error {
                return Err(errors::from_value(py, &source, bytes, &contains));
            }
            value::decode(py, &source, &contains)
        }
    }
}

#[pyfunction]
#[pyo3(signature = (refs, num_returns, timeout=None))]
pub(crate) fn wait<'py>(
    refs: &Bound<'py, PyList>,
    num_returns: usize,
    timeout: Option<f64>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
    let py = refs.py();
    let process = session::current()?;
    let keys = keys_of(&process, refs, |item| PyTypeError::new_err(not_a_ref("wait", item)))?;
    if process.has_duplicates(&keys) {
        return Err(PyValueError::new_err("wait needs distinct refs, and one was given twice"));
    }
    match wait_for(py, &process, &keys, Need::Count(num_returns), timeout)? {
        Waited::Done | Waited::TimedOut { .. } => {}
        Waited::Interrupted | Waited::Closed => return Err(errors::local("not_connected", |_, _| Ok(()))),
    }
    let positions = process.ready_positions(&keys, num_returns);
    let ready = PyList::new(py, positions.iter().map(|at| refs.get_item(*at)).collect::<PyResult<Vec<_>>>()?)?;
    Ok((ready, without(refs, &positions)?))
}

/// A copy of the list without what is at these positions, which ascend: of a long list, runs are copied whole.
fn without<'py>(list: &Bound<'py, PyList>, positions: &[usize]) -> PyResult<Bound<'py, PyList>> {
    if positions.len() == list.len() {
        return Ok(PyList::empty(list.py()));
    }
    let first = positions.first().copied().unwrap_or(list.len());
    let rest = list.get_slice(0, first);
    let ends = positions.iter().skip(1).copied().chain([list.len()]);
    for (at, end) in positions.iter().zip(ends) {
        let tail = rest.len();
        rest.set_slice(tail, tail, &list.get_slice(at + 1, end))?;
    }
    Ok(rest)
}

#[pyfunction]
pub(crate) fn cancel(reference: &Bound<'_, ObjectRef>, force: bool, recursive: bool) -> PyResult<()> {
    // Children of a cancelled task that has not started do not exist yet.
    let _ = recursive;
    let process = session::current()?;
    let key = key_of(&process, reference.get())?;
    process.cancel(key, force);
    Ok(())
}
