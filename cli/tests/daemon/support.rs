//! A driver made of nothing but a socket: starts the daemon's binary, speaks the control protocol, and looks what is left.
//! Shared by the test binaries of this crate.

use iosdk_net::control::{ControlReader, ControlWriter, ReadError};
use iosdk_types::message::raylet_to_process::LogLine;
use iosdk_types::message::{ProcessToRaylet, RayletToProcess, VERSION};
use iosdk_types::spec::ClassSpec;
use iosdk_types::{Address, Amount, Death, ResourceSet};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Driver {
    pub(crate) daemon: Child,
    stream: OwnedFd,
    reader: ControlReader,
    writer: ControlWriter,
    heard: VecDeque<(RayletToProcess, Vec<OwnedFd>)>,
    pub(crate) log: Vec<LogLine>,
    ended: bool,
}

/// A directory of its own for each test; also the mark by which processes of the test are found.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("iosdk-it-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn python() -> String {
    std::env::var("IOSDK_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Starts the daemon. `worker`: what its workers shall do.
pub(crate) fn start(tmpdir: &Path, worker: &str) -> Driver {
    start_with(tmpdir, worker, &python(), Stdio::inherit())
}

pub(crate) fn start_with(tmpdir: &Path, worker: &str, python: &str, stderr: Stdio) -> Driver {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (near, far) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::empty(),
        None,
    )
    .unwrap();
    rustix::io::fcntl_setfd(&near, rustix::io::FdFlags::CLOEXEC).unwrap();
    let config = format!(
        r#"{{"python": {python:?}, "sys_path": [{:?}], "num_cpus": 2, "object_store_memory": 100000000, "tmpdir": {tmpdir:?}}}"#,
        root.join("tests/fake"),
    );
    let daemon = Command::new(env!("CARGO_BIN_EXE_iosdk"))
        .args(["daemon", "--control-fd", &far.as_raw_fd().to_string(), "--config", &config])
        .env("IOSDK_TEST_PACKAGE", root.join("../python/iosdk"))
        .env("IOSDK_TEST_WORKER", worker)
        .env("IOSDK_TEST_MARK", tmpdir)
        .stdin(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let (reader, writer) = Default::default();
    Driver { daemon, stream: near, reader, writer, heard: VecDeque::new(), log: Vec::new(), ended: false }
}

impl Driver {
    pub(crate) fn say(&mut self, message: &ProcessToRaylet) {
        self.writer.send(self.stream.as_fd(), message, &[]).unwrap();
        assert!(!self.writer.wants_write());
    }

    /// The next message that is not output. `None`: the connection ended.
    pub(crate) fn next(&mut self) -> Option<(RayletToProcess, Vec<OwnedFd>)> {
        loop {
            match self.heard.pop_front() {
                Some((RayletToProcess::Log { lines }, _)) => self.log.extend(lines),
                Some(other) => return Some(other),
                None if self.ended => return None,
                None => self.listen(),
            }
        }
    }

    fn listen(&mut self) {
        let timeout = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&timeout)).unwrap();
        assert_eq!(ready, 1, "the daemon says nothing; the last lines: {:?}", self.last_lines());
        match self.reader.read(self.stream.as_fd()) {
            Ok(messages) => self.heard.extend(messages),
            Err(ReadError::Closed) => self.ended = true,
            Err(error) => panic!("{error}"),
        }
    }

    fn last_lines(&self) -> &[LogLine] {
        &self.log[self.log.len().saturating_sub(5)..]
    }

    /// Hello and welcome; returns the own address.
    pub(crate) fn join(&mut self) -> Address {
        self.say(&ProcessToRaylet::Hello { version: VERSION, pid: std::process::id() as i32, attach: None });
        match self.next() {
            Some((RayletToProcess::Welcome { address, .. }, fds)) => {
                assert_eq!(fds.len(), 3);
                address
            }
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Asks for one worker; returns it and its pid, once lanes are open.
    pub(crate) fn worker(&mut self) -> (Address, i32) {
        let spec = ClassSpec { resources: ResourceSet::new().with("CPU", Amount::ONE), depth: 0 };
        self.say(&ProcessToRaylet::Demand { class: 1, spec, want: 1 });
        let (mut granted, mut attached) = (None, Vec::new());
        loop {
            match self.next() {
                Some((RayletToProcess::Granted { worker, class: 1, .. }, _)) => granted = Some(worker),
                Some((RayletToProcess::Attach { peer, pid, .. }, fds)) => {
                    assert_eq!(fds.len(), 1);
                    attached.push((peer, pid));
                }
                other => panic!("no worker but {other:?}"),
            }
            if let Some(found) = attached.iter().find(|(peer, _)| Some(*peer) == granted) {
                return *found;
            }
        }
    }

    /// Reads on until this worker's death is told. Other messages stay to be heard.
    pub(crate) fn until_dead(&mut self, worker: Address) -> Death {
        let mut others = VecDeque::new();
        loop {
            match self.next() {
                Some((RayletToProcess::PeerDying { peer }, _)) => self.say(&ProcessToRaylet::DeadAck { peer }),
                Some((RayletToProcess::PeerDead { peer, death }, _)) => {
                    self.say(&ProcessToRaylet::Claims { holder: peer, extents: Vec::new() });
                    if peer == worker {
                        others.append(&mut self.heard);
                        self.heard = others;
                        return death;
                    }
                }
                Some(other) => others.push_back(other),
                None => panic!("the daemon ended"),
            }
        }
    }

    /// Reads on until this process has printed a line with this text.
    pub(crate) fn until_printed(&mut self, pid: i32, text: &str) -> LogLine {
        let mut looked_at = 0;
        loop {
            let (log, rest): (VecDeque<_>, VecDeque<_>) =
                self.heard.drain(..).partition(|(message, _)| matches!(message, RayletToProcess::Log { .. }));
            self.heard = rest;
            for (message, _) in log {
                if let RayletToProcess::Log { lines } = message {
                    self.log.extend(lines);
                }
            }
            if let Some(line) = self.log[looked_at..].iter().find(|line| line.pid == pid && line.text == text) {
                return line.clone();
            }
            assert!(!self.ended, "the connection ended before {text:?}; the last lines: {:?}", self.last_lines());
            looked_at = self.log.len();
            self.listen();
        }
    }
}

/// Pids of processes that a daemon with this directory started, and the daemon itself: the environment tells.
pub(crate) fn processes_of(tmpdir: &Path) -> Vec<i32> {
    let mark = format!("IOSDK_TEST_MARK={}", tmpdir.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Ok(pid) = name.to_string_lossy().parse::<i32>() else { continue };
        // Gone meanwhile, or somebody else's.
        let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
        if environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

/// The fork server's pid: the daemon's only child.
pub(crate) fn fork_server_of(driver: &Driver) -> i32 {
    let daemon = driver.daemon.id();
    let children = std::fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children")).unwrap();
    let mut pids = children.split_ascii_whitespace();
    let pid = pids.next().unwrap().parse().unwrap();
    assert_eq!(pids.next(), None);
    pid
}

/// Within a second nothing is there any more: no process, no file.
pub(crate) fn assert_nothing_left(tmpdir: &Path, began: Instant) {
    loop {
        let (processes, files) = (processes_of(tmpdir), std::fs::read_dir(tmpdir).unwrap().count());
        if processes.is_empty() && files == 0 {
            break;
        }
        // Five times what is promised.
        assert!(began.elapsed() < Duration::from_secs(5), "left: processes {processes:?}, {files} files in {tmpdir:?}");
        std::thread::yield_now();
    }
    eprintln!("nothing left after {:?}", began.elapsed());
    std::fs::remove_dir(tmpdir).unwrap();
}
