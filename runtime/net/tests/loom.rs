//! Every interleaving of the steps of the doorbell, the claim word and the history ring. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p iosdk-net --release --test loom` (and a target directory of its own).
#![allow(unexpected_cfgs)]
#![cfg(loom)]

use iosdk_net::claim::{self, ClaimWord};
use iosdk_net::doorbell::protocol::{self, AWAKE, Bell, FUTEX, POLL, Urgency, Word};
use iosdk_net::history::protocol as history;
use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

struct Word32(AtomicU32);
struct Word64(AtomicU64);

impl Word<u32> for Word32 {
    fn load(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
    fn store(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
    }
    fn swap(&self, value: u32) -> u32 {
        self.0.swap(value, Ordering::SeqCst)
    }
    fn fetch_or(&self, bits: u32) -> u32 {
        self.0.fetch_or(bits, Ordering::SeqCst)
    }
}

impl Word<u64> for Word64 {
    fn load(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
    fn store(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }
    fn swap(&self, value: u64) -> u64 {
        self.0.swap(value, Ordering::SeqCst)
    }
    fn fetch_or(&self, bits: u64) -> u64 {
        self.0.fetch_or(bits, Ordering::SeqCst)
    }
}

/// A doorbell with one word. The kernel's part (compare and sleep as one step) is a mutex and a condition variable.
struct Model {
    state: Word32,
    summary: Word64,
    bits: Word64,
    wakes: Mutex<u32>,
    woken: Condvar,
}

impl Model {
    fn new() -> Self {
        Self {
            state: Word32(AtomicU32::new(AWAKE)),
            summary: Word64(AtomicU64::new(0)),
            bits: Word64(AtomicU64::new(0)),
            wakes: Mutex::new(0),
            woken: Condvar::new(),
        }
    }

    /// FUTEX_WAIT (or `poll`): sleeps unless the state is not `how` any more or a wake has come.
    /// Loom reports a deadlock if nobody ever wakes it: a lost wake-up.
    fn wait(&self, how: u32) {
        let mut wakes = self.wakes.lock().unwrap();
        while *wakes == 0 && self.state.load() == how {
            wakes = self.woken.wait(wakes).unwrap();
        }
        *wakes = 0;
        drop(wakes);
        self.state.store(AWAKE);
    }

    fn wake(&self) {
        *self.wakes.lock().unwrap() += 1;
        self.woken.notify_all();
    }

    fn take(&self) -> u64 {
        if protocol::take_summary(self) == 0 { 0 } else { protocol::take_word(self, 0) }
    }
}

impl Bell for Model {
    type State = Word32;
    type Bits = Word64;

