//! Two processes, one of which is killed at every single store it makes into shared memory. What the other one sees is
//! always whole, and it can always go on. No test harness: forking wants a process with one thread.
#![allow(unsafe_code)]

use iosdk_net::claim::ClaimState;
use iosdk_net::{ClaimSlots, HistoryReader, HistoryWriter, OwnMailbox, PeerMailbox, Pushed, Urgency, Woken};
use iosdk_net::{failpoint, history, mailbox};
use iosdk_types::task_record::{Entries, Entry};
use iosdk_types::{ActorId, JobId, Outcome, TaskId, TaskKind, TaskRecord, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, waitpid};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);
/// More stores than any scenario makes.
const POINTS_MAX: u32 = 500;

struct Child(Pid);

fn fork(body: impl FnOnce()) -> Child {
    // SAFETY: this process has one thread, so the child may do anything.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        body();
        std::process::exit(0);
    }
    Child(Pid::from_raw(pid).expect("fork"))
}

impl Child {
    fn ended(&self, options: WaitOptions) -> Option<bool> {
        let (_, status): (Pid, WaitStatus) = waitpid(Some(self.0), options).unwrap()?;
        let killed = status.terminating_signal() == Some(Signal::KILL.as_raw());
        assert!(killed || status.exit_status() == Some(0), "child failed: {status:?}");
        Some(killed)
    }

    /// True: it was killed. False: it got to its end.
    fn wait(self) -> bool {
        self.ended(WaitOptions::empty()).unwrap()
    }
}

/// Runs the scenario with a death at its first store, its second, and so on, until it survives.
fn at_every_store(least: u32, scenario: impl Fn(u32) -> bool) {
    for nth in 1..POINTS_MAX {
        if !scenario(nth) {
            println!("    {} points", nth - 1);
            assert!(nth > least, "only {} points: are the failpoints compiled in?", nth - 1);
            return;
        }
    }
    panic!("never survived");
}

fn message(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| seed.wrapping_add((at * 7) as u8)).collect()
}

/// The survivor reads what came: all of a message or nothing of it, whatever its length.
fn killed_while_pushing(len: usize, nth: u32) -> bool {
    let fd = mailbox::create(1).unwrap();
    let child = fork(|| {
        let peer = PeerMailbox::map(fd.as_fd()).unwrap();
        let mut producer = peer.producer(fd.as_fd(), 0).unwrap();
        assert_eq!(producer.push(&[b"before"]), Pushed::Done);
        failpoint::arm(nth);
        let bytes = message(3, len);
        let (first, second) = bytes.split_at(len / 3);
        let _queued = producer.push(&[first, second]);
        while !producer.flush() {
            std::thread::yield_now();
        }
        failpoint::arm(0);
    });
    let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
    let mut consumer = own.open_lane(0).unwrap();
    let mut got = Vec::new();
    let mut out = Vec::new();
    let killed = loop {
        let ended = child.ended(WaitOptions::NOHANG);
        // After the death once more: it may have pushed between our look and its end.
        while consumer.pop(&mut out).expect("a death poisons nothing") {
            got.push(std::mem::take(&mut out));
        }
        consumer.drained_wants_space();
        match ended {
            Some(killed) => break killed,
            None => std::thread::yield_now(),
        }
    };
    assert_eq!(got[0], b"before");
    assert!(got.len() <= 2 && (killed || got.len() == 2));
    if let Some(whole) = got.get(1) {
        assert!(*whole == message(3, len));
    }
    // The lane is given out again.
    mailbox::reset_lane(fd.as_fd(), 0).unwrap();
    let mut consumer = own.open_lane(0).unwrap();
    let mut producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
    assert_eq!(producer.push(&[b"after"]), Pushed::Done);
    assert!(consumer.pop(&mut out).unwrap() && out == b"after");
    killed
}

