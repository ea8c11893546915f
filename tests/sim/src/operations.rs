//! What user code may do in one turn: submit, put, get, pass on, create and call actors, cancel, kill, let go.

use crate::body::{Body, Turn};
use crate::ghost::{ObjectNote, TaskNote, token_of};
use crate::memory::Content;
use crate::process::{Held, HeldActor};
use crate::world::World;
use iosdk_runtime_core::{Draft, Input, Target};
use iosdk_types::message::{ProcessToRaylet, Query};
use iosdk_types::spec::{ActorSpec, ClassSpec};
use iosdk_types::{ActorId, Address, Amount, Key, ResourceSet};
use smallvec::SmallVec;

/// A run makes no more tasks than about this many: trees that grow without end show nothing new.
const SUBMITTED_MAX: usize = 1_200;

/// What a submission is, besides its arguments.
struct Submission {
    target: Target,
    returns: u16,
    retries: i32,
    method: Option<(ActorId, u64)>,
    may_wait: bool,
}

/// What is waited for first, what goes along inside, and which of the latter are counting references of actors.
type Arguments = (SmallVec<[Key; 2]>, SmallVec<[Key; 2]>, Vec<(ActorId, usize)>);

impl World {
    pub fn operate(&mut self, at: Address, body: &mut Body) -> Turn {
        let user = self.settings.user.clone();
        let is_much = self.ghost.tasks.len() > SUBMITTED_MAX;
        let nests = !is_much && body.is_driver()
            || !is_much && self.depth_of(body) < user.depth && body.random.chance(user.nested);
        match body.random.below(1000) {
            0..300 if nests => self.submit_tasks(at, body),
            300..400 if body.random.chance(user.objects * 2) => self.put(at, body),
            400..600 => self.get_something(at, body),
            600..680 => self.release_something(at, body),
            680..800 if body.random.chance(user.actors * 3) && (body.is_driver() || nests) => self.use_actor(at, body),
            800..820 if body.random.chance(user.cancels * 8) => self.cancel_something(at, body),
            820..835 => self.carry_reference(at, body),
            835..850 if body.is_driver() => self.ask(at, body),
            850..870 => self.keep_twice(at, body),
            870..920 if nests => self.hand_on(at, body),
            _ => {
                let most = user.body.0;
                Turn::Sleeps(if body.random.chance(100) {
                    body.random.below(most)
                } else {
                    body.random.below(most / 20 + 1)
                })
            }
        }
    }

    pub fn depth_of(&self, body: &Body) -> u32 {
        body.running.map_or(0, |running| running.depth + 1)
    }

    fn submit_tasks(&mut self, at: Address, body: &mut Body) -> Turn {
        // Now and then a burst, larger than the claim table of a lane.
        let burst = body.is_driver() && body.random.chance(30);
        let times = if burst { body.random.between(50, 600) } else { 1 };
        let (class, odd) = self.pick_class(at, body);
        for _ in 0..times {
            let returns = if body.random.chance(150) { 1 + body.random.below(3) as u16 } else { 1 };
            let retries = [3, 3, 0, 1, -1][body.random.index(5)];
            let submission =
                Submission { target: Target::Task { class }, returns, retries, method: None, may_wait: odd };
            let arguments = if burst { Arguments::default() } else { self.pick_arguments(at, body) };
            self.submit(at, body, submission, arguments);
            if self.violation.is_some() {
                return Turn::Over;
            }
        }
        Turn::Again
    }

