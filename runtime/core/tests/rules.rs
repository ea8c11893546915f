//! Tasks, leases, retries, cancel: one test a rule.

mod world;

use iosdk_runtime_core::{Draft, Input, LocalError, Target};
use iosdk_types::message::RayletToProcess;
use iosdk_types::message::peer::ReplyStatus;
use world::World;

#[test]
fn a_task_runs_and_leaves_nothing() {
    let mut w = World::new(2);
    let object = w.submit(0, &[], &[]);
    assert_eq!(w.demand(0), 1);
    w.grant(0, 1);
    assert!(w.run_one(1).is_some());
    assert!(w.is_ready(0, object));
    w.release(0, object);
    w.assert_empty();
}

#[test]
fn a_task_waits_for_its_dependencies() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let first = w.submit(0, &[], &[]);
    let second = w.submit(0, &[first, first], &[]);
    w.settle();
    let call = w.take(1).unwrap();
    assert!(w.take(1).is_none());
    w.answer(1, &call);
    let call = w.run_one(1).unwrap();
    assert_eq!(call.deps.len(), 2);
    assert!(w.is_ready(0, second));
    w.release(0, first);
    w.release(0, second);
    w.assert_empty();
}

#[test]
fn a_failed_dependency_fails_the_task_without_running_it() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let first = w.submit(0, &[], &[]);
    let second = w.submit(0, &[first], &[]);
    let third = w.submit(0, &[second], &[]);
    w.settle();
    let call = w.take(1).unwrap();
    w.answer_error(1, call.key, ReplyStatus::Error);
    assert!(w.run_one(1).is_none());
    assert!(w.is_error(0, second) && w.is_error(0, third));
    assert!(matches!(w.at[0].errors[..], [LocalError::DependencyFailed { .. }, LocalError::DependencyFailed { .. }]));
    w.release_all(0, &[first, second, third]);
    w.assert_empty();
}

#[test]
fn an_unknown_function_runs_alone_a_short_one_is_pushed_ahead() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let objects: Vec<_> = (0..300).map(|_| w.submit(0, &[], &[])).collect();
    assert_eq!(w.pushes, 1);
    w.run_one(1);
    // Ten microseconds each, and two for passing it on: 83 make a millisecond.
    assert_eq!(w.pushes, 84);
    while w.run_one(1).is_some() {}
    for object in objects {
        assert!(w.is_ready(0, object));
        w.release(0, object);
    }
    w.assert_empty();
}

#[test]
fn tiny_tasks_stay_together_and_others_spread() {
    for (runs_for_ns, on_the_second) in [(1_000, false), (100_000, true)] {
        let mut w = World::new(3);
        w.runs_for_ns = runs_for_ns;
        w.grant(0, 1);
        w.grant(0, 2);
        let warm = w.submit(0, &[], &[]);
        while w.run_one(1).is_some() || w.run_one(2).is_some() {}
        let objects: Vec<_> = (0..5).map(|_| w.submit(0, &[], &[])).collect();
        w.settle();
        assert_eq!(w.take(1).is_some() && w.take(2).is_some(), on_the_second, "tasks of {runs_for_ns} ns");
        w.release_all(0, &objects);
        w.release(0, warm);
    }
}

#[test]
fn demand_is_a_level_and_is_not_repeated() {
    let mut w = World::new(2);
    for _ in 0..1000 {
        w.submit(0, &[], &[]);
    }
    assert!(w.at[0].said.len() < 30, "{} messages for 1,000 tasks", w.at[0].said.len());
    assert!(w.demand(0) >= 512);
    w.grant(0, 1);
    while w.run_one(1).is_some() {}
    let said = w.at[0].said.len();
    // A lease without work is kept and not counted: whoever else waits may have it at once.
    w.pass(20_000_000);
    assert_eq!((w.demand(0), w.leases.len()), (0, 1));
    w.submit(0, &[], &[]);
    assert_eq!(w.demand(0), 1);
    assert!(w.run_one(1).is_some());
    w.pass(20_000_000);
    assert_eq!((w.demand(0), w.leases.len()), (0, 1));
    w.pass(600_000_000);
    assert!(w.leases.is_empty());
    assert_eq!(w.at[0].said.len(), said + 4);
}

