//! Small objects: blocks in slabs. Free blocks hang in lists by size class (eight per power of two) and merge with their
//! neighbours when freed, so that allocating and freeing take constant time and a slab in use fragments little.

use super::{HEADER, Held};
use iosdk_types::Time;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Blocks begin and end at multiples of this.
const UNIT: u64 = 64;
const NONE: u32 = u32::MAX;
/// Classes: sizes below 8 units one by one, then eight per power of two, up to slabs of 2^32 units.
const CLASSES: usize = 8 + 30 * 8;
/// How many blocks of the request's own class are tried before a larger class is split.
const TRIES: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Block {
    offset: u64,
    bytes: u64,
    slab: u32,
    /// Neighbours in the slab.
    before: u32,
    after: u32,
    /// Neighbours in the list of free blocks of the class. `right` also chains unused entries of the table.
    left: u32,
    right: u32,
    held: Option<Held>,
}

#[derive(Clone, Copy, Debug)]
struct SlabInfo {
    bytes: u64,
    live: u32,
    /// Since when it has been empty.
    since: Time,
    first: u32,
}

/// Keys are offsets of our own making, so a multiplication spreads them well enough and is fast.
#[derive(Default)]
struct OffsetHasher(u64);

impl Hasher for OffsetHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }
    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }
}

#[derive(Debug)]
pub(super) struct Blocks {
    table: Vec<Block>,
    unused: u32,
    slabs: Vec<Option<SlabInfo>>,
    lists: [u32; CLASSES],
    /// A bit per class with a free block.
    filled: [u64; CLASSES.div_ceil(64)],
    /// Held blocks by offset; never walked, so its order does not matter.
    index: HashMap<u64, u32, BuildHasherDefault<OffsetHasher>>,
    bytes: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            table: Vec::new(),
            unused: NONE,
            slabs: Vec::new(),
            lists: [NONE; CLASSES],
            filled: [0; CLASSES.div_ceil(64)],
            index: HashMap::default(),
            bytes: 0,
        }
    }
}

/// Classes are in the order of their sizes, so any block of a higher class is larger.
fn class_of(units: u64) -> usize {
    if units < 8 {
        return units as usize;
    }
    let power = units.ilog2();
    (((power - 2) << 3) + ((units >> (power - 3)) & 7) as u32) as usize
}

impl Blocks {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn live(&self) -> usize {
        self.index.len()
    }

