//! Pinning against freeing, in every interleaving that the memory model allows:
//! `RUSTFLAGS="--cfg loom" cargo test -p iosdk-store --release --test loom`.
#![cfg(loom)]

use iosdk_store::hazard::{Row, State, admits, condemn, state_word};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;

const OFFSET: u64 = 4096;
const LEN: u64 = 100;

struct Shared {
    row: Vec<AtomicU64>,
    state: AtomicU64,
    /// Stands for the payload: loom reports a write that races with a read.
    payload: UnsafeCell<u64>,
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        row: (0..4).map(|_| AtomicU64::new(0)).collect(),
        state: AtomicU64::new(state_word(1, State::Sealed)),
        payload: UnsafeCell::new(11),
    })
}

#[allow(unsafe_code)]
fn read(shared: &Shared, slot: u32) -> Option<u64> {
    let row = Row::new(&shared.row);
    row.publish(slot, OFFSET);
    // SAFETY: loom checks that no write is concurrent.
    let seen = admits(&shared.state, 1).then(|| shared.payload.with(|payload| unsafe { *payload }));
    row.clear(slot);
    seen
}

/// Frees and, if nobody pins it, reuses.
#[allow(unsafe_code)]
fn reuse(shared: &Shared) -> bool {
    condemn(&shared.state, 1);
    let free = !Row::new(&shared.row).holds(OFFSET, LEN);
    if free {
        // SAFETY: loom checks that no read is concurrent.
        shared.payload.with_mut(|payload| unsafe { *payload = 22 });
    }
    free
}

#[test]
fn a_reader_sees_the_object_or_nothing() {
    loom::model(|| {
        let shared = shared();
        let reader = thread::spawn({
            let shared = shared.clone();
            move || read(&shared, 1)
        });
        reuse(&shared);
        assert!(matches!(reader.join().unwrap(), None | Some(11)));
        assert!(reuse(&shared), "nobody pins it any more");
    });
}

#[test]
fn two_pins_of_one_object_are_two() {
    loom::model(|| {
        let shared = shared();
        // The outer view is there before the free: whatever the inner one does, the payload stays.
        Row::new(&shared.row).publish(1, OFFSET);
        let inner = thread::spawn({
            let shared = shared.clone();
            move || read(&shared, 2)
        });
        assert!(!reuse(&shared));
        assert!(matches!(inner.join().unwrap(), None | Some(11)));
    });
}

/// Without the fences both could miss each other. Here the pin is published after the check instead of before: loom must find
/// the interleaving that this file exists to rule out.
#[test]
#[should_panic]
#[allow(unsafe_code)]
fn checking_before_pinning_is_caught() {
    loom::model(|| {
        let shared = shared();
        let reader = thread::spawn({
            let shared = shared.clone();
            move || {
                if admits(&shared.state, 1) {
                    Row::new(&shared.row).publish(1, OFFSET);
                    // SAFETY: loom checks, and must find, the concurrent write.
                    shared.payload.with(|payload| unsafe { *payload });
                }
            }
        });
        reuse(&shared);
        reader.join().unwrap();
    });
}
