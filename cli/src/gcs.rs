//! `iosdk gcs`: a head's GCS as a process of its own. `iosdk start` runs it; it owns the event log and the HTTP API, no workers.

use clap::Args;
use iosdk_gcs::HeadConfig;
use rustix::io::{FdFlags, fcntl_setfd};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct GcsArgs {
    /// Where everything lies that must last; one head each.
    #[arg(long)]
    data_dir: PathBuf,
    /// Of 127.0.0.1; 0 chooses one.
    #[arg(long)]
    port: u16,
    /// Submitted jobs that may be at nodes at a time; 0: as many as fit.
    #[arg(long)]
    slots: usize,
    /// What no node can hold waits instead of being refused.
    #[arg(long)]
    infeasible_waits: bool,
    /// Number of the inherited descriptor that gets `ready URL` or `error WHY`.
    #[arg(long)]
    ready_fd: i32,
}

/// Stderr is a log file already. Returns the exit code.
pub(crate) fn run(args: GcsArgs) -> i32 {
    let GcsArgs { data_dir, port, slots, infeasible_waits, ready_fd } = args;
    let ended = ready(ready_fd)
        .and_then(|ready| iosdk_gcs::run_head(HeadConfig { data: data_dir, port, slots, infeasible_waits, ready }));
    match ended {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("iosdk gcs: {error}");
            1
        }
    }
}

/// Takes the descriptor that whoever started this passed. To be called once per number.
#[allow(unsafe_code)]
fn ready(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        let text = format!("--ready-fd must be a descriptor that was passed for it, 3 or more; got {number}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: used for the call below only, which fails on a number that is not open.
    let found = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(found, FdFlags::CLOEXEC).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("--ready-fd {number} is not open: {error}"))
    })?;
    // SAFETY: it is open, and the parent passed it for this process alone to own.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
