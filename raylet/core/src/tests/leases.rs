//! Who is granted what, when, and what is asked back.

use super::world::{World, class, cpus};
use crate::{Effect, Input};
use iosdk_types::message::{ProcessToRaylet, RayletToProcess};
use iosdk_types::{Address, Amount, Death, Exit, Machine};

#[test]
fn demand_is_granted_up_to_the_cpus_with_lanes_first() {
    let mut world = World::new(2.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 10);
    assert_eq!(world.leases_of(driver).len(), 2);
    let heard = world.heard(driver);
    let at = |wanted: fn(&RayletToProcess) -> bool| heard.iter().position(wanted).unwrap();
    assert!(at(|m| matches!(m, RayletToProcess::Attach { .. })) < at(|m| matches!(m, RayletToProcess::Granted { .. })));
    // A level said again changes nothing; a returned lease goes to the same demand again.
    world.demands(driver, 1, class(1.0, 0), 10);
    assert_eq!(world.leases_of(driver).len(), 2);
    let (first, _) = world.leases_of(driver)[0];
    world.returns(first);
    assert_eq!(world.leases_of(driver).len(), 2);
    assert!(!world.leases.contains_key(&first));
    world.is_fine();
}

#[test]
fn two_drivers_share_in_turns() {
    let mut world = World::new(2.0);
    let (a, b) = (world.driver(), world.driver());
    world.demands(a, 1, class(1.0, 0), 100);
    world.demands(b, 1, class(1.0, 0), 100);
    assert_eq!((world.leases_of(a).len(), world.leases_of(b).len()), (2, 0));
    assert_eq!(world.reclaimed(a), []);
    world.wait(25);
    let asked = world.reclaimed(a);
    assert_eq!(asked.len(), 1, "one of two leases makes them even");
    world.returns(asked[0]);
    assert_eq!((world.leases_of(a).len(), world.leases_of(b).len()), (1, 1));
    world.wait(100);
    assert_eq!((world.reclaimed(a).len(), world.reclaimed(b).len()), (0, 0), "nobody loses to an equal");
    world.is_fine();
}

#[test]
fn an_idle_lease_is_asked_back_at_once() {
    let mut world = World::new(1.0);
    let (a, b) = (world.driver(), world.driver());
    world.demands(a, 1, class(1.0, 0), 1);
    world.demands(a, 1, class(1.0, 0), 0);
    world.demands(b, 1, class(1.0, 0), 1);
    assert_eq!(world.reclaimed(a).len(), 1);
    world.is_fine();
}

#[test]
fn parents_lend_their_cpus_to_children() {
    let mut world = World::with(2.0, |config| config.workers_ahead = 2);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 500);
    let parents: Vec<Address> = world.leases_of(driver).into_iter().map(|(_, worker)| worker).collect();
    for parent in &parents {
        world.demands(*parent, 1, class(1.0, 1), 10);
    }
    assert_eq!(world.leases.len(), 2, "nobody is blocked yet");
    world.status(&parents);
    assert_eq!(world.leases.len(), 4);
    assert_eq!(world.leases_of(driver).len(), 2, "blocked parents count against the cap");
    assert!(world.alive.len() - 1 <= 8, "{} workers", world.alive.len() - 1);
    // The parents run again before the children are done: nothing more is granted until all fit.
    world.status(&[]);
    let (child, _) = world.leases_of(parents[0])[0];
    world.returns(child);
    assert_eq!(world.leases.len(), 3);
    world.is_fine();
}

#[test]
fn when_everything_is_blocked_one_more_is_granted() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 5);
    let first = world.leases_of(driver)[0].1;
    world.status(&[first]);
    world.wait(10);
    assert_eq!(world.leases.len(), 1);
    world.wait(15);
    assert_eq!(world.leases.len(), 2, "the cap of one is passed once nothing moves");
    world.wait(100);
    assert_eq!(world.leases.len(), 2, "the second one runs");
    world.is_fine();
}

#[test]
fn a_big_demand_is_not_starved_by_small_ones() {
    let mut world = World::new(2.0);
    let (small, big) = (world.driver(), world.driver());
    world.demands(small, 1, class(1.0, 0), 100);
    world.demands(big, 1, class(2.0, 0), 1);
    for _ in 0..10 {
        world.wait(25);
        for lease in world.reclaimed(small) {
            world.returns(lease);
        }
    }
    assert_eq!(world.leases_of(big).len(), 1);
    world.is_fine();
}

#[test]
fn what_can_never_run_is_said_at_once() {
    let mut world = World::new(2.0);
    let driver = world.driver();
    world.demands(driver, 1, class(3.0, 0), 1);
    let says_infeasible = |heard: Vec<RayletToProcess>| {
        heard.iter().any(|message| matches!(message, RayletToProcess::Infeasible { class: 1, .. }))
    };
    assert!(says_infeasible(world.heard(driver)));
    world.demands(driver, 1, class(-1.0, 0), 1);
    assert!(says_infeasible(world.heard(driver)));
    world.demands(driver, 1, class(1.0, 257), 1);
    assert!(says_infeasible(world.heard(driver)));
    let mut patient = World::with(2.0, |config| config.infeasible_waits = true);
    let driver = patient.driver();
    patient.demands(driver, 1, class(3.0, 0), 1);
    assert!(!says_infeasible(patient.heard(driver)));
    assert!(!patient.watching, "nobody can lend what the node does not have");
    patient.is_fine();
}

