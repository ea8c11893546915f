//! Objects: put, fetch, wait, and the handles that count them.

use crate::core::{Core, Reply};
use crate::process::Process;
use crate::wait::Blocked;
use iosdk_runtime_core::{Input, NewValue, ObjectState, Resolved};
use iosdk_store::{PutError, View, Writer};
use iosdk_types::message::peer::Place;
use iosdk_types::message::{ProcessToRaylet, StoreReport};
use iosdk_types::{Address, Extent, Key, RefDescriptor};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Instant;

/// A sealed object or a private copy of one, readable for as long as this lives.
#[derive(Clone)]
pub struct SharedView(Arc<Bytes>);

enum Bytes {
    Pinned(View),
    Copied(Vec<u8>),
}

impl SharedView {
    #[allow(unsafe_code)]
    pub fn bytes(&self) -> &[u8] {
        match &*self.0 {
            // SAFETY: a view is a pinned, sealed, mapped range of memory that nobody writes to while it lives.
            Bytes::Pinned(view) => unsafe { std::slice::from_raw_parts(view.as_ptr(), view.len()) },
            Bytes::Copied(bytes) => bytes,
        }
    }
}

/// What a reference holds now.
pub enum Fetched {
    Pending,
    /// The object is not known here any more.
    Gone,
    Inline {
        bytes: Arc<[u8]>,
        is_error: bool,
        contains: SmallVec<[Key; 2]>,
    },
    Shared {
        view: SharedView,
        is_error: bool,
        contains: SmallVec<[Key; 2]>,
    },
}

/// Objects that one wait watches one by one.
const WATCHED_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// All of them, or any one that is an error.
    AllOrError,
    /// This many.
    Count(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Done,
    TimedOut {
        ready: usize,
    },
    /// Look at signals and wait again.
    Interrupted,
    /// The session ended meanwhile.
    Closed,
}

#[derive(Debug)]
pub enum StoreError {
    Full { needed: u64, report: StoreReport },
    System(std::io::Error),
    Interrupted,
    Closed,
}

impl From<iosdk_store::StoreError> for StoreError {
    fn from(error: iosdk_store::StoreError) -> Self {
        match error {
            iosdk_store::StoreError::Interrupted => Self::Interrupted,
            iosdk_store::StoreError::Os { what, errno } => {
                let error = std::io::Error::from(errno);
                Self::System(std::io::Error::new(error.kind(), format!("object store: {what}: {error}")))
            }
            other => Self::System(std::io::Error::other(format!("object store: {other}"))),
        }
    }
}

/// A large value on its way into the arena.
pub struct Writing(Writer);

impl Writing {
    pub fn write(&mut self, at: usize, bytes: &[u8], mut stop: impl FnMut() -> bool) -> Result<(), StoreError> {
        Ok(self.0.copy_in(at as u64, bytes, || !stop())?)
    }

    pub fn seal(self) -> Result<Extent, StoreError> {
        Ok(self.0.seal()?)
    }
}

impl Process {
    pub fn put_inline(&self, bytes: &[u8], contains: &[Key]) -> (Key, RefDescriptor) {
        let mut core = self.enter();
        let payload = core.payloads.insert(bytes);
        let put = self.put(&mut core, Place::Inline(payload), contains);
        self.leave_core(core);
        put
    }

    pub fn put_extent(&self, extent: Extent, contains: &[Key]) -> (Key, RefDescriptor) {
        let mut core = self.enter();
        let put = self.put(&mut core, Place::Arena(extent), contains);
        self.leave_core(core);
        put
    }

    fn put(&self, core: &mut Core, place: Place, contains: &[Key]) -> (Key, RefDescriptor) {
        let value = NewValue { place, is_error: false, contains: SmallVec::from_slice(contains) };
        core.step(Self::now(), Input::Put(value));
        let key = core.opened.take().unwrap_or(Key::NIL);
        let descriptor = core.owner.describe(key);
        // A put is always answered with the object it made.
        (key, descriptor.expect("a put opens an object"))
    }

