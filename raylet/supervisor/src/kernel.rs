//! What the standard library and rustix do not wrap: fork, signal dispositions, signalfd, the processor time of children.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::process::Pid;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The exit code of a process whose code panicked.
const PANICKED: i32 = 101;

/// The signals that nurseries and supervisors read from a descriptor.
const READ: [libc::c_int; 4] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGUSR1];

/// A fork of a process with threads could find a lock held by nobody, in malloc for one.
pub(crate) fn require_single_thread() -> io::Result<()> {
    match std::fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        threads => Err(io::Error::other(format!(
            "this process has {threads} threads; the nursery of jobs has to be started before there is a second one"
        ))),
    }
}

/// Starts a process that runs `body` and ends: nothing of the caller's runs in it, whatever happens.
/// Only for processes with one thread, see above.
pub(crate) fn fork(body: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: this process has one thread, so the child may do anything.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED);
        // SAFETY: ends the process. Exit handlers and buffers belong to the parent.
        unsafe { libc::_exit(code) }
    }
    // The closure is dropped here, with the descriptors that the child alone needs.
    Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error)
}

/// Closes what was inherited and is not meant for this process, but not the first three.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers = std::fs::read_dir("/proc/self/fd")?
        .map(|entry| Ok(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok())))
        .collect::<io::Result<Vec<_>>>()?;
    for number in numbers.into_iter().flatten() {
        if number > 2 && !kept.iter().any(|fd| fd.as_raw_fd() == number) {
            // SAFETY: whoever owned it in the parent is not reached in this process any more.
            let _the_listing_itself_is_closed_already = unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// Orders, and the news that children ended.
pub(crate) struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Puts back what the parent had set up. Signals that came since it did the same for itself are not lost.
    pub(crate) fn take_over() -> io::Result<Self> {
        let mut mask = empty_set();
        for signal in READ {
            // SAFETY: an initialised set and a number of a signal.
            unsafe { libc::sigaddset(&raw mut mask, signal) };
        }
        set_mask(&mask)?;
        for signal in 1..=libc::SIGRTMAX() {
            // SAFETY: the default runs no code of ours.
            let _kill_and_stop_and_those_of_the_c_library = unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        // SAFETY: a valid set; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const mask, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, owned by nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next one that is pending.
    pub(crate) fn next(&self) -> io::Result<Option<libc::c_int>> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        loop {
            return match rustix::io::read(&self.fd, &mut info) {
                // The number comes first.
                Ok(_) => Ok(Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))),
                Err(Errno::AGAIN) => Ok(None),
                Err(Errno::INTR) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// As a program expects it that is about to be started.
pub(crate) fn unblock_signals() -> io::Result<()> {
    set_mask(&empty_set())
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn set_mask(mask: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: a valid set, and no old set is asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Of all children that were waited for, and of all that they waited for.
pub(crate) fn cpu_ns_of_children() -> io::Result<u64> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: room for what the kernel writes.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it is written.
    let usage = unsafe { usage.assume_init() };
    let nanoseconds =
        |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_usec.unsigned_abs() * 1_000;
    Ok(nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime))
}
