//! What the daemon holds of one process of its node.

use crate::connection::Connection;
use crate::history::Ring;
use crate::output::Output;
use iosdk_net::doorbell::Ringer;
use iosdk_types::{Address, Death, Exit, JobId};
use rustix::process::{Pid, Signal, kill_process_group, pidfd_send_signal};
use std::os::fd::OwnedFd;

/// The descriptors a worker is forked with: its ends of the control socket and of its output pipes.
pub(crate) struct WorkerEnds {
    pub(crate) control: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Asked for; no process yet.
    Expected,
    Alive,
    /// The kernel said it is gone; how it ended is not known yet.
    Gone,
    /// Told to the machine. What is left of its output may still come.
    Dead,
}

pub(crate) struct Process {
    pub(crate) address: Address,
    /// A worker's; none for drivers.
    pub(crate) job: Option<JobId>,
    pub(crate) life: Life,
    /// 0 while expected.
    pub(crate) pid: i32,
    pub(crate) pidfd: Option<OwnedFd>,
    pub(crate) control: Option<Connection>,
    pub(crate) mailbox: Option<OwnedFd>,
    pub(crate) ringer: Option<Ringer>,
    /// Where a history is kept.
    pub(crate) history: Option<Ring>,
    /// stdout and stderr; closed when they end.
    pub(crate) pipes: [Option<OwnedFd>; 2],
    pub(crate) output: Option<Output>,
    pub(crate) exit: Option<Exit>,
    /// The cluster ended it.
    pub(crate) intended: bool,
    /// To be killed as soon as it exists.
    pub(crate) doomed: bool,
    /// Whether the loop was asked to say when the connection takes more.
    pub(crate) awaits_room: bool,
}

impl Process {
    /// A worker of this job, or a driver.
    pub(crate) fn expected(address: Address, job: Option<JobId>) -> Self {
        Self {
            address,
            job,
            life: Life::Expected,
            pid: 0,
            pidfd: None,
            control: None,
            mailbox: None,
            ringer: None,
            history: None,
            pipes: [None, None],
            output: None,
            exit: None,
            intended: false,
            doomed: false,
            awaits_room: false,
        }
    }

    pub(crate) fn is_driver(&self) -> bool {
        self.job.is_none()
    }

    /// Ends it and what is in its process group. Its number is safe to use: the pidfd says whether it is still the same.
    pub(crate) fn kill(&self) {
        let Some(pidfd) = &self.pidfd else { return };
        // An error means that it is gone, which the pidfd tells too.
        let _gone = pidfd_send_signal(pidfd, Signal::KILL);
        self.kill_group();
    }

    /// Ends what is left in its process group, which keeps its number while anybody is in it.
    pub(crate) fn kill_group(&self) {
        if let Some(leader) = Pid::from_raw(self.pid) {
            let _nobody_left = kill_process_group(leader, Signal::KILL);
        }
    }

    /// One that was never forked has pipes, but nobody at their other ends.
    pub(crate) fn may_print(&self) -> bool {
        self.output.is_some() && self.pipes.iter().any(Option::is_some)
    }

    pub(crate) fn death(&self) -> Death {
        let last_lines = self.output.as_ref().map(Output::last_lines).unwrap_or_default();
        Death { pid: self.pid, exit: self.exit.unwrap_or(Exit::Unknown), intended: self.intended, last_lines }
    }
}
