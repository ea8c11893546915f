//! The process that supervisors are forked from: forked itself off a daemon that is still small and has one thread, so that
//! they need no program of their own and share its few pages. It ends with the daemon; they do not.

use crate::directory::{JobDir, now_ms};
use crate::kernel::{Signals, close_all_but, fork, require_single_thread};
use crate::supervise;
use iosdk_complain::complain;
use iosdk_types::{Exit, JobCause, JobReport};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{WaitOptions, wait, waitpid};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The nursery's first packet. Any other says why it ends.
const READY: &[u8] = b"R";

/// The daemon's end. The nursery ends when this is dropped, or with the daemon.
pub struct Nursery {
    requests: OwnedFd,
}

/// What a supervisor starts with.
pub(crate) struct Inheritance {
    pub(crate) dir: JobDir,
    /// Locked already, and for as long as it lives.
    pub(crate) lock: OwnedFd,
}

impl Inheritance {
    fn try_clone(&self) -> io::Result<Self> {
        let [dir, lock] = [self.dir.as_fd(), self.lock.as_fd()].map(|fd| fd.try_clone_to_owned());
        Ok(Self { dir: JobDir::from_fd(dir?), lock: lock? })
    }
}

impl Nursery {
    /// To be called before this process has a second thread, and before it makes itself a child subreaper: nursery and
    /// supervisors are then no descendants of it, so ending these ends no job.
    pub fn start() -> io::Result<Self> {
        require_single_thread()?;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // Forked twice: the one between ends at once, and the nursery is somebody else's to reap.
        let between = fork(move || fork(move || run(&far)).map_or(1, |_| 0))?;
        loop {
            match waitpid(Some(between), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                // Where SIGCHLD is ignored there is no status.
                Err(Errno::CHILD) | Ok(_) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut answer = [0; 256];
        let got = rustix::io::retry_on_intr(|| rustix::io::read(&near, &mut answer))?;
        match &answer[..got] {
            READY => Ok(Self { requests: near }),
            [] => Err(io::Error::other(
                "the nursery of jobs could not be forked, or ended at once; is there a limit of processes?",
            )),
            why => Err(io::Error::other(format!("starting the nursery of jobs: {}", String::from_utf8_lossy(why)))),
        }
    }

    /// Has the job of this directory started, see `prepare`, and does not wait for it. From now on the directory says that
    /// the job runs; `watch` it to learn when it does no more, or never came to be.
    ///
    /// Errors of kind `WouldBlock`: the nursery has more requests than it can hold, and nothing was started.
    pub fn spawn(&self, job_dir: &Path) -> io::Result<()> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("starting the supervisor of {}: {error}", job_dir.display()))
        };
        self.request(job_dir).map_err(named)
    }

    fn request(&self, job_dir: &Path) -> io::Result<()> {
        let dir = JobDir::open(job_dir)?;
        let Some(lock) = dir.take_lock()? else {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "somebody has its lock; does it run already?"));
        };
        if dir.claim()?.is_some() || dir.report()?.is_some() {
            let why = "it was started before; a job is started once, and one to run again needs a directory of its own";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        let fds = [dir.as_fd(), lock.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for two descriptors"));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(&self.requests, &[IoSlice::new(b"J")], &mut ancillary, flags) {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => {
                let why = "the nursery has ended, and this process cannot start another; restart the node";
                Err(io::Error::new(io::ErrorKind::BrokenPipe, why))
            }
            // Descriptors on their way count against the limit of open files.
            Err(Errno::AGAIN | Errno::TOOMANYREFS) => {
                let why = "the nursery has more requests than it can hold; nothing was started, try again";
                Err(io::Error::new(io::ErrorKind::WouldBlock, why))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The nursery's life.
fn run(requests: &OwnedFd) -> i32 {
    let ended = match settle(requests) {
        Ok(signals) => {
            rustix::io::write(requests, READY).map_err(io::Error::from).and_then(|_| serve(requests, &signals))
        }
        Err(error) => rustix::io::write(requests, error.to_string().as_bytes()).map(|_| ()).map_err(io::Error::from),
    };
    match ended {
        Ok(()) => 0,
        Err(error) => {
            complain!("nursery of jobs: {error}");
            1
        }
    }
}

fn settle(requests: &OwnedFd) -> io::Result<Signals> {
    close_all_but(&[requests.as_fd()])?;
    let signals = Signals::take_over()?;
    // Out of reach of the terminal, and of who signals the daemon's group.
    rustix::process::setsid()?;
    rustix::thread::set_name(c"iosdk-nursery")?;
    rustix::process::chdir("/")?;
    Ok(signals)
}

fn serve(requests: &OwnedFd, signals: &Signals) -> io::Result<()> {
    loop {
        let mut polled = [PollFd::new(requests, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let asked = !polled[0].revents().is_empty();
        while signals.next()?.is_some() {}
        while let Ok(Some(_supervisor)) = wait(WaitOptions::NOHANG) {}
        if asked {
            match receive(requests) {
                Ok(None) => return Ok(()),
                // Then the lock is free again, and whoever watches sees it.
                Ok(Some(inheritance)) => {
                    if let Err(error) = bear(inheritance) {
                        complain!("nursery of jobs: a job was not started, and nothing says why: {error}");
                    }
                }
                Err(error) => complain!("nursery of jobs: a request is dropped: {error}"),
            }
        }
    }
}

/// None: the daemon is gone.
fn receive(requests: &OwnedFd) -> io::Result<Option<Inheritance>> {
    let mut packet = [0; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = match recvmsg(requests, &mut [IoSliceMut::new(&mut packet)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
        Ok(got) => got.bytes,
        Err(Errno::CONNRESET) => 0,
        Err(error) => return Err(error.into()),
    };
    if got == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    let [dir, lock] = <[OwnedFd; 2]>::try_from(fds)
        .map_err(|fds| io::Error::other(format!("{} descriptors came along, not 2", fds.len())))?;
    Ok(Some(Inheritance { dir: JobDir::from_fd(dir), lock }))
}

fn bear(inheritance: Inheritance) -> io::Result<()> {
    // Until the report is there, the job counts as alive.
    let kept = inheritance.try_clone()?;
    let Err(error) = fork(move || supervise::run(inheritance)) else { return Ok(()) };
    kept.dir.write_report(&JobReport {
        exit: Exit::Unknown,
        cause: JobCause::CannotStart(format!("forking the supervisor: {error}")),
        started_ms: 0,
        ended_ms: now_ms(),
        cpu_ns: 0,
        log_bytes: 0,
        log_dropped: 0,
    })
}
