//! The arguments of a call as one payload. Top-level references are taken out (the caller's machine resolves them) and leave
//! `None` in their place; large arguments are put first and travel as references.
//!
//! Layout: `[u8 flags: 1 keywords, 2 references][if 2: u16 n, n x u16 position][u8 body]`, body 0: no arguments; 1: `[u8 n]` and n x
//! `[u32 length][scalar]`; 2: the value of `args`, or of `(args, kwargs)` with keywords. Positions count positional arguments
//! first, then keyword values in their order.

use crate::object_ref::{Handle, ObjectRef};
use crate::references;
use crate::session;
use crate::value::{self, Encoded, Source};
use iosdk_runtime::{INLINE_MAX, Process};
use iosdk_types::Key;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};
use smallvec::SmallVec;
use std::sync::Arc;

const KEYWORDS: u8 = 1;
const REFERENCES: u8 = 2;
const EMPTY: u8 = 0;
const SCALARS: u8 = 1;
const VALUE: u8 = 2;

/// Arguments beyond this many bytes in all are put one by one.
const TOGETHER_MAX: usize = 1 << 20;

#[derive(Default)]
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) deps: SmallVec<[Key; 2]>,
    pub(crate) contains: SmallVec<[Key; 2]>,
    /// Keeps implicit puts and references inside the arguments alive until the machine holds them.
    _puts: Vec<Handle>,
    _noted: Vec<Py<ObjectRef>>,
}

pub(crate) fn pack(
    process: &Arc<Process>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<Packed> {
    let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
    if args.is_empty() && kwargs.is_none() {
        return Ok(Packed { bytes: vec![0, EMPTY], ..Packed::default() });
    }
    let mut packed = Packed::default();
    if kwargs.is_none() && scalars(args, &mut packed.bytes)? {
        return Ok(packed);
    }
    packed.bytes.clear();
    let (alone, keywords) = take_references(process, args, kwargs, &mut packed, false)?;
    let mut encoded = encode_body(&alone, keywords.as_ref())?;
    if encoded.len > TOGETHER_MAX {
        packed = Packed::default();
        let (alone, keywords) = take_references(process, args, kwargs, &mut packed, true)?;
        encoded = encode_body(&alone, keywords.as_ref())?;
    }
    packed.contains = SmallVec::from_vec(references::keys(&encoded.contains));
    packed._noted = std::mem::take(&mut encoded.contains);
    packed.bytes.extend_from_slice(&encoded.into_vec(args.py())?);
    Ok(packed)
}

/// The usual call: a few scalars and nothing else.
fn scalars(args: &Bound<'_, PyTuple>, out: &mut Vec<u8>) -> PyResult<bool> {
    if args.len() > 16 {
        return Ok(false);
    }
    out.extend_from_slice(&[0, SCALARS, args.len() as u8]);
    for arg in args.iter_borrowed() {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        if !value::scalar(&arg, out)? || out.len() - at > INLINE_MAX {
            return Ok(false);
        }
        let len = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }
    Ok(true)
}

fn encode_body(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Encoded> {
    match kwargs {
        None => value::encode(args.as_any()),
        Some(kwargs) => value::encode((args, kwargs).into_pyobject(args.py())?.as_any()),
    }
}

type Arguments<'py> = (Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>);

/// Writes flags and positions, and gives back the arguments with `None` where a reference was.
fn take_references<'py>(
    process: &Arc<Process>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    packed: &mut Packed,
    put_all: bool,
) -> PyResult<Arguments<'py>> {
    let py = args.py();
    let mut positions: SmallVec<[u16; 4]> = SmallVec::new();
    let mut visit = |position: usize, arg: &Bound<'py, PyAny>, packed: &mut Packed| -> PyResult<bool> {
        let key = match arg.cast_exact::<ObjectRef>() {
            Ok(reference) => session::key_of(process, reference.get())?,
            Err(_) if is_large(arg) || (put_all && !arg.is_none()) => {
                let handle = crate::api::put_value(process, arg)?;
                let key = handle.key();
                packed._puts.push(handle);
                key
            }
            Err(_) => return Ok(false),
        };
        let position =
            u16::try_from(position).map_err(|_| PyValueError::new_err("a call takes at most 65,535 arguments"))?;
        positions.push(position);
        packed.deps.push(key);
        Ok(true)
    };
    let mut replaced: Vec<Bound<'py, PyAny>> = Vec::with_capacity(args.len());
    for (position, arg) in args.iter().enumerate() {
        let taken = visit(position, &arg, packed)?;
        replaced.push(if taken { py.None().into_bound(py) } else { arg });
    }
    let mut keywords = None;
    if let Some(kwargs) = kwargs {
        let copy = PyDict::new(py);
        for (index, (name, arg)) in kwargs.iter().enumerate() {
            let taken = visit(args.len() + index, &arg, packed)?;
            copy.set_item(name, if taken { py.None().into_bound(py) } else { arg })?;
        }
        keywords = Some(copy);
    }
    let flags = if keywords.is_some() { KEYWORDS } else { 0 } | if positions.is_empty() { 0 } else { REFERENCES };
    packed.bytes.push(flags);
    if !positions.is_empty() {
        packed.bytes.extend_from_slice(&(positions.len() as u16).to_le_bytes());
        positions.iter().for_each(|position| packed.bytes.extend_from_slice(&position.to_le_bytes()));
    }
    packed.bytes.push(VALUE);
    Ok((PyTuple::new(py, replaced)?, keywords))
}

