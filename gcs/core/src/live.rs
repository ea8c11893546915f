//! What is told of actors and drivers: where each is, and why it is not anywhere. Nothing is decided here.

use crate::actors::State;
use crate::{ApiReply, Gcs};
use iosdk_types::message::ActorDeath;
use iosdk_types::{ActorId, Address, JobId, ResourceSet};

/// An actor, as told to who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorView {
    pub actor: ActorId,
    pub class_name: String,
    pub owner: Address,
    pub placement: ResourceSet,
    pub held: ResourceSet,
    pub at: ActorAt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorAt {
    Waiting,
    Starting { node: u32 },
    Alive(Address),
    Dead(ActorDeath),
}

/// A driver that is here now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverView {
    pub process: Address,
    pub job: JobId,
}

impl Gcs {
    /// Those that live first, then the dead, those that died last before the others.
    pub(crate) fn view_actors(&self, only: Option<ActorId>, limit: usize) -> ApiReply {
        if let Some(only) = only {
            let found: Vec<ActorView> = self.view_actor(&only).into_iter().collect();
            let total = found.len();
            return ApiReply::Actors(found, total);
        }
        let dead = self.actors.dead.iter().rev();
        let ids = self.actors.living().chain(dead);
        let views = ids.filter_map(|id| self.view_actor(id)).take(limit).collect();
        ApiReply::Actors(views, self.actors.all.len())
    }

    fn view_actor(&self, id: &ActorId) -> Option<ActorView> {
        let actor = self.actors.all.get(id)?;
        let at = match &actor.state {
            State::Waiting => ActorAt::Waiting,
            State::Starting { node } => ActorAt::Starting { node: *node },
            State::Alive { address } => ActorAt::Alive(*address),
            State::Dead { cause } => ActorAt::Dead(cause.clone()),
        };
        let spec = &actor.spec;
        Some(ActorView {
            actor: *id,
            class_name: spec.class_name.clone(),
            owner: spec.owner,
            placement: spec.placement.clone(),
            held: spec.held.clone(),
            at,
        })
    }

    pub(crate) fn view_drivers(&self) -> ApiReply {
        ApiReply::Drivers(self.drivers.all().map(|(process, job)| DriverView { process, job }).collect())
    }
}
