//! Why something is as it is, in plain sentences, as far as this process knows.

use crate::core::Core;
use iosdk_runtime_core::views::{Callee, CalleeAt};
use iosdk_types::state::{Explanation, Location, Subject, TaskPhase, TaskState};
use iosdk_types::{ActorId, Address, Key, ObjectId, TaskId, Time};

/// Things of one kind that are named; of more only the number.
const NAMED: usize = 8;

pub(crate) fn explain(core: &Core, now: Time, subject: Subject) -> Vec<Explanation> {
    match subject {
        Subject::Task(task) => {
            [owned_task(core, now, &task), running_call(core, now, &task)].into_iter().flatten().collect()
        }
        Subject::Object(object) => known_object(core, &object).into_iter().collect(),
        Subject::Actor(actor) => called_actor(core, &actor).into_iter().collect(),
    }
}

fn seconds(now: Time, since: Time) -> String {
    format!("{:.1} s", (now - since).0 as f64 / 1e9)
}

/// Up to `NAMED` lines, and how many more there would be.
fn named(mut lines: Vec<String>, what: &str) -> Vec<String> {
    let more = lines.len().saturating_sub(NAMED);
    lines.truncate(NAMED);
    if more > 0 {
        lines.push(format!("and {more} more {what}"));
    }
    lines
}

fn owned_task(core: &Core, now: Time, id: &TaskId) -> Option<Explanation> {
    let key = core.owner.find_task(id)?;
    let state = core.task_state(key)?;
    let own = std::process::id();
    let age = seconds(now, state.submitted);
    let mut lines =
        vec![format!("{} was submitted {age} ago by the process with pid {own}, which owns it", state.name)];
    let pid = state.on.map_or(0, |(_, pid)| pid);
    match state.phase {
        TaskPhase::WaitsForArguments => {
            let missing = core.owner.missing(key);
            let line = |missing: &_| format!("it waits for an argument: {}", origin_of(core, missing));
            lines.extend(named(missing.iter().map(line).collect(), "arguments"));
        }
        TaskPhase::WaitsForWorker => lines.extend(why_queued(core, key)),
        TaskPhase::Pushed => {
            lines.push(format!("it was sent to the worker with pid {pid}, which has other calls before it"))
        }
        TaskPhase::Running => lines.push(format!("it runs in the worker with pid {pid}")),
    }
    if state.attempt > 0 {
        lines.push(format!("attempts that ended before this one: {}", state.attempt));
    }
    Some(Explanation { state: state.phase.as_str().to_owned(), lines })
}

fn why_queued(core: &Core, task: Key) -> Vec<String> {
    if let Some(queue) = core.owner.queue_of(task) {
        let (spec, waiting, leases, wanted) = (&queue.spec.resources, queue.waiting, queue.leases, queue.wanted);
        return vec![format!(
            "it waits for a worker with {spec}: {waiting} tasks that need the same wait here, {leases} workers are leased for \
             them, and {wanted} were asked for"
        )];
    }
    core.owner.callee_of(task).map(|callee| callee_line(core, &callee)).into_iter().collect()
}

fn callee_line(core: &Core, callee: &Callee) -> String {
    let class = core.actor_names.get(&callee.actor).map_or("", String::as_str);
    let (actor, there, here) = (callee.actor, callee.in_flight, callee.waiting);
    match &callee.at {
        CalleeAt::Nowhere => format!("its actor {class} ({actor}) has no process yet; {here} calls wait for it here"),
        CalleeAt::Process(_, pid) => {
            format!(
                "its actor {class} ({actor}) lives in pid {pid}: {there} calls of this process are there, {here} wait here"
            )
        }
        CalleeAt::Dead(_) => format!("its actor {class} ({actor}) is dead"),
    }
}

fn origin_of(core: &Core, missing: &iosdk_runtime_core::views::Missing) -> String {
    let object = missing.object;
    match missing.task.and_then(|task| core.task_state(task)) {
        Some(TaskState { task, name, phase, on, .. }) => {
            let place = on.map_or_else(String::new, |(_, pid)| format!(" in pid {pid}"));
            format!("object {object}, which {name} (task {task}) will return; that is {}{place}", phase.as_str())
        }
        None => format!("object {object}, which {} owns", whose(core, missing.owner)),
    }
}

fn whose(core: &Core, owner: Address) -> String {
    match core.owner.pid_of(owner) {
        _ if owner == core.owner.address() => "this process".to_owned(),
        Some(pid) => format!("the process with pid {pid}"),
        None => format!("process {owner}"),
    }
}

fn running_call(core: &Core, now: Time, id: &TaskId) -> Option<Explanation> {
    let call = core.owner.running_calls().find(|call| call.task == *id)?;
    let mut lines = vec![format!("it has run for {}", seconds(now, call.since))];
    let awaited = core.owner.awaited_here().take(NAMED + 1).filter_map(|key| core.owner.as_missing(key));
    let line =
        |missing: iosdk_runtime_core::views::Missing| format!("its process waits for {}", origin_of(core, &missing));
    lines.extend(named(awaited.map(line).collect(), "objects"));
    Some(Explanation { state: String::new(), lines })
}

fn known_object(core: &Core, id: &ObjectId) -> Option<Explanation> {
    let key = core.owner.find(id)?;
    let (state, keepers) = (core.object_state(key)?, core.owner.keepers(key)?);
    let own = std::process::id();
    let owned = state.owner == core.owner.address();
    let mut lines = Vec::new();
    match (owned, state.location) {
        (true, None) => lines.push(format!("the process with pid {own} owns it; it has no value yet")),
        (true, Some(location)) => {
            lines.push(format!("the process with pid {own} owns it; {}", place_of(location, state.size)))
        }
        (false, None) if keepers.owner_dead => lines.push(format!("pid {own} refers to it, but its owner has died")),
        (false, _) => lines.push(format!("the process with pid {own} borrows it from {}", whose(core, state.owner))),
    }
    if let Some(task) = keepers.task.and_then(|task| core.task_state(task)) {
        lines.push(format!("{} (task {}) will return it; that is {}", task.name, task.task, task.phase.as_str()));
    }
    let (handles, uses) = (state.handles, state.uses);
    lines.push(format!(
        "in pid {own} it is held by {handles} references, and {uses} times by tasks, calls and other objects"
    ));
    let (tasks, borrowers) = keepers.awaited;
    if tasks + borrowers > 0 {
        lines.push(format!("{tasks} tasks and {borrowers} borrowers wait for it there"));
    }
    lines.extend(named(
        keepers.lent_to.iter().map(|to| format!("it is lent to {}", whose(core, *to))).collect(),
        "borrowers",
    ));
    if keepers.contained > 0 {
        lines.push(format!("there are {} references inside it, which it keeps alive", keepers.contained));
    }
    let state = if owned { state.state().to_owned() } else { String::new() };
    Some(Explanation { state, lines })
}

fn place_of(location: Location, size: Option<u64>) -> String {
    let size = size.map_or_else(String::new, |size| format!(" ({size} bytes)"));
    match location {
        Location::Inline => format!("its value{size} lies in that process"),
        Location::Arena => format!("its value{size} lies in the shared memory of that node"),
        Location::Remote => format!("its value{size} lies in the shared memory of another node"),
    }
}

fn called_actor(core: &Core, id: &ActorId) -> Option<Explanation> {
    let callee = core.owner.find_callee(id)?;
    let (own, there, here) = (std::process::id(), callee.in_flight, callee.waiting);
    let line = format!("the process with pid {own} knows it: {there} calls of its are there, {here} wait");
    Some(Explanation { state: String::new(), lines: vec![line] })
}
