//! The doorbell within one process: bits, states, sleeping, spinning.

use iosdk_net::{Activity, Doorbell, OwnMailbox, PeerMailbox, Ringer, Urgency, Woken, cpu, mailbox};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

fn pair() -> (OwnMailbox, PeerMailbox) {
    let fd = mailbox::create(4096).unwrap();
    let peer = PeerMailbox::map(fd.as_fd()).unwrap();
    (OwnMailbox::map(fd).unwrap(), peer)
}

fn readable(bell: &Doorbell, milliseconds: i64) -> bool {
    let fd = bell.bell();
    let mut polled = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
    rustix::event::poll(&mut polled, Some(&timeout)).unwrap() == 1
}

#[test]
fn rung_lanes_are_heard_once() {
    let (own, peer) = pair();
    let (bell, ringer) = (own.doorbell(), peer.ringer());
    assert!(!bell.has_work() && bell.take().is_empty());
    for lane in [4095, 0, 64, 63, 0] {
        ringer.ring(lane, Urgency::Lazy);
    }
    assert!(bell.has_work());
    assert_eq!(bell.sleep(LONG), Woken::Rung, "there is work: no sleep");
    assert!(!bell.arm());
    assert_eq!(bell.take().collect::<Vec<_>>(), [0, 63, 64, 4095]);
    assert!(!bell.has_work() && bell.take().is_empty());
}

#[test]
fn a_sleep_ends_with_a_ring_or_with_its_time() {
    let (own, peer) = pair();
    let bell = own.doorbell();
    assert_eq!(bell.sleep(Duration::from_millis(1)), Woken::TimedOut);
    for round in 0..200 {
        let urgency = if round % 2 == 0 { Urgency::Lazy } else { Urgency::Urgent };
        std::thread::scope(|scope| {
            scope.spawn(|| peer.ringer().ring(7, urgency));
            assert_eq!(bell.sleep(LONG), Woken::Rung);
        });
        assert_eq!(bell.take().collect::<Vec<_>>(), [7]);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| bell.nudge());
        assert_eq!(bell.sleep(LONG), Woken::Rung);
    });
    assert!(bell.take().is_empty());
    assert_eq!(bell.missed(), 0);
}

#[test]
fn only_urgent_rings_reach_a_poll() {
    let (own, peer) = pair();
    let (bell, ringer) = (own.doorbell(), peer.ringer());
    ringer.ring(1, Urgency::Urgent);
    assert!(!readable(bell, 0), "nobody polls: no system call");
    bell.take();
    assert!(bell.arm());
    ringer.ring(1, Urgency::Lazy);
    ringer.ring(1, Urgency::Lazy);
    assert!(!readable(bell, 0));
    // The lane's bit is still set from the lazy rings: an urgent one must wake all the same.
    ringer.ring(1, Urgency::Urgent);
    assert!(readable(bell, 20_000));
    ringer.ring(2, Urgency::Urgent);
    assert!(bell.silence().unwrap());
    assert!(!bell.silence().unwrap(), "one datagram per sleep");
    bell.disarm();
    assert_eq!(bell.take().collect::<Vec<_>>(), [1, 2]);
    assert!(bell.arm());
    bell.nudge();
    assert!(readable(bell, 20_000));
    bell.disarm();
    assert!(!bell.arm(), "the nudge stays until somebody looks");
    assert!(bell.take().is_empty() && bell.arm());
}

#[test]
fn a_reused_lane_is_heard_although_its_last_user_died_ringing() {
    let fd = mailbox::create(4096).unwrap();
    let peer = PeerMailbox::map(fd.as_fd()).unwrap();
    // What a death between bit and summary leaves behind.
    rustix::io::pwrite(&fd, &(1u64 << 3).to_le_bytes(), 1024).unwrap();
    mailbox::reset_lane(fd.as_fd(), 3).unwrap();
    let own = OwnMailbox::map(fd).unwrap();
    peer.ringer().ring(3, Urgency::Lazy);
    assert_eq!(own.doorbell().take().collect::<Vec<_>>(), [3]);
}

#[test]
fn peers_see_where_and_what() {
    let fd = mailbox::create(1).unwrap();
    let peer = PeerMailbox::map(fd.as_fd()).unwrap();
    assert_eq!(peer.ringer().cpu(), cpu::UNKNOWN);
    let own = OwnMailbox::map(fd).unwrap();
    assert_ne!(peer.ringer().cpu(), cpu::UNKNOWN);
    assert_eq!(peer.ringer().status().activity, Activity::Idle);
    own.doorbell().publish_status(Activity::Blocked, 1 << 60);
    let status = peer.ringer().status();
    assert_eq!((status.activity, status.since_ns), (Activity::Blocked, 1 << 60));
}

#[test]
fn spinning_needs_a_peer_on_another_cpu() {
    let (own, _peer) = pair();
    let looks = AtomicU32::new(0);
    let never = || {
        looks.fetch_add(1, Ordering::Relaxed);
        false
    };
    let budget = Duration::from_millis(2);
    assert!(!own.doorbell().spin(cpu::UNKNOWN, budget, never));
    assert_eq!(looks.swap(0, Ordering::Relaxed), 1, "looked once, did not spin");
    assert!(own.doorbell().spin(cpu::UNKNOWN, budget, || true));
    if cpu::usable() >= 2 {
        let elsewhere = u32::MAX - 1;
        assert!(!own.doorbell().spin(elsewhere, budget, never));
        assert!(looks.load(Ordering::Relaxed) > 10);
        // Another one: on a busy machine the first was displaced while it spun, and stays away from spinning for a while.
        let (own, _peer) = pair();
        let set = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| set.store(true, Ordering::Relaxed));
            assert!(own.doorbell().spin(elsewhere, LONG, || set.load(Ordering::Relaxed)));
        });
    }
}

/// Two producers against one sleeper, with frames: nothing is lost, no sleep times out with work there.
#[test]
fn no_ring_is_lost_between_threads() {
    const MESSAGES: u64 = 20_000;
    let fd = mailbox::create(128).unwrap();
    let peer = PeerMailbox::map(fd.as_fd()).unwrap();
    let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
    let lanes = [5u32, 70];
    let mut consumers = lanes.map(|lane| own.open_lane(lane).unwrap());
    let produce = |ringer: &Ringer, lane: u32| {
        let mut producer = peer.producer(fd.as_fd(), lane).unwrap();
        for number in 0..MESSAGES {
            let _queued = producer.push(&[&number.to_le_bytes()]);
            ringer.ring(lane, Urgency::Lazy);
        }
        while !producer.flush() {
            ringer.ring(lane, Urgency::Lazy);
            std::thread::yield_now();
        }
        ringer.ring(lane, Urgency::Lazy);
    };
    std::thread::scope(|scope| {
        for lane in lanes {
            let ringer = peer.ringer().clone();
            scope.spawn(move || produce(&ringer, lane));
        }
        let mut next = [0u64; 2];
        let mut out = Vec::new();
        while next != [MESSAGES; 2] {
            for lane in own.doorbell().take() {
                let index = lanes.iter().position(|known| *known == lane).unwrap();
                while consumers[index].pop(&mut out).unwrap() {
                    assert_eq!(out, next[index].to_le_bytes());
                    next[index] += 1;
                }
            }
            if next != [MESSAGES; 2] {
                assert_ne!(own.doorbell().sleep(LONG), Woken::TimedOut);
            }
        }
    });
    assert_eq!(own.doorbell().missed(), 0);
}
