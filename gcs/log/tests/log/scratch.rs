//! A folder for one test, and what the tests look at in it.

use iosdk_gcs_log::{Entry, Error, Opened, open};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Gone with everything in it when dropped.
pub(crate) struct Scratch {
    pub(crate) dir: PathBuf,
}

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("iosdk-log-{}-{name}-{nth}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&dir).expect("a new folder");
        Self { dir }
    }

    pub(crate) fn open(&self) -> Opened {
        open(&self.dir).expect("opens")
    }

    /// What opening says when it must not work.
    pub(crate) fn refused(&self) -> Error {
        open(&self.dir).err().expect("refused")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The names of the files, the lock left out.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.retain(|name| name != "lock");
        names.sort();
        names
    }

    /// The file that is appended to.
    pub(crate) fn newest(&self) -> PathBuf {
        self.file(self.files().iter().rfind(|name| name.ends_with(".log")).expect("a log"))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files().iter().map(|name| len(&self.file(name))).sum()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).expect("removed");
    }
}

pub(crate) fn len(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file").len()
}

pub(crate) fn record(text: &str) -> Entry {
    Entry::Record(text.as_bytes().to_vec())
}

pub(crate) fn put(key: &str, bytes: &[u8]) -> Entry {
    Entry::PutBlob { key: key.to_owned(), bytes: bytes.to_vec() }
}

pub(crate) fn discard(key: &str) -> Entry {
    Entry::DropBlob { key: key.to_owned() }
}

/// The records as text, which the tests write.
pub(crate) fn texts(opened: &Opened) -> Vec<String> {
    opened.records.iter().map(|bytes| String::from_utf8(bytes.clone()).expect("text")).collect()
}
