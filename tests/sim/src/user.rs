//! User code goes on: a body takes its turns, waits for what it gets, and ends.

use crate::body::{Body, Turn, Waiting};
use crate::check::broken;
use crate::check::own_1;
use crate::ghost::Outcome;
use crate::memory::Content;
use crate::process::{Held, HeldActor, Instance};
use crate::schedule::{Event, How};
use crate::world::World;
use iosdk_runtime_core::{Input, ObjectState, Owner};
use iosdk_types::message::peer::{CallKind, Place};
use iosdk_types::{ActorId, Address, Extent, Key, Span};

/// Turns in a row before others get theirs.
const TURNS: u32 = 16;

/// Where an object lies in the arena, as far as this machine knows.
pub fn arena_extent(owner: &Owner, object: Key) -> Option<Extent> {
    match owner.state(object) {
        ObjectState::Ready { place: Place::Arena(extent), .. } => Some(extent),
        ObjectState::Ready { place: Place::Inline(_), .. } | ObjectState::Pending | ObjectState::Unknown => None,
    }
}

impl World {
    pub fn start_program(&mut self, at: Address) {
        self.next_body += 1;
        let submission =
            self.processes.get(&at).and_then(|process| process.program).and_then(|program| program.submission);
        // The job ends soon, whatever its driver is in the middle of.
        let operations = self.settings.user.operations / if submission.is_some() { 4 } else { 1 };
        let body = Body::new((at, self.next_body), self.random.fork(), operations, 0, self.now);
        if let Some(process) = self.processes.get_mut(&at) {
            process.body = Some(body);
        }
        self.resume(at, Span(1));
    }

    /// The body's next turn comes after `span`; turns arranged before are void.
    pub fn resume(&mut self, at: Address, span: Span) {
        let Some(process) = self.processes.get_mut(&at) else { return };
        process.turn += 1;
        let turn = process.turn;
        self.after(span, Event::Run { process: at, turn });
    }

    pub fn wake(&mut self, at: Address, waiter: u32) {
        let Some(process) = self.processes.get_mut(&at) else { return };
        process.ready.insert(waiter);
        let waits = process.body.as_ref().and_then(|body| body.waiting).is_some_and(|waiting| waiting.waiter == waiter);
        if waits {
            self.resume(at, Span(1));
        }
    }

    pub fn room_answered(&mut self, at: Address, request: u64, granted: bool) {
        let Some(body) = self.processes.get_mut(&at).and_then(|process| process.body.as_mut()) else { return };
        if let Some(wanted) = body.wanted.as_mut().filter(|wanted| wanted.request == request) {
            wanted.answer = Some(granted);
            self.resume(at, Span(1));
        }
    }

    pub fn call_is_ready(&mut self, at: Address) {
        if self.processes.get(&at).is_some_and(|process| process.body.is_none() && !process.is_driver()) {
            self.resume(at, Span(1 + self.now.0 % 700));
        }
    }

    pub fn interrupt(&mut self, at: Address, call: Key, force: bool) {
        if force {
            return self.after(Span(1000), Event::Killed { process: at, how: How::Leaves });
        }
        let Some(body) = self.processes.get_mut(&at).and_then(|process| process.body.as_mut()) else { return };
        if body.running.is_some_and(|running| running.call == call) {
            body.interrupted = true;
            self.resume(at, Span(1000));
        }
    }

    pub fn run_body(&mut self, at: Address, turn: u64) {
        let Some(process) = self.processes.get_mut(&at).filter(|process| process.turn == turn) else { return };
        process.blocked_since = None;
        let Some(mut body) = process.body.take() else {
            let is_worker = !process.is_driver();
            if is_worker {
                self.next_call(at);
            }
            return;
        };
        self.checks.sched_3.progress(self.now);
        for _ in 0..TURNS {
            self.is_taking_turns = Some(at);
            let next = self.take_turn(at, &mut body);
            self.is_taking_turns = None;
            if self.violation.is_some() || !self.processes.contains_key(&at) {
                return;
            }
            match next {
                Turn::Again => {}
                Turn::Sleeps(span) => return self.put_back(at, body, Some(Span(span))),
                Turn::Waits => return self.put_back(at, body, None),
                Turn::Over => return self.body_is_over(at, body),
            }
        }
        self.put_back(at, body, Some(Span(1000)));
    }

