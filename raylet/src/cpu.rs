//! How much processor time processes have used, for the node's account.

use crate::gcs_link::GcsLink;
use crate::node::Node;
use iosdk_complain::complain;
use iosdk_raylet_core::Input;
use iosdk_types::Address;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::OwnedFd;

/// Nanoseconds by `/proc/PID/stat`: of all its threads, those that ended too, and of children that it has waited for.
fn parse(stat: &str, ticks_per_second: u64) -> Option<u64> {
    let fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let mut times = fields.skip(11).take(4).map(|field| field.parse::<u64>().ok());
    let ticks = (0..4).try_fold(0_u64, |sum, _| sum.checked_add(times.next()??))?;
    u64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_second)).ok()
}

/// `None` when it has ended: its number may be somebody else's by now.
fn used(pid: i32, pidfd: &OwnedFd) -> io::Result<Option<u64>> {
    let stat = std::fs::read(format!("/proc/{pid}/stat"));
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&at_once))? > 0 {
        return Ok(None);
    }
    let stat = stat?;
    let stat = String::from_utf8_lossy(&stat);
    let used = parse(&stat, rustix::param::clock_ticks_per_second());
    used.map(Some).ok_or_else(|| io::Error::other(format!("no times are in {stat:?}")))
}

impl<G: GcsLink> Node<G> {
    /// Those that cannot be measured are left out.
    pub(crate) fn measure_cpu(&mut self, processes: &[Address]) {
        let mut measured = Vec::new();
        for address in processes {
            let Some(process) = self.processes.get(&address.process) else { continue };
            let Some(pidfd) = &process.pidfd else { continue };
            match used(process.pid, pidfd) {
                Ok(used) => measured.extend(used.map(|used_ns| (*address, used_ns))),
                Err(error) => complain!("raylet: the processor time of process {}: {error}", process.pid),
            }
        }
        self.inputs.push_back(Input::CpuUsed { used: measured });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::process::{Command, Stdio};

    #[test]
    fn all_four_times_count() {
        let line = "42 (a) b (c) S 7 41 40 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 1 0 99";
        assert_eq!(parse(line, 100), Some(1_240_000_000));
        assert_eq!(parse("42 (a) S 7 41", 100), None);
        assert_eq!(parse("42 (a", 100), None);
    }

    #[test]
    fn time_of_a_process_grows_while_it_works_and_ends_with_it() {
        // Ends by itself, should this test not get to its end.
        let works = "i=0; while [ $i -lt 30000000 ]; do i=$((i+1)); done";
        let mut child = Command::new("sh").args(["-c", works]).stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let known = Pid::from_raw(pid).unwrap();
        let pidfd = pidfd_open(known, PidfdFlags::empty()).unwrap();
        let first = used(pid, &pidfd).unwrap().unwrap();
        while used(pid, &pidfd).unwrap().unwrap() <= first {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(used(pid, &pidfd).unwrap(), None);
    }
}