    fn state(&self) -> &Word32 {
        &self.state
    }
    fn summary(&self) -> &Word64 {
        &self.summary
    }
    fn word(&self, index: usize) -> &Word64 {
        assert_eq!(index, 0);
        &self.bits
    }
    fn wake_futex(&self) {
        self.wake();
    }
    fn wake_poll(&self) {
        self.wake();
    }
    /// Loom treats sequentially consistent accesses as acquire and release; fences it takes at their word.
    fn order(&self) {
        fence(Ordering::SeqCst);
    }
}

fn check(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// Sleeps and takes until the bits of `wanted` have come, checking each lane's content as it does.
fn consume(bell: &Model, how: u32, wanted: u64, content: &[Arc<AtomicBool>]) {
    let mut seen = 0;
    while seen & wanted != wanted {
        let bits = bell.take();
        for (lane, content) in content.iter().enumerate() {
            if bits & 1 << lane != 0 {
                assert!(content.load(Ordering::Relaxed), "rung before its frame was visible");
            }
        }
        seen |= bits;
        if seen & wanted != wanted && protocol::doze(bell, how) {
            bell.wait(how);
        }
    }
}

fn two_producers(how: u32, urgency: Urgency) {
    check(move || {
        let bell = Arc::new(Model::new());
        let content = [Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false))];
        let producers: Vec<_> = (0..2)
            .map(|lane| {
                let (bell, content) = (Arc::clone(&bell), Arc::clone(&content[lane]));
                thread::spawn(move || {
                    content.store(true, Ordering::Relaxed);
                    protocol::ring(&*bell, lane as u32, urgency);
                })
            })
            .collect();
        consume(&bell, how, 0b11, &content);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

#[test]
fn a_futex_sleeper_hears_two_producers() {
    two_producers(FUTEX, Urgency::Lazy);
}

#[test]
fn a_poll_sleeper_hears_two_urgent_producers() {
    two_producers(POLL, Urgency::Urgent);
}

/// One producer dies after each of its steps; the other one's wake-up still comes.
#[test]
fn a_death_within_a_ring_silences_nobody_else() {
    for steps in 0..=3 {
        check(move || {
            let bell = Arc::new(Model::new());
            let content = [Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false))];
            let dying = {
                let bell = Arc::clone(&bell);
                thread::spawn(move || {
                    // The steps of `ring`, as far as it got.
                    if steps >= 1 {
                        bell.word(0).fetch_or(0b01);
                        bell.order();
                    }
                    if steps >= 2 && bell.summary().load() & 1 == 0 {
                        bell.summary().fetch_or(1);
                        bell.order();
                    }
                    if steps >= 3 {
                        let _asleep = bell.state().load();
                    }
                })
            };
            let living = {
                let (bell, content) = (Arc::clone(&bell), Arc::clone(&content[1]));
                thread::spawn(move || {
                    content.store(true, Ordering::Relaxed);
                    protocol::ring(&*bell, 1, Urgency::Lazy);
                })
            };
            consume(&bell, FUTEX, 0b10, &content);
            dying.join().unwrap();
            living.join().unwrap();
        });
    }
}

/// The same producer rings twice: the second ring may be skipped only if the first one's is still to be heard.
#[test]
fn the_second_message_of_a_lane_is_heard_too() {
    check(|| {
        let bell = Arc::new(Model::new());
        let tail = Arc::new(AtomicU32::new(0));
        let producer = {
            let (bell, tail) = (Arc::clone(&bell), Arc::clone(&tail));
            thread::spawn(move || {
                for message in 1..=2 {
                    tail.store(message, Ordering::Release);
                    protocol::ring(&*bell, 0, Urgency::Lazy);
                }
            })
        };
        let mut seen = 0;
        while seen < 2 {
            if bell.take() != 0 {
                seen = tail.load(Ordering::Acquire);
            }
            if seen < 2 && protocol::doze(&*bell, FUTEX) {
                bell.wait(FUTEX);
            }
        }
        producer.join().unwrap();
    });
}

/// A lazy ring leaves a poll asleep, the urgent one after it does not, although the lane's bit is set already.
#[test]
fn an_urgent_ring_after_a_lazy_one_wakes_a_poll() {
    check(|| {
        let bell = Arc::new(Model::new());
        let urgent = Arc::new(AtomicBool::new(false));
        let producer = {
            let (bell, urgent) = (Arc::clone(&bell), Arc::clone(&urgent));
            thread::spawn(move || {
                protocol::ring(&*bell, 0, Urgency::Lazy);
                urgent.store(true, Ordering::Release);
                protocol::ring(&*bell, 0, Urgency::Urgent);
            })
        };
        while !(bell.take() != 0 && urgent.load(Ordering::Acquire)) {
            if protocol::doze(&*bell, POLL) {
                bell.wait(POLL);
            }
        }
        producer.join().unwrap();
    });
}

/// A nudge just before a sleep is not lost.
#[test]
fn a_nudge_ends_the_sleep_that_follows_it() {
    check(|| {
        let bell = Arc::new(Model::new());
        let answer = Arc::new(AtomicBool::new(false));
        let other = {
            let (bell, answer) = (Arc::clone(&bell), Arc::clone(&answer));
            thread::spawn(move || {
                answer.store(true, Ordering::Release);
                protocol::nudge(&*bell);
            })
        };
        while !answer.load(Ordering::Acquire) {
            bell.take();
            if !answer.load(Ordering::Acquire) && protocol::doze(&*bell, FUTEX) {
                bell.wait(FUTEX);
            }
        }
        other.join().unwrap();
    });
}

struct ModelClaim(AtomicU32);

impl ClaimWord for ModelClaim {
    fn compare_exchange(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.0.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

/// Callee takes, owner retracts: exactly one wins. A stale generation never does.
#[test]
fn one_side_wins_a_claim() {
    loom::model(|| {
        let word = Arc::new(ModelClaim(AtomicU32::new(claim::ready_word(5))));
        let callee = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                assert!(!claim::take(&*word, 4));
                claim::take(&*word, 5)
            })
        };
        let retracted = claim::retract(&*word, 5);
        assert!(callee.join().unwrap() != retracted);
    });
}

/// The owner retracts and reuses the slot while a slow callee still holds the old claim.
#[test]
fn a_reused_slot_is_safe_from_its_old_claim() {
    loom::model(|| {
        let word = Arc::new(ModelClaim(AtomicU32::new(claim::ready_word(5))));
        let callee = {
            let word = Arc::clone(&word);
            thread::spawn(move || claim::take(&*word, 5))
        };
        let retracted = claim::retract(&*word, 5);
        if retracted {
            word.0.store(claim::ready_word(7), Ordering::Release);
        }
        assert!(callee.join().unwrap() != retracted);
        if retracted {
            assert!(claim::take(&*word, 7));
        }
    });
}

/// A history ring of which two slots are plenty. The bell is a mutex and a condition variable.
struct ModelRing {
    tail: Word64,
    head: Word64,
    rest: Word32,
    rung: Mutex<bool>,
    woken: Condvar,
}

impl ModelRing {
    fn new() -> Self {
        Self {
            tail: Word64(AtomicU64::new(0)),
            head: Word64(AtomicU64::new(0)),
            rest: Word32(AtomicU32::new(history::AWAKE)),
            rung: Mutex::new(false),
            woken: Condvar::new(),
        }
    }

