//! What tests do to processes, in a few words each.

use super::{Word, World, address, index};
use iosdk_runtime_core::{CallView, Draft, Input, NewValue, ObjectState, Target};
use iosdk_types::message::peer::{CallKind, ReplyStatus};
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};
use iosdk_types::spec::ActorSpec;
use iosdk_types::{ActorId, Key, ResourceSet};
use smallvec::{SmallVec, smallvec};

impl World {
    pub(super) fn said(&mut self, process: usize, message: ProcessToRaylet) {
        match &message {
            ProcessToRaylet::Connect { peer } => {
                let peer = index(*peer);
                if self.at[peer].alive {
                    self.attach(process, peer);
                } else {
                    let message = RayletToProcess::NoSuchPeer { peer: address(peer), death: None };
                    self.tell(process, message);
                }
            }
            ProcessToRaylet::ReturnLease { lease, .. } => {
                self.leases.remove(lease);
            }
            _ => {}
        }
        self.at[process].said.push(message);
    }

    fn attach(&mut self, a: usize, b: usize) {
        self.at[a].attached.insert(b);
        self.at[b].attached.insert(a);
        for (one, other) in [(a, b), (b, a)] {
            let message = RayletToProcess::Attach { peer: address(other), pid: 1, lane_in: 0, lane_out: 0 };
            self.tell(one, message);
        }
    }

    /// The raylet leases `worker` to `owner`.
    pub fn grant(&mut self, owner: usize, worker: usize) -> u64 {
        self.next_lease += 1;
        let lease = self.next_lease;
        self.leases.insert(lease, (owner, worker));
        self.tell(owner, RayletToProcess::Granted { class: 0, lease, worker: address(worker) });
        lease
    }

    /// Its demand as last told.
    pub fn demand(&self, process: usize) -> u32 {
        let said = self.at[process].said.iter().rev();
        said.filter_map(|message| match message {
            ProcessToRaylet::Demand { want, .. } => Some(*want),
            _ => None,
        })
        .next()
        .unwrap_or(0)
    }

    pub fn put(&mut self, process: usize, contains: &[Key]) -> Key {
        let place = self.inline(process);
        self.step(process, Input::Put(super::value(place, contains)));
        self.at[process].opened.pop().unwrap()
    }

    pub fn put_large(&mut self, process: usize, contains: &[Key]) -> Key {
        let place = self.stored(process);
        self.step(process, Input::Put(super::value(place, contains)));
        self.at[process].opened.pop().unwrap()
    }

    pub fn draft(&mut self, process: usize, target: Target, deps: &[Key], contains: &[Key]) -> Draft {
        Draft {
            target,
            function: self.at[process].function,
            args: self.payload(process, 7),
            deps: SmallVec::from_slice(deps),
            contains: SmallVec::from_slice(contains),
            returns: 1,
            retries: 0,
        }
    }

    pub fn submit_draft(&mut self, process: usize, draft: Draft) -> Key {
        self.step(process, Input::Submit(draft));
        self.at[process].submitted.pop().unwrap().1
    }

    /// A task; returns its first return.
    pub fn submit(&mut self, process: usize, deps: &[Key], contains: &[Key]) -> Key {
        let target = Target::Task { class: self.at[process].class };
        let draft = self.draft(process, target, deps, contains);
        self.submit_draft(process, draft)
    }

    pub fn submit_retried(&mut self, process: usize, retries: i32) -> Key {
        let target = Target::Task { class: self.at[process].class };
        let draft = Draft { retries, ..self.draft(process, target, &[], &[]) };
        self.submit_draft(process, draft)
    }

    pub fn release(&mut self, process: usize, object: Key) {
        self.step(process, Input::release(object));
    }

    pub fn release_all(&mut self, process: usize, objects: &[Key]) {
        for &object in objects {
            self.release(process, object);
        }
    }

    /// Takes the next call and wins or loses its claim.
    pub fn take(&mut self, process: usize) -> Option<CallView> {
        loop {
            let now = self.now;
            let call = self.at[process].owner.take_call(now)?;
            let word = &mut self.words[call.claim.slot as usize];
            if *word == Word::Ready {
                *word = Word::Taken;
                self.at[process].running.push(call.clone());
                return Some(call);
            }
            self.step(process, Input::ClaimLost { call: call.key });
        }
    }

