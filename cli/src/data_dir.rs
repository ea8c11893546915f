//! A head's data directory as its operator sees it: where it is, whether a head runs in it, and which process that is.

use crate::failure::{Failure, failed};
use crate::head::{NODE_LOCK as LOCK, state_dir};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getuid, pidfd_open};
use serde::Deserialize;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};


/// What the head writes down about itself, as `head.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct HeadFile {
    pub(crate) pid: i32,
    pub(crate) url: String,
    pub(crate) version: String,
    /// Milliseconds since 1970.
    pub(crate) started_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The directory that was named, or the one that commands mean when nothing is said.
    pub(crate) fn given(path: Option<&Path>) -> Result<Self, Failure> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = path.map(Path::to_owned).or_else(|| set("IOSDK_DATA_DIR"));
        let path = path.unwrap_or_else(|| noted().unwrap_or_else(|| state_dir().join("head")));
        std::path::absolute(&path).map(Self).map_err(|error| failed(&path.display().to_string(), error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.0.join("token")
    }

    /// Makes it, and the directory of its logs, for this user alone.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        for dir in [self.0.clone(), self.0.join("logs")] {
            let shown = dir.display().to_string();
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|error| failed(&shown, error))?;
            let about = std::fs::metadata(&dir).map_err(|error| failed(&shown, error))?;
            self.check_owner(about.uid())?;
            if about.mode() & 0o077 != 0 {
                let mode = about.mode() & 0o777;
                let text = format!("{shown} has mode {mode:o}, so others can get in: chmod 700 {shown}");
                return Err(Failure::Failed(text));
            }
        }
        Ok(())
    }

    /// Held open, it stays the same directory whatever happens to its name. None: there is none.
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>, Failure> {
        let shown = || self.0.display().to_string();
        match open(&self.0, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(dir) => {
                let about = rustix::fs::fstat(&dir).map_err(|error| failed(&shown(), error))?;
                self.check_owner(about.st_uid)?;
                Ok(Some(dir))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed(&shown(), error)),
        }
    }

    /// Anybody can make a directory in a place for all.
    fn check_owner(&self, owner: u32) -> Result<(), Failure> {
        let own = getuid().as_raw();
        if owner == own {
            return Ok(());
        }
        let text = format!("{} belongs to uid {owner}, and you are uid {own}: it is not believed", self.0.display());
        Err(Failure::Failed(text))
    }

    /// Whether a head lives in it.
    pub(crate) fn runs(&self) -> Result<bool, Failure> {
        let path = self.0.join(LOCK);
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(&path.display().to_string(), error)),
        };
        // Shared, so that two who look do not take one another for the head.
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(failed(&path.display().to_string(), error)),
        }
    }

    /// What the head wrote last, whether or not it lives. None: it has written nothing yet.
    pub(crate) fn head(&self) -> Result<Option<HeadFile>, Failure> {
        let path = self.0.join("head.json");
        let said = |error: &dyn std::fmt::Display| failed(&path.display().to_string(), error);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| said(&error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(said(&error)),
        }
    }

    /// The process that `head.json` names, when it surely is the head: it has the lock open. Its number may be another's by now.
    pub(crate) fn head_process(&self, head: &HeadFile) -> Result<Option<OwnedFd>, Failure> {
        let Some(process) = process(head.pid)? else { return Ok(None) };
        let is_head = self.has_lock_open(head.pid).map_err(|error| failed("looking at the head's process", error))?;
        Ok((is_head && self.runs()?).then_some(process))
    }

    fn has_lock_open(&self, pid: i32) -> io::Result<bool> {
        let lock = std::fs::metadata(self.0.join(LOCK))?;
        let entries = match std::fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        for entry in entries {
            // It may close a descriptor while we look.
            let same = entry.and_then(|entry| std::fs::metadata(entry.path()));
            if same.is_ok_and(|about| about.ino() == lock.ino() && about.dev() == lock.dev()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Connects to one of the head's sockets. The path goes through a descriptor: it may be longer than an address can be.
    pub(crate) fn socket(&self, dir: &OwnedFd, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// A hold on the process, which stays right when its number is given away. None: there is none.
pub(crate) fn process(pid: i32) -> Result<Option<OwnedFd>, Failure> {
    let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Ok(Some(process)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => Err(failed("looking at the head's process", error)),
    }
}

/// The head that was started last, wherever it keeps its things. In a directory for all anybody could have noted one.
fn noted() -> Option<PathBuf> {
    let path = state_dir().join("current");
    let mine = std::fs::metadata(&path).is_ok_and(|about| about.uid() == getuid().as_raw());
    let text = mine.then(|| std::fs::read_to_string(&path)).and_then(Result::ok)?;
    Some(PathBuf::from(text.trim())).filter(|dir| dir.join("head.json").exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn who_holds_the_lock_is_the_head() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir(scratch.path().to_owned());
        assert!(!dir.runs().unwrap());
        assert_eq!(dir.head().unwrap(), None);
        let pid = std::process::id() as i32;
        let json = format!(r#"{{"pid": {pid}, "url": "u", "version": "v", "started_ms": 5}}"#);
        std::fs::write(scratch.path().join("head.json"), json).unwrap();
        let head = dir.head().unwrap().unwrap();
        let lock = File::create(scratch.path().join(LOCK)).unwrap();
        assert!(dir.head_process(&head).unwrap().is_none(), "open and not locked");
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        assert!(dir.runs().unwrap());
        assert!(dir.head_process(&head).unwrap().is_some());
        let other = HeadFile { pid: rustix::process::getppid().unwrap().as_raw_nonzero().get(), ..head.clone() };
        assert!(dir.head_process(&other).unwrap().is_none(), "lives and has no lock");
        assert!(dir.head_process(&HeadFile { pid: -1, ..head }).unwrap().is_none());
    }

    #[test]
    fn a_directory_is_made_for_its_owner_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir(scratch.path().join("a/b"));
        assert!(dir.open().unwrap().is_none());
        dir.create().unwrap();
        assert_eq!(std::fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o700);
        assert!(dir.open().unwrap().is_some());
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = dir.create().unwrap_err().to_string();
        assert!(error.contains("mode 755") && error.contains("chmod 700"), "{error}");
    }
}
