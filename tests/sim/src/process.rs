//! One driver or worker: the real owner machine, what the world keeps around it, and the user code that runs in it.

use crate::body::Body;
use crate::memory::Payloads;
use crate::schedule::Fifo;
use iosdk_runtime_core::Owner;
use iosdk_types::message::peer::Claim;
use iosdk_types::{ActorId, Address, JobId, Key, Map, Set, Time};

/// A reference that user code holds: one handle of the machine's.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub object: Key,
}

/// A handle of an actor: the machine's key for it and the counting reference that this handle is.
#[derive(Clone, Copy, Debug)]
pub struct HeldActor {
    pub actor: Key,
    pub id: ActorId,
    pub counting: Key,
}

/// What an actor keeps between its calls.
#[derive(Debug)]
pub struct Instance {
    pub id: ActorId,
    pub held: Vec<Held>,
    pub actors: Vec<HeldActor>,
}

/// What runs in a driver.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The submitted job whose entrypoint it is.
    pub submission: Option<u64>,
}

pub struct Process {
    pub address: Address,
    pub pid: i32,
    /// `None` for workers.
    pub program: Option<Program>,
    pub owner: Owner,
    pub payloads: Payloads,
    /// Its job is known: user code may run.
    pub welcomed: bool,
    pub to_raylet: Fifo,
    pub from_raylet: Fifo,
    pub attached: Set<Address>,
    /// Claim words of the calls it pushed and has no answer to.
    pub in_flight: Map<(Address, Key), Claim>,
    pub function: Key,
    pub body: Option<Body>,
    pub instance: Option<Instance>,
    /// Turns of user code: an event of an older turn is void.
    pub turn: u64,
    pub next_waiter: u32,
    /// Waiters that were told and have not looked yet.
    pub ready: Set<u32>,
    pub next_request: u64,
    pub blocked_since: Option<Time>,
    pub pins: Map<u64, u32>,
    /// Body times are multiplied by this.
    pub slowness: u64,
    pub tick_at: Option<Time>,
    /// The machine or its raylet asked it to end.
    pub ending: bool,
    /// A lane that it writes was found damaged.
    pub poisoned: bool,
}

impl Process {
    pub fn new(address: Address, pid: i32, program: Option<Program>) -> Self {
        Self {
            address,
            pid,
            program,
            owner: Owner::new(address, JobId::NIL),
            payloads: Payloads::default(),
            welcomed: false,
            to_raylet: Fifo::default(),
            from_raylet: Fifo::default(),
            attached: Set::new(),
            in_flight: Map::new(),
            function: Key::NIL,
            body: None,
            instance: None,
            turn: 0,
            next_waiter: 0,
            ready: Set::new(),
            next_request: 0,
            blocked_since: None,
            pins: Map::new(),
            slowness: 1,
            tick_at: None,
            ending: false,
            poisoned: false,
        }
    }

    pub fn is_driver(&self) -> bool {
        self.program.is_some()
    }

    pub fn pin(&mut self, offset: u64) {
        *self.pins.entry(offset).or_default() += 1;
    }

    pub fn unpin(&mut self, offset: u64) {
        if let Some(count) = self.pins.get_mut(&offset) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&offset);
            }
        }
    }
}
