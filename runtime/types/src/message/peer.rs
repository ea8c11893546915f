//! What processes say to each other over their lanes: calls, replies, references. Payload bytes are named by handles; the
//! shell that encodes a message copies the bytes behind them, the shell that decodes one makes new handles.

use crate::{Extent, RefDescriptor, TaskId};
use smallvec::SmallVec;

/// A handle to bytes in the shell's payload table. Machines move handles, never bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payload(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Inline(Payload),
    Arena(Extent),
}

/// A value on its way: where its bytes are, whether they are an error, and the references inside it, each of them lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireValue {
    pub place: Place,
    pub is_error: bool,
    pub contains: Vec<RefDescriptor>,
}

/// The value of a top-level reference among a call's arguments.
/// `reference` is lent along when the value lies in the arena, so that views of it keep it alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireDep {
    pub value: WireValue,
    pub reference: Option<RefDescriptor>,
}

/// The word both sides decide by: slot in the lane's claim table and the generation written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub slot: u32,
    pub generation: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireCall {
    /// The caller's key of the task; comes back in the reply.
    pub key: u64,
    pub task: TaskId,
    /// The caller's number of the function, class or method; defined on this lane before.
    pub function: u32,
    /// Depth of the task itself.
    pub depth: u32,
    pub returns: u16,
    pub kind: CallKind,
    pub claim: Claim,
    pub args: Payload,
    pub deps: SmallVec<[WireDep; 1]>,
    /// References inside the arguments, in the order the pickle names them.
    pub contains: Vec<RefDescriptor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    Task,
    CreateActor,
    Method,
    /// Ends the actor after the calls before it. The owner sends it when the last handle is gone.
    Terminate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyStatus {
    Ok,
    Error,
    /// The callee's exception is one the task wants to be retried on.
    RetryableError,
    /// The callee never started it (cancelled in its queue, or the process is ending).
    NotStarted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireReply {
    pub key: u64,
    pub status: ReplyStatus,
    /// How long the body ran, in nanoseconds. A frame keeps about nine digits of it, and 26 days at most.
    pub ran_ns: u64,
    pub returns: SmallVec<[WireValue; 1]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// Names a function, class or method on this lane. Comes before its first call.
    Define {
        function: u32,
        payload: Payload,
    },
    Call(WireCall),
    Reply(WireReply),
    /// Borrower to owner: "send me the value when there is one". `token` is the borrower's own key for it.
    Fetch {
        object: RefDescriptor,
        token: u64,
    },
    /// Owner to borrower. `None`: the owner does not know the object (any more).
    Value {
        token: u64,
        value: Option<WireValue>,
    },
    /// To the owner, from a process that was handed a reference by somebody else: "count me as a borrower".
    Register {
        object: RefDescriptor,
        token: u64,
    },
    /// Owner's answer; `known` is false when the object is gone.
    Registered {
        token: u64,
        known: bool,
    },
    /// To the owner: "of the times this was lent to me, `times` are over".
    Return {
        object: RefDescriptor,
        times: u32,
    },
    /// To the lender (not the owner): "I am registered; your loan is over". `times` loans of this object.
    LendAck {
        object: RefDescriptor,
        times: u32,
    },
    /// To the holder of an allocation: "its owner needs it no more".
    Free {
        extent: Extent,
    },
    /// To the executor: stop this call of mine if it runs (queued ones are retracted by claim).
    Cancel {
        key: u64,
        force: bool,
    },
    /// Borrower to owner: `cancel` was called on this reference here.
    CancelObject {
        object: RefDescriptor,
        force: bool,
    },
}
