//! The owner's end: writes what fits, never waits, and makes no system call but to ring a reader that rests.

use super::protocol::{self, Ring as _};
use super::{FIRST, Ring, SLOTS};
use crate::failpoint::point;
use iosdk_types::TaskRecord;
use iosdk_types::task_record::{NAME_SLOTS_MAX, NO_NAME, SLOT, write_name};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

pub struct HistoryWriter {
    ring: Ring,
    bell: OwnedFd,
    tail: u64,
    /// The slot that the tail is at.
    at: usize,
    /// The reader's head when last looked at.
    head: u64,
    lost: u64,
    /// One bit for each number whose name is in the ring or was.
    announced: Vec<u64>,
}

impl HistoryWriter {
    /// Once for each ring. The descriptor may be closed afterwards.
    pub fn map(fd: BorrowedFd<'_>, bell: OwnedFd) -> io::Result<Self> {
        Ok(Self { ring: Ring::map(fd)?, bell, tail: 0, at: 0, head: 0, lost: 0, announced: Vec::new() })
    }

    /// Writes the record, and before it the text of its name if this is the name's first. False: the ring was full.
    #[inline]
    pub fn write<N: AsRef<str>>(&mut self, record: &TaskRecord, name: impl FnOnce() -> N) -> bool {
        if record.name != NO_NAME && !self.is_announced(record.name) {
            return self.write_with_name(record, name().as_ref());
        }
        if !self.has_room(1) {
            return false;
        }
        self.slot(&record.to_bytes());
        self.publish();
        true
    }

    /// Records that found no room so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    #[inline]
    fn is_announced(&self, number: u32) -> bool {
        self.announced.get(number as usize / 64).is_some_and(|bits| bits & 1 << (number % 64) != 0)
    }

    /// Both or none of them.
    #[cold]
    fn write_with_name(&mut self, record: &TaskRecord, name: &str) -> bool {
        let mut slots = [0; NAME_SLOTS_MAX * SLOT];
        let taken = write_name(record.name, name, &mut slots);
        if !self.has_room(taken / SLOT + 1) {
            return false;
        }
        for slot in slots[..taken].chunks_exact(SLOT) {
            self.slot(slot);
        }
        self.slot(&record.to_bytes());
        self.publish();
        let word = record.name as usize / 64;
        self.announced.resize(self.announced.len().max(word + 1), 0);
        self.announced[word] |= 1 << (record.name % 64);
        true
    }

    #[inline]
    fn has_room(&mut self, slots: usize) -> bool {
        if self.fits(slots) {
            return true;
        }
        let head = self.ring.head().load(Ordering::Acquire);
        // A head that goes back or beyond the tail is not believed.
        if (self.head..=self.tail).contains(&head) {
            self.head = head;
        }
        let fits = self.fits(slots);
        if !fits {
            self.lost += 1;
            point();
            self.ring.lost().store(self.lost, Ordering::Release);
        }
        fits
    }

    #[inline]
    fn fits(&self, slots: usize) -> bool {
        self.tail - self.head + slots as u64 <= SLOTS as u64
    }

    #[inline]
    fn slot(&mut self, bytes: &[u8]) {
        point();
        self.ring.0.copy_in(FIRST + self.at * SLOT, bytes);
        self.at = if self.at + 1 == SLOTS { 0 } else { self.at + 1 };
        self.tail += 1;
    }

    #[inline]
    fn publish(&mut self) {
        if protocol::publish(&self.ring, self.tail) {
            self.ring_bell();
        }
    }

    #[cold]
    fn ring_bell(&self) {
        point();
        // A counter that is full is as good as rung; a raylet that is gone hears nothing.
        let _rung_or_gone = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}
