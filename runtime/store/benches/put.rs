//! What a put costs: throughput against memcpy between two warm private buffers, measured beside it, and the price of a small
//! allocation. `cargo bench -p iosdk-store`.
#![allow(unsafe_code)]

use iosdk_store::heap::Purpose;
use iosdk_store::{Heap, Pins, PutError, Segment, Store, pins, segment};
use iosdk_types::{Address, Extent};
use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

const MIB: usize = 1 << 20;
const ME: Address = Address { node: 0, epoch: 1, process: 1 };

fn open_store(arena: &OwnedFd) -> Arc<Store> {
    let segment = Segment::map(arena.try_clone().expect("dup")).expect("arena");
    let pins = Pins::map(pins::create().expect("memfd"), 0).expect("pins");
    Store::new(ME, 0, segment, pins)
}

/// A put as the runtime does it, with a raylet that answers at once.
fn put(store: &Arc<Store>, next: &mut u64, data: &[u8]) -> Extent {
    let mut writer = loop {
        match store.allocate(data.len() as u64, ME) {
            Ok(writer) => break writer,
            Err(PutError::Needs(needs)) => {
                store.grant(*next, needs.bytes, needs.purpose, || true).expect("memory");
                *next += needs.bytes;
            }
            Err(PutError::Memory(error)) => panic!("{error}"),
        }
    };
    writer.copy_in(0, data, || true).expect("copied");
    writer.seal().expect("sealed")
}

fn report(what: &str, bytes: usize, mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let median = bytes as f64 / samples[samples.len() / 2] / 1e9;
    let best = bytes as f64 / samples[0] / 1e9;
    println!("{what:<46} {median:6.2} GB/s (best {best:.2})");
    median
}

fn timed(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn throughput(size: usize) {
    println!("-- {} MiB", size / MIB);
    let data = vec![7_u8; size];
    let arena = segment::create(16 << 30).expect("memfd");
    first_puts(&arena, &data);
    steady_puts(&arena, &data);
    fresh_mappings(&arena, &data);
}

/// Pages are made and filled. Each round gives them back first, so that the next one makes them again: from memory that the
/// machine has, except in the very first round on a virtual machine whose host has yet to find it.
fn first_puts(arena: &OwnedFd, data: &[u8]) {
    let bytes = (data.len() as u64 + 4096).next_multiple_of(2 << 20);
    let (mut make, mut all) = (Vec::new(), Vec::new());
    for round in 0..7 {
        let store = open_store(arena);
        segment::punch(arena.as_fd(), 0, bytes).expect("punched");
        let start = Instant::now();
        store.grant(0, bytes, Purpose::Large, || true).expect("memory");
        let made = start.elapsed().as_secs_f64();
        let mut writer = store.allocate(data.len() as u64, ME).expect("granted");
        writer.copy_in(0, data, || true).expect("copied");
        black_box(writer.seal().expect("sealed"));
        let put = start.elapsed().as_secs_f64();
        if round == 0 {
            println!("very first put: {:.2} GB/s", data.len() as f64 / put / 1e9);
        } else {
            make.push(made);
            all.push(put);
        }
    }
    report("making pages", data.len(), make);
    report("first put (make + copy)", data.len(), all);
}

/// The two take turns, so that a neighbour's load falls on both.
fn steady_puts(arena: &OwnedFd, data: &[u8]) {
    let store = open_store(arena);
    let mut next = 0;
    let mut other = vec![1_u8; data.len()];
    let (mut memcpy, mut steady) = (Vec::new(), Vec::new());
    let warm = put(&store, &mut next, data);
    store.free(&warm).expect("live");
    for _ in 0..15 {
        memcpy.push(timed(|| black_box(&mut other).copy_from_slice(black_box(data))));
        steady.push(timed(|| {
            let extent = put(&store, &mut next, data);
            store.free(&extent).expect("live");
        }));
    }
    let memcpy = report("memcpy, both warm", data.len(), memcpy);
    let steady = report("steady put", data.len(), steady);
    println!("steady put / memcpy: {:.2}", steady / memcpy);
}

/// Pages are warm, but not in this process's page table: what a second process finds in an extent given back by the first.
fn fresh_mappings(arena: &OwnedFd, data: &[u8]) {
    let mut other = vec![1_u8; data.len()];
    let (mut puts, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let (second, reader) = (open_store(arena), open_store(arena));
        let mut extent = None;
        puts.push(timed(|| extent = Some(put(&second, &mut 0, data))));
        reads.push(timed(|| {
            let view = reader.open(extent.expect("put")).expect("sealed");
            // SAFETY: the view keeps the object, and nobody writes a sealed one.
            let bytes = unsafe { std::slice::from_raw_parts(view.as_ptr(), view.len()) };
            // In pieces, because some libcs copy a gigabyte at a time at a fraction of the speed.
            other.chunks_mut(16 * MIB).zip(bytes.chunks(16 * MIB)).for_each(|(to, from)| to.copy_from_slice(from));
        }));
    }
    report("put into warm pages through a fresh mapping", data.len(), puts);
    report("first read through a fresh mapping", data.len(), reads);
}

fn small_objects() {
    let mut heap = Heap::new();
    heap.add_extent(0, 16 << 20, Purpose::Slab);
    let rounds = 2_000_000_u64;
    let alone = timed(|| {
        for _ in 0..rounds {
            let one = heap.alloc(black_box(70_000), ME).expect("room");
            heap.free(one.offset, one.generation).expect("live");
        }
    });
    println!("heap alloc + free, same size: {:.0} ns", alone / rounds as f64 * 1e9);
    let mut live: Vec<_> = (0..64).map(|_| heap.alloc(70_000, ME).expect("room")).collect();
    let mixed = timed(|| {
        for round in 0..rounds {
            let slot = (round as usize).wrapping_mul(40_503) >> 3 & 63;
            heap.free(live[slot].offset, live[slot].generation).expect("live");
            live[slot] = heap.alloc(65_000 + (round * 7919) % 100_000, ME).expect("room");
        }
    });
    println!("heap alloc + free, mixed sizes, 64 live: {:.0} ns", mixed / rounds as f64 * 1e9);

    let arena = segment::create(1 << 30).expect("memfd");
    let store = open_store(&arena);
    let mut next = 0;
    let data = vec![7_u8; 70_000];
    let warm = put(&store, &mut next, &data);
    store.free(&warm).expect("live");
    let rounds = 200_000;
    let puts = timed(|| {
        for _ in 0..rounds {
            let extent = put(&store, &mut next, &data);
            store.free(&extent).expect("live");
        }
    });
    println!("put + free of 70 kB: {:.0} ns", puts / f64::from(rounds) * 1e9);
    let extent = put(&store, &mut next, &data);
    let views = timed(|| {
        for _ in 0..rounds {
            black_box(store.open(extent).expect("sealed"));
        }
    });
    println!("view + drop: {:.0} ns", views / f64::from(rounds) * 1e9);
}

fn main() {
    println!("large pages on request: {}", segment::collapse_works());
    for size in [4 * MIB, 100 * MIB, 1024 * MIB] {
        throughput(size);
    }
    small_objects();
}
