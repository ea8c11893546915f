//! Notices that this process is a fork of the one that joined the cluster: one word in a page the kernel wipes in a child.
//! Catches raw `clone` too, which `pthread_atfork` misses.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct ForkGuard {
    word: *const AtomicU32,
}

// SAFETY: the page is private, never unmapped while the guard lives, and only read through an atomic.
unsafe impl Send for ForkGuard {}
// SAFETY: as above.
unsafe impl Sync for ForkGuard {}

impl ForkGuard {
    pub(crate) fn new() -> std::io::Result<Self> {
        // SAFETY: a fresh anonymous private mapping of one page; checked before use.
        unsafe {
            let bytes = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let page = libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if page == libc::MAP_FAILED || libc::madvise(page, bytes, libc::MADV_WIPEONFORK) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let word = page.cast::<AtomicU32>();
            (*word).store(1, Ordering::Release);
            Ok(Self { word })
        }
    }

    #[inline]
    pub(crate) fn is_fork(&self) -> bool {
        // SAFETY: the page is mapped for the life of the guard.
        unsafe { (*self.word).load(Ordering::Relaxed) == 0 }
    }
}

impl Drop for ForkGuard {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length, unmapped once.
        unsafe {
            libc::munmap(self.word.cast_mut().cast(), libc::sysconf(libc::_SC_PAGESIZE) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_reads_zero() {
        let guard = ForkGuard::new().unwrap();
        assert!(!guard.is_fork());
        // SAFETY: the child only reads a mapped word and leaves by `_exit`.
        let status = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::_exit(i32::from(guard.is_fork()));
            }
            let mut status = 0;
            libc::waitpid(pid, &mut status, 0);
            status
        };
        assert_eq!(libc::WEXITSTATUS(status), 1);
        assert!(!guard.is_fork());
    }
}
