//! Actors: where each is to live, where it lives, and who wants to know. An actor is sent to one node at a time, and to another
//! only after that node has said that it does not have it.

use crate::{Effect, Gcs};
use iosdk_types::message::{ActorDeath, GcsToRaylet};
use iosdk_types::spec::ActorSpec;
use iosdk_types::{ActorId, Address, Amount, Death, Exit, Map, Set};
use std::collections::VecDeque;

/// Dead actors remembered for those who ask late.
const REMEMBERED: usize = 100_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No node can take it now.
    Waiting,
    Starting {
        node: u32,
    },
    Alive {
        address: Address,
    },
    Dead {
        cause: ActorDeath,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) spec: ActorSpec,
    pub(crate) state: State,
    watchers: Set<Address>,
    /// It was told to end, for this reason.
    stop: Option<ActorDeath>,
    /// Nodes that had no room for it when they last spoke.
    refused_by: Set<u32>,
    /// Nodes that were told to start it and have not said that it is gone: never two.
    sent_to: Set<u32>,
}

/// What came before the creation itself: messages of two processes of one node may overtake each other.
#[derive(Clone, Debug, Default)]
struct Early {
    watchers: Set<Address>,
    killed: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Actors {
    pub(crate) all: Map<ActorId, Actor>,
    early: Map<ActorId, Early>,
    waiting: Set<ActorId>,
    pub(crate) dead: VecDeque<ActorId>,
}

impl Actors {
    pub(crate) fn living(&self) -> impl Iterator<Item = &ActorId> {
        self.all.iter().filter(|(_, actor)| !matches!(actor.state, State::Dead { .. })).map(|(id, _)| id)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        for (id, actor) in &self.all {
            if actor.sent_to.len() > 1 {
                return Err(format!("ACT-2: {id} was sent to nodes {:?}", actor.sent_to));
            }
            let home = match &actor.state {
                State::Starting { node } => Some(*node),
                State::Alive { address } => Some(address.node),
                State::Waiting | State::Dead { .. } => None,
            };
            if home != actor.sent_to.first().copied() {
                return Err(format!("ACT-2: {id} is {:?}, but was sent to {:?}", actor.state, actor.sent_to));
            }
            if (actor.state == State::Waiting) != self.waiting.contains(id) {
                return Err(format!("{id} is {:?} and listed wrongly", actor.state));
            }
        }
        Ok(())
    }
}

impl Gcs {
    pub(crate) fn create_actor(&mut self, spec: ActorSpec, out: &mut Vec<Effect>) {
        let id = spec.actor;
        if self.actors.all.contains_key(&id) {
            if self.sends_twice() {
                self.place(id, out);
            }
            // Repeated: its owner has lost the answer.
            return self.tell(id, spec.owner, out);
        }
        let early = self.actors.early.remove(&id).unwrap_or_default();
        let mut watchers = early.watchers;
        watchers.insert(spec.owner);
        let actor =
            Actor { spec, state: State::Waiting, watchers, stop: None, refused_by: Set::new(), sent_to: Set::new() };
        self.actors.all.insert(id, actor);
        self.actors.waiting.insert(id);
        if early.killed {
            return self.dies(id, ActorDeath::Killed, out);
        }
        self.place(id, out);
    }

    /// Sends it to a node that has room now, or else to one that will have some day and has not refused: that node queues it.
    fn place(&mut self, id: ActorId, out: &mut Vec<Effect>) {
        // It may live where nobody has asked yet.
        let Some(actor) = self.actors.all.get(&id).filter(|_| self.recovery.is_over()) else { return };
        let spec = &actor.spec;
        let free_cpu = |available: &iosdk_types::ResourceSet| available.get("CPU");
        let mut possible = false;
        let mut best: Option<((bool, Amount), u32)> = None;
        for (number, node) in self.nodes.alive() {
            let total = &node.record.resources;
            if !total.covers(&spec.placement) || !total.covers(&spec.held) {
                continue;
            }
            possible = true;
            let taken = actor.refused_by.contains(&number) || actor.sent_to.contains(&number);
            let rank = (node.available.covers(&spec.placement), free_cpu(&node.available));
            if !taken && best.as_ref().is_none_or(|(best_rank, _)| rank > *best_rank) {
                best = Some((rank, number));
            }
        }
        if !possible && !self.config.infeasible_waits {
            let why = format!("no node of the cluster has {} to start it and {} to hold", spec.placement, spec.held);
            return self.dies(id, ActorDeath::Infeasible { why }, out);
        }
        if let Some((_, node)) = best
            && let Some(actor) = self.actors.all.get_mut(&id)
        {
            actor.state = State::Starting { node };
            actor.sent_to.insert(node);
            self.actors.waiting.remove(&id);
            let message = GcsToRaylet::StartActor { spec: actor.spec.clone() };
            out.push(Effect::ToRaylet { node, message });
        }
    }

