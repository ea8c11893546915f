//! Submitting: tasks, actors and method calls.

use crate::core::Core;
use crate::definition::Definition;
use crate::process::Process;
use iosdk_runtime_core::{Draft, Input, Target};
use iosdk_types::spec::{ActorSpec, ClassSpec, DEPTH_MAX};
use iosdk_types::{ActorId, Key, RefDescriptor, ResourceSet};
use smallvec::SmallVec;

/// A call as a binding describes it; bytes are copied.
pub struct NewCall<'a> {
    pub function: Key,
    pub args: &'a [u8],
    /// Top-level references among the arguments, in order.
    pub deps: &'a [Key],
    /// References inside the arguments, in pickle order.
    pub contains: &'a [Key],
    pub returns: u16,
    /// How often it may run again; -1: for ever.
    pub retries: i32,
}

pub struct NewActor {
    pub class_name: String,
    pub placement: ResourceSet,
    pub held: ResourceSet,
}

/// The references to what a call will return, each with one handle held.
pub struct Submitted {
    pub returns: SmallVec<[(Key, RefDescriptor); 1]>,
}

#[derive(Debug)]
pub enum SubmitError {
    /// A chain of tasks that wait for tasks would be deeper than `limit`.
    TooDeep { limit: u32, function: String },
    /// The session is over.
    Closed,
}

impl Process {
    /// A function, class or method that calls can name from here on.
    pub fn define(&self, definition: &Definition) -> Key {
        let mut core = self.peek();
        let payload = core.payloads.insert(&definition.to_bytes());
        let key = core.owner.define(payload);
        core.names.insert(key.0, definition.name.clone());
        key
    }

    /// A number for these resources, for `submit_task`.
    pub fn resource_class(&self, resources: ResourceSet) -> u32 {
        let mut core = self.peek();
        if let Some(known) = core.resource_classes.iter().position(|set| *set == resources) {
            return known as u32;
        }
        core.resource_classes.push(resources);
        (core.resource_classes.len() - 1) as u32
    }

    pub fn submit_task(&self, resource_class: u32, call: NewCall<'_>) -> Result<Submitted, SubmitError> {
        let now = Self::now();
        let mut core = self.enter();
        if core.closed {
            return Err(SubmitError::Closed);
        }
        let depth = core.owner.submit_depth();
        if depth >= DEPTH_MAX {
            let function = core.name_of(call.function);
            return Err(SubmitError::TooDeep { limit: DEPTH_MAX, function });
        }
        let class = core.class_at(resource_class, depth);
        let draft = core.draft(Target::Task { class }, &call);
        core.step(now, Input::Submit(draft));
        let submitted = core.take_submitted();
        self.leave_core(core);
        Ok(submitted)
    }

    pub fn submit_method(&self, actor: Key, call: NewCall<'_>) -> Result<Submitted, SubmitError> {
        let now = Self::now();
        let mut core = self.enter();
        if core.closed {
            return Err(SubmitError::Closed);
        }
        let draft = core.draft(Target::Method { actor }, &call);
        core.step(now, Input::Submit(draft));
        let submitted = core.take_submitted();
        self.leave_core(core);
        Ok(submitted)
    }

    /// Returns the actor's key, its id, and its counting reference with one handle held.
    #[allow(clippy::type_complexity)]
    pub fn create_actor(
        &self,
        actor: NewActor,
        call: NewCall<'_>,
    ) -> Result<(Key, ActorId, (Key, RefDescriptor)), SubmitError> {
        let now = Self::now();
        let mut core = self.enter();
        if core.closed {
            return Err(SubmitError::Closed);
        }
        let id = core.owner.next_actor_id();
        core.actor_names.insert(id, actor.class_name.clone());
        let spec = ActorSpec {
            actor: id,
            owner: self.session().address,
            submission: None,
            class_name: actor.class_name,
            placement: actor.placement,
            held: actor.held,
        };
        let draft = core.draft(Target::Method { actor: Key::NIL }, &call);
        core.step(now, Input::CreateActor { spec, draft });
        let key = core.actor_opened.take().unwrap_or(Key::NIL);
        let counting = core.take_submitted().returns.first().copied().ok_or(SubmitError::Closed)?;
        self.leave_core(core);
        Ok((key, id, counting))
    }

    pub fn adopt_actor(&self, actor: ActorId, counting: Key) -> Key {
        let now = Self::now();
        let mut core = self.enter();
        core.step(now, Input::AdoptActor { actor, object: counting });
        let key = core.actor_opened.take().unwrap_or(Key::NIL);
        self.leave_core(core);
        key
    }

    pub fn kill_actor(&self, actor: Key) {
        let now = Self::now();
        let mut core = self.enter();
        core.step(now, Input::KillActor { actor });
        self.leave_core(core);
    }

    pub fn cancel(&self, object: Key, force: bool) {
        let now = Self::now();
        let mut core = self.enter();
        core.step(now, Input::Cancel { object, force });
        self.leave_core(core);
    }
}

impl Core {
    fn class_at(&mut self, resource_class: u32, depth: u32) -> Key {
        if let Some(class) = self.classes.get(&(resource_class, depth)) {
            return *class;
        }
        let resources = self.resource_classes.get(resource_class as usize).cloned().unwrap_or_default();
        let class = self.owner.class(ClassSpec { resources, depth });
        self.classes.insert((resource_class, depth), class);
        class
    }

    fn draft(&mut self, target: Target, call: &NewCall<'_>) -> Draft {
        Draft {
            target,
            function: call.function,
            args: self.payloads.insert(call.args),
            deps: SmallVec::from_slice(call.deps),
            contains: SmallVec::from_slice(call.contains),
            returns: call.returns,
            retries: call.retries,
        }
    }

    fn take_submitted(&mut self) -> Submitted {
        let mut returns = SmallVec::new();
        if let Some((task, first)) = self.submitted.take() {
            if let Some(descriptor) = self.owner.describe(first) {
                returns.push((first, descriptor));
            }
            for key in self.owner.returns(task).iter().skip(1) {
                if let Some(descriptor) = self.owner.describe(*key) {
                    returns.push((*key, descriptor));
                }
            }
        }
        Submitted { returns }
    }
}
