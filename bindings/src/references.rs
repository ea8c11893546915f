//! References inside values. While a value is pickled, each `ObjectRef` in it notes itself in a table of the thread and leaves
//! only its index in the pickle; while it is loaded, the index finds the reference again. So nobody unpickles to count.

use crate::object_ref::{Handle, ObjectRef};
use crate::session;
use iosdk_types::{Key, RefDescriptor};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::cell::RefCell;

thread_local! {
    /// A stack, since a custom `__reduce__` may itself put or call.
    static DUMPING: RefCell<Vec<Vec<Py<ObjectRef>>>> = const { RefCell::new(Vec::new()) };
    static LOADING: RefCell<Vec<Vec<Option<Handle>>>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn while_dumping<T>(run: impl FnOnce() -> PyResult<T>) -> PyResult<(T, Vec<Py<ObjectRef>>)> {
    DUMPING.with_borrow_mut(|stack| stack.push(Vec::new()));
    let result = run();
    let noted = DUMPING.with_borrow_mut(Vec::pop).unwrap_or_default();
    Ok((result?, noted))
}

/// The keys of noted references. The references themselves are kept by the caller until the machine holds its own.
pub(crate) fn keys(noted: &[Py<ObjectRef>]) -> Vec<Key> {
    noted.iter().map(|reference| reference.get().handle.key()).collect()
}

/// Handles for all of them are taken under one lock; those the pickle does not ask for go back at the end.
pub(crate) fn while_loading<T>(contains: &[Key], run: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let table = if contains.is_empty() { Vec::new() } else { Handle::retain_all(&session::current()?, contains) };
    LOADING.with_borrow_mut(|stack| stack.push(table));
    let result = run();
    let left = LOADING.with_borrow_mut(Vec::pop);
    drop(left);
    result
}

/// What a reference leaves in a pickle: its index inside a value of ours, itself in anybody else's.
pub(crate) fn reduce<'py>(reference: Bound<'py, ObjectRef>) -> PyResult<Bound<'py, PyTuple>> {
    let py = reference.py();
    let module = py.import("iosdk._core")?;
    session::key_of(&session::current()?, reference.get())?;
    let noted = DUMPING.with_borrow_mut(|stack| {
        stack.last_mut().map(|table| {
            table.push(reference.clone().unbind());
            table.len() - 1
        })
    });
    match noted {
        Some(index) => (module.getattr("_inside")?, (index,)).into_pyobject(py),
        None => {
            // Carried out of band: the bytes may be loaded any number of times, so the object stays for the session.
            let handle = &reference.get().handle;
            handle.process().pin_for_session(handle.key());
            let bytes = PyBytes::new(py, &handle.descriptor().to_bytes());
            (module.getattr("_carried")?, (bytes,)).into_pyobject(py)
        }
    }
}

#[pyfunction]
pub(crate) fn _inside(index: usize) -> PyResult<ObjectRef> {
    let handle = LOADING.with_borrow_mut(|stack| stack.last_mut().and_then(|table| table.get_mut(index)?.take()));
    let handle = handle.ok_or_else(|| {
        PyRuntimeError::new_err("a reference can only be loaded once, and within the value it was stored in")
    })?;
    Ok(ObjectRef { handle })
}

#[pyfunction]
pub(crate) fn _carried(descriptor: &[u8]) -> PyResult<ObjectRef> {
    let bytes: &[u8; RefDescriptor::WIDTH] = descriptor
        .try_into()
        .map_err(|_| PyRuntimeError::new_err("not a pickled ObjectRef: its descriptor has the wrong length"))?;
    let process = session::current()?;
    let key = process.adopt(RefDescriptor::from_bytes(bytes));
    let handle = Handle::own(process, key).ok_or_else(|| PyRuntimeError::new_err("the reference's object is gone"))?;
    Ok(ObjectRef { handle })
}
