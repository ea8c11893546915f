//! Python values as bytes and back. A value is a tag byte and what follows from it; large out-of-band buffers (numpy, Arrow,
//! whatever has pickle-5 buffers) lie 64-byte aligned behind the pickle, so that a reader can use them in place.
//!
//! Layout by tag: 0 None, 1 True, 2 False; 3 int (i64 LE); 4 float (f64 LE); 5 str (UTF-8); 6 bytes; 7 a plain pickle;
//! 8 a pickle with buffers: `[8][3 zero bytes][u32 buffers][u64 pickle length]`, per buffer `[u64 offset][u64 length]` (offsets
//! from the tag byte), the pickle, the buffers. 255 is a record of the runtime (`iosdk_runtime::record`).

use crate::hooks::hooks;
use crate::object_ref::ObjectRef;
use crate::references;
use iosdk_types::Key;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

const NONE: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const STR: u8 = 5;
const BYTES: u8 = 6;
const PICKLE: u8 = 7;
const BUFFERS: u8 = 8;

const BUFFERS_HEAD: usize = 16;
const ALIGN: usize = 64;
/// Values the scan looks at before it leaves the rest to cloudpickle.
const SCAN_MAX: usize = 64;

/// A value ready to be copied to where it will live.
pub(crate) struct Encoded {
    /// Tag, header and everything small.
    head: Vec<u8>,
    /// Stretches that are copied straight from their Python owner, by offset.
    parts: Vec<(usize, Part)>,
    /// Bytes in all.
    pub(crate) len: usize,
    /// References inside, in the order the pickle names them; alive until the machine holds them.
    pub(crate) contains: Vec<Py<ObjectRef>>,
}

enum Part {
    Bytes(Py<PyBytes>),
    Buffer(PyBuffer<u8>),
}

impl Encoded {
    fn small(head: Vec<u8>) -> Self {
        Self { len: head.len(), head, parts: Vec::new(), contains: Vec::new() }
    }

    /// Calls `write(offset, bytes)` for every stretch, in rising order; stops when it says no.
    pub(crate) fn write(&self, py: Python<'_>, mut write: impl FnMut(usize, &[u8]) -> PyResult<()>) -> PyResult<()> {
        write(0, &self.head)?;
        for (offset, part) in &self.parts {
            match part {
                Part::Bytes(bytes) => write(*offset, bytes.as_bytes(py))?,
                Part::Buffer(buffer) => write(*offset, buffer_bytes(buffer))?,
            }
        }
        Ok(())
    }

    pub(crate) fn into_vec(self, py: Python<'_>) -> PyResult<Vec<u8>> {
        if self.parts.is_empty() {
            return Ok(self.head);
        }
        let mut bytes = vec![0; self.len];
        self.write(py, |offset, part| {
            bytes[offset..offset + part.len()].copy_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }
}

#[allow(unsafe_code)]
fn buffer_bytes(buffer: &PyBuffer<u8>) -> &[u8] {
    // SAFETY: the buffer is C-contiguous (checked when it was taken), exported for as long as `buffer` lives, and nobody
    // writes to it while we hold the GIL or the value is being put, as with any pickle-5 buffer.
    unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) }
}

/// `what` is said in the error when the value cannot be pickled, e.g. `the put value`.
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<Encoded> {
    let mut head = Vec::with_capacity(64);
    if scalar(value, &mut head)? {
        return Ok(Encoded::small(head));
    }
    let py = value.py();
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        let len = bytes.as_bytes().len() + 1;
        let parts = vec![(1, Part::Bytes(bytes.clone().unbind()))];
        return Ok(Encoded { head: vec![BYTES], parts, len, contains: Vec::new() });
    }
    let mut budget = SCAN_MAX;
    if is_closed(value, &mut budget) {
        let pickled = hooks(py)?.pickle_dumps.bind(py).call1((value, 5))?;
        let pickled = pickled.cast_into::<PyBytes>()?;
        return Ok(pickle_alone(pickled, Vec::new()));
    }
    let (dumped, contains) = references::while_dumping(|| hooks(py)?.dumps.bind(py).call1((value,)))?;
    let (pickled, buffers): (Bound<'_, PyBytes>, Bound<'_, PyList>) = dumped.extract()?;
    if buffers.is_empty() {
        return Ok(pickle_alone(pickled, contains));
    }
    with_buffers(pickled, &buffers, contains)
}

