//! OWN-2: everything unreachable is freed once the cluster is quiet: no process keeps an object, a task, a payload or a claim
//! that nobody can reach, and no arena keeps an object whose last reference is gone.

use crate::check::{Verdict, broken};
use crate::ghost::Ghost;
use crate::memory::{Arena, Content};
use crate::process::Process;

const NAME: &str = "OWN-2";

/// User code has let go of everything and nothing is on its way.
pub fn process_is_empty(process: &Process, ghost: &Ghost) -> Verdict {
    let owner = &process.owner;
    let counts = (owner.live_objects(), owner.live_tasks(), owner.live_calls(), owner.in_flight());
    if counts != (0, 0, 0, 0) {
        let (objects, tasks, calls, in_flight) = counts;
        let known = |id: &&iosdk_types::ObjectId| owner.find(id).is_some();
        let which: Vec<_> =
            ghost.objects.keys().filter(known).take(4).map(|id| (id, &ghost.objects[id].task)).collect();
        let text = format!(
            "process {} still has {objects} objects, {tasks} tasks, {calls} calls and {in_flight} unanswered when all is quiet: {which:?}",
            process.address
        );
        return broken(NAME, text);
    }
    let leaked: Vec<&Content> = process
        .payloads
        .iter()
        .map(|(_, content)| content)
        .filter(|content| **content != Content::Definition)
        .collect();
    if !leaked.is_empty() {
        return broken(
            NAME,
            format!("process {} keeps {} payloads, such as {:?}", process.address, leaked.len(), leaked[0]),
        );
    }
    if !process.in_flight.is_empty() {
        return broken(NAME, format!("process {} keeps {} claim slots", process.address, process.in_flight.len()));
    }
    Ok(())
}

pub fn arena_is_empty(node: u32, arena: &Arena) -> Verdict {
    match arena.stored.iter().next() {
        None => Ok(()),
        Some((offset, stored)) => {
            let text =
                format!("node {node} keeps {} objects in its arena, such as {stored} at {offset}", arena.stored.len());
            broken(NAME, text)
        }
    }
}
