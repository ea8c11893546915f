//! Performs what the machine asks for.

use crate::closing::Ending;
use crate::gcs_link::GcsLink;
use crate::node::{GRACE, Node, Timer};
use crate::poll::Source;
use crate::process::{Life, Process};
use iosdk_complain::complain;
use iosdk_net::mailbox;
use iosdk_raylet_core::Effect;
use iosdk_types::Address;
use iosdk_types::message::RayletToProcess;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) fn make_mailbox() -> io::Result<OwnedFd> {
    mailbox::create(mailbox::LANES_MAX)
}

impl<G: GcsLink> Node<G> {
    pub(crate) fn perform(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::ToProcess { to, message } => self.say(to, &message),
            Effect::ToGcs(message) => {
                self.gcs.send(message);
                Ok(())
            }
            Effect::ForkWorker { process, job } => {
                self.fork_later(process, job);
                Ok(())
            }
            Effect::OpenJob { job, driver, attach } => self.open_job(job, driver, attach),
            Effect::CloseJob { job } => self.close_job(job),
            Effect::StartJob { number, held, spec } => self.start_submitted(number, &held, &spec),
            Effect::StopJob { number, force } => {
                self.stop_submitted(number, force);
                Ok(())
            }
            Effect::ForgetJob { number } => {
                self.forget_submitted(number);
                Ok(())
            }
            Effect::AdmitDriver { process } => self.admit_driver(process),
            Effect::Kill { process, graceful } => {
                self.kill(process, graceful);
                Ok(())
            }
            Effect::OpenLanes { a, lane_in_a, b, lane_in_b } => {
                self.reset_lane(a, lane_in_a)?;
                self.reset_lane(b, lane_in_b)
            }
            Effect::WatchStatus { on } => {
                self.watch_status(on);
                Ok(())
            }
            Effect::Punch { offset, bytes } => {
                // The extent is free all the same; its pages are replaced when it is used again.
                if let Err(error) = iosdk_store::segment::punch(self.arena.as_fd(), offset, bytes) {
                    complain!("raylet: memory of the store was not given back: {error}");
                }
                Ok(())
            }
            Effect::WatchPins { offset, bytes } => {
                self.watch_pins(offset, bytes);
                Ok(())
            }
            Effect::MeasureCpu { processes } => {
                self.measure_cpu(&processes);
                Ok(())
            }
            Effect::ShutDown => {
                self.end(Ending::Told);
                Ok(())
            }
        }
    }

    fn say(&mut self, to: Address, message: &RayletToProcess) -> io::Result<()> {
        if matches!(message, RayletToProcess::Exit { .. } | RayletToProcess::Retire)
            && let Some(process) = self.processes.get_mut(&to.process)
        {
            process.intended = true;
        }
        self.tell(to.process, message)?;
        if matches!(message, RayletToProcess::Welcome { .. })
            && let Some(ring) = self.processes.get_mut(&to.process).and_then(|process| process.history.as_mut())
        {
            // A descriptor for each process would be many; our mapping stays.
            ring.fd = None;
        }
        Ok(())
    }

    /// Which descriptors go with a message to this process. `None`: one of them is no more.
    pub(crate) fn descriptors(&self, to: u32, message: &RayletToProcess) -> Option<Vec<BorrowedFd<'_>>> {
        let mailbox = |number| self.processes.get(number)?.mailbox.as_ref().map(AsFd::as_fd);
        match message {
            RayletToProcess::Welcome { .. } => {
                let mut fds = vec![mailbox(&to)?, self.arena.as_fd(), self.pin_table.as_fd()];
                let ring = self.processes.get(&to).and_then(|process| process.history.as_ref()?.fd.as_ref());
                if let (Some(ring), Some(history)) = (ring, &self.history) {
                    fds.extend([ring.as_fd(), history.bell()]);
                }
                Some(fds)
            }
            RayletToProcess::Attach { peer, .. } => Some(vec![mailbox(&peer.process)?]),
            RayletToProcess::Granted { .. }
            | RayletToProcess::Reclaim { .. }
            | RayletToProcess::Infeasible { .. }
            | RayletToProcess::NoSuchPeer { .. }
            | RayletToProcess::PeerDying { .. }
            | RayletToProcess::PeerDead { .. }
            | RayletToProcess::ActorAlive { .. }
            | RayletToProcess::ActorDead { .. }
            | RayletToProcess::ExtentGranted { .. }
            | RayletToProcess::ExtentRefused { .. }
            | RayletToProcess::Answer { .. }
            | RayletToProcess::Log { .. }
            | RayletToProcess::Exit { .. }
            | RayletToProcess::Retire
            | RayletToProcess::MakeRoom
            | RayletToProcess::Describe { .. } => Some(Vec::new()),
        }
    }

    fn admit_driver(&mut self, address: Address) -> io::Result<()> {
        let Some(control) = self.arriving.pop_front() else {
            return Err(io::Error::other("a driver was admitted that did not connect"));
        };
        let number = address.process;
        let peer = rustix::net::sockopt::socket_peercred(control.fd())?;
        let mut driver = Process::expected(address, None);
        driver.life = Life::Alive;
        driver.pid = peer.pid.as_raw_nonzero().get();
        driver.mailbox = Some(make_mailbox()?);
        driver.history = self.make_ring()?;
        // It may have ended before the daemon came up; then its connection says so too.
        match rustix::process::pidfd_open(peer.pid, rustix::process::PidfdFlags::empty()) {
            Ok(pidfd) => {
                self.poll.add(&pidfd, Source::Pidfd(number))?;
                driver.pidfd = Some(pidfd);
            }
            Err(error) => complain!("raylet: the driver's end is seen by its connection only: {error}"),
        }
        self.poll.add(control.fd(), Source::Control(number))?;
        driver.control = Some(control);
        self.processes.insert(number, driver);
        Ok(())
    }

    fn reset_lane(&self, owner: Address, lane: u32) -> io::Result<()> {
        match self.processes.get(&owner.process).and_then(|process| process.mailbox.as_ref()) {
            Some(fd) => mailbox::reset_lane(fd.as_fd(), lane),
            // It died a moment ago: nobody will use the lane.
            None => Ok(()),
        }
    }

    fn kill(&mut self, address: Address, graceful: bool) {
        let Some(process) = self.processes.get_mut(&address.process) else { return };
        process.intended = true;
        if graceful {
            self.after(GRACE, Timer::KillAfter(address.process));
        } else {
            // One that is still expected is ended as soon as it is there.
            process.kill();
            process.doomed = process.life == Life::Expected;
        }
    }
}
