//! What is going to happen, in order of time and, at one moment, in the order in which it was arranged.

use crate::memory::Content;
use crate::submitter::Act;
use crate::supervisors::Moment;
use iosdk_types::message::peer::PeerMessage;
use iosdk_types::message::{GcsToRaylet, ProcessToRaylet, RayletToGcs, RayletToProcess};
use iosdk_types::{Address, Span, Time};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Clone, Debug)]
pub enum Event {
    /// Over the socket between a process and its raylet.
    ToRaylet {
        from: Address,
        message: ProcessToRaylet,
    },
    ToProcess {
        to: Address,
        message: RayletToProcess,
    },
    /// Something that the node's shell tells its raylet.
    Raylet {
        node: u32,
        epoch: u32,
        input: Box<iosdk_raylet_core::Input>,
    },
    /// Over the link between raylet and GCS; lost when the link was cut since.
    ToGcs {
        node: u32,
        link: u32,
        message: RayletToGcs,
    },
    FromGcs {
        node: u32,
        link: u32,
        message: GcsToRaylet,
    },
    GcsLinkUp {
        node: u32,
    },
    GcsTick,
    /// The records asked for up to here are durable.
    LogDurable {
        life: u32,
        upto: u64,
    },
    DriverArrives {
        node: u32,
        /// The submitted job whose entrypoint it is.
        submission: Option<u64>,
    },
    /// A daemon that was killed is started again.
    DaemonBack {
        node: u32,
    },
    Supervisor {
        node: u32,
        number: u64,
        moment: Moment,
    },
    Submitter(Act),
    /// The GCS gives a node up.
    NodeGivenUp {
        node: u32,
    },
    /// A message in the lane has become visible: the consumer may take what is there.
    Lane {
        from: Address,
        to: Address,
    },
    /// A machine's deadline.
    OwnerTick {
        process: Address,
    },
    RayletTick {
        node: u32,
    },
    StatusTick {
        node: u32,
    },
    PinsTick {
        node: u32,
        epoch: u32,
        offset: u64,
        bytes: u64,
    },
    /// User code goes on.
    Run {
        process: Address,
        turn: u64,
    },
    /// A process that was asked to end is killed when it has not.
    Killed {
        process: Address,
        how: How,
    },
    Fault(Fault),
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The cluster kills it.
    Intended,
    /// Trouble: somebody else does.
    Trouble,
    /// It leaves by itself.
    Leaves,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    WorkerKilled,
    DriverKilled,
    NodeLost,
    GcsCut,
    ForksFail,
    SlowWorker,
    LaneStalled,
    LanePoisoned,
    LateView,
    GcsRestarted,
    DaemonKilled,
    SupervisorKilled,
}

/// A message in a lane with copies of the contents behind its payload handles, in the order in which they occur.
#[derive(Clone, Debug)]
pub struct Frame {
    pub visible: Time,
    pub message: PeerMessage,
    pub contents: Vec<Content>,
}

struct Entry {
    at: Time,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    /// Turned round: the heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

#[derive(Default)]
pub struct Schedule {
    heap: BinaryHeap<Entry>,
    number: u64,
}

impl Schedule {
    pub fn at(&mut self, at: Time, event: Event) {
        self.number += 1;
        self.heap.push(Entry { at, number: self.number, event });
    }

    pub fn pop(&mut self) -> Option<(Time, Event)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    pub fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

/// One direction of a stream: what is sent later arrives later, whatever the delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fifo {
    last: Time,
}

impl Fifo {
    pub fn arrival(&mut self, now: Time, delay: Span) -> Time {
        self.last = (now + delay).max(self.last);
        self.last
    }

    /// Nothing arrives before then.
    pub fn stall(&mut self, until: Time) {
        self.last = self.last.max(until);
    }
}
