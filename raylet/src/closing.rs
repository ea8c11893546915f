//! The end: every process is killed with all it started, what was printed reaches the driver, nothing is left on disk.

use crate::family;
use crate::gcs_link::GcsLink;
use crate::jobs_here::flush_log;
use crate::node::Node;
use crate::process::Process;
use iosdk_complain::complain;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Everything takes a few milliseconds; a process stuck in the kernel may take longer, and then the daemon goes without it.
const KILL_LIMIT: Duration = Duration::from_millis(700);
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By the driver or by a signal.
    Told,
    DriverGone,
}

pub(crate) fn wait_for(fd: BorrowedFd<'_>, flags: PollFlags, limit: Duration) {
    let timeout = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    // Whatever it says, the caller looks again.
    let _either_way = poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout));
}

impl<G: GcsLink> Node<G> {
    /// The loop ends after this round.
    pub(crate) fn end(&mut self, why: Ending) {
        self.ending.get_or_insert(why);
    }

    pub(crate) fn close(mut self) -> io::Result<()> {
        let driver_listens = self.ending != Some(Ending::DriverGone);
        self.end_gcs();
        for process in self.processes.values().filter(|process| !process.is_driver()) {
            process.kill();
        }
        let servers = self.servers.all.values().filter_map(|server| server.process.as_ref());
        for server in servers.filter_map(|process| Pid::from_raw(process.pid())) {
            // It may have ended by itself.
            let _gone = kill_process(server, Signal::KILL);
        }
        let signals = &self.signals;
        let all_ended = family::end_descendants(KILL_LIMIT, |limit| {
            wait_for(signals.fd(), PollFlags::IN, limit);
            // A signal that asks to end comes too late to matter.
            let _asked_again = signals.drain();
        });
        if matches!(all_ended, Ok(false)) {
            complain!("raylet: some processes could not be ended within {KILL_LIMIT:?}");
        }
        self.collect_history();
        let flushed = if driver_listens { self.flush_logs() } else { Ok(()) };
        self.session.remove()?;
        all_ended.and(flushed)
    }

    /// Everybody who could print is gone: reads what is left and sends it.
    fn flush_logs(&mut self) -> io::Result<()> {
        let numbers: Vec<u32> = self.processes.keys().copied().collect();
        let began = Instant::now();
        // A pipe holds a bounded number of bytes, and its writers are dead: it ends, unless one of them was stuck.
        while began.elapsed() < FLUSH_LIMIT && self.processes.values().any(Process::may_print) {
            for number in &numbers {
                self.read_output(*number, false)?;
                self.read_output(*number, true)?;
            }
        }
        let logs = self.session.logs();
        for job in self.jobs.values_mut() {
            if let Some(control) = self.processes.get_mut(&job.driver).and_then(|driver| driver.control.as_mut()) {
                flush_log(&mut job.log, control, &logs)?;
            }
        }
        Ok(())
    }
}
