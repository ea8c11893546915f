//! Some processes in memory: lanes that deliver when told to, claim words, payload tables and an arena that notice misuse, and
//! just enough of a raylet. Every step is followed by the machine's own check.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

mod acts;
pub mod deaths;

use iosdk_runtime_core::{CallView, Effect, Input, LocalError, NewValue, ObjectState, Owner};
use iosdk_types::message::peer::{Claim, Payload, PeerMessage, Place, WireValue};
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};
use iosdk_types::{Address, Extent, JobId, Key, Machine, ResourceSet, TaskRecord, Time, spec::ClassSpec};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Ready,
    Taken,
    Retracted,
}

pub struct Process {
    pub owner: Owner,
    pub alive: bool,
    /// Live payloads and what is behind them.
    pub payloads: BTreeMap<u32, u64>,
    next_payload: u32,
    pub class: Key,
    pub function: Key,
    pub definitions: BTreeSet<u32>,
    pub running: Vec<CallView>,
    pub ready: Vec<(Key, u32)>,
    pub opened: Vec<Key>,
    pub submitted: Vec<(Key, Key)>,
    pub actors: Vec<Key>,
    pub errors: Vec<LocalError>,
    pub records: Vec<TaskRecord>,
    pub said: Vec<ProcessToRaylet>,
    pub interrupts: Vec<(Key, bool)>,
    pub exits: usize,
    pub attached: BTreeSet<usize>,
    /// Task to claim word, while in flight.
    slots: BTreeMap<Key, u32>,
}

pub struct World {
    pub now: Time,
    pub at: Vec<Process>,
    pub lanes: BTreeMap<(usize, usize), VecDeque<PeerMessage>>,
    pub words: Vec<Word>,
    /// Live allocations: holder and offset, and who owns the object there.
    pub arena: BTreeMap<(usize, u64), usize>,
    next_offset: u64,
    next_lease: u64,
    /// Content number of the next inline value.
    next_content: u64,
    pub leases: BTreeMap<u64, (usize, usize)>,
    pub pushes: usize,
    /// What every call is said to have taken.
    pub runs_for_ns: u64,
}

pub fn address(process: usize) -> Address {
    Address { node: 0, epoch: 1, process: process as u32 }
}

fn index(address: Address) -> usize {
    address.process as usize
}

fn payloads(message: &mut PeerMessage, f: &mut dyn FnMut(&mut Payload)) {
    fn of_value(value: &mut WireValue, f: &mut dyn FnMut(&mut Payload)) {
        if let Place::Inline(payload) = &mut value.place {
            f(payload);
        }
    }
    match message {
        PeerMessage::Define { payload, .. } => f(payload),
        PeerMessage::Call(call) => {
            f(&mut call.args);
            call.deps.iter_mut().for_each(|dep| of_value(&mut dep.value, f));
        }
        PeerMessage::Reply(reply) => reply.returns.iter_mut().for_each(|value| of_value(value, f)),
        PeerMessage::Value { value: Some(value), .. } => of_value(value, f),
        _ => {}
    }
}

impl World {
    pub fn new(processes: usize) -> Self {
        let at = (0..processes)
            .map(|process| {
                let mut owner = Owner::new(address(process), JobId::from_index(1));
                owner.keep_history();
                let class = owner.class(ClassSpec { resources: ResourceSet::new(), depth: 0 });
                let function = owner.define(Payload(0));
                Process {
                    owner,
                    alive: true,
                    payloads: BTreeMap::from([(0, 0)]),
                    next_payload: 1,
                    class,
                    function,
                    definitions: BTreeSet::from([0]),
                    running: Vec::new(),
                    ready: Vec::new(),
                    opened: Vec::new(),
                    submitted: Vec::new(),
                    actors: Vec::new(),
                    errors: Vec::new(),
                    records: Vec::new(),
                    said: Vec::new(),
                    interrupts: Vec::new(),
                    exits: 0,
                    attached: BTreeSet::new(),
                    slots: BTreeMap::new(),
                }
            })
            .collect();
        Self {
            now: Time(1_000),
            at,
            lanes: BTreeMap::new(),
            words: Vec::new(),
            arena: BTreeMap::new(),
            next_offset: 0,
            next_lease: 0,
            next_content: 1,
            leases: BTreeMap::new(),
            pushes: 0,
            runs_for_ns: 10_000,
        }
    }

    pub fn payload(&mut self, process: usize, content: u64) -> Payload {
        let p = &mut self.at[process];
        let handle = p.next_payload;
        p.next_payload += 1;
        p.payloads.insert(handle, content);
        Payload(handle)
    }

    pub fn inline(&mut self, process: usize) -> Place {
        self.next_content += 1;
        let content = self.next_content;
        Place::Inline(self.payload(process, content))
    }

    pub fn stored(&mut self, process: usize) -> Place {
        self.next_offset += 1 << 20;
        self.arena.insert((process, self.next_offset), process);
        Place::Arena(Extent {
            segment: 0,
            generation: 1,
            offset: self.next_offset,
            len: 100_000,
            holder: address(process),
        })
    }

    pub fn step(&mut self, process: usize, input: Input) {
        let mut effects = Vec::new();
        let now = self.now;
        self.at[process].owner.step(now, input, &mut effects);
        self.perform(process, effects);
    }

    pub fn tell(&mut self, process: usize, message: RayletToProcess) {
        self.step(process, Input::FromRaylet(message));
    }