    pub(crate) fn place_waiting(&mut self, out: &mut Vec<Effect>) {
        let waiting: Vec<ActorId> = self.actors.waiting.iter().copied().collect();
        for id in waiting {
            self.place(id, out);
        }
    }

    /// What a node refused it may take now.
    pub(crate) fn forget_refusals(&mut self, node: u32) {
        for id in &self.actors.waiting {
            if let Some(actor) = self.actors.all.get_mut(id) {
                actor.refused_by.remove(&node);
            }
        }
    }

    pub(crate) fn actor_refused(&mut self, node: u32, id: ActorId, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get_mut(&id).filter(|actor| actor.state == (State::Starting { node })) else {
            return;
        };
        actor.sent_to.remove(&node);
        actor.refused_by.insert(node);
        actor.state = State::Waiting;
        let stop = actor.stop.take();
        self.actors.waiting.insert(id);
        match stop {
            Some(cause) => self.dies(id, cause, out),
            None => self.place(id, out),
        }
    }

    pub(crate) fn actor_started(&mut self, node: u32, id: ActorId, address: Address, out: &mut Vec<Effect>) {
        if address.node != node || !self.nodes.is_alive(node) {
            return;
        }
        let Some(actor) = self.actors.all.get_mut(&id) else { return };
        let expected = actor.state == (State::Starting { node });
        match &actor.state {
            State::Starting { .. } if expected => {
                actor.state = State::Alive { address };
                let watchers: Vec<Address> = actor.watchers.iter().copied().collect();
                for watcher in watchers {
                    self.tell(id, watcher, out);
                }
            }
            // Said again, or the stop is on its way.
            State::Alive { address: known } if *known == address => {}
            State::Dead { cause } => {
                let message = GcsToRaylet::StopActor { actor: id, cause: cause.clone() };
                out.push(Effect::ToRaylet { node, message });
            }
            State::Starting { .. } | State::Waiting | State::Alive { .. } => {
                // Not where it belongs: one process at most.
                let message = GcsToRaylet::StopActor { actor: id, cause: ActorDeath::NodeDied };
                out.push(Effect::ToRaylet { node, message });
            }
        }
    }

    /// Said after a join. A GCS that was restarted learns of the actor; any other has known it.
    pub(crate) fn actor_lives(&mut self, node: u32, spec: ActorSpec, address: Address, out: &mut Vec<Effect>) {
        let (id, owner) = (spec.actor, spec.owner);
        if address.node != node {
            return;
        }
        let learns = |actor: &Actor| actor.state == State::Waiting && !self.recovery.is_over();
        if self.actors.all.get(&id).is_some_and(|actor| !learns(actor)) {
            return self.actor_started(node, id, address, out);
        }
        let early = self.actors.early.remove(&id).unwrap_or_default();
        let mut watchers = self.actors.all.remove(&id).map_or(early.watchers, |actor| actor.watchers);
        watchers.insert(owner);
        self.actors.waiting.remove(&id);
        let (state, sent_to) = (State::Alive { address }, Set::from([node]));
        let told = watchers.clone();
        self.actors.all.insert(id, Actor { spec, state, watchers, stop: None, refused_by: Set::new(), sent_to });
        for watcher in told {
            self.tell(id, watcher, out);
        }
        if early.killed {
            self.stop(id, ActorDeath::Killed, out);
        } else if self.is_gone(owner) {
            self.stop(id, ActorDeath::OwnerDied(unseen_death()), out);
        }
    }

    /// Once all nodes have said what is on them: the owners of some actors are on none of them.
    pub(crate) fn stop_orphans(&mut self, out: &mut Vec<Effect>) {
        let owners: Set<Address> = self.actors.all.values().map(|actor| actor.spec.owner).collect();
        let gone: Set<Address> = owners.into_iter().filter(|owner| self.is_gone(*owner)).collect();
        self.stop_owned(|owner| gone.contains(&owner), &unseen_death(), out);
    }

    pub(crate) fn actor_ended(&mut self, node: u32, id: ActorId, cause: ActorDeath, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get(&id).filter(|actor| actor.sent_to.contains(&node)) else { return };
        let cause = actor.stop.clone().unwrap_or(cause);
        self.dies(id, cause, out);
    }

    pub(crate) fn kill_actor(&mut self, id: ActorId, out: &mut Vec<Effect>) {
        if self.actors.all.contains_key(&id) {
            self.stop(id, ActorDeath::Killed, out);
        } else {
            self.actors.early.entry(id).or_default().killed = true;
        }
    }

