//! Lanes between two ends in one process: order, lengths, growth, overflow, claims.

use iosdk_net::claim::ClaimState;
use iosdk_net::{ClaimSlots, Consumer, OwnMailbox, PeerMailbox, Producer, Pushed, mailbox};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

fn lane() -> (OwnedFd, Producer, Consumer) {
    let fd = mailbox::create(2).unwrap();
    let producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 1).unwrap();
    let consumer = OwnMailbox::map(fd.try_clone().unwrap()).unwrap().open_lane(1).unwrap();
    (fd, producer, consumer)
}

/// Bytes that tell which message and which place in it they are from.
fn message(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number * 31 + at * 7 + at / 251) as u8).collect()
}

/// Memory the mailbox really takes.
fn pages(fd: &OwnedFd) -> i64 {
    rustix::fs::fstat(fd).unwrap().st_blocks / 8
}

#[test]
fn parts_arrive_as_one_message() {
    let (_fd, mut producer, mut consumer) = lane();
    let mut out = vec![9; 3];
    assert_eq!(consumer.pop(&mut out), Ok(false));
    assert!(out.is_empty() && consumer.is_empty());
    assert_eq!(producer.push(&[b"ab", b"", b"cde"]), Pushed::Done);
    assert_eq!(producer.push(&[]), Pushed::Done);
    assert!(!consumer.is_empty());
    assert_eq!(consumer.pop(&mut out), Ok(true));
    assert_eq!(out, b"abcde");
    assert_eq!(consumer.pop(&mut out), Ok(true));
    assert_eq!(out, b"");
    assert_eq!(consumer.pop(&mut out), Ok(false));
}

#[test]
fn an_idle_lane_is_one_page() {
    let (fd, mut producer, mut consumer) = lane();
    let before = pages(&fd);
    let mut slots = ClaimSlots::default();
    let claim = slots.allocate().unwrap();
    producer.claims().ready(claim);
    let mut out = Vec::new();
    for number in 0..100 {
        assert_eq!(producer.push(&[&message(number, 100)]), Pushed::Done);
        assert_eq!(consumer.pop(&mut out), Ok(true));
        assert_eq!(out, message(number, 100));
    }
    assert_eq!(pages(&fd) - before, 1);
}

#[test]
fn a_full_lane_keeps_order_asks_for_space_and_grows() {
    let (fd, mut producer, mut consumer) = lane();
    let mut out = Vec::new();
    let mut expected = 0;
    let mut drains = 0;
    let kept = (0..512).filter(|number| producer.push(&[&message(*number, 150)]) == Pushed::Queued).count();
    assert!(kept > 400 && producer.backlog_bytes() == kept * 150);
    while expected < 512 {
        while consumer.pop(&mut out).unwrap() {
            assert_eq!(out, message(expected, 150));
            expected += 1;
        }
        drains += 1;
        assert!(drains < 10, "each drain makes room for a larger ring");
        if expected < 512 {
            assert!(consumer.drained_wants_space());
            assert!(!consumer.drained_wants_space(), "asked once");
            producer.flush();
        }
    }
    assert!(!producer.has_backlog() && producer.backlog_bytes() == 0);
    assert!(pages(&fd) > 5);

    // Back to one page, and on.
    assert!(producer.shrink());
    assert!(!producer.shrink());
    assert_eq!(consumer.pop(&mut out), Ok(false));
    assert!(pages(&fd) <= 2);
    assert_eq!(producer.push(&[b"on"]), Pushed::Done);
    assert_eq!(consumer.pop(&mut out), Ok(true));
    assert_eq!(out, b"on");
}

#[test]
fn a_message_larger_than_any_ring_comes_whole() {
    let (_fd, mut producer, mut consumer) = lane();
    let long = message(1, 3 << 20);
    assert_eq!(producer.push(&[&long[..1000], &long[1000..]]), Pushed::Queued);
    assert_eq!(producer.push(&[b"after"]), Pushed::Queued);
    let mut out = Vec::new();
    let mut rounds = 0;
    while !consumer.pop(&mut out).unwrap() {
        rounds += 1;
        assert!(rounds < 100, "no progress");
        assert!(consumer.drained_wants_space());
        producer.flush();
    }
    assert!(out == long);
    producer.flush();
    assert_eq!(consumer.pop(&mut out), Ok(true));
    assert_eq!(out, b"after");
}

#[test]
fn too_long_is_refused_and_harmless() {
    let (_fd, mut producer, mut consumer) = lane();
    let block = vec![0; 1 << 26];
    assert_eq!(producer.push(&[block.as_slice(); 17]), Pushed::TooLong);
    assert_eq!(producer.push(&[b"x"]), Pushed::Done);
    let mut out = Vec::new();
    assert_eq!(consumer.pop(&mut out), Ok(true));
    consumer.limit(1000);
    let _ = producer.push(&[&block[..5000]]);
    let poison = loop {
        match consumer.pop(&mut out) {
            Ok(_) => producer.flush(),
            Err(poison) => break poison,
        };
    };
    assert_eq!(poison.reason, "message too long");
    assert_eq!(consumer.pop(&mut out), Err(poison));
}