    pub(super) fn add(&mut self, offset: u64, bytes: u64, now: Time) {
        let slab = self.slabs.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slabs.push(None);
            self.slabs.len() - 1
        });
        let block =
            Block { offset, bytes, slab: slab as u32, before: NONE, after: NONE, left: NONE, right: NONE, held: None };
        let first = self.new_entry(block);
        self.slabs[slab] = Some(SlabInfo { bytes, live: 0, since: now, first });
        self.bytes += bytes;
        self.link(first);
    }

    /// The offset of a block with room for a header and the payload.
    pub(super) fn alloc(&mut self, held: Held) -> Option<u64> {
        let bytes = (held.len + HEADER).next_multiple_of(UNIT);
        let at = self.find_free(bytes / UNIT)?;
        self.unlink(at);
        self.split(at, bytes);
        let block = &mut self.table[at as usize];
        block.held = Some(held);
        self.index.insert(block.offset, at);
        if let Some(slab) = &mut self.slabs[block.slab as usize] {
            slab.live += 1;
        }
        Some(block.offset)
    }

    fn find_free(&self, units: u64) -> Option<u32> {
        let class = class_of(units);
        let mut at = self.lists[class];
        for _ in 0..TRIES {
            let Some(block) = self.table.get(at as usize) else { break };
            if block.bytes >= units * UNIT {
                return Some(at);
            }
            at = block.right;
        }
        // Every block of a higher class is large enough.
        let first = class + 1;
        let mut word = first / 64;
        let mut bits = self.filled.get(word)? & (u64::MAX << (first % 64));
        while bits == 0 {
            word += 1;
            bits = *self.filled.get(word)?;
        }
        Some(self.lists[word * 64 + bits.trailing_zeros() as usize])
    }

    /// Leaves `bytes` in the block and frees the rest.
    fn split(&mut self, at: u32, bytes: u64) {
        let Block { offset, bytes: had, slab, after, .. } = self.table[at as usize];
        // A rest without room for a payload would be lost anyway.
        if had - bytes < 2 * UNIT {
            return;
        }
        let rest = self.new_entry(Block {
            offset: offset + bytes,
            bytes: had - bytes,
            slab,
            before: at,
            after,
            left: NONE,
            right: NONE,
            held: None,
        });
        if let Some(next) = self.table.get_mut(after as usize) {
            next.before = rest;
        }
        self.table[at as usize].bytes = bytes;
        self.table[at as usize].after = rest;
        self.link(rest);
    }

    /// False if nothing is held there under this generation.
    pub(super) fn free(&mut self, offset: u64, generation: u32, now: Time) -> bool {
        let Some(&at) = self.index.get(&offset) else { return false };
        let block = &mut self.table[at as usize];
        if block.held.is_none_or(|held| held.generation != generation) {
            return false;
        }
        block.held = None;
        let slab = block.slab as usize;
        self.index.remove(&offset);
        if let Some(slab) = &mut self.slabs[slab] {
            slab.live -= 1;
            slab.since = now;
        }
        let merged = self.merge_with_before(at);
        self.merge_with_after(merged);
        self.link(merged);
        true
    }

    fn merge_with_before(&mut self, at: u32) -> u32 {
        let before = self.table[at as usize].before;
        match self.table.get(before as usize) {
            Some(block) if block.held.is_none() => {
                self.unlink(before);
                self.swallow_after(before);
                before
            }
            _ => at,
        }
    }

    fn merge_with_after(&mut self, at: u32) {
        let after = self.table[at as usize].after;
        if self.table.get(after as usize).is_some_and(|block| block.held.is_none()) {
            self.unlink(after);
            self.swallow_after(at);
        }
    }

    /// Both are in no list.
    fn swallow_after(&mut self, at: u32) {
        let gone = self.table[at as usize].after;
        let Block { bytes, after, .. } = self.table[gone as usize];
        self.table[at as usize].bytes += bytes;
        self.table[at as usize].after = after;
        if let Some(next) = self.table.get_mut(after as usize) {
            next.before = at;
        }
        self.drop_entry(gone);
    }

    fn link(&mut self, at: u32) {
        let class = class_of(self.table[at as usize].bytes / UNIT);
        let head = self.lists[class];
        self.table[at as usize].left = NONE;
        self.table[at as usize].right = head;
        if let Some(next) = self.table.get_mut(head as usize) {
            next.left = at;
        }
        self.lists[class] = at;
        self.filled[class / 64] |= 1 << (class % 64);
    }

    fn unlink(&mut self, at: u32) {
        let Block { bytes, left, right, .. } = self.table[at as usize];
        if let Some(next) = self.table.get_mut(right as usize) {
            next.left = left;
        }
        match self.table.get_mut(left as usize) {
            Some(previous) => previous.right = right,
            None => {
                let class = class_of(bytes / UNIT);
                self.lists[class] = right;
                if right == NONE {
                    self.filled[class / 64] &= !(1 << (class % 64));
                }
            }
        }
    }

    fn new_entry(&mut self, block: Block) -> u32 {
        if let Some(entry) = self.table.get_mut(self.unused as usize) {
            let at = std::mem::replace(&mut self.unused, entry.right);
            *entry = block;
            return at;
        }
        self.table.push(block);
        (self.table.len() - 1) as u32
    }

    fn drop_entry(&mut self, at: u32) {
        // Unheld and of no slab, so that no walk takes it for a block.
        self.table[at as usize].slab = NONE;
        self.table[at as usize].right = self.unused;
        self.unused = at;
    }

    pub(super) fn held(&self, offset: u64) -> Option<Held> {
        self.table[*self.index.get(&offset)? as usize].held
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Held)> {
        self.table.iter().filter_map(|block| Some((block.offset, block.held?)))
    }

    /// Removes empty slabs whose time is up and names their extents.
    pub(super) fn take_empty(&mut self, idle: impl Fn(Time) -> bool) -> Vec<u64> {
        let mut back = Vec::new();
        for index in 0..self.slabs.len() {
            let Some(slab) = self.slabs[index].filter(|slab| slab.live == 0 && idle(slab.since)) else { continue };
            // Everything in it has merged into its first block, which keeps its entry for as long as the slab lives.
            self.unlink(slab.first);
            back.push(self.table[slab.first as usize].offset);
            self.drop_entry(slab.first);
            self.slabs[index] = None;
            self.bytes -= slab.bytes;
        }
        back
    }
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