    /// Ends it wherever it is. The first reason given stays the reason; saying it again is harmless.
    fn stop(&mut self, id: ActorId, cause: ActorDeath, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get_mut(&id) else { return };
        let node = match &actor.state {
            State::Waiting => return self.dies(id, cause, out),
            State::Dead { .. } => return,
            State::Starting { node } => *node,
            State::Alive { address } => address.node,
        };
        let cause = actor.stop.get_or_insert(cause).clone();
        out.push(Effect::ToRaylet { node, message: GcsToRaylet::StopActor { actor: id, cause } });
    }

    fn dies(&mut self, id: ActorId, cause: ActorDeath, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get_mut(&id) else { return };
        actor.state = State::Dead { cause };
        actor.sent_to.clear();
        let watchers = std::mem::take(&mut actor.watchers);
        self.actors.waiting.remove(&id);
        for watcher in watchers {
            self.tell(id, watcher, out);
        }
        self.actors.dead.push_back(id);
        if self.actors.dead.len() > REMEMBERED
            && let Some(oldest) = self.actors.dead.pop_front()
        {
            self.actors.all.remove(&oldest);
        }
    }

    pub(crate) fn watch_actor(&mut self, id: ActorId, watcher: Address, out: &mut Vec<Effect>) {
        match self.actors.all.get_mut(&id) {
            Some(actor) => {
                if !matches!(actor.state, State::Dead { .. }) {
                    actor.watchers.insert(watcher);
                }
                self.tell(id, watcher, out);
            }
            None => {
                self.actors.early.entry(id).or_default().watchers.insert(watcher);
            }
        }
    }

    /// What is known, to one watcher. Nothing while it is not known where it will be.
    fn tell(&self, id: ActorId, watcher: Address, out: &mut Vec<Effect>) {
        let Some(actor) = self.actors.all.get(&id).filter(|_| self.nodes.is_alive(watcher.node)) else { return };
        let message = match &actor.state {
            State::Waiting | State::Starting { .. } => return,
            State::Alive { address } => GcsToRaylet::ActorAlive { actor: id, address: *address, watcher },
            State::Dead { cause } => GcsToRaylet::ActorDead { actor: id, cause: cause.clone(), watcher },
        };
        out.push(Effect::ToRaylet { node: watcher.node, message });
    }

    /// Actors die with their owner; the dead watch nothing.
    pub(crate) fn process_died(&mut self, process: Address, death: &Death, out: &mut Vec<Effect>) {
        self.drivers.died(process);
        self.recovery.died(process);
        self.drop_watchers(|watcher| watcher == process);
        self.stop_owned(|owner| owner == process, death, out);
    }

    fn stop_owned(&mut self, is_gone: impl Fn(Address) -> bool, death: &Death, out: &mut Vec<Effect>) {
        let of_it = |actor: &Actor| is_gone(actor.spec.owner) && !matches!(actor.state, State::Dead { .. });
        let owned: Vec<ActorId> = self.actors.all.iter().filter(|(_, actor)| of_it(actor)).map(|(id, _)| *id).collect();
        for id in owned {
            self.stop(id, ActorDeath::OwnerDied(death.clone()), out);
        }
    }

    pub(crate) fn drop_watchers_of(&mut self, node: u32) {
        self.drop_watchers(|watcher| watcher.node == node);
    }

    fn drop_watchers(&mut self, is_gone: impl Fn(Address) -> bool) {
        for actor in self.actors.all.values_mut() {
            actor.watchers.retain(|watcher| !is_gone(*watcher));
        }
        self.actors.early.retain(|_, early| {
            early.watchers.retain(|watcher| !is_gone(*watcher));
            early.killed || !early.watchers.is_empty()
        });
    }

    pub(crate) fn actors_of_node_died(&mut self, node: u32, out: &mut Vec<Effect>) {
        let there: Vec<ActorId> =
            self.actors.all.iter().filter(|(_, actor)| actor.sent_to.contains(&node)).map(|(id, _)| *id).collect();
        for id in there {
            self.dies(id, ActorDeath::NodeDied, out);
        }
        self.stop_owned(|owner| owner.node == node, &unseen_death(), out);
    }

    /// The node is back with nothing lost but messages: say again what it may have missed.
    pub(crate) fn resume_actors_of(&mut self, node: u32, out: &mut Vec<Effect>) {
        for (id, actor) in self.actors.all.iter().filter(|(_, actor)| actor.sent_to.contains(&node)) {
            let message = match &actor.stop {
                Some(cause) => GcsToRaylet::StopActor { actor: *id, cause: cause.clone() },
                None if actor.state == (State::Starting { node }) => {
                    GcsToRaylet::StartActor { spec: actor.spec.clone() }
                }
                None => continue,
            };
            out.push(Effect::ToRaylet { node, message });
        }
    }
}

/// Of a process whose node cannot say how it ended.
fn unseen_death() -> Death {
    Death { pid: 0, exit: Exit::Unknown, intended: false, last_lines: Vec::new() }
}
