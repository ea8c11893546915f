//! When the writer of a history ring wakes its reader, as pure steps over atomic words, so that a model checker can run them
//! too.
//!
//! Writer: slots, tail, look how the reader rests, ring. Reader: say how it rests, look at the tail again, rest. Every access is
//! sequentially consistent: either the writer sees the rest, or the reader sees the slots. A writer that dies before it
//! rings leaves the reader at rest: its death is told elsewhere, and its ring is read then.

use crate::doorbell::protocol::Word;

/// The reader will look by itself, at once.
pub const AWAKE: u32 = 0;
/// The reader looks again soon, so it is rung only when the ring fills up.
pub const NAPPING: u32 = 1;
/// The reader looks when it is rung.
pub const ASLEEP: u32 = 2;

pub trait Ring {
    type Position: Word<u64>;
    type Rest: Word<u32>;

    fn tail(&self) -> &Self::Position;
    fn head(&self) -> &Self::Position;
    fn rest(&self) -> &Self::Rest;
    /// So many slots end a nap.
    fn plenty(&self) -> u64;

    /// A full barrier, where sequentially consistent accesses are not enough (the model checker weakens them).
    fn order(&self) {}
}

/// After slots up to `tail` were written. True: ring the bell.
#[inline]
pub fn publish(ring: &impl Ring, tail: u64) -> bool {
    ring.tail().store(tail);
    ring.order();
    match ring.rest().load() {
        AWAKE => return false,
        NAPPING if tail.wrapping_sub(ring.head().load()) < ring.plenty() => return false,
        _ => {}
    }
    ring.rest().swap(AWAKE) != AWAKE
}

/// Says that the reader, which has read up to `head`, rests in this way. False: it must not (and is awake), there is
/// something to read.
pub fn rest(ring: &impl Ring, how: u32, head: u64) -> bool {
    ring.rest().store(how);
    ring.order();
    let ends_it = if how == NAPPING { ring.plenty() } else { 1 };
    if ring.tail().load().wrapping_sub(head) < ends_it {
        return true;
    }
    ring.rest().store(AWAKE);
    false
}

/// Before the reader reads: nobody has to ring it.
pub fn wake(ring: &impl Ring) {
    if ring.rest().load() != AWAKE {
        ring.rest().store(AWAKE);
    }
}
