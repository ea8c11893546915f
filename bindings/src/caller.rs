//! What `.remote(...)` runs: arguments packed, the call submitted, references handed back.

use crate::args;
use crate::errors;
use crate::object_ref::{Handle, ObjectRef};
use crate::session;
use iosdk_runtime::definition::{Definition, Kind};
use iosdk_runtime::{NewActor, NewCall, Process, Submitted};
use iosdk_types::{ActorId, Amount, Key, ResourceSet};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use std::sync::Arc;

pub(crate) fn resource_set(resources: &Bound<'_, PyDict>) -> PyResult<ResourceSet> {
    let mut set = ResourceSet::new();
    for (name, amount) in resources.iter() {
        let (name, amount): (String, f64) = (name.extract()?, amount.extract()?);
        let fixed = Amount::from_f64(amount).filter(|fixed| fixed.0 >= 0).ok_or_else(|| {
            PyValueError::new_err(format!("resource {name} needs an amount of 0 or more, not {amount}"))
        })?;
        set.set(&name, fixed);
    }
    Ok(set)
}

pub(crate) fn resource_dict<'py>(py: Python<'py>, set: &ResourceSet) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, amount) in set.iter() {
        dict.set_item(name, amount.to_f64())?;
    }
    Ok(dict)
}

#[pyfunction]
pub(crate) fn define(
    kind: u8,
    name: String,
    module: String,
    pickled: &[u8],
    resources: &Bound<'_, PyDict>,
    retry: &[u8],
) -> PyResult<u64> {
    let kind = match kind {
        0 => Kind::Function,
        1 => Kind::Class,
        2 => Kind::Method,
        other => {
            return Err(PyValueError::new_err(format!("kind is 0 (function), 1 (class) or 2 (method), not {other}")));
        }
    };
    let resources = resource_set(resources)?;
    let definition = Definition { kind, name, module, resources, retry: retry.to_vec(), body: pickled.to_vec() };
    Ok(session::current()?.define(&definition).0)
}

/// A number for these resources; the depth of the calling task is added when a task is submitted.
#[pyfunction]
pub(crate) fn scheduling_class(resources: &Bound<'_, PyDict>) -> PyResult<u32> {
    Ok(session::current()?.resource_class(resource_set(resources)?))
}

/// Positional counts a signature allows, and what to call when they do not settle it.
struct Arity {
    min: usize,
    max: Option<usize>,
    bind: Py<PyAny>,
}

impl Arity {
    fn new(min_args: usize, max_args: i64, bind: Py<PyAny>) -> Self {
        Self { min: min_args, max: usize::try_from(max_args).ok(), bind }
    }

    fn check(&self, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let count = args.len();
        let plain = kwargs.is_none_or(|kwargs| kwargs.is_empty());
        if plain && count >= self.min && self.max.is_none_or(|max| count <= max) {
            return Ok(());
        }
        let py = args.py();
        let kwargs = kwargs.cloned().unwrap_or_else(|| PyDict::new(py));
        self.bind.bind(py).call1((args, kwargs)).map(|_| ())
    }

    /// An argument that cannot be pickled: says for which function.
    fn name_target(&self, py: Python<'_>, error: PyErr) -> PyErr {
        match error.value(py).getattr("for_call") {
            Ok(for_call) => for_call.call1((&self.bind,)).map_or_else(|error| error, PyErr::from_value),
            Err(_) => error,
        }
    }
}

fn references<'py>(py: Python<'py>, process: &Arc<Process>, submitted: Submitted) -> PyResult<Bound<'py, PyAny>> {
    let mut refs = submitted
        .returns
        .into_iter()
        .map(|(key, descriptor)| ObjectRef { handle: Handle::with(process.clone(), key, descriptor) });
    match refs.len() {
        0 => Ok(py.None().into_bound(py)),
        1 => match refs.next() {
            Some(reference) => Ok(Bound::new(py, reference)?.into_any()),
            None => Ok(py.None().into_bound(py)),
        },
        _ => {
            let list = PyList::empty(py);
            for reference in refs {
                list.append(Bound::new(py, reference)?)?;
            }
            Ok(list.into_any())
        }
    }
}

fn returns_u16(num_returns: usize) -> PyResult<u16> {
    u16::try_from(num_returns)
        .map_err(|_| PyOverflowError::new_err(format!("num_returns is at most 65535, not {num_returns}")))
}

#[pyclass(frozen, module = "iosdk._core")]
pub(crate) struct TaskCaller {
    process: Arc<Process>,
    function: Key,
    class: u32,
    returns: u16,
    retries: i32,
    arity: Arity,
}

