//! Random walks over three processes that submit to, borrow from and outlive each other. After every step: no held reference
//! leads nowhere (OWN-1) and each machine's state adds up. At the end: nothing is left (OWN-2) and every task ended once (TASK-1).

mod world;

use iosdk_runtime_core::{CallView, Input, NewValue, ObjectState};
use iosdk_types::message::RayletToProcess;
use iosdk_types::message::peer::{CallKind, Place, ReplyStatus};
use iosdk_types::{ActorId, Key, TaskId};
use proptest::prelude::*;
use smallvec::SmallVec;
use world::{World, value};

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Put { at: usize, large: bool, inner: usize },
    Submit { at: usize, dep: usize, inner: usize, retries: i32 },
    Method { at: usize, actor: usize, dep: usize, inner: usize },
    CreateActor { at: usize },
    Deliver { from: usize, to: usize, frames: usize },
    Take { at: usize },
    Finish { at: usize, status: u8, inner: usize, large: bool },
    Open { at: usize, object: usize },
    Watch { at: usize, object: usize },
    Release { at: usize, object: usize },
    Cancel { at: usize, object: usize },
    Grant { to: usize, worker: usize },
    Reclaim { lease: usize },
    Pass { micros: u64 },
    Kill,
}

fn act() -> impl Strategy<Value = Act> {
    let (p, n) = (0..3usize, 0..6usize);
    prop_oneof![
        2 => (p.clone(), any::<bool>(), n.clone()).prop_map(|(at, large, inner)| Act::Put { at, large, inner }),
        4 => (p.clone(), n.clone(), n.clone(), -1..3i32)
            .prop_map(|(at, dep, inner, retries)| Act::Submit { at, dep, inner, retries }),
        2 => (p.clone(), n.clone(), n.clone(), n.clone())
            .prop_map(|(at, actor, dep, inner)| Act::Method { at, actor, dep, inner }),
        1 => p.clone().prop_map(|at| Act::CreateActor { at }),
        8 => (p.clone(), p.clone(), 1..8usize).prop_map(|(from, to, frames)| Act::Deliver { from, to, frames }),
        4 => p.clone().prop_map(|at| Act::Take { at }),
        4 => (p.clone(), 0..4u8, n.clone(), any::<bool>())
            .prop_map(|(at, status, inner, large)| Act::Finish { at, status, inner, large }),
        3 => (p.clone(), n.clone()).prop_map(|(at, object)| Act::Open { at, object }),
        2 => (p.clone(), n.clone()).prop_map(|(at, object)| Act::Watch { at, object }),
        4 => (p.clone(), n.clone()).prop_map(|(at, object)| Act::Release { at, object }),
        1 => (p.clone(), n.clone()).prop_map(|(at, object)| Act::Cancel { at, object }),
        3 => (p.clone(), p).prop_map(|(to, worker)| Act::Grant { to, worker }),
        1 => n.prop_map(|lease| Act::Reclaim { lease: lease % 3 }),
        2 => (1..20_000u64).prop_map(|micros| Act::Pass { micros }),
        1 => Just(Act::Kill),
    ]
}

struct Walk {
    w: World,
    /// Handles held by each process's "user".
    held: Vec<Vec<Key>>,
    actors: Vec<Vec<(Key, Key, ActorId)>>,
    /// The one process that hosts an actor does nothing else; its number, and the actor's.
    actor_at: Option<(usize, ActorId)>,
    owner_of_actor: Option<usize>,
    /// Number of the last method call that ran, by caller.
    order: std::collections::BTreeMap<u32, u64>,
    killed: bool,
}