fn pickle_alone(pickled: Bound<'_, PyBytes>, contains: Vec<Py<ObjectRef>>) -> Encoded {
    let bytes = pickled.as_bytes();
    if bytes.len() <= 4096 {
        let mut head = Vec::with_capacity(bytes.len() + 1);
        head.push(PICKLE);
        head.extend_from_slice(bytes);
        return Encoded { contains, ..Encoded::small(head) };
    }
    let len = bytes.len() + 1;
    Encoded { head: vec![PICKLE], parts: vec![(1, Part::Bytes(pickled.unbind()))], len, contains }
}

fn with_buffers(
    pickled: Bound<'_, PyBytes>,
    buffers: &Bound<'_, PyList>,
    contains: Vec<Py<ObjectRef>>,
) -> PyResult<Encoded> {
    let pickle_len = pickled.as_bytes().len();
    let mut head = Vec::with_capacity(BUFFERS_HEAD + 16 * buffers.len());
    head.extend_from_slice(&[BUFFERS, 0, 0, 0]);
    head.extend_from_slice(&(buffers.len() as u32).to_le_bytes());
    head.extend_from_slice(&(pickle_len as u64).to_le_bytes());
    let pickle_at = BUFFERS_HEAD + 16 * buffers.len();
    let mut end = pickle_at + pickle_len;
    let mut parts = vec![(pickle_at, Part::Bytes(pickled.unbind()))];
    for buffer in buffers {
        let buffer = raw_buffer(&buffer)?;
        let at = end.next_multiple_of(ALIGN);
        head.extend_from_slice(&(at as u64).to_le_bytes());
        head.extend_from_slice(&(buffer.len_bytes() as u64).to_le_bytes());
        end = at + buffer.len_bytes();
        parts.push((at, Part::Buffer(buffer)));
    }
    Ok(Encoded { head, parts, len: end, contains })
}

/// The bytes of a `PickleBuffer`, whatever its element type.
fn raw_buffer(buffer: &Bound<'_, PyAny>) -> PyResult<PyBuffer<u8>> {
    let raw = buffer.call_method0(pyo3::intern!(buffer.py(), "raw"))?;
    PyBuffer::<u8>::get(&raw)
}

/// Values that need no pickle at all.
pub(crate) fn scalar(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<bool> {
    if value.is_none() {
        out.push(NONE);
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        out.push(if flag.is_true() { TRUE } else { FALSE });
    } else if let Ok(int) = value.cast_exact::<PyInt>() {
        let Ok(int) = int.extract::<i64>() else { return Ok(false) };
        out.push(INT);
        out.extend_from_slice(&int.to_le_bytes());
    } else if let Ok(float) = value.cast_exact::<PyFloat>() {
        out.push(FLOAT);
        out.extend_from_slice(&float.value().to_le_bytes());
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        // Lone surrogates have no UTF-8; pickle knows what to do with them.
        let Ok(text) = text.to_str() else { return Ok(false) };
        out.push(STR);
        out.extend_from_slice(text.as_bytes());
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        if bytes.as_bytes().len() > 4096 {
            return Ok(false);
        }
        out.push(BYTES);
        out.extend_from_slice(bytes.as_bytes());
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// True for containers of closed builtin types within the budget: plain C pickle does those exactly as cloudpickle would.
fn is_closed(value: &Bound<'_, PyAny>, budget: &mut usize) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    if value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyString>()
    {
        return true;
    }
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return bytes.as_bytes().len() <= 4096;
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return tuple.len() <= *budget && tuple.iter_borrowed().all(|item| is_closed(&item, budget));
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        return list.len() <= *budget && list.iter().all(|item| is_closed(&item, budget));
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        return 2 * dict.len() <= *budget
            && dict.iter().all(|(key, item)| is_closed(&key, budget) && is_closed(&item, budget));
    }
    false
}

/// Where the bytes of a value are while it is decoded.
pub(crate) enum Source<'a> {
    Private(&'a [u8]),
    /// In shared memory: buffers are handed out in place, each keeping `owner` alive.
    Shared {
        bytes: &'a [u8],
        owner: &'a crate::view::Owner,
    },
}

impl Source<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Source::Private(bytes) => bytes,
            Source::Shared { bytes, .. } => bytes,
        }
    }

    fn stretch<'py>(&self, py: Python<'py>, at: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
        let bytes =
            self.bytes().get(at..at.saturating_add(len)).ok_or_else(|| malformed("a buffer outside the value"))?;
        match self {
            Source::Private(_) => Ok(PyBytes::new(py, bytes).into_any()),
            Source::Shared { owner, .. } => crate::view::ArenaBuffer::stretch(py, owner, at, len),
        }
    }
}