    fn put_back(&mut self, at: Address, body: Body, sleeps: Option<Span>) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&at) else { return };
        let waiting = body.waiting;
        let is_answered = waiting.is_some_and(|waiting| process.ready.contains(&waiting.waiter))
            || body.wanted.is_some_and(|wanted| wanted.answer.is_some());
        let slowness = process.slowness;
        process.body = Some(body);
        match sleeps {
            Some(span) => self.resume(at, Span(span.0.saturating_mul(slowness))),
            None if is_answered => self.resume(at, Span(1)),
            None => {
                process.blocked_since = Some(now);
                process.turn += 1;
                let turn = process.turn;
                if waiting.is_some_and(|waiting| waiting.gives_up) {
                    let span = self.delay(Span::from_millis(20));
                    self.after(span, Event::Run { process: at, turn });
                }
            }
        }
    }

    fn take_turn(&mut self, at: Address, body: &mut Body) -> Turn {
        if body.interrupted && body.values.is_none() {
            return self.give_up_interrupted(at, body);
        }
        if let Some(waiting) = body.waiting {
            return self.waited(at, body, waiting);
        }
        if body.values.is_some() {
            return self.make_values(at, body);
        }
        if let Some(wanted) = body.wanted {
            return match wanted.answer {
                None => Turn::Waits,
                Some(granted) => self.put_with_room(at, body, wanted.bytes, granted),
            };
        }
        if body.operations == 0 {
            return if body.is_driver() { self.let_go(at, body) } else { self.begin_values(at, body) };
        }
        body.operations -= 1;
        self.operate(at, body)
    }

    fn waited(&mut self, at: Address, body: &mut Body, waiting: Waiting) -> Turn {
        let Some(process) = self.processes.get_mut(&at) else { return Turn::Over };
        body.waiting = None;
        if process.ready.remove(&waiting.waiter) {
            self.look(at, body, waiting.object);
            return Turn::Again;
        }
        if waiting.gives_up {
            self.step_owner(at, Input::Unwatch { object: waiting.object, waiter: waiting.waiter });
            return Turn::Again;
        }
        body.waiting = Some(waiting);
        Turn::Waits
    }

    /// Waits for an object; what is there already is looked at in the next turn.
    pub fn watch(&mut self, at: Address, body: &mut Body, object: Key, gives_up: bool) -> Turn {
        let Some(process) = self.processes.get_mut(&at) else { return Turn::Over };
        process.next_waiter += 1;
        let waiter = process.next_waiter;
        body.waiting = Some(Waiting { object, waiter, gives_up });
        self.step_owner(at, Input::Watch { object, waiter });
        let is_there = self.processes.get(&at).is_some_and(|process| process.ready.contains(&waiter));
        if is_there { Turn::Again } else { Turn::Waits }
    }

    /// A get: the value must be the one that was stored, or the failure must have a reason. References inside may be kept.
    fn look(&mut self, at: Address, body: &mut Body, object: Key) {
        let Some(process) = self.processes.get(&at) else { return };
        let Some(descriptor) = process.owner.describe(object) else {
            return self.hold(broken("OWN-1", format!("{at} waited for {object:?} and does not know it any more")));
        };
        let place = match process.owner.state(object) {
            ObjectState::Ready { place, is_error: _ } => place,
            state @ (ObjectState::Pending | ObjectState::Unknown) => {
                return self
                    .hold(broken("OWN-1", format!("{at} was told that {descriptor:?} is there, it is {state:?}")));
            }
        };
        let content = match place {
            Place::Inline(payload) => process.payloads.get(payload).cloned(),
            Place::Arena(extent) => self.read_arena(at, body, object, &extent),
        };
        let Some(content) = content else {
            return self.hold(broken("OWN-1", format!("{at} gets {descriptor:?}, whose bytes at {place:?} are gone")));
        };
        let id = descriptor.object;
        let (verdict, outcome) = match &content {
            Content::Value { token, .. } => (own_1::got_value(&self.ghost, id, *token), Outcome::Value(*token)),
            Content::Raised { token } => (own_1::got_raised(&self.ghost, id, *token), Outcome::Raised(*token)),
            Content::Local { error } => {
                (own_1::got_failure(&self.ghost, id, error), Outcome::Failed(format!("{error:?}")))
            }
            Content::Definition | Content::Args { .. } => (
                broken("OWN-1", format!("{at} gets {descriptor:?} and finds {content:?}")),
                Outcome::Failed(String::new()),
            ),
        };
        self.hold(verdict);
        let verdict = own_1::same_as_before(&mut self.ghost, id, outcome);
        self.hold(verdict);
        if let Content::Value { actors, .. } = content {
            self.unpack(at, body, object, &actors);
        }
    }

    fn read_arena(&mut self, at: Address, body: &mut Body, object: Key, extent: &Extent) -> Option<Content> {
        let stored = self.nodes.get(&extent.holder.node)?.arena.read(extent)?;
        let content = stored.content.clone();
        if extent.holder.node == at.node && body.random.chance(500) {
            self.view(at, body, object, extent.offset);
        }
        Some(content)
    }

    /// Reads in place: the object is kept alive, and its offset is in the pin row, for as long as the view lives.
    pub fn view(&mut self, at: Address, body: &mut Body, object: Key, offset: u64) {
        if let Some(process) = self.processes.get_mut(&at) {
            process.pin(offset);
        }
        self.step_owner(at, Input::retain(object));
        body.views.push((offset, object));
    }

    /// Keeps some of the references inside a value, and all actor handles.
    fn unpack(&mut self, at: Address, body: &mut Body, object: Key, actors: &[(ActorId, usize)]) {
        let Some(process) = self.processes.get(&at) else { return };
        let inside: Vec<Key> = process.owner.contains(object).to_vec();
        self.take_over(at, body, &inside, actors, 600);
    }

    /// Handles for references that came in a message, as unpickling makes them.
    pub fn take_over(&mut self, at: Address, body: &mut Body, inside: &[Key], actors: &[(ActorId, usize)], kept: u64) {
        for (index, object) in inside.iter().copied().enumerate() {
            let actor = actors.iter().find(|(_, counting)| *counting == index).map(|(actor, _)| *actor);
            if let Some(id) = actor {
                let answers = self.step_owner(at, Input::AdoptActor { actor: id, object });
                self.step_owner(at, Input::retain(object));
                if let Some(actor) = answers.actor {
                    body.actors.push(HeldActor { actor, id, counting: object });
                }
            } else if body.random.chance(kept) {
                self.step_owner(at, Input::retain(object));
                body.held.push(Held { object });
            }
        }
    }

    /// A driver's program ends: it lets go of everything, sometimes after a last look.
    fn let_go(&mut self, at: Address, body: &mut Body) -> Turn {
        if let Some(last) = body.held.last().copied() {
            let (may_block, look) = (self.may_block_on(at, body, last.object), body.random.chance(300));
            if look && may_block && body.random.chance(700) {
                return self.watch(at, body, last.object, false);
            }
            body.held.pop();
            self.step_owner(at, Input::release(last.object));
            return Turn::Again;
        }
        if let Some(actor) = body.actors.pop() {
            self.step_owner(at, Input::release(actor.counting));
            return Turn::Again;
        }
        Turn::Over
    }

    fn body_is_over(&mut self, at: Address, mut body: Body) {
        self.drop_all(at, &mut body);
        self.checks.sched_3.progress(self.now);
        if let Some(process) = self.processes.get_mut(&at) {
            process.body = None;
            process.ready.clear();
            if !process.is_driver() {
                self.next_call(at);
            }
        }
    }

    fn drop_all(&mut self, at: Address, body: &mut Body) {
        let keeps =
            body.running.is_some_and(|running| matches!(running.kind, CallKind::CreateActor | CallKind::Method));
        if keeps && let Some(instance) = self.processes.get_mut(&at).and_then(|process| process.instance.as_mut()) {
            // An actor's attributes: some of what it has seen lives on with it.
            while instance.held.len() < 4
                && let Some(held) = body.held.pop()
            {
                instance.held.push(held);
            }
        }
        for (offset, object) in std::mem::take(&mut body.views) {
            if let Some(process) = self.processes.get_mut(&at) {
                process.unpin(offset);
            }
            self.step_owner(at, Input::release(object));
        }
        let gone = std::mem::take(&mut body.held).into_iter().chain(std::mem::take(&mut body.given_away));
        for held in gone {
            self.step_owner(at, Input::release(held.object));
        }
        for actor in std::mem::take(&mut body.actors) {
            self.step_owner(at, Input::release(actor.counting));
        }
    }

    /// Every actor drops what it kept between its calls.
    pub fn forget_attributes(&mut self) {
        let actors: Vec<Address> = self
            .processes
            .values()
            .filter(|process| process.instance.is_some())
            .map(|process| process.address)
            .collect();
        for at in actors {
            let instance = self.processes.get_mut(&at).and_then(|process| process.instance.as_mut());
            for held in instance.map(|instance| std::mem::take(&mut instance.held)).unwrap_or_default() {
                self.step_owner(at, Input::release(held.object));
            }
        }
    }

    /// The actor's object is dropped with all it holds.
    pub fn drop_instance(&mut self, at: Address) {
        let Some(instance) = self.processes.get_mut(&at).and_then(|process| process.instance.take()) else { return };
        for held in instance.held {
            self.step_owner(at, Input::release(held.object));
        }
        for actor in instance.actors {
            self.step_owner(at, Input::release(actor.counting));
        }
    }

    pub fn begin_instance(&mut self, at: Address, id: ActorId) {
        if let Some(process) = self.processes.get_mut(&at) {
            process.instance = Some(Instance { id, held: Vec::new(), actors: Vec::new() });
        }
    }

    /// Whether this body may wait for an object without end: only for what it made itself or what belongs to an older tree,
    /// so that no two bodies ever wait for each other.
    pub fn may_block_on(&self, at: Address, body: &Body, object: Key) -> bool {
        let descriptor = self.processes.get(&at).and_then(|process| process.owner.describe(object));
        let Some(note) = descriptor.and_then(|descriptor| self.ghost.objects.get(&descriptor.object)) else {
            return false;
        };
        if note.may_wait || note.smuggled {
            return false;
        }
        note.maker == body.id || (body.may_wait() && (body.is_driver() && note.owner == at || note.root < body.root))
    }
}
