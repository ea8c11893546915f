//! What can go wrong when memory is mapped, backed or filled.

use rustix::io::Errno;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The kernel refused. `NOMEM` and `NOSPC` mean that there is no memory left for the arena.
    #[error("{what}: {errno}")]
    Os { what: &'static str, errno: Errno },
    /// The caller's callback asked to stop.
    #[error("interrupted")]
    Interrupted,
    #[error("{offset}+{bytes} is not inside the arena of {size} bytes")]
    OutOfBounds { offset: u64, bytes: u64, size: u64 },
    #[error("not an arena descriptor: {0}")]
    NotAnArena(&'static str),
}

impl StoreError {
    pub(crate) fn os(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Os { what, errno }
    }
}
