//! Everything the raylet machine can ask of its node.

use iosdk_types::message::{Attach, RayletToGcs, RayletToProcess};
use iosdk_types::{Address, JobId, JobSpec, ResourceSet};

#[derive(Clone, Debug)]
pub enum Effect {
    /// To a process of this node. `Attach` carries the peer's mailbox descriptor, `Welcome` the process's own, the arena and
    /// the pin table: the shell adds them.
    ToProcess {
        to: Address,
        message: RayletToProcess,
    },
    ToGcs(RayletToGcs),
    /// Make a mailbox, a control connection and output pipes, and have the fork server fork a worker on them.
    ForkWorker {
        process: Address,
        job: JobId,
    },
    /// A driver was accepted: workers of its job are forked from now on, and what they print goes to it. `attach` is how they
    /// are to run; none: as the cluster was started.
    OpenJob {
        job: JobId,
        driver: Address,
        attach: Option<Attach>,
    },
    /// The driver is gone or wants to leave, and all its workers are dead: one that still listens gets what they printed, and is
    /// hung up on.
    CloseJob {
        job: JobId,
    },
    /// Make a mailbox for the driver that just connected and serve it under this address.
    AdmitDriver {
        process: Address,
    },
    /// End this process now (SIGKILL to its session), or ask first (`graceful`) and kill after the given time.
    Kill {
        process: Address,
        graceful: bool,
    },
    /// Lane numbers of this pair are given out; the shell clears both lanes before anybody maps them.
    OpenLanes {
        a: Address,
        lane_in_a: u32,
        b: Address,
        lane_in_b: u32,
    },
    /// While true, look at status words every millisecond and say `Input::Status`.
    WatchStatus {
        on: bool,
    },
    /// These bytes of the arena are nobody's: give the pages back.
    Punch {
        offset: u64,
        bytes: u64,
    },
    /// The holder of this extent is dead and nobody owns anything in it: say `Input::Unpinned` once no live process's pin row
    /// points into it. All who could make a new view have judged the death before, so pins only go away.
    WatchPins {
        offset: u64,
        bytes: u64,
    },
    /// Have a supervisor run this submitted job; say `Input::JobStarted` and `Input::JobEnded`.
    StartJob {
        number: u64,
        held: ResourceSet,
        spec: JobSpec,
    },
    StopJob {
        number: u64,
        force: bool,
    },
    /// Its end is written down elsewhere: what only a restart of this daemon needs of it may go.
    ForgetJob {
        number: u64,
    },
    /// Read how much processor time each of these has used; say `Input::CpuUsed`, also when some or all of them are gone.
    MeasureCpu {
        processes: Vec<Address>,
    },
    /// A driver left or asked for it: end every process, flush logs, end the daemon.
    ShutDown,
}
