//! The store as one process uses it: segment, pins and its own heap together.

use crate::heap::{Allocation, BadFree, Heap, Needs, Purpose, Usage};
use crate::object::{self, OpenError, View, Writer};
use crate::{Pins, Segment, StoreError};
use iosdk_types::{Address, Extent, Time};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub struct Store {
    address: Address,
    segment_number: u32,
    segment: Arc<Segment>,
    pins: Arc<Pins>,
    local: Mutex<Local>,
}

#[derive(Default)]
struct Local {
    heap: Heap,
    /// Extents to give back to the raylet.
    returns: Vec<u64>,
}

/// Why there is no room for an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// Ask the raylet for an extent, `grant` it, try again.
    #[error("{} more bytes of arena are needed", .0.bytes)]
    Needs(Needs),
    #[error(transparent)]
    Memory(#[from] StoreError),
}

impl Store {
    pub fn new(address: Address, segment_number: u32, segment: Segment, pins: Pins) -> Arc<Self> {
        Arc::new(Self {
            address,
            segment_number,
            segment: Arc::new(segment),
            pins: Arc::new(pins),
            local: Mutex::default(),
        })
    }

    pub fn address(&self) -> Address {
        self.address
    }

    pub fn segment_number(&self) -> u32 {
        self.segment_number
    }

    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub fn pins(&self) -> &Arc<Pins> {
        &self.pins
    }

    fn local(&self) -> MutexGuard<'_, Local> {
        // The heap does not panic; if it did, its table would still be safer to use than to abandon.
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for an object of `len` bytes that belongs to `owner` (this process, or the caller whose result it is).
    pub fn allocate(self: &Arc<Self>, len: u64, owner: Address) -> Result<Writer, PutError> {
        let allocation = self.local().heap.alloc(len, owner).map_err(PutError::Needs)?;
        Ok(Writer::new(self.clone(), allocation)?)
    }

    /// Backs an extent that the raylet granted with memory and allocates from it. After an error the extent is not in use: the
    /// caller gives it back.
    pub fn grant(
        &self,
        offset: u64,
        bytes: u64,
        purpose: Purpose,
        go_on: impl FnMut() -> bool,
    ) -> Result<(), StoreError> {
        self.segment.make(offset, bytes, go_on)?;
        self.local().heap.add_extent(offset, bytes, purpose);
        Ok(())
    }

    /// The object's owner needs it no more. Numbers from a peer are checked against this process's own table.
    pub fn free(&self, extent: &Extent) -> Result<(), BadFree> {
        let bad = BadFree { offset: extent.offset, generation: extent.generation };
        if extent.holder != self.address || extent.segment != self.segment_number {
            return Err(bad);
        }
        self.free_at(extent.offset, extent.generation)
    }

    pub(crate) fn free_at(&self, offset: u64, generation: u32) -> Result<(), BadFree> {
        let mut local = self.local();
        let bad = BadFree { offset, generation };
        let allocation = local.heap.find(offset, generation).ok_or(bad)?;
        self.condemn(&allocation);
        let back = local.heap.free(offset, generation)?;
        local.returns.extend(back);
        Ok(())
    }

    fn condemn(&self, allocation: &Allocation) {
        let condemned = object::free(&self.segment, allocation.offset, allocation.generation);
        debug_assert!(condemned.is_ok(), "the heap hands out offsets inside the arena");
    }

    pub fn open(&self, extent: Extent) -> Result<View, OpenError> {
        if extent.segment != self.segment_number {
            return Err(OpenError::Stale);
        }
        View::open(&self.segment, &self.pins, extent)
    }

    /// Frees what a dead process owned here. `alive` says which rows of the pin table still count.
    pub fn owner_died(&self, dead: Address, alive: impl Fn(u32) -> bool) {
        let mut local = self.local();
        let back = local.heap.free_owned_by(dead, |allocation| {
            self.condemn(allocation);
            self.pins.is_pinned(allocation.offset, allocation.len, &alive)
        });
        local.returns.extend(back);
    }

    /// About once a second: gives back what has been unused for ten, and what dead owners left once nobody pins it.
    pub fn trim(&self, now: Time, alive: impl Fn(u32) -> bool) {
        let mut local = self.local();
        let freed =
            local.heap.free_condemned(|allocation| self.pins.is_pinned(allocation.offset, allocation.len, &alive));
        let idle = local.heap.trim(now);
        local.returns.extend(freed);
        local.returns.extend(idle);
    }

    /// Frees everything that is kept, for a process that ends or a raylet that runs short.
    pub fn drain(&self) {
        let mut local = self.local();
        let back = local.heap.drain_all();
        local.returns.extend(back);
    }

    /// Extents that nothing here uses any more: each is to be sent back to the raylet, once.
    pub fn take_returns(&self) -> Vec<u64> {
        std::mem::take(&mut self.local().returns)
    }

    pub fn usage(&self) -> Usage {
        self.local().heap.usage()
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