impl Walk {
    fn new() -> Self {
        let none = || vec![Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        Self {
            w: World::new(4),
            held: none(),
            actors: vec![vec![]; 4],
            actor_at: None,
            owner_of_actor: None,
            order: std::collections::BTreeMap::new(),
            killed: false,
        }
    }

    fn pick(&self, at: usize, n: usize) -> Option<Key> {
        self.held[at].get(n).copied()
    }

    fn some(&self, at: usize, n: usize) -> Vec<Key> {
        self.pick(at, n).into_iter().collect()
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Put { at, .. }
            | Act::Submit { at, .. }
            | Act::Method { at, .. }
            | Act::CreateActor { at }
            | Act::Take { at }
            | Act::Finish { at, .. }
            | Act::Open { at, .. }
            | Act::Watch { at, .. }
            | Act::Release { at, .. }
            | Act::Cancel { at, .. }
                if !self.w.at[at].alive => {}
            Act::Put { at, large, inner } => {
                let inner = self.some(at, inner);
                let object = if large { self.w.put_large(at, &inner) } else { self.w.put(at, &inner) };
                self.held[at].push(object);
            }
            Act::Submit { at, dep, inner, retries } => self.submit(at, dep, inner, retries),
            Act::Method { at, actor, dep, inner } => self.method(at, actor, dep, inner),
            Act::CreateActor { at } => self.create_actor(at),
            Act::Deliver { from, to, frames } => {
                for _ in 0..frames {
                    self.w.deliver(from, to);
                    self.w.deliver(3, to);
                    self.w.deliver(from, 3);
                }
            }
            Act::Take { at } => {
                self.take(at);
                self.take(3);
            }
            Act::Finish { at, status, inner, large } => {
                self.finish(at, status, inner, large);
                self.finish(3, 0, inner, large);
            }
            Act::Open { at, object } => self.open(at, object),
            Act::Watch { at, object } => {
                if let Some(object) = self.pick(at, object) {
                    self.w.step(at, Input::Watch { object, waiter: 1 });
                }
            }
            Act::Release { at, object } => {
                if object < self.held[at].len() {
                    let object = self.held[at].swap_remove(object);
                    self.w.release(at, object);
                }
            }
            Act::Cancel { at, object } => {
                if let Some(object) = self.pick(at, object) {
                    self.w.step(at, Input::Cancel { object, force: false });
                }
            }
            Act::Grant { to, worker } => self.grant(to, worker),
            Act::Reclaim { lease } => {
                if let Some((&lease, &(owner, _))) = self.w.leases.iter().nth(lease) {
                    self.w.tell(owner, RayletToProcess::Reclaim { lease });
                }
            }
            Act::Pass { micros } => self.w.pass(micros * 1000),
            Act::Kill => self.kill(),
        }
        self.check();
    }

    fn submit(&mut self, at: usize, dep: usize, inner: usize, retries: i32) {
        let (dep, inner) = (self.some(at, dep), self.some(at, inner));
        let target = iosdk_runtime_core::Target::Task { class: self.w.at[at].class };
        let mut draft = self.w.draft(at, target, &dep, &inner);
        draft.retries = retries;
        let object = self.w.submit_draft(at, draft);
        self.held[at].push(object);
    }

    fn create_actor(&mut self, at: usize) {
        if self.actor_at.is_none() {
            let (actor, counting, id) = self.w.create_actor(at, 3);
            self.actor_at = Some((3, id));
            self.owner_of_actor = Some(at);
            self.actors[at].push((actor, counting, id));
        }
    }

    fn kill(&mut self) {
        if !self.killed {
            self.killed = true;
            self.held[2].clear();
            self.actors[2].clear();
            self.w.kill(2);
            self.end_actor_of_dead_owner();
        }
    }

    /// The actor dies with its owner, as the GCS sees to.
    fn end_actor_of_dead_owner(&mut self) {
        let Some((at, id)) = self.actor_at else { return };
        if self.owner_of_actor == Some(2) {
            self.w.kill(at);
            let cause = iosdk_types::message::ActorDeath::OwnerDied(world::deaths::death());
            for other in [0, 1] {
                self.w.tell(other, RayletToProcess::ActorDead { actor: id, cause: cause.clone() });
            }
        }
    }

    fn method(&mut self, at: usize, actor: usize, dep: usize, inner: usize) {
        let Some(&(actor, counting, _)) = self.actors[at].get(actor % 2) else { return };
        let (dep, mut inner) = (self.some(at, dep), self.some(at, inner));
        if inner.is_empty() {
            inner.push(counting);
        }
        let draft = self.w.draft(at, iosdk_runtime_core::Target::Method { actor }, &dep, &inner);
        let object = self.w.submit_draft(at, draft);
        self.held[at].push(object);
    }

