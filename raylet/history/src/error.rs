//! What can go wrong with the history: the file system says no. Each error names what was tried with which file.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[error("the history of tasks: {doing} {}: {source}", path.display())]
pub struct Error {
    pub doing: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { doing, path: path.to_owned(), source }
    }
}