pub(crate) fn malformed(what: &str) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(format!("a stored value is malformed: {what}"))
}

/// `contains`: the references inside, in pickle order, held by the caller while this runs.
pub(crate) fn decode<'py>(py: Python<'py>, source: &Source<'_>, contains: &[Key]) -> PyResult<Bound<'py, PyAny>> {
    let bytes = source.bytes();
    let (&tag, rest) = bytes.split_first().ok_or_else(|| malformed("it is empty"))?;
    match tag {
        NONE => Ok(py.None().into_bound(py)),
        TRUE => Ok(PyBool::new(py, true).to_owned().into_any()),
        FALSE => Ok(PyBool::new(py, false).to_owned().into_any()),
        INT => {
            let word: [u8; 8] = rest.try_into().map_err(|_| malformed("an int of other than 8 bytes"))?;
            Ok(i64::from_le_bytes(word).into_pyobject(py)?.into_any())
        }
        FLOAT => {
            let word: [u8; 8] = rest.try_into().map_err(|_| malformed("a float of other than 8 bytes"))?;
            Ok(PyFloat::new(py, f64::from_le_bytes(word)).into_any())
        }
        STR => {
            let text = std::str::from_utf8(rest).map_err(|_| malformed("a str that is not UTF-8"))?;
            Ok(PyString::new(py, text).into_any())
        }
        BYTES => Ok(PyBytes::new(py, rest).into_any()),
        PICKLE => {
            let pickled = if rest.len() > 65_536 {
                source.stretch(py, 1, rest.len())?
            } else {
                PyBytes::new(py, rest).into_any()
            };
            references::while_loading(contains, || hooks(py)?.pickle_loads.bind(py).call1((pickled,)))
        }
        BUFFERS => decode_buffers(py, source, contains),
        other => Err(malformed(&format!("unknown tag {other}"))),
    }
}

fn decode_buffers<'py>(py: Python<'py>, source: &Source<'_>, contains: &[Key]) -> PyResult<Bound<'py, PyAny>> {
    let bytes = source.bytes();
    let word = |at: usize| -> PyResult<usize> {
        let word = bytes.get(at..at + 8).ok_or_else(|| malformed("a header cut short"))?;
        let word = u64::from_le_bytes(word.try_into().map_err(|_| malformed("a header cut short"))?);
        usize::try_from(word).map_err(|_| malformed("a length beyond memory"))
    };
    let count = word(0)? >> 32;
    let pickle_len = word(8)?;
    let pickle_at = BUFFERS_HEAD + 16 * count;
    let pickled = source.stretch(py, pickle_at, pickle_len)?;
    let buffers = PyList::empty(py);
    for index in 0..count {
        let at = BUFFERS_HEAD + 16 * index;
        buffers.append(source.stretch(py, word(at)?, word(at + 8)?)?)?;
    }
    references::while_loading(contains, || hooks(py)?.loads.bind(py).call1((pickled, buffers)))
}
