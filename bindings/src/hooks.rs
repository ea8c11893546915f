//! The Python functions that Rust calls, looked up once per process.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

pub(crate) struct Hooks {
    /// `_pickle.dumps`, C, for closed builtin types.
    pub(crate) pickle_dumps: Py<PyAny>,
    pub(crate) pickle_loads: Py<PyAny>,
    /// `iosdk._serialization`
    pub(crate) dumps: Py<PyAny>,
    pub(crate) loads: Py<PyAny>,
    /// `iosdk._errors`
    pub(crate) error_local: Py<PyAny>,
    pub(crate) error_pack: Py<PyAny>,
    pub(crate) error_unpack: Py<PyAny>,
    pub(crate) error_retryable: Py<PyAny>,
}

static HOOKS: PyOnceLock<Hooks> = PyOnceLock::new();

pub(crate) fn hooks(py: Python<'_>) -> PyResult<&'static Hooks> {
    HOOKS.get_or_try_init(py, || {
        let pickle = py.import("_pickle")?;
        let serialization = py.import("iosdk._serialization")?;
        let errors = py.import("iosdk._errors")?;
        Ok(Hooks {
            pickle_dumps: pickle.getattr("dumps")?.unbind(),
            pickle_loads: pickle.getattr("loads")?.unbind(),
            dumps: serialization.getattr("dumps")?.unbind(),
            loads: serialization.getattr("loads")?.unbind(),
            error_local: errors.getattr("local")?.unbind(),
            error_pack: errors.getattr("pack")?.unbind(),
            error_unpack: errors.getattr("unpack")?.unbind(),
            error_retryable: errors.getattr("retryable")?.unbind(),
        })
    })
}
