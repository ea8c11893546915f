//! The GCS as a child of a standing node: watched, started again when it ends, asked to end with the node.

use crate::config::{GcsProcess, Role};
use crate::gcs_link::GcsLink;
use crate::node::{Node, Timer};
use crate::poll::Source;
use iosdk_complain::complain;
use iosdk_types::Span;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

/// One that ends at once, again and again, is not started more often than this.
const PAUSE: Span = Span::from_millis(200);
/// It ends when what it accepted is durable, which takes a sync.
const END_LIMIT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

pub(crate) struct GcsChild {
    pidfd: OwnedFd,
}

impl<G: GcsLink> Node<G> {
    fn gcs_process(&self) -> Option<&GcsProcess> {
        match &self.role {
            Role::Standing(standing) => standing.gcs.as_ref(),
            Role::Private(_) => None,
        }
    }

    /// Follows the one that was started before this node.
    pub(crate) fn watch_gcs(&mut self) -> io::Result<()> {
        let Some(pid) = self.gcs_process().and_then(|gcs| Pid::from_raw(gcs.pid)) else { return Ok(()) };
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        self.poll.add(&pidfd, Source::GcsProcess)?;
        self.gcs_child = Some(GcsChild { pidfd });
        Ok(())
    }

    pub(crate) fn gcs_ended(&mut self) -> io::Result<()> {
        let Some(child) = self.gcs_child.take() else { return Ok(()) };
        self.poll.remove(&child.pidfd)?;
        complain!("raylet: the gcs has ended; starting it again");
        self.reap()?;
        self.after(PAUSE, Timer::RestartGcs);
        Ok(())
    }

    pub(crate) fn restart_gcs(&mut self) -> io::Result<()> {
        let Role::Standing(standing) = &mut self.role else { return Ok(()) };
        let Some(gcs) = &mut standing.gcs else { return Ok(()) };
        match start(gcs) {
            Ok(()) => self.watch_gcs(),
            Err(error) => {
                complain!("raylet: the gcs cannot be started: {error}");
                self.after(PAUSE, Timer::RestartGcs);
                Ok(())
            }
        }
    }

    pub(crate) fn end_gcs(&mut self) {
        let Some(child) = self.gcs_child.take() else { return };
        // One that has ended already needs no telling; one that does not end in time is killed with all other children.
        let _gone = pidfd_send_signal(&child.pidfd, Signal::TERM);
        let _either_way = poll(&mut [PollFd::new(&child.pidfd, PollFlags::IN)], Some(&END_LIMIT));
    }
}

fn start(gcs: &mut GcsProcess) -> io::Result<()> {
    let Some((program, words)) = gcs.command.split_first() else { return Err(io::Error::other("no command")) };
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&gcs.log)?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = command.spawn()?;
    gcs.pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(())
}
