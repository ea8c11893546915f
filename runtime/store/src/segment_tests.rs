//! Tests of `segment`, on real memory.

use super::*;
use std::sync::atomic::Ordering;

fn segment(limit: u64) -> Segment {
    Segment::map(create(limit).expect("memfd")).expect("mapped")
}

fn bytes_at(segment: &Segment, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    segment.read_at(offset, &mut bytes).expect("in bounds");
    bytes
}

fn backed(segment: &Segment) -> u64 {
    fstat(segment.fd()).expect("fstat").st_blocks as u64 * 512
}

#[test]
fn it_is_a_memfd_that_nobody_can_resize() {
    let fd = create(1 << 20).expect("memfd");
    let link = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd))).expect("link");
    assert!(link.to_string_lossy().starts_with("/memfd:iosdk-arena"), "{link:?}");
    assert_eq!(ftruncate(&fd, 0), Err(Errno::PERM));
    assert_eq!(ftruncate(&fd, 1 << 40), Err(Errno::PERM));
    assert_eq!(fcntl_add_seals(&fd, SealFlags::WRITE), Err(Errno::PERM));
}

#[test]
fn its_range_is_sparse_and_costs_nothing() {
    let segment = segment(200_000_000_000);
    assert_eq!(segment.size(), (200_000_000_000_u64 * 16).next_multiple_of(HUGE));
    assert_eq!(backed(&segment), 0);
    // The far end works like the beginning.
    let last = segment.size() - HUGE;
    segment.make(last, HUGE, || true).expect("memory");
    segment.copy_in(last + HUGE - 3, b"end", || true).expect("copied");
    assert_eq!(bytes_at(&segment, last + HUGE - 3, 3), b"end");
    assert_eq!(backed(&segment), HUGE);
}

#[test]
fn files_that_could_shrink_are_refused() {
    let plain = rustix::fs::memfd_create("plain", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
    ftruncate(&plain, HUGE).expect("sized");
    assert_eq!(Segment::map(plain).err(), Some(StoreError::NotAnArena("its size is not sealed")));
    let pipe = rustix::pipe::pipe().expect("pipe").0;
    assert!(matches!(Segment::map(pipe), Err(StoreError::NotAnArena(_))));
}

#[test]
fn what_is_made_is_backed_and_what_is_punched_is_not() {
    let segment = segment(64 << 20);
    // Across a chunk's border, by both ways of making pages.
    let extent = 66 << 20;
    segment.make(0, extent, || true).expect("memory");
    segment.populate(extent, extent).expect("memory");
    assert_eq!(backed(&segment), 2 * extent);
    for start in [0, extent] {
        segment.copy_in(start + 5, b"hello", || true).expect("copied");
        // Making again keeps what is there.
        segment.make(start, extent, || true).expect("memory");
        assert_eq!(bytes_at(&segment, start, 12), b"\0\0\0\0\0hello\0\0");
        punch(segment.fd(), start, extent).expect("punched");
        assert_eq!(bytes_at(&segment, start, 12), [0; 12]);
    }
    assert_eq!(backed(&segment), 0);
}

#[test]
fn both_mappings_and_a_second_one_show_the_same() {
    let fd = create(1 << 20).expect("memfd");
    let (one, two) = (Segment::map(fd.try_clone().expect("dup")).expect("mapped"), Segment::map(fd).expect("mapped"));
    one.make(0, HUGE, || true).expect("memory");
    one.word_mut(64).expect("in bounds").store(42, Ordering::Release);
    assert_eq!(one.word(64).expect("in bounds").load(Ordering::Acquire), 42);
    assert_eq!(two.word(64).expect("in bounds").load(Ordering::Acquire), 42);
}

#[test]
fn copies_of_any_length_arrive_whole() {
    let segment = segment(64 << 20);
    let data: Vec<u8> = (0..(100_usize << 20) + 17).map(|at| (at ^ at >> 13) as u8).collect();
    segment.make(0, 102 << 20, || true).expect("memory");
    for (offset, len) in [(0, 0), (1, 1), (64, 70_000), (4096, 64 << 20), (100, data.len())] {
        segment.copy_in(offset, &data[..len], || true).expect("copied");
        assert!(bytes_at(&segment, offset, len) == data[..len], "{len} bytes at {offset}");
    }
}

#[test]
fn long_work_stops_when_asked() {
    let segment = segment(1 << 30);
    // Far more than the second thread could make before the first one asks.
    assert_eq!(segment.make(0, segment.size(), || false), Err(StoreError::Interrupted));
    let bytes = 256 << 20;
    segment.make(0, bytes, || true).expect("memory");
    let mut asked = false;
    let stopped = segment.copy_in(0, &vec![1_u8; bytes as usize], || {
        asked = true;
        false
    });
    assert_eq!(stopped, if asked { Err(StoreError::Interrupted) } else { Ok(()) });
}

#[test]
fn numbers_outside_are_errors() {
    let segment = segment(1 << 20);
    let size = segment.size();
    for (offset, bytes) in [(size, 1), (size - 1, 2), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        let outside = StoreError::OutOfBounds { offset, bytes, size };
        assert_eq!(segment.read_ptr(offset, bytes).err(), Some(outside.clone()));
        assert_eq!(segment.write_ptr(offset, bytes).err(), Some(outside.clone()));
        assert_eq!(segment.make(offset, bytes, || true).err(), Some(outside));
    }
    assert!(segment.copy_in(size - 1, b"xy", || true).is_err());
    assert!(segment.read_at(size - 1, &mut [0; 2]).is_err());
}