/// The sleeper may sleep on until its timeout, but the next ringer is heard.
fn killed_while_ringing(nth: u32) -> bool {
    let fd = mailbox::create(64).unwrap();
    let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
    let ringer = |lane: u32, die: bool| {
        let peer = PeerMailbox::map(fd.as_fd()).unwrap();
        let mut state = [0u8; 4];
        while state == [0; 4] {
            rustix::io::pread(&fd, &mut state, 0).unwrap();
        }
        failpoint::arm(if die { nth } else { 0 });
        peer.ringer().ring(lane, Urgency::Urgent);
        failpoint::arm(0);
    };
    let child = fork(|| ringer(8, true));
    let mut rung = false;
    let killed = loop {
        let ended = child.ended(WaitOptions::NOHANG);
        rung |= own.doorbell().sleep(Duration::from_millis(10)) == Woken::Rung;
        if let Some(killed) = ended {
            break killed;
        }
    };
    let heard: Vec<_> = own.doorbell().take().collect();
    assert!(heard.is_empty() || heard == [8]);
    assert!(killed || (rung && heard == [8]));
    let child = fork(|| ringer(9, false));
    assert_eq!(own.doorbell().sleep(LONG), Woken::Rung, "the dead ringer's bit silenced another");
    assert!(!child.wait());
    let heard: Vec<_> = own.doorbell().take().collect();
    assert!(heard == [9] || heard == [8, 9], "{heard:?}");
    killed
}

/// A worker that dies anywhere between popping calls and running them: the owner knows which surely never ran.
fn killed_while_taking(nth: u32) -> bool {
    const CALLS: usize = 4;
    let fd = mailbox::create(1).unwrap();
    let mut producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
    let mut slots = ClaimSlots::default();
    let claims: Vec<_> = (0..CALLS).map(|_| slots.allocate().unwrap()).collect();
    for claim in &claims {
        producer.claims().ready(*claim);
        assert_eq!(producer.push(&[&claim.slot.to_le_bytes()]), Pushed::Done);
    }
    assert!(producer.claims().try_retract(claims[1]));
    let (mut ran, ran_end) = std::io::pipe().unwrap();
    let child = fork(|| {
        let mut ran_end = &ran_end;
        let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
        let mut consumer = own.open_lane(0).unwrap();
        let mut out = Vec::new();
        failpoint::arm(nth);
        while consumer.pop(&mut out).unwrap() {
            let claim = *claims.iter().find(|claim| claim.slot.to_le_bytes() == *out).unwrap();
            if consumer.claims().try_take(claim) {
                ran_end.write_all(&out[..1]).unwrap();
            }
        }
        failpoint::arm(0);
    });
    let killed = child.wait();
    drop(ran_end);
    let mut bodies = Vec::new();
    ran.read_to_end(&mut bodies).unwrap();
    for (index, claim) in claims.iter().enumerate() {
        let started = bodies.contains(&(claim.slot as u8));
        match producer.claims().read(*claim) {
            ClaimState::Ready => assert!(!started && killed),
            ClaimState::Taken => {}
            ClaimState::Retracted => assert!(!started && index == 1),
            ClaimState::Other => panic!("a claim was lost"),
        }
    }
    // The owner goes on: the lane takes calls, and they can be taken back.
    let claim = slots.allocate().unwrap();
    producer.claims().ready(claim);
    assert_eq!(producer.push(&[b"more"]), Pushed::Done);
    assert!(producer.claims().try_retract(claim));
    killed
}

/// An owner that dies while taking a call back: the worker runs it or does not, and the word says the same.
fn killed_while_retracting(nth: u32) -> bool {
    let fd = mailbox::create(1).unwrap();
    let claim = ClaimSlots::default().allocate().unwrap();
    let child = fork(|| {
        let producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
        failpoint::arm(nth);
        producer.claims().ready(claim);
        assert!(producer.claims().try_retract(claim));
        failpoint::arm(0);
    });
    let killed = child.wait();
    let own = OwnMailbox::map(fd).unwrap();
    let claims = own.open_lane(0).unwrap().claims();
    let before = claims.read(claim);
    assert_eq!(claims.try_take(claim), before == ClaimState::Ready);
    assert!(killed || before == ClaimState::Retracted);
    killed
}

