//! The head's data directory: who may use it, what lies where in it, and how things get there whole.

use iosdk_http::Token;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// This process's for as long as it lives.
pub(crate) struct DataDir {
    /// Absolute, without links.
    path: PathBuf,
    lock: File,
}

impl DataDir {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = private(path)?;
        // Jobs are told of it in their environment and specs, which are text.
        if path.to_str().is_none() {
            let text = format!("the path {} must be UTF-8: choose another data directory", path.display());
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        let lock = lock(&path)?;
        for name in ["log", "jobs", "secrets", "packages"] {
            private(&path.join(name))?;
        }
        Ok(Self { path, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the node of this machine keeps the tasks that ended.
    pub(crate) fn history(&self) -> PathBuf {
        self.path.join("history")
    }

    pub(crate) fn packages(&self) -> PathBuf {
        self.path.join("packages")
    }

    /// Where the raylet keeps what a job is and does.
    pub(crate) fn job(&self, number: u64) -> PathBuf {
        self.path.join("jobs").join(number.to_string())
    }

    pub(crate) fn secrets(&self, number: u64) -> PathBuf {
        self.path.join("secrets").join(number.to_string())
    }

    /// Made once, kept over restarts.
    pub(crate) fn token(&self) -> io::Result<Token> {
        let path = self.token_file();
        if !path.try_exists()? {
            let mut bytes = [0u8; 32];
            File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            text.push('\n');
            replace(&path, text.as_bytes())?;
        }
        Token::from_file(&path)
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.path.join("token")
    }

    /// A socket file that a killed head left is in nobody's way: the lock is held.
    pub(crate) fn listen(&self, name: &str) -> io::Result<UnixListener> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(about(error, "removing", &path)),
            _ => {}
        }
        let listener = by_short_path(&path, |short| UnixListener::bind(short))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Removes what belongs to no job: secrets of those that are not `live`, and directories of those that are not `known`. A
    /// head that was killed between writing down an end and tidying up leaves them.
    pub(crate) fn sweep(&self, known: impl Fn(u64) -> bool, live: impl Fn(u64) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(self.path.join("secrets"))? {
            let entry = entry?;
            if !number(&entry).is_some_and(&live) {
                fs::remove_file(entry.path()).map_err(|error| about(error, "removing", &entry.path()))?;
            }
        }
        for entry in fs::read_dir(self.path.join("jobs"))? {
            let entry = entry?;
            if number(&entry).is_some_and(|number| !known(number)) {
                fs::remove_dir_all(entry.path()).map_err(|error| about(error, "removing", &entry.path()))?;
            }
        }
        Ok(())
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing is not enough: a child that is just being spawned has the lock too until it executes its program.
        let _closing_is_all_that_is_left = self.lock.unlock();
    }
}

fn number(entry: &fs::DirEntry) -> Option<u64> {
    entry.file_name().to_str()?.parse().ok()
}

/// A directory that only this user can enter. One that others could is refused, not repaired: they may have been there.
fn private(dir: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| about(error, "making", dir))?;
    let dir = fs::canonicalize(dir).map_err(|error| about(error, "looking for", dir))?;
    let found = fs::metadata(&dir).map_err(|error| about(error, "looking at", &dir))?;
    let own = rustix::process::getuid().as_raw();
    if found.uid() != own || found.mode() & 0o077 != 0 {
        let text = format!(
            "{} has mode {:o} and belongs to uid {}; a head's data must be uid {own}'s alone (mode 700): chmod it, or choose \
             another data directory",
            dir.display(),
            found.mode() & 0o7777,
            found.uid()
        );
        return Err(io::Error::new(ErrorKind::PermissionDenied, text));
    }
    Ok(dir)
}

/// One head a data directory. The file names the holder for whoever comes second.
fn lock(data: &Path) -> io::Result<File> {
    let path = data.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(|error| about(error, "opening", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            // Between taking the lock and writing its name the holder has none.
            let holder = if holder.is_empty() { "another process" } else { holder.trim_end() };
            let text = format!(
                "a head runs on {} already ({holder}): stop that one first, or choose another data directory",
                data.display()
            );
            return Err(io::Error::new(ErrorKind::AlreadyExists, text));
        }
        Err(TryLockError::Error(error)) => return Err(about(error, "locking", &path)),
    }
    // Over the last holder's name, not instead of it: that needs no space, and the disk may be full.
    let name = format!("process {}\n", std::process::id());
    let named = file.write_all_at(name.as_bytes(), 0).and_then(|()| file.set_len(name.len() as u64));
    named.map_err(|error| about(error, "writing", &path))?;
    Ok(file)
}

/// All of a private file or nothing of it, also after a loss of power.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    let written = write_aside(&draft, content).and_then(|()| {
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    });
    if written.is_err() {
        let _renamed_already_or_never_made = fs::remove_file(&draft);
    }
    written.map_err(|error| about(error, "writing", path))
}

fn write_aside(draft: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Addresses of Unix sockets end at 108 bytes, paths do not: the socket is named through its directory's descriptor.
pub(crate) fn by_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("{} is no socket's path", path.display())));
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let handle = File::open(dir).map_err(|error| about(error, "opening", dir))?;
    act(&Path::new(&format!("/proc/self/fd/{}", handle.as_raw_fd())).join(name))
        .map_err(|error| about(error, "the socket", path))
}

fn about(error: io::Error, doing: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {}: {error}", path.display()))
}
