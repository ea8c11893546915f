//! The protocol between a reader that pins an object and a holder that frees it, over bare atomics so that it can be
//! model-checked.
//!
//! Reader: write the slot, full fence, read the state word. Freer: write the state word, full fence, read the slots. At least
//! one of the two sees the other: either the reader finds the object freed and gives up, or the freer finds the pin.

use crate::sync::{AtomicU64, Ordering, fence};

/// Words in a process's row. The first is the number of slots ever used, so that a scan reads no more than those.
pub const ROW_WORDS: usize = 1024;

/// Marks a state word as ours: memory that never held a header is told apart from one that did.
const MAGIC: u64 = 0x105d_c000;

/// Where an allocation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Unsealed = 1,
    Sealed = 2,
    Freed = 3,
}

/// State and generation in one word, so that one load checks both.
pub fn state_word(generation: u32, state: State) -> u64 {
    u64::from(generation) << 32 | MAGIC | state as u64
}

/// Freer, first half: from here on nobody new gets in. Whoever got in before is seen by `Row::holds`.
pub fn condemn(word: &AtomicU64, generation: u32) {
    word.store(state_word(generation, State::Freed), Ordering::Release);
    fence(Ordering::SeqCst);
}

/// Reader, second half: is the object that was pinned still there?
pub fn admits(word: &AtomicU64, generation: u32) -> bool {
    word.load(Ordering::Acquire) == state_word(generation, State::Sealed)
}

/// One process's row of hazard slots. Slots are numbered from 1; a slot holds the payload offset it pins, or 0.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Row<'a> {
    /// `words` must not be empty.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Slots besides the count.
    pub fn slots(&self) -> usize {
        self.words.len() - 1
    }

    /// Reader, first half. Only the row's process writes it, one thread at a time.
    pub fn publish(&self, slot: u32, offset: u64) {
        if self.words[0].load(Ordering::Relaxed) < u64::from(slot) {
            self.words[0].store(u64::from(slot), Ordering::Release);
        }
        self.words[slot as usize].store(offset, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Release: what was read through the pin was read before the slot is seen empty.
    pub fn clear(&self, slot: u32) {
        self.words[slot as usize].store(0, Ordering::Release);
    }

    /// Freer, second half: does this process pin anything in the range? The count is a peer's word, so it is bounded here.
    pub fn holds(&self, offset: u64, len: u64) -> bool {
        let used = usize::try_from(self.words[0].load(Ordering::Acquire)).unwrap_or(usize::MAX).min(self.slots());
        self.words[1..=used].iter().any(|word| {
            let pinned = word.load(Ordering::Acquire);
            pinned != 0 && pinned >= offset && pinned - offset < len
        })
    }

    /// Before a process takes over a dead one's row.
    pub fn reset(&self) {
        let used = usize::try_from(self.words[0].load(Ordering::Acquire)).unwrap_or(usize::MAX).min(self.slots());
        self.words[..=used].iter().for_each(|word| word.store(0, Ordering::Release));
    }
}
