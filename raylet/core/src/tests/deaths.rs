//! What follows from a death, in which order.

use super::world::{World, class};
use crate::Input;
use iosdk_types::Address;
use iosdk_types::message::{ProcessToRaylet, RayletToProcess, VERSION};

fn leased() -> (World, Address, Address) {
    let mut world = World::new(2.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    let worker = world.leases_of(driver)[0].1;
    (world, driver, worker)
}

#[test]
fn survivors_drain_before_anybody_is_declared_dead() {
    let (mut world, driver, worker) = leased();
    world.acks_at_once = false;
    world.heard(driver);
    world.dies(worker);
    assert!(matches!(world.heard(driver)[..], [RayletToProcess::PeerDying { .. }, ..]));
    world.says(driver, ProcessToRaylet::DeadAck { peer: worker });
    let heard = world.heard(driver);
    assert!(matches!(&heard[..], [RayletToProcess::PeerDead { peer, .. }] if *peer == worker), "{heard:?}");
    world.is_fine();
}

#[test]
fn a_survivor_that_does_not_answer_is_not_waited_for() {
    let (mut world, driver, worker) = leased();
    world.acks_at_once = false;
    world.dies(worker);
    world.heard(driver);
    world.wait(499);
    assert!(world.heard(driver).is_empty());
    world.wait(2);
    assert!(matches!(world.heard(driver)[..], [RayletToProcess::PeerDead { .. }]));
    world.is_fine();
}

#[test]
fn a_survivor_that_dies_is_not_waited_for_either() {
    let mut world = World::new(3.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 2);
    let workers: Vec<Address> = world.leases_of(driver).into_iter().map(|(_, worker)| worker).collect();
    world.says(workers[0], ProcessToRaylet::Connect { peer: workers[1] });
    world.acks_at_once = false;
    world.dies(workers[0]);
    world.says(driver, ProcessToRaylet::DeadAck { peer: workers[0] });
    world.heard(driver);
    world.dies(workers[1]);
    let heard = world.heard(driver);
    assert!(heard.iter().any(|m| matches!(m, RayletToProcess::PeerDead { peer, .. } if *peer == workers[0])));
    world.is_fine();
}

#[test]
fn the_workers_of_a_dead_owner_end() {
    let (mut world, _, worker) = leased();
    world.demands(worker, 7, class(1.0, 1), 1);
    let child = world.leases_of(worker)[0].1;
    world.dies(worker);
    assert_eq!(world.killed, [child]);
    assert!(!world.leases.values().any(|book| book.owner == worker));
    world.is_fine();
}

#[test]
fn the_driver_takes_the_cluster_along() {
    let (mut world, driver, _) = leased();
    world.dies(driver);
    assert!(world.shut_down);
    world.is_fine();
}

#[test]
fn connect_opens_lanes_once_and_answers_always() {
    let mut world = World::new(2.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 2);
    let workers: Vec<Address> = world.leases_of(driver).into_iter().map(|(_, worker)| worker).collect();
    world.heard(workers[0]);
    world.heard(workers[1]);
    world.says(workers[0], ProcessToRaylet::Connect { peer: workers[1] });
    world.says(workers[0], ProcessToRaylet::Connect { peer: workers[1] });
    let (mine, theirs) = (world.heard(workers[0]), world.heard(workers[1]));
    assert_eq!(mine[0], mine[1]);
    let RayletToProcess::Attach { lane_in, lane_out, .. } = mine[0] else { panic!("{mine:?}") };
    let [RayletToProcess::Attach { lane_in: their_in, lane_out: their_out, .. }] = theirs[..] else {
        panic!("{theirs:?}")
    };
    assert_eq!((lane_in, lane_out), (their_out, their_in));
    assert_eq!((lane_in, their_in), (1, 1), "lane 0 of both is the driver's");
    world.is_fine();
}

#[test]
fn nobody_is_connected_to_the_dead() {
    let (mut world, driver, worker) = leased();
    world.dies(worker);
    world.heard(driver);
    for peer in [worker, Address { node: 3, ..worker }, Address::NIL] {
        world.says(driver, ProcessToRaylet::Connect { peer });
        let heard = world.heard(driver);
        let [RayletToProcess::NoSuchPeer { peer: named, death }] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((*named, death.is_some()), (peer, peer == worker));
    }
    world.is_fine();
}

#[test]
fn who_calls_itself_reads_the_lane_that_it_writes() {
    let (mut world, _, worker) = leased();
    world.heard(worker);
    for _ in 0..2 {
        world.says(worker, ProcessToRaylet::Connect { peer: worker });
        let heard = world.heard(worker);
        let [RayletToProcess::Attach { peer, lane_in, lane_out, .. }] = heard[..] else { panic!("{heard:?}") };
        assert_eq!((peer, lane_in), (worker, lane_out));
    }
    world.is_fine();
}

#[test]
fn another_version_is_turned_away() {
    let mut world = World::new(1.0);
    world.step(Input::DriverConnected { pid: 9, namespace: Some(String::new()) });
    let driver = world.drivers[0];
    world.says(driver, ProcessToRaylet::Hello { version: VERSION + 1, pid: 9, attach: None });
    assert!(matches!(world.heard(driver)[..], [RayletToProcess::Exit { .. }]));
    world.demands(driver, 1, class(1.0, 0), 1);
    assert!(world.leases.is_empty());
    assert!(world.killed.is_empty(), "a driver is somebody's program");
    world.is_fine();
}
