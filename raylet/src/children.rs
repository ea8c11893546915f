//! Workers come to be: requests to the fork server, a few at a time, and what it answers.

use crate::config::Config;
use crate::connection::Connection;
use crate::effects::make_mailbox;
use crate::fork_server::{ForkServer, Reply};
use crate::gcs_link::GcsLink;
use crate::node::Node;
use crate::output::Output;
use crate::poll::Source;
use crate::process::{Life, WorkerEnds};
use iosdk_raylet_core::Input;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Requests on their way at a time: more would only hold descriptors.
const AHEAD: usize = 4;

pub(crate) struct Forks {
    server: Option<ForkServer>,
    log: PathBuf,
    /// The limit on open files that user processes shall have. The daemon's own is as high as it may be: it holds several
    /// for each process.
    files: Rlimit,
    /// Not asked for yet.
    pub(crate) waiting: VecDeque<u32>,
    asked: BTreeSet<u32>,
    /// Why the last server could not start, and what of that the driver was told.
    complaint: Option<String>,
    told: Option<String>,
}

impl Forks {
    pub(crate) fn start(config: &Config, logs: &Path) -> io::Result<Self> {
        let files = getrlimit(Resource::Nofile);
        let log = logs.join("forkserver.log");
        let server = Some(ForkServer::start(config, &log, files)?);
        setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum })?;
        Ok(Self { server, log, files, waiting: VecDeque::new(), asked: BTreeSet::new(), complaint: None, told: None })
    }

    pub(crate) fn server_pid(&self) -> Option<i32> {
        self.server.as_ref().map(ForkServer::pid)
    }
}

impl<G: GcsLink> Node<G> {
    pub(crate) fn watch_fork_server(&self) -> io::Result<()> {
        match &self.forks.server {
            Some(server) => self.poll.add(server.channel(), Source::ForkServer),
            None => Ok(()),
        }
    }

    /// Sends what may be sent of the requests that wait.
    pub(crate) fn ask_for_workers(&mut self) -> io::Result<()> {
        while self.ending.is_none() && self.forks.asked.len() < AHEAD {
            let Some(number) = self.forks.waiting.pop_front() else { break };
            match self.need_server().and_then(|()| self.prepare(number)).and_then(|ends| self.request(number, &ends)) {
                Ok(()) => {
                    self.forks.asked.insert(number);
                }
                Err(error) => self.fork_failed(number, error.to_string()),
            }
        }
        Ok(())
    }

    fn need_server(&mut self) -> io::Result<()> {
        if self.forks.server.is_some() {
            return Ok(());
        }
        self.forks.server = Some(ForkServer::start(&self.config, &self.forks.log, self.forks.files)?);
        self.watch_fork_server()
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
        let Some(process) = self.processes.get_mut(&number) else {
            return Err(io::Error::other("the request was forgotten"));
        };
        process.mailbox = Some(make_mailbox()?);
        process.control = Some(Connection::new(near));
        process.pipes = [Some(out), Some(err)];
        Ok(WorkerEnds { control, stdout, stderr })
    }

    fn request(&self, number: u32, ends: &WorkerEnds) -> io::Result<()> {
        let Some(server) = &self.forks.server else { return Err(io::Error::other("there is no fork server")) };
        server.request(number, [ends.control.as_fd(), ends.stdout.as_fd(), ends.stderr.as_fd()])
    }

    pub(crate) fn hear_fork_server(&mut self) -> io::Result<()> {
        loop {
            let Some(server) = &self.forks.server else { return Ok(()) };
            match server.receive() {
                Ok(None) => return Ok(()),
                Ok(Some(reply)) => self.fork_server_said(reply)?,
                Err(error) => return self.fork_server_ended(&error),
            }
        }
    }

    fn fork_server_said(&mut self, reply: Reply) -> io::Result<()> {
        match reply {
            Reply::Ready => self.forks.complaint = None,
            Reply::CannotStart(why) => {
                // Each attempt fails in the same way; saying it once is enough.
                if self.forks.told.as_ref() != Some(&why) {
                    self.log.say(format!("workers cannot be started: {why}"));
                    self.forks.told = Some(why.clone());
                }
                self.forks.complaint = Some(why);
            }
            Reply::Forked { process, pid, pidfd } => self.forked(process, pid, pidfd)?,
            Reply::Refused { process, why } => {
                self.forks.asked.remove(&process);
                self.fork_failed(process, why);
            }
            Reply::Ended { pid, exit } => self.exit_known(pid, exit)?,
        }
        Ok(())
    }

    fn forked(&mut self, number: u32, pid: i32, pidfd: OwnedFd) -> io::Result<()> {
        self.forks.asked.remove(&number);
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
        eprintln!("raylet: worker {number} was not started: {why}");
        if let Some(process) = self.processes.remove(&number) {
            self.inputs.push_back(Input::ForkFailed { process: process.address, why });
        }
    }

    /// Its workers live on, as children of the daemon. The next request starts another.
    fn fork_server_ended(&mut self, error: &io::Error) -> io::Result<()> {
        let Some(server) = self.forks.server.take() else { return Ok(()) };
        self.poll.remove(server.channel())?;
        if error.kind() != io::ErrorKind::UnexpectedEof {
            eprintln!("raylet: the fork server's channel is closed: {error}");
        }
        let said = self.forks.complaint.take();
        let why = said.unwrap_or_else(|| format!("the fork server ended; see {}", self.forks.log.display()));
        for number in std::mem::take(&mut self.forks.asked) {
            self.fork_failed(number, why.clone());
        }
        self.reap()
    }
}
