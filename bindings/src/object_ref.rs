//! `ObjectRef`: one counted handle of an object. Dropping it never locks and never blocks: the key goes to a queue that the
//! next step drains.

use crate::references;
use iosdk_runtime::Process;
use iosdk_types::{Key, RefDescriptor};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple, PyType};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub(crate) struct Handle {
    process: Arc<Process>,
    key: Key,
    descriptor: RefDescriptor,
}

impl Handle {
    /// Takes over a handle that the machine already counts.
    pub(crate) fn own(process: Arc<Process>, key: Key) -> Option<Self> {
        let descriptor = process.describe(key)?;
        Some(Self { process, key, descriptor })
    }

    pub(crate) fn with(process: Arc<Process>, key: Key, descriptor: RefDescriptor) -> Self {
        Self { process, key, descriptor }
    }

    /// Counts one more.
    pub(crate) fn retain(process: Arc<Process>, key: Key) -> Option<Self> {
        let descriptor = process.retain(key)?;
        Some(Self { process, key, descriptor })
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }
    pub(crate) fn process(&self) -> &Arc<Process> {
        &self.process
    }
    pub(crate) fn descriptor(&self) -> &RefDescriptor {
        &self.descriptor
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.process.release(self.key);
    }
}

/// The future value of a task, a method call or a put. Hashes and compares by id; awaitable.
#[pyclass(frozen, weakref, module = "iosdk._core")]
pub(crate) struct ObjectRef {
    pub(crate) handle: Handle,
}

#[pymethods]
impl ObjectRef {
    fn hex(&self) -> String {
        self.handle.descriptor.object.hex()
    }

    fn binary<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.handle.descriptor.object.0)
    }

    fn task_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("iosdk._ids")?.call_method1("TaskID", (PyBytes::new(py, &self.handle.descriptor.object.task().0),))
    }

    fn job_id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let job = self.handle.descriptor.object.task().actor().job();
        py.import("iosdk._ids")?.call_method1("JobID", (PyBytes::new(py, &job.0),))
    }

    fn owner_address(&self) -> String {
        self.handle.descriptor.owner.to_string()
    }

    fn is_nil(&self) -> bool {
        self.handle.descriptor.object.is_nil()
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.handle.descriptor.object.hash(&mut hasher);
        hasher.finish()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        match other.cast_exact::<Self>() {
            Ok(other) => other.get().handle.descriptor.object == self.handle.descriptor.object,
            Err(_) => false,
        }
    }

    fn __repr__(&self) -> String {
        format!("ObjectRef({})", self.hex())
    }

    fn __reduce__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyTuple>> {
        references::reduce(slf)
    }

    #[classmethod]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, _item: &Bound<'py, PyAny>) -> Bound<'py, PyType> {
        cls.clone()
    }

    /// A `concurrent.futures.Future` of the value. Cancelling it does not cancel the task.
    fn future<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("iosdk._futures")?.call_method1("to_future", (slf,))
    }

    fn __await__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("iosdk._futures")?.call_method1("wait_for", (slf,))
    }
}
