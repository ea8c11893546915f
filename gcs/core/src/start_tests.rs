//! Ten thousand jobs: all start in their order, and what a decision costs does not grow with the queue.

use crate::start::LOOKS_MAX;
use crate::{ApiCall, Config, Effect, Gcs, Input, NewJob, Record};
use iosdk_types::message::{NodeRecord, RayletToGcs, VERSION};
use iosdk_types::{Amount, JobCause, JobReport, Machine, NodeId, ResourceSet, Time};
use std::collections::VecDeque;

const JOBS: u64 = 10_000;

fn step(gcs: &mut Gcs, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    gcs.step(Time(0), input, &mut out);
    out
}

fn cluster(config: Config, cpus: i64) -> Gcs {
    let mut gcs = Gcs::new(config);
    let resources = ResourceSet::new().with("CPU", Amount::units(cpus));
    let record =
        NodeRecord { node: NodeId([0; 28]), alive: true, ip: String::new(), hostname: String::new(), resources };
    for message in [
        RayletToGcs::Join { version: VERSION, node: 0, epoch: 1, record },
        RayletToGcs::JobsHere { running: Vec::new() },
    ] {
        step(&mut gcs, Input::FromRaylet { node: 0, message });
    }
    gcs
}

fn sent(out: &[Effect]) -> impl Iterator<Item = u64> {
    out.iter().filter_map(|effect| match effect {
        Effect::StartJob { number, .. } => Some(*number),
        _ => None,
    })
}

/// The order in which they start, and how many shapes were looked at.
fn run(gcs: &mut Gcs, shape: impl Fn(u64) -> ResourceSet) -> (Vec<u64>, u64, Vec<Record>) {
    let (mut order, mut log) = (Vec::new(), Vec::new());
    let mut there = VecDeque::new();
    let mut hear = |out: Vec<Effect>, there: &mut VecDeque<u64>| {
        order.extend(sent(&out));
        there.extend(sent(&out));
        log.extend(out.into_iter().filter_map(|effect| match effect {
            Effect::Append(record) => Some(record),
            _ => None,
        }));
    };
    for number in 1..=JOBS {
        let new =
            NewJob { submission_id: Some(format!("job-{number}")), resources: shape(number), ..NewJob::default() };
        hear(step(gcs, Input::Api { request: number, call: ApiCall::Submit(new) }), &mut there);
    }
    while let Some(number) = there.pop_front() {
        let report = JobReport::unseen(JobCause::Own, 1, 2);
        hear(step(gcs, Input::FromRaylet { node: 0, message: RayletToGcs::JobEnded { number, report } }), &mut there);
    }
    (order, gcs.turn.looked.get(), log)
}

#[test]
fn ten_thousand_jobs_of_one_kind_start_in_their_order() {
    let mut gcs = cluster(Config { slots: 4, ..Config::default() }, 4);
    let before = gcs.snapshot();
    let (order, looked, log) = run(&mut gcs, |_| ResourceSet::new());
    assert_eq!(order, (1..=JOBS).collect::<Vec<_>>());
    assert!(looked <= 2 * JOBS, "{looked} shapes were looked at");
    assert_eq!(gcs.check(), Ok(()));
    assert_eq!(Gcs::recover(Config::default(), Some(before), log).snapshot(), gcs.snapshot());
}

#[test]
fn ten_thousand_jobs_of_three_kinds_all_start() {
    let mut gcs = cluster(Config::default(), 4);
    let shape = |number| ResourceSet::new().with("CPU", Amount::units([1, 3, 4][number as usize % 3]));
    let (mut order, looked, _) = run(&mut gcs, shape);
    order.sort_unstable();
    assert_eq!(order, (1..=JOBS).collect::<Vec<_>>());
    // Each submission looks at one shape, each end at the three and at the next ones of those that start.
    assert!(looked <= JOBS * (1 + 2 * 3), "{looked} shapes were looked at");
    assert_eq!(gcs.check(), Ok(()));
}

#[test]
fn ten_thousand_jobs_that_all_ask_for_something_else_cost_no_more() {
    let mut gcs = cluster(Config::default(), 4);
    // Three at a time, each a little more than the one before.
    let shape = |number: u64| ResourceSet::new().with("CPU", Amount(10_001 + number as i64 / 8));
    let (order, looked, _) = run(&mut gcs, shape);
    assert_eq!(order.len() as u64, JOBS);
    assert!(looked <= JOBS * (4 + LOOKS_MAX as u64), "{looked} shapes were looked at");
    assert_eq!(gcs.check(), Ok(()));
}

#[test]
fn ten_thousand_jobs_that_no_node_can_hold_are_looked_at_once() {
    let mut gcs = cluster(Config { infeasible_waits: true, ..Config::default() }, 4);
    for number in 1..=JOBS {
        let resources = ResourceSet::new().with("GPU", Amount(number as i64));
        let call = ApiCall::Submit(NewJob { resources, ..NewJob::default() });
        step(&mut gcs, Input::Api { request: number, call });
    }
    let call = ApiCall::Submit(NewJob::default());
    assert_eq!(sent(&step(&mut gcs, Input::Api { request: 0, call })).collect::<Vec<_>>(), [JOBS + 1]);
    assert!(gcs.turn.looked.get() <= JOBS + 1);
    // A node that has what they ask for: all that fits starts.
    let resources = ResourceSet::new().with("GPU", Amount::units(1));
    let record =
        NodeRecord { node: NodeId([1; 28]), alive: true, ip: String::new(), hostname: String::new(), resources };
    let join = RayletToGcs::Join { version: VERSION, node: 1, epoch: 1, record };
    step(&mut gcs, Input::FromRaylet { node: 1, message: join });
    let out = step(&mut gcs, Input::FromRaylet { node: 1, message: RayletToGcs::JobsHere { running: Vec::new() } });
    // 1 + 2 + ... + 140 ten-thousandths, and then whatever still fits.
    let started: Vec<u64> = sent(&out).collect();
    assert_eq!(started[..140], (1..=140).collect::<Vec<_>>());
    assert!(started.iter().sum::<u64>() <= 10_000);
    assert_eq!(gcs.check(), Ok(()));
}
