//! What a raylet says to the GCS.

use crate::message::{ActorDeath, NodeRecord};
use crate::spec::ActorSpec;
use crate::{ActorId, Address, JobId, JobReport, ResourceSet, StateReport, UsageRecord};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RayletToGcs {
    /// First on every connection: a node joins.
    Join {
        version: u32,
        node: u32,
        epoch: u32,
        record: NodeRecord,
    },
    /// What is free now. `version` grows with each report; older ones are ignored.
    View {
        version: u64,
        available: ResourceSet,
    },
    /// A driver arrived, or lives (after a join); answered with its job.
    DriverJoined {
        process: Address,
        namespace: String,
        /// The one it was given already: a GCS that was restarted lets it keep that.
        #[serde(default)]
        job: Option<JobId>,
        /// The submitted job whose entrypoint started it.
        #[serde(default)]
        submission: Option<u64>,
    },
    CreateActor {
        spec: ActorSpec,
    },
    /// A process of this node wants to know where the actor is, now and when it changes.
    WatchActor {
        actor: ActorId,
        watcher: Address,
    },
    KillActor {
        actor: ActorId,
        no_restart: bool,
    },
    /// The actor's process is leased and may be called.
    ActorStarted {
        actor: ActorId,
        address: Address,
    },
    /// It cannot be started here now (room went away): place it again.
    ActorRefused {
        actor: ActorId,
    },
    ActorEnded {
        actor: ActorId,
        cause: ActorDeath,
    },
    /// A process that may own actors ended.
    ProcessDied {
        process: Address,
        death: crate::Death,
    },
    Nodes {
        request: u64,
        asker: Address,
    },
    ClusterResources {
        request: u64,
        asker: Address,
    },
    AvailableResources {
        request: u64,
        asker: Address,
    },
    /// After a join, for each actor that lives here: teaches a GCS that was restarted.
    ActorLives {
        spec: ActorSpec,
        address: Address,
    },
    /// Said when the entrypoint begins, and again after each join while it runs.
    JobStarted {
        number: u64,
        started_ms: u64,
    },
    /// Said until `JobNoted` answers.
    JobEnded {
        number: u64,
        report: JobReport,
    },
    /// The last of what is said again after each join (actors that live here, jobs that started or ended): the jobs that are
    /// here, be it that they wait to begin, run, or have an end that is not noted. From then on the node is given jobs.
    JobsHere {
        running: Vec<u64>,
    },
    /// Lines of the account of one incarnation of this node, in the order of `seq`; said until `UsageNoted` answers.
    Usage {
        epoch: u32,
        records: Vec<UsageRecord>,
    },
    /// Answer to `Query`.
    Report {
        request: u64,
        report: StateReport,
    },
}