#[test]
fn classes_of_different_resources_do_not_stop_each_other() {
    let gpu = cpus(1.0).with("GPU", Amount::ONE);
    let mut world = World::with(2.0, |config| config.resources = cpus(2.0).with("GPU", Amount::ONE));
    let driver = world.driver();
    let on_gpu = iosdk_types::spec::ClassSpec { resources: gpu, depth: 0 };
    world.demands(driver, 1, on_gpu, 5);
    world.demands(driver, 2, class(1.0, 0), 5);
    let classes: Vec<u32> = world.leases.values().map(|book| book.class).collect();
    assert_eq!(classes, [1, 2]);
    world.is_fine();
}

#[test]
fn an_unusable_worker_is_replaced() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 3);
    let (lease, worker) = world.leases_of(driver)[0];
    world.says(driver, ProcessToRaylet::ReturnLease { lease, worker_usable: false });
    assert_eq!(world.killed, [worker]);
    let (again, other) = world.leases_of(driver)[0];
    assert!(again != lease && other != worker);
    world.is_fine();
}

#[test]
fn leases_of_others_cannot_be_returned() {
    let mut world = World::new(1.0);
    let (a, b) = (world.driver(), world.driver());
    world.demands(a, 1, class(1.0, 0), 1);
    world.demands(b, 1, class(1.0, 0), 1);
    let (lease, _) = world.leases_of(a)[0];
    world.says(b, ProcessToRaylet::ReturnLease { lease, worker_usable: true });
    assert_eq!((world.leases_of(a).len(), world.leases_of(b).len()), (1, 0));
    world.is_fine();
}

#[test]
fn idle_workers_beyond_the_cpus_retire() {
    let mut world = World::new(2.0);
    let driver = world.driver();
    world.demands(driver, 1, class(0.5, 0), 4);
    for (lease, _) in world.leases_of(driver) {
        world.demands(driver, 1, class(0.5, 0), 0);
        world.returns(lease);
    }
    assert_eq!(world.alive.len(), 5);
    world.wait(900);
    assert_eq!(world.alive.len(), 5);
    world.wait(200);
    assert_eq!(world.alive.len(), 3, "the driver and two");
    world.is_fine();
}

#[test]
fn failing_forks_are_retried_and_then_reported() {
    let mut world = World::with(1.0, |config| config.fork_tries = 3);
    world.forks_succeed = false;
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    for round in 0..3 {
        let process = world.forks.pop_front().unwrap_or_else(|| panic!("no fork in round {round}"));
        world.step(Input::ForkFailed { process, why: "no memory".to_owned() });
        world.wait(100);
    }
    let heard = world.heard(driver);
    let told = heard.iter().any(|m| matches!(m, RayletToProcess::Infeasible { why, .. } if why.contains("no memory")));
    assert!(told, "{heard:?}");
    assert!(world.forks.is_empty());
    world.forks_succeed = true;
    world.demands(driver, 1, class(1.0, 0), 1);
    assert_eq!(world.leases_of(driver).len(), 1, "asked anew, it is tried anew");
    world.is_fine();
}

#[test]
fn workers_that_die_while_starting_are_failures_too() {
    let mut world = World::with(1.0, |config| config.fork_tries = 1);
    world.forks_succeed = false;
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    let process = world.forks.pop_front().unwrap();
    let last_lines = vec!["ImportError".to_owned()];
    let death = Death { pid: 5, exit: Exit::Code(1), intended: false, last_lines };
    let mut out = Vec::new();
    world.raylet.step(world.now, Input::ProcessDied { process, death }, &mut out);
    let told = out.iter().any(|effect| match effect {
        Effect::ToProcess { to, message: RayletToProcess::Infeasible { why, .. } } => {
            *to == driver && why.contains("ImportError")
        }
        _ => false,
    });
    assert!(told, "{out:?}");
}

#[test]
fn who_is_told_to_end_is_granted_nothing() {
    let mut world = World::with(2.0, |config| config.workers_ahead = 1);
    world.kills_at_once = false;
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 2);
    let [(first, parent), (second, _)] = world.leases_of(driver)[..] else { panic!("two leases") };
    world.demands(parent, 7, class(0.5, 1), 1);
    assert_eq!(world.leases_of(parent).len(), 0, "the node is full");
    world.says(driver, ProcessToRaylet::ReturnLease { lease: first, worker_usable: false });
    // It does not know yet that it is to end; nobody listens to what it still asks for.
    world.demands(parent, 7, class(2.0, 1), 1);
    world.demands(driver, 1, class(1.0, 0), 1);
    world.returns(second);
    assert_eq!(world.leases_of(parent).len(), 0);
    assert_eq!(world.leases_of(driver).len(), 1);
    world.is_fine();
}
