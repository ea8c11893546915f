//! What processes share and what they keep, as far as a machine can tell: contents behind payload handles, claim words, and
//! a node's arena with its extents and the objects in them.

use iosdk_types::message::peer::Payload;
use iosdk_types::{ActorId, Address, Extent, Map, ObjectId};
use std::fmt;

/// What bytes would say. Handles never leave their process, so contents are copied when a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A function or class by its kind of body.
    Definition,
    /// Arguments: the seed of the body, and which of the references inside are counting references of actors.
    Args { seed: u64, actors: Vec<(ActorId, usize)> },
    /// A value by its token, with the actors whose handles are inside.
    Value { token: u64, actors: Vec<(ActorId, usize)> },
    /// What a body raised.
    Raised { token: u64 },
    /// An error in the words of a machine.
    Local { error: iosdk_runtime_core::LocalError },
}

/// A process's payload table.
#[derive(Default)]
pub struct Payloads {
    entries: Map<u32, Content>,
    next: u32,
}

impl Payloads {
    pub fn insert(&mut self, content: Content) -> Payload {
        self.next += 1;
        self.entries.insert(self.next, content);
        Payload(self.next)
    }

    pub fn get(&self, handle: Payload) -> Option<&Content> {
        self.entries.get(&handle.0)
    }

    /// False when the handle was dropped before or never given out.
    #[must_use]
    pub fn remove(&mut self, handle: Payload) -> bool {
        self.entries.remove(&handle.0).is_some()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Content)> {
        self.entries.iter().map(|(handle, content)| (*handle, content))
    }
}

pub const CLAIM_SLOTS: usize = 512;
pub const READY: u32 = 1;
pub const TAKEN: u32 = 2;
pub const RETRACTED: u32 = 3;

/// Claim words of one lane: generation and state, moved by compare-and-swap from either side.
pub struct Claims {
    words: Vec<u32>,
    free: Vec<u32>,
    next_generation: u32,
}

impl Default for Claims {
    fn default() -> Self {
        Self { words: vec![0; CLAIM_SLOTS], free: (0..CLAIM_SLOTS as u32).rev().collect(), next_generation: 0 }
    }
}

impl Claims {
    /// A slot with READY in it, or None when 512 calls are unanswered.
    pub fn take_slot(&mut self) -> Option<(u32, u32)> {
        let slot = self.free.pop()?;
        self.next_generation = (self.next_generation + 1) & 0x3fff_ffff;
        self.words[slot as usize] = self.next_generation << 2 | READY;
        Some((slot, self.next_generation))
    }

    pub fn give_slot(&mut self, slot: u32) {
        debug_assert!(!self.free.contains(&slot), "claim slot {slot} freed twice");
        self.free.push(slot);
    }

    pub fn state(&self, slot: u32, generation: u32) -> Option<u32> {
        let word = self.words[slot as usize];
        (word >> 2 == generation).then_some(word & 3)
    }

    /// READY -> `to`, if the word is still this call's and READY.
    pub fn swap(&mut self, slot: u32, generation: u32, to: u32) -> bool {
        let won = self.state(slot, generation) == Some(READY);
        if won {
            self.words[slot as usize] = generation << 2 | to;
        }
        won
    }

    pub fn taken_slots(&self) -> usize {
        CLAIM_SLOTS - self.free.len()
    }
}

pub const EXTENT: u64 = 2 << 20;
pub const BIG: u64 = 1 << 20;

/// One object in an arena.
#[derive(Clone, Debug)]
pub struct Stored {
    pub generation: u32,
    pub len: u64,
    pub content: Content,
    /// The process whose machine decides when it is freed.
    pub owner: Address,
    pub object: Option<ObjectId>,
}

/// An extent that the raylet gave to a process.
#[derive(Clone, Debug)]
pub struct Granted {
    pub bytes: u64,
    pub holder: Address,
    /// The holder has given it back; the raylet does not know yet.
    pub is_returned: bool,
}

/// A node's arena as everybody maps it.
#[derive(Default)]
pub struct Arena {
    pub granted: Map<u64, Granted>,
    pub stored: Map<u64, Stored>,
    generation: u32,
}

impl Arena {
    /// The holder writes an object into an extent of its own; None when none of them has room.
    pub fn allocate(&mut self, holder: Address, len: u64, content: Content) -> Option<Extent> {
        let own: Vec<(u64, u64)> = self
            .granted
            .iter()
            .filter(|(_, extent)| extent.holder == holder && !extent.is_returned)
            .map(|(at, extent)| (*at, extent.bytes))
            .collect();
        let offset = own.into_iter().find_map(|(at, bytes)| self.room(at, bytes, len))?;
        self.generation += 1;
        let stored = Stored { generation: self.generation, len, content, owner: holder, object: None };
        self.stored.insert(offset, stored);
        Some(Extent { segment: 0, generation: self.generation, offset, len, holder })
    }

    /// First fit between the objects of one extent; big objects have an extent of their own.
    fn room(&self, at: u64, bytes: u64, len: u64) -> Option<u64> {
        let mut free_from = at;
        for (offset, stored) in self.stored.range(at..at + bytes) {
            if (len >= BIG) || (stored.len >= BIG) {
                return None;
            }
            if offset - free_from >= len {
                return Some(free_from);
            }
            free_from = offset + stored.len;
        }
        (at + bytes - free_from >= len).then_some(free_from)
    }

    pub fn read(&self, extent: &Extent) -> Option<&Stored> {
        self.stored.get(&extent.offset).filter(|stored| stored.generation == extent.generation)
    }

    /// The extent in which this offset lies.
    pub fn extent_of(&self, offset: u64) -> Option<(u64, &Granted)> {
        let (at, extent) = self.granted.range(..=offset).next_back()?;
        (offset < at + extent.bytes).then_some((*at, extent))
    }

    /// Extents of this process in which nothing is stored.
    pub fn empty_extents(&self, holder: Address) -> Vec<u64> {
        let empty = |at: u64, bytes: u64| self.stored.range(at..at + bytes).next().is_none();
        self.granted
            .iter()
            .filter(|(at, extent)| extent.holder == holder && !extent.is_returned && empty(**at, extent.bytes))
            .map(|(at, _)| *at)
            .collect()
    }

    /// What is stored between two offsets.
    pub fn within(&self, offset: u64, bytes: u64) -> impl Iterator<Item = (&u64, &Stored)> {
        self.stored.range(offset..offset + bytes)
    }

    pub fn forget(&mut self, offset: u64, bytes: u64) {
        let gone: Vec<u64> = self.within(offset, bytes).map(|(at, _)| *at).collect();
        for at in gone {
            self.stored.remove(&at);
        }
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {} (generation {})", self.len, self.owner, self.generation)
    }
}
