//! The arena's memory: one memfd per tenant, mapped read-only and, at another address, read-write; pages are made before
//! they are used, so that a lack of memory is an error and never a fault.
#![allow(unsafe_code)]

use crate::shares::share_out;
use crate::sync::AtomicU64;
use crate::{StoreError, copy};
use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate,
};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;

/// Extents are multiples of this, the size of a large page.
pub const HUGE: u64 = 2 << 20;
/// File range per byte of limit: offsets are sparse, so that a fragmented range never refuses an object that fits.
const SPARSENESS: u64 = 16;
/// Linux 6.1; not in every libc's headers.
const MADV_COLLAPSE: i32 = 25;

/// Makes the arena's file: sparse, of fixed size, never executable.
pub fn create(limit_bytes: u64) -> Result<OwnedFd, StoreError> {
    let size = limit_bytes.max(1).saturating_mul(SPARSENESS).next_multiple_of(HUGE);
    memfd("iosdk-arena", size)
}

/// A sealed memfd of `size` bytes. Nobody can shrink it, so no peer's `ftruncate` can make a mapping fault.
pub(crate) fn memfd(name: &str, size: u64) -> Result<OwnedFd, StoreError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3 the flag is unknown.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        other => other,
    }
    .map_err(StoreError::os("memfd_create"))?;
    ftruncate(&fd, size).map_err(StoreError::os("ftruncate of a memfd"))?;
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
        .map_err(StoreError::os("sealing a memfd"))?;
    Ok(fd)
}

/// The size of a file that cannot shrink any more.
pub(crate) fn fixed_size(fd: BorrowedFd<'_>) -> Result<u64, StoreError> {
    let seals = fcntl_get_seals(fd).map_err(|_| StoreError::NotAnArena("it cannot be sealed"))?;
    if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
        return Err(StoreError::NotAnArena("its size is not sealed"));
    }
    let stat = fstat(fd).map_err(StoreError::os("fstat"))?;
    u64::try_from(stat.st_size).map_err(|_| StoreError::NotAnArena("negative size"))
}

/// Gives the pages of a stretch back to the kernel. What lay there reads as zeros.
pub fn punch(fd: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<(), StoreError> {
    fallocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, bytes)
        .map_err(StoreError::os("punching a hole"))
}

/// Whether this kernel makes large pages of shared memory on request. Tried once per process.
pub fn collapse_works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let probe = memfd("iosdk-probe", HUGE).and_then(Segment::map);
        probe.and_then(|probe| probe.collapse(0, HUGE)).is_ok()
    })
}

/// The whole arena, mapped twice. Address space only: pages appear as they are made.
pub struct Segment {
    fd: OwnedFd,
    size: u64,
    read: Mapping,
    write: Mapping,
}

struct Mapping {
    base: NonNull<u8>,
    size: usize,
}

// SAFETY: a mapping is an address range that lives until drop; access to what is in it is ordered by the headers' atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Aligned to a large page in address as in file, or pages could not be collapsed.
    fn new(fd: &OwnedFd, size: usize, prot: ProtFlags) -> Result<Self, StoreError> {
        let huge = HUGE as usize;
        let reserved = size.checked_add(huge).ok_or(StoreError::NotAnArena("too large"))?;
        // SAFETY: a fresh reservation chosen by the kernel, of which the part below stays ours.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), reserved, ProtFlags::empty(), reserve()) }
            .map_err(StoreError::os("reserving address space for the arena"))?;
        let head = (start as usize).next_multiple_of(huge) - start as usize;
        let base = start.cast::<u8>().wrapping_add(head);
        // SAFETY: [base, base + size) lies inside the reservation made above and replaces it.
        let mapped =
            unsafe { mmap(base.cast(), size, prot, MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE, fd, 0) };
        // SAFETY: what is left of the reservation on both sides, or all of it after a failure.
        unsafe {
            if mapped.is_ok() {
                unmap(start, head);
                unmap(base.wrapping_add(size).cast(), huge - head);
            } else {
                unmap(start, reserved);
            }
        }
        mapped.map_err(StoreError::os("mapping the arena"))?;
        // A core dump of the arena would be the size of the store. Failure costs disk, nothing else.
        // SAFETY: the range was mapped above; the advice changes no contents.
        let _ = unsafe { madvise(base.cast(), size, Advice::LinuxDontDump) };
        let base = NonNull::new(base).ok_or(StoreError::NotAnArena("mapped at address 0"))?;
        Ok(Self { base, size })
    }
}

fn reserve() -> MapFlags {
    MapFlags::PRIVATE | MapFlags::NORESERVE
}

