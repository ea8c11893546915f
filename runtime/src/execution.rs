//! Executing others' calls: the next call, its claim, its answer.

use crate::core::Core;
use crate::objects::Fetched;
use crate::process::Process;
use iosdk_runtime_core::{CallDep, CallView, Input, NewValue};
use iosdk_types::message::ActorDeath;
use iosdk_types::message::peer::{CallKind, Place, ReplyStatus};
use iosdk_types::{Address, Extent, Key, TaskId};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A call that this process has claimed and must answer.
pub struct RunningCall {
    pub key: Key,
    pub from: Address,
    pub kind: CallKind,
    pub function: u32,
    pub task: TaskId,
    pub returns: u16,
    pub args: Arc<[u8]>,
    /// References inside the arguments, held until the call is answered.
    pub contains: SmallVec<[Key; 2]>,
    /// Values of the top-level references, in order.
    pub deps: SmallVec<[Dep; 1]>,
}

pub enum Dep {
    Value(Fetched),
    /// A stored object: views of it keep this reference.
    Object {
        key: Key,
        value: Fetched,
    },
}

pub enum Next {
    Call(Box<RunningCall>),
    Idle,
    /// The process is to end.
    Exit,
}

/// One value of an answer.
pub struct Returned {
    bytes: Bytes,
    is_error: bool,
    contains: Vec<Key>,
}

enum Bytes {
    Inline(Vec<u8>),
    Stored(Extent),
}

impl Returned {
    pub fn inline(bytes: Vec<u8>, is_error: bool, contains: Vec<Key>) -> Self {
        Self { bytes: Bytes::Inline(bytes), is_error, contains }
    }

    pub fn stored(extent: Extent, is_error: bool, contains: Vec<Key>) -> Self {
        Self { bytes: Bytes::Stored(extent), is_error, contains }
    }
}

pub struct Outcome {
    pub status: ReplyStatus,
    pub ran_ns: u64,
    pub values: Vec<Returned>,
}

impl Core {
    fn running(&self, call: CallView) -> RunningCall {
        let dependency = |dep: CallDep| {
            if dep.object == Key::NIL {
                Dep::Value(self.fetch_place(dep.place, dep.is_error, dep.contains))
            } else {
                Dep::Object { key: dep.object, value: self.fetch_place(dep.place, dep.is_error, dep.contains) }
            }
        };
        RunningCall {
            key: call.key,
            from: call.from,
            kind: call.kind,
            function: call.function,
            task: call.task,
            returns: call.returns,
            args: self.payloads.shared(call.args).unwrap_or_else(|| Arc::from(&[][..])),
            contains: call.contains,
            deps: call.deps.into_iter().map(dependency).collect(),
        }
    }
}

impl Process {
    /// The next call to run, claimed. `Idle` after looking for a few microseconds.
    pub fn try_next_call(&self) -> Next {
        let begun = std::time::Instant::now();
        loop {
            {
                let mut core = self.enter();
                self.drive(&mut core);
                let next = self.claim_next(&mut core);
                self.leave_core(core);
                if let Some(next) = next {
                    return next;
                }
            }
            if !self.spin_briefly(begun) {
                return Next::Idle;
            }
        }
    }

    fn claim_next(&self, core: &mut Core) -> Option<Next> {
        let now = Self::now();
        while let Some(call) = core.owner.take_call(now) {
            if core.links.try_take(call.from, call.claim) {
                self.running.store(call.key.0, Ordering::Release);
                return Some(Next::Call(Box::new(core.running(call))));
            }
            core.step(now, Input::ClaimLost { call: call.key });
        }
        (core.exit.is_some() || core.closed).then_some(Next::Exit)
    }

    /// Answers a call.
    pub fn finish(&self, call: Key, outcome: Outcome) {
        self.running.store(0, Ordering::Release);
        let mut core = self.enter();
        let mut values = SmallVec::new();
        for value in outcome.values {
            let place = match value.bytes {
                Bytes::Inline(bytes) => Place::Inline(core.payloads.insert(&bytes)),
                Bytes::Stored(extent) => Place::Arena(extent),
            };
            values.push(NewValue { place, is_error: value.is_error, contains: SmallVec::from_vec(value.contains) });
        }
        core.step(Self::now(), Input::Executed { call, status: outcome.status, ran_ns: outcome.ran_ns, values });
        self.leave_core(core);
    }

    pub fn definition_of(&self, from: Address, function: u32) -> Option<Arc<[u8]>> {
        let core = self.peek();
        let payload = core.owner.definition_of(from, function)?;
        core.payloads.shared(payload)
    }

    /// The actor ends by itself: the raylet is told, and what is queued here is answered.
    pub fn actor_ends(&self, cause: ActorDeath) {
        let mut core = self.enter();
        core.step(Self::now(), Input::ActorEnds { cause });
        self.leave_core(core);
    }
}