    fn write(&self, slots: &[AtomicBool]) {
        for (at, slot) in slots.iter().enumerate() {
            slot.store(true, Ordering::Relaxed);
            if history::publish(self, at as u64 + 1) {
                *self.rung.lock().unwrap() = true;
                self.woken.notify_all();
            }
        }
    }

    /// Reads until there are `until` slots, resting in this way whenever that is allowed. Loom reports a deadlock if the bell
    /// that ends a rest never comes.
    fn read(&self, slots: &[AtomicBool], how: u32, until: u64) {
        let mut head = 0;
        while head < until {
            history::wake(self);
            let tail = self.tail.load();
            for slot in &slots[head as usize..tail as usize] {
                assert!(slot.load(Ordering::Relaxed), "published before it was written");
            }
            head = tail;
            self.head.store(head);
            if head < until && history::rest(self, how, head) {
                let mut rung = self.rung.lock().unwrap();
                while !*rung {
                    rung = self.woken.wait(rung).unwrap();
                }
                *rung = false;
            }
        }
    }
}

impl history::Ring for ModelRing {
    type Position = Word64;
    type Rest = Word32;

    fn tail(&self) -> &Word64 {
        &self.tail
    }
    fn head(&self) -> &Word64 {
        &self.head
    }
    fn rest(&self) -> &Word32 {
        &self.rest
    }
    fn plenty(&self) -> u64 {
        2
    }
    fn order(&self) {
        fence(Ordering::SeqCst);
    }
}

fn a_rested_reader_hears(how: u32) {
    check(move || {
        let ring = Arc::new(ModelRing::new());
        let slots: Arc<[AtomicBool; 2]> = Arc::new(std::array::from_fn(|_| AtomicBool::new(false)));
        let writer = {
            let (ring, slots) = (Arc::clone(&ring), Arc::clone(&slots));
            thread::spawn(move || ring.write(&slots[..]))
        };
        ring.read(&slots[..], how, 2);
        writer.join().unwrap();
    });
}

#[test]
fn a_reader_that_sleeps_hears_of_every_record() {
    a_rested_reader_hears(history::ASLEEP);
}

/// One that has read one of the two slots by chance and naps on waits for a timer, which this model does not have.
#[test]
fn a_reader_that_naps_hears_of_a_ring_that_fills_up() {
    check(|| {
        let ring = Arc::new(ModelRing::new());
        let slots: Arc<[AtomicBool; 2]> = Arc::new(std::array::from_fn(|_| AtomicBool::new(false)));
        let writer = {
            let (ring, slots) = (Arc::clone(&ring), Arc::clone(&slots));
            thread::spawn(move || ring.write(&slots[..]))
        };
        if history::rest(&*ring, history::NAPPING, 0) {
            let mut rung = ring.rung.lock().unwrap();
            while !*rung {
                rung = ring.woken.wait(rung).unwrap();
            }
        }
        assert_eq!(ring.tail.load(), 2);
        writer.join().unwrap();
    });
}