    fn take(&mut self, at: usize) {
        if self.w.at[at].alive && self.w.at[at].running.len() < 2 {
            let before: Vec<TaskId> =
                self.w.at.iter().filter(|p| p.alive).flat_map(|p| &p.running).map(|call| call.task).collect();
            let Some(call) = self.w.take(at) else { return };
            assert!(!before.contains(&call.task), "it runs in two places");
            if call.kind == CallKind::Method {
                // Ids of one caller count up in the order of its calls.
                let number: [u8; 8] = call.task.0[..8].try_into().expect("eight bytes of 24");
                let number = u64::from_be_bytes(number);
                let last = self.order.insert(call.from.process, number);
                assert!(last.is_none_or(|last| last < number), "ACT-1: calls of one caller changed places");
            }
        }
    }

    fn finish(&mut self, at: usize, status: u8, inner: usize, large: bool) {
        if !self.w.at[at].alive || self.w.at[at].running.is_empty() {
            return;
        }
        let call = self.w.at[at].running[0].clone();
        // What the body did: kept some of what it was given, returns some of it.
        if let Some(&kept) = call.contains.first()
            && call.kind == CallKind::Task
        {
            self.w.step(at, Input::retain(kept));
            self.held[at].push(kept);
        }
        let status = match (status, call.kind) {
            (0 | 1, _) | (_, CallKind::CreateActor | CallKind::Terminate) => ReplyStatus::Ok,
            (2, _) => ReplyStatus::Error,
            _ => ReplyStatus::RetryableError,
        };
        let mut contains: SmallVec<[Key; 2]> = call.contains.clone();
        // Only what is older than the call, or holds nothing: values that hold each other are never freed, here as in Ray.
        let made = (inner % 2 == 1).then(|| self.w.put(at, &[]));
        contains.extend(made);
        self.reply(at, &call, status, contains, large);
        if let Some(made) = made {
            self.w.release(at, made);
        }
    }

    fn reply(&mut self, at: usize, call: &CallView, status: ReplyStatus, contains: SmallVec<[Key; 2]>, large: bool) {
        let mut values = Vec::new();
        for _ in 0..call.returns {
            let place = if large { self.w.stored(at) } else { self.w.inline(at) };
            values.push(NewValue { is_error: status != ReplyStatus::Ok, ..value(place, &contains) });
        }
        self.w.finish(at, call.key, status, values);
    }

    /// The user looks into a value: handles for all references in it.
    fn open(&mut self, at: usize, object: usize) {
        let Some(object) = self.pick(at, object) else { return };
        for inner in self.w.at[at].owner.contains(object).to_vec() {
            self.w.step(at, Input::retain(inner));
            self.held[at].push(inner);
        }
    }

    fn grant(&mut self, to: usize, worker: usize) {
        let free = self.w.leases.values().all(|(_, leased)| *leased != worker);
        let running = self.w.leases.values().filter(|(owner, _)| *owner == to).count();
        let wanted = self.w.demand(to) as usize > running;
        if to != worker && free && wanted && self.w.at[to].alive && self.w.at[worker].alive {
            self.w.grant(to, worker);
        }
    }

    /// OWN-1: what anybody holds is there, at its owner if that lives, and its bytes are where they are said to be.
    fn check(&self) {
        for (at, held) in self.held.iter().enumerate() {
            for key in held {
                let owner = &self.w.at[at].owner;
                let reference = owner.describe(*key).expect("a held object is known");
                let home = &self.w.at[reference.owner.process as usize];
                if home.alive {
                    let there = home.owner.describe(Key(reference.key)).map(|reference| reference.object);
                    assert_eq!(there, Some(reference.object), "held by {at}, freed by its owner");
                }
                match owner.state(*key) {
                    ObjectState::Ready { place: Place::Inline(payload), .. } => {
                        assert!(self.w.at[at].payloads.contains_key(&payload.0), "held by {at}, bytes dropped");
                    }
                    ObjectState::Ready { place: Place::Arena(extent), .. } => {
                        let bytes = (extent.holder.process as usize, extent.offset);
                        assert!(self.w.arena.contains_key(&bytes), "held by {at}, bytes freed");
                    }
                    ObjectState::Pending => {}
                    ObjectState::Unknown => panic!("held by {at} and unknown"),
                }
            }
        }
    }

