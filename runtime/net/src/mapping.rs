//! A shared mapping of part of a memfd, and the only ways to touch it: atomics and raw copies. Other processes write
//! there at any time, so no `&[u8]` over it ever exists.
#![allow(unsafe_code)]

use rustix::fs::{self, MemfdFlags, SealFlags};
use rustix::mm::{self, Advice, MapFlags, ProtFlags};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// New shared memory that keeps its size, whoever gets the descriptor.
pub(crate) fn sealed_memfd(name: &str, len: u64) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know the flag.
        Err(rustix::io::Errno::INVAL) => fs::memfd_create(name, flags)?,
        other => other?,
    };
    fs::ftruncate(&fd, len)?;
    fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// The size of such memory. One that is not sealed could shrink under its mapping, and is refused.
pub(crate) fn sealed_len(fd: BorrowedFd<'_>) -> io::Result<u64> {
    if !fs::fcntl_get_seals(fd)?.contains(SealFlags::SHRINK | SealFlags::GROW) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "shared memory is not sealed"));
    }
    Ok(u64::try_from(fs::fstat(fd)?.st_size).unwrap_or(0))
}

pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory lives until drop and is only accessed through atomics and raw copies.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Not inherited by forked children: a fork of user code must not be able to write into anybody's lanes.
    pub(crate) fn new(fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choosing.
        let start = unsafe {
            mm::mmap(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, offset)?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mapping = Self { start, len };
        mapping.advise(0, len, Advice::LinuxDontFork)?;
        // Huge pages would make an idle lane cost 2 MiB. Kernels built without them say EINVAL: nothing to switch off.
        match mapping.advise(0, len, Advice::LinuxNoHugepage) {
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error),
            _ => Ok(mapping),
        }
    }

    fn advise(&self, at: usize, len: usize, advice: Advice) -> io::Result<()> {
        assert!(at <= self.len && len <= self.len - at);
        // SAFETY: the range lies in this mapping; none of the advice used invalidates references that exist.
        unsafe { mm::madvise(self.start.as_ptr().add(at).cast(), len, advice)? };
        Ok(())
    }

    /// Gives the pages back: they read as zeros afterwards.
    pub(crate) fn punch(&self, at: usize, len: usize) -> io::Result<()> {
        self.advise(at, len, Advice::LinuxRemove)
    }

    #[inline]
    pub(crate) fn word32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.len);
        // SAFETY: in bounds, aligned (mappings start on a page), and only ever accessed atomically on this side.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    #[inline]
    pub(crate) fn word64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.len);
        // SAFETY: as in `word32`.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// Copies `from` into the mapping.
    #[inline]
    pub(crate) fn copy_in(&self, at: usize, from: &[u8]) {
        assert!(at <= self.len && from.len() <= self.len - at);
        // SAFETY: in bounds; a private slice cannot overlap the mapping, over which no slices are formed.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.start.as_ptr().add(at), from.len()) };
    }

    /// Appends `len` bytes at `at` (a multiple of 8) to `out`, reading each word exactly once: the writer may be hostile
    /// and change them meanwhile. The last word is read whole, so the mapping must go on to the next multiple of 8.
    #[inline]
    pub(crate) fn copy_out(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        let words = len.div_ceil(8);
        assert!(at.is_multiple_of(8) && at <= self.len && words <= (self.len - at) / 8);
        out.reserve(words * 8);
        // SAFETY: the source is in bounds and aligned, read by relaxed atomic loads; the target has room for all words.
        unsafe {
            let from = self.start.as_ptr().add(at).cast::<u64>();
            let to = out.as_mut_ptr().add(out.len());
            for index in 0..words {
                let word = AtomicU64::from_ptr(from.add(index)).load(Ordering::Relaxed);
                to.add(index * 8).cast::<u64>().write_unaligned(word);
            }
            out.set_len(out.len() + len);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing that borrows from the mapping outlives it.
        let result = unsafe { mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(result.is_ok(), "munmap of our own mapping: {result:?}");
    }
}
