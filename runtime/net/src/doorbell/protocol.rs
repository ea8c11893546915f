//! Who wakes whom, as pure steps over atomic words, so that a model checker can run them too.
//!
//! Producer: frame, own bit, summary bit if missing, look at the state, wake. Consumer: say it sleeps, look at the
//! summary again, sleep; then clear the summary before the words, the words before the lanes. Every access is
//! sequentially consistent: either the producer sees the sleep, or the consumer sees the bit.

/// Nobody sleeps.
pub const AWAKE: u32 = 0;
/// The owner waits on the state word.
pub const FUTEX: u32 = 1;
/// The owner waits in `poll` (or an event loop) for a datagram on its bell socket.
pub const POLL: u32 = 2;

pub const WORDS: usize = 64;

/// Whether an owner that sleeps in `poll` is woken. One that sleeps on the futex always is: it waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A reply nobody waits for: the owner's own tick is soon enough.
    Lazy,
    /// A request.
    Urgent,
}

/// A shared word; all operations sequentially consistent.
pub trait Word<T> {
    fn load(&self) -> T;
    fn store(&self, value: T);
    fn swap(&self, value: T) -> T;
    fn fetch_or(&self, bits: T) -> T;
}

/// The words of one doorbell, and the two ways to wake its owner.
pub trait Bell {
    type State: Word<u32>;
    type Bits: Word<u64>;

    fn state(&self) -> &Self::State;
    fn summary(&self) -> &Self::Bits;
    fn word(&self, index: usize) -> &Self::Bits;
    fn wake_futex(&self);
    fn wake_poll(&self);

    /// A full barrier, where sequentially consistent accesses are not enough (the model checker weakens them).
    fn order(&self) {}
}

/// After a frame was pushed on `lane`.
#[inline]
pub fn ring(bell: &impl Bell, lane: u32, urgency: Urgency) {
    let (index, bit) = (lane as usize / 64, 1u64 << (lane % 64));
    let summary_bit = 1u64 << index;
    let word = bell.word(index);
    if word.fetch_or(bit) & bit == 0 {
        bell.order();
        if bell.summary().load() & summary_bit == 0 {
            bell.summary().fetch_or(summary_bit);
        }
    } else if urgency == Urgency::Lazy {
        // My own last ring is still unheard: it did all of this. Another's bit would prove nothing, it may have died here.
        return;
    }
    bell.order();
    wake(bell, urgency);
}

/// Wakes the owner without naming a lane. Not lost if it is just about to sleep: it finds the summary set.
pub fn nudge(bell: &impl Bell) {
    bell.summary().fetch_or(1);
    bell.order();
    wake(bell, Urgency::Urgent);
}

#[inline]
fn wake(bell: &impl Bell, urgency: Urgency) {
    match bell.state().load() {
        AWAKE => return,
        POLL if urgency == Urgency::Lazy => return,
        _ => {}
    }
    match bell.state().swap(AWAKE) {
        FUTEX => bell.wake_futex(),
        POLL => bell.wake_poll(),
        _ => {}
    }
}

/// Says that the owner is about to sleep in this way. False: something is there, so it must not (and is awake again).
#[inline]
pub fn doze(bell: &impl Bell, how: u32) -> bool {
    bell.state().store(how);
    bell.order();
    if bell.summary().load() == 0 {
        return true;
    }
    bell.state().store(AWAKE);
    false
}

/// The words that have bits, cleared in the summary. Each must then be taken by `take_word`.
#[inline]
pub fn take_summary(bell: &impl Bell) -> u64 {
    // Reading is cheaper than swapping, and an owner looks far more often than somebody rings.
    if bell.summary().load() == 0 { 0 } else { bell.summary().swap(0) }
}

#[inline]
pub fn take_word(bell: &impl Bell, index: usize) -> u64 {
    bell.word(index).swap(0)
}
