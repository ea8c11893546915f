//! The drivers of this node and their jobs: how their workers run, and where what those print goes.

use crate::closing::{FLUSH_LIMIT, wait_for};
use crate::config::{Environment, Role};
use crate::connection::Connection;
use crate::driver_log::DriverLog;
use crate::gcs_link::GcsLink;
use crate::node::{Node, Timer};
use crate::servers::KEEP;
use iosdk_complain::complain;
use iosdk_raylet_core::Input;
use iosdk_types::message::raylet_to_process::LogLine;
use iosdk_types::message::{Attach, RayletToProcess};
use iosdk_types::{Address, JobId};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Instant;

/// One driver's job.
pub(crate) struct JobHere {
    pub(crate) driver: u32,
    pub(crate) server: u32,
    /// What a worker of it changes after the fork, as `_forkserver.py` reads it; empty: nothing.
    pub(crate) setting: Vec<u8>,
    log_to_driver: bool,
    pub(crate) log: DriverLog,
}

impl<G: GcsLink> Node<G> {
    pub(crate) fn open_job(&mut self, job: JobId, driver: Address, attach: Option<Attach>) -> io::Result<()> {
        let (environment, setting, log_to_driver) = match (&self.role, attach) {
            (_, Some(attach)) => {
                let python = PathBuf::from(&attach.python);
                let environment = Environment { python, sys_path: vec![attach.package.clone()] };
                (environment, setting_of(&attach)?, attach.log_to_driver)
            }
            (Role::Private(private), None) => (private.environment.clone(), Vec::new(), private.log_to_driver),
            (Role::Standing(_), None) => return Err(io::Error::other(format!("{driver} did not say how it runs"))),
        };
        let mut log = DriverLog::default();
        let server = match self.server_of(&environment) {
            Ok(server) => server,
            Err(error) => {
                // As with a server that cannot start later: whoever waits for a worker is told by the failed requests.
                log.say(format!("workers cannot be started: {error}"));
                u32::MAX
            }
        };
        if let Some(server) = self.servers.all.get_mut(&server) {
            server.jobs += 1;
        }
        self.jobs.insert(job, JobHere { driver: driver.process, server, setting, log_to_driver, log });
        Ok(())
    }

    pub(crate) fn server_of(&mut self, environment: &Environment) -> io::Result<u32> {
        let (number, fresh) = self.servers.of(environment)?;
        if fresh {
            self.watch_fork_server(number)?;
        }
        Ok(number)
    }

    pub(crate) fn close_job(&mut self, job: JobId) -> io::Result<()> {
        let Some(mut job) = self.jobs.remove(&job) else { return Ok(()) };
        if let Some(server) = self.servers.all.get_mut(&job.server) {
            server.jobs -= 1;
            if server.jobs == 0 {
                self.after(KEEP, Timer::IdleServer(job.server));
            }
        }
        let logs = self.session.logs();
        match self.processes.get_mut(&job.driver).and_then(|driver| driver.control.as_mut()) {
            Some(control) => {
                flush_log(&mut job.log, control, &logs)?;
                self.driver_gone(job.driver)
            }
            None => Ok(()),
        }
    }

    /// Everybody who waits at the listener. Another user's process is hung up on: the kernel says whose it is.
    pub(crate) fn accept_drivers(&mut self) -> io::Result<()> {
        while let Some(listener) = &self.listener {
            let stream = match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(stream) => stream,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                    complain!("raylet: a driver cannot join now: {error}");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let peer = rustix::net::sockopt::socket_peercred(stream.as_fd())?;
            let ours = rustix::process::getuid();
            if peer.uid == ours {
                self.driver_connected(Connection::new(stream), None)?;
            } else {
                let (theirs, ours) = (peer.uid.as_raw(), ours.as_raw());
                complain!("raylet: user {theirs} may not join: only user {ours}, whose node this is");
            }
        }
        Ok(())
    }

    /// The connection of a driver. Who is at its other end is what the kernel says.
    pub(crate) fn driver_connected(&mut self, control: Connection, namespace: Option<String>) -> io::Result<()> {
        let peer = rustix::net::sockopt::socket_peercred(control.fd())?;
        let pid = peer.pid.as_raw_nonzero().get();
        self.arriving.push_back(control);
        self.inputs.push_back(Input::DriverConnected { pid, namespace });
        Ok(())
    }

    /// Lines of a worker, for the driver of its job.
    pub(crate) fn forward(&mut self, job: Option<JobId>, lines: &mut Vec<LogLine>) {
        if let Some(job) = job.and_then(|job| self.jobs.get_mut(&job)).filter(|job| job.log_to_driver) {
            job.log.add(lines);
        }
    }

    /// Lines wait while the driver's connection is behind.
    pub(crate) fn send_logs(&mut self) -> io::Result<()> {
        let logs = self.session.logs();
        let mut ready = Vec::new();
        for job in self.jobs.values_mut().filter(|job| !job.log.is_empty()) {
            if !self.processes.get(&job.driver).is_some_and(|driver| driver.awaits_room) {
                ready.push((job.driver, job.log.take(&logs)));
            }
        }
        ready.into_iter().try_for_each(|(driver, lines)| self.tell(driver, &RayletToProcess::Log { lines }))
    }
}

/// Sends what a driver that leaves has not been sent, and waits a moment for it to read that.
pub(crate) fn flush_log(log: &mut DriverLog, control: &mut Connection, logs: &std::path::Path) -> io::Result<()> {
    let lines = log.take(logs);
    if !lines.is_empty() {
        control.send(&RayletToProcess::Log { lines }, &[])?;
    }
    let began = Instant::now();
    while control.is_behind() && began.elapsed() < FLUSH_LIMIT {
        wait_for(control.fd(), PollFlags::OUT, FLUSH_LIMIT - began.elapsed().min(FLUSH_LIMIT));
        control.flush()?;
    }
    Ok(())
}

fn setting_of(attach: &Attach) -> io::Result<Vec<u8>> {
    let env: BTreeMap<&str, &str> = attach.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let setting = serde_json::json!({ "sys_path": attach.sys_path, "cwd": attach.cwd, "env": env });
    Ok(serde_json::to_vec(&setting)?)
}

/// A socket at `path`, for this user only. What an earlier daemon left there is in nobody's way: the head's lock is held.
pub(crate) fn listen(dir: &std::path::Path, name: &str) -> io::Result<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket_with};
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", dir.join(name).display()));
    match std::fs::remove_file(dir.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Addresses of sockets end at 108 bytes, paths do not: bound through the directory's descriptor.
    let folder = std::fs::File::open(dir)?;
    let short = format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(&folder));
    bind(&socket, &SocketAddrUnix::new(short)?).map_err(|error| named(error.into()))?;
    std::fs::set_permissions(dir.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(named)?;
    listen(&socket, 128)?;
    Ok(socket)
}
