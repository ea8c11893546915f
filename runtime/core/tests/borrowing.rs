//! References across processes: lending, registering, acknowledging, returning, and what deaths do to them.

mod world;

use iosdk_runtime_core::{Input, LocalError, ObjectState};
use iosdk_types::Key;
use iosdk_types::message::peer::ReplyStatus;
use smallvec::smallvec;
use world::{World, value};

/// A task of process 0 runs on 1 with a reference inside its arguments; returns the worker's key of it and the task's return.
fn lend(w: &mut World, object: Key) -> (Key, Key) {
    let task = w.submit(0, &[], &[object]);
    w.settle();
    let call = w.take(1).unwrap();
    let inner = call.contains[0];
    w.step(1, Input::retain(inner));
    w.answer(1, &call);
    w.settle();
    (inner, task)
}

#[test]
fn a_borrower_keeps_an_object_alive_until_it_returns_it() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let object = w.put(0, &[]);
    let (inner, task) = lend(&mut w, object);
    w.release(0, task);
    w.release(0, object);
    w.settle();
    assert!(w.is_ready(0, object), "freed while borrowed");
    w.get(1, inner);
    assert!(w.is_ready(1, inner));
    w.release(1, inner);
    w.settle();
    assert_eq!(w.at[0].owner.state(object), ObjectState::Unknown);
    w.assert_empty();
}

#[test]
fn a_reference_handed_on_registers_with_its_owner() {
    let mut w = World::new(3);
    w.grant(0, 1);
    let object = w.put_large(0, &[]);
    let (inner, task) = lend(&mut w, object);
    w.release(0, task);
    w.release(0, object);
    w.grant(1, 2);
    let onward = w.submit(1, &[], &[inner]);
    // The lender lets go at once: its loan still counts.
    w.release(1, inner);
    while w.deliver(1, 2) {}
    assert_eq!(w.at[1].owner.contains(onward), &[] as &[Key]);
    assert!(w.is_ready(0, object));
    let call = w.take(2).unwrap();
    w.settle();
    let far = call.contains[0];
    w.step(2, Input::retain(far));
    w.answer(2, &call);
    w.settle();
    w.release(1, onward);
    w.settle();
    assert_eq!(w.at[1].owner.live_objects(), 0);
    w.get(2, far);
    assert!(w.is_ready(2, far));
    w.release(2, far);
    w.settle();
    w.assert_empty();
}

#[test]
fn a_reference_comes_home() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let object = w.put(0, &[]);
    let task = w.submit(0, &[], &[object]);
    w.settle();
    let call = w.take(1).unwrap();
    let answer = value(w.inline(1), &call.contains);
    w.finish(1, call.key, ReplyStatus::Ok, vec![answer]);
    w.settle();
    assert_eq!(w.at[0].owner.contains(task), [object]);
    w.release(0, object);
    assert!(w.is_ready(0, object));
    w.release(0, task);
    w.settle();
    w.assert_empty();
}

#[test]
fn references_inside_values_live_with_them() {
    let mut w = World::new(2);
    let mut chain = w.put(0, &[]);
    for _ in 0..100_000 {
        let outer = w.at[0].owner.live_objects();
        let place = w.inline(0);
        // No check of the whole state for each of so many.
        let mut effects = Vec::new();
        let now = w.now;
        let p = &mut w.at[0];
        iosdk_types::Machine::step(&mut p.owner, now, Input::Put(value(place, &[chain])), &mut effects);
        let Some(iosdk_runtime_core::Effect::Opened { object }) = effects.pop() else { panic!("no object") };
        iosdk_types::Machine::step(&mut p.owner, now, Input::release(chain), &mut effects);
        assert_eq!(p.owner.live_objects(), outer + 1);
        chain = object;
    }
    w.release(0, chain);
    w.assert_empty();
}

#[test]
fn arena_arguments_are_lent_and_freed_at_their_holder() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let large = w.put_large(0, &[]);
    let task = w.submit(0, &[large], &[]);
    w.release(0, large);
    w.settle();
    let call = w.take(1).unwrap();
    let kept = call.deps[0].object;
    w.step(1, Input::retain(kept));
    let answer = value(w.stored(1), &[]);
    w.finish(1, call.key, ReplyStatus::Ok, vec![answer]);
    w.settle();
    assert_eq!(w.arena.len(), 2, "a view of the argument was still there");
    w.release(1, kept);
    w.settle();
    assert_eq!(w.arena.len(), 1);
    w.release(0, task);
    w.settle();
    w.assert_empty();
}

