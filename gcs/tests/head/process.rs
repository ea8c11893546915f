//! A head as a process of its own, with a data directory that ends with the test.

use crate::client::Client;
use iosdk_gcs::{Config, HeadConfig};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The first argument of a process that is a head.
pub(crate) const ROLE: &str = "be-a-head";

/// For anything that is to happen: longer is a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the child does: `be-a-head DATA SLOTS`.
pub(crate) fn be_a_head(arguments: &[String]) -> i32 {
    let ready = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    let (data, slots) = (PathBuf::from(&arguments[0]), arguments[1].parse().unwrap());
    let config = HeadConfig { data, port: 0, machine: Config { slots, ..Config::default() }, ready };
    match iosdk_gcs::run_head(config) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Removed at its end. Its path is longer than a socket's address may be.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let top = std::env::temp_dir().join(format!("iosdk-test-{}-head-{name}", std::process::id()));
        std::fs::create_dir_all(top.join("d".repeat(120))).unwrap();
        Self(top)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("d".repeat(120)).join("data")
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    fn stderr(&self) -> PathBuf {
        self.0.join("stderr")
    }

    /// What all heads here have said.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.stderr()).unwrap()
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, into) } else { into.push(path) }
            }
        }
        let mut files = Vec::new();
        walk(&self.0, &mut files);
        files
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket("http.sock"))
    }

    pub(crate) fn start(&self) -> Head {
        self.start_with(0)
    }

    pub(crate) fn start_with(&self, slots: usize) -> Head {
        let (mut head, line) = self.try_start(slots);
        line.strip_prefix("ready ").unwrap_or_else(|| panic!("{line:?}; {}", self.said())).clone_into(&mut head.url);
        head
    }

    /// And the one line that it says.
    pub(crate) fn try_start(&self, slots: usize) -> (Head, String) {
        let stderr = File::options().create(true).append(true).open(self.stderr()).unwrap();
        // Writing past a limit of the file size, which stands in for a full disk, shall fail and not kill.
        let mut process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(std::env::current_exe().unwrap())
            .arg(ROLE)
            .arg(self.data())
            .arg(slots.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut ready = BufReader::new(process.stdout.take().unwrap());
        await_readable(&ready.get_ref());
        let mut line = String::new();
        ready.read_line(&mut line).unwrap();
        (Head { process, url: String::new() }, line.trim_end().to_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

pub(crate) fn await_readable(fd: &impl AsFd) {
    let limit = Timespec::try_from(PATIENCE).unwrap();
    let ready = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ready, 1, "nothing happened for {PATIENCE:?}");
}

/// Killed when dropped.
pub(crate) struct Head {
    process: Child,
    pub(crate) url: String,
}

impl Head {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// In kilobytes: `VmRSS`, `VmHWM`.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let mut status = String::new();
        File::open(format!("/proc/{}/status", self.process.id())).unwrap().read_to_string(&mut status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.split_ascii_whitespace().next().unwrap().parse().unwrap()
    }

    /// At once, as `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn terminate(mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.process.wait().unwrap()
    }

    /// Of one that ends by itself.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _waited_for_already = self.process.wait();
    }
}
