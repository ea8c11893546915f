//! This process's allocator over the extents it was granted. It decides where objects lie and touches no memory: the same
//! calls give the same offsets. Objects below 1 MiB share slabs (`blocks`), larger ones have an extent each.

mod blocks;
#[cfg(test)]
mod tests;

use blocks::Blocks;
use iosdk_types::{Address, Map, Span, Time};

/// Room for the header, directly before each payload.
pub const HEADER: u64 = 64;
/// Payloads of this size and more have extents of their own.
pub const LARGE: u64 = 1 << 20;
/// Where the payload of a large object starts in its extent: page-aligned, for direct I/O.
pub const LARGE_PAYLOAD: u64 = 4096;
/// Extents are multiples of this.
pub const EXTENT: u64 = 2 << 20;
/// Slabs grow with what is in use, up to this.
const LARGEST_SLAB: u64 = 16 << 20;
/// Extents that nothing used for this long go back.
const IDLE: Span = Span::from_secs(10);
/// Freed extents are kept for the next put while everything here is below this, or below the recent peak.
const KEEP: u64 = 512 << 20;

/// Room for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Of the first payload byte.
    pub offset: u64,
    pub len: u64,
    pub generation: u32,
    pub owner: Address,
}

/// What an extent is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Slab,
    Large,
}

/// There is no room: an extent of `bytes` for `purpose` would make some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    pub bytes: u64,
    pub purpose: Purpose,
}

/// A free that names nothing that is allocated here: stale, repeated or made up. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no allocation at {offset} with generation {generation}")]
pub struct BadFree {
    pub offset: u64,
    pub generation: u32,
}

/// What is allocated here, in bytes of extents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Slabs, and extents of live large objects.
    pub live: u64,
    /// Free extents kept for the next put.
    pub kept: u64,
    pub allocations: usize,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    len: u64,
    generation: u32,
    owner: Address,
}

#[derive(Clone, Copy, Debug)]
struct Large {
    bytes: u64,
    held: Held,
}

/// A free extent that waits for the next put.
#[derive(Clone, Copy, Debug)]
struct Kept {
    offset: u64,
    bytes: u64,
    since: Time,
}

#[derive(Debug)]
pub struct Heap {
    blocks: Blocks,
    large: Map<u64, Large>,
    /// Oldest first.
    kept: Vec<Kept>,
    kept_bytes: u64,
    large_live: u64,
    /// Their owners are dead, but somebody still pinned them.
    condemned: Vec<Allocation>,
    next_generation: u32,
    clock: Time,
    /// The most that was live in this window and in the one before it.
    peak: [u64; 2],
    window_ends: Time,
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    pub fn new() -> Self {
        Self {
            blocks: Blocks::default(),
            large: Map::new(),
            kept: Vec::new(),
            kept_bytes: 0,
            large_live: 0,
            condemned: Vec::new(),
            next_generation: 1,
            clock: Time(0),
            peak: [0; 2],
            window_ends: Time(0),
        }
    }

    pub fn alloc(&mut self, len: u64, owner: Address) -> Result<Allocation, Needs> {
        let held = Held { len, generation: self.next_generation, owner };
        let offset = if len >= LARGE { self.alloc_large(held)? } else { self.alloc_small(held)? };
        self.next_generation = self.next_generation.wrapping_add(1).max(1);
        Ok(Allocation { offset, len, generation: held.generation, owner })
    }

    fn alloc_small(&mut self, held: Held) -> Result<u64, Needs> {
        self.blocks.alloc(held).map(|block| block + HEADER).ok_or_else(|| Needs {
            bytes: self.blocks.bytes().next_power_of_two().clamp(EXTENT, LARGEST_SLAB),
            purpose: Purpose::Slab,
        })
    }

    fn alloc_large(&mut self, held: Held) -> Result<u64, Needs> {
        let need = held.len.saturating_add(LARGE_PAYLOAD).checked_next_multiple_of(EXTENT).unwrap_or(u64::MAX);
        // At most a quarter is wasted. Of the best fits, the latest freed: it is the warmest.
        let fits = |kept: &Kept| kept.bytes >= need && kept.bytes - need <= (need / 4).max(EXTENT);
        let best = self.kept.iter().enumerate().filter(|(_, kept)| fits(kept));
        let Some((index, _)) = best.min_by_key(|(index, kept)| (kept.bytes, usize::MAX - index)) else {
            return Err(Needs { bytes: need, purpose: Purpose::Large });
        };
        let kept = self.kept.remove(index);
        self.kept_bytes -= kept.bytes;
        self.large.insert(kept.offset, Large { bytes: kept.bytes, held });
        self.large_live += kept.bytes;
        self.peak[0] = self.peak[0].max(self.large_live);
        Ok(kept.offset + LARGE_PAYLOAD)
    }

    /// An extent that the raylet granted and that has been backed with memory.
    pub fn add_extent(&mut self, offset: u64, bytes: u64, purpose: Purpose) {
        match purpose {
            Purpose::Slab => self.blocks.add(offset, bytes, self.clock),
            Purpose::Large => self.keep(offset, bytes),
        }
    }