#[test]
fn what_a_dead_holder_left_is_claimed_until_it_is_freed() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let objects = [w.submit(0, &[], &[]), w.submit(0, &[], &[])];
    for _ in objects {
        w.settle();
        let call = w.take(1).unwrap();
        let answer = value(w.stored(1), &[]);
        w.finish(1, call.key, ReplyStatus::Ok, vec![answer]);
        w.settle();
    }
    w.kill(1);
    assert_eq!((w.arena.len(), w.claimed(1).len()), (2, 2));
    w.release(0, objects[0]);
    w.release(0, objects[1]);
    assert_eq!((w.arena.len(), w.claimed(1).len()), (0, 0));
    w.assert_empty();
}

#[test]
fn a_dead_owner_takes_what_only_it_knew() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let task = w.submit(0, &[], &[]);
    w.settle();
    let call = w.take(1).unwrap();
    let (seen, unseen) = (w.put(1, &[]), w.put(1, &[]));
    let answer = value(w.inline(1), &[seen, unseen]);
    w.finish(1, call.key, ReplyStatus::Ok, vec![answer]);
    w.settle();
    let [seen, unseen] = w.at[0].owner.contains(task).to_vec()[..] else { panic!("two references were sent") };
    w.get(0, seen);
    w.kill(1);
    assert!(w.is_ready(0, seen), "the copy that is here stays");
    assert!(w.is_error(0, unseen));
    assert!(matches!(&w.at[0].errors[..], [LocalError::OwnerDied { death: Some(death), .. }] if death.pid == 4711));
    w.release(0, task);
    w.assert_empty();
}

#[test]
fn a_dead_borrower_keeps_nothing_alive() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let object = w.put(0, &[]);
    let (_, task) = lend(&mut w, object);
    w.release(0, task);
    w.release(0, object);
    w.settle();
    assert!(w.is_ready(0, object));
    w.kill(1);
    w.assert_empty();
}

#[test]
fn a_dead_owners_object_that_is_known_twice_is_let_go_twice() {
    let mut w = World::new(3);
    w.grant(0, 1);
    let object = w.put(0, &[]);
    let (early, _) = lend(&mut w, object);
    w.grant(1, 2);
    let there = w.submit(1, &[], &[early]);
    w.settle();
    let other = w.take(2).unwrap();
    let far = other.contains[0];
    w.step(2, Input::retain(far));
    w.answer(2, &other);
    w.settle();
    w.kill(0);
    // It comes back after its owner's death, beside the entry from before, and is handed on.
    let back = w.submit(1, &[], &[]);
    w.settle();
    let call = w.take(2).unwrap();
    let answer = value(w.inline(2), &[far]);
    w.finish(2, call.key, ReplyStatus::Ok, vec![answer]);
    w.settle();
    let late = w.at[1].owner.contains(back)[0];
    assert_ne!(late, early);
    let onward = w.submit(1, &[], &[late]);
    w.run_one(2);
    w.settle();
    w.release_all(1, &[early, there, back, onward]);
    w.release(2, far);
    w.settle();
    w.assert_empty();
}

#[test]
fn a_lender_that_dies_before_its_receiver_registered_loses_nothing() {
    let mut w = World::new(3);
    w.grant(0, 1);
    let object = w.put(0, &[]);
    let (inner, task) = lend(&mut w, object);
    w.release(0, task);
    w.release(0, object);
    w.grant(1, 2);
    w.submit(1, &[], &[inner]);
    while w.deliver(1, 2) {}
    let call = w.take(2).unwrap();
    let far = call.contains[0];
    w.step(2, Input::retain(far));
    w.kill(1);
    w.settle();
    assert!(w.is_ready(0, object), "the hold was lost in flight");
    w.answer(2, &call);
    w.get(2, far);
    w.release(2, far);
    w.settle();
    w.assert_empty();
}

