//! What the history is told: each attempt once, how it ended, where, and when.

mod world;

use iosdk_runtime_core::Input;
use iosdk_types::message::RayletToProcess;
use iosdk_types::message::peer::ReplyStatus;
use iosdk_types::{ActorId, JobId, Outcome, Span, TaskKind, Time};
use world::World;

/// `(outcome, attempt, worker, pid)` of everything process 0 told.
fn told(w: &World) -> Vec<(Outcome, u32, u32, i32)> {
    w.at[0].records.iter().map(|record| (record.outcome, record.attempt, record.worker, record.pid)).collect()
}

const NOWHERE: u32 = u32::MAX;

#[test]
fn a_task_that_finished_says_where_and_when() {
    let mut w = World::new(2);
    let object = w.submit(0, &[], &[]);
    w.grant(0, 1);
    let submitted = w.now;
    w.now = submitted + Span::from_millis(5);
    w.run_one(1);
    let [record] = w.at[0].records[..] else { panic!("{:?}", w.at[0].records) };
    assert_eq!((record.kind, record.outcome, record.attempt), (TaskKind::Task, Outcome::Finished, 0));
    assert_eq!((record.worker, record.pid, record.node, record.owner), (1, 1, 0, 0));
    assert_eq!((record.job, record.actor), (JobId::from_index(1), None));
    assert_eq!(record.task.actor(), ActorId::none(record.job));
    assert_eq!((record.submitted, record.ended), (submitted, w.now));
    assert_eq!(record.started, Some(Time(w.now.0 - w.runs_for_ns)));
    w.release(0, object);
    w.assert_empty();
}

#[test]
fn each_attempt_is_told_once() {
    let mut w = World::new(4);
    let object = w.submit_retried(0, 2);
    w.grant(0, 1);
    w.settle();
    w.take(1).unwrap();
    w.kill(1);
    for status in [ReplyStatus::RetryableError, ReplyStatus::RetryableError] {
        w.grant(0, 2);
        w.settle();
        let call = w.take(2).unwrap();
        w.answer_error(2, call.key, status);
        w.settle();
    }
    assert!(w.is_error(0, object));
    assert_eq!(told(&w), [(Outcome::WorkerDied, 0, 1, 4711), (Outcome::Raised, 1, 2, 1), (Outcome::Raised, 2, 2, 1)]);
    assert_eq!(w.at[0].records[0].started, None, "nobody is left to say when");
    w.release(0, object);
    w.assert_empty();
}

#[test]
fn the_last_attempt_of_a_task_whose_workers_die_is_told_once() {
    let mut w = World::new(2);
    let object = w.submit_retried(0, 0);
    w.grant(0, 1);
    w.settle();
    w.take(1).unwrap();
    w.kill(1);
    assert_eq!(told(&w), [(Outcome::WorkerDied, 0, 1, 4711)]);
    w.release(0, object);
    w.assert_empty();
}

#[test]
fn what_never_ran_was_nowhere() {
    let mut w = World::new(2);
    let cancelled = w.submit(0, &[], &[]);
    w.step(0, Input::Cancel { object: cancelled, force: false });
    let infeasible = w.submit(0, &[], &[]);
    let dependent = w.submit(0, &[infeasible], &[]);
    w.tell(0, RayletToProcess::Infeasible { class: 0, why: "no GPU".to_owned() });
    let expected = [Outcome::Cancelled, Outcome::Infeasible, Outcome::DependencyFailed];
    assert_eq!(told(&w), expected.map(|outcome| (outcome, 0, NOWHERE, 0)));
    assert!(w.at[0].records.iter().all(|record| record.started.is_none()));
    w.release_all(0, &[cancelled, infeasible, dependent]);
    w.assert_empty();
}

/// Whatever its body made of the interrupt, short of finishing.
#[test]
fn a_running_task_that_was_cancelled_did_not_raise() {
    let mut w = World::new(2);
    w.grant(0, 1);
    let object = w.submit(0, &[], &[]);
    w.settle();
    let call = w.take(1).unwrap();
    w.step(0, Input::Cancel { object, force: false });
    w.settle();
    w.answer_error(1, call.key, ReplyStatus::Error);
    w.settle();
    assert_eq!(told(&w), [(Outcome::Cancelled, 0, 1, 1)]);
    w.release(0, object);
    w.assert_empty();
}

#[test]
fn an_actor_is_told_by_its_creation_and_its_calls() {
    let mut w = World::new(2);
    let (actor, counting, id) = w.create_actor(0, 1);
    w.run_one(1);
    let call = w.method(0, actor, &[]);
    w.run_one(1);
    w.step(0, Input::KillActor { actor });
    let late = w.method(0, actor, &[]);
    let kinds: Vec<_> = w.at[0].records.iter().map(|record| (record.kind, record.outcome, record.actor)).collect();
    let expected = [
        (TaskKind::ActorCreation, Outcome::Finished, Some(id)),
        (TaskKind::ActorCall, Outcome::Finished, Some(id)),
        (TaskKind::ActorCall, Outcome::ActorDied, Some(id)),
    ];
    assert_eq!(kinds, expected);
    w.release_all(0, &[counting, call, late]);
    w.settle();
    assert_eq!(w.at[0].records.len(), 3, "what the machine calls by itself is nobody's task");
}
