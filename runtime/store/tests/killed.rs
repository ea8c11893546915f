//! A process killed at every store of a put and of a free: who survives opens either the whole object or nothing.
//! `cargo test -p iosdk-store --features failpoints --test killed`.
#![cfg(not(loom))]

use iosdk_store::{OpenError, Pins, PutError, Segment, Store, object, pins, segment};
use iosdk_types::{Address, Extent};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

const HOLDER: Address = Address { node: 0, epoch: 1, process: 1 };
const SURVIVOR: Address = Address { node: 0, epoch: 1, process: 2 };
/// Set in the process that is to die: the shared files' paths.
const FILES: &str = "IOSDK_STORE_TEST_FILES";
const SIZE: &str = "IOSDK_STORE_TEST_SIZE";
const KILL_AT: &str = "IOSDK_STORE_KILL_AT";

const BEFORE_SEAL: [&str; 6] = ["begin.state", "begin.len", "begin.owner", "begin.holder", "begin.done", "seal.state"];

fn join(arena: OwnedFd, table: OwnedFd, me: Address) -> Arc<Store> {
    let pins = Pins::map(table, me.process).expect("pin table");
    Store::new(me, 0, Segment::map(arena).expect("arena"), pins)
}

fn put(store: &Arc<Store>, data: &[u8]) -> Extent {
    let mut writer = loop {
        match store.allocate(data.len() as u64, HOLDER) {
            Ok(writer) => break writer,
            Err(PutError::Needs(needs)) => store.grant(0, needs.bytes, needs.purpose, || true).expect("memory"),
            Err(PutError::Memory(error)) => panic!("{error}"),
        }
    };
    writer.copy_in(0, data, || true).expect("copied");
    writer.seal().expect("sealed")
}

fn data(round: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ round).collect()
}

/// The life of the process that dies, somewhere in here: an object is put and freed, another is put where it was, and freed.
/// Not a test by itself: it does something only as the child of one.
#[test]
fn victim() {
    let Ok(files) = std::env::var(FILES) else { return };
    let len: usize = std::env::var(SIZE).expect("size").parse().expect("number");
    let mut fds = files
        .split(',')
        .map(|path| OwnedFd::from(OpenOptions::new().read(true).write(true).open(path).expect("the parent's file")));
    let store = join(fds.next().expect("arena"), fds.next().expect("pins"), HOLDER);
    for round in 1..=2 {
        let extent = put(&store, &data(round, len));
        // Known to the survivor before anything else happens to it.
        std::io::stderr().write_all(&extent.to_bytes()).expect("the parent listens");
        store.free(&extent).expect("live");
    }
}

struct Aftermath {
    survivor: Arc<Store>,
    /// What the victim told before it died.
    told: Vec<Extent>,
    len: usize,
}

fn kill_at(place: &str, len: usize) -> Aftermath {
    let (arena, table) = (segment::create(8 << 20).expect("memfd"), pins::create().expect("memfd"));
    let path = |fd: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(FILES, format!("{},{}", path(&arena), path(&table)))
        .env(SIZE, len.to_string())
        .env(KILL_AT, place)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawned");
    let mut said = Vec::new();
    child.stderr.take().expect("piped").read_to_end(&mut said).expect("read");
    let status = child.wait().expect("reaped");
    assert_eq!(status.signal(), Some(9), "{place} was not reached: {status}, {}", String::from_utf8_lossy(&said));
    let told = said.as_chunks::<{ Extent::WIDTH }>().0.iter().map(Extent::from_bytes).collect();
    Aftermath { survivor: join(arena, table, SURVIVOR), told, len }
}

impl Aftermath {
    /// The object of a round, as it would be if the victim got that far; both rounds use the same place.
    fn extent(&self, round: u8) -> Extent {
        let payload = if self.len >= 1 << 20 { 4096 } else { 64 };
        Extent { segment: 0, generation: u32::from(round), offset: payload, len: self.len as u64, holder: HOLDER }
    }

    fn sees(&self, round: u8) -> bool {
        let extent = self.extent(round);
        match object::copy_out(self.survivor.segment(), extent) {
            Ok(bytes) => {
                assert!(bytes == data(round, self.len), "torn");
                assert_eq!(self.survivor.open(extent).expect("sealed").len(), self.len);
                true
            }
            Err(error) => {
                assert_eq!(error, OpenError::Stale);
                assert_eq!(self.survivor.open(extent).err(), Some(OpenError::Stale));
                false
            }
        }
    }
}

#[test]
fn killed_before_the_seal_there_is_nothing() {
    for len in [5000, 3 << 20] {
        for place in BEFORE_SEAL {
            let after = kill_at(place, len);
            assert_eq!((after.told.len(), after.sees(1), after.sees(2)), (0, false, false), "{place}");
        }
    }
}

#[test]
fn killed_after_the_seal_it_is_whole() {
    for len in [5000, 3 << 20] {
        // Sealed, though nobody was told: the raylet takes the extent back, nothing else refers to it.
        let after = kill_at("seal.done", len);
        assert_eq!((after.told.len(), after.sees(1)), (0, true));
        // About to free: still whole.
        let after = kill_at("free.state", len);
        assert_eq!((after.told.clone(), after.sees(1)), (vec![after.extent(1)], true));
        let after = kill_at("free.done", len);
        assert_eq!((after.told.clone(), after.sees(1)), (vec![after.extent(1)], false));
    }
}

#[test]
fn killed_while_reusing_the_place_the_old_object_stays_gone() {
    for len in [5000, 3 << 20] {
        for place in BEFORE_SEAL {
            let after = kill_at(&format!("{place}.2"), len);
            assert_eq!(
                (after.told.clone(), after.sees(1), after.sees(2)),
                (vec![after.extent(1)], false, false),
                "{place}"
            );
        }
        let after = kill_at("seal.done.2", len);
        assert_eq!((after.sees(1), after.sees(2)), (false, true));
        let after = kill_at("free.done.2", len);
        assert_eq!(
            (after.told.clone(), after.sees(1), after.sees(2)),
            (vec![after.extent(1), after.extent(2)], false, false)
        );
    }
}