#[test]
fn calls_behind_a_long_one_move_elsewhere() {
    let mut w = World::new(3);
    w.grant(0, 1);
    let warm = w.submit(0, &[], &[]);
    w.run_one(1);
    let long = w.submit(0, &[], &[]);
    let short: Vec<_> = (0..5).map(|_| w.submit(0, &[], &[])).collect();
    w.settle();
    let head = w.take(1).unwrap();
    w.pass(6_000_000);
    assert!(w.demand(0) > 1);
    w.grant(0, 2);
    while w.run_one(2).is_some() {}
    assert!(short.iter().all(|object| w.is_ready(0, *object)));
    assert!(w.take(1).is_none());
    w.answer(1, &head);
    w.settle();
    assert!(w.is_ready(0, long));
    short.into_iter().chain([warm, long]).for_each(|object| w.release(0, object));
    w.assert_empty();
}

#[test]
fn a_reclaimed_lease_gives_back_what_has_not_started() {
    let mut w = World::new(3);
    let lease = w.grant(0, 1);
    let warm = w.submit(0, &[], &[]);
    w.run_one(1);
    let objects: Vec<_> = (0..3).map(|_| w.submit(0, &[], &[])).collect();
    w.settle();
    let running = w.take(1).unwrap();
    w.tell(0, RayletToProcess::Reclaim { lease });
    assert!(w.leases.contains_key(&lease));
    w.answer(1, &running);
    w.settle();
    assert!(!w.leases.contains_key(&lease));
    assert!(w.take(1).is_none());
    w.grant(0, 2);
    while w.run_one(2).is_some() {}
    for object in objects.into_iter().chain([warm]) {
        assert!(w.is_ready(0, object));
        w.release(0, object);
    }
    w.assert_empty();
}

#[test]
fn what_was_taken_costs_a_retry_what_was_not_is_free() {
    let mut w = World::new(3);
    w.grant(0, 1);
    let warm = w.submit(0, &[], &[]);
    w.run_one(1);
    let taken = w.submit_retried(0, 0);
    let queued = w.submit_retried(0, 0);
    let retried = w.submit_retried(0, 1);
    w.settle();
    w.take(1).unwrap();
    w.kill(1);
    assert!(w.is_error(0, taken));
    let [LocalError::WorkerCrashed { attempts, .. }] = &w.at[0].errors[..] else { panic!("{:?}", w.at[0].errors) };
    assert_eq!((attempts.len(), attempts[0].number, attempts[0].death.pid), (1, 1, 4711));
    w.grant(0, 2);
    while w.run_one(2).is_some() {}
    assert!(w.is_ready(0, queued) && w.is_ready(0, retried));
    w.release_all(0, &[warm, taken, queued, retried]);
    w.assert_empty();
}

#[test]
fn every_attempt_is_named() {
    let mut w = World::new(4);
    let object = w.submit_retried(0, 2);
    for worker in 1..=3 {
        w.grant(0, worker);
        w.settle();
        w.take(worker).unwrap();
        w.kill(worker);
    }
    assert!(w.is_error(0, object));
    let [LocalError::WorkerCrashed { attempts, .. }] = &w.at[0].errors[..] else { panic!("{:?}", w.at[0].errors) };
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3]);
    w.release(0, object);
    w.assert_empty();
}

#[test]
fn a_retryable_error_runs_again_until_the_budget_is_spent() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let object = w.submit_retried(0, 1);
    for left in [1, 0] {
        w.settle();
        let call = w.take(1).unwrap();
        w.answer_error(1, call.key, ReplyStatus::RetryableError);
        w.settle();
        assert_eq!(w.is_error(0, object), left == 0);
    }
    w.release(0, object);
    w.assert_empty();
}