#[test]
fn a_lane_given_out_again_starts_afresh() {
    let (fd, mut producer, _consumer) = lane();
    let claim = ClaimSlots::default().allocate().unwrap();
    producer.claims().ready(claim);
    assert_eq!(producer.push(&[b"old"]), Pushed::Done);
    mailbox::reset_lane(fd.as_fd(), 1).unwrap();
    let peer = PeerMailbox::map(fd.as_fd()).unwrap();
    let mut producer = peer.producer(fd.as_fd(), 1).unwrap();
    let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
    let mut consumer = own.open_lane(1).unwrap();
    assert_eq!(consumer.claims().read(claim), ClaimState::Other);
    let mut out = Vec::new();
    assert_eq!(consumer.pop(&mut out), Ok(false));
    assert_eq!(producer.push(&[b"new"]), Pushed::Done);
    assert_eq!(consumer.pop(&mut out), Ok(true));
    assert_eq!(out, b"new");
    assert!(mailbox::reset_lane(fd.as_fd(), 2).is_err());
    assert!(own.open_lane(2).is_err());
}

#[test]
fn an_unsealed_file_is_no_mailbox() {
    let fd = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, 4 << 20).unwrap();
    assert!(PeerMailbox::map(fd.as_fd()).is_err());
    assert!(OwnMailbox::map(fd).is_err());
    let sealed = mailbox::create(1).unwrap();
    assert!(rustix::fs::ftruncate(&sealed, 0).is_err());
    assert!(mailbox::create(0).is_err() && mailbox::create(4097).is_err());
}

#[test]
fn one_side_wins_a_claim() {
    let (_fd, producer, consumer) = lane();
    let (caller, callee) = (producer.claims(), consumer.claims());
    let mut slots = ClaimSlots::default();
    let first = slots.allocate().unwrap();
    assert_eq!(callee.read(first), ClaimState::Other);
    assert!(!callee.try_take(first));
    caller.ready(first);
    assert_eq!(callee.read(first), ClaimState::Ready);
    assert!(callee.try_take(first) && !callee.try_take(first) && !caller.try_retract(first));
    assert_eq!(caller.read(first), ClaimState::Taken);
    assert!(slots.free(first));
    let second = slots.allocate().unwrap();
    caller.ready(second);
    assert!(!callee.try_take(first), "a stale generation");
    assert!(caller.try_retract(second) && !callee.try_take(second));
    assert_eq!(callee.read(second), ClaimState::Retracted);
    assert_eq!(callee.read(first), ClaimState::Other);
    for bad in [
        iosdk_types::message::peer::Claim { slot: 512, ..second },
        iosdk_types::message::peer::Claim { generation: u32::MAX, ..second },
    ] {
        caller.ready(bad);
        assert!(!callee.try_take(bad) && !caller.try_retract(bad));
        assert_eq!(callee.read(bad), ClaimState::Other);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any mix of pushes, pops, flushes and shrinks: what went in comes out, in order, and nothing gets stuck.
    #[test]
    fn what_goes_in_comes_out(steps in proptest::collection::vec((0u8..10, 0usize..3000, 0u8..4), 1..400)) {
        let (_fd, mut producer, mut consumer) = lane();
        let mut sent = VecDeque::new();
        let mut out = Vec::new();
        for (number, (what, size, scale)) in steps.into_iter().enumerate() {
            match what {
                0..=4 => {
                    let bytes = message(number, size >> (2 * scale) << if size == 7 { 8 } else { 0 });
                    let cut = bytes.len() / 3;
                    prop_assert_ne!(producer.push(&[&bytes[..cut], &bytes[cut..]]), Pushed::TooLong);
                    sent.push_back(bytes);
                }
                5..=7 => {
                    if consumer.pop(&mut out).unwrap() {
                        prop_assert_eq!(Some(out.clone()), sent.pop_front());
                    }
                }
                8 => {
                    if consumer.drained_wants_space() {
                        producer.flush();
                    }
                }
                _ => {
                    producer.shrink();
                }
            }
        }
        let mut rounds = 0;
        while !sent.is_empty() {
            if consumer.pop(&mut out).unwrap() {
                prop_assert_eq!(Some(out.clone()), sent.pop_front());
            } else {
                prop_assert!(consumer.drained_wants_space(), "stuck with {} messages", sent.len());
                producer.flush();
                rounds += 1;
                prop_assert!(rounds < 1000);
            }
        }
        prop_assert!(!producer.has_backlog());
    }
}