    /// A class, and whether its tasks may wait for as long as somebody keeps an actor.
    fn pick_class(&mut self, at: Address, body: &mut Body) -> (Key, bool) {
        let cpu = |ten_thousandths: i64| ResourceSet::new().with("CPU", Amount(ten_thousandths));
        let (resources, odd) = match body.random.below(100) {
            0..12 => (cpu(5_000), false),
            12..20 if self.settings.cpus > 1 => (cpu(20_000), false),
            20..23 => (ResourceSet::new(), false),
            23..28 => (cpu(10_000).with("slot", Amount::ONE), true),
            28..30 if !self.settings.infeasible_waits => (cpu(10_000).with("GPU", Amount::ONE), false),
            _ => (cpu(10_000), false),
        };
        let Some(process) = self.processes.get_mut(&at) else { return (Key::NIL, odd) };
        let depth = process.owner.submit_depth();
        (process.owner.class(ClassSpec { resources, depth }), odd)
    }

    /// References that go along: values that are waited for first, and references inside the arguments.
    fn pick_arguments(&mut self, at: Address, body: &mut Body) -> Arguments {
        let (mut deps, mut contains, mut actors) = (SmallVec::new(), SmallVec::new(), Vec::new());
        for _ in 0..body.random.below(3) {
            let pick = body.random.index(body.held.len());
            let Some(held) = body.held.get(pick).copied() else { break };
            if body.random.chance(500) && self.may_block_on(at, body, held.object) {
                deps.push(held.object);
            } else {
                contains.push(held.object);
            }
        }
        if body.random.chance(self.settings.user.actors) {
            let pick = body.random.index(body.actors.len());
            if let Some(actor) = body.actors.get(pick) {
                actors.push((actor.id, contains.len()));
                contains.push(actor.counting);
            }
        }
        (deps, contains, actors)
    }

    fn submit(&mut self, at: Address, body: &mut Body, submission: Submission, (deps, contains, actors): Arguments) {
        let seed = body.random.draw();
        let Some(process) = self.processes.get_mut(&at) else { return };
        let args = process.payloads.insert(Content::Args { seed, actors });
        let Submission { target, returns, retries, method, may_wait } = submission;
        let draft = Draft { target, function: process.function, args, deps, contains, returns, retries };
        let answers = self.step_owner(at, Input::Submit(draft));
        if let (Some(task), Some(first)) = (answers.task, answers.object) {
            let retries = if method.is_some() { 0 } else { retries };
            self.note_submitted(at, body, task, first, TaskShape { seed, retries, method, creates: None, may_wait });
        }
    }

    fn note_submitted(&mut self, at: Address, body: &mut Body, task: Key, first: Key, shape: TaskShape) {
        let root = if body.is_driver() { self.ghost.new_root() } else { body.root };
        let Some(process) = self.processes.get(&at) else { return };
        let returns: Vec<Key> = process.owner.returns(task).to_vec();
        let returns = if returns.is_empty() { vec![first] } else { returns };
        let ids: Vec<_> =
            returns.iter().filter_map(|key| process.owner.describe(*key)).map(|descriptor| descriptor.object).collect();
        let Some(id) = ids.first().map(iosdk_types::ObjectId::task) else {
            return self.hold(crate::check::broken(
                "OWN-1",
                format!("{at} submitted {task:?}, whose returns {returns:?} are unknown"),
            ));
        };
        let TaskShape { seed, retries, method, creates, may_wait } = shape;
        let note = TaskNote {
            owner: at,
            first,
            seed,
            retries,
            root,
            method,
            creates,
            started_on: Vec::new(),
            cancelled: false,
        };
        self.ghost.tasks.insert(id, note);
        for (index, object) in ids.into_iter().enumerate() {
            let token = token_of(seed, index as u64);
            let note = ObjectNote {
                owner: at,
                task: Some(id),
                token,
                root,
                depth: self.depth_of(body),
                maker: body.id,
                may_wait,
                smuggled: false,
                outcome: None,
            };
            self.ghost.objects.insert(object, note);
        }
        if creates.is_none() {
            body.held.extend(returns.into_iter().map(|object| Held { object }));
        }
    }

