//! The executor of a worker: the main thread reads calls, runs them and answers. No thread stands between lane and function.

use crate::api;
use crate::args;
use crate::hooks::hooks;
use crate::object_ref::{Handle, ObjectRef};
use crate::queries::{self, Context};
use crate::references;
use crate::session;
use crate::value::{self, Encoded};
use crate::view::Held;
use iosdk_runtime::definition::{Definition, Kind};
use iosdk_runtime::{Dep, Fetched, INLINE_MAX, Next, Outcome, Process, Returned, RunningCall};
use iosdk_types::message::ActorDeath;
use iosdk_types::message::peer::{CallKind, ReplyStatus};
use iosdk_types::{Address, Amount, Key};
use pyo3::exceptions::{PyRuntimeError, PySystemExit, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A function, class or method name of one caller, loaded once.
struct Loaded {
    callable: Option<Py<PyAny>>,
    definition: Arc<Definition>,
}

struct Worker {
    process: Arc<Process>,
    loaded: HashMap<(Address, u32), Arc<Loaded>>,
    /// The caller's function that ran last, so that a name is told only when it changes.
    last: Option<((Address, u32), Arc<Loaded>)>,
    instance: Option<Py<PyAny>>,
    class_name: Arc<str>,
    announced: String,
    /// CPUs of what ran last: BLAS and OpenMP threads follow them.
    cpus: Amount,
    /// References inside the answer under way, until the machine holds them.
    noted: Vec<Py<ObjectRef>>,
}

/// Set by `exit_actor()`: the actor ends when the method that runs is left, also where user code catches `SystemExit`.
static EXIT_ASKED: AtomicBool = AtomicBool::new(false);

#[pyfunction]
pub(crate) fn ask_exit() {
    EXIT_ASKED.store(true, Ordering::Relaxed);
}

/// Connects over the control descriptor and executes calls until told to end. Returns the exit code.
#[pyfunction]
pub(crate) fn worker_main(py: Python<'_>, fd: i32) -> PyResult<i32> {
    let welcome = session::connect(py, fd, false, None)?;
    py.import("iosdk._worker")?.call_method1("joined", (welcome,))?;
    let process = session::current()?;
    let mut worker = Worker {
        process,
        loaded: HashMap::new(),
        last: None,
        instance: None,
        class_name: Arc::from(""),
        announced: String::new(),
        cpus: Amount(-1),
        noted: Vec::new(),
    };
    let code = worker.serve(py);
    worker.instance = None;
    worker.last = None;
    worker.loaded.clear();
    session::disconnect(py);
    Ok(code)
}

impl Worker {
    fn serve(&mut self, py: Python<'_>) -> i32 {
        loop {
            match self.process.try_next_call() {
                Next::Call(call) => {
                    if let Some(code) = self.execute(py, *call) {
                        return code;
                    }
                }
                Next::Idle => {
                    py.detach(|| self.process.wait_for_call());
                    // An interrupt that came too late for its call stops nothing.
                    drop(py.check_signals());
                }
                Next::Exit => return 0,
            }
        }
    }

    /// Runs one call and answers it; `Some(code)` when the process is to end.
    fn execute(&mut self, py: Python<'_>, call: RunningCall) -> Option<i32> {
        let started = Instant::now();
        let loaded = match self.load(py, &call) {
            Ok(loaded) => loaded,
            Err(error) => {
                let bytes = self.fail_with(py, &call, error, "", started, false);
                if call.kind == CallKind::CreateActor {
                    self.process.actor_ends(ActorDeath::InitFailed { error: bytes });
                    return Some(0);
                }
                return None;
            }
        };
        self.announce(py, &call, &loaded);
        let mut result = self.run(py, &call, &loaded);
        if EXIT_ASKED.load(Ordering::Relaxed) {
            result = Err(PySystemExit::new_err(0));
        }
        match result {
            Ok(values) => {
                let ran_ns = elapsed_ns(started);
                self.answer(&call, Outcome { status: ReplyStatus::Ok, ran_ns, values });
                None
            }
            Err(error) if error.is_instance_of::<PySystemExit>(py) => Some(self.leave(py, &call, &error)),
            Err(error) => {
                let retryable = !loaded.definition.retry.is_empty() && self.is_retryable(py, &loaded, &error);
                let is_constructor = call.kind == CallKind::CreateActor;
                let name = if self.instance.is_some() || is_constructor {
                    let method = if is_constructor { "__init__" } else { &loaded.definition.name };
                    format!("{}.{method}", self.class_name)
                } else {
                    loaded.definition.name.clone()
                };
                let bytes = self.fail_with(py, &call, error, &name, started, retryable);
                if is_constructor {
                    self.process.actor_ends(ActorDeath::InitFailed { error: bytes });
                    return Some(0);
                }
                None
            }
        }
    }

    fn answer(&mut self, call: &RunningCall, outcome: Outcome) {
        self.process.finish(call.key, outcome);
        self.noted.clear();
    }

    /// The keys of the references inside; they stay alive until the answer is given.
    fn note(&mut self, encoded: &mut Encoded) -> Vec<Key> {
        let keys = references::keys(&encoded.contains);
        self.noted.append(&mut encoded.contains);
        keys
    }

    /// `sys.exit` in a task ends the process, which the caller sees as a crash; in an actor it ends the actor.
    fn leave(&self, py: Python<'_>, call: &RunningCall, error: &PyErr) -> i32 {
        if call.task.actor().is_actor() {
            self.process.actor_ends(ActorDeath::Exited);
            return 0;
        }
        let code = error.value(py).getattr("code").ok();
        match code {
            Some(code) if code.is_none() => 0,
            Some(code) => code.extract::<i32>().unwrap_or(1),
            None => 1,
        }
    }

    fn is_retryable(&self, py: Python<'_>, loaded: &Loaded, error: &PyErr) -> bool {
        let asked = hooks(py).and_then(|hooks| {
            hooks.error_retryable.bind(py).call1((error.value(py), loaded.definition.retry.as_slice()))?.extract()
        });
        asked.unwrap_or(false)
    }

    fn load(&mut self, py: Python<'_>, call: &RunningCall) -> PyResult<Arc<Loaded>> {
        let name = (call.from, call.function);
        if let Some((last, loaded)) = &self.last
            && *last == name
        {
            return Ok(loaded.clone());
        }
        if let Some(loaded) = self.loaded.get(&name) {
            self.last = Some((name, loaded.clone()));
            return Ok(loaded.clone());
        }
        let bytes = self.process.definition_of(call.from, call.function);
        let definition = bytes
            .and_then(|bytes| Definition::from_bytes(&bytes))
            .ok_or_else(|| PyRuntimeError::new_err("the caller never defined this function: its lane is broken"))?;
        let kind = match definition.kind {
            Kind::Function => 0,
            Kind::Class => 1,
            Kind::Method => 2,
        };
        let callable = match definition.kind {
            Kind::Method => None,
            Kind::Function | Kind::Class => {
                let load = py.import("iosdk._worker")?.getattr("load")?;
                Some(load.call1((kind, &definition.name, &definition.module, definition.body.as_slice()))?.unbind())
            }
        };
        let loaded = Arc::new(Loaded { callable, definition: Arc::new(definition) });
        self.loaded.insert(name, loaded.clone());
        self.last = Some((name, loaded.clone()));
        Ok(loaded)
    }

    /// Tells the output wrapper and the runtime context what runs now.
    fn announce(&mut self, py: Python<'_>, call: &RunningCall, loaded: &Arc<Loaded>) {
        if call.kind == CallKind::CreateActor {
            self.class_name = Arc::from(loaded.definition.name.as_str());
        }
        let is_actor = call.task.actor().is_actor();
        queries::set_context(Context {
            task: call.task,
            definition: loaded.definition.clone(),
            class_name: self.class_name.clone(),
            is_actor,
        });
        let cpus = loaded.definition.resources.get("CPU");
        if cpus != self.cpus {
            self.cpus = cpus;
            let told = py.import("iosdk._worker").and_then(|module| module.call_method1("use_cpus", (cpus.to_f64(),)));
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
        }
        let name: &str = if is_actor { &self.class_name } else { &loaded.definition.name };
        if *name != *self.announced {
            name.clone_into(&mut self.announced);
            let told = py.import("iosdk._worker").and_then(|module| module.call_method1("call_started", (name,)));
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
        }
    }

    fn run(&mut self, py: Python<'_>, call: &RunningCall, loaded: &Loaded) -> PyResult<Vec<Returned>> {
        let mut deps = Vec::with_capacity(call.deps.len());
        for dep in &call.deps {
            deps.push(self.dependency(py, dep)?);
        }
        let (args, kwargs) = args::unpack(py, &call.args, &call.contains, &deps)?;
        drop(deps);
        let result = match call.kind {
            CallKind::Task => {
                let callable = loaded.callable.as_ref().ok_or_else(|| PyRuntimeError::new_err("not a function"))?;
                callable.bind(py).call(args, kwargs.as_ref())?
            }
            CallKind::CreateActor => {
                let class = loaded.callable.as_ref().ok_or_else(|| PyRuntimeError::new_err("not a class"))?;
                self.instance = Some(class.bind(py).call(args, kwargs.as_ref())?.unbind());
                py.None().into_bound(py)
            }
            CallKind::Method => self.method(py, &loaded.definition.name, args, kwargs.as_ref())?,
            CallKind::Terminate => return Ok(Vec::new()),
        };
        drop(kwargs);
        self.returned(call, loaded, result)
    }

    fn method<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        args: Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let instance =
            self.instance.as_ref().ok_or_else(|| PyRuntimeError::new_err("the actor was never constructed"))?;
        let instance = instance.bind(py);
        match name {
            "__ray_ready__" => Ok(pyo3::types::PyBool::new(py, true).to_owned().into_any()),
            "__ray_terminate__" => Err(PySystemExit::new_err(0)),
            "__ray_call__" => {
                let function = args.get_item(0)?;
                let mut rest: Vec<Bound<'py, PyAny>> = vec![instance.clone()];
                rest.extend(args.iter().skip(1));
                function.call(PyTuple::new(py, rest)?, kwargs)
            }
            name => instance.getattr(name)?.call(args, kwargs),
        }
    }

    fn dependency<'py>(&self, py: Python<'py>, dep: &Dep) -> PyResult<Bound<'py, PyAny>> {
        let (value, reference) = match dep {
            Dep::Value(value) => (value, None),
            Dep::Object { key, value } => (value, Handle::retain(self.process.clone(), *key)),
        };
        match value {
            Fetched::Inline { bytes, contains, .. } => value::decode(py, &value::Source::Private(bytes), contains),
            Fetched::Shared { view, contains, .. } => {
                let owner = Arc::new(Held { view: view.clone(), _reference: reference });
                value::decode(py, &value::Source::Shared { bytes: owner.view.bytes(), owner: &owner }, contains)
            }
            Fetched::Pending | Fetched::Gone => {
                Err(PyRuntimeError::new_err("an argument's value went away before the call began"))
            }
        }
    }

    fn returned(&mut self, call: &RunningCall, loaded: &Loaded, result: Bound<'_, PyAny>) -> PyResult<Vec<Returned>> {
        match call.returns {
            0 => Ok(Vec::new()),
            1 if !is_generator(&result) => Ok(vec![self.keep(call, &result, false)?]),
            _ => self.several(call, &loaded.definition.name, &result),
        }
    }

    /// A tuple, a list or a generator that gives one value per return. What a generator gave before it raised stands.
    fn several(&mut self, call: &RunningCall, name: &str, result: &Bound<'_, PyAny>) -> PyResult<Vec<Returned>> {
        let py = result.py();
        let count = usize::from(call.returns);
        let wrong = |given: String| {
            PyValueError::new_err(format!("Task returned {given} objects, but num_returns={count} for the task {name}"))
        };
        if let Ok(len) = result.len()
            && len != count
        {
            return Err(wrong(len.to_string()));
        }
        let mut values = Vec::with_capacity(count);
        let items = result.try_iter()?;
        for item in items.take(count) {
            match item {
                Ok(item) => values.push(self.keep(call, &item, false)?),
                Err(error) if !values.is_empty() => {
                    let packed = self.pack(py, &error, name)?;
                    while values.len() < count {
                        values.push(self.keep(call, &packed, true)?);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if values.len() < count {
            return Err(wrong(values.len().to_string()));
        }
        Ok(values)
    }

    /// Puts a result where it will live.
    fn keep(&mut self, call: &RunningCall, value: &Bound<'_, PyAny>, is_error: bool) -> PyResult<Returned> {
        let mut encoded = value::encode(value)?;
        let contains = self.note(&mut encoded);
        let py = value.py();
        if encoded.len <= INLINE_MAX {
            return Ok(Returned::inline(encoded.into_vec(py)?, is_error, contains));
        }
        let extent = api::store(py, &self.process, &encoded, Some(call.from))?;
        Ok(Returned::stored(extent, is_error, contains))
    }

    fn pack<'py>(&self, py: Python<'py>, error: &PyErr, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let instance = self.instance.as_ref().map(|instance| instance.bind(py).clone());
        if let Some(traceback) = error.traceback(py) {
            error.value(py).setattr("__traceback__", traceback)?;
        }
        // `into_value` and not `value`: only it hangs the traceback onto the exception.
        let value = error.clone_ref(py).into_value(py);
        hooks(py)?.error_pack.bind(py).call1((value, name, instance.is_some(), instance))
    }

    /// Answers with the exception, and gives back its bytes.
    fn fail_with(
        &mut self,
        py: Python<'_>,
        call: &RunningCall,
        error: PyErr,
        name: &str,
        started: Instant,
        retryable: bool,
    ) -> Vec<u8> {
        let encoded = self.pack(py, &error, name).and_then(|packed| value::encode(&packed));
        let encoded = encoded.or_else(|second| {
            // The error's own packing failed: the least that can be said is its text.
            let text = format!("{error}; and packing it failed: {second}");
            value::encode(&pyo3::types::PyString::new(py, &text))
        });
        let (bytes, contains) = match encoded {
            Ok(mut encoded) => {
                let contains = self.note(&mut encoded);
                (encoded.into_vec(py).unwrap_or_default(), contains)
            }
            Err(_) => (Vec::new(), Vec::new()),
        };
        let status = if retryable { ReplyStatus::RetryableError } else { ReplyStatus::Error };
        let values = vec![Returned::inline(bytes.clone(), true, contains)];
        self.answer(call, Outcome { status, ran_ns: elapsed_ns(started), values });
        bytes
    }
}

/// A generator body gives its returns one by one, also when there is only one.
fn is_generator(result: &Bound<'_, PyAny>) -> bool {
    result.get_type().name().is_ok_and(|name| name == "generator")
}

fn elapsed_ns(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
