//! Claim words: who decides whether a queued call runs. The caller writes READY before it pushes the call; the callee
//! takes it just before running the body; the caller may take it back instead. Exactly one of the two wins, even if the
//! callee is stopped or gone.
//!
//! Word: generation (30 bits) shifted left by 2, state in the low bits.

use crate::failpoint::point;
use crate::lane::layout;
use crate::mapping::Mapping;
use iosdk_types::message::peer::Claim;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Calls that may be unanswered on one lane.
pub const SLOTS: u32 = layout::CLAIMS as u32;

const READY: u32 = 1;
const TAKEN: u32 = 2;
const RETRACTED: u32 = 3;
const GENERATIONS: u32 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    Ready,
    Taken,
    Retracted,
    /// Another generation, or nothing yet.
    Other,
}

/// The two transitions, on any word that can compare and exchange (the model checker's too).
pub trait ClaimWord {
    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32>;
}

impl ClaimWord for AtomicU32 {
    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// READY to TAKEN.
pub fn take(word: &impl ClaimWord, generation: u32) -> bool {
    word.compare_exchange(encode(generation, READY), encode(generation, TAKEN)).is_ok()
}

/// READY to RETRACTED.
pub fn retract(word: &impl ClaimWord, generation: u32) -> bool {
    word.compare_exchange(encode(generation, READY), encode(generation, RETRACTED)).is_ok()
}

/// The word that says "ready to be taken".
pub fn ready_word(generation: u32) -> u32 {
    encode(generation, READY)
}

fn encode(generation: u32, state: u32) -> u32 {
    generation << 2 | state
}

/// The claim words of one lane.
#[derive(Clone)]
pub struct Claims {
    lane: Arc<Mapping>,
}

impl Claims {
    pub(crate) fn new(lane: Arc<Mapping>) -> Self {
        Self { lane }
    }

    /// A claim read from a peer may name any slot: those out of range have no word.
    fn word(&self, claim: Claim) -> Option<&AtomicU32> {
        let valid = claim.slot < SLOTS && claim.generation < GENERATIONS;
        valid.then(|| self.lane.word32(layout::CLAIM_TABLE + claim.slot as usize * 4))
    }

    /// Caller, before pushing the call. The push's release store makes it visible with the call.
    pub fn ready(&self, claim: Claim) {
        if let Some(word) = self.word(claim) {
            point();
            word.store(encode(claim.generation, READY), Ordering::Release);
        }
    }

    /// Callee, just before the body. False: it was taken back, or the claim is not a valid one.
    pub fn try_take(&self, claim: Claim) -> bool {
        point();
        self.word(claim).is_some_and(|word| take(word, claim.generation))
    }

    /// Caller. True: the callee will never start it. False: it has, and its reply will come (or its death).
    pub fn try_retract(&self, claim: Claim) -> bool {
        point();
        self.word(claim).is_some_and(|word| retract(word, claim.generation))
    }

    pub fn read(&self, claim: Claim) -> ClaimState {
        let Some(word) = self.word(claim) else { return ClaimState::Other };
        let word = word.load(Ordering::Acquire);
        if word >> 2 != claim.generation {
            return ClaimState::Other;
        }
        match word & 3 {
            READY => ClaimState::Ready,
            TAKEN => ClaimState::Taken,
            RETRACTED => ClaimState::Retracted,
            _ => ClaimState::Other,
        }
    }
}

/// The caller's private book of which slots of a lane are free. Last freed, first given: the warm cache lines.
/// Generations are odd while a slot is in use, so that freeing twice is noticed and 0, an untouched word, never is one.
pub struct ClaimSlots {
    free: Vec<u32>,
    generations: Vec<u32>,
}

impl Default for ClaimSlots {
    fn default() -> Self {
        Self { free: (0..SLOTS).rev().collect(), generations: vec![0; SLOTS as usize] }
    }
}

impl ClaimSlots {
    /// `None`: as many calls as the lane may carry are unanswered.
    pub fn allocate(&mut self) -> Option<Claim> {
        let slot = self.free.pop()?;
        Some(Claim { slot, generation: self.advance(slot) })
    }

    /// The call was answered or taken back. False: this claim is not in use.
    pub fn free(&mut self, claim: Claim) -> bool {
        let live = claim.generation % 2 == 1 && self.generations.get(claim.slot as usize) == Some(&claim.generation);
        if live {
            self.advance(claim.slot);
            self.free.push(claim.slot);
        }
        live
    }

    pub fn available(&self) -> usize {
        self.free.len()
    }

    fn advance(&mut self, slot: u32) -> u32 {
        let generation = &mut self.generations[slot as usize];
        *generation = (*generation + 1) % GENERATIONS;
        *generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_freed_once() {
        let mut slots = ClaimSlots::default();
        let first = slots.allocate().unwrap();
        assert!(slots.free(first));
        assert!(!slots.free(first));
        let second = slots.allocate().unwrap();
        assert_eq!(second.slot, first.slot);
        assert_ne!(second.generation, first.generation);
        assert!(!slots.free(first));
        assert!(!slots.free(Claim { slot: SLOTS, generation: 1 }));
        let rest: Vec<_> = std::iter::from_fn(|| slots.allocate()).collect();
        assert_eq!(rest.len(), SLOTS as usize - 1);
        assert_eq!(slots.available(), 0);
    }

    #[test]
    fn generations_wrap_without_reaching_zero_in_use() {
        let mut slots = ClaimSlots::default();
        slots.generations.fill(GENERATIONS - 2);
        let last = slots.allocate().unwrap();
        assert_eq!(last.generation, GENERATIONS - 1);
        assert!(slots.free(last));
        assert_eq!(slots.allocate().unwrap().generation, 1);
    }
}