#[pymethods]
impl TaskCaller {
    #[new]
    fn new(
        function: u64,
        scheduling_class: u32,
        num_returns: usize,
        max_retries: i32,
        min_args: usize,
        max_args: i64,
        bind: Py<PyAny>,
    ) -> PyResult<Self> {
        Ok(Self {
            process: session::current()?,
            function: Key(function),
            class: scheduling_class,
            returns: returns_u16(num_returns)?,
            retries: max_retries,
            arity: Arity::new(min_args, max_args, bind),
        })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.process.is_fork() {
            return Err(errors::local("forked", |_, _| Ok(())));
        }
        self.arity.check(args, kwargs)?;
        let packed =
            args::pack(&self.process, args, kwargs).map_err(|error| self.arity.name_target(args.py(), error))?;
        let call = NewCall {
            function: self.function,
            args: &packed.bytes,
            deps: &packed.deps,
            contains: &packed.contains,
            returns: self.returns,
            retries: self.retries,
        };
        let submitted = self.process.submit_task(self.class, call).map_err(errors::from_submit)?;
        references(args.py(), &self.process, submitted)
    }
}

/// An actor as this process knows it.
#[pyclass(frozen, weakref, module = "iosdk._core")]
pub(crate) struct ActorCore {
    process: Arc<Process>,
    key: Key,
    actor: ActorId,
    counting: Py<ObjectRef>,
}

#[pymethods]
impl ActorCore {
    fn actor_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.actor.0)
    }

    /// The reference that keeps the actor alive; it travels with the handle.
    fn counting_ref(&self, py: Python<'_>) -> Py<ObjectRef> {
        self.counting.clone_ref(py)
    }

    fn kill(&self) -> PyResult<()> {
        let process = session::current()?;
        key_in(&process, self)?;
        self.process.kill_actor(self.key);
        Ok(())
    }

    fn __hash__(&self) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.actor.0[..8]);
        u64::from_le_bytes(word)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast_exact::<Self>().is_ok_and(|other| other.get().actor == self.actor)
    }
}

fn key_in(process: &Arc<Process>, actor: &ActorCore) -> PyResult<()> {
    if Arc::ptr_eq(process, &actor.process) { Ok(()) } else { Err(errors::local("session_over", |_, _| Ok(()))) }
}

#[pyfunction]
pub(crate) fn create_actor(
    function: u64,
    class_name: String,
    placement: &Bound<'_, PyDict>,
    held: &Bound<'_, PyDict>,
    args: &Bound<'_, PyTuple>,
    kwargs: &Bound<'_, PyDict>,
) -> PyResult<ActorCore> {
    let process = session::current()?;
    let packed = args::pack(&process, args, Some(kwargs))?;
    let call = NewCall {
        function: Key(function),
        args: &packed.bytes,
        deps: &packed.deps,
        contains: &packed.contains,
        returns: 1,
        retries: 0,
    };
    let actor = NewActor { class_name, placement: resource_set(placement)?, held: resource_set(held)? };
    let (key, actor, (counting, descriptor)) = process.create_actor(actor, call).map_err(errors::from_submit)?;
    let counting = ObjectRef { handle: Handle::with(process.clone(), counting, descriptor) };
    Ok(ActorCore { counting: Py::new(args.py(), counting)?, process, key, actor })
}

#[pyfunction]
pub(crate) fn adopt_actor(actor_id: &[u8], counting_ref: Bound<'_, ObjectRef>) -> PyResult<ActorCore> {
    let process = session::current()?;
    let counting = session::key_of(&process, counting_ref.get())?;
    let actor = ActorId::from_slice(actor_id)
        .ok_or_else(|| PyValueError::new_err(format!("an actor id has 16 bytes, not {}", actor_id.len())))?;
    let key = process.adopt_actor(actor, counting);
    Ok(ActorCore { process, key, actor, counting: counting_ref.unbind() })
}

#[pyclass(frozen, module = "iosdk._core")]
pub(crate) struct MethodCaller {
    process: Arc<Process>,
    actor: Key,
    function: Key,
    returns: u16,
    arity: Arity,
    /// A method in flight keeps nothing alive but what the machine counts; the caller object keeps the actor.
    _core: Py<ActorCore>,
}

#[pymethods]
impl MethodCaller {
    #[new]
    fn new(
        actor: Bound<'_, ActorCore>,
        function: u64,
        num_returns: usize,
        min_args: usize,
        max_args: i64,
        bind: Py<PyAny>,
    ) -> PyResult<Self> {
        let process = session::current()?;
        key_in(&process, actor.get())?;
        Ok(Self {
            process,
            actor: actor.get().key,
            function: Key(function),
            returns: returns_u16(num_returns)?,
            arity: Arity::new(min_args, max_args, bind),
            _core: actor.unbind(),
        })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.process.is_fork() {
            return Err(errors::local("forked", |_, _| Ok(())));
        }
        self.arity.check(args, kwargs)?;
        let packed =
            args::pack(&self.process, args, kwargs).map_err(|error| self.arity.name_target(args.py(), error))?;
        let call = NewCall {
            function: self.function,
            args: &packed.bytes,
            deps: &packed.deps,
            contains: &packed.contains,
            returns: self.returns,
            retries: 0,
        };
        let submitted = self.process.submit_method(self.actor, call).map_err(errors::from_submit)?;
        references(args.py(), &self.process, submitted)
    }
}
