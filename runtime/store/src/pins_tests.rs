//! Tests of `pins`.

use super::*;

const EVERYBODY: fn(u32) -> bool = |row| row < 4;

fn pair() -> (Pins, Pins) {
    let fd = create().expect("memfd");
    (Pins::map(fd.try_clone().expect("dup"), 1).expect("mapped"), Pins::map(fd, 2).expect("mapped"))
}

#[test]
fn a_pin_is_seen_from_other_mappings_until_it_is_gone() {
    let (mine, theirs) = pair();
    let slot = mine.pin(4096).expect("room");
    assert!(theirs.is_pinned(4096, 10, EVERYBODY));
    assert!(theirs.is_pinned(4000, 97, EVERYBODY));
    assert!(theirs.is_pinned(4096, 0, EVERYBODY), "an empty object is pinned too");
    assert!(!theirs.is_pinned(4000, 96, EVERYBODY));
    assert!(!theirs.is_pinned(4097, u64::MAX - 4097, EVERYBODY));
    assert!(!theirs.is_pinned(4096, 10, |row| row != 1), "the row of a dead process does not count");
    mine.unpin(slot);
    assert!(!theirs.is_pinned(0, u64::MAX, EVERYBODY));
}

#[test]
fn every_view_of_an_object_counts() {
    let (mine, theirs) = pair();
    let (outer, inner) = (mine.pin(64).expect("room"), mine.pin(64).expect("room"));
    assert_ne!(outer, inner);
    mine.unpin(inner);
    assert!(theirs.is_pinned(64, 1, EVERYBODY));
    mine.unpin(outer);
    assert!(!theirs.is_pinned(64, 1, EVERYBODY));
}

#[test]
fn a_full_row_says_so_and_recovers() {
    let (mine, theirs) = pair();
    let slots: Vec<_> = std::iter::from_fn(|| mine.pin(128)).collect();
    assert_eq!(slots.len(), ROW_WORDS - 1);
    assert!(theirs.pin(192).is_some(), "the neighbour's row is its own");
    assert!(!theirs.is_pinned(192, 64, |row| row == 3), "and nobody else's");
    for slot in slots {
        assert!(theirs.is_pinned(128, 64, EVERYBODY));
        mine.unpin(slot);
    }
    assert!(!theirs.is_pinned(128, 64, EVERYBODY));
    assert!(mine.pin(128).is_some());
}

#[test]
fn who_takes_over_a_row_finds_it_empty() {
    let fd = create().expect("memfd");
    let first = Pins::map(fd.try_clone().expect("dup"), 3).expect("mapped");
    let other = Pins::map(fd.try_clone().expect("dup"), 0).expect("mapped");
    let _lost = first.pin(64).expect("room");
    std::mem::forget(first);
    assert!(other.is_pinned(64, 1, EVERYBODY));
    let _second = Pins::map(fd, 3).expect("mapped");
    assert!(!other.is_pinned(64, 1, EVERYBODY));
}

#[test]
fn a_forked_child_leaves_its_parents_pins_alone() {
    let (mine, theirs) = pair();
    let slot = mine.pin(64).expect("room");
    // SAFETY: the child takes no lock that another thread could hold, except the allocator's, which `fork` makes usable.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = mine.pin(128).is_none() && mine.is_pinned(0, 1, |_| true);
        mine.unpin(slot);
        drop(mine);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert!(theirs.is_pinned(64, 1, EVERYBODY));
    mine.unpin(slot);
    assert!(!theirs.is_pinned(64, 1, EVERYBODY));
}

#[test]
fn only_a_pin_table_is_mapped_and_only_its_rows() {
    assert!(Pins::map(create().expect("memfd"), ROWS).is_err());
    assert!(Pins::map(memfd("iosdk-other", 4096).expect("memfd"), 0).is_err());
}

#[test]
fn looking_at_rows_that_nobody_took_costs_no_memory() {
    let fd = create().expect("memfd");
    let backed = || rustix::fs::fstat(&fd).expect("fstat").st_blocks as usize * 512;
    let pins = Pins::map(fd.try_clone().expect("dup"), ROWS - 1).expect("mapped");
    let _slot = pins.pin(64).expect("room");
    let before = backed();
    assert!(!pins.is_pinned(128, 64, |row| row != ROWS - 1));
    assert!(pins.is_pinned(64, 64, |_| true));
    assert_eq!(backed(), before);
}
