//! What a message, a claim and a round trip cost. Run with `cargo bench -p iosdk-net`.
//! Built with the failpoints, as every target of this package's tests is: they add about a nanosecond per message.
#![allow(unsafe_code)]

use iosdk_net::{ClaimSlots, Consumer, OwnMailbox, PeerMailbox, Producer, Pushed, Urgency, frame, mailbox};
use iosdk_types::TaskId;
use iosdk_types::message::peer::{CallKind, Claim, Payload, PeerMessage, WireCall};
use smallvec::SmallVec;
use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(5);

fn lane() -> (Producer, Consumer) {
    let fd = mailbox::create(1).unwrap();
    let producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
    (producer, OwnMailbox::map(fd).unwrap().open_lane(0).unwrap())
}

/// Nanoseconds per round, the least of several runs: the rest is other processes.
fn measure(rounds: u32, mut run: impl FnMut(u32)) -> f64 {
    run(rounds / 10);
    let times = (0..7).map(|_| {
        let start = Instant::now();
        run(rounds);
        start.elapsed().as_nanos() as f64 / f64::from(rounds)
    });
    times.fold(f64::INFINITY, f64::min)
}

fn push_and_pop(len: usize, burst: u32) {
    let (mut producer, mut consumer) = lane();
    let (head, payload) = (vec![1u8; len.min(64)], vec![2u8; len.saturating_sub(64)]);
    let mut out = Vec::new();
    let ns = measure(200_000, |rounds| {
        for _ in 0..rounds / burst {
            let mut queued = false;
            for _ in 0..burst {
                queued |= producer.push(&[&head, &payload]) == Pushed::Queued;
            }
            loop {
                while consumer.pop(&mut out).unwrap() {
                    black_box(&out);
                }
                if !queued || !consumer.drained_wants_space() {
                    break;
                }
                producer.flush();
            }
        }
    });
    println!("push + pop, {len:5} bytes, bursts of {burst:3}: {ns:7.1} ns");
}

/// A call with 20 bytes of arguments, as the hot path sends it: encode, push, pop, decode.
fn call() {
    let (mut producer, mut consumer) = lane();
    let args = [5u8; 20];
    let message = PeerMessage::Call(WireCall {
        key: 1 << 32,
        task: TaskId([1; 24]),
        function: 1,
        depth: 0,
        returns: 1,
        kind: CallKind::Task,
        claim: Claim { slot: 3, generation: 1 },
        args: Payload(0),
        deps: SmallVec::new(),
        contains: Vec::new(),
    });
    let mut out = Vec::new();
    let ns = measure(200_000, |rounds| {
        for _ in 0..rounds {
            assert_eq!(frame::push(&mut producer, black_box(&message), |_| &args), Pushed::Done);
            assert!(consumer.pop(&mut out).unwrap());
            black_box(frame::decode(&out, |bytes| Payload(bytes.len() as u32)).unwrap());
        }
    });
    println!("call: encode, push, pop, decode:          {ns:7.1} ns");
}

fn claim() {
    let (producer, consumer) = lane();
    let (caller, callee) = (producer.claims(), consumer.claims());
    let mut slots = ClaimSlots::default();
    let ns = measure(1_000_000, |rounds| {
        for _ in 0..rounds {
            let claim = slots.allocate().unwrap();
            caller.ready(claim);
            assert!(callee.try_take(black_box(claim)));
            slots.free(claim);
        }
    });
    println!("claim: allocate, ready, take, free:       {ns:7.1} ns");
}

fn ring() {
    let fd = mailbox::create(64).unwrap();
    let peer = PeerMailbox::map(fd.as_fd()).unwrap();
    let own = OwnMailbox::map(fd).unwrap();
    let ns = measure(1_000_000, |rounds| {
        for _ in 0..rounds {
            peer.ringer().ring(9, Urgency::Lazy);
            assert_eq!(own.doorbell().take().next(), Some(9));
        }
    });
    println!("ring + take, nobody asleep:               {ns:7.1} ns");
}

/// One end of a conversation: my mailbox, and the lane I write in the other's.
struct End {
    own: OwnMailbox,
    consumer: Consumer,
    peer: PeerMailbox,
    producer: Producer,
}

impl End {
    fn new(own: &OwnedFd, other: &OwnedFd) -> Self {
        let own = OwnMailbox::map(own.try_clone().unwrap()).unwrap();
        let peer = PeerMailbox::map(other.as_fd()).unwrap();
        Self { consumer: own.open_lane(0).unwrap(), producer: peer.producer(other.as_fd(), 0).unwrap(), own, peer }
    }

    fn say(&mut self, bytes: &[u8]) {
        assert_eq!(self.producer.push(&[bytes]), Pushed::Done);
        self.own.doorbell().publish_cpu();
        self.peer.ringer().ring(0, Urgency::Urgent);
    }

    fn hear(&mut self, spin: Duration, out: &mut Vec<u8>) {
        let bell = self.own.doorbell();
        loop {
            for _ in bell.take() {
                if self.consumer.pop(out).unwrap() {
                    return;
                }
            }
            if !bell.spin(self.peer.ringer().cpu(), spin, || bell.has_work()) {
                bell.sleep(TIMEOUT);
            }
        }
    }
}

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).unwrap();
}

fn round_trip(name: &str, cpus: Option<[usize; 2]>, spin: Duration) {
    const LEN: usize = 80;
    let (mine, theirs) = (mailbox::create(1).unwrap(), mailbox::create(1).unwrap());
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    let mut out = Vec::new();
    if child == 0 {
        if let Some([_, cpu]) = cpus {
            pin(cpu);
        }
        let mut end = End::new(&theirs, &mine);
        loop {
            end.hear(spin, &mut out);
            if out.is_empty() {
                std::process::exit(0);
            }
            end.say(&out);
        }
    }
    let before = rustix::thread::sched_getaffinity(None).unwrap();
    if let Some([cpu, _]) = cpus {
        pin(cpu);
    }
    let mut end = End::new(&mine, &theirs);
    let ns = measure(20_000, |rounds| {
        for _ in 0..rounds {
            end.say(&[7; LEN]);
            end.hear(spin, &mut out);
            assert_eq!(out.len(), LEN);
        }
    });
    end.say(&[]);
    let status = rustix::process::waitpid(rustix::process::Pid::from_raw(child), rustix::process::WaitOptions::empty());
    assert!(status.unwrap().is_some_and(|(_, status)| status.exit_status() == Some(0)));
    rustix::thread::sched_setaffinity(None, &before).unwrap();
    let missed = end.own.doorbell().missed();
    println!("round trip, {name:30}: {ns:7.0} ns (missed wake-ups: {missed})");
}

fn main() {
    // `usable` is computed once: before anything is pinned.
    println!("usable CPUs: {}", iosdk_net::cpu::usable());
    for (len, burst) in [(64, 1), (96, 1), (96, 16), (96, 256), (128, 1), (1000, 1), (4000, 16), (60_000, 1)] {
        push_and_pop(len, burst);
    }
    call();
    claim();
    ring();
    let spin = Duration::from_micros(20);
    round_trip("one core", Some([0, 0]), spin);
    if iosdk_net::cpu::usable() >= 2 {
        round_trip("two cores, 20 us spin", Some([0, 1]), spin);
        round_trip("two cores, no spin", Some([0, 1]), Duration::ZERO);
    }
    round_trip("where the scheduler likes", None, spin);
}
