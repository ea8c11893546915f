//! A head's data directory as its operator sees it: where it is, whether a head runs in it, and which process that is.

use crate::failure::{Failure, failed};
use crate::head::state_dir;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getuid, pidfd_open};
use serde::Deserialize;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Locked (flock) by the GCS for as long as it lives.
const LOCK: &str = "lock";
const NODE_SOCKET: &str = "node.sock";
pub(crate) const HTTP_SOCKET: &str = "http.sock";

/// What the head writes down about itself, as `head.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct HeadFile {
    pub(crate) pid: i32,
    pub(crate) url: String,
    /// Milliseconds since 1970.
    pub(crate) started_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataDir(PathBuf);

/// A process that serves one of the head's sockets.
pub(crate) struct Server {
    pub(crate) pid: i32,
    /// It stays right when the number is given away.
    pub(crate) process: OwnedFd,
}

impl DataDir {
    /// Where a head is to be: the directory that was named, or the usual one.
    pub(crate) fn given(path: Option<&Path>) -> Result<Self, Failure> {
        let set = std::env::var_os("IOSDK_DATA_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = path.map(Path::to_owned).or(set).unwrap_or_else(|| state_dir().join("head"));
        std::path::absolute(&path).map(Self).map_err(|error| failed(&path.display().to_string(), error))
    }

    /// Where a head is: the directory that was named; else that of the head that was started last, if it still runs; else the
    /// usual one. `init(address="auto")` finds the same.
    pub(crate) fn found(path: Option<&Path>) -> Result<Self, Failure> {
        let usual = Self::given(path)?;
        if path.is_some() || usual.0 != state_dir().join("head") {
            return Ok(usual);
        }
        let noted = match noted(&state_dir().join("current")) {
            Ok(noted) => noted,
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed("looking for the head that was started last", error)),
        };
        Ok(noted.map(Self).filter(|dir| dir.0.join(NODE_SOCKET).exists()).unwrap_or(usual))
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
            private(&dir).map_err(|error| Failure::Failed(error.to_string()))?;
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

    /// Whether a GCS has it in its hands. So it is too while a head starts and ends.
    pub(crate) fn locked(&self) -> Result<bool, Failure> {
        let path = self.0.join(LOCK);
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(&path.display().to_string(), error)),
        };
        // Shared, so that two who look do not take one another for it.
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

    /// The head's own process, its node, as the kernel says. None: there is none.
    pub(crate) fn node(&self) -> Result<Option<Server>, Failure> {
        self.server(NODE_SOCKET)
    }

    /// The process that serves HTTP: the GCS, which may be the node.
    pub(crate) fn gcs(&self) -> Result<Option<Server>, Failure> {
        self.server(HTTP_SOCKET)
    }

    fn server(&self, name: &str) -> Result<Option<Server>, Failure> {
        let Some(dir) = self.open()? else { return Ok(None) };
        let said = |error: io::Error| failed(&format!("looking at {}", self.0.join(name).display()), error);
        let Some(pid) = self.listener(&dir, name).map_err(said)? else { return Ok(None) };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(said(error.into())),
        };
        // It still listens, so the number was still its own when it was opened.
        let same = self.listener(&dir, name).map_err(said)? == Some(pid);
        Ok(same.then_some(Server { pid: pid.as_raw_pid(), process }))
    }

    /// Who listens. None: nobody.
    fn listener(&self, dir: &OwnedFd, name: &str) -> io::Result<Option<Pid>> {
        match UnixStream::connect(self.socket(dir, name)) {
            Ok(stream) => {
                let peer = rustix::net::sockopt::socket_peercred(&stream)?;
                if peer.uid != getuid() {
                    return Err(io::Error::other(format!("uid {} serves it: it is not believed", peer.uid.as_raw())));
                }
                Ok(Some(peer.pid))
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The way to one of the head's sockets. It goes through a descriptor: paths may be longer than addresses can be.
    pub(crate) fn socket(&self, dir: &OwnedFd, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
    }
}

/// Makes a directory that only its owner can enter; one that others could is refused, not repaired.
pub(crate) fn private(dir: &Path) -> io::Result<()> {
    let shown = dir.display();
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{shown}: {error}"));
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(named)?;
    let (about, own) = (std::fs::metadata(dir).map_err(named)?, getuid().as_raw());
    if about.uid() != own {
        let text = format!("{shown} belongs to uid {}, and you are uid {own}: choose another", about.uid());
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    if about.mode() & 0o077 != 0 {
        let mode = about.mode() & 0o777;
        let text = format!("{shown} has mode {mode:o}, so others can get in: chmod 700 {shown}");
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// None: another user's word.
fn noted(file: &Path) -> io::Result<Option<PathBuf>> {
    let mut file = File::open(file)?;
    let mut text = String::new();
    if file.metadata()?.uid() == getuid().as_raw() {
        file.read_to_string(&mut text)?;
    }
    Ok(Some(PathBuf::from(text.trim_end_matches('\n'))).filter(|dir| dir.is_absolute()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn who_listens_is_the_head() {
        let scratch = tempfile::tempdir().unwrap();
        // Longer than an address can be.
        let dir = DataDir(scratch.path().join("d".repeat(120)));
        assert!(dir.node().unwrap().is_none());
        dir.create().unwrap();
        assert!(dir.node().unwrap().is_none());
        let open = dir.open().unwrap().unwrap();
        let listener = UnixListener::bind(dir.socket(&open, NODE_SOCKET)).unwrap();
        assert_eq!(dir.node().unwrap().unwrap().pid, std::process::id() as i32);
        drop(listener);
        assert!(dir.node().unwrap().is_none(), "a socket that nobody serves");
    }

    #[test]
    fn a_lock_that_is_held_is_seen() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir(scratch.path().to_owned());
        assert!(!dir.locked().unwrap());
        let lock = File::create(scratch.path().join(LOCK)).unwrap();
        assert!(!dir.locked().unwrap());
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        assert!(dir.locked().unwrap());
    }

    #[test]
    fn what_the_head_wrote_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir(scratch.path().to_owned());
        assert_eq!(dir.head().unwrap(), None);
        let json = r#"{"pid": 7, "gcs_pid": null, "url": "u", "version": "v", "started_ms": 5}"#;
        std::fs::write(scratch.path().join("head.json"), json).unwrap();
        assert_eq!(dir.head().unwrap(), Some(HeadFile { pid: 7, url: "u".into(), started_ms: 5 }));
    }

    #[test]
    fn the_note_of_the_last_head_is_a_path() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("current");
        assert_eq!(noted(&file).unwrap_err().kind(), ErrorKind::NotFound);
        for (text, expected) in [("/a b\n", Some("/a b")), ("", None), ("relative\n", None)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(noted(&file).unwrap().as_deref(), expected.map(Path::new), "{text:?}");
        }
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
