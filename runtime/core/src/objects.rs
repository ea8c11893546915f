//! The objects this process knows: their values, who holds them, who waits for them, and when they go.

use crate::borrow::Borrow;
use crate::planted::Bug;
use crate::{Effect, NewValue, Owner, drop_payload};
use iosdk_types::message::peer::{Payload, PeerMessage, Place, WireValue};
use iosdk_types::{Key, ObjectId, RefDescriptor, Time};
use smallvec::SmallVec;

/// Counts of a process's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    pub values: u64,
    /// Those among them that are errors.
    pub errors: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectState {
    Pending,
    Ready {
        place: Place,
        is_error: bool,
    },
    /// The key is stale: nobody here holds the object any more.
    Unknown,
}

pub(crate) enum Origin {
    /// Ours; `task` makes it (NIL once it is there, and for puts).
    Owned {
        task: Key,
    },
    /// Ours, the same bytes as another one's: one error for several returns.
    Alias {
        of: Key,
    },
    Borrowed(Box<Borrow>),
    /// Its owner does not know it.
    Lost,
}

#[derive(Clone, Copy)]
pub(crate) enum Waiter {
    Shell(u32),
    Task(Key),
    Borrower { peer: Key, token: u64 },
}

pub(crate) struct Loan {
    pub(crate) to: Key,
    pub(crate) times: u32,
}

pub(crate) struct Object {
    pub(crate) id: ObjectId,
    /// Handles of the local API.
    pub(crate) handles: u32,
    /// Holds of our own: tasks, containers, running calls.
    pub(crate) uses: u32,
    pub(crate) value: Option<(Place, bool)>,
    /// References inside the value, each held.
    pub(crate) contains: SmallVec<[Key; 2]>,
    pub(crate) lent: SmallVec<[Loan; 1]>,
    pub(crate) waiters: SmallVec<[Waiter; 1]>,
    pub(crate) origin: Origin,
    /// The actor whose handles this object counts.
    pub(crate) actor: Key,
}

impl Object {
    pub(crate) fn new(id: ObjectId, origin: Origin) -> Self {
        Self {
            id,
            handles: 0,
            uses: 0,
            value: None,
            contains: SmallVec::new(),
            lent: SmallVec::new(),
            waiters: SmallVec::new(),
            origin,
            actor: Key::NIL,
        }
    }

    /// Its bytes in shared memory are ours to free.
    pub(crate) fn owns_bytes(&self) -> bool {
        matches!(self.origin, Origin::Owned { .. })
    }

    pub(crate) fn borrow_mut(&mut self) -> Option<&mut Borrow> {
        match &mut self.origin {
            Origin::Borrowed(borrow) => Some(borrow),
            Origin::Owned { .. } | Origin::Alias { .. } | Origin::Lost => None,
        }
    }

    pub(crate) fn borrow(&self) -> Option<&Borrow> {
        match &self.origin {
            Origin::Borrowed(borrow) => Some(borrow),
            Origin::Owned { .. } | Origin::Alias { .. } | Origin::Lost => None,
        }
    }

    /// The task that makes it, while it does.
    pub(crate) fn task(&self) -> Option<Key> {
        match self.origin {
            Origin::Owned { task } if task != Key::NIL => Some(task),
            Origin::Owned { .. } | Origin::Alias { .. } | Origin::Borrowed(_) | Origin::Lost => None,
        }
    }
}

impl Owner {
    pub fn state(&self, object: Key) -> ObjectState {
        match self.objects.get(object) {
            None => ObjectState::Unknown,
            Some(object) => match object.value {
                None => ObjectState::Pending,
                Some((place, is_error)) => ObjectState::Ready { place, is_error },
            },
        }
    }

    /// References inside the object's value, in the order its pickle names them.
    pub fn contains(&self, object: Key) -> &[Key] {
        match self.objects.get(object) {
            None => &[],
            Some(Object { origin: Origin::Alias { of }, .. }) => self.contains(*of),
            Some(object) => &object.contains,
        }
    }

