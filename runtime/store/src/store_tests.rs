//! Tests of objects, views and the store around them.

use super::*;
use crate::object::copy_out;
use crate::{pins, segment};
use proptest::prelude::*;
use std::os::fd::OwnedFd;

const ME: Address = Address { node: 0, epoch: 1, process: 1 };
const OTHER: Address = Address { node: 0, epoch: 1, process: 2 };
const MIB: usize = 1 << 20;

struct Node {
    arena: OwnedFd,
    table: OwnedFd,
}

impl Node {
    fn new() -> Self {
        Self { arena: segment::create(64 << 20).expect("memfd"), table: pins::create().expect("memfd") }
    }

    fn join(&self, address: Address) -> Arc<Store> {
        let segment = Segment::map(self.arena.try_clone().expect("dup")).expect("mapped");
        let pins = Pins::map(self.table.try_clone().expect("dup"), address.process).expect("mapped");
        Store::new(address, 7, segment, pins)
    }
}

fn everybody(row: u32) -> bool {
    row < 8
}

/// Puts, granting extents from `next` on as asked.
fn put(store: &Arc<Store>, next: &mut u64, data: &[u8], owner: Address) -> Extent {
    let mut writer = room(store, next, data.len() as u64, owner);
    writer.copy_in(0, data, || true).expect("copied");
    writer.seal().expect("sealed")
}

fn room(store: &Arc<Store>, next: &mut u64, len: u64, owner: Address) -> Writer {
    loop {
        match store.allocate(len, owner) {
            Ok(writer) => return writer,
            Err(PutError::Needs(needs)) => {
                store.grant(*next, needs.bytes, needs.purpose, || true).expect("memory");
                *next += needs.bytes;
            }
            Err(PutError::Memory(error)) => panic!("{error}"),
        }
    }
}

#[allow(unsafe_code)]
fn bytes_of(view: &View) -> Vec<u8> {
    // SAFETY: a sealed object, kept by the view.
    unsafe { std::slice::from_raw_parts(view.as_ptr(), view.len()) }.to_vec()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + len) as u8).collect()
}

#[test]
fn what_one_process_puts_another_reads_in_place() {
    let node = Node::new();
    let (writer, reader) = (node.join(ME), node.join(OTHER));
    let mut next = 0;
    for len in [0, 1, 100, 70_000, MIB - 64, MIB - 1, MIB, 3 * MIB, 70 * MIB] {
        let data = pattern(len);
        let extent = put(&writer, &mut next, &data, ME);
        assert_eq!((extent.len, extent.holder, extent.segment), (len as u64, ME, 7));
        assert!(extent.offset.is_multiple_of(if len >= MIB { 4096 } else { 64 }));
        for store in [&writer, &reader] {
            let view = store.open(extent).expect("sealed");
            assert!(bytes_of(&view) == data, "{len} bytes");
            assert_eq!(view.as_ptr() as usize % 64, 0);
            assert!(copy_out(store.segment(), extent).expect("sealed") == data);
        }
    }
}

#[test]
fn nobody_sees_what_is_not_sealed() {
    let node = Node::new();
    let (store, reader) = (node.join(ME), node.join(OTHER));
    let mut writer = room(&store, &mut 0, 100, ME);
    writer.copy_in(0, &[1; 100], || true).expect("copied");
    assert_eq!(writer.len(), 100);
    let offset = 64;
    let guess = Extent { segment: 7, generation: 1, offset, len: 100, holder: ME };
    assert_eq!(reader.open(guess).err(), Some(OpenError::Stale));
    assert_eq!(copy_out(reader.segment(), guess).err(), Some(OpenError::Stale));
    let sealed = writer.seal().expect("sealed");
    assert_eq!(sealed, guess, "or the test guessed wrong");
    assert!(reader.open(sealed).is_ok());
}

#[test]
fn a_writer_that_gives_up_leaves_nothing() {
    let node = Node::new();
    let store = node.join(ME);
    let mut next = 0;
    for len in [1000, 5 * MIB as u64] {
        let mut writer = room(&store, &mut next, len, ME);
        assert!(writer.copy_in(1, &vec![1; len as usize], || true).is_err(), "past the end");
        assert!(writer.copy_in(u64::MAX, b"x", || true).is_err());
        let first = writer.as_mut_ptr().expect("in bounds");
        drop(writer);
        assert_eq!(store.usage().allocations, 0);
        assert_eq!(room(&store, &mut next, len, ME).as_mut_ptr(), Ok(first), "its room is free again");
    }
}

#[test]
fn after_the_free_it_is_stale() {
    let node = Node::new();
    let (holder, reader) = (node.join(ME), node.join(OTHER));
    let mut next = 0;
    for len in [5000, 2 * MIB] {
        let old = put(&holder, &mut next, &pattern(len), ME);
        // A view from before keeps its bytes: the caller that frees below it is the one who waits for the reference.
        let before = reader.open(old).expect("sealed");
        holder.free(&old).expect("live");
        assert_eq!(reader.open(old).err(), Some(OpenError::Stale));
        assert_eq!(copy_out(reader.segment(), old).err(), Some(OpenError::Stale));
        assert_eq!(holder.free(&old), Err(BadFree { offset: old.offset, generation: old.generation }));
        assert!(bytes_of(&before) == pattern(len));
        drop(before);
        let new = put(&holder, &mut next, &vec![9; len], ME);
        assert_eq!(new.offset, old.offset, "reused at once");
        assert_eq!(reader.open(old).err(), Some(OpenError::Stale));
        assert_eq!(holder.free(&old), Err(BadFree { offset: old.offset, generation: old.generation }));
        assert!(bytes_of(&reader.open(new).expect("sealed")) == vec![9; len]);
    }
}

