//! The event log: what the GCS must not forget, as bytes in and bytes out. It knows nothing of what the bytes mean.
//! What lies where on the disk and how it survives is in `docs/event-log.md`.

mod base;
mod blobs;
mod error;
mod folder;
mod format;
#[cfg(test)]
mod fuzz_tests;
mod log;
mod replay;
mod segment;

pub use error::Error;

use std::path::Path;

/// One thing to keep. Entries that are appended together are kept together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// One step of the history; all of them since the last snapshot come back, in order, when the log is opened.
    Record(Vec<u8>),
    /// Bytes under a name, read by `blob` only: they take no memory. A second one of the same key replaces the first.
    PutBlob {
        key: String,
        bytes: Vec<u8>,
    },
    DropBlob {
        key: String,
    },
}

pub trait EventStore: Send {
    /// Keeps all of `entries` or none; durable (fdatasync) when this returns. Group commit is the caller's: many entries
    /// at once cost one fdatasync. After an error the same entries can be given again.
    fn append(&mut self, entries: &[Entry]) -> Result<(), Error>;

    /// Replaces all records so far by `state`, durably. Blobs stay; the space of dropped ones comes back here. After an
    /// error the log holds the records or the state, which are worth the same.
    fn snapshot(&mut self, state: &[u8]) -> Result<(), Error>;

    fn blob(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
}

/// An opened log and what it remembers.
pub struct Opened {
    pub store: Box<dyn EventStore>,
    /// The state given to the last snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// The records appended since.
    pub records: Vec<Vec<u8>>,
    /// What had to be put right, one line each, for the operator.
    pub repairs: Vec<String>,
}

/// Opens the log in `dir`, or starts one if the folder holds none. The folder exists and is its owner's alone (0700);
/// the log makes its files 0600. As long as the store lives, no other process can open the same folder.
pub fn open(dir: &Path) -> Result<Opened, Error> {
    replay::open(dir)
}