    /// Lets time pass for everybody.
    pub fn pass(&mut self, nanos: u64) {
        self.now = Time(self.now.0 + nanos);
        for process in 0..self.at.len() {
            let due = self.at[process].owner.deadline().is_some_and(|due| due <= self.now);
            if self.at[process].alive && due {
                let mut effects = Vec::new();
                self.at[process].owner.tick(self.now, &mut effects);
                self.perform(process, effects);
            }
        }
    }

    fn perform(&mut self, process: usize, effects: Vec<Effect>) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            self.perform_one(process, effect, &mut queue);
        }
        if let Err(why) = self.at[process].owner.check() {
            panic!("process {process}: {why}");
        }
    }

    fn perform_one(&mut self, process: usize, effect: Effect, queue: &mut VecDeque<Effect>) {
        let mut more = Vec::new();
        let now = self.now;
        let me = &mut self.at[process];
        match effect {
            Effect::Submitted { task, first } => me.submitted.push((task, first)),
            Effect::Opened { object } => me.opened.push(object),
            Effect::ActorOpened { actor } => me.actors.push(actor),
            Effect::Ready { object, waiter } => me.ready.push((object, waiter)),
            Effect::PushCall { to, task } => self.push(process, index(to), task),
            Effect::Send { to, message } => self.send(process, index(to), message),
            Effect::Retract { task, peer: _ } => {
                let word = &mut self.words[me.slots[&task] as usize];
                let won = *word == Word::Ready;
                if won {
                    *word = Word::Retracted;
                }
                me.owner.step(now, Input::Retracted { task, won }, &mut more);
            }
            Effect::JudgeClaims { peer } => {
                let words = &self.words;
                let never = me.slots.iter().filter(|(_, slot)| words[**slot as usize] == Word::Ready);
                let never_started = never.map(|(task, _)| task.0).collect();
                me.owner.step(now, Input::Judged { peer, never_started }, &mut more);
            }
            Effect::FreeClaim { task, peer: _ } => {
                assert!(me.slots.remove(&task).is_some(), "a claim was freed twice");
            }
            Effect::ToRaylet(message) => self.said(process, message),
            Effect::Detach { peer } => {
                me.attached.remove(&index(peer));
            }
            Effect::CallsReady => {}
            Effect::AttemptEnded { function, record } => {
                assert_eq!(record.name as usize, function.index());
                me.records.push(record);
            }
            Effect::Interrupt { call, force } => me.interrupts.push((call, force)),
            Effect::Exit { .. } => me.exits += 1,
            Effect::DropPayload(payload) => {
                assert!(me.payloads.remove(&payload.0).is_some(), "{process} dropped {payload:?} twice");
            }
            Effect::MakeError { objects, error } => {
                if let LocalError::DependencyFailed { dependency, .. } = &error {
                    assert!(matches!(me.owner.state(*dependency), ObjectState::Ready { is_error: true, .. }));
                }
                me.errors.push(error);
                for object in objects {
                    let payload = self.payload(process, 0);
                    self.at[process].owner.resolve_error(now, object, payload, &mut more);
                }
            }
            Effect::FreeLocal(extent) => {
                assert_eq!(index(extent.holder), process);
                assert!(self.arena.remove(&(process, extent.offset)).is_some(), "freed twice: {extent:?}");
            }
            Effect::FreeOrphan(extent) => {
                assert!(!self.at[index(extent.holder)].alive);
                assert!(self.arena.remove(&(index(extent.holder), extent.offset)).is_some(), "freed twice: {extent:?}");
            }
        }
        queue.extend(more);
    }

    fn push(&mut self, from: usize, to: usize, task: Key) {
        let slot = self.words.len() as u32;
        self.words.push(Word::Ready);
        self.pushes += 1;
        assert!(self.at[from].slots.insert(task, slot).is_none(), "pushed twice");
        let call = self.at[from].owner.wire_call(task, Claim { slot, generation: 0 }).expect("pushed tasks are known");
        self.send(from, to, PeerMessage::Call(call));
    }

    fn send(&mut self, from: usize, to: usize, mut message: PeerMessage) {
        assert!(self.at[from].attached.contains(&to), "{from} sent to {to} before it was attached");
        let table = &self.at[from].payloads;
        payloads(&mut message, &mut |payload| {
            if payload.0 != u32::MAX {
                *payload = Payload(*table.get(&payload.0).expect("bytes were dropped before they were sent") as u32);
            }
        });
        // Returns belong to the caller from here on.
        if let PeerMessage::Reply(reply) = &message {
            for value in &reply.returns {
                if let Place::Arena(extent) = value.place {
                    self.arena.insert((from, extent.offset), to);
                }
            }
        }
        if self.at[to].alive {
            self.lanes.entry((from, to)).or_default().push_back(message);
        }
    }

    /// Delivers one frame; false when the lane is empty.
    pub fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(mut message) = self.lanes.entry((from, to)).or_default().pop_front() else { return false };
        let mut made = Vec::new();
        payloads(&mut message, &mut |payload| {
            made.push(u64::from(payload.0));
            *payload = Payload(self.at[to].next_payload + made.len() as u32 - 1);
        });
        for content in made {
            self.payload(to, content);
        }
        if let PeerMessage::Define { payload, .. } = &message {
            self.at[to].definitions.insert(payload.0);
        }
        self.step(to, Input::FromPeer { from: address(from), message });
        true
    }

    /// Delivers until every lane is empty.
    pub fn settle(&mut self) {
        loop {
            let lanes: Vec<(usize, usize)> = self.lanes.keys().copied().collect();
            let mut moved = false;
            for (from, to) in lanes {
                while self.at[to].alive && self.deliver(from, to) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }
}

pub fn value(place: Place, contains: &[Key]) -> NewValue {
    NewValue { place, is_error: false, contains: SmallVec::from_slice(contains) }
}
