//! PURE. The GCS machine: what the cluster knows about nodes, drivers, actors, submitted jobs and usage. What must last is
//! a fold of records (`record.rs`, `kept.rs`); the rest is taught again by the nodes after a restart.
//! Invariants: ACT-2, GCS-1 (`iosdk_types::invariant`).

mod actors;
mod api;
mod drivers;
mod ends;
mod kept;
mod live;
mod nodes;
mod planted;
mod queries;
mod queue;
mod record;
mod recovery;
mod refusal;
mod start;
#[cfg(test)]
mod start_tests;
mod submissions;
#[cfg(test)]
mod tests;
mod usage;
mod views;

pub use api::{ApiCall, ApiError, ApiReply, ClusterView, JobStatus, JobView, NewJob, NodeView};
pub use live::{ActorAt, ActorView, DriverView};
#[cfg(feature = "planted")]
pub use planted::Bug;
pub use record::{Record, Snapshot};
pub use recovery::RETURN;
pub use start::PASSES_MAX;
pub use usage::{Account, Sum, UsageLine, Work};

use drivers::Arrival;
use iosdk_types::message::{ActorDeath, GcsToRaylet, RayletToGcs};
use iosdk_types::{Machine, ResourceSet, Time};

/// Everything that can happen to the cluster, as seen by its GCS.
#[derive(Clone, Debug)]
pub enum Input {
    FromRaylet {
        node: u32,
        message: RayletToGcs,
    },
    /// The connection to a node broke and did not come back in time.
    NodeLost {
        node: u32,
    },
    /// A call from outside, answered by a `Reply` with this number.
    Api {
        request: u64,
        call: ApiCall,
    },
    /// What the wall clock shows, said once at the start. Only times that people read follow from it.
    Clock {
        now_ms: u64,
    },
}

/// Everything the GCS machine can ask of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    ToRaylet {
        node: u32,
        message: GcsToRaylet,
    },
    /// Write this to the log, after those before it.
    Append(Record),
    Reply {
        request: u64,
        reply: ApiReply,
    },
    /// Send the job to this node, with what the shell keeps of it.
    StartJob {
        node: u32,
        number: u64,
        held: ResourceSet,
    },
    /// The job was forgotten since too many others ended after it: its files go too.
    Forgotten {
        number: u64,
    },
}

