//! Signals, as far as a runtime thread meets them: ours take none, and a call can be interrupted in the main thread.
#![allow(unsafe_code)]

/// Runs `start` with every signal blocked, so that a thread it starts never takes one that is meant for user code.
pub(crate) fn with_all_blocked<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are plain data that the calls fill in; the old mask is restored before returning.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut old = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        let started = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &old, std::ptr::null_mut());
        started
    }
}

/// Raises SIGINT in the main thread: a blocked system call returns, the interpreter's handler runs there.
pub(crate) fn interrupt_main_thread() {
    // SAFETY: plain system call with our own ids; the main thread's id is the process's.
    unsafe {
        let pid = libc::getpid();
        libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGINT);
    }
}

/// Ends this process and what shares its process group at once.
pub(crate) fn kill_own_group() -> ! {
    // SAFETY: group 0 is the caller's own; a worker leads its session, so this reaches its children and nobody else.
    unsafe {
        if libc::getpgrp() == libc::getpid() {
            libc::kill(0, libc::SIGKILL);
        }
        libc::_exit(1)
    }
}
