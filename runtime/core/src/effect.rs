//! Everything the owner machine can ask of its process's shell. Performed in order, after the owner lock is released, except
//! that messages to one peer keep the order in which they were asked for.

use iosdk_types::message::ProcessToRaylet;
use iosdk_types::message::peer::{Payload, PeerMessage};
use iosdk_types::{Address, Extent, Key, TaskRecord};

#[derive(Clone, Debug)]
pub enum Effect {
    /// Answer to `Submit`: the key of the first return (more with `Owner::returns`), each with one handle held.
    Submitted {
        task: Key,
        first: Key,
    },
    Opened {
        object: Key,
    },
    ActorOpened {
        actor: Key,
    },
    /// A waiter's object is there (value or error).
    Ready {
        object: Key,
        waiter: u32,
    },

    /// Push this task's call to the peer: header and dependencies with `Owner::wire_call(task, claim)`, which the shell calls
    /// once it has taken a claim slot of that lane. The machine counts slots and never asks for more than the lane has.
    PushCall {
        to: Address,
        task: Key,
    },
    /// The bytes behind these payloads stay valid until the machine drops them.
    Send {
        to: Address,
        message: PeerMessage,
    },
    /// Compare-and-swap the task's claim word READY -> RETRACTED; answer `Input::Retracted`.
    Retract {
        task: Key,
        peer: Address,
    },
    /// The peer is dead and drained: read the claim words of everything in flight there; answer `Input::Judged`.
    JudgeClaims {
        peer: Address,
    },
    /// The reply to this task came, or it was judged: its claim slot may be used again.
    FreeClaim {
        task: Key,
        peer: Address,
    },
    ToRaylet(ProcessToRaylet),
    /// Nobody talks to this peer any more; its lanes may be dropped.
    Detach {
        peer: Address,
    },

    /// Calls are ready for the executor (`Owner::take_call`). Said when the queue was empty before.
    CallsReady,
    /// Stop this running call: raise in its thread, or with `force` end the process.
    Interrupt {
        call: Key,
        force: bool,
    },
    /// Give up what was decoded for this call (payloads have been dropped).
    /// The process should end: its actor was terminated, or its raylet said so.
    Exit {
        reason: String,
    },

    /// For the history, if one is kept. `function` is what the record's name stands for.
    AttemptEnded {
        function: Key,
        record: TaskRecord,
    },

    DropPayload(Payload),
    /// An error value of our own words is needed: make a payload for it, then `Owner::resolve_error(object, payload)` for each.
    MakeError {
        objects: Vec<Key>,
        error: crate::error::LocalError,
    },
    /// The owner of this allocation needs it no more, and this process holds it: free it in the local heap.
    FreeLocal(Extent),
    /// The holder is dead and these bytes of ours are free; `Unclaim` follows when they were the last in their extent.
    FreeOrphan(Extent),
}
