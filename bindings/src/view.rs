//! Buffers of sealed objects, read in place. Each keeps the object's reference and its pin until the last view dies, also
//! beyond the `ObjectRef` and the session.
#![allow(unsafe_code)]

use crate::object_ref::Handle;
use iosdk_runtime::SharedView;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{c_int, c_void};
use std::sync::Arc;

/// What a view keeps alive. Fields drop in order: the pin goes before the reference.
pub(crate) struct Held {
    pub(crate) view: SharedView,
    pub(crate) _reference: Option<Handle>,
}

pub(crate) type Owner = Arc<Held>;

#[pyclass(frozen, module = "iosdk._core")]
pub(crate) struct ArenaBuffer {
    owner: Owner,
    at: usize,
    len: usize,
}

impl ArenaBuffer {
    /// `at + len` lies inside the view (checked by the decoder).
    pub(crate) fn stretch<'py>(py: Python<'py>, owner: &Owner, at: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
        Ok(Bound::new(py, Self { owner: owner.clone(), at, len })?.into_any())
    }
}

#[pymethods]
impl ArenaBuffer {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let this = slf.get();
        let bytes = &this.owner.view.bytes()[this.at..this.at + this.len];
        // SAFETY: `view` is the caller's struct; the memory is read-only to us, lives as long as `slf`, which the view holds.
        let failed = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                bytes.as_ptr().cast_mut().cast::<c_void>(),
                bytes.len() as isize,
                1,
                flags,
            )
        };
        if failed == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    fn __len__(&self) -> usize {
        self.len
    }
}
