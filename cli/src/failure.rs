//! How a command fails: what stands on stderr, and the exit code that scripts go by.

use std::fmt;

pub(crate) const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NO_HEAD: i32 = 3;
pub(crate) const DEGRADED: i32 = 4;
/// Of a job that was stopped, and of a command that Ctrl-C ended: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: i32 = 130;

/// The exit code of a command that did what it was asked for.
pub(crate) type Done = Result<i32, Failure>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was typed cannot be meant.
    Usage(String),
    Failed(String),
    NoHead(String),
    /// There is a head, and it does not do its work.
    Degraded(String),
    /// The head answered, with an error.
    Answer {
        status: u16,
        text: String,
    },
    /// The connection ended in the middle.
    Broken(String),
    /// Whoever reads the output has gone.
    Unread,
}

impl Failure {
    pub(crate) fn code(&self) -> i32 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Failed(_) | Self::Answer { .. } | Self::Broken(_) => FAILED,
            Self::NoHead(_) => NO_HEAD,
            Self::Degraded(_) => DEGRADED,
            // As if SIGPIPE had ended it.
            Self::Unread => 128 + 13,
        }
    }

    /// Another try may find the head there again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NoHead(_) | Self::Degraded(_) | Self::Broken(_) => true,
            Self::Answer { status, .. } => *status == 503,
            Self::Usage(_) | Self::Failed(_) | Self::Unread => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) | Self::NoHead(text) | Self::Degraded(text) | Self::Broken(text) => {
                f.write_str(text)
            }
            Self::Answer { text, .. } => f.write_str(text),
            Self::Unread => f.write_str("nobody reads the output any more"),
        }
    }
}

pub(crate) fn failed(what: &str, error: impl fmt::Display) -> Failure {
    Failure::Failed(format!("{what}: {error}"))
}