/// # Safety
/// The range must be a mapping of the caller's own that nobody uses any more.
unsafe fn unmap(at: *mut c_void, bytes: usize) {
    if bytes > 0 {
        // SAFETY: passed on to the caller.
        let unmapped = unsafe { munmap(at, bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`; views keep the segment alive, so nobody reads here any more.
        unsafe { unmap(self.base.as_ptr().cast(), self.size) }
    }
}

impl Segment {
    /// The descriptor must be one of `create`: a file that could shrink is refused.
    pub fn map(fd: OwnedFd) -> Result<Self, StoreError> {
        let size = fixed_size(fd.as_fd())?;
        let bytes = usize::try_from(size).map_err(|_| StoreError::NotAnArena("too large for this machine"))?;
        if bytes == 0 {
            return Err(StoreError::NotAnArena("empty"));
        }
        let read = Mapping::new(&fd, bytes, ProtFlags::READ)?;
        let write = Mapping::new(&fd, bytes, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Self { fd, size, read, write })
    }

    /// Bytes of file range, a multiple of the limit it was created with.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn check(&self, offset: u64, bytes: u64) -> Result<usize, StoreError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.size => Ok(offset as usize),
            _ => Err(StoreError::OutOfBounds { offset, bytes, size: self.size }),
        }
    }

    /// Where a range can be read. Its pages are made by whoever sealed what lies there.
    pub fn read_ptr(&self, offset: u64, bytes: u64) -> Result<*const u8, StoreError> {
        Ok(self.read.base.as_ptr().wrapping_add(self.check(offset, bytes)?))
    }

    /// Where a range can be written. Only the holder of its extent may, and only after `make`.
    pub fn write_ptr(&self, offset: u64, bytes: u64) -> Result<*mut u8, StoreError> {
        Ok(self.write.base.as_ptr().wrapping_add(self.check(offset, bytes)?))
    }

    /// A word to read, at a multiple of 8.
    pub(crate) fn word(&self, offset: u64) -> Result<&AtomicU64, StoreError> {
        debug_assert!(offset.is_multiple_of(8));
        let at = self.read_ptr(offset, 8)?;
        // SAFETY: in bounds, aligned, alive as long as self; every process uses it atomically, and this one only loads.
        Ok(unsafe { &*at.cast::<AtomicU64>() })
    }

    /// A word to write, at a multiple of 8, in an extent of this process.
    pub(crate) fn word_mut(&self, offset: u64) -> Result<&AtomicU64, StoreError> {
        debug_assert!(offset.is_multiple_of(8));
        let at = self.write_ptr(offset, 8)?;
        // SAFETY: in bounds, aligned, alive as long as self; every process uses it atomically.
        Ok(unsafe { &*at.cast::<AtomicU64>() })
    }

    /// Backs an extent with memory, in large pages where the kernel makes them. Whole multiples of `HUGE`.
    /// To be called by the process that will write there: pages are charged to it and its page table is filled.
    pub fn make(&self, offset: u64, bytes: u64, mut go_on: impl FnMut() -> bool) -> Result<(), StoreError> {
        self.check(offset, bytes)?;
        let pages = |part: Range<usize>| {
            let (at, bytes) = (offset + part.start as u64, part.len() as u64);
            let aligned = at.is_multiple_of(HUGE) && bytes.is_multiple_of(HUGE);
            if aligned && collapse_works() && self.collapse(at, bytes).is_ok() {
                return Ok(());
            }
            self.populate(at, bytes)
        };
        // Two threads also where one would do: on a virtual machine each page may wait for the host to find memory.
        share_out(bytes as usize, pages, &mut go_on)
    }

    /// One small page per large one must exist; the kernel then replaces it by a large page, filled with zeros.
    fn collapse(&self, offset: u64, bytes: u64) -> Result<(), StoreError> {
        let at = self.write_ptr(offset, bytes)?;
        for page in (offset..offset + bytes).step_by(HUGE as usize) {
            fallocate(&self.fd, FallocateFlags::KEEP_SIZE, page, 4096).map_err(StoreError::os("backing the arena"))?;
        }
        // SAFETY: a range of our own mapping; collapsing keeps its contents.
        let done = unsafe { libc::madvise(at.cast(), bytes as usize, MADV_COLLAPSE) };
        if done == 0 {
            return Ok(());
        }
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        Err(StoreError::Os { what: "making large pages", errno: Errno::from_raw_os_error(errno) })
    }

    /// Small pages: allocate them in the file, then in this process's page table. Both report a lack of memory.
    fn populate(&self, offset: u64, bytes: u64) -> Result<(), StoreError> {
        fallocate(&self.fd, FallocateFlags::KEEP_SIZE, offset, bytes).map_err(StoreError::os("backing the arena"))?;
        let at = self.write_ptr(offset, bytes)?;
        // SAFETY: a range of our own mapping; populating keeps its contents.
        match unsafe { madvise(at.cast(), bytes as usize, Advice::LinuxPopulateWrite) } {
            // Before Linux 5.14: the pages are there, the table fills by cheap faults.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(StoreError::Os { what: "mapping the arena's pages", errno }),
        }
    }

    /// Copies into memory that was made. Asks now and then whether to go on; uses a second thread for long copies.
    pub fn copy_in(&self, offset: u64, from: &[u8], mut go_on: impl FnMut() -> bool) -> Result<(), StoreError> {
        let to = self.write_ptr(offset, from.len() as u64)?;
        // SAFETY: there is room for all of `from` at `to`, in memory that by the store's rules only this caller writes.
        unsafe { copy::copy(to, from, &mut go_on) }
    }

    /// Reads through the file instead of the mapping: never faults, whatever the numbers.
    pub(crate) fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), StoreError> {
        self.check(offset, into.len() as u64)?;
        let mut done = 0;
        while done < into.len() {
            match rustix::io::pread(&self.fd, &mut into[done..], offset + done as u64) {
                Ok(0) => return Err(StoreError::NotAnArena("shorter than its size")),
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(StoreError::Os { what: "reading the arena", errno }),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