#[test]
fn a_retracted_call_gives_its_references_back() {
    let mut w = World::new(3);
    let lease = w.grant(0, 1);
    let warm = w.submit(0, &[], &[]);
    w.run_one(1);
    let object = w.put(0, &[]);
    let head = w.submit(0, &[], &[]);
    let moved = w.submit(0, &[object], &[object]);
    w.settle();
    let running = w.take(1).unwrap();
    w.tell(0, iosdk_types::message::RayletToProcess::Reclaim { lease });
    w.grant(0, 2);
    w.run_one(2);
    assert!(w.is_ready(0, moved));
    w.answer(1, &running);
    w.run_one(1);
    w.release_all(0, &[warm, object, head, moved]);
    w.settle();
    w.assert_empty();
}

#[test]
fn a_descriptor_from_outside_finds_its_object_or_an_error() {
    let mut w = World::new(2);
    let object = w.put(0, &[]);
    let reference = w.at[0].owner.describe(object).unwrap();
    w.step(1, Input::Adopt { reference });
    let adopted = w.at[1].opened.pop().unwrap();
    w.get(1, adopted);
    assert!(w.is_ready(1, adopted));
    w.release(0, object);
    assert!(w.is_ready(0, object));
    w.release(1, adopted);
    w.settle();
    w.assert_empty();
    w.step(1, Input::Adopt { reference });
    let lost = w.at[1].opened.pop().unwrap();
    w.settle();
    assert!(w.is_error(1, lost));
    assert!(matches!(w.at[1].errors[..], [LocalError::ObjectLost { .. }]));
    w.release(1, lost);
    w.assert_empty();
}

#[test]
fn a_reference_to_a_process_that_is_gone_fails() {
    let mut w = World::new(3);
    let object = w.put(2, &[]);
    let reference = w.at[2].owner.describe(object).unwrap();
    w.kill(2);
    w.step(0, Input::Adopt { reference });
    let adopted = w.at[0].opened.pop().unwrap();
    assert!(w.is_error(0, adopted));
    w.release(0, adopted);
    w.assert_empty();
}

#[test]
fn a_fetch_given_up_leaves_nothing() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let inside = w.put(0, &[]);
    let outer = w.put(0, &[inside]);
    let (borrowed, task) = lend(&mut w, outer);
    w.step(1, Input::Watch { object: borrowed, waiter: 3 });
    w.step(1, Input::Unwatch { object: borrowed, waiter: 3 });
    w.release(1, borrowed);
    w.settle();
    w.release_all(0, &[inside, outer, task]);
    w.settle();
    assert!(w.at[1].ready.is_empty());
    w.assert_empty();
}

#[test]
fn an_error_value_carries_references_too() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let task = w.submit(0, &[], &[]);
    w.settle();
    let call = w.take(1).unwrap();
    let inner = w.put(1, &[]);
    let place = w.inline(1);
    let error = iosdk_runtime_core::NewValue { place, is_error: true, contains: smallvec![inner] };
    w.finish(1, call.key, ReplyStatus::Error, vec![error]);
    w.release(1, inner);
    w.settle();
    assert!(w.is_ready(1, inner));
    w.release(0, task);
    w.settle();
    w.assert_empty();
}

/// The lender's `Return` overtakes the receiver's `Register`: is the object still there in between?
fn survives_being_handed_on(w: &mut World) -> bool {
    w.grant(0, 1);
    let object = w.put(0, &[]);
    let (inner, task) = lend(w, object);
    w.release_all(0, &[task, object]);
    w.grant(1, 2);
    let onward = w.submit(1, &[], &[inner]);
    while w.deliver(1, 2) {}
    let call = w.take(2).unwrap();
    w.step(2, Input::retain(call.contains[0]));
    w.answer(2, &call);
    while w.deliver(2, 1) {}
    w.release(1, onward);
    w.release(1, inner);
    while w.deliver(1, 0) {}
    let alive = w.is_ready(0, object);
    w.settle();
    w.release(2, call.contains[0]);
    w.settle();
    alive
}

#[test]
fn a_return_that_overtakes_a_registration_frees_nothing() {
    let mut w = World::new(3);
    assert!(survives_being_handed_on(&mut w));
    w.assert_empty();
}

#[cfg(feature = "planted")]
#[test]
fn a_forwarder_without_a_hold_of_its_own_is_noticed() {
    let mut w = World::new(3);
    for process in &mut w.at {
        process.owner.plant(iosdk_runtime_core::planted::Bug::DropLoanOnForward);
    }
    assert!(!survives_being_handed_on(&mut w));
}
