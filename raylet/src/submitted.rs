//! Submitted jobs of this node as directories: a supervisor is asked for, watched, told to stop, and found again after a restart.

use crate::config::Role;
use crate::gcs_link::GcsLink;
use crate::node::{Node, Timer};
use crate::poll::Source;
use iosdk_complain::complain;
use iosdk_raylet_core::Input;
use iosdk_supervisor::{State, look, prepare, stop, watch};
use iosdk_types::{JobCause, JobReport, JobSpec, ResourceSet, Span};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Between two looks whether an entrypoint has begun. It takes a few milliseconds, or as long as its archive is to unpack.
const LOOK_EVERY: Span = Span::from_millis(10);
/// What a job holds, for the next daemon; its name ends in `noted` once the GCS has its end.
const HELD: &str = "held.json";
const NOTED: &str = "held.noted";

/// The supervisors that live, by job, each with what hangs up at its end.
#[derive(Default)]
pub(crate) struct Submitted {
    watched: BTreeMap<u32, OwnedFd>,
    /// Asked for while the nursery had more than it can hold.
    later: BTreeMap<u32, (JobSpec, ResourceSet)>,
}

fn slot(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| io::Error::other(format!("job number {number} is too large")))
}

fn failed(why: String) -> JobReport {
    JobReport::unseen(JobCause::CannotStart(why), 0, 0)
}

impl<G: GcsLink> Node<G> {
    fn jobs_dir(&self) -> Option<PathBuf> {
        match &self.role {
            Role::Standing(standing) => Some(standing.data.join("jobs")),
            Role::Private(_) => None,
        }
    }

    fn job_dir(&self, number: u64) -> io::Result<PathBuf> {
        let jobs = self.jobs_dir().ok_or_else(|| io::Error::other("a private cluster runs no submitted jobs"))?;
        Ok(jobs.join(number.to_string()))
    }

