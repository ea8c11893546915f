//! Extents of the arena: 16 MiB here, in units of 2.

use super::world::{MIB, World, class};
use iosdk_types::Address;
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};

fn asks(world: &mut World, process: Address, request: u64, mib: u64) {
    world.says(process, ProcessToRaylet::ExtentRequest { request, bytes: mib * MIB });
}

fn returns(world: &mut World, process: Address, offset: u64) {
    world.says(process, ProcessToRaylet::ExtentReturn { offset });
}

/// `(request, offset in MiB, MiB)` of what was granted.
fn granted(world: &mut World, process: Address) -> Vec<(u64, u64, u64)> {
    let only = |message| match message {
        RayletToProcess::ExtentGranted { request, offset, bytes } => Some((request, offset / MIB, bytes / MIB)),
        _ => None,
    };
    world.heard(process).into_iter().filter_map(only).collect()
}

#[test]
fn extents_are_whole_units_first_fit() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    asks(&mut world, driver, 1, 3);
    asks(&mut world, driver, 2, 2);
    assert_eq!(granted(&mut world, driver), [(1, 0, 4), (2, 4, 2)]);
    asks(&mut world, driver, 1, 3);
    assert_eq!(granted(&mut world, driver), [(1, 0, 4)], "asked again, answered again");
    returns(&mut world, driver, 0);
    asks(&mut world, driver, 3, 2);
    asks(&mut world, driver, 4, 4);
    assert_eq!(granted(&mut world, driver), [(3, 0, 2), (4, 6, 4)], "holes never refuse what fits");
    world.is_fine();
}

#[test]
fn who_waits_is_served_in_order_or_refused_with_reasons() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    asks(&mut world, driver, 1, 12);
    asks(&mut world, driver, 2, 8);
    asks(&mut world, driver, 3, 2);
    assert_eq!(granted(&mut world, driver), [(1, 0, 12)], "the small one does not overtake");
    world.wait(10_001);
    let heard = world.heard(driver);
    let refused = heard.iter().find_map(|message| match message {
        RayletToProcess::ExtentRefused { request, report } => Some((*request, report.used, report.by_process.len())),
        _ => None,
    });
    assert_eq!(refused, Some((2, 12 * MIB, 1)), "{heard:?}");
    asks(&mut world, driver, 4, 17);
    assert!(matches!(world.heard(driver)[..], [RayletToProcess::ExtentRefused { request: 4, .. }]), "never fits");
    asks(&mut world, driver, 5, u64::MAX / MIB);
    assert!(matches!(world.heard(driver)[..], [RayletToProcess::ExtentRefused { request: 5, .. }]));
    world.is_fine();
}

#[test]
fn only_the_holder_returns() {
    let mut world = World::new(1.0);
    let (a, b) = (world.driver(), world.driver());
    asks(&mut world, a, 1, 16);
    returns(&mut world, b, 0);
    returns(&mut world, a, 2 * MIB);
    asks(&mut world, b, 1, 2);
    assert_eq!(granted(&mut world, b), []);
    returns(&mut world, a, 0);
    assert_eq!(granted(&mut world, b), [(1, 0, 2)]);
    world.is_fine();
}

#[test]
fn pages_go_back_when_cold_or_over_the_limit() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    asks(&mut world, driver, 1, 4);
    asks(&mut world, driver, 2, 4);
    returns(&mut world, driver, 0);
    world.wait(9_999);
    assert_eq!(world.punched, []);
    asks(&mut world, driver, 3, 12);
    assert_eq!(world.punched, [(0, 4 * MIB)], "12 more did not fit beside 4 held and 4 warm");
    returns(&mut world, driver, 8 * MIB);
    world.wait(10_001);
    assert_eq!(world.punched[1..], [(8 * MIB, 12 * MIB)]);
    world.is_fine();
}

#[test]
fn a_dead_holders_extent_stays_until_nobody_needs_it() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    let worker = world.leases_of(driver)[0].1;
    asks(&mut world, worker, 1, 4);
    asks(&mut world, worker, 2, 4);
    world.claims.insert(driver, vec![64]);
    world.dies(worker);
    assert_eq!(world.pins_watched, [4 * MIB], "the first one holds something of the driver's");
    asks(&mut world, driver, 1, 10);
    assert_eq!(granted(&mut world, driver), []);
    world.unpinned(4 * MIB);
    assert_eq!(granted(&mut world, driver), [(1, 4, 10)]);
    world.says(driver, ProcessToRaylet::Unclaim { holder: worker, extent: 64 });
    assert_eq!(world.pins_watched, [4 * MIB, 0]);
    world.unpinned(0);
    asks(&mut world, driver, 2, 6);
    assert_eq!(granted(&mut world, driver), [(2, 14, 6)]);
    world.is_fine();
}
