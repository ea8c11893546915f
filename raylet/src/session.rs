//! The session directory: made private, locked while its daemon lives, removed at the end. Directories that a killed daemon
//! left behind are swept by the next one. No sockets lie here, so the length of its path does not matter.

use iosdk_complain::complain;
use rustix::fs::{FlockOperation, Mode, OFlags, fstat, lstat, open, stat};
use rustix::io::Errno;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Names tried for one pid before giving up.
const ATTEMPTS: u32 = 1_000;

#[derive(Debug)]
pub struct Session {
    home: PathBuf,
    dir: PathBuf,
    name: String,
    removed: bool,
    /// An exclusive lock on the directory says that somebody uses it. Pids would not: another container may share the disk.
    _lock: OwnedFd,
}

/// However the daemon ends, short of being killed.
impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            complain!("raylet: {error}");
        }
    }
}

impl Session {
    /// `<tmpdir>/iosdk-<uid>/session_<pid>_<n>` with `logs` in it.
    pub fn create(tmpdir: &Path) -> io::Result<Self> {
        let uid = rustix::process::getuid().as_raw();
        let home = tmpdir.join(format!("iosdk-{uid}"));
        for n in 0..ATTEMPTS {
            private_home(&home, uid)?;
            let name = format!("session_{}_{n}", std::process::id());
            let dir = home.join(&name);
            match DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => {}
                // Taken, or the last session's end removed the home just now.
                Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                    continue;
                }
                Err(error) => return Err(said(error, "making", &dir)),
            }
            // A sweep may have found the directory before it was locked, and removed it.
            let Some(lock) = lock(&dir)? else { continue };
            DirBuilder::new().mode(0o700).create(dir.join("logs")).map_err(|error| said(error, "making", &dir))?;
            return Ok(Self { home, dir, name, removed: false, _lock: lock });
        }
        Err(io::Error::other(format!("no free session name in {}", home.display())))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes what daemons that were killed left behind.
    pub fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.home)? {
            let path = entry?.path();
            if path == self.dir || lock(&path)?.is_none() {
                continue;
            }
            remove(&path)?;
        }
        Ok(())
    }

    /// Removes the directory, and the user's directory above it when nothing else is there.
    pub fn remove(mut self) -> io::Result<()> {
        self.clear()
    }

    fn clear(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.removed, true) {
            return Ok(());
        }
        remove(&self.dir)?;
        match std::fs::remove_dir(&self.home) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {
                Err(said(error, "removing", &self.home))
            }
            _ => Ok(()),
        }
    }
}

fn said(error: io::Error, doing: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {}: {error}", path.display()))
}

fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(said(error, "removing", dir)),
        _ => Ok(()),
    }
}

/// The directory of all sessions of this user. In a shared /tmp somebody else may have made it first: then it is refused.
fn private_home(home: &Path, uid: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(home) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(said(error, "making", home)),
    }
    let found = match lstat(home) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(said(error.into(), "looking at", home)),
    };
    let is_dir = rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir();
    if !is_dir || found.st_uid != uid || found.st_mode & 0o077 != 0 {
        let why = "is not a directory of this user with mode 0700; remove it or set IOSDK_TMPDIR";
        return Err(io::Error::other(format!("{} {why}", home.display())));
    }
    Ok(())
}

/// The lock, if nobody has it and the directory is still there.
fn lock(dir: &Path) -> io::Result<Option<OwnedFd>> {
    let fd = match open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(said(error.into(), "opening", dir)),
    };
    match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(said(error.into(), "locking", dir)),
    }
    let held = fstat(&fd)?;
    match stat(dir) {
        Ok(there) if there.st_ino == held.st_ino && there.st_dev == held.st_dev => Ok(Some(fd)),
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(said(error.into(), "looking at", dir)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("iosdk-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_session_is_private_and_leaves_nothing() {
        let tmp = scratch("private").join("x".repeat(200));
        std::fs::create_dir_all(&tmp).unwrap();
        let session = Session::create(&tmp).unwrap();
        let second = Session::create(&tmp).unwrap();
        assert_ne!(session.dir(), second.dir());
        let mode = std::fs::metadata(session.logs()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        second.remove().unwrap();
        assert!(session.dir().exists());
        session.remove().unwrap();
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
        std::fs::remove_dir_all(tmp.parent().unwrap()).unwrap();
    }

    #[test]
    fn only_abandoned_sessions_are_swept() {
        let tmp = scratch("sweep");
        let (live, mut dead) = (Session::create(&tmp).unwrap(), Session::create(&tmp).unwrap());
        let left = dead.dir().to_owned();
        // As after a kill -9: the lock is gone, the directory is not.
        dead.removed = true;
        drop(dead);
        let sweeping = Session::create(&tmp).unwrap();
        sweeping.sweep().unwrap();
        assert!(!left.exists());
        assert!(live.dir().exists() && sweeping.dir().exists());
        drop((live, sweeping));
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
        std::fs::remove_dir_all(&tmp).unwrap();
    }

    #[test]
    fn a_home_open_to_others_is_refused() {
        let tmp = scratch("open");
        let home = tmp.join(format!("iosdk-{}", rustix::process::getuid().as_raw()));
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Session::create(&tmp).unwrap_err().to_string().contains("0700"));
        std::fs::remove_dir_all(&tmp).unwrap();
    }
}
