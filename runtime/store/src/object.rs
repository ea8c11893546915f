//! Objects in the arena: the header before each payload, who writes it and in which order, and how a reader makes sure that
//! what it was told about is still there.
//!
//! Header, 64 bytes before the payload: state word (magic, generation, state), length, owner, holder. While an object is
//! written the word says unsealed; it is set to sealed last.
#![allow(unsafe_code)]

use crate::hazard::{State, admits, condemn, state_word};
use crate::heap::{Allocation, HEADER};
use crate::pins::Slot;
use crate::store::Store;
use crate::sync::Ordering;
use crate::{Pins, Segment, StoreError, failpoint};
use iosdk_types::{Address, Extent};
use std::sync::Arc;

/// Field offsets in the header, in bytes.
const STATE: u64 = 0;
const LEN: u64 = 8;
const OWNER: u64 = 16;
const HOLDER: u64 = 32;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Freed, reused, never sealed, or never an object at all.
    #[error("the object is not there any more")]
    Stale,
    /// This process holds as many views as it can pin: use `copy_out`.
    #[error("no free pin slot")]
    NoSlot,
    #[error(transparent)]
    Memory(#[from] StoreError),
}

/// Begins a header. The state comes first here, so that no old generation is admitted while the rest changes.
pub(crate) fn begin(segment: &Segment, allocation: &Allocation, holder: Address) -> Result<(), StoreError> {
    let header = allocation.offset - HEADER;
    failpoint::hit("begin.state");
    segment.word_mut(header + STATE)?.store(state_word(allocation.generation, State::Unsealed), Ordering::SeqCst);
    failpoint::hit("begin.len");
    segment.word_mut(header + LEN)?.store(allocation.len, Ordering::Release);
    failpoint::hit("begin.owner");
    store_address(segment, header + OWNER, allocation.owner)?;
    failpoint::hit("begin.holder");
    store_address(segment, header + HOLDER, holder)?;
    failpoint::hit("begin.done");
    Ok(())
}

fn store_address(segment: &Segment, at: u64, address: Address) -> Result<(), StoreError> {
    let low = u64::from(address.node) | u64::from(address.epoch) << 32;
    segment.word_mut(at)?.store(low, Ordering::Release);
    segment.word_mut(at + 8)?.store(u64::from(address.process), Ordering::Release);
    Ok(())
}

fn load_address(segment: &Segment, at: u64) -> Result<Address, StoreError> {
    let low = segment.word(at)?.load(Ordering::Acquire);
    let process = segment.word(at + 8)?.load(Ordering::Acquire) as u32;
    Ok(Address { node: low as u32, epoch: (low >> 32) as u32, process })
}

fn seal(segment: &Segment, allocation: &Allocation) -> Result<(), StoreError> {
    failpoint::hit("seal.state");
    let word = segment.word_mut(allocation.offset - HEADER + STATE)?;
    word.store(state_word(allocation.generation, State::Sealed), Ordering::Release);
    failpoint::hit("seal.done");
    Ok(())
}

/// Nobody new gets in from here on.
pub(crate) fn free(segment: &Segment, offset: u64, generation: u32) -> Result<(), StoreError> {
    failpoint::hit("free.state");
    condemn(segment.word_mut(offset - HEADER + STATE)?, generation);
    failpoint::hit("free.done");
    Ok(())
}

/// Whether the extent's numbers, which a peer sent, describe an object that is sealed now.
fn is_sealed(segment: &Segment, extent: &Extent) -> Result<bool, StoreError> {
    let Some(header) = extent.offset.checked_sub(HEADER).filter(|header| header.is_multiple_of(HEADER)) else {
        return Ok(false);
    };
    if segment.read_ptr(extent.offset, extent.len).is_err() {
        return Ok(false);
    }
    Ok(admits(segment.word(header + STATE)?, extent.generation)
        && segment.word(header + LEN)?.load(Ordering::Acquire) == extent.len
        && load_address(segment, header + HOLDER)? == extent.holder)
}

