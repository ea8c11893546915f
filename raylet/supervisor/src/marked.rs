//! What a supervisor that was killed leaves behind: processes that carry its mark in their environment. The mark is not used
//! twice, unlike a pid or the number of a session.

use crate::descendants::all_pids;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The name in the environment.
pub(crate) const MARK: &str = "IOSDK_SUPERVISOR";

/// For processes that were killed to be gone. Only one that hangs in the kernel takes long.
const GONE_WITHIN: Duration = Duration::from_secs(3);

/// Kills them until none is left.
pub(crate) fn kill_marked(mark: &str) -> io::Result<()> {
    let line = format!("{MARK}={mark}");
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let mut killed = Vec::new();
        for pid in all_pids()? {
            if let Some(pid) = Pid::from_raw(pid).filter(|pid| carries(*pid, line.as_bytes())) {
                killed.extend(kill(pid, line.as_bytes())?);
            }
        }
        // Again while there is anybody: a process may fork between being listed and being killed.
        if killed.is_empty() {
            return Ok(());
        }
        for pidfd in &killed {
            await_end(pidfd, deadline)?;
        }
    }
}

/// Processes of other users cannot be looked into, nor be of this job.
fn carries(pid: Pid, line: &[u8]) -> bool {
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()));
    environment.is_ok_and(|text| text.split(|byte| *byte == 0).any(|entry| entry == line))
}

/// None: it has ended by itself, and its number may be another's.
fn kill(pid: Pid, line: &[u8]) -> io::Result<Option<OwnedFd>> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !carries(pid, line) {
        return Ok(None);
    }
    match pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) => Ok(Some(pidfd)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn await_end(pidfd: &OwnedFd, deadline: Instant) -> io::Result<()> {
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&left)) {
            Ok(0) => {
                let why = "a process of a job whose supervisor died was killed and does not end; look again later";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
