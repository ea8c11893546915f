//! Signals as events. The daemon runs inside an interpreter's process: what that had set up is put back first.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// Children ended, or somebody asked the daemon to end.
pub(crate) struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks them in this thread and those it starts afterwards. To be called before any other thread exists.
    pub(crate) fn take_over() -> io::Result<Self> {
        for signal in [libc::SIGHUP, libc::SIGQUIT, libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR1, libc::SIGUSR2] {
            set(signal, libc::SIG_DFL)?;
        }
        // The terminal's Ctrl-C is the driver's alone, and a broken pipe is an error of `write`.
        for signal in [libc::SIGINT, libc::SIGPIPE] {
            set(signal, libc::SIG_IGN)?;
        }
        let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is initialised by sigemptyset before anything else reads it.
        let mask = unsafe {
            libc::sigemptyset(mask.as_mut_ptr());
            for signal in [libc::SIGCHLD, libc::SIGTERM] {
                libc::sigaddset(mask.as_mut_ptr(), signal);
            }
            mask.assume_init()
        };
        // SAFETY: a valid set, and no old set is asked for.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: a valid set; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &mask, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, owned by nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Takes what is pending. True: the daemon was asked to end.
    pub(crate) fn drain(&self) -> io::Result<bool> {
        let mut end = false;
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        loop {
            match rustix::io::read(&self.fd, &mut info) {
                // The number comes first.
                Ok(_) => end |= info[..4] == (libc::SIGTERM as u32).to_ne_bytes(),
                Err(rustix::io::Errno::AGAIN) => return Ok(end),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// For a program that this daemon started: what the daemon blocks is inherited.
pub fn unblock_signals() -> io::Result<()> {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by sigemptyset before it is used, and no old set is asked for.
    let error = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

fn set(signal: libc::c_int, disposition: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: default and ignore run no code of ours.
    if unsafe { libc::signal(signal, disposition) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
