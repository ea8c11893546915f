//! Workers come to be: requests to the fork server, a few at a time, and what it answers.

use crate::connection::Connection;
use crate::effects::make_mailbox;
use crate::fork_server::{ForkServer, Reply};
use crate::gcs_link::GcsLink;
use crate::node::Node;
use crate::output::Output;
use crate::poll::Source;
use crate::process::{Life, Process, WorkerEnds};
use iosdk_complain::complain;
use iosdk_raylet_core::Input;
use iosdk_types::{Address, JobId};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Requests on their way to a server at a time: more would only hold descriptors.
const AHEAD: usize = 4;

impl<G: GcsLink> Node<G> {
    pub(crate) fn watch_fork_server(&self, number: u32) -> io::Result<()> {
        match self.servers.all.get(&number).and_then(|server| server.process.as_ref()) {
            Some(process) => self.poll.add(process.channel(), Source::ForkServer(number)),
            None => Ok(()),
        }
    }

    /// Has a worker forked for this job when the server of its environment has time.
    pub(crate) fn fork_later(&mut self, address: Address, job: JobId) {
        self.processes.insert(address.process, Process::expected(address, Some(job)));
        let server = self.jobs.get(&job).map(|job| job.server);
        match server.and_then(|server| self.servers.all.get_mut(&server)) {
            Some(server) => server.waiting.push_back(address.process),
            None => {
                self.fork_failed(address.process, format!("no driver of job {job} is here to say how its workers run"))
            }
        }
    }

    /// Sends what may be sent of the requests that wait.
    pub(crate) fn ask_for_workers(&mut self) -> io::Result<()> {
        for number in self.servers.all.keys().copied().collect::<Vec<_>>() {
            while self.ending.is_none()
                && let Some(server) = self.servers.all.get_mut(&number).filter(|server| server.asked.len() < AHEAD)
                && let Some(worker) = server.waiting.pop_front()
            {
                let ends = self.need_server(number).and_then(|()| self.prepare(worker));
                match ends.and_then(|ends| self.request(number, worker, &ends)) {
                    Ok(()) => {
                        self.servers.all.get_mut(&number).into_iter().for_each(|server| {
                            server.asked.insert(worker);
                        });
                    }
                    Err(error) => self.fork_failed(worker, error.to_string()),
                }
            }
        }
        Ok(())
    }

    fn need_server(&mut self, number: u32) -> io::Result<()> {
        let (log, files) = (&self.servers.log, self.servers.files);
        let Some(server) = self.servers.all.get_mut(&number) else { return Err(io::Error::other("it was given up")) };
        if server.process.is_some() {
            return Ok(());
        }
        server.process = Some(ForkServer::start(&server.environment, log, files)?);
        self.watch_fork_server(number)
    }

    /// Nobody has used it for a while.
    pub(crate) fn drop_idle_server(&mut self, number: u32) -> io::Result<()> {
        if self.servers.all.get(&number).is_none_or(|server| server.jobs > 0) {
            return Ok(());
        }
        match self.servers.all.remove(&number).and_then(|server| server.process) {
            Some(process) => self.poll.remove(process.channel()),
            None => Ok(()),
        }
    }

