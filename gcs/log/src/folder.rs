//! The folder of the log: who has it open, and which file is called what.
//!
//! `N.log` is the file that is appended to; `N.blobs` is an older one, kept for the blobs in it; `N.unfinished` is a
//! snapshot that did not get to its end. `lock` is locked by the process that has the log open, and names it.

use crate::Error;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(crate) struct Folder {
    dir: PathBuf,
    handle: File,
    lock: File,
}

/// The files of the log by their numbers.
#[derive(Default)]
pub(crate) struct Files {
    pub logs: BTreeMap<u64, PathBuf>,
    pub blobs: BTreeMap<u64, PathBuf>,
    pub unfinished: Vec<PathBuf>,
}

impl Folder {
    pub(crate) fn lock(dir: &Path) -> Result<Self, Error> {
        let handle = File::open(dir).map_err(Error::io("opening the folder", dir))?;
        let path = dir.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).map_err(Error::io("reading", &path))?;
                // Between taking the lock and writing its name the holder has none.
                let holder = if holder.is_empty() { "another process" } else { holder.trim_end() }.to_owned();
                return Err(Error::Held { dir: dir.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("locking", &path)(error)),
        }
        // Over the last holder's name, not instead of it: that needs no space, and the disk may be full.
        let name = format!("process {}\n", std::process::id());
        let named = lock.write_all_at(name.as_bytes(), 0).and_then(|()| lock.set_len(name.len() as u64));
        named.map_err(Error::io("writing", &path))?;
        Ok(Self { dir: dir.to_owned(), handle, lock })
    }

    pub(crate) fn files(&self) -> Result<Files, Error> {
        let reading = "reading the folder";
        let mut files = Files::default();
        for entry in std::fs::read_dir(&self.dir).map_err(Error::io(reading, &self.dir))? {
            let path = entry.map_err(Error::io(reading, &self.dir))?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            match (number, path.extension().and_then(|end| end.to_str())) {
                (Some(number), Some("log")) => drop(files.logs.insert(number, path)),
                (Some(number), Some("blobs")) => drop(files.blobs.insert(number, path)),
                (Some(_), Some("unfinished")) => files.unfinished.push(path),
                _ => {}
            }
        }
        Ok(files)
    }

    /// Makes the names of the files as durable as what is in them.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.handle.sync_all().map_err(Error::io("syncing the folder", &self.dir))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn log(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:010}.log"))
    }

    pub(crate) fn blobs(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:010}.blobs"))
    }

    pub(crate) fn unfinished(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:010}.unfinished"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing is not enough: a child that is just being spawned has the lock too until it executes its program.
        let _closing_is_all_that_is_left = self.lock.unlock();
    }
}
