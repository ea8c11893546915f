//! What user code may do in one turn: submit, put, get, pass on, create and call actors, cancel, kill, let go.

use crate::body::{Body, Turn, Wanted};
use crate::ghost::{ObjectNote, TaskNote, token_of};
use crate::memory::{BIG, Content, EXTENT};
use crate::process::{Held, HeldActor};
use crate::world::World;
use iosdk_runtime_core::{Draft, Input, NewValue, Target};
use iosdk_types::message::peer::Place;
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

    fn depth_of(&self, body: &Body) -> u32 {
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
            self.submit(at, body, submission, !burst);
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

    fn submit(&mut self, at: Address, body: &mut Body, submission: Submission, with_references: bool) {
        let (deps, contains, actors) = if with_references {
            self.pick_arguments(at, body)
        } else {
            (SmallVec::new(), SmallVec::new(), Vec::new())
        };
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

    fn value_size(&self, body: &mut Body) -> u64 {
        if body.random.chance(self.settings.user.big) { body.random.between(70_000, 3 * EXTENT) } else { 1 }
    }

    fn put(&mut self, at: Address, body: &mut Body) -> Turn {
        let bytes = self.value_size(body);
        self.put_with_room(at, body, bytes, true)
    }

    /// Stores a value: inline when small, else in an extent of its own process, which may have to be asked for first.
    pub fn put_with_room(&mut self, at: Address, body: &mut Body, bytes: u64, granted: bool) -> Turn {
        let asked = body.wanted.take().is_some();
        if !granted {
            // The store is full: the put raises, the program goes on.
            return Turn::Again;
        }
        let token = body.random.draw();
        let Some(value) = self.new_value(at, body, token, bytes, at, None) else {
            if asked {
                return self.no_room_after_all(at);
            }
            return self.want_room(at, body, bytes);
        };
        let stored_at = match value.place {
            Place::Arena(extent) => Some(extent.offset),
            Place::Inline(_) => None,
        };
        let answers = self.step_owner(at, Input::Put(value));
        let Some(object) = answers.object else {
            self.hold(crate::check::broken("OWN-1", format!("{at} put a value and got no reference")));
            return Turn::Over;
        };
        let id = self
            .processes
            .get(&at)
            .and_then(|process| process.owner.describe(object))
            .map(|descriptor| descriptor.object);
        if let Some(id) = id {
            let note = ObjectNote {
                owner: at,
                task: None,
                token,
                root: body.root,
                maker: body.id,
                may_wait: false,
                smuggled: false,
                outcome: None,
            };
            self.ghost.objects.insert(id, note);
            let stored = stored_at.and_then(|offset| self.nodes.get_mut(&at.node)?.arena.stored.get_mut(&offset));
            if let Some(stored) = stored {
                stored.object = Some(id);
            }
        }
        body.held.push(Held { object });
        Turn::Again
    }

    fn no_room_after_all(&mut self, at: Address) -> Turn {
        self.hold(crate::check::broken("STORE-1", format!("{at} was granted room in which its value does not fit")));
        Turn::Over
    }

    pub fn want_room(&mut self, at: Address, body: &mut Body, bytes: u64) -> Turn {
        let Some(process) = self.processes.get_mut(&at) else { return Turn::Over };
        process.next_request += 1;
        let request = process.next_request;
        let asked = if bytes >= BIG { bytes.div_ceil(EXTENT) * EXTENT } else { EXTENT };
        body.wanted = Some(Wanted { request, bytes, answer: None });
        self.tell_raylet(at, ProcessToRaylet::ExtentRequest { request, bytes: asked });
        Turn::Waits
    }

    /// A value with some of the held references inside; None when the arena must give room first.
    pub fn new_value(
        &mut self,
        at: Address,
        body: &mut Body,
        token: u64,
        bytes: u64,
        owner: Address,
        object: Option<iosdk_types::ObjectId>,
    ) -> Option<NewValue> {
        let mut contains: SmallVec<[Key; 2]> = SmallVec::new();
        let mut actors = Vec::new();
        if body.random.chance(250) {
            let pick = body.random.index(body.held.len());
            contains.extend(body.held.get(pick).map(|held| held.object));
        }
        if body.random.chance(self.settings.user.actors) {
            let pick = body.random.index(body.actors.len());
            if let Some(actor) = body.actors.get(pick) {
                actors.push((actor.id, contains.len()));
                contains.push(actor.counting);
            }
        }
        let content = Content::Value { token, actors };
        let place = if bytes <= 65_536 {
            Place::Inline(self.processes.get_mut(&at)?.payloads.insert(content))
        } else {
            let extent = self.nodes.get_mut(&at.node)?.arena.allocate(at, bytes, content)?;
            if let Some(stored) = self.nodes.get_mut(&at.node)?.arena.stored.get_mut(&extent.offset) {
                (stored.owner, stored.object) = (owner, object);
            }
            Place::Arena(extent)
        };
        Some(NewValue { place, is_error: false, contains })
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
                    let number = self.checks.act_1.number(at, actor.id);
                    let target = Target::Method { actor: actor.actor };
                    let may_wait = !self.actor_starts_soon(actor.id);
                    let submission =
                        Submission { target, returns: 1, retries: 0, method: Some((actor.id, number)), may_wait };
                    self.submit(at, body, submission, true);
                }
            }
        }
        Turn::Again
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