#[test]
fn a_new_holder_of_the_same_place_is_told_apart() {
    let node = Node::new();
    let (first, second, reader) = (node.join(ME), node.join(OTHER), node.join(Address { process: 3, ..ME }));
    let old = put(&first, &mut 0, b"old", ME);
    first.free(&old).expect("live");
    first.drain();
    assert_eq!(first.take_returns(), vec![0]);
    assert_eq!(first.take_returns(), Vec::<u64>::new(), "each once");
    let new = put(&second, &mut 0, b"new", OTHER);
    assert_eq!((new.offset, new.generation), (old.offset, old.generation), "the worst case");
    assert_eq!(reader.open(old).err(), Some(OpenError::Stale));
    assert!(reader.open(new).is_ok());
}

#[test]
fn frees_meant_for_others_are_refused() {
    let node = Node::new();
    let store = node.join(ME);
    let extent = put(&store, &mut 0, b"data", ME);
    for wrong in [
        Extent { holder: OTHER, ..extent },
        Extent { segment: 8, ..extent },
        Extent { generation: extent.generation + 1, ..extent },
        Extent { offset: extent.offset + 64, ..extent },
        Extent { offset: 0, ..extent },
        Extent { offset: u64::MAX, ..extent },
    ] {
        assert!(store.free(&wrong).is_err(), "{wrong:?}");
    }
    assert!(store.open(extent).is_ok());
}

#[test]
fn a_dead_owners_objects_go_when_nobody_looks_at_them() {
    let node = Node::new();
    let (holder, reader) = (node.join(ME), node.join(OTHER));
    let dead = Address { process: 5, ..ME };
    let mut next = 0;
    let seen = put(&holder, &mut next, &pattern(3 * MIB), dead);
    let unseen = put(&holder, &mut next, b"unseen", dead);
    let mine = put(&holder, &mut next, b"mine", ME);
    let view = reader.open(seen).expect("sealed");
    holder.owner_died(dead, everybody);
    for gone in [seen, unseen] {
        assert_eq!(reader.open(gone).err(), Some(OpenError::Stale));
    }
    assert_eq!(holder.usage().allocations, 2, "the one in view stays");
    holder.trim(Time(1), everybody);
    assert_eq!(holder.usage().allocations, 2);
    assert!(bytes_of(&view) == pattern(3 * MIB));
    drop(view);
    holder.trim(Time(2), everybody);
    assert_eq!(holder.usage().allocations, 1);
    assert!(reader.open(mine).is_ok());
}

#[test]
fn views_outlive_the_store_they_came_from() {
    let node = Node::new();
    let store = node.join(ME);
    let extent = put(&store, &mut 0, &pattern(100_000), ME);
    let view = store.open(extent).expect("sealed");
    drop(store);
    drop(node);
    assert!(bytes_of(&view) == pattern(100_000));
}

#[test]
fn a_process_with_too_many_views_copies() {
    let node = Node::new();
    let store = node.join(ME);
    let extent = put(&store, &mut 0, b"popular", ME);
    let mut views = Vec::new();
    let full = loop {
        match store.open(extent) {
            Ok(view) => views.push(view),
            Err(error) => break error,
        }
    };
    assert_eq!(full, OpenError::NoSlot);
    assert_eq!(copy_out(store.segment(), extent).expect("sealed"), b"popular");
    views.pop();
    assert!(store.open(extent).is_ok());
}

#[test]
fn hostile_numbers_open_nothing() {
    let node = Node::new();
    let store = node.join(ME);
    let good = put(&store, &mut 0, &pattern(5000), ME);
    let size = store.segment().size();
    let interesting =
        || prop_oneof![any::<u64>(), 0..size, Just(good.offset), Just(good.len), (size - 200)..(size + 200)];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5000) };
    let numbers = (any::<bool>(), interesting(), interesting(), 0..3_u32, 0..9_u32);
    proptest!(config, |((aligned, offset, len, generation, process) in numbers)| {
        let offset = if aligned { offset & !63 } else { offset };
        let extent = Extent { segment: 7, generation, offset, len, holder: Address { process, ..ME } };
        match store.open(extent) {
            Ok(_) => prop_assert_eq!(extent, good),
            Err(error) => prop_assert_eq!(error, OpenError::Stale),
        }
        if extent != good {
            prop_assert_eq!(copy_out(store.segment(), extent), Err(OpenError::Stale));
            let freed = store.free(&Extent { generation: generation + 7, ..extent });
            prop_assert!(freed.is_err());
        }
    });
    assert!(store.open(good).is_ok());
}