    pub fn describe(&self, key: Key) -> Option<RefDescriptor> {
        let object = self.objects.get(key)?;
        Some(match &object.origin {
            Origin::Borrowed(borrow) => RefDescriptor { object: object.id, owner: borrow.address, key: borrow.key },
            Origin::Owned { .. } | Origin::Alias { .. } | Origin::Lost => {
                RefDescriptor { object: object.id, owner: self.me, key: key.0 }
            }
        })
    }

    /// Looks at every object: for what comes in by name from outside, never for calls.
    pub fn find(&self, id: &ObjectId) -> Option<Key> {
        self.objects.iter().find(|(_, object)| object.id == *id).map(|(key, _)| key)
    }

    pub fn is_borrowed(&self, object: Key) -> bool {
        self.objects.get(object).is_some_and(|object| object.borrow().is_some())
    }

    /// The object a descriptor of ours names, if it still is. One that we only know to be lost was lent under our name too.
    pub(crate) fn ours(&self, reference: &RefDescriptor) -> Option<Key> {
        let key = Key(reference.key);
        let object = self.objects.get(key)?;
        (reference.owner == self.me && object.borrow().is_none() && object.id == reference.object).then_some(key)
    }

    pub(crate) fn put(&mut self, value: NewValue, out: &mut Vec<Effect>) {
        for &inner in &value.contains {
            self.hold(inner);
        }
        let mut object = Object::new(self.ids.put(), Origin::Owned { task: Key::NIL });
        object.handles = 1;
        object.value = Some((value.place, value.is_error));
        object.contains = value.contains;
        out.push(Effect::Opened { object: self.objects.insert(object) });
    }

    pub(crate) fn retain(&mut self, object: Key) {
        if let Some(object) = self.objects.get_mut(object) {
            object.handles += 1;
        }
    }

    pub(crate) fn release_handle(&mut self, key: Key) {
        if let Some(object) = self.objects.get_mut(key) {
            object.handles = object.handles.saturating_sub(1);
            self.doom(key);
        }
    }

    pub(crate) fn hold(&mut self, object: Key) {
        if let Some(object) = self.objects.get_mut(object) {
            object.uses += 1;
        }
    }

    pub(crate) fn release(&mut self, key: Key) {
        if let Some(object) = self.objects.get_mut(key) {
            object.uses -= 1;
            self.doom(key);
        }
    }

    fn unheld(&self, object: &Object) -> bool {
        let lent = !object.lent.is_empty() && !self.has_bug(Bug::FreeWhileBorrowed);
        let registering = object.borrow().is_some_and(|borrow| borrow.registering);
        object.handles == 0 && object.uses == 0 && !lent && !registering
    }

    /// Something let go of it: when that was the last one, it goes at the end of the step.
    pub(crate) fn doom(&mut self, key: Key) {
        if self.objects.get(key).is_some_and(|object| self.unheld(object)) {
            self.doomed.push(key);
        }
    }

    /// A list instead of recursion: containers may be nested as deep as users like.
    pub(crate) fn bury(&mut self, out: &mut Vec<Effect>) {
        while let Some(key) = self.doomed.pop() {
            if self.objects.get(key).is_some_and(|object| self.unheld(object))
                && let Some(object) = self.objects.remove(key)
            {
                self.freed(object, out);
            }
        }
    }

    fn freed(&mut self, object: Object, out: &mut Vec<Effect>) {
        for inner in object.contains {
            self.release(inner);
        }
        match object.origin {
            Origin::Owned { .. } => match object.value {
                Some((Place::Inline(payload), _)) => drop_payload(payload, out),
                Some((Place::Arena(extent), _)) => self.free_extent(extent, out),
                None => {}
            },
            Origin::Alias { of } => self.release(of),
            Origin::Borrowed(borrow) => {
                self.borrow_ended(object.id, &borrow, out);
                drop_copy(object.value, out);
            }
            Origin::Lost => drop_copy(object.value, out),
        }
        if object.actor != Key::NIL {
            self.actor_unreferenced(object.actor, out);
        }
    }

