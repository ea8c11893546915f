//! How often each kind of input, effect, message and fault occurred. A kind that never occurs over a run is a kind nobody
//! tests, so it fails the run.

use iosdk_types::Map;

/// `NAMES` and `of(&value)` for an enum. The match has no wildcard: a new variant does not compile until it is listed here,
/// and then fails the run until the world makes it happen.
macro_rules! kinds {
    ($module:ident, $type:path as $alias:ident, [$($variant:ident),* $(,)?]) => {
        pub mod $module {
            use $type as $alias;
            pub const NAMES: &[&str] = &[$(concat!(stringify!($module), "::", stringify!($variant))),*];
            pub fn of(value: &$alias) -> &'static str {
                match value { $($alias::$variant { .. } => concat!(stringify!($module), "::", stringify!($variant)),)* }
            }
        }
    };
}

kinds!(
    owner_input,
    iosdk_runtime_core::Input as Kind,
    [
        Submit,
        CreateActor,
        AdoptActor,
        Put,
        Retain,
        Release,
        Adopt,
        Watch,
        Unwatch,
        Cancel,
        KillActor,
        Executed,
        ClaimLost,
        ActorEnds,
        FromPeer,
        FromRaylet,
        LanePoisoned,
        Judged,
        Retracted,
    ]
);
kinds!(
    owner_effect,
    iosdk_runtime_core::Effect as Kind,
    [
        Submitted,
        Opened,
        ActorOpened,
        Ready,
        PushCall,
        Send,
        Retract,
        JudgeClaims,
        FreeClaim,
        ToRaylet,
        Detach,
        CallsReady,
        Interrupt,
        Exit,
        DropPayload,
        AttemptEnded,
        MakeError,
        FreeLocal,
        FreeOrphan,
    ]
);
kinds!(
    peer,
    iosdk_types::message::peer::PeerMessage as Kind,
    [Define, Call, Reply, Fetch, Value, Register, Registered, Return, LendAck, Free, Cancel, CancelObject,]
);
kinds!(
    to_raylet,
    iosdk_types::message::ProcessToRaylet as Kind,
    [
        Hello,
        Demand,
        ReturnLease,
        Connect,
        CreateActor,
        ResolveActor,
        KillActor,
        ActorState,
        DeadAck,
        Claims,
        Unclaim,
        ExtentRequest,
        ExtentReturn,
        Query,
        Shutdown,
        Described,
    ]
);
kinds!(
    to_process,
    iosdk_types::message::RayletToProcess as Kind,
    [
        Welcome,
        Granted,
        Reclaim,
        Infeasible,
        Attach,
        NoSuchPeer,
        PeerDying,
        PeerDead,
        ActorAlive,
        ActorDead,
        ExtentGranted,
        ExtentRefused,
        Answer,
        Log,
        Exit,
        Retire,
        MakeRoom,
        Describe,
    ]
);
kinds!(
    raylet_input,
    iosdk_raylet_core::Input as Kind,
    [
        DriverConnected,
        WorkerForked,
        ForkFailed,
        FromProcess,
        FromGcs,
        GcsUp,
        GcsDown,
        ProcessDied,
        JobFound,
        JobStarted,
        JobEnded,
        CpuUsed,
        Status,
        Unpinned,
    ]
);
kinds!(
    raylet_effect,
    iosdk_raylet_core::Effect as Kind,
    [
        ToProcess,
        ToGcs,
        ForkWorker,
        OpenJob,
        CloseJob,
        AdmitDriver,
        Kill,
        OpenLanes,
        WatchStatus,
        Punch,
        WatchPins,
        StartJob,
        StopJob,
        ForgetJob,
        MeasureCpu,
        ShutDown,
    ]
);
kinds!(
    to_gcs,
    iosdk_types::message::RayletToGcs as Kind,
    [
        Join,
        View,
        DriverJoined,
        CreateActor,
        WatchActor,
        KillActor,
        ActorStarted,
        ActorRefused,
        ActorEnded,
        ProcessDied,
        Nodes,
        ClusterResources,
        AvailableResources,
        ActorLives,
        JobStarted,
        JobEnded,
        JobsHere,
        Usage,
        Report,
    ]
);
kinds!(
    from_gcs,
    iosdk_types::message::GcsToRaylet as Kind,
    [
        Joined,
        DriverAccepted,
        StartActor,
        StopActor,
        ActorAlive,
        ActorDead,
        Answer,
        StartJob,
        StopJob,
        JobNoted,
        UsageNoted,
        Query,
    ]
);
kinds!(gcs_input, iosdk_gcs_core::Input as Kind, [FromRaylet, NodeLost, Api, Clock]);
kinds!(gcs_effect, iosdk_gcs_core::Effect as Kind, [ToRaylet, Append, Reply, StartJob, Forgotten]);

/// Kinds of trouble the world makes, beside its delays.
pub const FAULTS: &[&str] = &[
    "fault::worker killed",
    "fault::driver killed",
    "fault::node lost",
    "fault::gcs link cut",
    "fault::fork failed",
    "fault::slow worker",
    "fault::store full",
    "fault::lane stalled",
    "fault::lane poisoned",
    "fault::late duplicate view",
    "fault::gcs restarted",
    "fault::daemon killed",
    "fault::supervisor killed",
    // No trouble, but as necessary: runs whose account is held against what was granted.
    "usage::exact",
];

/// Made by the shells of the product and not by any machine of the world, so no seed can produce them here. (The state API asks and
/// answers beside the machines.)
const NEVER_HERE: &[&str] =
    &["to_process::Log", "to_process::Describe", "to_raylet::Described", "from_gcs::Query", "to_gcs::Report"];

#[derive(Clone, Default)]
pub struct Counts(Map<&'static str, u64>);

impl Counts {
    pub fn add(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (kind, times) in &other.0 {
            *self.0.entry(kind).or_default() += times;
        }
    }

    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    fn expected() -> impl Iterator<Item = &'static str> {
        let all = [
            owner_input::NAMES,
            owner_effect::NAMES,
            peer::NAMES,
            to_raylet::NAMES,
            to_process::NAMES,
            raylet_input::NAMES,
            raylet_effect::NAMES,
            to_gcs::NAMES,
            from_gcs::NAMES,
            gcs_input::NAMES,
            gcs_effect::NAMES,
            FAULTS,
        ];
        all.into_iter().flatten().copied().filter(|kind| !NEVER_HERE.contains(kind))
    }

    /// Kinds that never occurred.
    pub fn missing(&self) -> Vec<&'static str> {
        Self::expected().filter(|kind| self.of(kind) == 0).collect()
    }

    pub fn print(&self) {
        for kind in Self::expected() {
            println!("  {kind:<36} {:>12}", self.of(kind));
        }
        for (kind, times) in self.0.iter().filter(|(kind, _)| !Self::expected().any(|known| known == **kind)) {
            println!("  {kind:<36} {times:>12}");
        }
    }
}
