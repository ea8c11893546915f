//! Submitted jobs, one rule a test: they wait, start, end, are stopped and deleted, and survive the loss of nodes and heads.

mod world;

use iosdk_gcs_core::{ApiCall, ApiError, ApiReply, Config, JobStatus, NewJob, PASSES_MAX};
use iosdk_types::message::RayletToGcs;
use iosdk_types::{Amount, Exit, JobCause, JobReport, ResourceSet, Span};
use world::{Comes, World, cpus};

fn cluster(capacities: &[i64]) -> World {
    with(Config::default(), capacities)
}

fn with(config: Config, capacities: &[i64]) -> World {
    let mut world = World::new(config, capacities);
    for node in 0..capacities.len() as u32 {
        world.joins(node, Comes::Back);
    }
    world
}

fn stop(world: &mut World, id: &str, force: bool, by: &str) -> ApiReply {
    world.calls(ApiCall::Stop { id: id.to_owned(), force, by: by.to_owned(), now_ms: 9_000 })
}

fn error(reply: ApiReply) -> ApiError {
    match reply {
        ApiReply::Error(error) => error,
        other => panic!("{other:?}"),
    }
}

fn statuses<const N: usize>(world: &mut World, ids: [&str; N]) -> [JobStatus; N] {
    ids.map(|id| world.job(id).status)
}

#[test]
fn a_job_waits_runs_and_succeeds() {
    let mut world = cluster(&[2]);
    let accepted = world.submits(Some("one"), cpus(1));
    assert_eq!(accepted, ApiReply::Accepted { number: 1, submission_id: "one".to_owned(), fresh: true });
    assert_eq!(world.machines[&0].jobs.len(), 0, "nothing is sent before it is written down");
    world.settles();
    let sent = world.job("one");
    assert_eq!((sent.status, sent.node, sent.started_ms), (JobStatus::Pending, Some(0), None));
    world.begins(0, 0);
    let running = world.job("one");
    assert_eq!((running.status, running.message.as_str()), (JobStatus::Running, "runs on node 0 (host-0)"));
    world.ends(0, 0, 0);
    let over = world.job("one");
    assert_eq!((over.status, over.message.as_str()), (JobStatus::Succeeded, "its entrypoint exited with code 0"));
    assert_eq!((over.started_ms, over.ended_ms), (Some(2_000), Some(2_005)));
    assert_eq!(world.machines[&0].jobs.len(), 1, "the node keeps the end until it is noted");
    world.settles();
    assert_eq!(world.machines[&0].jobs.len(), 0);
}

#[test]
fn every_end_says_why() {
    let mut world = cluster(&[8]);
    let ends: [(&str, Exit, JobCause, JobStatus, &str); 5] = [
        ("code", Exit::Code(3), JobCause::Own, JobStatus::Failed, "exited with code 3"),
        ("signal", Exit::Signal(9), JobCause::Own, JobStatus::Failed, "was killed by signal 9 (SIGKILL)"),
        ("watcher", Exit::Unknown, JobCause::SupervisorDied, JobStatus::Failed, "nobody knows how"),
        ("step", Exit::Unknown, JobCause::CannotStart("no zip".into()), JobStatus::Failed, "(host-0): no zip"),
        ("asked", Exit::Signal(15), JobCause::Stopped, JobStatus::Stopped, "stopped by ann: its entrypoint on node 0"),
    ];
    for (id, ..) in &ends {
        world.submits(Some(id), ResourceSet::new());
    }
    stop(&mut world, "asked", false, "ann");
    for (number, (id, exit, cause, status, says)) in (1..).zip(ends) {
        let report = JobReport { exit, ..JobReport::unseen(cause, 7, 8) };
        let mut out = Vec::new();
        let input = iosdk_gcs_core::Input::FromRaylet { node: 0, message: RayletToGcs::JobEnded { number, report } };
        iosdk_types::Machine::step(&mut world.gcs, world.now, input, &mut out);
        let over = world.job(id);
        assert_eq!(over.status, status);
        assert!(over.message.contains(says), "{id}: {}", over.message);
    }
}

