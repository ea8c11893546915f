//! A daemon as far as jobs go: a process of its own that starts a nursery and asks it for supervisors.

use iosdk_supervisor::Nursery;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, wait};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The first argument of a process that plays the daemon.
pub(crate) const ROLE: &str = "play-the-daemon";

/// Five times what a stop may take, and more than anything else does.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// In the environment of each daemon.
pub(crate) const FROM_DAEMON: (&str, &str) = ("IOSDK_TEST_OF_DAEMON", "from the daemon");

/// Commands and answers are lines.
pub(crate) fn play() {
    let nursery = Nursery::start().unwrap();
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        match line.split_once(' ').unwrap() {
            ("spawn", dir) => match nursery.spawn(Path::new(dir)) {
                Ok(()) => println!("spawned"),
                Err(error) => println!("{:?}: {error}", error.kind()),
            },
            (other, _) => panic!("{other} is no command"),
        }
    }
}

pub(crate) fn await_readable(fd: &impl AsFd) {
    let limit = Timespec::try_from(LONG).unwrap();
    let ready = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ready, 1, "nothing happened for {LONG:?}");
}

pub(crate) struct Daemon {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(ROLE)
            .env(FROM_DAEMON.0, FROM_DAEMON.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut daemon = Self { process, commands, answers };
        assert_eq!(daemon.answer(), "ready");
        daemon
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn try_spawn(&mut self, dir: &Path) -> String {
        writeln!(self.commands, "spawn {}", dir.display()).unwrap();
        self.answer()
    }

    pub(crate) fn spawn(&mut self, dir: &Path) {
        assert_eq!(self.try_spawn(dir), "spawned");
    }

    /// The nursery is this process's: its parent ended at once, and the daemon is no subreaper.
    pub(crate) fn nursery(&self) -> Watched {
        let own = std::process::id().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap() {
            let stat = std::fs::read_to_string(entry.unwrap().path().join("stat")).unwrap_or_default();
            let Some((pid, rest)) = stat.split_once(" (iosdk-nursery) ") else { continue };
            if !rest.starts_with('Z') && rest.split(' ').nth(1) == Some(&own) {
                found.push(Pid::from_raw(pid.parse().unwrap()).unwrap());
            }
        }
        assert_eq!(found.len(), 1, "one nursery of one daemon");
        Watched::new(found[0])
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn end(mut self) {
        drop(self.commands);
        assert!(self.process.wait().unwrap().success());
    }
}

/// A process that is looked at from outside.
pub(crate) struct Watched {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Watched {
    pub(crate) fn new(pid: Pid) -> Self {
        Self { pid, pidfd: pidfd_open(pid, PidfdFlags::empty()).unwrap() }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    pub(crate) fn await_end(&self) {
        await_readable(&self.pidfd);
    }

    pub(crate) fn has_ended(&self) -> bool {
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
    }
}

/// Every process that the test had started, by itself or through others, ends now or has ended.
pub(crate) fn nothing_is_left() {
    loop {
        match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return,
            Ok(Some(_)) => {}
            Ok(None) => {
                let children =
                    std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap();
                for pid in children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()) {
                    let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).unwrap();
                    assert_eq!(name, "iosdk-nursery\n", "process {pid:?} is left");
                    Watched::new(pid).await_end();
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}
