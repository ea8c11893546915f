//! Everything that can happen to a process, as seen by its owner machine.

use iosdk_types::message::peer::{Payload, PeerMessage, Place, ReplyStatus};
use iosdk_types::message::{ActorDeath, RayletToProcess};
use iosdk_types::spec::ActorSpec;
use iosdk_types::{Address, Key, RefDescriptor};
use smallvec::SmallVec;

/// A task, a method call or an actor's creation, as the local API submits it.
#[derive(Clone, Debug)]
pub struct Draft {
    pub target: Target,
    /// From `Owner::define`.
    pub function: Key,
    /// Owned by the machine from here on: it says `DropPayload` when nothing can need it.
    pub args: Payload,
    /// Top-level references among the arguments, in order, duplicates included. The machine takes holds of its own.
    pub deps: SmallVec<[Key; 2]>,
    /// References inside the arguments, in the order the pickle names them.
    pub contains: SmallVec<[Key; 2]>,
    pub returns: u16,
    /// How often it may run again after its process died or it raised what it is retried on; -1: for ever.
    pub retries: i32,
}

#[derive(Clone, Debug)]
pub enum Target {
    /// Class from `Owner::class`.
    Task { class: Key },
    /// A method. Key from `Input::CreateActor` or `Input::AdoptActor`.
    Method { actor: Key },
}

/// A value this process made (a put, or a return of a call it executed).
#[derive(Clone, Debug)]
pub struct NewValue {
    pub place: Place,
    pub is_error: bool,
    /// Local keys of the references inside, in pickle order. The machine takes holds of its own.
    pub contains: SmallVec<[Key; 2]>,
}

#[derive(Clone, Debug)]
pub enum Input {
    // The local API.
    /// Answered by `Effect::Submitted`.
    Submit(Draft),
    /// Creates an actor that this process owns. `draft.target` is ignored; `draft.returns` is 1: that object *is* the actor's
    /// reference count (a handle anywhere is a reference to it). Answered by `Effect::ActorOpened`, then `Submitted`.
    CreateActor {
        spec: ActorSpec,
        draft: Draft,
    },
    /// A handle arrived here from elsewhere: `object` is the local key of its counting reference. Answered by `ActorOpened`;
    /// the same actor twice gives the same key.
    AdoptActor {
        actor: iosdk_types::ActorId,
        object: Key,
    },
    /// Stores a value. Answered by `Effect::Opened` with one handle held.
    Put(NewValue),
    /// One more handle of each of these objects in this process.
    Retain {
        objects: SmallVec<[Key; 2]>,
    },
    /// One handle less of each.
    Release {
        objects: SmallVec<[Key; 2]>,
    },
    /// A descriptor that reached this process outside any message of ours (a pickle a user carried here). The object is
    /// held as a borrower that registers itself. Answered by `Opened` with one handle held.
    Adopt {
        reference: RefDescriptor,
    },
    /// Somebody waits for this object: fetch it if it is borrowed, and say `Ready` with this waiter when it is there.
    /// Already there: says so at once.
    Watch {
        object: Key,
        waiter: u32,
    },
    /// The waiter gave up.
    Unwatch {
        object: Key,
        waiter: u32,
    },
    /// `cancel(ref)`. `force` asks the executor to kill itself.
    Cancel {
        object: Key,
        force: bool,
    },
    KillActor {
        actor: Key,
    },

    // Execution of others' calls in this process.
    /// The body ended. One value per return (or one error for all of them).
    Executed {
        call: Key,
        status: ReplyStatus,
        ran_ns: u64,
        values: SmallVec<[NewValue; 1]>,
    },
    /// The shell lost the claim of a call it took: the caller has it back.
    ClaimLost {
        call: Key,
    },
    /// The constructor raised or the actor asked to end; queued calls of this process are answered `NotStarted`.
    ActorEnds {
        cause: ActorDeath,
    },

    // The world.
    FromPeer {
        from: Address,
        message: PeerMessage,
    },
    FromRaylet(RayletToProcess),
    /// The peer's lane broke a rule and was closed: treat it like a death that nobody can explain.
    LanePoisoned {
        peer: Address,
    },
    /// Answer to `Effect::JudgeClaims`: for each in-flight call of the dead peer, whether it surely never started.
    Judged {
        peer: Address,
        never_started: Vec<u64>,
    },
    /// Answer to `Effect::Retract`: true when the caller won the word.
    Retracted {
        task: Key,
        won: bool,
    },
}

impl Input {
    pub fn retain(object: Key) -> Self {
        Self::Retain { objects: SmallVec::from_slice(&[object]) }
    }

    pub fn release(object: Key) -> Self {
        Self::Release { objects: SmallVec::from_slice(&[object]) }
    }
}