    /// What is wrong with the job is its end, not the node's.
    pub(crate) fn start_submitted(&mut self, number: u64, held: &ResourceSet, spec: &JobSpec) -> io::Result<()> {
        match self.spawn(number, held, spec) {
            Ok(()) => self.watch_submitted(number),
            // More than the nursery can hold at a time: it takes the next in a moment.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let slot = slot(number)?;
                self.submitted.later.insert(slot, (spec.clone(), held.clone()));
                self.after(LOOK_EVERY, Timer::LookAtJob(slot));
                Ok(())
            }
            Err(error) => {
                self.inputs.push_back(Input::JobEnded { number, report: failed(error.to_string()) });
                Ok(())
            }
        }
    }

    fn spawn(&self, number: u64, held: &ResourceSet, spec: &JobSpec) -> io::Result<()> {
        let dir = self.job_dir(number)?;
        let Role::Standing(standing) = &self.role else { return Ok(()) };
        prepare(&dir, spec)?;
        write_private(&dir, HELD, &serde_json::to_vec(held)?)?;
        match standing.nursery.spawn(&dir) {
            // An earlier daemon had it started and ended before it could say so.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn watch_submitted(&mut self, number: u64) -> io::Result<()> {
        let slot = slot(number)?;
        match self.job_dir(number).and_then(|dir| watch(&dir)) {
            Ok(Some(fd)) => {
                self.poll.add(&fd, Source::Job(slot))?;
                self.submitted.watched.insert(slot, fd);
                self.after(LOOK_EVERY, Timer::LookAtJob(slot));
            }
            Ok(None) => self.submitted_over(number),
            Err(error) => self.inputs.push_back(Input::JobEnded { number, report: failed(error.to_string()) }),
        }
        Ok(())
    }

    /// Has it begun?
    pub(crate) fn look_at_submitted(&mut self, slot: u32) {
        if let Some((spec, held)) = self.submitted.later.remove(&slot) {
            if let Err(error) = self.start_submitted(u64::from(slot), &held, &spec) {
                complain!("raylet: job {slot}: {error}");
            }
            return;
        }
        if !self.submitted.watched.contains_key(&slot) {
            return;
        }
        let number = u64::from(slot);
        match self.job_dir(number).and_then(|dir| look(&dir)) {
            Ok(State::Running { started_ms: Some(started_ms), .. }) => {
                self.inputs.push_back(Input::JobStarted { number, started_ms });
            }
            // Its end comes by its descriptor.
            Ok(State::Ended(_)) => {}
            Ok(State::NotStarted | State::Running { started_ms: None, .. }) => {
                self.after(LOOK_EVERY, Timer::LookAtJob(slot));
            }
            Err(error) => {
                complain!("raylet: job {number}: {error}");
                self.after(LOOK_EVERY, Timer::LookAtJob(slot));
            }
        }
    }

    /// The supervisor hung up.
    pub(crate) fn submitted_gone(&mut self, slot: u32) -> io::Result<()> {
        if let Some(fd) = self.submitted.watched.remove(&slot) {
            self.poll.remove(&fd)?;
            self.submitted_over(u64::from(slot));
        }
        Ok(())
    }

    fn submitted_over(&mut self, number: u64) {
        let state = self.job_dir(number).and_then(|dir| look(&dir));
        let report = match state {
            Ok(State::Ended(report)) => report,
            Ok(State::NotStarted) => failed("its supervisor was never forked".to_owned()),
            Ok(State::Running { .. }) => failed("its supervisor hung up and lives".to_owned()),
            Err(error) => failed(error.to_string()),
        };
        if report.started_ms > 0 {
            self.inputs.push_back(Input::JobStarted { number, started_ms: report.started_ms });
        }
        self.inputs.push_back(Input::JobEnded { number, report });
    }

    pub(crate) fn stop_submitted(&mut self, number: u64, force: bool) {
        // One that is over already says so by itself.
        if let Err(error) = self.job_dir(number).and_then(|dir| stop(&dir, force)) {
            complain!("raylet: job {number} cannot be told to stop: {error}");
        }
    }

    /// The next daemon has nothing to say of it.
    pub(crate) fn forget_submitted(&self, number: u64) {
        let renamed = self.job_dir(number).and_then(|dir| std::fs::rename(dir.join(HELD), dir.join(NOTED)));
        match renamed {
            // It never came to be, or was deleted.
            Err(error) if error.kind() != ErrorKind::NotFound => complain!("raylet: job {number}: {error}"),
            _ => {}
        }
    }

    /// What an earlier daemon of this node left running, or ended meanwhile.
    pub(crate) fn find_submitted(&mut self) -> io::Result<()> {
        let Some(jobs) = self.jobs_dir() else { return Ok(()) };
        std::fs::create_dir_all(&jobs)?;
        for entry in std::fs::read_dir(&jobs)? {
            let dir = entry?.path();
            let Some(number) = dir.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok()) else { continue };
            let (held, state) = match held_and_state(&dir) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                // One directory that cannot be read is the end of that job, not of the node.
                Err(error) => {
                    complain!("raylet: job {number} was found and cannot be read: {error}");
                    self.inputs.push_back(Input::JobFound { number, held: ResourceSet::new(), started_ms: None });
                    self.inputs.push_back(Input::JobEnded { number, report: failed(error.to_string()) });
                    continue;
                }
            };
            match state {
                State::NotStarted => {}
                State::Running { started_ms, .. } => {
                    self.inputs.push_back(Input::JobFound { number, held, started_ms });
                    self.watch_submitted(number)?;
                }
                State::Ended(_) => {
                    self.inputs.push_back(Input::JobFound { number, held, started_ms: None });
                    self.submitted_over(number);
                }
            }
        }
        Ok(())
    }
}

/// None: its end is noted, or it was never asked for.
fn held_and_state(dir: &Path) -> io::Result<Option<(ResourceSet, State)>> {
    match std::fs::read(dir.join(HELD)) {
        Ok(held) => Ok(Some((serde_json::from_slice(&held)?, look(dir)?))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_private(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let draft = dir.join(format!("{name}.tmp"));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    std::fs::rename(&draft, dir.join(name))
}
