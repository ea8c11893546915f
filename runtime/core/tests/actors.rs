//! Actors: order, handles, construction, and every way to end.

mod world;

use iosdk_runtime_core::{Input, LocalError};
use iosdk_types::message::peer::{CallKind, ReplyStatus};
use iosdk_types::message::{ActorDeath, ProcessToRaylet, RayletToProcess};
use world::World;

#[test]
fn calls_before_the_actor_is_alive_wait_and_keep_their_order() {
    let mut w = World::new(3);
    let (actor, counting, id) = w.ask_for_actor(0);
    w.grant(0, 2);
    let arg = w.submit(0, &[], &[]);
    let blocked = w.method(0, actor, &[arg]);
    let after = w.method(0, actor, &[]);
    w.tell(0, RayletToProcess::ActorAlive { actor: id, address: world::address(1) });
    assert_eq!(w.run_one(1).unwrap().kind, CallKind::CreateActor);
    assert!(w.run_one(1).is_none(), "a call whose argument is missing holds up the next");
    w.run_one(2);
    let (a, b) = (w.run_one(1).unwrap(), w.run_one(1).unwrap());
    assert_eq!((a.deps.len(), b.deps.len()), (1, 0));
    w.release_all(0, &[arg, blocked, after, counting]);
    w.settle();
    assert_eq!(w.run_one(1).unwrap().kind, CallKind::Terminate);
    assert_eq!(w.at[1].exits, 1);
    w.assert_empty();
}

#[test]
fn the_last_handle_anywhere_ends_the_actor_after_its_calls() {
    let mut w = World::new(3);
    let (actor, counting, id) = w.create_actor(0, 1);
    w.grant(0, 2);
    let task = w.submit(0, &[], &[counting]);
    let own = w.method(0, actor, &[]);
    w.release(0, counting);
    w.release(0, own);
    w.settle();
    let call = w.take(2).unwrap();
    let counting = call.contains[0];
    w.step(2, Input::retain(counting));
    w.step(2, Input::AdoptActor { actor: id, object: counting });
    let handle = w.at[2].actors.pop().unwrap();
    w.answer(2, &call);
    w.settle();
    let result = w.method(2, handle, &[]);
    assert_eq!(w.at[2].said.last(), Some(&ProcessToRaylet::ResolveActor { actor: id }));
    w.tell(2, RayletToProcess::ActorAlive { actor: id, address: world::address(1) });
    w.release(2, counting);
    w.release(0, task);
    let mut kinds = Vec::new();
    while let Some(call) = w.run_one(1) {
        kinds.push(call.kind);
    }
    assert_eq!(kinds, [CallKind::CreateActor, CallKind::Method, CallKind::Method, CallKind::Terminate]);
    assert!(w.is_ready(2, result));
    let ended = ProcessToRaylet::ActorState { actor: id, ended: Some(ActorDeath::OutOfScope) };
    assert!(w.at[1].said.contains(&ended));
    w.release(2, result);
    w.settle();
    w.assert_empty();
}

#[test]
fn methods_wait_for_the_constructor() {
    let mut w = World::new(3);
    let (_, counting, id) = w.create_actor(0, 1);
    w.grant(0, 2);
    let task = w.submit(0, &[], &[counting]);
    while w.deliver(0, 2) {}
    let call = w.take(2).unwrap();
    let counting2 = call.contains[0];
    w.step(2, Input::AdoptActor { actor: id, object: counting2 });
    let handle = w.at[2].actors.pop().unwrap();
    let method = w.method(2, handle, &[]);
    w.tell(2, RayletToProcess::ActorAlive { actor: id, address: world::address(1) });
    while w.deliver(2, 1) {}
    assert!(w.take(1).is_none(), "the creation call is still on its way");
    w.settle();
    let creation = w.take(1).unwrap();
    assert_eq!(creation.kind, CallKind::CreateActor);
    assert!(w.take(1).is_none());
    w.answer(1, &creation);
    assert!(w.at[1].said.contains(&ProcessToRaylet::ActorState { actor: id, ended: None }));
    assert_eq!(w.run_one(1).unwrap().kind, CallKind::Method);
    w.answer(2, &call);
    w.release(2, method);
    w.release(0, task);
    w.release(0, counting);
    while w.run_one(1).is_some() {}
    w.assert_empty();
}

#[test]
fn an_actor_that_dies_fails_its_calls_with_the_cause() {
    let mut w = World::new(2);
    let (actor, counting, id) = w.create_actor(0, 1);
    w.run_one(1);
    let done = w.method(0, actor, &[]);
    w.run_one(1);
    let taken = w.method(0, actor, &[]);
    let queued = w.method(0, actor, &[]);
    w.settle();
    w.take(1).unwrap();
    w.kill(1);
    assert!(w.at[0].errors.is_empty(), "the cause is still on its way");
    w.tell(0, RayletToProcess::ActorDead { actor: id, cause: ActorDeath::Exited });
    assert!(w.is_ready(0, done) && w.is_error(0, taken) && w.is_error(0, queued));
    let late = w.method(0, actor, &[]);
    assert!(w.is_error(0, late));
    let died = |error: &LocalError| matches!(error, LocalError::ActorDied { cause: ActorDeath::Exited, .. });
    assert!(w.at[0].errors.len() == 3 && w.at[0].errors.iter().all(died));
    w.release_all(0, &[counting, done, taken, queued, late]);
    w.assert_empty();
}

