//! Actors: one process each, for life.

use super::world::{World, class, cpus};
use crate::Input;
use iosdk_types::message::{ActorDeath, GcsToRaylet, ProcessToRaylet, RayletToGcs};
use iosdk_types::spec::ActorSpec;
use iosdk_types::{ActorId, ResourceSet};

fn ended(world: &World, actor: ActorId) -> Vec<&ActorDeath> {
    let of_it = |message| match message {
        &RayletToGcs::ActorEnded { actor: of, ref cause } if of == actor => Some(cause),
        _ => None,
    };
    world.to_gcs.iter().filter_map(of_it).collect()
}

#[test]
fn actors_that_hold_nothing_do_not_use_up_the_node() {
    let mut world = World::new(2.0);
    let driver = world.driver();
    for number in 0..20 {
        world.creates(driver, number, cpus(1.0), ResourceSet::new());
    }
    assert_eq!(world.homes.len(), 20);
    world.is_fine();
}

#[test]
fn actors_that_hold_cpus_wait_for_room() {
    let mut world = World::new(2.0);
    let driver = world.driver();
    let actors: Vec<ActorId> = (0..3).map(|number| world.creates(driver, number, cpus(1.0), cpus(1.0))).collect();
    assert_eq!(world.homes.len(), 2);
    world.dies(world.homes[&actors[0]]);
    assert!(world.homes.contains_key(&actors[2]));
    assert!(matches!(ended(&world, actors[0])[..], [ActorDeath::Process(_)]));
    world.is_fine();
}

#[test]
fn an_actor_gets_its_room_from_leases() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 100);
    let actor = world.creates(driver, 1, cpus(1.0), cpus(1.0));
    assert_eq!(world.homes.len(), 0);
    world.wait(25);
    let asked = world.reclaimed(driver);
    world.returns(asked[0]);
    assert!(world.homes.contains_key(&actor));
    world.is_fine();
}

#[test]
fn starting_and_stopping_may_be_repeated() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    let actor = world.creates(driver, 1, cpus(1.0), ResourceSet::new());
    let spec = ActorSpec {
        actor,
        owner: driver,
        submission: None,
        class_name: "A".to_owned(),
        placement: cpus(1.0),
        held: cpus(0.0),
    };
    world.step(Input::FromGcs(GcsToRaylet::StartActor { spec: spec.clone() }));
    assert_eq!(world.alive.len(), 2, "the driver and one actor");
    for _ in 0..2 {
        world.step(Input::FromGcs(GcsToRaylet::StopActor { actor, cause: ActorDeath::Killed }));
    }
    assert_eq!(ended(&world, actor), [&ActorDeath::Killed, &ActorDeath::Killed]);
    world.step(Input::FromGcs(GcsToRaylet::StartActor { spec }));
    assert!(world.homes.is_empty(), "what ended does not start again");
    world.is_fine();
}

#[test]
fn an_actor_says_itself_why_it_ends_and_nobody_else_does() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    let actor = world.creates(driver, 1, cpus(1.0), ResourceSet::new());
    let home = world.homes[&actor];
    world.says(driver, ProcessToRaylet::ActorState { actor, ended: Some(ActorDeath::Exited) });
    assert!(world.alive.contains(&home));
    world.says(home, ProcessToRaylet::ActorState { actor, ended: None });
    world.says(home, ProcessToRaylet::ActorState { actor, ended: Some(ActorDeath::Exited) });
    assert_eq!(ended(&world, actor), [&ActorDeath::Exited]);
    world.is_fine();
}