    pub(crate) fn watch(&mut self, key: Key, waiter: u32, out: &mut Vec<Effect>) {
        match self.objects.get_mut(key) {
            Some(object) if object.value.is_none() => {
                object.waiters.push(Waiter::Shell(waiter));
                self.fetch(key, out);
            }
            Some(_) | None => out.push(Effect::Ready { object: key, waiter }),
        }
    }

    pub(crate) fn unwatch(&mut self, object: Key, waiter: u32) {
        if let Some(object) = self.objects.get_mut(object) {
            let found = object.waiters.iter().position(|other| matches!(other, Waiter::Shell(w) if *w == waiter));
            if let Some(at) = found {
                object.waiters.swap_remove(at);
            }
        }
    }

    /// The object is there: tells all who wait. `contains` are held already.
    pub(crate) fn resolve(
        &mut self,
        now: Time,
        key: Key,
        value: (Place, bool),
        contains: SmallVec<[Key; 2]>,
        out: &mut Vec<Effect>,
    ) {
        let Some(object) = self.objects.get_mut(key) else { return };
        object.value = Some(value);
        object.contains = contains;
        self.resolved.values += 1;
        self.resolved.errors += u64::from(value.1);
        if let Origin::Owned { task } = &mut object.origin {
            *task = Key::NIL;
        }
        for waiter in std::mem::take(&mut object.waiters) {
            match waiter {
                Waiter::Shell(waiter) => out.push(Effect::Ready { object: key, waiter }),
                Waiter::Task(task) => self.dependency_ready(now, task, key, value.1, out),
                Waiter::Borrower { peer, token } => self.send_value(peer, key, token, out),
            }
        }
    }

    /// Several returns, one error: the others share the first one's bytes.
    pub(crate) fn resolve_alias(&mut self, now: Time, key: Key, of: Key, out: &mut Vec<Effect>) {
        let Some(value) = self.objects.get(of).and_then(|object| object.value) else { return };
        let Some(object) = self.objects.get_mut(key) else { return };
        object.origin = Origin::Alias { of };
        self.hold(of);
        self.resolve(now, key, value, SmallVec::new(), out);
    }

    pub(crate) fn send_value(&mut self, to: Key, key: Key, token: u64, out: &mut Vec<Effect>) {
        let Some(value) = self.wire_value(key) else { return };
        for inner in SmallVec::<[Key; 2]>::from_slice(self.contains(key)) {
            self.lend(inner, to);
        }
        self.send(to, PeerMessage::Value { token, value: Some(value) }, out);
    }

    /// The value as it travels; who sends it lends what is inside.
    pub(crate) fn wire_value(&self, key: Key) -> Option<WireValue> {
        let (place, is_error) = self.objects.get(key)?.value?;
        Some(WireValue { place, is_error, contains: self.describe_all(self.contains(key)) })
    }

    pub(crate) fn describe_all(&self, keys: &[Key]) -> Vec<RefDescriptor> {
        keys.iter().filter_map(|key| self.describe(*key)).collect()
    }

    /// The error value that `Effect::MakeError` asked for. The machine owns the payload from here on.
    pub fn resolve_error(&mut self, now: Time, key: Key, payload: Payload, out: &mut Vec<Effect>) {
        match self.objects.get_mut(key) {
            None => drop_payload(payload, out),
            Some(object) if object.value.is_some() => drop_payload(payload, out),
            Some(object) => {
                let task = object.task();
                self.resolve(now, key, (Place::Inline(payload), true), SmallVec::new(), out);
                if let Some(task) = task {
                    self.error_made(task, out);
                }
            }
        }
        self.bury(out);
    }
}

/// A borrower's copy: inline bytes are its own, what lies in shared memory is not.
fn drop_copy(value: Option<(Place, bool)>, out: &mut Vec<Effect>) {
    if let Some((Place::Inline(payload), _)) = value {
        drop_payload(payload, out);
    }
}