    /// Makes the daemon's ends of everything the worker gets.
    fn prepare(&mut self, number: u32) -> io::Result<WorkerEnds> {
        let (near, control) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let (out, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        // Ours only: user code expects that writing waits.
        for pipe in [&out, &err] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        let ring = self.make_ring()?;
        let Some(process) = self.processes.get_mut(&number) else {
            return Err(io::Error::other("the request was forgotten"));
        };
        process.mailbox = Some(make_mailbox()?);
        process.history = ring;
        process.control = Some(Connection::new(near));
        process.pipes = [Some(out), Some(err)];
        Ok(WorkerEnds { control, stdout, stderr })
    }

    fn request(&self, server: u32, number: u32, ends: &WorkerEnds) -> io::Result<()> {
        let Some(process) = self.servers.all.get(&server).and_then(|server| server.process.as_ref()) else {
            return Err(io::Error::other("there is no fork server"));
        };
        let job = self.processes.get(&number).and_then(|process| self.jobs.get(&process.job?));
        let setting = job.map(|job| job.setting.as_slice()).unwrap_or_default();
        process.request(number, setting, [ends.control.as_fd(), ends.stdout.as_fd(), ends.stderr.as_fd()])
    }

    pub(crate) fn hear_fork_server(&mut self, number: u32) -> io::Result<()> {
        loop {
            let Some(process) = self.servers.all.get(&number).and_then(|server| server.process.as_ref()) else {
                return Ok(());
            };
            match process.receive() {
                Ok(None) => return Ok(()),
                Ok(Some(reply)) => self.fork_server_said(number, reply)?,
                Err(error) => return self.fork_server_ended(number, &error),
            }
        }
    }

    fn fork_server_said(&mut self, number: u32, reply: Reply) -> io::Result<()> {
        let Some(server) = self.servers.all.get_mut(&number) else { return Ok(()) };
        match reply {
            Reply::Ready => server.complaint = None,
            Reply::CannotStart(why) => {
                // Each attempt fails in the same way; saying it once is enough.
                if server.told.as_ref() != Some(&why) {
                    server.told = Some(why.clone());
                    for job in self.jobs.values_mut().filter(|job| job.server == number) {
                        job.log.say(format!("workers cannot be started: {why}"));
                    }
                }
                server.complaint = Some(why);
            }
            Reply::Forked { process, pid, pidfd } => {
                server.asked.remove(&process);
                self.forked(process, pid, pidfd)?;
            }
            Reply::Refused { process, why } => {
                server.asked.remove(&process);
                self.fork_failed(process, why);
            }
            Reply::Ended { pid, exit } => self.exit_known(pid, exit)?,
        }
        Ok(())
    }

    fn forked(&mut self, number: u32, pid: i32, pidfd: OwnedFd) -> io::Result<()> {
        let logs = self.session.logs();
        let Some(process) = self.processes.get_mut(&number).filter(|process| process.life == Life::Expected) else {
            return Err(io::Error::other(format!("the fork server made process {number} that nobody asked for")));
        };
        process.life = Life::Alive;
        process.pid = pid;
        process.output = Some(Output::new(pid, logs.join(format!("worker-{number}-{pid}.log"))));
        self.poll.add(&pidfd, Source::Pidfd(number))?;
        process.pidfd = Some(pidfd);
        if let Some(control) = &process.control {
            self.poll.add(control.fd(), Source::Control(number))?;
        }
        for (pipe, source) in process.pipes.iter().zip([Source::Stdout(number), Source::Stderr(number)]) {
            if let Some(pipe) = pipe {
                self.poll.add(pipe, source)?;
            }
        }
        if process.doomed {
            process.kill();
        }
        self.inputs.push_back(Input::WorkerForked { process: process.address, pid });
        Ok(())
    }

    fn fork_failed(&mut self, number: u32, why: String) {
        complain!("raylet: worker {number} was not started: {why}");
        if let Some(process) = self.processes.remove(&number) {
            self.inputs.push_back(Input::ForkFailed { process: process.address, why });
        }
    }

    /// Its workers live on, as children of the daemon. The next request starts another.
    fn fork_server_ended(&mut self, number: u32, error: &io::Error) -> io::Result<()> {
        let Some(server) = self.servers.all.get_mut(&number) else { return Ok(()) };
        let Some(process) = server.process.take() else { return Ok(()) };
        self.poll.remove(process.channel())?;
        if error.kind() != io::ErrorKind::UnexpectedEof {
            complain!("raylet: the fork server's channel is closed: {error}");
        }
        let said = server.complaint.take();
        let why = said.unwrap_or_else(|| format!("the fork server ended; see {}", self.servers.log.display()));
        for number in std::mem::take(&mut server.asked) {
            self.fork_failed(number, why.clone());
        }
        self.reap()
    }
}
