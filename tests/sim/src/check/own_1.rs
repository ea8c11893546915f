//! OWN-1: nothing reachable is freed. Whoever holds a reference gets the value that was stored, or a failure for which there
//! is a reason; bytes are never dropped while a machine still names them.

use crate::check::{Verdict, broken};
use crate::ghost::{Ghost, Outcome, raised_by};
use iosdk_runtime_core::LocalError;
use iosdk_types::message::ActorDeath;
use iosdk_types::{ActorId, ObjectId, TaskId};

const NAME: &str = "OWN-1";

/// A get gave a value.
pub fn got_value(ghost: &Ghost, object: ObjectId, token: u64) -> Verdict {
    match ghost.objects.get(&object) {
        Some(note) if note.token == token => Ok(()),
        Some(note) => broken(NAME, format!("{object} holds {:x}, a get gave {token:x}", note.token)),
        None => broken(NAME, format!("a get of {object}, which nobody made")),
    }
}

/// A get raised what a body raised.
pub fn got_raised(ghost: &Ghost, object: ObjectId, token: u64) -> Verdict {
    match ghost.task_of(&object) {
        Some(task) if raised_by(task.seed) == token => Ok(()),
        _ => broken(NAME, format!("a get of {object} raised {token:x}, which its task never does")),
    }
}

/// A get failed in the words of a machine: is there a reason?
pub fn got_failure(ghost: &Ghost, object: ObjectId, error: &LocalError) -> Verdict {
    let note = ghost.objects.get(&object);
    let reason = match error {
        LocalError::WorkerCrashed { attempts, .. } => {
            attempts.iter().all(|attempt| ghost.dead.values().any(|(death, _)| death.pid == attempt.death.pid))
                || !ghost.poisoned.is_empty()
        }
        LocalError::ActorDied { actor, cause } => actor_may_be_dead(ghost, &object, actor, cause),
        LocalError::Cancelled { task } => was_cancelled(ghost, task),
        LocalError::OwnerDied { owner, .. } => {
            ghost.is_gone(*owner) || ghost.poisoned.contains(owner) || is_remote(ghost, &object)
        }
        LocalError::ObjectLost { .. } => note.is_some_and(|note| note.smuggled || ghost.is_gone(note.owner)),
        // Classes that no node covers are asked for on purpose; a node whose forks fail says so too.
        LocalError::Infeasible { .. } => true,
        LocalError::DependencyFailed { .. } => true,
    };
    if reason { Ok(()) } else { broken(NAME, format!("a get of {object} ({note:?}) failed without reason: {error:?}")) }
}

/// There are no lanes between nodes yet: what lies on another one cannot be asked for.
fn is_remote(ghost: &Ghost, object: &ObjectId) -> bool {
    ghost
        .objects
        .get(object)
        .is_some_and(|note| ghost.objects.values().any(|other| other.owner.node != note.owner.node))
}

fn actor_may_be_dead(ghost: &Ghost, object: &ObjectId, actor: &ActorId, cause: &ActorDeath) -> bool {
    let creation = ghost.tasks.values().find(|task| task.creates == Some(*actor));
    let place_died = creation.is_some_and(|task| {
        let place_died = task.started_on.iter().any(|on| ghost.is_gone(*on));
        // Its constructor never began: an argument failed, no worker could be had, or its process died before.
        let for_want = match cause {
            ActorDeath::InitFailed { .. } | ActorDeath::Infeasible { .. } => true,
            ActorDeath::Process(death) => ghost.dead.values().any(|(dead, _)| dead.pid == death.pid),
            ActorDeath::Killed
            | ActorDeath::OutOfScope
            | ActorDeath::OwnerDied { .. }
            | ActorDeath::Exited
            | ActorDeath::NodeDied => false,
        };
        // On another node its owner cannot reach it.
        let for_want = for_want || ghost.nodes > 1;
        ghost.is_gone(task.owner) || place_died || (for_want && task.started_on.is_empty())
    });
    ghost.killed_actors.contains(actor) || place_died || !ghost.poisoned.is_empty() || is_remote(ghost, object)
}

fn was_cancelled(ghost: &Ghost, task: &TaskId) -> bool {
    ghost.tasks.get(task).is_some_and(|task| task.cancelled)
}

/// The same object never ends in two ways.
pub fn same_as_before(ghost: &mut Ghost, object: ObjectId, outcome: Outcome) -> Verdict {
    let Some(note) = ghost.objects.get_mut(&object) else { return Ok(()) };
    match (&note.outcome, &outcome) {
        (Some(Outcome::Value(before) | Outcome::Raised(before)), Outcome::Value(now) | Outcome::Raised(now))
            if before != now =>
        {
            broken("TASK-1", format!("{object} was {before:x} and is {now:x}"))
        }
        (Some(_), _) => Ok(()),
        (None, _) => {
            note.outcome = Some(outcome);
            Ok(())
        }
    }
}

pub fn dropped_payload(owner: iosdk_types::Address, what: &str) -> Verdict {
    broken(NAME, format!("process {owner}: {what}"))
}
