//! What the owner lock guards: the machine, its payloads, the links to peers, and who waits. The lock is a leaf: under it no
//! other lock but the heap's, no interpreter, and no system call but a wake.

use crate::link::Links;
use crate::payload::Payloads;
use crate::wait::Waiters;
use iosdk_net::HistoryWriter;
use iosdk_runtime_core::{Effect, Input, Owner};
use iosdk_store::Store;
use iosdk_types::message::peer::Payload;
use iosdk_types::message::{Answer, ProcessToRaylet, StoreReport};
use iosdk_types::{ActorId, Key, Machine, Map, ResourceSet, Set, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the machine asked for that must happen outside the lock.
pub(crate) enum After {
    Interrupt { call: Key, force: bool },
}

/// What the machine is to be told next.
#[allow(clippy::large_enum_variant)] // Few exist at a time, and a box would cost an allocation for each step.
pub(crate) enum FollowUp {
    Step(Input),
    Tick,
    Fail { object: Key, payload: Payload },
}

pub(crate) enum Reply {
    Pending,
    Extent { offset: u64, bytes: u64 },
    Refused(StoreReport),
    Answer(Answer),
}

pub(crate) struct Core {
    pub(crate) owner: Owner,
    effects: Vec<Effect>,
    follow_ups: VecDeque<FollowUp>,
    stepping: bool,
    pub(crate) payloads: Payloads,
    pub(crate) links: Links,
    pub(crate) outbox: Vec<ProcessToRaylet>,
    pub(crate) waiters: Waiters,
    pub(crate) after: Vec<After>,
    pub(crate) replies: Map<u64, Reply>,
    pub(crate) next_request: u64,
    /// Set once the control socket is gone or the process left.
    pub(crate) closed: bool,
    /// Why this process should end.
    pub(crate) exit: Option<String>,
    /// Answers to the local API, taken by whoever stepped.
    pub(crate) submitted: Option<(Key, Key)>,
    pub(crate) opened: Option<Key>,
    pub(crate) actor_opened: Option<Key>,
    /// Bytes of a message while it is read.
    pub(crate) scratch: Vec<u8>,
    /// Rows of the pin table that count no more.
    pub(crate) dead: Set<u32>,
    pub(crate) store: Arc<Store>,
    /// Until then no freed extent is kept: somebody waits for room.
    pub(crate) keep_none_until: Time,
    /// Names of definitions and class names of actors, for errors.
    pub(crate) names: Map<u64, String>,
    pub(crate) actor_names: Map<ActorId, String>,
    /// Where a history is kept.
    pub(crate) history: Option<HistoryWriter>,
    pub(crate) resource_classes: Vec<ResourceSet>,
    /// Class keys of the machine by (resource class, depth).
    pub(crate) classes: Map<(u32, u32), Key>,
    /// Stamps by object index, for finding duplicates without a set.
    pub(crate) stamps: Vec<u32>,
    pub(crate) stamp: u32,
}

impl Core {
    pub(crate) fn new(owner: Owner, links: Links, store: Arc<Store>) -> Self {
        Self {
            owner,
            effects: Vec::new(),
            follow_ups: VecDeque::new(),
            stepping: false,
            payloads: Payloads::default(),
            links,
            outbox: Vec::new(),
            waiters: Waiters::default(),
            after: Vec::new(),
            replies: Map::new(),
            next_request: 0,
            closed: false,
            exit: None,
            submitted: None,
            opened: None,
            actor_opened: None,
            scratch: Vec::new(),
            dead: Set::new(),
            store,
            keep_none_until: Time(0),
            names: Map::new(),
            actor_names: Map::new(),
            history: None,
            resource_classes: Vec::new(),
            classes: Map::new(),
            stamps: Vec::new(),
            stamp: 0,
        }
    }

    /// Something is outstanding that the event thread must look after when nobody else does.
    pub(crate) fn is_active(&self) -> bool {
        self.owner.in_flight() > 0 || self.links.has_backlog() || self.owner.deadline().is_some()
    }

    pub(crate) fn answer(&mut self, request: u64, reply: Reply) {
        // A request that was given up is not waited for any more; an extent that came too late goes back.
        match self.replies.get_mut(&request) {
            Some(pending) => *pending = reply,
            None => {
                if let Reply::Extent { offset, .. } = reply {
                    self.outbox.push(ProcessToRaylet::ExtentReturn { offset });
                }
            }
        }
    }

    pub(crate) fn step(&mut self, now: Time, input: Input) {
        self.follow_up(now, FollowUp::Step(input));
    }

    pub(crate) fn tick(&mut self, now: Time) {
        if self.owner.deadline().is_some_and(|deadline| deadline <= now) {
            self.follow_up(now, FollowUp::Tick);
        }
    }

    /// Performing an effect may step the machine again (a retraction that was lost, an error that was made). That step waits
    /// until everything the one before asked for is done, so that messages to a peer keep their order.
    pub(crate) fn follow_up(&mut self, now: Time, next: FollowUp) {
        if std::mem::replace(&mut self.stepping, true) {
            self.follow_ups.push_back(next);
            return;
        }
        let mut turn = Some(next);
        while let Some(next) = turn {
            let mut effects = std::mem::take(&mut self.effects);
            match next {
                FollowUp::Step(input) => self.owner.step(now, input, &mut effects),
                FollowUp::Tick => self.owner.tick(now, &mut effects),
                FollowUp::Fail { object, payload } => self.owner.resolve_error(now, object, payload, &mut effects),
            }
            for effect in effects.drain(..) {
                self.perform(now, effect);
            }
            self.effects = effects;
            self.waiters.arrived(self.owner.resolved());
            turn = self.follow_ups.pop_front();
        }
        self.stepping = false;
    }

    pub(crate) fn name_of(&self, function: Key) -> String {
        self.names.get(&function.0).cloned().unwrap_or_else(|| "an unknown function".to_owned())
    }
}