/// Room for an object that only this process can see. Dropped unsealed, the room is free again.
pub struct Writer {
    store: Arc<Store>,
    allocation: Allocation,
    sealed: bool,
}

impl Writer {
    pub(crate) fn new(store: Arc<Store>, allocation: Allocation) -> Result<Self, StoreError> {
        let writer = Self { store, allocation, sealed: false };
        begin(writer.store.segment(), &allocation, writer.store.address())?;
        Ok(writer)
    }

    pub fn len(&self) -> u64 {
        self.allocation.len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes to a place in the payload. `go_on` is asked now and then during long copies.
    pub fn copy_in(&mut self, at: u64, from: &[u8], go_on: impl FnMut() -> bool) -> Result<(), StoreError> {
        let bytes = from.len() as u64;
        if at.checked_add(bytes).is_none_or(|end| end > self.len()) {
            return Err(StoreError::OutOfBounds { offset: at, bytes, size: self.len() });
        }
        self.store.segment().copy_in(self.allocation.offset + at, from, go_on)
    }

    /// Of the first payload byte, for writers that fill it themselves. Valid until sealed or dropped.
    pub fn as_mut_ptr(&mut self) -> Result<*mut u8, StoreError> {
        self.store.segment().write_ptr(self.allocation.offset, self.len())
    }

    /// From here on anybody who is told the extent can read it, and nobody writes it any more.
    pub fn seal(mut self) -> Result<Extent, StoreError> {
        let allocation = self.allocation;
        seal(self.store.segment(), &allocation)?;
        self.sealed = true;
        Ok(Extent {
            segment: self.store.segment_number(),
            generation: allocation.generation,
            offset: allocation.offset,
            len: allocation.len,
            holder: self.store.address(),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.sealed {
            let freed = self.store.free_at(self.allocation.offset, self.allocation.generation);
            debug_assert!(freed.is_ok(), "an unsealed allocation was freed by somebody else");
        }
    }
}

/// A sealed object, readable in place for as long as this lives: it keeps the mapping and the pin. What keeps the *owner* from
/// freeing it is the reference that the caller holds along with it.
pub struct View {
    segment: Arc<Segment>,
    pins: Arc<Pins>,
    slot: Option<Slot>,
    at: *const u8,
    len: usize,
}

// SAFETY: a view is a pinned range of read-only memory plus handles that are themselves Send and Sync.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// The numbers may come from anybody; whatever they are, the answer is a sealed object or an error.
    pub fn open(segment: &Arc<Segment>, pins: &Arc<Pins>, extent: Extent) -> Result<Self, OpenError> {
        // Numbers that make no sense are not worth a slot.
        let at = segment.read_ptr(extent.offset, extent.len).map_err(|_| OpenError::Stale)?;
        let slot = pins.pin(extent.offset).ok_or(OpenError::NoSlot)?;
        let view =
            Self { segment: segment.clone(), pins: pins.clone(), slot: Some(slot), at, len: extent.len as usize };
        if is_sealed(segment, &extent)? { Ok(view) } else { Err(OpenError::Stale) }
    }

    pub fn as_ptr(&self) -> *const u8 {
        self.at
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The arena it lies in.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.pins.unpin(slot);
        }
    }
}

/// A private copy, for who has no pin slot left. Checked before and after: what was freed meanwhile is `Stale`, not torn.
pub fn copy_out(segment: &Segment, extent: Extent) -> Result<Vec<u8>, OpenError> {
    if !is_sealed(segment, &extent)? {
        return Err(OpenError::Stale);
    }
    let mut bytes = vec![0; extent.len as usize];
    segment.read_at(extent.offset, &mut bytes)?;
    if is_sealed(segment, &extent)? { Ok(bytes) } else { Err(OpenError::Stale) }
}