    fn keep(&mut self, offset: u64, bytes: u64) {
        self.kept.push(Kept { offset, bytes, since: self.clock });
        self.kept_bytes += bytes;
    }

    /// The owner needs it no more. Says which extents to give back to the raylet (mostly none).
    pub fn free(&mut self, offset: u64, generation: u32) -> Result<Vec<u64>, BadFree> {
        let bad = BadFree { offset, generation };
        if offset.checked_sub(HEADER).is_some_and(|block| self.blocks.free(block, generation, self.clock)) {
            return Ok(Vec::new());
        }
        let extent = offset.checked_sub(LARGE_PAYLOAD).ok_or(bad)?;
        match self.large.get(&extent) {
            Some(Large { held, .. }) if held.generation == generation => Ok(self.free_large(extent)),
            _ => Err(bad),
        }
    }

    fn free_large(&mut self, extent: u64) -> Vec<u64> {
        let Some(large) = self.large.remove(&extent) else { return Vec::new() };
        self.large_live -= large.bytes;
        self.keep(extent, large.bytes);
        let most = KEEP.max(self.peak[0]).max(self.peak[1]);
        let mut back = Vec::new();
        while self.kept_bytes + self.large_live > most && !self.kept.is_empty() {
            let oldest = self.kept.remove(0);
            self.kept_bytes -= oldest.bytes;
            back.push(oldest.offset);
        }
        back
    }

    /// Is this allocated here, under this generation?
    pub fn find(&self, offset: u64, generation: u32) -> Option<Allocation> {
        let small = offset.checked_sub(HEADER).and_then(|block| self.blocks.held(block));
        let held = small.or_else(|| Some(self.large.get(&offset.checked_sub(LARGE_PAYLOAD)?)?.held))?;
        (held.generation == generation).then_some(allocation(offset, held))
    }

    /// Everything here that a process owns which died. The caller condemns each, and frees those that nobody pins.
    pub fn owned_by(&self, dead: Address) -> Vec<Allocation> {
        self.iter().filter(|(_, held)| held.owner == dead).map(|(offset, held)| allocation(offset, held)).collect()
    }

    /// Frees what a dead process owns. `pinned` is asked about each allocation (after marking it freed in shared memory, so that
    /// nobody new gets in); what is pinned stays until `free_condemned` finds it unpinned.
    pub fn free_owned_by(&mut self, dead: Address, pinned: impl FnMut(&Allocation) -> bool) -> Vec<u64> {
        let theirs = self.owned_by(dead);
        self.free_unless(theirs, pinned)
    }

    /// Asks again about what was pinned when its owner died.
    pub fn free_condemned(&mut self, pinned: impl FnMut(&Allocation) -> bool) -> Vec<u64> {
        let mut left = std::mem::take(&mut self.condemned);
        left.retain(|allocation| self.find(allocation.offset, allocation.generation).is_some());
        self.free_unless(left, pinned)
    }

    fn free_unless(&mut self, these: Vec<Allocation>, mut pinned: impl FnMut(&Allocation) -> bool) -> Vec<u64> {
        let mut back = Vec::new();
        for allocation in these {
            if pinned(&allocation) {
                if !self.condemned.contains(&allocation) {
                    self.condemned.push(allocation);
                }
            } else if let Ok(extents) = self.free(allocation.offset, allocation.generation) {
                back.extend(extents);
            }
        }
        back
    }

    fn iter(&self) -> impl Iterator<Item = (u64, Held)> {
        let small = self.blocks.iter().map(|(block, held)| (block + HEADER, held));
        let large = self.large.iter().map(|(extent, large)| (extent + LARGE_PAYLOAD, large.held));
        small.chain(large)
    }

    /// To be called about once a second; gives back what nothing has used for ten. Extents freed between two calls count from
    /// the earlier one.
    pub fn trim(&mut self, now: Time) -> Vec<u64> {
        self.clock = now;
        if now >= self.window_ends {
            self.peak = [self.large_live, self.peak[0]];
            self.window_ends = now + IDLE;
        }
        self.take_idle(|since| now - since >= IDLE)
    }

    /// Gives back everything that is free.
    pub fn drain_all(&mut self) -> Vec<u64> {
        self.take_idle(|_| true)
    }

    fn take_idle(&mut self, idle: impl Fn(Time) -> bool) -> Vec<u64> {
        let mut back = self.blocks.take_empty(&idle);
        let kept_bytes = &mut self.kept_bytes;
        self.kept.retain(|kept| {
            let goes = idle(kept.since);
            if goes {
                back.push(kept.offset);
                *kept_bytes -= kept.bytes;
            }
            !goes
        });
        back
    }

    pub fn usage(&self) -> Usage {
        Usage {
            live: self.blocks.bytes() + self.large_live,
            kept: self.kept_bytes,
            allocations: self.blocks.live() + self.large.len(),
        }
    }
}

fn allocation(offset: u64, held: Held) -> Allocation {
    Allocation { offset, len: held.len, generation: held.generation, owner: held.owner }
}
