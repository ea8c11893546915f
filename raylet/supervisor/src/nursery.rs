//! The process that supervisors are forked from: forked itself off a daemon that is still small and has one thread, so that
//! they need no program of their own and share its few pages. It ends with the daemon; they do not.

use crate::directory::{JobDir, now_ms};
use crate::kernel::{Signals, close_all_but, fork, require_single_thread};
use crate::supervise;
use iosdk_types::{Exit, JobCause, JobReport};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, wait, waitpid};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The daemon's end. The nursery ends when this is dropped, or with the daemon.
pub struct Nursery {
    requests: OwnedFd,
}

/// What a supervisor starts with.
pub(crate) struct Inheritance {
    pub(crate) dir: JobDir,
    /// Locked already.
    pub(crate) lock: OwnedFd,
    /// Held open for as long as it lives.
    pub(crate) life: OwnedFd,
}

impl Inheritance {
    fn try_clone(&self) -> io::Result<Self> {
        let [dir, lock, life] =
            [self.dir.as_fd(), self.lock.as_fd(), self.life.as_fd()].map(|fd| fd.try_clone_to_owned());
        Ok(Self { dir: JobDir::from_fd(dir?), lock: lock?, life: life? })
    }
}

impl Nursery {
    /// To be called before this process has a second thread, and before it makes itself a child subreaper: nursery and
    /// supervisors are then no descendants of it, so ending these ends no job.
    pub fn start() -> io::Result<Self> {
        require_single_thread()?;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // Forked twice: the one between ends at once, and the nursery is somebody else's to reap.
        let between = fork(move || match fork(move || run(&far)) {
            Ok(_) => 0,
            Err(error) => error.raw_os_error().unwrap_or(libc::EAGAIN),
        })?;
        let errno = loop {
            match waitpid(Some(between), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                // Where SIGCHLD is ignored there is no status. A nursery that is not there is found by the first request.
                Err(Errno::CHILD) | Ok(None) => break 0,
                Err(error) => return Err(error.into()),
                Ok(Some((_, status))) => break status.exit_status().unwrap_or(libc::EAGAIN),
            }
        };
        match errno {
            0 => Ok(Self { requests: near }),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Has the job of this directory started, see `prepare`, and does not wait for it. From now on the directory says that
    /// the job runs. The descriptor hangs up when the supervisor is gone, or never came to be: then `look`.
    ///
    /// Errors of kind `WouldBlock`: the nursery has more requests than it can hold, and nothing was started.
    pub fn spawn(&self, job_dir: &Path) -> io::Result<OwnedFd> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("starting the supervisor of {}: {error}", job_dir.display()))
        };
        self.request(job_dir).map_err(named)
    }

    fn request(&self, job_dir: &Path) -> io::Result<OwnedFd> {
        let dir = JobDir::open(job_dir)?;
        let Some(lock) = dir.take_lock()? else {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "somebody has its lock; does it run already?"));
        };
        if dir.claim()?.is_some() || dir.report()?.is_some() {
            let why = "it was started before; a job is started once, and one to run again needs a directory of its own";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        let (watched, life) = pipe_with(PipeFlags::CLOEXEC)?;
        let fds = [dir.as_fd(), lock.as_fd(), life.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for three descriptors"));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(&self.requests, &[IoSlice::new(b"J")], &mut ancillary, flags) {
            Ok(_) => Ok(watched),
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
    match serve(requests) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("nursery of jobs: {error}");
            1
        }
    }
}

fn serve(requests: &OwnedFd) -> io::Result<()> {
    close_all_but(&[requests.as_fd()])?;
    let signals = Signals::take_over()?;
    // Out of reach of the terminal, and of who signals the daemon's group.
    rustix::process::setsid()?;
    rustix::thread::set_name(c"iosdk-nursery")?;
    rustix::process::chdir("/")?;
    loop {
        let mut polled = [PollFd::new(requests, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
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
                // Whoever asked sees the descriptor hang up.
                Ok(Some(inheritance)) => {
                    if let Err(error) = bear(inheritance) {
                        eprintln!("nursery of jobs: a job was not started, and nothing says why: {error}");
                    }
                }
                Err(error) => eprintln!("nursery of jobs: a request is dropped: {error}"),
            }
        }
    }
}

/// None: the daemon is gone.
fn receive(requests: &OwnedFd) -> io::Result<Option<Inheritance>> {
    let mut packet = [0; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
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
    let [dir, lock, life] = <[OwnedFd; 3]>::try_from(fds)
        .map_err(|fds| io::Error::other(format!("{} descriptors came along, not 3", fds.len())))?;
    Ok(Some(Inheritance { dir: JobDir::from_fd(dir), lock, life }))
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