    fn get_something(&mut self, at: Address, body: &mut Body) -> Turn {
        let pick = body.random.index(body.held.len());
        let Some(held) = body.held.get(pick).copied() else { return Turn::Again };
        let blocks = self.may_block_on(at, body, held.object) && body.may_wait();
        if !blocks && !body.may_wait() {
            return Turn::Again;
        }
        let gives_up = !blocks || body.random.chance(100);
        self.watch(at, body, held.object, gives_up)
    }

    fn release_something(&mut self, at: Address, body: &mut Body) -> Turn {
        if !body.held.is_empty() {
            let pick = body.random.index(body.held.len());
            let held = body.held.swap_remove(pick);
            self.step_owner(at, Input::Release { object: held.object });
        }
        Turn::Again
    }

    fn keep_twice(&mut self, at: Address, body: &mut Body) -> Turn {
        let pick = body.random.index(body.held.len());
        if let Some(held) = body.held.get(pick).copied() {
            self.step_owner(at, Input::Retain { object: held.object });
            body.held.push(held);
        }
        Turn::Again
    }

    fn cancel_something(&mut self, at: Address, body: &mut Body) -> Turn {
        // Mostly something new: what is older has ended long ago, and to cancel that does nothing.
        let newest = body.held.len().min(if body.random.chance(700) { 3 } else { usize::MAX });
        let pick = body.held.len() - newest + body.random.index(newest);
        let Some(held) = body.held.get(pick).copied() else { return Turn::Again };
        let descriptor = self.processes.get(&at).and_then(|process| process.owner.describe(held.object));
        let task =
            descriptor.and_then(|descriptor| self.ghost.objects.get(&descriptor.object)).and_then(|note| note.task);
        if let Some(note) = task.and_then(|task| self.ghost.tasks.get_mut(&task)) {
            note.cancelled = true;
        }
        let force = body.random.chance(200);
        self.step_owner(at, Input::Cancel { object: held.object, force });
        Turn::Again
    }

    /// A reference goes along with a call and is dropped here at once: from now on others must keep the object alive.
    fn hand_on(&mut self, at: Address, body: &mut Body) -> Turn {
        if body.held.is_empty() {
            return Turn::Again;
        }
        let pick = body.random.index(body.held.len());
        let held = body.held.swap_remove(pick);
        let arguments = (SmallVec::new(), SmallVec::from_slice(&[held.object]), Vec::new());
        let pick = body.random.index(body.actors.len());
        match body.actors.get(pick).copied() {
            Some(actor) if body.random.chance(500) => self.call_actor(at, body, actor, arguments),
            Some(_) | None => {
                let (class, may_wait) = self.pick_class(at, body);
                let target = Target::Task { class };
                self.submit(at, body, Submission { target, returns: 1, retries: 3, method: None, may_wait }, arguments);
            }
        }
        self.step_owner(at, Input::Release { object: held.object });
        Turn::Again
    }

    /// A descriptor is written down by one program and read by another, outside any message.
    fn carry_reference(&mut self, at: Address, body: &mut Body) -> Turn {
        if body.random.chance(500) {
            let pick = body.random.index(body.held.len());
            let descriptor = body
                .held
                .get(pick)
                .and_then(|held| self.processes.get(&at).and_then(|process| process.owner.describe(held.object)));
            if let Some(descriptor) = descriptor
                && let Some(note) = self.ghost.objects.get_mut(&descriptor.object)
            {
                note.smuggled = true;
                self.notebook.push(descriptor);
            }
            return Turn::Again;
        }
        let pick = body.random.index(self.notebook.len());
        let Some(reference) = self.notebook.get(pick).copied().filter(|reference| reference.owner.node == at.node)
        else {
            return Turn::Again;
        };
        if let Some(object) = self.step_owner(at, Input::Adopt { reference }).object {
            body.held.push(Held { object });
        }
        Turn::Again
    }