/// A full lane to a process that does not run: the producer neither waits nor loses anything.
fn a_stopped_consumer() {
    let fd = mailbox::create(1).unwrap();
    let (mut said, said_end) = std::io::pipe().unwrap();
    let (go, mut go_end) = std::io::pipe().unwrap();
    let child = fork(|| {
        let (mut go, mut said_end) = (&go, &said_end);
        let own = OwnMailbox::map(fd.try_clone().unwrap()).unwrap();
        let mut consumer = own.open_lane(0).unwrap();
        said_end.write_all(&[1]).unwrap();
        let mut out = Vec::new();
        let mut next = 0u32;
        while next < 2000 {
            while consumer.pop(&mut out).unwrap() {
                assert_eq!(out[..4], next.to_le_bytes());
                next += 1;
            }
            if consumer.drained_wants_space() {
                said_end.write_all(&[2]).unwrap();
                go.read_exact(&mut [0]).unwrap();
            }
        }
        said_end.write_all(&[3]).unwrap();
    });
    let mut byte = [0];
    said.read_exact(&mut byte).unwrap();
    rustix::process::kill_process(child.0, Signal::STOP).unwrap();
    waitpid(Some(child.0), WaitOptions::UNTRACED).unwrap();
    let mut producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
    for number in 0..2000u32 {
        let _queued = producer.push(&[&number.to_le_bytes(), &[0; 200]]);
    }
    assert!(producer.has_backlog());
    rustix::process::kill_process(child.0, Signal::CONT).unwrap();
    loop {
        said.read_exact(&mut byte).unwrap();
        match byte {
            [2] => {
                producer.flush();
                go_end.write_all(&[0]).unwrap();
            }
            _ => break,
        }
    }
    assert!(!producer.has_backlog());
    assert!(!child.wait());
}

/// Questions and answers between sleeping processes: no wake-up is lost.
fn a_conversation() {
    const ROUNDS: u32 = 3000;
    let (mine, theirs) = (mailbox::create(1).unwrap(), mailbox::create(1).unwrap());
    let talk = |own: &OwnedFd, other: &OwnedFd, first: bool| {
        let own = OwnMailbox::map(own.try_clone().unwrap()).unwrap();
        let peer = PeerMailbox::map(other.as_fd()).unwrap();
        let (mut consumer, mut producer) = (own.open_lane(0).unwrap(), peer.producer(other.as_fd(), 0).unwrap());
        let mut out = Vec::new();
        for round in 0..ROUNDS {
            if first {
                assert_eq!(producer.push(&[&round.to_le_bytes()]), Pushed::Done);
                peer.ringer().ring(0, Urgency::Lazy);
            }
            while !own.doorbell().take().any(|lane| lane == 0 && consumer.pop(&mut out).unwrap()) {
                assert_ne!(own.doorbell().sleep(LONG), Woken::TimedOut);
            }
            assert_eq!(out, round.to_le_bytes());
            if !first {
                assert_eq!(producer.push(&[&out]), Pushed::Done);
                peer.ringer().ring(0, Urgency::Lazy);
            }
        }
        assert_eq!(own.doorbell().missed(), 0);
    };
    let child = fork(|| talk(&theirs, &mine, false));
    talk(&mine, &theirs, true);
    assert!(!child.wait());
}

fn ended_task(number: u64) -> TaskRecord {
    let job = JobId::from_index(1);
    TaskRecord {
        task: TaskId::derive(number.to_le_bytes(), ActorId::none(job)),
        attempt: 0,
        kind: TaskKind::Task,
        outcome: Outcome::Finished,
        job,
        name: (number % 2) as u32,
        actor: None,
        worker: 3,
        pid: 33,
        node: 0,
        owner: 2,
        submitted: Time(number + 1),
        started: Some(Time(number + 2)),
        ended: Time(number + 3),
    }
}

