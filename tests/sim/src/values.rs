//! Values that user code makes: puts and returns, the references inside them, and the room they need.

use crate::body::{Body, Turn, Wanted};
use crate::check::broken;
use crate::ghost::ObjectNote;
use crate::memory::{BIG, Content, EXTENT};
use crate::process::Held;
use crate::world::World;
use iosdk_runtime_core::{Input, NewValue};
use iosdk_types::message::ProcessToRaylet;
use iosdk_types::message::peer::{CallKind, Place};
use iosdk_types::{ActorId, Address, Key, ObjectId};
use smallvec::SmallVec;

/// References inside a value, and which of them are counting references of actors.
type Inside = (SmallVec<[Key; 2]>, Vec<(ActorId, usize)>);

impl World {
    fn value_size(&self, body: &mut Body) -> u64 {
        if body.random.chance(self.settings.user.big) { body.random.between(70_000, 3 * EXTENT) } else { 1 }
    }

    pub fn put(&mut self, at: Address, body: &mut Body) -> Turn {
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
        let inside = self.pick_inside(at, body);
        let Some(value) = self.new_value(at, token, bytes, at, None, inside) else {
            if asked {
                self.hold(broken("STORE-1", format!("{at} was granted room in which its value does not fit")));
                return Turn::Over;
            }
            return self.want_room(at, body, bytes);
        };
        match self.store(at, body, token, value) {
            Some(object) => {
                body.held.push(Held { object });
                Turn::Again
            }
            None => Turn::Over,
        }
    }

    fn store(&mut self, at: Address, body: &Body, token: u64, value: NewValue) -> Option<Key> {
        let stored_at = match value.place {
            Place::Arena(extent) => Some(extent.offset),
            Place::Inline(_) => None,
        };
        let answers = self.step_owner(at, Input::Put(value));
        let Some(object) = answers.object else {
            self.hold(broken("OWN-1", format!("{at} put a value and got no reference")));
            return None;
        };
        let id = self.processes.get(&at).and_then(|process| process.owner.describe(object))?.object;
        let note = ObjectNote {
            owner: at,
            task: None,
            token,
            // Younger than all it may have inside.
            root: if body.is_driver() { self.ghost.new_root() } else { body.root },
            depth: self.depth_of(body),
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
        Some(object)
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

    /// None when the arena must give room first.
    pub fn new_value(
        &mut self,
        at: Address,
        token: u64,
        bytes: u64,
        owner: Address,
        object: Option<ObjectId>,
        (contains, actors): Inside,
    ) -> Option<NewValue> {
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

    /// Some of what the body holds goes into a value.
    fn pick_inside(&mut self, at: Address, body: &mut Body) -> Inside {
        let (mut contains, mut actors) = (SmallVec::new(), Vec::new());
        if body.random.chance(250) {
            let pick = body.random.index(body.held.len());
            let held = body.held.get(pick).filter(|held| self.may_contain(at, body, held.object));
            contains.extend(held.map(|held| held.object));
        }
        if body.random.chance(self.settings.user.actors) {
            let pick = body.random.index(body.actors.len());
            let actor = body.actors.get(pick).filter(|actor| self.may_contain(at, body, actor.counting));
            if let Some(actor) = actor {
                actors.push((actor.id, contains.len()));
                contains.push(actor.counting);
            }
        }
        (contains, actors)
    }

    /// What a body returns goes to whoever asked, and the body has nothing of it afterwards: something it was holding, something
    /// made for the purpose, or, like an actor that is a queue, what another caller left in it.
    pub fn pick_returned(&mut self, at: Address, body: &mut Body) -> Inside {
        let (mut contains, actors) = self.pick_inside(at, body);
        let given = match body.running.map(|running| running.kind) {
            Some(CallKind::Method) if body.random.chance(400) => self.take_from_attributes(at),
            Some(CallKind::Task) if body.random.chance(100) => {
                let token = body.random.draw();
                let inside = self.pick_inside(at, body);
                let value = self.new_value(at, token, 1, at, None, inside);
                value.and_then(|value| self.store(at, body, token, value))
            }
            Some(_) | None => None,
        };
        if let Some(object) = given {
            body.given_away.push(Held { object });
            if self.may_contain(at, body, object) {
                contains.push(object);
            }
        }
        (contains, actors)
    }

    fn take_from_attributes(&mut self, at: Address) -> Option<Key> {
        let instance = self.processes.get_mut(&at)?.instance.as_mut()?;
        (!instance.held.is_empty()).then(|| instance.held.remove(0).object)
    }

    /// A value that leads back to itself would live for ever, as in every count of references. So what a body makes has only
    /// things of older trees inside, or of its own tree what it or those below it made.
    fn may_contain(&self, at: Address, body: &Body, object: Key) -> bool {
        let descriptor = self.processes.get(&at).and_then(|process| process.owner.describe(object));
        let note = descriptor.and_then(|descriptor| self.ghost.objects.get(&descriptor.object));
        note.is_some_and(|note| {
            body.is_driver() || note.root < body.root || note.root == body.root && note.depth >= self.depth_of(body)
        })
    }
}