    fn ask(&mut self, at: Address, body: &mut Body) -> Turn {
        let query = [Query::Nodes, Query::ClusterResources, Query::AvailableResources, Query::AvailableResources]
            [body.random.index(4)]
        .clone();
        let Some(process) = self.processes.get_mut(&at) else { return Turn::Over };
        process.next_request += 1;
        let request = process.next_request;
        self.tell_raylet(at, ProcessToRaylet::Query { request, query });
        Turn::Again
    }

    fn use_actor(&mut self, at: Address, body: &mut Body) -> Turn {
        let pick = body.random.index(body.actors.len());
        let Some(actor) = body.actors.get(pick).copied().filter(|_| !body.random.chance(150)) else {
            return self.create_actor(at, body);
        };
        match body.random.below(100) {
            0..4 => {
                self.ghost.killed_actors.insert(actor.id);
                self.step_owner(at, Input::KillActor { actor: actor.actor });
            }
            4..15 => {
                body.actors.swap_remove(pick);
                self.step_owner(at, Input::Release { object: actor.counting });
            }
            _ => {
                for _ in 0..1 + body.random.below(5) {
                    let arguments = self.pick_arguments(at, body);
                    self.call_actor(at, body, actor, arguments);
                }
            }
        }
        Turn::Again
    }

    fn call_actor(&mut self, at: Address, body: &mut Body, actor: HeldActor, arguments: Arguments) {
        let number = self.checks.act_1.number(at, actor.id);
        let target = Target::Method { actor: actor.actor };
        let may_wait = !self.actor_starts_soon(actor.id);
        let submission = Submission { target, returns: 1, retries: 0, method: Some((actor.id, number)), may_wait };
        self.submit(at, body, submission, arguments);
    }

    /// False for actors that hold a scarce resource: they may wait for another's end.
    fn actor_starts_soon(&self, id: ActorId) -> bool {
        !self.scarce_actors.contains(&id)
    }

    fn create_actor(&mut self, at: Address, body: &mut Body) -> Turn {
        let odd = body.random.below(100);
        let cpu = ResourceSet::new().with("CPU", Amount::ONE);
        let scarce = ResourceSet::new().with("slot", Amount::ONE);
        let (placement, held) = match odd {
            0..15 => (scarce.clone(), scarce),
            15..18 if !self.settings.infeasible_waits => (cpu.with("GPU", Amount::ONE), ResourceSet::new()),
            _ => (cpu, ResourceSet::new()),
        };
        let may_wait = odd < 15;
        let (deps, contains, actors) = self.pick_arguments(at, body);
        let seed = body.random.draw();
        let Some(process) = self.processes.get_mut(&at) else { return Turn::Over };
        let id = process.owner.next_actor_id();
        let spec = ActorSpec { actor: id, owner: at, class_name: "Counter".to_owned(), placement, held };
        let args = process.payloads.insert(Content::Args { seed, actors });
        let target = Target::Method { actor: Key::NIL };
        let draft = Draft { target, function: process.function, args, deps, contains, returns: 1, retries: 0 };
        if may_wait {
            self.scarce_actors.insert(id);
        }
        if (15..18).contains(&odd) && !self.settings.infeasible_waits {
            self.ghost.killed_actors.insert(id);
        }
        let answers = self.step_owner(at, Input::CreateActor { spec, draft });
        let (Some(actor), Some(task), Some(counting)) = (answers.actor, answers.task, answers.object) else {
            self.hold(crate::check::broken("OWN-1", format!("{at} created an actor and got {answers:?}")));
            return Turn::Over;
        };
        body.actors.push(HeldActor { actor, id, counting });
        let shape = TaskShape { seed, retries: 0, method: None, creates: Some(id), may_wait };
        self.note_submitted(at, body, task, counting, shape);
        Turn::Again
    }
}

/// What is noted of a task when it is submitted.
struct TaskShape {
    seed: u64,
    retries: i32,
    method: Option<(ActorId, u64)>,
    creates: Option<ActorId>,
    may_wait: bool,
}
