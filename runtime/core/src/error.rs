//! Errors that the machine itself decides on, as data. The shell turns each into the exception the user sees.

use iosdk_types::message::ActorDeath;
use iosdk_types::{ActorId, Address, Attempt, Death, Key, ObjectId, TaskId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalError {
    /// The process running the task died and no retry is left. `function` key names it in the shell.
    WorkerCrashed {
        task: TaskId,
        function: Key,
        attempts: Vec<Attempt>,
    },
    ActorDied {
        actor: ActorId,
        cause: ActorDeath,
    },
    Cancelled {
        task: TaskId,
    },
    OwnerDied {
        object: ObjectId,
        owner: Address,
        death: Option<Death>,
    },
    /// The owner does not know the object: it was freed, or the reference is of another session.
    ObjectLost {
        object: ObjectId,
    },
    Infeasible {
        task: TaskId,
        function: Key,
        why: String,
    },
    /// `deps[index]` failed; its error payload becomes the cause.
    DependencyFailed {
        task: TaskId,
        function: Key,
        dependency: Key,
    },
}