    /// Room for `len` bytes of a value that `owner` will own, if there is some at hand.
    pub fn try_allocate(&self, len: usize, owner: Option<Address>) -> Option<Result<Writing, StoreError>> {
        let owner = owner.unwrap_or(self.session().address);
        // What was dropped a moment ago is room for this one, and its pages are warm.
        let core = self.enter();
        self.leave_core(core);
        match self.store().allocate(len as u64, owner) {
            Ok(writer) => Some(Ok(Writing(writer))),
            Err(PutError::Needs(_)) => None,
            Err(PutError::Memory(error)) => Some(Err(error.into())),
        }
    }

    /// Waits for room, as long as the raylet lets it wait. `stop` is asked now and then.
    pub fn allocate(
        &self,
        len: usize,
        owner: Option<Address>,
        mut stop: impl FnMut() -> bool,
    ) -> Result<Writing, StoreError> {
        let owner = owner.unwrap_or(self.session().address);
        loop {
            let needs = match self.store().allocate(len as u64, owner) {
                Ok(writer) => return Ok(Writing(writer)),
                Err(PutError::Memory(error)) => return Err(error.into()),
                Err(PutError::Needs(needs)) => needs,
            };
            let asked = needs.bytes;
            let request = self.ask(|request| ProcessToRaylet::ExtentRequest { request, bytes: asked }, Reply::Pending);
            match self.await_reply(request, None, &mut stop)? {
                Reply::Extent { offset, bytes } => {
                    if let Err(error) = self.store().grant(offset, bytes, needs.purpose, || !stop()) {
                        self.say(ProcessToRaylet::ExtentReturn { offset });
                        return Err(error.into());
                    }
                }
                Reply::Refused(report) => {
                    // What is kept here for the next put may be of the wrong size: give it back and ask once more.
                    self.store().drain();
                    let mut core = self.enter();
                    let gave = core.give_back();
                    self.leave_core(core);
                    if !gave {
                        return Err(StoreError::Full { needed: len as u64, report });
                    }
                }
                Reply::Answer(_) | Reply::Pending => return Err(StoreError::Closed),
            }
        }
    }

    /// One more handle; `None` when the object is not known here.
    pub fn retain(&self, object: Key) -> Option<RefDescriptor> {
        let mut core = self.enter();
        let descriptor = core.owner.describe(object)?;
        core.step(Self::now(), Input::retain(object));
        self.leave_core(core);
        Some(descriptor)
    }

    /// One more handle of each, under one lock.
    pub fn retain_all(&self, objects: &[Key]) -> Vec<Option<RefDescriptor>> {
        let mut core = self.enter();
        let descriptors = objects.iter().map(|&object| core.owner.describe(object)).collect();
        // The machine counts nothing for those it does not know.
        core.step(Self::now(), Input::Retain { objects: SmallVec::from_slice(objects) });
        self.leave_core(core);
        descriptors
    }

    pub fn describe(&self, object: Key) -> Option<RefDescriptor> {
        self.peek().owner.describe(object)
    }

    /// A descriptor that came here by ways of the user's own.
    pub fn adopt(&self, reference: RefDescriptor) -> Key {
        let mut core = self.enter();
        core.step(Self::now(), Input::Adopt { reference });
        let key = core.opened.take().unwrap_or(Key::NIL);
        self.leave_core(core);
        key
    }

    /// Keeps an object for the rest of the session: its reference was carried away where nobody can count it.
    pub fn pin_for_session(&self, object: Key) {
        let mut core = self.enter();
        if core.owner.describe(object).is_some() {
            core.step(Self::now(), Input::retain(object));
        }
        self.leave_core(core);
    }