/// An owner that dies at any store into its history ring: what was published is whole and in order, and the reader goes on.
fn killed_while_recording(nth: u32) -> bool {
    const RECORDS: u64 = 5;
    let (fd, bell) = (history::create().unwrap(), history::bell().unwrap());
    let mut reader = HistoryReader::map(fd.as_fd()).unwrap();
    assert!(reader.sleep());
    let child = fork(|| {
        let mut writer = HistoryWriter::map(fd.as_fd(), bell.try_clone().unwrap()).unwrap();
        failpoint::arm(nth);
        for number in 0..RECORDS {
            assert!(writer.write(&ended_task(number), || format!("f{}", number % 2)));
        }
        failpoint::arm(0);
    });
    let killed = child.wait();
    let mut slots = Vec::new();
    assert_eq!(reader.drain(&mut slots).expect("a death poisons nothing"), 0);
    let entries: Vec<Entry> = Entries::new(&slots).collect();
    let tasks: Vec<_> = entries.iter().filter(|entry| matches!(entry, Entry::Task(_))).collect();
    assert!(killed || tasks.len() as u64 == RECORDS);
    for (number, task) in (0..).zip(&tasks) {
        assert_eq!(**task, Entry::Task(ended_task(number)));
    }
    for (number, text) in (0..).zip(["f0", "f1"]).take(tasks.len()) {
        assert!(entries.contains(&Entry::Name { number, text }));
    }
    assert_eq!(entries.len(), tasks.len() + tasks.len().min(2));
    assert!(reader.sleep());
    killed
}

/// A reader that sleeps until it is called hears of every record of another process.
fn a_history_is_heard() {
    const RECORDS: u64 = 300_000;
    let (fd, bell) = (history::create().unwrap(), history::bell().unwrap());
    let child = fork(|| {
        let mut writer = HistoryWriter::map(fd.as_fd(), bell.try_clone().unwrap()).unwrap();
        let start = Instant::now();
        for number in 0..RECORDS {
            while !writer.write(&ended_task(number), || "f") {
                assert!(start.elapsed() < LONG, "nobody reads");
                std::thread::yield_now();
            }
        }
    });
    let mut reader = HistoryReader::map(fd.as_fd()).unwrap();
    let (mut slots, mut next) = (Vec::new(), 0);
    while next < RECORDS {
        slots.clear();
        let _records_were_tried_again = reader.drain(&mut slots).unwrap();
        for entry in Entries::new(&slots) {
            if let Entry::Task(record) = entry {
                assert_eq!(record, ended_task(next));
                next += 1;
            }
        }
        if next < RECORDS && reader.sleep() {
            let mut fds = [PollFd::new(&bell, PollFlags::IN)];
            let limit = Timespec { tv_sec: LONG.as_secs() as i64, tv_nsec: 0 };
            assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "never rung");
            rustix::io::read(&bell, &mut [0; 8]).unwrap();
        }
    }
    assert!(!child.wait());
}

/// User code that forks must not be able to reach anybody's mailbox.
fn a_forked_child_has_no_lanes() {
    let fd = mailbox::create(1).unwrap();
    let mut producer = PeerMailbox::map(fd.as_fd()).unwrap().producer(fd.as_fd(), 0).unwrap();
    // SAFETY: as in `fork`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let _queued = producer.push(&[b"from a child"]);
        std::process::exit(0);
    }
    let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(libc::SIGSEGV));
    assert!(OwnMailbox::map(fd).unwrap().open_lane(0).unwrap().is_empty());
}

fn main() {
    let tests: [(&str, fn()); 11] = [
        ("killed_while_pushing_a_short_message", || at_every_store(5, |nth| killed_while_pushing(100, nth))),
        ("killed_while_pushing_through_a_switch", || at_every_store(8, |nth| killed_while_pushing(3000, nth))),
        ("killed_while_pushing_fragments", || at_every_store(20, |nth| killed_while_pushing(900_000, nth))),
        ("killed_while_ringing", || at_every_store(3, killed_while_ringing)),
        ("killed_while_taking", || at_every_store(10, killed_while_taking)),
        ("killed_while_retracting", || at_every_store(1, killed_while_retracting)),
        ("killed_while_recording", || at_every_store(13, killed_while_recording)),
        ("a_history_is_heard", a_history_is_heard),
        ("a_stopped_consumer", a_stopped_consumer),
        ("a_conversation", a_conversation),
        ("a_forked_child_has_no_lanes", a_forked_child_has_no_lanes),
    ];
    let filters: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let listed = std::env::args().any(|argument| argument == "--list");
    for (name, test) in tests {
        if listed {
            println!("{name}: test");
        } else if filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())) {
            println!("test {name}");
            test();
        }
    }
}
