//! What is told of a process to who asks: each task and object once, where it is and what it waits for.

mod world;

use iosdk_runtime_core::views::{CalleeAt, Missing};
use iosdk_types::state::{Location, TaskPhase, TaskState};
use iosdk_types::{Key, TaskKind};
use world::{World, address};

/// What process 0 says of its tasks, if those whose key is in `begun` were taken.
fn states(w: &World, begun: &[Key]) -> Vec<TaskState> {
    let owner = &w.at[0].owner;
    let state = |key| {
        let name = |function: Key, actor| format!("{}:{}", function.index(), u8::from(Option::is_some(&actor)));
        owner.task_state(key, name, |_| begun.contains(&key))
    };
    owner.tasks().filter_map(state).collect()
}

fn phases(w: &World, begun: &[Key]) -> Vec<TaskPhase> {
    states(w, begun).into_iter().map(|state| state.phase).collect()
}

#[test]
fn a_task_is_told_from_its_submission_to_its_end() {
    let mut w = World::new(2);
    let first = w.submit(0, &[], &[]);
    let second = w.submit(0, &[first], &[]);
    assert_eq!(phases(&w, &[]), [TaskPhase::WaitsForWorker, TaskPhase::WaitsForArguments]);
    let owner = &w.at[0].owner;
    let keys: Vec<Key> = owner.tasks().collect();
    let missing = owner.missing(keys[1]);
    let id = owner.describe(first).unwrap().object;
    assert_eq!(missing, [Missing { object: id, owner: address(0), task: Some(keys[0]) }]);
    let queue = owner.queue_of(keys[0]).unwrap();
    assert_eq!((queue.waiting, queue.leases, queue.wanted > 0), (1, 0, true));

    w.grant(0, 1);
    w.settle();
    assert_eq!(phases(&w, &[]), [TaskPhase::Pushed, TaskPhase::WaitsForArguments]);
    let call = w.take(1).unwrap();
    let running: Vec<_> = w.at[1].owner.running_calls().map(|call| (call.task, call.since)).collect();
    assert_eq!(running, [(call.task, w.now)]);
    let told = states(&w, &keys[..1]);
    assert_eq!((told[0].phase, told[0].kind), (TaskPhase::Running, TaskKind::Task));
    assert_eq!(told[0].on.map(|(process, _)| process), Some(address(1)));
    assert_eq!(w.at[0].owner.find_task(&told[0].task), Some(keys[0]));

    w.answer(1, &call);
    w.settle();
    assert_eq!(states(&w, &[]).len(), 1, "the first has ended");
    w.run_one(1);
    w.settle();
    assert_eq!(states(&w, &[]), []);
    w.release_all(0, &[first, second]);
    w.assert_empty();
}

#[test]
fn calls_of_an_actor_wait_for_its_process() {
    let mut w = World::new(2);
    let (actor, counting, id) = w.ask_for_actor(0);
    let result = w.method(0, actor, &[]);
    let told = states(&w, &[]);
    let kinds: Vec<_> = told.iter().map(|state| (state.kind, state.phase, state.name.as_str())).collect();
    let waits = TaskPhase::WaitsForWorker;
    assert_eq!(kinds, [(TaskKind::ActorCreation, waits, "0:0"), (TaskKind::ActorCall, waits, "0:1")]);
    let callee = w.at[0].owner.find_callee(&id).unwrap();
    assert_eq!((callee.at, callee.in_flight, callee.waiting), (CalleeAt::Nowhere, 0, 2));
    let task = w.at[0].owner.tasks().next().unwrap();
    assert_eq!(w.at[0].owner.callee_of(task).unwrap().actor, id);
    assert_eq!(w.at[0].owner.queue_of(task), None);
    w.tell(0, iosdk_types::message::RayletToProcess::ActorAlive { actor: id, address: address(1) });
    w.settle();
    let callee = w.at[0].owner.find_callee(&id).unwrap();
    assert!(matches!(callee.at, CalleeAt::Process(process, _) if process == address(1)), "{callee:?}");
    assert_eq!(phases(&w, &[]), [TaskPhase::Pushed; 2]);
    w.release_all(0, &[result, counting]);
}

#[test]
fn an_object_says_where_it_lies_and_who_keeps_it() {
    let mut w = World::new(2);
    let (small, large) = (w.put(0, &[]), w.put_large(0, &[]));
    let task = w.submit(0, &[large], &[small]);
    let state = |w: &World, process: usize, key| w.at[process].owner.object_state(key, |_| Some(7)).unwrap();
    let small_state = state(&w, 0, small);
    assert_eq!(
        (small_state.location, small_state.size, small_state.state()),
        (Some(Location::Inline), Some(7), "READY")
    );
    assert_eq!((small_state.handles, small_state.uses, small_state.borrowers), (1, 1, 0));
    assert_eq!(state(&w, 0, large).location, Some(Location::Arena));
    let pending = state(&w, 0, task);
    assert_eq!((pending.location, pending.size, pending.state()), (None, None, "PENDING"));
    assert!(w.at[0].owner.keepers(task).unwrap().task.is_some());

    w.grant(0, 1);
    w.settle();
    let call = w.take(1).unwrap();
    assert_eq!(w.at[0].owner.keepers(small).unwrap().lent_to, [address(1)]);
    let borrowed = state(&w, 1, call.contains[0]);
    assert_eq!((borrowed.object, borrowed.owner), (small_state.object, address(0)));
    assert_eq!((borrowed.location, borrowed.state()), (None, "PENDING"), "a borrower that has not asked does not know");
    w.answer(1, &call);
    w.settle();
    w.release_all(0, &[small, large, task]);
    w.assert_empty();
}
