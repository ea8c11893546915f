//! The Python extension `iosdk._core`: a thin door between the public Python package and the runtime. Exports only.

mod api;
mod args;
mod caller;
mod errors;
mod hooks;
mod object_ref;
mod queries;
mod references;
mod session;
mod value;
mod view;
mod worker;

use pyo3::prelude::*;

#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<object_ref::ObjectRef>()?;
    module.add_class::<caller::TaskCaller>()?;
    module.add_class::<caller::MethodCaller>()?;
    module.add_class::<caller::ActorCore>()?;
    module.add_class::<view::ArenaBuffer>()?;
    module.add_function(wrap_pyfunction!(session::connect, module)?)?;
    module.add_function(wrap_pyfunction!(session::disconnect, module)?)?;
    module.add_function(wrap_pyfunction!(session::is_connected, module)?)?;
    module.add_function(wrap_pyfunction!(session::missed_wakeups, module)?)?;
    module.add_function(wrap_pyfunction!(session::session_id, module)?)?;
    module.add_function(wrap_pyfunction!(session::shutdown_cluster, module)?)?;
    module.add_function(wrap_pyfunction!(session::next_log_lines, module)?)?;
    module.add_function(wrap_pyfunction!(caller::define, module)?)?;
    module.add_function(wrap_pyfunction!(caller::scheduling_class, module)?)?;
    module.add_function(wrap_pyfunction!(caller::create_actor, module)?)?;
    module.add_function(wrap_pyfunction!(caller::adopt_actor, module)?)?;
    module.add_function(wrap_pyfunction!(api::put, module)?)?;
    module.add_function(wrap_pyfunction!(api::get, module)?)?;
    module.add_function(wrap_pyfunction!(api::wait, module)?)?;
    module.add_function(wrap_pyfunction!(api::cancel, module)?)?;
    module.add_function(wrap_pyfunction!(queries::query, module)?)?;
    module.add_function(wrap_pyfunction!(queries::task_context, module)?)?;
    module.add_function(wrap_pyfunction!(queries::daemon_main, module)?)?;
    module.add_function(wrap_pyfunction!(queries::cli_main, module)?)?;
    module.add_function(wrap_pyfunction!(queries::version, module)?)?;
    module.add_function(wrap_pyfunction!(worker::worker_main, module)?)?;
    module.add_function(wrap_pyfunction!(worker::ask_exit, module)?)?;
    module.add_function(wrap_pyfunction!(references::_note, module)?)?;
    module.add_function(wrap_pyfunction!(references::_next, module)?)?;
    module.add_function(wrap_pyfunction!(references::_inside, module)?)?;
    module.add_function(wrap_pyfunction!(references::_carried, module)?)?;
    Ok(())
}