    /// Everything runs to its end and everybody lets go: then nothing is left.
    fn end(mut self) {
        for round in 0.. {
            assert!(round < 2_000, "it does not come to rest");
            self.w.settle();
            let mut busy = false;
            for at in 0..4 {
                if !self.w.at[at].alive {
                    continue;
                }
                self.take(at);
                while let Some(call) = self.w.at[at].running.first().cloned() {
                    busy = true;
                    self.reply(at, &call, ReplyStatus::Ok, SmallVec::new(), false);
                }
            }
            let leases: Vec<u64> = self.w.leases.keys().copied().collect();
            for lease in leases {
                if let Some(&(owner, _)) = self.w.leases.get(&lease) {
                    self.w.tell(owner, RayletToProcess::Reclaim { lease });
                }
            }
            for to in 0..3 {
                for worker in 0..3 {
                    self.grant(to, (to + worker) % 3);
                }
            }
            self.check();
            let queued = (0..3).any(|at| self.w.at[at].alive && self.w.at[at].owner.live_tasks() > 0);
            if !busy && !queued {
                break;
            }
            self.w.pass(1_000_000);
        }
        for at in 0..3 {
            for object in std::mem::take(&mut self.held[at]) {
                self.w.release(at, object);
            }
            for (_, counting, _) in std::mem::take(&mut self.actors[at]) {
                self.w.release(at, counting);
            }
        }
        self.w.settle();
        while self.w.at[3].alive && self.w.run_one(3).is_some() {}
        for at in 0..3 {
            let (submitted, ended) = self.w.at[at].owner.task_counts();
            assert!(!self.w.at[at].alive || submitted == ended, "{submitted} tasks submitted, {ended} ended");
        }
        self.w.assert_empty();
    }
}

fn walk(acts: Vec<Act>, bug: Option<Planted>) {
    let mut walk = Walk::new();
    plant(&mut walk.w, bug);
    for act in acts {
        walk.act(act);
    }
    walk.end();
}

#[cfg(not(feature = "planted"))]
type Planted = std::convert::Infallible;
#[cfg(feature = "planted")]
type Planted = iosdk_runtime_core::planted::Bug;

#[cfg(not(feature = "planted"))]
fn plant(_: &mut World, _: Option<Planted>) {}

#[cfg(feature = "planted")]
fn plant(world: &mut World, bug: Option<Planted>) {
    for process in &mut world.at {
        bug.into_iter().for_each(|bug| process.owner.plant(bug));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_held_is_freed_and_nothing_else_is_kept(acts in prop::collection::vec(act(), 1..250)) {
        walk(acts, None);
    }
}

/// The walks are worth something only if they notice.
#[cfg(feature = "planted")]
#[test]
fn every_planted_bug_is_noticed() {
    use iosdk_runtime_core::planted::Bug;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    // That one takes three lanes in one certain order; `borrowing.rs` has it as a story.
    let by_walk = |bug: &Bug| *bug != Bug::DropLoanOnForward;
    let mut missed = Vec::new();
    for bug in [None].into_iter().chain(Bug::ALL.iter().copied().filter(by_walk).map(Some)) {
        let quiet = bug.is_some();
        std::panic::set_hook(Box::new(move |info| {
            if !quiet {
                eprintln!("{info}")
            }
        }));
        let mut runner = TestRunner::deterministic();
        let strategy = prop::collection::vec(act(), 1..250);
        let caught = (0..400).find(|_| {
            let acts = strategy.new_tree(&mut runner).expect("acts have no filter").current();
            std::panic::catch_unwind(|| walk(acts, bug)).is_err()
        });
        match caught {
            Some(walk) => {
                println!("{bug:?}: walk {walk}");
                assert!(bug.is_some(), "walk {walk} fails without a bug");
            }
            None => missed.extend(bug),
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
