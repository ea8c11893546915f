//! What a daemon asks and tells a job by its directory, whether or not it was the one that started it.

use crate::directory::{Claim, JobDir, now_ms};
use crate::marked::kill_marked;
use iosdk_types::{Exit, JobCause, JobReport, JobSpec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing of it ever ran: it may be spawned, again if it was before.
    NotStarted,
    Running {
        /// The supervisor's. None: it is just being forked.
        pid: Option<i32>,
        /// None: the entrypoint does not run yet.
        started_ms: Option<u64>,
    },
    Ended(JobReport),
}

/// Makes the directory, unless it is there, and writes down what to run.
pub fn prepare(job_dir: &Path, spec: &JobSpec) -> io::Result<()> {
    let prepared = match DirBuilder::new().mode(0o700).create(job_dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => JobDir::open(job_dir).and_then(|dir| dir.write_spec(spec)),
    };
    prepared.map_err(|error| said(error, "preparing", job_dir))
}

/// How the job is. When its supervisor was killed, this ends what is left of the job and writes the report that is missing.
pub fn look(job_dir: &Path) -> io::Result<State> {
    look_into(job_dir).map_err(|error| said(error, "looking into", job_dir))
}

/// Orders the job to end: SIGTERM to all its processes, SIGKILL three seconds later; by `force`: SIGKILL at once.
/// False: nothing runs. Does not wait for the end, see `watch`.
pub fn stop(job_dir: &Path, force: bool) -> io::Result<bool> {
    stop_in(job_dir, force).map_err(|error| said(error, "stopping", job_dir))
}

/// A descriptor to poll: it hangs up (POLLHUP) when the supervisor is gone, and from `spawn` on. Then `look`. None: gone already.
pub fn watch(job_dir: &Path) -> io::Result<Option<OwnedFd>> {
    JobDir::open(job_dir).and_then(|dir| dir.holder()).map_err(|error| said(error, "watching", job_dir))
}

fn look_into(job_dir: &Path) -> io::Result<State> {
    let dir = JobDir::open(job_dir)?;
    if let Some(report) = dir.report()? {
        return Ok(State::Ended(report));
    }
    let started_ms = dir.started()?.map(|started| started.started_ms);
    if dir.holder()?.is_some() {
        return Ok(State::Running { pid: dir.claim()?.map(|claim| claim.pid), started_ms });
    }
    // It may have ended since the first look.
    if let Some(report) = dir.report()? {
        return Ok(State::Ended(report));
    }
    let Some(claim) = dir.claim()? else { return Ok(State::NotStarted) };
    kill_marked(&claim.mark)?;
    let report = JobReport {
        exit: Exit::Unknown,
        cause: JobCause::SupervisorDied,
        started_ms: dir.started()?.map_or(0, |started| started.started_ms),
        ended_ms: now_ms(),
        cpu_ns: 0,
        log_bytes: dir.output_bytes()?,
        log_dropped: 0,
    };
    dir.write_report(&report)?;
    Ok(State::Ended(report))
}

fn stop_in(job_dir: &Path, force: bool) -> io::Result<bool> {
    let dir = JobDir::open(job_dir)?;
    let signal = if force { Signal::USR1 } else { Signal::TERM };
    if dir.holder()?.is_none() {
        return Ok(false);
    }
    if dir.claim()?.is_none() {
        // A supervisor reads this after it has written its pid: either it sees the order, or its pid is there now.
        dir.write_stop_order(force)?;
        if dir.claim()?.is_none() {
            return Ok(dir.holder()?.is_some());
        }
    }
    let Some(supervisor) = supervisor(&dir)? else { return Ok(false) };
    match pidfd_send_signal(&supervisor, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The process that has written the claim, if it lives.
fn supervisor(dir: &JobDir) -> io::Result<Option<OwnedFd>> {
    let Some(Claim { pid, .. }) = dir.claim()? else { return Ok(None) };
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Only now: it lives still, so the number was its own a moment ago.
    Ok(dir.holder()?.map(|_| pidfd))
}

fn said(error: io::Error, doing: &str, job_dir: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {}: {error}", job_dir.display()))
}
