//! References inside values. While a value is pickled, each `ObjectRef` in it notes itself in a table of the thread; while it is
//! loaded, the table gives it back. So nobody unpickles to count.
//!
//! Our own pickler meets references in the order in which the unpickler asks for them: they leave no number in the pickle, and
//! ten thousand of them cost no argument tuples that the garbage collector walks. Bytes that a `__reduce__` of the user's
//! pickled by itself may be loaded in any order, so those references leave their number, counted from the end of the table.

use crate::object_ref::{Handle, ObjectRef};
use crate::session;
use iosdk_runtime::Process;
use iosdk_types::{Key, RefDescriptor};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};
use std::cell::RefCell;
use std::sync::Arc;

/// The references of the value being pickled.
#[derive(Default)]
struct Dumping {
    in_order: Vec<Py<ObjectRef>>,
    numbered: Vec<Py<ObjectRef>>,
}

/// The references of the value being loaded, one handle of each until it is asked for.
struct Loading {
    process: Arc<Process>,
    keys: Vec<Key>,
    /// Those that are gone, or were asked for, are `None`.
    descriptors: Vec<Option<RefDescriptor>>,
    next: usize,
}

thread_local! {
    /// Stacks, since a custom `__reduce__` may itself put, call or get.
    static DUMPING: RefCell<Vec<Dumping>> = const { RefCell::new(Vec::new()) };
    static LOADING: RefCell<Vec<Option<Loading>>> = const { RefCell::new(Vec::new()) };
}

static NEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

pub(crate) fn while_dumping<T>(run: impl FnOnce() -> PyResult<T>) -> PyResult<(T, Vec<Py<ObjectRef>>)> {
    DUMPING.with_borrow_mut(|stack| stack.push(Dumping::default()));
    let result = run();
    let Dumping { mut in_order, numbered } = DUMPING.with_borrow_mut(Vec::pop).unwrap_or_default();
    in_order.extend(numbered.into_iter().rev());
    Ok((result?, in_order))
}

/// The keys of noted references. The references themselves are kept by the caller until the machine holds its own.
pub(crate) fn keys(noted: &[Py<ObjectRef>]) -> Vec<Key> {
    noted.iter().map(|reference| reference.get().handle.key()).collect()
}

/// Handles for all of them are taken under one lock; those the pickle does not ask for go back at the end.
pub(crate) fn while_loading<T>(contains: &[Key], run: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let loading = if contains.is_empty() { None } else { Some(Loading::of(contains)?) };
    LOADING.with_borrow_mut(|stack| stack.push(loading));
    let result = run();
    if let Some(Some(loading)) = LOADING.with_borrow_mut(Vec::pop) {
        loading.give_back();
    }
    result
}

impl Loading {
    fn of(contains: &[Key]) -> PyResult<Self> {
        let process = session::current()?;
        let descriptors = process.retain_all(contains);
        Ok(Self { process, keys: contains.to_vec(), descriptors, next: 0 })
    }

    fn take(&mut self, at: usize) -> Option<ObjectRef> {
        let descriptor = self.descriptors.get_mut(at)?.take()?;
        Some(ObjectRef { handle: Handle::with(self.process.clone(), self.keys[at], descriptor) })
    }

    fn take_next(&mut self) -> Option<ObjectRef> {
        self.next += 1;
        self.take(self.next - 1)
    }

    fn give_back(self) {
        for (key, _) in self.keys.into_iter().zip(self.descriptors).filter(|(_, left)| left.is_some()) {
            self.process.release(key);
        }
    }
}

/// What our own pickler writes for a reference: a call without arguments.
#[pyfunction]
pub(crate) fn _note<'py>(reference: &Bound<'py, ObjectRef>) -> PyResult<Bound<'py, PyTuple>> {
    let py = reference.py();
    session::key_of(&session::current()?, reference.get())?;
    DUMPING.with_borrow_mut(|stack| match stack.last_mut() {
        Some(table) => {
            table.in_order.push(reference.clone().unbind());
            Ok(())
        }
        None => Err(PyRuntimeError::new_err("references are noted only while a value is pickled")),
    })?;
    let next = NEXT.get_or_try_init(py, || Ok::<_, PyErr>(py.import("iosdk._core")?.getattr("_next")?.unbind()))?;
    (next, PyTuple::empty(py)).into_pyobject(py)
}

/// What a reference leaves in anybody else's pickle: its number inside a value of ours, itself outside.
pub(crate) fn reduce<'py>(reference: Bound<'py, ObjectRef>) -> PyResult<Bound<'py, PyTuple>> {
    let py = reference.py();
    let module = py.import("iosdk._core")?;
    session::key_of(&session::current()?, reference.get())?;
    let noted = DUMPING.with_borrow_mut(|stack| {
        stack.last_mut().map(|table| {
            table.numbered.push(reference.clone().unbind());
            table.numbered.len()
        })
    });
    match noted {
        Some(from_end) => (module.getattr("_inside")?, (from_end,)).into_pyobject(py),
        None => {
            // Carried out of band: the bytes may be loaded any number of times, so the object stays for the session.
            let handle = &reference.get().handle;
            handle.process().pin_for_session(handle.key());
            let bytes = PyBytes::new(py, &handle.descriptor().to_bytes());
            (module.getattr("_carried")?, (bytes,)).into_pyobject(py)
        }
    }
}

fn taken(reference: Option<ObjectRef>) -> PyResult<ObjectRef> {
    reference.ok_or_else(|| {
        PyRuntimeError::new_err("a reference can only be loaded once, and within the value it was stored in")
    })
}

#[pyfunction]
pub(crate) fn _next() -> PyResult<ObjectRef> {
    taken(LOADING.with_borrow_mut(|stack| stack.last_mut()?.as_mut()?.take_next()))
}

#[pyfunction]
pub(crate) fn _inside(from_end: usize) -> PyResult<ObjectRef> {
    taken(LOADING.with_borrow_mut(|stack| {
        let loading = stack.last_mut()?.as_mut()?;
        loading.take(loading.keys.len().checked_sub(from_end)?)
    }))
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