/// Whether it tells the outside what must not be forgotten after: it is held until every record before it is durable. Effects
/// that wait keep their order among themselves.
pub fn waits_for_log(effect: &Effect) -> bool {
    match effect {
        Effect::Append(_) => false,
        Effect::Reply { .. } | Effect::StartJob { .. } | Effect::Forgotten { .. } => true,
        Effect::ToRaylet { message, .. } => match message {
            GcsToRaylet::DriverAccepted { .. }
            | GcsToRaylet::StartJob { .. }
            | GcsToRaylet::StopJob { .. }
            | GcsToRaylet::JobNoted { .. }
            | GcsToRaylet::UsageNoted { .. } => true,
            // A node that was given up on may not come back after a restart: whoever heard of it has drawn conclusions.
            GcsToRaylet::ActorDead { cause, .. } => *cause == ActorDeath::NodeDied,
            GcsToRaylet::Joined { .. }
            | GcsToRaylet::StartActor { .. }
            | GcsToRaylet::StopActor { .. }
            | GcsToRaylet::ActorAlive { .. }
            | GcsToRaylet::Answer { .. }
            | GcsToRaylet::Query { .. } => false,
        },
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// What no node can hold waits (a node may join) instead of failing.
    pub infeasible_waits: bool,
    /// Submitted jobs that may be at nodes at a time; 0: as many as fit.
    pub slots: usize,
    /// Jobs that are over and remembered; 0: all of them. The ones submitted first go first.
    pub jobs_kept: usize,
}

pub struct Gcs {
    config: Config,
    nodes: nodes::Nodes,
    drivers: drivers::Drivers,
    actors: actors::Actors,
    kept: kept::Kept,
    turn: start::Turn,
    recovery: recovery::Recovery,
    wall: views::Wall,
    #[cfg(feature = "planted")]
    planted: Option<Bug>,
}

impl Gcs {
    pub fn new(config: Config) -> Self {
        Self::recover(config, None, Vec::new())
    }

    /// Continues where the log ends: `records` are those after the snapshot.
    pub fn recover(config: Config, snapshot: Option<Snapshot>, records: Vec<Record>) -> Self {
        let kept = kept::Kept::recover(snapshot.unwrap_or_default(), &records);
        Self {
            config,
            nodes: nodes::Nodes::default(),
            drivers: drivers::Drivers::default(),
            actors: actors::Actors::default(),
            turn: start::Turn::default(),
            recovery: recovery::Recovery::of(&kept),
            wall: views::Wall::of(&kept),
            kept,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    /// What lasts, as of all records asked to be written so far.
    pub fn snapshot(&self) -> Snapshot {
        self.kept.lasting.clone()
    }

    /// Whether the whole state makes sense. Costs time in proportion to it: for tests and simulations.
    pub fn check(&self) -> Result<(), String> {
        self.nodes.check()?;
        self.actors.check()?;
        self.kept.check()?;
        self.check_holds()
    }

    /// The only way that anything lasting changes.
    fn write(&mut self, record: Record, out: &mut Vec<Effect>) {
        self.kept.apply(&record);
        let ended = matches!(record, Record::JobEnded { .. });
        out.push(Effect::Append(record));
        if ended {
            self.forget_the_oldest(out);
        }
    }

    fn raylet_says(&mut self, now: Time, node: u32, message: RayletToGcs, out: &mut Vec<Effect>) {
        match message {
            RayletToGcs::Join { version, node: said, epoch, record } if said == node => {
                self.join(now, node, version, epoch, record, out);
            }
            // Jobs belong to the machine and accounts to their incarnation: whoever tells of them is heard.
            RayletToGcs::JobStarted { number, started_ms } => self.job_started(node, number, started_ms, out),
            RayletToGcs::JobEnded { number, report } => self.job_ended(node, number, report, out),
            RayletToGcs::JobsHere { running } => self.jobs_here(now, node, &running, out),
            RayletToGcs::Usage { epoch, records } => self.usage(node, epoch, records, out),
            other => self.member_says(node, other, out),
        }
    }

    fn member_says(&mut self, node: u32, message: RayletToGcs, out: &mut Vec<Effect>) {
        // A node that was given up on must join anew before it is heard.
        if !self.nodes.is_alive(node) {
            return;
        }
        match message {
            RayletToGcs::Join { .. }
            | RayletToGcs::JobStarted { .. }
            | RayletToGcs::JobEnded { .. }
            | RayletToGcs::JobsHere { .. }
            | RayletToGcs::Usage { .. }
            // The shell asked, and takes the answer.
            | RayletToGcs::Report { .. } => {}
            RayletToGcs::View { version, available } => self.view(node, version, available, out),
            RayletToGcs::DriverJoined { process, namespace, job, submission } => {
                self.driver_joined(node, Arrival { process, namespace, job, submission }, out);
            }
            RayletToGcs::CreateActor { spec } => self.create_actor(spec, out),
            RayletToGcs::WatchActor { actor, watcher } => self.watch_actor(actor, watcher, out),
            // Nothing restarts yet, so `no_restart` makes no difference.
            RayletToGcs::KillActor { actor, no_restart: _ } => self.kill_actor(actor, out),
            RayletToGcs::ActorStarted { actor, address } => self.actor_started(node, actor, address, out),
            RayletToGcs::ActorLives { spec, address } => self.actor_lives(node, spec, address, out),
            RayletToGcs::ActorRefused { actor } => self.actor_refused(node, actor, out),
            RayletToGcs::ActorEnded { actor, cause } => self.actor_ended(node, actor, cause, out),
            RayletToGcs::ProcessDied { process, death } => {
                if process.node == node {
                    self.process_died(process, &death, out);
                }
            }
            RayletToGcs::Nodes { request, asker } => self.answer_nodes(node, request, asker, out),
            RayletToGcs::ClusterResources { request, asker } => self.answer_cluster(node, request, asker, out),
            RayletToGcs::AvailableResources { request, asker } => self.answer_available(node, request, asker, out),
        }
    }
}

impl Machine for Gcs {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, now: Time, input: Input, out: &mut Vec<Effect>) {
        self.begin_recovery(now);
        match input {
            Input::FromRaylet { node, message } => self.raylet_says(now, node, message, out),
            Input::NodeLost { node } => {
                self.node_lost(node, out);
                self.await_jobs_of(now, node);
                self.start_queued(out);
            }
            Input::Api { request, call } => {
                let reply = self.answer_call(now, call, out);
                out.push(Effect::Reply { request, reply });
            }
            Input::Clock { now_ms } => self.wall.set(now, now_ms),
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.recovery.deadline()
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.begin_recovery(now);
        self.end_recovery(now, out);
        self.lose_jobs(now, out);
    }
}
