//! `iosdk gcs`: a head's GCS as a process of its own. `iosdk head` runs it; it owns the event log and the HTTP API, no workers.

use clap::Args;
use iosdk_gcs::{Config, HeadConfig};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
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
    #[arg(long, default_value_t = 0)]
    slots: usize,
    /// Jobs that are over and remembered; 0: all of them.
    #[arg(long, default_value_t = 0)]
    jobs_kept: usize,
    /// What no node can hold waits instead of being refused.
    #[arg(long)]
    infeasible_waits: bool,
    /// Ends with this process, which must be its parent.
    #[arg(long)]
    parent: Option<i32>,
}

/// The first line on stdout is `ready URL` or `error WHY`. Stderr is a log file. Returns the exit code.
pub(crate) fn run(args: GcsArgs) -> i32 {
    match serve(args) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("iosdk gcs: {error}");
            1
        }
    }
}

fn serve(args: GcsArgs) -> io::Result<()> {
    iosdk_raylet::unblock_signals()?;
    let GcsArgs { data_dir, port, slots, jobs_kept, infeasible_waits, parent } = args;
    if let Some(parent) = parent {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        if getppid().map(Pid::as_raw_pid) != Some(parent) {
            return Err(io::Error::other(format!("process {parent}, whose GCS this was to be, is gone")));
        }
    }
    rustix::thread::set_name(c"iosdk-gcs")?;
    let ready = io::stdout().as_fd().try_clone_to_owned()?;
    // Whoever waits for the line sees the end of the pipe as soon as it is said.
    rustix::stdio::dup2_stdout(OpenOptions::new().write(true).open("/dev/null")?)?;
    let machine = Config { infeasible_waits, slots, jobs_kept };
    iosdk_gcs::run_head(HeadConfig { data: data_dir, port, machine, ready })
}
