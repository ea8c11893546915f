//! What is told of who is here.

use super::world::{World, class, cpus};
use iosdk_types::Address;
use iosdk_types::state::WorkerPhase;

#[test]
fn everybody_is_told_with_what_it_holds() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 5);
    let worker = world.leases_of(driver)[0].1;
    let found = |world: &World, process: Address| {
        let states = world.raylet.workers();
        let state = states.iter().find(|state| state.process == process).unwrap();
        (state.phase, state.resources.clone(), state.actor)
    };
    let nothing = cpus(0.0);
    assert_eq!(found(&world, driver), (WorkerPhase::Driver, nothing, None));
    assert_eq!(found(&world, worker), (WorkerPhase::Leased, cpus(1.0), None));
    world.status(&[worker]);
    assert_eq!(found(&world, worker), (WorkerPhase::Blocked, cpus(1.0), None));
    let members: Vec<u32> = world.raylet.members().collect();
    assert!(members.contains(&driver.process) && members.contains(&worker.process));
}

#[test]
fn what_is_not_free_has_a_holder() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    let lines = world.raylet.explain_capacity();
    assert!(lines[0].contains("0 of 1 CPU"), "{lines:?}");
    assert!(lines[1].contains("{CPU: 1} is held by the worker with pid"), "{lines:?}");
}

#[test]
fn who_holds_nothing_is_not_among_the_holders() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(0.0, 0), 12);
    world.demands(driver, 2, class(1.0, 0), 1);
    assert!(world.leases_of(driver).len() > 9, "more than are named");
    let lines = world.raylet.explain_capacity();
    let [_, holder] = &lines[..] else { panic!("{lines:?}") };
    assert!(holder.starts_with("{CPU: 1} is held by"), "{lines:?}");
}