    pub fn fetch(&self, object: Key) -> Fetched {
        let core = self.enter();
        let state = core.owner.state(object);
        let fetched = match state {
            ObjectState::Pending => Fetched::Pending,
            ObjectState::Unknown => Fetched::Gone,
            ObjectState::Ready { place, is_error } => {
                let contains = SmallVec::from_slice(core.owner.contains(object));
                core.fetch_place(place, is_error, contains)
            }
        };
        self.leave_core(core);
        fetched
    }

    /// True when no waiting is needed; looks for a few microseconds, for answers that come at once.
    pub fn try_wait(&self, keys: &[Key], need: Need) -> bool {
        {
            let mut core = self.enter();
            self.drive(&mut core);
            let done = core.satisfied(keys, need);
            if !done {
                core.want_borrowed(keys);
            }
            self.leave_core(core);
            if done {
                return true;
            }
        }
        let begun = Instant::now();
        while self.spin_briefly(begun) {
            let mut core = self.enter();
            self.drive(&mut core);
            let done = core.satisfied(keys, need);
            self.leave_core(core);
            if done {
                return true;
            }
        }
        false
    }

    /// Blocks, for a slice of time at most. A few objects are watched one by one; with many, all are looked at again when
    /// as many as are missing have come to this process.
    pub fn wait(&self, keys: &[Key], need: Need, deadline: Option<Instant>) -> Waited {
        if keys.len() > WATCHED_MAX {
            self.wait_for_many(keys, need, deadline)
        } else {
            self.wait_for_few(keys, need, deadline)
        }
    }

    fn wait_for_many(&self, keys: &[Key], need: Need, deadline: Option<Instant>) -> Waited {
        let mut core = self.enter();
        if core.satisfied(keys, need) {
            self.leave_core(core);
            return Waited::Done;
        }
        let mut due = core.due(keys, need);
        let waiter = core.waiters.open_for_arrivals(due);
        self.leave_core(core);
        let blocked = self.block(deadline, Some(waiter), |core| {
            let came = core.owner.resolved();
            if came.values < due.values && came.errors < due.errors {
                return None;
            }
            if core.satisfied(keys, need) {
                return Some(());
            }
            due = core.due(keys, need);
            core.waiters.await_arrivals(waiter, due);
            None
        });
        let mut core = self.enter();
        core.waiters.close(waiter);
        let waited = core.waited(keys, blocked);
        self.leave_core(core);
        waited
    }

    fn wait_for_few(&self, keys: &[Key], need: Need, deadline: Option<Instant>) -> Waited {
        let waiter = {
            let mut core = self.enter();
            self.drive(&mut core);
            if core.satisfied(keys, need) {
                self.leave_core(core);
                return Waited::Done;
            }
            let missing = core.missing(keys, need);
            let waiter = core.waiters.open(missing, need == Need::AllOrError);
            for &object in keys {
                if matches!(core.owner.state(object), ObjectState::Pending) {
                    core.step(Self::now(), Input::Watch { object, waiter });
                }
            }
            self.leave_core(core);
            waiter
        };
        let blocked = self.block(deadline, Some(waiter), |core| core.waiters.is_done(waiter).then_some(()));
        let mut core = self.enter();
        for &object in keys {
            if matches!(core.owner.state(object), ObjectState::Pending) {
                core.step(Self::now(), Input::Unwatch { object, waiter });
            }
        }
        core.waiters.close(waiter);
        let waited = core.waited(keys, blocked);
        self.leave_core(core);
        waited
    }

    /// Where the ready ones among the refs are, the first `count` of them.
    pub fn ready_positions(&self, keys: &[Key], count: usize) -> Vec<usize> {
        let core = self.peek();
        let ready = |at: &usize| !matches!(core.owner.state(keys[*at]), ObjectState::Pending);
        (0..keys.len()).filter(ready).take(count).collect()
    }

    pub fn first_error(&self, keys: &[Key]) -> Option<Key> {
        let core = self.peek();
        keys.iter().copied().find(|&key| core.is_error(key))
    }

