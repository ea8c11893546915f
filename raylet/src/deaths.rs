//! Processes end: what the kernel and the fork server say about it is put together, and their output is read to the end.

use crate::closing::Ending;
use crate::config::Role;
use crate::connection::Connection;
use crate::family;
use crate::gcs_link::GcsLink;
use crate::node::{Node, Timer};
use crate::process::Life;
use iosdk_raylet_core::Input;
use iosdk_types::{Exit, Span};
use rustix::io::Errno;
use std::io;

/// How long the exit status may come after the death.
const STATUS_WAIT: Span = Span::from_millis(200);
/// Deaths of this time share one walk over the process table.
const SWEEP_AFTER: Span = Span::from_millis(200);

/// Read from a pipe at a time, and how often in a row: others have their turn too.
const READ: usize = 64 << 10;
const READS: usize = 8;
/// More than a pipe can hold: what the dead printed is read at once. A child of theirs that prints on does not stop the loop.
const LAST_READS: usize = 32;

impl<G: GcsLink> Node<G> {
    /// The pidfd became readable.
    pub(crate) fn process_gone(&mut self, number: u32) -> io::Result<()> {
        let Some(process) = self.processes.get_mut(&number) else { return Ok(()) };
        let Some(pidfd) = process.pidfd.take() else { return Ok(()) };
        self.poll.remove(&pidfd)?;
        if process.is_driver() {
            return self.driver_gone(number);
        }
        process.life = Life::Gone;
        process.kill_group();
        let pid = process.pid;
        // What it said before it ended comes before its death.
        self.hear_process(number, false)?;
        self.read_output(number, false)?;
        self.read_output(number, true)?;
        self.end_of_history(number);
        if self.dead_sessions.is_empty() {
            self.after(SWEEP_AFTER, Timer::SweepSessions);
        }
        self.dead_sessions.insert(pid);
        match self.processes.get(&number) {
            Some(process) if process.exit.is_some() => self.tell_death(number),
            _ => {
                self.after(STATUS_WAIT, Timer::ExitStatus(number));
                Ok(())
            }
        }
    }

    /// Somebody's program: whoever started it sees how it ended, and what else it started is not ours to end.
    pub(crate) fn driver_gone(&mut self, number: u32) -> io::Result<()> {
        if matches!(self.role, Role::Private(_)) {
            self.end(Ending::DriverGone);
            return Ok(());
        }
        self.end_of_history(number);
        self.nobody_answers(number);
        let Some(mut process) = self.processes.remove(&number) else { return Ok(()) };
        for fd in [process.pidfd.take(), process.control.take().map(Connection::into_fd)].into_iter().flatten() {
            // One of them told of the end, and is out of the loop already.
            let _was_removed = self.poll.remove(&fd);
        }
        self.inputs.push_back(Input::ProcessDied { process: process.address, death: process.death() });
        Ok(())
    }

    /// The parent of a process said how it ended.
    pub(crate) fn exit_known(&mut self, pid: i32, exit: Exit) -> io::Result<()> {
        let found = self.processes.iter_mut().find(|(_, process)| process.pid == pid && process.life != Life::Dead);
        let Some((&number, process)) = found else { return Ok(()) };
        process.exit = Some(exit);
        if process.life == Life::Gone { self.tell_death(number) } else { Ok(()) }
    }

    /// Children of the daemon itself: the fork server, and what lost its parent.
    pub(crate) fn reap(&mut self) -> io::Result<()> {
        let mut ended = Vec::new();
        family::reap(|pid, exit| ended.push((pid, exit)));
        ended.into_iter().try_for_each(|(pid, exit)| self.exit_known(pid, exit))
    }

    pub(crate) fn tell_death(&mut self, number: u32) -> io::Result<()> {
        let Some(process) = self.processes.get_mut(&number).filter(|process| process.life == Life::Gone) else {
            return Ok(());
        };
        process.life = Life::Dead;
        process.mailbox = None;
        process.ringer = None;
        if let Some(control) = process.control.take() {
            self.poll.remove(control.fd())?;
        }
        let mut lines = Vec::new();
        if let Some(output) = &mut process.output {
            output.finish(false, &mut lines);
            output.finish(true, &mut lines);
        }
        self.inputs.push_back(Input::ProcessDied { process: process.address, death: process.death() });
        let job = process.job;
        self.nobody_answers(number);
        self.forward(job, &mut lines);
        self.forget_if_silent(number);
        Ok(())
    }

    pub(crate) fn read_output(&mut self, number: u32, stderr: bool) -> io::Result<()> {
        let Some(process) = self.processes.get_mut(&number) else { return Ok(()) };
        let (Some(output), slot) = (&mut process.output, &mut process.pipes[usize::from(stderr)]) else {
            return Ok(());
        };
        let Some(pipe) = slot else { return Ok(()) };
        let mut buffer = vec![0; READ];
        let mut lines = Vec::new();
        let reads = if process.life == Life::Gone { LAST_READS } else { READS };
        for _ in 0..reads {
            match rustix::io::read(&*pipe, &mut buffer) {
                Ok(0) => {
                    output.finish(stderr, &mut lines);
                    self.poll.remove(&*pipe)?;
                    *slot = None;
                    break;
                }
                Ok(len) => output.take(stderr, &buffer[..len], &mut lines),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let job = process.job;
        self.forward(job, &mut lines);
        self.forget_if_silent(number);
        Ok(())
    }

    /// A dead process is kept while somebody it started may still print.
    fn forget_if_silent(&mut self, number: u32) {
        let over =
            |process: &crate::process::Process| process.life == Life::Dead && process.pipes.iter().all(Option::is_none);
        if self.processes.get(&number).is_some_and(over) {
            self.processes.remove(&number);
        }
    }
}
