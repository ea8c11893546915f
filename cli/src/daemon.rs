//! `iosdk daemon`: a raylet and a GCS in one process, for one driver.

use crate::config::{self, PrivateConfig};
use iosdk_gcs::{Gcs, LinkEvent, LocalLink};
use iosdk_raylet::{GcsEvent, GcsLink, Private, Role, Session, SignalsTaken, Start};
use iosdk_types::message::RayletToGcs;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(crate) fn run(control_fd: i32, config: &str) -> i32 {
    let config = match config::private(config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("iosdk daemon: bad configuration: {error}");
            return 2;
        }
    };
    // After the session has a log of its own, the last word still goes to whoever started this.
    let terminal = io::stderr().as_fd().try_clone_to_owned();
    match serve(control_fd, config) {
        Ok(()) => 0,
        Err(error) => {
            let text = format!("iosdk daemon: {error}\n");
            if let Ok(terminal) = terminal {
                let _nobody_reads_it = File::from(terminal).write_all(text.as_bytes());
            }
            1
        }
    }
}

fn serve(control_fd: i32, config: PrivateConfig) -> io::Result<()> {
    let control: OwnedFd = iosdk_raylet::control_socket(control_fd)?;
    // Fails only for the leader of a process group, which somebody made on purpose.
    let _already_leader = rustix::process::setsid();
    rustix::thread::set_name(c"iosdk-daemon")?;
    let signals = SignalsTaken::take()?;
    let PrivateConfig { node, environment, namespace, log_to_driver } = config;
    let session = Session::create(&node.tmpdir)?;
    redirect(&session.logs().join("daemon.log"))?;
    let gcs = Gcs::new(iosdk_gcs::Config { infeasible_waits: node.infeasible_waits, ..Default::default() });
    let gcs = Link(iosdk_gcs::start_local(gcs)?);
    let role = Role::Private(Private { control, environment, namespace, log_to_driver });
    iosdk_raylet::run(signals, Start { config: node, session, role, epoch: 1, gcs, ready: Box::new(|| Ok(())) })
}

/// Nothing of the daemon's reaches the terminal of who started it any more.
pub(crate) fn redirect(log: &Path) -> io::Result<()> {
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(log)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(&log)?;
    rustix::stdio::dup2_stderr(&log)?;
    Ok(())
}

pub(crate) struct Link(pub(crate) LocalLink);

impl GcsLink for Link {
    fn send(&mut self, message: RayletToGcs) {
        self.0.send(message);
    }

    fn try_recv(&mut self) -> Option<GcsEvent> {
        Some(match self.0.try_recv()? {
            LinkEvent::Up => GcsEvent::Up,
            LinkEvent::Down => GcsEvent::Down,
            LinkEvent::Message(message) => GcsEvent::Message(message),
        })
    }

    fn wake(&self) -> BorrowedFd<'_> {
        self.0.wake()
    }
}