    /// By a stamp for each object: no set is built.
    pub fn has_duplicates(&self, keys: &[Key]) -> bool {
        let mut core = self.peek();
        let core = &mut *core;
        core.stamp = core.stamp.wrapping_add(1);
        if core.stamp == 0 {
            core.stamps.fill(0);
            core.stamp = 1;
        }
        let stamp = core.stamp;
        let stamps = &mut core.stamps;
        keys.iter().any(|key| {
            let index = key.index();
            if index >= stamps.len() {
                stamps.resize(index + 1, 0);
            }
            std::mem::replace(&mut stamps[index], stamp) == stamp
        })
    }
}

impl Core {
    pub(crate) fn fetch_place(&self, place: Place, is_error: bool, contains: SmallVec<[Key; 2]>) -> Fetched {
        match place {
            Place::Inline(payload) => match self.payloads.shared(payload) {
                Some(bytes) => Fetched::Inline { bytes, is_error, contains },
                None => Fetched::Gone,
            },
            Place::Arena(extent) => match self.open(extent) {
                Some(view) => Fetched::Shared { view, is_error, contains },
                None => Fetched::Gone,
            },
        }
    }

    fn open(&self, extent: Extent) -> Option<SharedView> {
        let bytes = match self.store.open(extent) {
            Ok(view) => Bytes::Pinned(view),
            Err(iosdk_store::OpenError::NoSlot) => {
                Bytes::Copied(iosdk_store::object::copy_out(self.store.segment(), extent).ok()?)
            }
            Err(_) => return None,
        };
        Some(SharedView(Arc::new(bytes)))
    }

    fn is_error(&self, key: Key) -> bool {
        matches!(self.owner.state(key), ObjectState::Ready { is_error: true, .. } | ObjectState::Unknown)
    }

    fn satisfied(&self, keys: &[Key], need: Need) -> bool {
        let ready = |key: &&Key| !matches!(self.owner.state(**key), ObjectState::Pending);
        match need {
            Need::AllOrError => {
                let mut all = true;
                for key in keys {
                    match self.owner.state(*key) {
                        ObjectState::Pending => all = false,
                        ObjectState::Ready { is_error: false, .. } => {}
                        ObjectState::Ready { is_error: true, .. } | ObjectState::Unknown => return true,
                    }
                }
                all
            }
            Need::Count(count) => keys.iter().filter(ready).take(count).count() >= count,
        }
    }

    fn waited(&self, keys: &[Key], blocked: Blocked<()>) -> Waited {
        match blocked {
            Blocked::Done(()) => Waited::Done,
            Blocked::TimedOut => {
                let ready = keys.iter().filter(|&&key| !matches!(self.owner.state(key), ObjectState::Pending)).count();
                Waited::TimedOut { ready }
            }
            Blocked::Interrupted => Waited::Interrupted,
            Blocked::Closed => Waited::Closed,
        }
    }

    /// What this process must have counted before it pays to look at these again.
    fn due(&self, keys: &[Key], need: Need) -> Resolved {
        let Resolved { values, errors } = self.owner.resolved();
        let values = values + self.missing(keys, need) as u64;
        Resolved { values, errors: if need == Need::AllOrError { errors + 1 } else { u64::MAX } }
    }

    fn missing(&self, keys: &[Key], need: Need) -> usize {
        let ready = keys.iter().filter(|key| !matches!(self.owner.state(**key), ObjectState::Pending)).count();
        match need {
            Need::AllOrError => keys.len() - ready,
            Need::Count(count) => count.saturating_sub(ready),
        }
    }

    /// A borrowed object is on its way as soon as somebody asks for it.
    fn want_borrowed(&mut self, keys: &[Key]) {
        for &object in keys {
            if self.owner.is_borrowed(object) {
                let waiter = self.waiters.nobody();
                self.step(Process::now(), Input::Watch { object, waiter });
                self.step(Process::now(), Input::Unwatch { object, waiter });
            }
        }
    }
}
