//! Submitted jobs under random trouble: nodes and the head come and go, the log is durable late, and every promise is held
//! against the world's own books.

mod world;

use iosdk_gcs_core::{ApiCall, Config};
use iosdk_types::Span;
use proptest::prelude::*;
use world::{Comes, World, cpus};

#[derive(Clone, Debug)]
enum Op {
    Submit { name: Option<u8>, cpu: i64 },
    Stop { name: u8, force: bool },
    Delete { name: u8 },
    Deliver { node: u32 },
    Begin { node: u32, nth: usize },
    End { node: u32, nth: usize, code: i32 },
    Cut { node: u32, lost: bool },
    Join { node: u32, how: Comes },
    Driver { node: u32 },
    Flush,
    Snapshot,
    HeadRestarts { lost: usize },
    Pass { seconds: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let node = 0..3u32;
    let how = prop_oneof![Just(Comes::Back), Just(Comes::Restarted), Just(Comes::Rebooted)];
    prop_oneof![
        6 => (prop::option::of(0..12u8), 0..6i64).prop_map(|(name, cpu)| Op::Submit { name, cpu }),
        2 => (0..12u8, any::<bool>()).prop_map(|(name, force)| Op::Stop { name, force }),
        1 => (0..12u8).prop_map(|name| Op::Delete { name }),
        8 => node.clone().prop_map(|node| Op::Deliver { node }),
        6 => (node.clone(), 0..2usize).prop_map(|(node, nth)| Op::Begin { node, nth }),
        5 => (node.clone(), 0..2usize, 0..2i32).prop_map(|(node, nth, code)| Op::End { node, nth, code }),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, lost)| Op::Cut { node, lost }),
        4 => (node.clone(), how).prop_map(|(node, how)| Op::Join { node, how }),
        1 => node.prop_map(|node| Op::Driver { node }),
        8 => Just(Op::Flush),
        1 => Just(Op::Snapshot),
        1 => (0..8usize).prop_map(|lost| Op::HeadRestarts { lost }),
        1 => prop_oneof![Just(1), Just(25), Just(61)].prop_map(|seconds| Op::Pass { seconds }),
    ]
}

fn walk(slots: usize, ops: &[Op]) {
    let mut world = World::new(Config { infeasible_waits: true, slots, ..Config::default() }, &[2, 4, 4]);
    for op in ops {
        let id = |name: u8| format!("job-{name}");
        match *op {
            Op::Submit { name, cpu } => drop(world.submits(name.map(id).as_deref(), cpus(cpu))),
            Op::Stop { name, force } => {
                drop(world.calls(ApiCall::Stop { id: id(name), force, by: "ann".to_owned(), now_ms: 5_000 }));
            }
            Op::Delete { name } => drop(world.calls(ApiCall::Delete { id: id(name) })),
            Op::Deliver { node } => drop(world.delivers(node)),
            Op::Begin { node, nth } => world.begins(node, nth),
            Op::End { node, nth, code } => world.ends(node, nth, code),
            Op::Cut { node, lost } => world.cut(node, lost),
            Op::Join { node, how } => world.joins(node, how),
            Op::Driver { node } => world.driver_arrives(node),
            Op::Flush => world.flush(),
            Op::Snapshot => world.snapshots(),
            Op::HeadRestarts { lost } => world.head_restarts(lost),
            Op::Pass { seconds } => world.passes(Span::from_secs(seconds)),
        }
        world.recovered_is_live();
    }
    world.calms_down();
    everything_is_over(&mut world);
}

/// What was accepted is known (or was deleted), and over unless no node could ever run it.
fn everything_is_over(world: &mut World) {
    use iosdk_gcs_core::Record;
    let deleted = |number: u64| move |record: &Record| *record == Record::JobDeleted { number };
    let impossible = |world: &World, number: u64| {
        world.log.iter().any(|record| {
            matches!(record, Record::JobAccepted { number: of, resources, .. }
                if *of == number && !cpus(4).covers(resources))
        })
    };
    for number in world.accepted.clone() {
        if world.log.iter().any(deleted(number)) {
            continue;
        }
        let status = world.status(number).unwrap_or_else(|| panic!("job {number} is lost"));
        assert!(status.is_over() || impossible(world, number), "job {number} is {status:?} for ever");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jobs_keep_their_promises_on_any_walk(slots in 0..4usize, ops in prop::collection::vec(op(), 1..120)) {
        walk(slots, &ops);
    }
}