/// What would not travel inline, told without pickling it.
fn is_large(arg: &Bound<'_, PyAny>) -> bool {
    if let Ok(bytes) = arg.cast_exact::<PyBytes>() {
        return bytes.as_bytes().len() > INLINE_MAX;
    }
    if arg.cast_exact::<PyString>().is_ok() || arg.cast_exact::<PyByteArray>().is_ok() {
        return arg.len().is_ok_and(|len| len > INLINE_MAX);
    }
    if arg.is_none() || arg.cast_exact::<PyList>().is_ok() || arg.cast_exact::<PyTuple>().is_ok() {
        return false;
    }
    match arg.getattr_opt(pyo3::intern!(arg.py(), "nbytes")) {
        Ok(Some(bytes)) => bytes.extract::<usize>().is_ok_and(|bytes| bytes > INLINE_MAX),
        _ => false,
    }
}

/// The other side: arguments ready for the call. `deps` are the values of the references, in order.
pub(crate) fn unpack<'py>(
    py: Python<'py>,
    bytes: &[u8],
    contains: &[Key],
    deps: &[Bound<'py, PyAny>],
) -> PyResult<Arguments<'py>> {
    let short = || value::malformed("arguments cut short");
    let (&flags, mut rest) = bytes.split_first().ok_or_else(short)?;
    let mut positions: SmallVec<[usize; 4]> = SmallVec::new();
    if flags & REFERENCES != 0 {
        let count =
            usize::from(u16::from_le_bytes([*rest.first().ok_or_else(short)?, *rest.get(1).ok_or_else(short)?]));
        let listed = rest.get(2..2 + 2 * count).ok_or_else(short)?;
        positions.extend(listed.chunks_exact(2).map(|pair| usize::from(u16::from_le_bytes([pair[0], pair[1]]))));
        rest = &rest[2 + 2 * count..];
    }
    let (&body, rest) = rest.split_first().ok_or_else(short)?;
    let (args, kwargs) = match body {
        EMPTY => (PyTuple::empty(py), None),
        SCALARS => (unpack_scalars(py, rest)?, None),
        VALUE => {
            let value = value::decode(py, &Source::Private(rest), contains)?;
            if flags & KEYWORDS != 0 {
                let (args, kwargs): (Bound<'py, PyTuple>, Bound<'py, PyDict>) = value.extract()?;
                (args, Some(kwargs))
            } else {
                (value.cast_into::<PyTuple>()?, None)
            }
        }
        other => return Err(value::malformed(&format!("unknown argument body {other}"))),
    };
    if positions.is_empty() {
        return Ok((args, kwargs));
    }
    fill(py, args, kwargs, &positions, deps)
}

fn unpack_scalars<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyTuple>> {
    let short = || value::malformed("arguments cut short");
    let (&count, mut rest) = bytes.split_first().ok_or_else(short)?;
    let mut args: SmallVec<[Bound<'py, PyAny>; 8]> = SmallVec::new();
    for _ in 0..count {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let len = u32::from_le_bytes(*len) as usize;
        args.push(value::decode(py, &Source::Private(tail.get(..len).ok_or_else(short)?), &[])?);
        rest = &tail[len..];
    }
    PyTuple::new(py, args)
}

fn fill<'py>(
    py: Python<'py>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
    positions: &[usize],
    deps: &[Bound<'py, PyAny>],
) -> PyResult<Arguments<'py>> {
    let mut list: Vec<Bound<'py, PyAny>> = args.iter().collect();
    let names: Vec<Bound<'py, PyAny>> =
        kwargs.as_ref().map(|kwargs| kwargs.keys().iter().collect()).unwrap_or_default();
    for (&position, dep) in positions.iter().zip(deps) {
        if let Some(slot) = list.get_mut(position) {
            *slot = dep.clone();
        } else if let (Some(kwargs), Some(name)) = (kwargs.as_ref(), names.get(position - args.len())) {
            kwargs.set_item(name, dep)?;
        }
    }
    Ok((PyTuple::new(py, list)?, kwargs))
}
