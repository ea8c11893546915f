//! What can go wrong with the log, each with the file it is about and what to do.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },

    #[error(
        "the event log {} is in use by {holder}; end that one first, or start this one with another folder",
        dir.display()
    )]
    Held { dir: PathBuf, holder: String },

    #[error(
        "{} has format version {found}; this version of iosdk reads up to {known}: start the one that wrote it, or a newer one",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },

    #[error("{} is damaged at offset {offset}: {what}. Nothing was changed; {remedy}", path.display())]
    Damaged { path: PathBuf, offset: u64, what: String, remedy: String },

    #[error(
        "{} is missing, and {} needs it; restore the whole folder from a copy",
        missing.display(), needed_by.display()
    )]
    Missing { missing: PathBuf, needed_by: PathBuf },

    #[error("{what} of {len} bytes; the event log takes at most {max} at once: split it")]
    TooLarge { what: &'static str, len: u64, max: u64 },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }

    /// Damage that no cut can mend: what came before it is not enough to go on from.
    pub(crate) fn lost(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        let remedy = "restore the folder from a copy".to_owned();
        Self::Damaged { path: path.to_owned(), offset, what: what.into(), remedy }
    }
}