#[test]
fn the_same_submission_again_is_the_same_job() {
    let mut world = cluster(&[2]);
    world.submits(Some("a"), cpus(1));
    let again = world.submits(Some("a"), cpus(1));
    assert_eq!(again, ApiReply::Accepted { number: 1, submission_id: "a".to_owned(), fresh: false });
    let other = error(world.submits(Some("a"), cpus(2)));
    assert_eq!(other, ApiError::DuplicateId { id: "a".to_owned() });
    assert!(other.to_string().contains("choose another id"));
    // A retry after the job is over is still a retry; after its deletion it is a new job with a new number.
    world.settles();
    world.begins(0, 0);
    world.ends(0, 0, 1);
    assert!(matches!(world.submits(Some("a"), cpus(1)), ApiReply::Accepted { number: 1, fresh: false, .. }));
    assert_eq!(world.calls(ApiCall::Delete { id: "a".to_owned() }), ApiReply::Deleted(true));
    assert!(matches!(world.submits(Some("a"), cpus(1)), ApiReply::Accepted { number: 2, fresh: true, .. }));
}

#[test]
fn ids_that_are_made_up_look_like_rays_and_differ() {
    let mut world = cluster(&[1]);
    let mut made = || match world.submits(None, ResourceSet::new()) {
        ApiReply::Accepted { submission_id, .. } => submission_id,
        other => panic!("{other:?}"),
    };
    let (one, two) = (made(), made());
    assert_ne!(one, two);
    for id in [one, two] {
        let rest = id.strip_prefix("raysubmit_").expect("Ray's prefix");
        assert!(rest.len() == 16 && rest.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_advice() {
    let mut world = cluster(&[2, 4]);
    assert!(matches!(error(world.submits(Some("a/b"), cpus(1))), ApiError::BadId { .. }));
    let negative = ResourceSet::new().with("CPU", Amount(-1));
    assert!(matches!(error(world.submits(None, negative)), ApiError::BadAmount { .. }));
    let never = error(world.submits(None, cpus(5)));
    assert_eq!(never, ApiError::Infeasible { asked: cpus(5), nodes: 2, largest: cpus(4) });
    assert!(never.to_string().contains("none of the 2 nodes"), "{never}");
    let unknown = error(world.calls(ApiCall::Job { id: "x".to_owned() }));
    assert_eq!(unknown, ApiError::NoSuchJob { id: "x".to_owned() });
    world.submits(Some("live"), cpus(1));
    let live = error(world.calls(ApiCall::Delete { id: "live".to_owned() }));
    assert_eq!(live, ApiError::NotOver { id: "live".to_owned(), status: "PENDING" });
}

#[test]
fn what_fits_nowhere_may_wait_and_holds_nobody_up() {
    let mut world = with(Config { infeasible_waits: true, ..Config::default() }, &[2]);
    world.submits(Some("huge"), cpus(9));
    for number in 0..2 * PASSES_MAX {
        world.submits(Some(&format!("small-{number}")), ResourceSet::new());
    }
    world.settles();
    assert_eq!(world.machines[&0].jobs.len(), 2 * PASSES_MAX as usize);
    assert!(world.job("huge").message.contains("no node has that even when idle"));
    // Nobody has joined an empty cluster yet: who knows what will.
    let mut empty = cluster(&[]);
    assert!(matches!(empty.submits(Some("early"), cpus(9)), ApiReply::Accepted { .. }));
    assert!(empty.job("early").message.contains("to join"));
}

#[test]
fn later_jobs_that_fit_pass_but_not_for_ever() {
    let mut world = cluster(&[4]);
    world.submits(Some("first"), cpus(3));
    world.submits(Some("big"), cpus(4));
    world.settles();
    world.begins(0, 0);
    for number in 0..PASSES_MAX {
        world.submits(Some(&format!("small-{number}")), cpus(1));
        world.settles();
        world.begins(0, 0);
        world.ends(0, 1, 0);
        world.settles();
    }
    assert_eq!(world.job(&format!("small-{}", PASSES_MAX - 1)).status, JobStatus::Succeeded);
    world.submits(Some("one-too-many"), cpus(1));
    assert!(world.job("one-too-many").message.contains("waits for its turn"));
    world.ends(0, 0, 0);
    world.settles();
    world.begins(0, 0);
    assert_eq!(statuses(&mut world, ["first", "big", "one-too-many"]), {
        [JobStatus::Succeeded, JobStatus::Running, JobStatus::Pending]
    });
}

#[test]
fn no_more_run_than_there_are_slots() {
    let mut world = with(Config { slots: 2, ..Config::default() }, &[8]);
    for id in ["a", "b", "c", "d"] {
        world.submits(Some(id), ResourceSet::new());
    }
    world.settles();
    assert_eq!(world.machines[&0].jobs.len(), 2);
    assert!(world.job("c").message.contains("2 submitted jobs run"));
    stop(&mut world, "a", true, "");
    world.settles();
    assert_eq!(world.machines[&0].jobs.keys().copied().collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn the_oldest_of_too_many_that_are_over_are_forgotten() {
    let mut world = with(Config { jobs_kept: 2, ..Config::default() }, &[8]);
    for id in ["a", "b", "c", "d"] {
        world.submits(Some(id), cpus(1));
    }
    world.settles();
    for _ in 0..4 {
        world.begins(0, 0);
        world.ends(0, 0, 0);
        world.settles();
    }
    assert_eq!(["c", "d"].map(|id| world.job(id).status), [JobStatus::Succeeded; 2], "what was submitted last stays");
    for id in ["a", "b"] {
        let gone = error(world.calls(ApiCall::Job { id: id.to_owned() }));
        assert_eq!(gone, ApiError::NoSuchJob { id: id.to_owned() });
    }
    world.recovered_is_live();
}

#[test]
fn a_stop_ends_what_waits_at_once_and_asks_what_runs() {
    let mut world = cluster(&[1]);
    for id in ["runs", "waits"] {
        world.submits(Some(id), cpus(1));
    }
    world.settles();
    world.begins(0, 0);
    assert_eq!(stop(&mut world, "waits", false, "ann"), ApiReply::Stopped(true));
    let waits = world.job("waits");
    assert_eq!((waits.status, waits.ended_ms, waits.started_ms), (JobStatus::Stopped, Some(9_000), None));
    assert_eq!(waits.message, "stopped by ann while it waited; it never started");
    assert_eq!(stop(&mut world, "runs", false, "bob"), ApiReply::Stopped(true));
    let runs = world.job("runs");
    assert_eq!(
        (runs.status, runs.message.as_str()),
        (JobStatus::Running, "runs on node 0 (host-0); it was asked to stop by bob")
    );
    world.settles();
    assert_eq!(world.job("runs").status, JobStatus::Stopped);
    assert!(world.job("runs").message.starts_with("stopped by bob: its entrypoint"));
    assert_eq!(stop(&mut world, "runs", true, "eve"), ApiReply::Stopped(false), "it was over");
}

#[test]
fn jobs_are_listed_in_pages_the_newest_first() {
    let mut world = cluster(&[1]);
    for id in ["a", "b", "c", "d"] {
        world.submits(Some(id), cpus(1));
    }
    stop(&mut world, "c", false, "");
    let mut page = |offset, limit, status| match world.calls(ApiCall::Jobs { offset, limit, status }) {
        ApiReply::Jobs(views, total) => (views.into_iter().map(|view| view.submission_id).collect::<Vec<_>>(), total),
        other => panic!("{other:?}"),
    };
    assert_eq!(page(1, 2, None), (vec!["c".to_owned(), "b".to_owned()], 4));
    assert_eq!(page(0, 9, Some(JobStatus::Stopped)), (vec!["c".to_owned()], 1));
    assert_eq!(page(9, 9, None), (vec![], 4));
}

#[test]
fn jobs_spread_over_nodes_and_the_cluster_says_where_they_are() {
    let mut world = cluster(&[2, 2]);
    for _ in 0..4 {
        world.submits(None, ResourceSet::new());
    }
    let view = match world.calls(ApiCall::Cluster) {
        ApiReply::Cluster(view) => view,
        other => panic!("{other:?}"),
    };
    assert_eq!(view.nodes.iter().map(|node| node.jobs).collect::<Vec<_>>(), [2, 2]);
    assert_eq!((view.total, view.queued, view.running), (cpus(4), 0, 4));
}

#[test]
fn a_raylet_that_restarts_keeps_its_jobs_and_a_machine_does_not() {
    let mut world = cluster(&[4]);
    for id in ["begun", "sent"] {
        world.submits(Some(id), cpus(2));
    }
    world.settles();
    world.begins(0, 0);
    world.joins(0, Comes::Restarted);
    assert_eq!(statuses(&mut world, ["begun", "sent"]), [JobStatus::Running, JobStatus::Pending]);
    world.joins(0, Comes::Rebooted);
    assert_eq!(statuses(&mut world, ["begun", "sent"]), [JobStatus::Failed, JobStatus::Pending]);
    assert!(world.job("begun").message.contains("nobody knows how its entrypoint ended"));
    // It had never begun, so it is sent once more.
    world.settles();
    world.begins(0, 0);
    assert_eq!(world.job("sent").status, JobStatus::Running);
}

#[test]
fn a_lost_node_has_a_minute_to_come_back() {
    let mut world = cluster(&[4, 1]);
    for id in ["a", "b"] {
        world.submits(Some(id), cpus(2));
    }
    world.settles();
    world.begins(0, 0);
    world.cut(0, true);
    world.passes(Span::from_secs(59));
    assert_eq!(statuses(&mut world, ["a", "b"]), [JobStatus::Running, JobStatus::Pending]);
    world.passes(Span::from_secs(2));
    assert_eq!(statuses(&mut world, ["a", "b"]), [JobStatus::Failed, JobStatus::Failed]);
    assert!(world.job("a").message.starts_with("node 0 (host-0) was lost while it ran the job"));
    assert!(world.job("b").message.contains("whether it had begun the job is not known"));
    assert_eq!(world.job("a").ended_ms, Some(62_000), "by the wall clock of the last call");
    // It was only away: what it still runs is ended.
    world.joins(0, Comes::Restarted);
    world.settles();
    assert_eq!(world.machines[&0].jobs.len(), 0);
    assert_eq!(world.job("a").status, JobStatus::Failed, "and stays what it was said to be");
}

#[test]
fn a_node_that_is_back_in_time_loses_nothing() {
    let mut world = cluster(&[4]);
    world.submits(Some("a"), cpus(2));
    world.settles();
    world.begins(0, 0);
    world.cut(0, true);
    world.passes(Span::from_secs(50));
    world.ends(0, 0, 0);
    world.joins(0, Comes::Restarted);
    world.passes(Span::from_secs(100));
    assert_eq!(world.job("a").status, JobStatus::Succeeded, "said again after the join");
}

#[test]
fn a_head_that_restarts_waits_for_its_nodes() {
    let mut world = cluster(&[2, 2]);
    for id in ["a", "b", "c"] {
        world.submits(Some(id), cpus(2));
    }
    world.settles();
    world.begins(0, 0);
    world.begins(1, 0);
    world.head_restarts(0);
    assert_eq!(statuses(&mut world, ["a", "b", "c"]), [JobStatus::Running, JobStatus::Running, JobStatus::Pending]);
    // The nodes it knew may come back: what only they can hold is not refused.
    assert!(matches!(world.submits(Some("d"), cpus(2)), ApiReply::Accepted { .. }));
    world.joins(0, Comes::Back);
    world.passes(Span::from_secs(61));
    assert_eq!(statuses(&mut world, ["a", "b", "c"]), [JobStatus::Running, JobStatus::Failed, JobStatus::Pending]);
    assert!(world.job("b").message.starts_with("node 1 (host-1) was lost"));
    let new = NewJob { resources: cpus(9), ..NewJob::default() };
    assert!(matches!(error(world.calls(ApiCall::Submit(new))), ApiError::Infeasible { nodes: 1, .. }));
}

#[test]
fn a_stop_that_the_node_missed_is_said_again() {
    let mut world = cluster(&[2]);
    world.submits(Some("a"), cpus(1));
    world.settles();
    world.begins(0, 0);
    world.cut(0, false);
    assert_eq!(stop(&mut world, "a", false, "ann"), ApiReply::Stopped(true));
    world.settles();
    assert_eq!(world.job("a").status, JobStatus::Running, "nobody has heard it");
    world.joins(0, Comes::Back);
    world.settles();
    assert_eq!(world.job("a").status, JobStatus::Stopped);
}