    pub fn finish(&mut self, process: usize, call: Key, status: ReplyStatus, values: Vec<NewValue>) {
        self.at[process].running.retain(|running| running.key != call);
        let values = SmallVec::from_vec(values);
        let ran_ns = self.runs_for_ns;
        self.step(process, Input::Executed { call, status, ran_ns, values });
    }

    /// Delivers everything, then runs the next call of `process` to an inline value.
    pub fn run_one(&mut self, process: usize) -> Option<CallView> {
        self.settle();
        let call = self.take(process)?;
        self.answer(process, &call);
        self.settle();
        Some(call)
    }

    pub fn answer(&mut self, process: usize, call: &CallView) {
        let values = if call.kind == CallKind::Terminate {
            vec![]
        } else {
            (0..call.returns).map(|_| super::value(self.inline(process), &[])).collect()
        };
        self.finish(process, call.key, ReplyStatus::Ok, values);
    }

    pub fn answer_error(&mut self, process: usize, call: Key, status: ReplyStatus) {
        let error = NewValue { place: self.inline(process), is_error: true, contains: smallvec![] };
        self.finish(process, call, status, vec![error]);
    }

    pub fn is_ready(&self, process: usize, object: Key) -> bool {
        matches!(self.at[process].owner.state(object), ObjectState::Ready { is_error: false, .. })
    }

    pub fn is_error(&self, process: usize, object: Key) -> bool {
        matches!(self.at[process].owner.state(object), ObjectState::Ready { is_error: true, .. })
    }

    /// `get`: watches until it is there; everything is delivered on the way.
    pub fn get(&mut self, process: usize, object: Key) {
        self.step(process, Input::Watch { object, waiter: 9 });
        self.settle();
        assert!(self.at[process].ready.contains(&(object, 9)), "{object:?} did not become ready");
    }

    /// An actor of `owner` with its process leased; returns its key, its counting object and its id.
    pub fn create_actor(&mut self, owner: usize, process: usize) -> (Key, Key, ActorId) {
        let (actor, counting, id) = self.ask_for_actor(owner);
        self.tell(owner, RayletToProcess::ActorAlive { actor: id, address: address(process) });
        (actor, counting, id)
    }

    /// The same, with no process yet.
    pub fn ask_for_actor(&mut self, owner: usize) -> (Key, Key, ActorId) {
        self.ask_for_actor_with(owner, &[])
    }

    pub fn ask_for_actor_with(&mut self, owner: usize, deps: &[Key]) -> (Key, Key, ActorId) {
        let id = self.at[owner].owner.next_actor_id();
        let spec = ActorSpec {
            actor: id,
            owner: address(owner),
            submission: None,
            class_name: "A".to_owned(),
            placement: ResourceSet::new(),
            held: ResourceSet::new(),
        };
        let draft = self.draft(owner, Target::Method { actor: Key::NIL }, deps, &[]);
        self.step(owner, Input::CreateActor { spec, draft });
        let actor = self.at[owner].actors.pop().unwrap();
        let counting = self.at[owner].submitted.pop().unwrap().1;
        (actor, counting, id)
    }

    pub fn method(&mut self, process: usize, actor: Key, deps: &[Key]) -> Key {
        let draft = self.draft(process, Target::Method { actor }, deps, &[]);
        self.submit_draft(process, draft)
    }

    /// Nothing is left anywhere: objects, tasks, calls, loans, payloads but the definitions, allocations.
    pub fn assert_empty(&self) {
        for (index, process) in self.at.iter().enumerate().filter(|(_, process)| process.alive) {
            assert!(
                process.owner.idle(),
                "process {index} has {} objects, {} tasks, {} calls, {} in flight",
                process.owner.live_objects(),
                process.owner.live_tasks(),
                process.owner.live_calls(),
                process.owner.in_flight()
            );
            let left: Vec<&u32> = process.payloads.keys().filter(|key| !process.definitions.contains(key)).collect();
            assert!(left.is_empty(), "process {index} kept payloads {left:?}");
        }
        let left: Vec<_> = self.arena.keys().filter(|(holder, _)| self.at[*holder].alive).collect();
        assert!(left.is_empty(), "left in the arena: {left:?}");
    }
}
