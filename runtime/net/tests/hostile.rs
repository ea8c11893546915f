//! A peer that writes anything anywhere: the consumer answers with messages or poison, never with a panic or a hang.

use iosdk_net::{OwnMailbox, PeerMailbox, mailbox};
use proptest::prelude::*;
use std::os::fd::AsFd;

const STRIDE: u64 = 1 << 20;
const RING: u64 = 2560;

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..512,
        // A header: length, kind.
        (0u64..2000, 0u64..8).prop_map(|(len, kind)| len | kind << 32),
        (0u64..30).prop_map(|lines| lines * 64),
        Just(u64::MAX),
    ]
}

/// Where to write: mostly at heads of frames and at the control words.
fn place() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0u64..24, 0u64..2).prop_map(|(line, second)| RING + line * 64 + second * 8),
        2 => Just(0u64),
        1 => Just(128u64),
        1 => (0u64..4096 / 8).prop_map(|at| at * 8),
        1 => (0u64..(256 << 10) / 64).prop_map(|line| (64 << 10) + line * 64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn pop_survives_any_bytes(
        writes in proptest::collection::vec((place(), word()), 1..60),
        pushes in 0usize..20,
        tail in 0u64..25,
    ) {
        let fd = mailbox::create(1).unwrap();
        let mut producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
        let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
        let mut consumer = own.open_lane(0).unwrap();
        consumer.limit(1 << 20);
        for number in 0..pushes {
            let _queued = producer.push(&[&vec![number as u8; number * 40]]);
        }
        let mut out = Vec::new();
        let mut poisoned = None;
        for (at, word) in writes {
            rustix::io::pwrite(&fd, &word.to_le_bytes(), STRIDE + at).unwrap();
            if at == 0 {
                rustix::io::pwrite(&fd, &(tail * 64).to_le_bytes(), STRIDE).unwrap();
            }
            // A ring has at most 4,096 frames: more messages than that in one visit would be made of nothing.
            let mut popped = 0;
            loop {
                match consumer.pop(&mut out) {
                    Ok(true) => popped += 1,
                    Ok(false) => break,
                    Err(poison) => {
                        prop_assert_eq!(*poisoned.get_or_insert(poison), poison);
                        break;
                    }
                }
                prop_assert!(poisoned.is_none(), "poison is for good");
                prop_assert!(popped <= 4096);
            }
            consumer.drained_wants_space();
            producer.flush();
            let _queued = producer.push(&[b"more"]);
        }
    }

    /// The bitmap, the state and the name of the bell may hold anything, too.
    #[test]
    fn the_doorbell_survives_any_bytes(writes in proptest::collection::vec((0u64..2048 / 8, word()), 1..40)) {
        let fd = mailbox::create(1).unwrap();
        let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
        let peer = PeerMailbox::map(fd.as_fd()).unwrap();
        for (at, word) in writes {
            rustix::io::pwrite(&fd, &word.to_le_bytes(), at * 8).unwrap();
            peer.ringer().ring(0, iosdk_net::Urgency::Urgent);
            let _status = (peer.ringer().status(), peer.ringer().cpu());
            prop_assert!(own.doorbell().take().all(|lane| lane < 4096));
        }
    }
}

/// A producer that rewrites a frame while it is read: each word is read once, so the copy is of some moment's words.
#[test]
fn a_frame_that_changes_under_the_reader_is_still_bounded() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let fd = mailbox::create(1).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut len = 0u64;
            while !stop.load(Ordering::Relaxed) {
                len = (len * 5 + 1) % 2000;
                rustix::io::pwrite(&fd, &(len | 1 << 32).to_le_bytes(), STRIDE + RING).unwrap();
            }
        });
        let mut seen = 0;
        for _ in 0..1000 {
            mailbox::reset_lane(fd.as_fd(), 0).unwrap();
            let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
            let mut consumer = own.open_lane(0).unwrap();
            rustix::io::pwrite(&fd, &512u64.to_le_bytes(), STRIDE).unwrap();
            let mut out = Vec::new();
            while let Ok(true) = consumer.pop(&mut out) {
                assert!(out.len() <= 512 - 16);
                seen += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(seen > 0);
    });
}

/// A frame header as its two words: payload length and kind, then the kind's own word.
fn header(len: u64, kind: u64, second: u64) -> [u64; 2] {
    [len | kind << 32, second]
}

/// Headers at these offsets of the ring, the tail, and what is wrong.
type BrokenRule<'a> = (&'a [(u64, [u64; 2])], u64, &'a str);

