//! A job's directory: its files, each written whole or not at all, and the lock that says whether its supervisor lives.

use iosdk_types::{JobReport, JobSpec};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, fsync, mknodat, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const SPEC: &str = "spec.json";
const LOCK: &str = "lock";
const CLAIM: &str = "supervisor.json";
const STOP: &str = "stop";
pub(crate) const OUTPUT: &str = "output.log";
pub(crate) const WORK: &str = "work";
const STARTED: &str = "started.json";
const REPORT: &str = "report.json";

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Names are looked up below a descriptor: the directory's path may be as long as paths get.
pub(crate) struct JobDir(OwnedFd);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) started_ms: u64,
    pub(crate) pid: i32,
}

/// What a supervisor writes down before it starts anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) pid: i32,
    /// In the environment of all that it starts. No other supervisor ever has the same.
    pub(crate) mark: String,
}

impl Claim {
    pub(crate) fn own() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { pid, mark: format!("{pid}.{}", since.as_nanos()) }
    }
}

impl JobDir {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    pub(crate) fn spec(&self) -> io::Result<JobSpec> {
        self.json(SPEC)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{SPEC} is not there")))
    }

    pub(crate) fn write_spec(&self, spec: &JobSpec) -> io::Result<()> {
        self.replace(SPEC, &json_line(spec)?)
    }

    pub(crate) fn started(&self) -> io::Result<Option<Started>> {
        self.json(STARTED)
    }

    pub(crate) fn write_started(&self, started: &Started) -> io::Result<()> {
        self.replace(STARTED, &json_line(started)?)
    }

    pub(crate) fn report(&self) -> io::Result<Option<JobReport>> {
        self.json(REPORT)
    }

    pub(crate) fn write_report(&self, report: &JobReport) -> io::Result<()> {
        self.replace(REPORT, &json_line(report)?)
    }

    /// The order that waits for a supervisor which is just being started: whether by force.
    pub(crate) fn stop_order(&self) -> io::Result<Option<bool>> {
        Ok(self.read(STOP)?.map(|how| how == b"force\n"))
    }

    pub(crate) fn write_stop_order(&self, force: bool) -> io::Result<()> {
        self.replace(STOP, if force { b"force\n" } else { b"gracefully\n" })
    }

    /// For appending, as a follower of it may be reading already.
    pub(crate) fn output(&self) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.0, OUTPUT, flags, PRIVATE).map_err(|error| said(error.into(), OUTPUT))?.into())
    }

    pub(crate) fn output_bytes(&self) -> io::Result<u64> {
        match rustix::fs::statat(&self.0, OUTPUT, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(u64::try_from(found.st_size).unwrap_or_default()),
            Err(Errno::NOENT) => Ok(0),
            Err(error) => Err(said(error.into(), OUTPUT)),
        }
    }

    /// Takes the lock for a supervisor to be started. None: somebody has it. It is a named pipe, so that the holder's end can be
    /// polled for from the very beginning; open for both, so that opening waits for nobody and the holder counts as a writer.
    pub(crate) fn take_lock(&self) -> io::Result<Option<OwnedFd>> {
        match mknodat(&self.0, LOCK, FileType::Fifo, PRIVATE, 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(said(error.into(), LOCK)),
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&self.0, LOCK, flags, Mode::empty()).map_err(|error| said(error.into(), LOCK))?;
        Ok(try_flock(&lock, FlockOperation::NonBlockingLockExclusive)?.then_some(lock))
    }

    /// Hangs up when the supervisor, which lives or is just being forked, is gone. By then the lock is free: the kernel unlocks
    /// a file before it closes it. None: nobody has the lock. Those who look share theirs, so they never see each other.
    pub(crate) fn holder(&self) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = match openat(&self.0, LOCK, flags, Mode::empty()) {
            Ok(lock) => lock,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(said(error.into(), LOCK)),
        };
        Ok((!try_flock(&lock, FlockOperation::NonBlockingLockShared)?).then_some(lock))
    }

    /// None: no supervisor ever began.
    pub(crate) fn claim(&self) -> io::Result<Option<Claim>> {
        self.json(CLAIM)
    }

    pub(crate) fn write_claim(&self, claim: &Claim) -> io::Result<()> {
        self.replace(CLAIM, &json_line(claim)?)
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| said(error.into(), name))
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match openat(&self.0, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(said(error.into(), name)),
        };
        let mut content = Vec::new();
        File::from(file).read_to_end(&mut content).map_err(|error| said(error, name))?;
        Ok(Some(content))
    }

    /// All of it or nothing, also after a loss of power.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let pid = rustix::process::getpid().as_raw_nonzero();
        let partial = format!("{name}.{pid}.tmp");
        let written = self.write_aside(&partial, content).and_then(|()| {
            renameat(&self.0, &partial, &self.0, name)?;
            Ok(fsync(&self.0)?)
        });
        if written.is_err() {
            let _renamed_already_or_never_made = unlinkat(&self.0, &partial, AtFlags::empty());
        }
        written.map_err(|error| said(error, name))
    }

    fn write_aside(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, name, flags, PRIVATE)?);
        file.write_all(content)?;
        file.sync_all()
    }
}

impl AsFd for JobDir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn try_flock(lock: &OwnedFd, operation: FlockOperation) -> io::Result<bool> {
    match rustix::fs::flock(lock, operation) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(said(error.into(), LOCK)),
    }
}

fn json_line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    Ok(text)
}

fn said(error: io::Error, name: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

/// Wall clock, milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
