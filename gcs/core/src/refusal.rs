//! Why a call from outside was refused: what was given, and what to do.

use iosdk_types::{Amount, ResourceSet};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    NoSuchJob {
        id: String,
    },
    /// Something else was submitted under this id.
    DuplicateId {
        id: String,
    },
    /// Only what is over can be deleted.
    NotOver {
        id: String,
        status: &'static str,
    },
    /// No node of the cluster, even when nothing else runs there.
    Infeasible {
        asked: ResourceSet,
        /// The nodes alive, and what each has.
        nodes: usize,
        largest: ResourceSet,
    },
    BadId {
        id: String,
        why: &'static str,
    },
    BadAmount {
        resource: String,
        amount: Amount,
    },
    /// The event log cannot be written: the shell's to say.
    DiskFull,
    /// The cluster is shutting down: the shell's to say.
    Closed,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchJob { id } => {
                write!(f, "no job has the submission id {id:?}; it was never submitted here, or it was deleted: list the jobs")
            }
            Self::DuplicateId { id } => write!(
                f,
                "a job with the submission id {id:?} exists and is not the same (other entrypoint, environment, resources or \
                 metadata); choose another id, or delete that job once it is over"
            ),
            Self::NotOver { id, status } => {
                write!(f, "job {id:?} is {status} and only a job that is over can be deleted; stop it first")
            }
            Self::Infeasible { asked, nodes, largest } => write!(
                f,
                "the entrypoint asks for {asked}, which none of the {nodes} nodes has even when it is idle (most on any node: \
                 {largest}); ask for less, or add such a node first"
            ),
            Self::BadId { id, why } => write!(
                f,
                "the submission id {id:?} {why}; use 1 to 128 letters, digits, '-', '_', '.' or ':', the first a letter, digit \
                 or '_'"
            ),
            Self::BadAmount { resource, amount } => {
                write!(f, "the entrypoint asks for {amount} of {resource:?}; an amount is a positive number")
            }
            Self::DiskFull => f.write_str(
                "the disk of the head node is full, so nothing can be written down and nothing is accepted; make room there",
            ),
            Self::Closed => f.write_str("the head node is shutting down; try again once it is back"),
        }
    }
}

impl std::error::Error for ApiError {}

/// Ids become parts of addresses of the HTTP API and of file names.
pub(crate) fn check_id(id: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let first = id.chars().next();
    let why = if id.is_empty() {
        "is empty"
    } else if id.len() > 128 {
        "is too long"
    } else if !id.chars().all(allowed) {
        "has a character that is not allowed"
    } else if !first.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
        "begins with a character that is not allowed there"
    } else {
        return Ok(());
    };
    // A hostile id is cut, not repeated.
    Err(ApiError::BadId { id: id.chars().take(128).collect(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_mean_something_else_are_refused() {
        for good in ["a", "raysubmit_1A", "7", "nightly.2024-01-01:eu", "_x"] {
            assert_eq!(check_id(good), Ok(()));
        }
        for bad in ["", ".", "..", "-rf", "a/b", "a b", "a\n", "ä", &"x".repeat(129)] {
            let error = check_id(bad).unwrap_err();
            assert!(matches!(&error, ApiError::BadId { .. }));
            assert!(error.to_string().contains("use 1 to 128 letters"), "{error}");
        }
    }
}
