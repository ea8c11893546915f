//! Random walks: whatever processes do, in whatever order, sense or nonsense, the promises hold.

use super::world::{MIB, World, class, cpus};
use crate::Input;
use iosdk_types::message::{ActorDeath, GcsToRaylet, ProcessToRaylet};
use iosdk_types::{ActorId, Address, JobId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Driver,
    Demand { who: usize, class: u32, cpu: u8, depth: u32, want: u32 },
    Return { which: usize, usable: bool },
    ReturnNonsense { who: usize, lease: u64 },
    Block { mask: u16 },
    Wait { millis: u64 },
    Die { who: usize },
    Connect { who: usize, peer: usize },
    Create { who: usize, number: u8, cpu: u8 },
    Stop { number: u8 },
    Extent { who: usize, request: u64, mib: u64 },
    GiveBack { who: usize, which: usize },
    Claims { who: usize, dead: u32, extent: u64 },
    Ack { who: usize, dead: u32 },
    Unpin { which: usize },
    Patience { acks_at_once: bool, kills_at_once: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..12usize;
    prop_oneof![
        1 => Just(Op::Driver),
        8 => (who.clone(), 0..3u32, 0..4u8, 0..3u32, 0..5u32)
            .prop_map(|(who, class, cpu, depth, want)| Op::Demand { who, class, cpu, depth, want }),
        6 => (0..8usize, prop::bool::weighted(0.9)).prop_map(|(which, usable)| Op::Return { which, usable }),
        1 => (who.clone(), 0..40u64).prop_map(|(who, lease)| Op::ReturnNonsense { who, lease }),
        5 => any::<u16>().prop_map(|mask| Op::Block { mask }),
        4 => (1..60u64).prop_map(|millis| Op::Wait { millis }),
        1 => Just(Op::Wait { millis: 11_000 }),
        2 => (3..12usize).prop_map(|who| Op::Die { who }),
        2 => (who.clone(), who.clone()).prop_map(|(who, peer)| Op::Connect { who, peer }),
        2 => (who.clone(), 0..6u8, 0..3u8).prop_map(|(who, number, cpu)| Op::Create { who, number, cpu }),
        1 => (0..6u8).prop_map(|number| Op::Stop { number }),
        5 => (who.clone(), 0..4u64, 0..9u64).prop_map(|(who, request, mib)| Op::Extent { who, request, mib }),
        3 => (who.clone(), 0..4usize).prop_map(|(who, which)| Op::GiveBack { who, which }),
        2 => (who.clone(), 0..20u32, 0..16u64).prop_map(|(who, dead, extent)| Op::Claims { who, dead, extent }),
        2 => (who, 0..20u32).prop_map(|(who, dead)| Op::Ack { who, dead }),
        3 => (0..4usize).prop_map(|which| Op::Unpin { which }),
        1 => any::<(bool, bool)>()
            .prop_map(|(acks_at_once, kills_at_once)| Op::Patience { acks_at_once, kills_at_once }),
    ]
}

fn at(world: &World, who: usize) -> Address {
    let everybody: Vec<Address> = world.alive.iter().copied().collect();
    everybody[who % everybody.len()]
}

fn apply(world: &mut World, op: Op) {
    match op {
        Op::Extent { .. } | Op::GiveBack { .. } | Op::Claims { .. } | Op::Unpin { .. } => apply_to_store(world, &op),
        Op::Driver => {
            world.driver();
        }
        Op::Demand { who, class: number, cpu, depth, want } => {
            // Numbers of classes get reused for other contents, as no decent owner would.
            world.demands(at(world, who), number, class([0.0, 0.5, 1.0, 2.0][cpu as usize], depth), want);
        }
        Op::Return { which, usable } => {
            if let Some(lease) = world.leases.keys().nth(which).copied() {
                let owner = world.leases[&lease].owner;
                world.says(owner, ProcessToRaylet::ReturnLease { lease, worker_usable: usable });
            }
        }
        Op::ReturnNonsense { who, lease } => {
            world.says(at(world, who), ProcessToRaylet::ReturnLease { lease, worker_usable: true });
        }
        Op::Block { mask } => {
            if world.watching {
                let everybody = world.alive.iter().enumerate();
                let blocked: Vec<Address> =
                    everybody.filter(|(index, _)| mask >> (index % 16) & 1 == 1).map(|(_, address)| *address).collect();
                world.status(&blocked);
            }
        }
        Op::Wait { millis } => world.wait(millis),
        Op::Die { who } => {
            let who = at(world, who);
            if !world.drivers.contains(&who) {
                world.dies(who);
            }
        }
        Op::Connect { who, peer } => {
            let peer = at(world, peer);
            world.says(at(world, who), ProcessToRaylet::Connect { peer });
        }
        Op::Create { who, number, cpu } => {
            world.creates(at(world, who), number, cpus(f64::from(cpu.max(1))), cpus(f64::from(cpu)));
        }
        Op::Stop { number } => {
            let actor = ActorId::derive([number; 12], JobId::from_index(1));
            world.step(Input::FromGcs(GcsToRaylet::StopActor { actor, cause: ActorDeath::Killed }));
        }
        Op::Ack { who, dead } => {
            world.says(at(world, who), ProcessToRaylet::DeadAck { peer: Address { node: 0, epoch: 1, process: dead } });
        }
        Op::Patience { acks_at_once, kills_at_once } => {
            world.acks_at_once = acks_at_once;
            world.kills_at_once = kills_at_once;
        }
    }
}

fn apply_to_store(world: &mut World, op: &Op) {
    match *op {
        Op::Extent { who, request, mib } => {
            let message = ProcessToRaylet::ExtentRequest { request, bytes: mib * MIB };
            world.says(at(world, who), message);
        }
        Op::GiveBack { who, which } => {
            let who = at(world, who);
            if let Some(offset) = world.extent_offsets(who).get(which).copied() {
                world.says(who, ProcessToRaylet::ExtentReturn { offset });
            }
        }
        Op::Claims { who, dead, extent } => {
            let holder = Address { node: 0, epoch: 1, process: dead };
            let who = at(world, who);
            world.says(who, ProcessToRaylet::Claims { holder, extents: vec![extent * 2 * MIB] });
            world.says(who, ProcessToRaylet::Unclaim { holder, extent: extent * MIB });
        }
        Op::Unpin { which } if which < world.pins_watched.len() => {
            let offset = world.pins_watched.remove(which);
            world.unpinned(offset);
        }
        _ => {}
    }
}

/// The first promise broken on this walk.
fn walk(ops: &[Op], prepare: impl FnOnce(&mut World)) -> Option<String> {
    let mut world = World::with(2.0, |config| config.workers_ahead = 1);
    prepare(&mut world);
    world.driver();
    for op in ops {
        // A forgotten status is taken back by the machine; the books follow.
        if !world.watching {
            world.blocked.clear();
        }
        apply(&mut world, op.clone());
        if world.broken.is_some() {
            return world.broken;
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_on_any_walk(ops in prop::collection::vec(op(), 1..120)) {
        prop_assert_eq!(walk(&ops, |_| {}), None);
    }
}

/// Each planted bug is found by some walk, or the walks prove nothing.
#[cfg(feature = "planted")]
mod planted {
    use super::*;
    use crate::Bug;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    fn is_found(bug: Bug) -> bool {
        let mut runner = TestRunner::deterministic();
        let walks = prop::collection::vec(op(), 100..200);
        (0..200).any(|_| {
            let ops = walks.new_tree(&mut runner).expect("a walk").current();
            walk(&ops, |world| world.raylet.plant(bug)).is_some()
        })
    }

    #[test]
    fn every_bug_is_found() {
        let bugs = [
            Bug::GrantTwice,
            Bug::OvergrantOnUnblock,
            Bug::LeakLeaseOfDeadOwner,
            Bug::OverlapExtents,
            Bug::SkipDeadAck,
        ];
        for bug in bugs {
            assert!(is_found(bug), "{bug:?} goes unnoticed");
        }
    }
}
