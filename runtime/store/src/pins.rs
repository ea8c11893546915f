//! The pin table: one memfd mapped by every process of the tenant, one row of hazard slots per process. A view of an object
//! holds a slot; who reuses memory whose owner is gone asks the rows first.
#![allow(unsafe_code)]

use crate::StoreError;
use crate::hazard::{ROW_WORDS, Row};
use crate::segment::{fixed_size, memfd};
use crate::sync::{AtomicU64, Ordering};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Processes of a node that can pin.
pub const ROWS: u32 = 4096;
const ROW_BYTES: usize = ROW_WORDS * 8;
const PAGE: usize = 4096;
/// Before the rows a page with one bit for each that was ever taken: a scan must not touch the others, or it would back them
/// with memory.
const BYTES: usize = PAGE + ROWS as usize * ROW_BYTES;

/// Makes the table's file: sparse, rows take memory when first used.
pub fn create() -> Result<OwnedFd, StoreError> {
    memfd("iosdk-pins", BYTES as u64)
}

/// The table as one process sees it, with a row of its own. A forked child neither pins nor unpins: the slots are its parent's.
pub struct Pins {
    table: NonNull<u8>,
    /// A private page that reads as zero in a forked child.
    mine: NonNull<u8>,
    row: u32,
    free: Mutex<Free>,
}

struct Free {
    slots: Vec<u32>,
    /// Slots above this were never used.
    used: u32,
}

/// A slot in this process's row.
#[derive(Debug, PartialEq, Eq)]
pub struct Slot(u32);

// SAFETY: the table is used through atomics only, the free slots through the mutex; the private page is only read.
unsafe impl Send for Pins {}
// SAFETY: as above.
unsafe impl Sync for Pins {}

impl Pins {
    /// `my_row` is this process's alone; what a dead process left in it is wiped. Who only looks at others' pins (the raylet)
    /// takes a row too.
    pub fn map(fd: OwnedFd, my_row: u32) -> Result<Self, StoreError> {
        if fixed_size(fd.as_fd())? != BYTES as u64 || my_row >= ROWS {
            return Err(StoreError::NotAnArena("not a pin table, or no such row"));
        }
        let both = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choosing.
        let table = unsafe { mmap(std::ptr::null_mut(), BYTES, both, MapFlags::SHARED | MapFlags::NORESERVE, &fd, 0) }
            .map_err(StoreError::os("mapping the pin table"))?;
        // SAFETY: as above.
        let mine = unsafe { mmap_anonymous(std::ptr::null_mut(), PAGE, both, MapFlags::PRIVATE) }
            .map_err(StoreError::os("mapping the fork mark"))?;
        // SAFETY: both were mapped just now; the byte is inside the second, which nobody else uses yet.
        unsafe {
            madvise(table, BYTES, Advice::LinuxDontFork).map_err(StoreError::os("keeping pins from children"))?;
            madvise(mine, PAGE, Advice::LinuxWipeOnFork).map_err(StoreError::os("marking the process"))?;
            mine.cast::<u8>().write(1);
        }
        let non_null = |at: *mut std::ffi::c_void| NonNull::new(at.cast()).ok_or(StoreError::NotAnArena("null"));
        let pins = Self {
            table: non_null(table)?,
            mine: non_null(mine)?,
            row: my_row,
            free: Mutex::new(Free { slots: Vec::new(), used: 0 }),
        };
        pins.row_of(my_row).reset();
        // Before the first pin, whose fence puts it before the reader's look at the object, as it does the pin itself.
        pins.taken(my_row / 64).fetch_or(1 << (my_row % 64), Ordering::SeqCst);
        Ok(pins)
    }

    /// False in a child that was forked after `map`.
    fn is_mine(&self) -> bool {
        // SAFETY: mapped as long as self; written once, before anybody else could see it. Volatile because a fork changes it.
        unsafe { self.mine.as_ptr().read_volatile() != 0 }
    }

    /// 64 rows' bits.
    fn taken(&self, word: u32) -> &AtomicU64 {
        debug_assert!(word < ROWS / 64 && self.is_mine());
        let at = self.table.as_ptr().cast::<AtomicU64>().wrapping_add(word as usize);
        // SAFETY: in the first page of the mapping, which lives as long as self, and everybody uses it atomically.
        unsafe { &*at }
    }

    fn row_of(&self, row: u32) -> Row<'_> {
        debug_assert!(row < ROWS && self.is_mine());
        let start = self.table.as_ptr().wrapping_add(PAGE + row as usize * ROW_BYTES).cast::<AtomicU64>();
        // SAFETY: the row lies inside the mapping, which lives as long as self, and everybody uses it through atomics.
        Row::new(unsafe { std::slice::from_raw_parts(start, ROW_WORDS) })
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        // Nothing panics while holding it, and its state is whole after every statement.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the payload at this offset stays, provided that its header, read after this, still says sealed.
    /// None when the row is full (or in a forked child): the caller copies instead.
    pub fn pin(&self, offset: u64) -> Option<Slot> {
        if !self.is_mine() {
            return None;
        }
        let row = self.row_of(self.row);
        let mut free = self.free();
        let slot = match free.slots.pop() {
            Some(slot) => slot,
            None if (free.used as usize) < row.slots() => {
                free.used += 1;
                free.used
            }
            None => return None,
        };
        row.publish(slot, offset);
        Some(Slot(slot))
    }

    pub fn unpin(&self, slot: Slot) {
        if self.is_mine() {
            let mut free = self.free();
            self.row_of(self.row).clear(slot.0);
            free.slots.push(slot.0);
        }
    }

    /// Does any process whose row is alive pin a payload that starts in the range? To be asked after `hazard::condemn`.
    /// `alive` says which rows to look at. In a forked child, which cannot look, everything counts as pinned.
    pub fn is_pinned(&self, offset: u64, len: u64, alive: impl Fn(u32) -> bool) -> bool {
        if !self.is_mine() {
            return true;
        }
        let holds = |row| alive(row) && self.row_of(row).holds(offset, len.max(1));
        (0..ROWS / 64).any(|word| {
            let taken = self.taken(word).load(Ordering::SeqCst);
            (0..64).any(|bit| taken >> bit & 1 == 1 && holds(word * 64 + bit))
        })
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if self.is_mine() {
            self.row_of(self.row).reset();
            // SAFETY: mapped in `map`; in a child the table's addresses may be somebody else's by now, hence the check.
            let unmapped = unsafe { munmap(self.table.as_ptr().cast(), BYTES) };
            debug_assert!(unmapped.is_ok());
        }
        // SAFETY: mapped in `map`, inherited by children.
        let unmapped = unsafe { munmap(self.mine.as_ptr().cast(), PAGE) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
