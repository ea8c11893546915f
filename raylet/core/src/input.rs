//! Everything that can happen to a node, as seen by its raylet machine.

use iosdk_types::message::{GcsToRaylet, ProcessToRaylet};
use iosdk_types::{Address, Death, JobReport, ResourceSet};

#[derive(Clone, Debug)]
pub enum Input {
    /// A driver's connection was accepted (its pid known from the kernel). Answered with `Effect::AdmitDriver` at once.
    DriverConnected {
        pid: i32,
        /// Of the driver that started the cluster; others say theirs in their hello.
        namespace: Option<String>,
    },
    /// The fork server made this process; its hello comes on its own connection.
    WorkerForked {
        process: Address,
        pid: i32,
    },
    /// The fork server could not.
    ForkFailed {
        process: Address,
        why: String,
    },
    FromProcess {
        from: Address,
        message: ProcessToRaylet,
    },
    FromGcs(GcsToRaylet),
    /// The link to the GCS is up (again) or down.
    GcsUp,
    GcsDown,
    /// The kernel said this process is gone (pidfd, reaped by its parent).
    ProcessDied {
        process: Address,
        death: Death,
    },
    /// Before the link to the GCS is up: a submitted job that lives on from an earlier incarnation of this daemon.
    JobFound {
        number: u64,
        held: ResourceSet,
        started_ms: Option<u64>,
    },
    /// The entrypoint of a submitted job began, or everything of it is over.
    JobStarted {
        number: u64,
        started_ms: u64,
    },
    JobEnded {
        number: u64,
        report: JobReport,
    },
    /// Answer to `Effect::MeasureCpu`: nanoseconds since each one's birth. Those that are gone are left out.
    CpuUsed {
        used: Vec<(Address, u64)>,
    },
    /// Read from the processes' status words, asked for by `Effect::WatchStatus`: who is blocked now, and since when (ns).
    Status {
        blocked: Vec<Address>,
    },
    /// Answer to `Effect::WatchPins`: no live process looks into this extent (any more).
    Unpinned {
        offset: u64,
    },
}