#[test]
fn cancel_stops_what_has_not_started_and_interrupts_what_runs() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let warm = w.submit(0, &[], &[]);
    w.run_one(1);
    let running = w.submit(0, &[], &[]);
    let pushed = w.submit(0, &[], &[]);
    let waiting = w.submit(0, &[running], &[]);
    w.settle();
    let call = w.take(1).unwrap();
    for object in [running, pushed, waiting] {
        w.step(0, Input::Cancel { object, force: false });
    }
    assert!(w.is_error(0, pushed) && w.is_error(0, waiting) && !w.is_error(0, running));
    w.settle();
    assert_eq!(w.at[1].interrupts, [(call.key, false)]);
    assert!(w.take(1).is_none());
    w.answer_error(1, call.key, ReplyStatus::RetryableError);
    w.settle();
    assert!(w.is_error(0, running));
    w.release_all(0, &[warm, running, pushed, waiting]);
    w.assert_empty();
}

#[test]
fn an_infeasible_class_fails_what_is_queued() {
    let mut w = World::new(1);
    let object = w.submit(0, &[], &[]);
    w.tell(0, RayletToProcess::Infeasible { class: 0, why: "no GPU".to_owned() });
    assert!(matches!(&w.at[0].errors[..], [LocalError::Infeasible { why, .. }] if why == "no GPU"));
    w.release(0, object);
    w.assert_empty();
    let again = w.submit(0, &[], &[]);
    assert_eq!(w.demand(0), 1);
    w.step(0, Input::Cancel { object: again, force: false });
    w.release(0, again);
    w.assert_empty();
}

#[test]
fn one_error_is_shared_by_all_returns() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let target = Target::Task { class: w.at[0].class };
    let draft = Draft { returns: 3, ..w.draft(0, target, &[], &[]) };
    w.step(0, Input::Submit(draft));
    let (task, _) = w.at[0].submitted.pop().unwrap();
    let returns = w.at[0].owner.returns(task).to_vec();
    w.settle();
    let call = w.take(1).unwrap();
    w.answer_error(1, call.key, ReplyStatus::Error);
    w.settle();
    assert!(returns.iter().all(|object| w.is_error(0, *object)));
    returns.into_iter().for_each(|object| w.release(0, object));
    w.assert_empty();
}

#[test]
fn a_lane_never_has_more_than_512_unanswered_calls() {
    let mut w = World::new(2);
    let (actor, counting, _) = w.create_actor(0, 1);
    let calls: Vec<_> = (0..1000).map(|_| w.method(0, actor, &[])).collect();
    assert_eq!(w.pushes, 512);
    while w.run_one(1).is_some() {}
    assert_eq!(w.pushes, 1001);
    calls.into_iter().for_each(|object| w.release(0, object));
    w.release(0, counting);
    w.run_one(1);
    w.assert_empty();
}

#[test]
fn a_worker_that_refuses_calls_gets_no_more() {
    let mut w = World::new(3);
    let lease = w.grant(0, 1);
    w.tell(1, RayletToProcess::Exit { reason: "idle".to_owned() });
    let object = w.submit(0, &[], &[]);
    w.settle();
    assert!(!w.leases.contains_key(&lease));
    assert_eq!(w.pushes, 1);
    w.grant(0, 2);
    w.run_one(2);
    assert!(w.is_ready(0, object));
    w.release(0, object);
    w.assert_empty();
}

#[test]
fn a_poisoned_lane_is_judged_like_a_death() {
    let mut w = World::new(3);
    w.grant(0, 1);
    let object = w.submit(0, &[], &[]);
    w.poison(0, 1);
    w.grant(0, 2);
    w.run_one(2);
    assert!(w.is_ready(0, object));
    w.kill(1);
    w.release(0, object);
    w.assert_empty();
}