#[test]
fn without_a_cause_the_process_is_the_cause() {
    let mut w = World::new(2);
    let (actor, counting, _) = w.create_actor(0, 1);
    let call = w.method(0, actor, &[]);
    w.kill(1);
    w.pass(600_000_000);
    assert!(w.is_error(0, call) && w.is_error(0, counting));
    assert!(matches!(w.at[0].errors[0], LocalError::ActorDied { cause: ActorDeath::Process(_), .. }));
    w.release_all(0, &[counting, call]);
    w.assert_empty();
}

#[test]
fn a_killed_actor_fails_what_waits_now_and_what_runs_when_it_is_gone() {
    let mut w = World::new(2);
    let (actor, counting, id) = w.create_actor(0, 1);
    w.run_one(1);
    let running = w.method(0, actor, &[]);
    w.settle();
    w.take(1).unwrap();
    w.step(0, Input::KillActor { actor });
    assert_eq!(w.at[0].said.last(), Some(&ProcessToRaylet::KillActor { actor: id, no_restart: true }));
    let after = w.method(0, actor, &[]);
    assert!(w.is_error(0, after) && !w.is_error(0, running));
    w.kill(1);
    assert!(w.is_error(0, running));
    w.tell(0, RayletToProcess::ActorDead { actor: id, cause: ActorDeath::Killed });
    let killed = |error: &LocalError| matches!(error, LocalError::ActorDied { cause: ActorDeath::Killed, .. });
    assert!(w.at[0].errors.iter().all(killed));
    w.release_all(0, &[counting, running, after]);
    w.assert_empty();
}

#[test]
fn a_constructor_that_raises_fails_every_call() {
    let mut w = World::new(2);
    let (actor, counting, id) = w.create_actor(0, 1);
    let call = w.method(0, actor, &[]);
    w.settle();
    let creation = w.take(1).unwrap();
    w.answer_error(1, creation.key, ReplyStatus::Error);
    let cause = ActorDeath::InitFailed { error: vec![1, 2] };
    w.step(1, Input::ActorEnds { cause: cause.clone() });
    assert!(w.at[1].said.contains(&ProcessToRaylet::ActorState { actor: id, ended: Some(cause.clone()) }));
    w.settle();
    assert!(w.is_error(0, counting) && !w.is_error(0, call));
    let late = w.method(0, actor, &[]);
    w.kill(1);
    w.tell(0, RayletToProcess::ActorDead { actor: id, cause });
    assert!(w.is_error(0, call) && w.is_error(0, late));
    let failed = |error: &LocalError| matches!(error, LocalError::ActorDied { cause: ActorDeath::InitFailed { error }, .. } if *error == [1, 2]);
    assert!(w.at[0].errors.iter().all(failed));
    w.release_all(0, &[counting, call, late]);
    w.assert_empty();
}

#[test]
fn a_queued_method_is_cancelled_and_those_after_it_run() {
    let mut w = World::new(2);
    let (actor, counting, _) = w.create_actor(0, 1);
    w.run_one(1);
    let calls: Vec<_> = (0..3).map(|_| w.method(0, actor, &[])).collect();
    w.settle();
    let running = w.take(1).unwrap();
    w.step(0, Input::Cancel { object: calls[1], force: false });
    assert!(w.is_error(0, calls[1]));
    w.answer(1, &running);
    w.run_one(1);
    assert!(w.is_ready(0, calls[0]) && w.is_ready(0, calls[2]));
    calls.into_iter().chain([counting]).for_each(|object| w.release(0, object));
    while w.run_one(1).is_some() {}
    w.assert_empty();
}

#[test]
fn an_infeasible_actor_fails_its_calls() {
    let mut w = World::new(1);
    let (actor, counting, id) = w.ask_for_actor(0);
    let waiting = w.method(0, actor, &[]);
    w.tell(0, RayletToProcess::ActorDead { actor: id, cause: ActorDeath::Infeasible { why: "no".to_owned() } });
    assert!(w.is_error(0, waiting) && w.is_error(0, counting));
    w.release_all(0, &[waiting, counting]);
    w.assert_empty();
}

#[test]
fn an_actor_whose_argument_failed_is_ended_and_its_calls_fail() {
    let mut w = World::new(3);
    w.grant(0, 2);
    let arg = w.submit(0, &[], &[]);
    let (actor, counting, id) = w.ask_for_actor_with(0, &[arg]);
    let waiting = w.method(0, actor, &[]);
    w.tell(0, RayletToProcess::ActorAlive { actor: id, address: world::address(1) });
    w.settle();
    let call = w.take(2).unwrap();
    w.answer_error(2, call.key, ReplyStatus::Error);
    w.settle();
    assert!(w.at[0].said.contains(&ProcessToRaylet::KillActor { actor: id, no_restart: true }));
    let late = w.method(0, actor, &[]);
    assert!([counting, waiting, late].iter().all(|object| w.is_error(0, *object)));
    w.release_all(0, &[arg, counting, waiting, late]);
    w.settle();
    w.assert_empty();
}