/// Each rule of the lane, broken alone.
#[test]
fn every_broken_rule_is_named() {
    const WHOLE: u64 = 1;
    const FIRST: u64 = 2;
    const MORE: u64 = 3;
    const PAD: u64 = 4;
    const SWITCH: u64 = 5;
    let cases: &[BrokenRule] = &[
        (&[(0, header(1, WHOLE, 0))], 65, "tail is not at a frame"),
        (&[(0, header(1, WHOLE, 0))], 1600, "tail went back or beyond the ring"),
        (&[(0, header(1, 6, 0))], 64, "unknown kind or reserved bits set"),
        (&[(0, header(1, 0, 0))], 64, "unknown kind or reserved bits set"),
        (&[(0, header(1, WHOLE | 1 << 8, 0))], 64, "unknown kind or reserved bits set"),
        (&[(0, header(49, WHOLE, 0))], 64, "frame is longer than what is there"),
        (&[(0, header(u64::from(u32::MAX), WHOLE, 0))], 1536, "frame is longer than what is there"),
        (&[(0, header(1, WHOLE, 1))], 64, "reserved word set"),
        (&[(0, header(1, MORE, 0))], 64, "a part of nothing"),
        (&[(0, header(1, FIRST, 10)), (64, header(1, WHOLE, 0))], 128, "a message within another"),
        (&[(0, header(1, FIRST, 10)), (64, header(1, FIRST, 10))], 128, "a message within another"),
        (&[(0, header(1, FIRST, 10)), (64, header(1, MORE, 2))], 128, "parts out of order"),
        (&[(0, header(8, FIRST, 10)), (64, header(3, MORE, 8))], 128, "part does not fit its message"),
        (&[(0, header(0, FIRST, 10))], 64, "part does not fit its message"),
        (&[(0, header(1, FIRST, u64::MAX))], 64, "message too long"),
        (&[(0, header(48, PAD, 0))], 64, "padding does not end with the ring"),
        (&[(0, header(48, SWITCH, 4))], 64, "no such ring"),
        (&[(0, header(48, SWITCH, 0))], 64, "switch is not the last frame"),
        (&[(0, header(48, SWITCH, 1))], 128, "switch is not the last frame"),
    ];
    for (frames, tail, reason) in cases {
        let fd = mailbox::create(1).unwrap();
        let mut consumer = OwnMailbox::map(fd.try_clone().unwrap()).unwrap().open_lane(0).unwrap();
        for (at, words) in *frames {
            for (index, word) in words.iter().enumerate() {
                rustix::io::pwrite(&fd, &word.to_le_bytes(), STRIDE + RING + at + 8 * index as u64).unwrap();
            }
        }
        rustix::io::pwrite(&fd, &tail.to_le_bytes(), STRIDE).unwrap();
        let poison = consumer.pop(&mut Vec::new()).unwrap_err();
        assert_eq!(poison.reason, *reason, "{frames:?}");
        // Even if the peer repairs it.
        rustix::io::pwrite(&fd, &0u64.to_le_bytes(), STRIDE).unwrap();
        assert_eq!(consumer.pop(&mut Vec::new()), Err(poison));
        assert!(consumer.is_empty());
    }
}

/// A tail that goes back after frames were taken.
#[test]
fn a_tail_that_goes_back_poisons() {
    let fd = mailbox::create(1).unwrap();
    let mut producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
    let mut consumer = OwnMailbox::map(fd.try_clone().unwrap()).unwrap().open_lane(0).unwrap();
    for _ in 0..3 {
        let _queued = producer.push(&[b"x"]);
    }
    let mut out = Vec::new();
    while consumer.pop(&mut out).unwrap() {}
    rustix::io::pwrite(&fd, &64u64.to_le_bytes(), STRIDE).unwrap();
    assert_eq!(consumer.pop(&mut out).unwrap_err().reason, "tail went back or beyond the ring");
}

/// A consumer that lies about its head gets nothing more; the producer neither hangs nor writes outside its ring.
#[test]
fn a_lying_head_only_stops_the_lane() {
    for lie in [u64::MAX, 1, 64 * 1000, 0] {
        let fd = mailbox::create(1).unwrap();
        let mut producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
        rustix::io::pwrite(&fd, &lie.to_le_bytes(), STRIDE + 128).unwrap();
        for _ in 0..1000 {
            let _queued = producer.push(&[&[7; 200]]);
        }
        assert!(producer.has_backlog() && !producer.flush());
        let mut tail = [0; 8];
        rustix::io::pread(&fd, &mut tail, STRIDE).unwrap();
        assert!(u64::from_le_bytes(tail) <= 1536);
    }
}
