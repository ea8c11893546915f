//! The account of a node: what is charged to whom, from when to when, and what is sent of it.

use super::world::{World, class, cpus};
use crate::Input;
use iosdk_types::message::{ActorDeath, Attach, GcsToRaylet, ProcessToRaylet, RayletToGcs, VERSION};
use iosdk_types::{
    Address, Amount, Exit, JobCause, JobReport, JobSpec, Machine, ResourceSet, UsageObject, UsageRecord,
};

const MS: u64 = 1_000_000;

fn metered(cpu: f64) -> World {
    World::with(cpu, |config| {
        config.meters = true;
        config.ends_with_driver = false;
    })
}

/// What was sent since the last look, without what was only repeated; the GCS notes all of it.
fn lines(world: &mut World) -> Vec<UsageRecord> {
    let mut lines: Vec<UsageRecord> = Vec::new();
    for message in std::mem::take(&mut world.to_gcs) {
        if let RayletToGcs::Usage { epoch, records } = message {
            assert_eq!(epoch, 1);
            for record in records {
                match lines.iter().find(|line| line.seq == record.seq) {
                    Some(before) => assert_eq!(*before, record),
                    None => lines.push(record),
                }
            }
        }
    }
    if let Some(seq) = lines.iter().map(|line: &UsageRecord| line.seq).max() {
        world.step(Input::FromGcs(GcsToRaylet::UsageNoted { epoch: 1, seq }));
    }
    lines
}

/// Lines that are over, of as many milliseconds each.
fn closed(lines: &[UsageRecord]) -> Vec<(UsageObject, u64, i64, &str)> {
    let over = lines.iter().filter(|line| !line.open);
    let of = |line: &UsageRecord| (line.end_ns - line.start_ns) / MS;
    over.map(|line| (line.object, of(line), line.resources.get("CPU").0, line.cause.as_str())).collect()
}

fn driver_of_job(world: &mut World, submission: Option<u64>) -> Address {
    world.step(Input::DriverConnected { pid: 100, namespace: None });
    let driver = *world.drivers.last().unwrap();
    let attach = Attach {
        namespace: String::new(),
        submission,
        package: String::new(),
        python: "python".to_owned(),
        sys_path: Vec::new(),
        cwd: "/".to_owned(),
        env: Vec::new(),
        log_to_driver: false,
    };
    world.says(driver, ProcessToRaylet::Hello { version: VERSION, pid: 100, attach: Some(attach) });
    driver
}

fn report(code: i32, cpu_ns: u64) -> JobReport {
    JobReport {
        exit: Exit::Code(code),
        cause: JobCause::Own,
        started_ms: 1,
        ended_ms: 2,
        cpu_ns,
        log_bytes: 0,
        log_dropped: 0,
    }
}

#[test]
fn a_lease_is_told_each_second_and_when_it_is_returned() {
    let mut world = metered(2.0);
    let driver = driver_of_job(&mut world, Some(9));
    world.demands(driver, 1, class(1.0, 0), 1);
    let (lease, worker) = world.leases_of(driver)[0];
    world.cpu.insert(worker, 300 * MS);
    world.wait(1_000);
    let first = lines(&mut world);
    let [open] = first.as_slice() else { panic!("{first:?}") };
    assert_eq!((open.object, open.seq, open.open), (UsageObject::Lease(lease), 1, true));
    assert_eq!((open.submission, open.end_ns - open.start_ns), (Some(9), 1_000 * MS));
    assert_eq!((open.resources.clone(), open.used_cpu_ns), (cpus(1.0), 300 * MS));
    world.wait(250);
    world.cpu.insert(worker, 500 * MS);
    world.demands(driver, 1, class(1.0, 0), 0);
    world.returns(lease);
    world.wait(1_000);
    let second = lines(&mut world);
    assert_eq!(closed(&second), [(UsageObject::Lease(lease), 1_250, 10_000, "returned")]);
    assert_eq!((second[0].seq, second[0].used_cpu_ns), (2, 500 * MS));
    world.is_fine();
}

#[test]
fn who_holds_nothing_wakes_nobody() {
    let mut world = metered(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    world.demands(driver, 1, class(1.0, 0), 0);
    let (lease, _) = world.leases_of(driver)[0];
    world.returns(lease);
    world.wait(3_000);
    lines(&mut world);
    world.wait(60_000);
    assert_eq!(lines(&mut world), []);
    assert_eq!(world.raylet.deadline(), None);
}

#[test]
fn a_private_cluster_keeps_no_account() {
    let mut world = World::new(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    world.wait(3_000);
    assert_eq!(lines(&mut world), []);
    assert_eq!(world.raylet.deadline(), None);
}

#[test]
fn a_lender_pays_again_once_the_borrower_is_done() {
    let mut world = metered(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    let (lent, parent) = world.leases_of(driver)[0];
    world.demands(parent, 1, class(1.0, 1), 1);
    world.wait(100);
    world.status(&[parent]);
    let (borrowed, _) = world.leases_of(parent)[0];
    world.wait(200);
    // It runs again while the borrower does: one CPU is there, one is charged.
    world.status(&[]);
    world.wait(50);
    world.demands(parent, 1, class(1.0, 1), 0);
    world.returns(borrowed);
    world.wait(30);
    world.demands(driver, 1, class(1.0, 0), 0);
    world.returns(lent);
    world.wait(2_000);
    let all = lines(&mut world);
    let mut over = closed(&all);
    over.sort();
    let lent = UsageObject::Lease(lent);
    let expected = [
        (lent, 30, 10_000, "returned"),
        (lent, 100, 10_000, "another amount"),
        (UsageObject::Lease(borrowed), 250, 10_000, "returned"),
    ];
    assert_eq!(over, expected);
    world.is_fine();
}

#[test]
fn actors_are_charged_for_life_to_the_job_that_was_submitted() {
    let mut world = metered(2.0);
    let driver = driver_of_job(&mut world, Some(4));
    let actor = world.creates(driver, 1, cpus(1.0), cpus(0.5));
    world.wait(400);
    world.step(Input::FromGcs(GcsToRaylet::StopActor { actor, cause: ActorDeath::OutOfScope }));
    world.wait(1_000);
    let all = lines(&mut world);
    assert_eq!(closed(&all), [(UsageObject::Actor(actor), 400, 5_000, "no handle was left")]);
    assert_eq!((all[0].name.as_str(), all[0].submission), ("A", Some(4)));
}

/// Its driver is elsewhere, so the GCS must say which submitted job it belongs to; and the process cannot choose.
#[test]
fn actors_of_owners_elsewhere_are_charged_to_their_job() {
    let mut world = metered(2.0);
    let driver = driver_of_job(&mut world, Some(4));
    world.creates(driver, 1, cpus(0.0), cpus(0.0));
    let mut specs = world.to_gcs.iter().filter_map(|message| match message {
        RayletToGcs::CreateActor { spec } => Some(spec.clone()),
        _ => None,
    });
    let mut spec = specs.next_back().unwrap();
    assert_eq!(spec.submission, Some(4));
    let mut elsewhere = metered(2.0);
    // Workers of that job are there.
    elsewhere.driver();
    spec.owner = Address { node: 3, epoch: 1, process: 1 };
    spec.submission = Some(5);
    elsewhere.step(Input::FromGcs(GcsToRaylet::StartActor { spec: spec.clone() }));
    elsewhere.wait(1_000);
    let all = lines(&mut elsewhere);
    let [line] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((line.object, line.submission), (UsageObject::Actor(spec.actor), Some(5)));
}

#[test]
fn the_end_of_a_submitted_job_is_told_at_once() {
    let mut world = metered(2.0);
    let spec = JobSpec {
        submission_id: "train".to_owned(),
        entrypoint: "true".to_owned(),
        env: Vec::new(),
        secrets_file: None,
        working_dir: None,
        log_limit: 0,
    };
    world.step(Input::FromGcs(GcsToRaylet::StartJob { number: 1, held: cpus(1.5), spec }));
    world.wait(700);
    world.step(Input::JobEnded { number: 1, report: report(3, 44) });
    let all = lines(&mut world);
    assert_eq!(closed(&all), [(UsageObject::Job(1), 700, 15_000, "exited with code 3")]);
    assert_eq!((all[0].used_cpu_ns, all[0].submission, all[0].name.as_str()), (44, Some(1), "train"));
}

#[test]
fn jobs_that_were_found_are_charged_from_then_on() {
    let mut world = metered(2.0);
    world.step(Input::JobFound { number: 1, held: cpus(1.0), started_ms: Some(5) });
    world.wait(100);
    world.step(Input::JobEnded { number: 1, report: report(0, 7) });
    let all = lines(&mut world);
    assert_eq!(closed(&all), [(UsageObject::Job(1), 100, 10_000, "exited with code 0")]);
    assert_eq!(all[0].used_cpu_ns, 7);
}

#[test]
fn what_is_not_noted_is_said_again_with_its_old_numbers() {
    let mut world = metered(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    world.wait(1_000);
    let said = |world: &mut World| -> Vec<UsageRecord> {
        let messages = std::mem::take(&mut world.to_gcs).into_iter();
        messages
            .filter_map(|message| if let RayletToGcs::Usage { records, .. } = message { Some(records) } else { None })
            .flatten()
            .collect()
    };
    let first = said(&mut world);
    assert_eq!(first.len(), 1);
    world.step(Input::GcsDown);
    world.wait(500);
    world.step(Input::GcsUp);
    assert_eq!(said(&mut world), first);
    world.wait(1_000);
    assert_eq!(said(&mut world), first, "nothing new before that is noted");
    world.step(Input::FromGcs(GcsToRaylet::UsageNoted { epoch: 2, seq: 1 }));
    world.wait(1_000);
    assert_eq!(said(&mut world), first, "that was another incarnation's");
    world.step(Input::FromGcs(GcsToRaylet::UsageNoted { epoch: 1, seq: 1 }));
    world.wait(1_000);
    let next = said(&mut world);
    assert_eq!((next[0].seq, next[0].start_ns), (2, first[0].start_ns));
    assert!(next[0].end_ns - next[0].start_ns >= 3_500 * MS);
}

/// However long the link is down, the sum is what was held, in a bearable number of lines.
#[test]
fn nothing_is_lost_while_the_link_is_down_for_long() {
    let mut world = metered(1.0);
    let driver = world.driver();
    world.demands(driver, 1, class(1.0, 0), 1);
    world.step(Input::GcsDown);
    let mut held = 0;
    for _ in 0..10_500 {
        let (lease, _) = world.leases_of(driver)[0];
        let before = world.now;
        world.wait(3);
        held += (world.now - before).0;
        // The demand stands: the next lease begins as this one ends.
        world.returns(lease);
    }
    world.step(Input::GcsUp);
    world.wait(1_000);
    let all = lines(&mut world);
    let amount = |line: &UsageRecord| line.resources.get("CPU").0.unsigned_abs() * (line.end_ns - line.start_ns);
    let of_closed: u64 = all.iter().filter(|line| !line.open).map(amount).sum();
    assert_eq!(of_closed, held * 10_000);
    assert!(all.len() < 1_000, "{} lines", all.len());
    world.is_fine();
}

#[test]
fn other_resources_are_charged_while_the_cpu_is_lent() {
    let mut world = World::with(1.0, |config| {
        config.meters = true;
        config.resources.set("GPU", Amount::ONE);
    });
    let driver = world.driver();
    let both = ResourceSet::new().with("CPU", Amount::ONE).with("GPU", Amount::ONE);
    let spec = iosdk_types::spec::ClassSpec { resources: both, depth: 0 };
    world.demands(driver, 1, spec, 1);
    let (_, parent) = world.leases_of(driver)[0];
    world.demands(parent, 1, class(1.0, 1), 1);
    world.wait(100);
    world.status(&[parent]);
    world.wait(1_000);
    let all = lines(&mut world);
    let held = |name: &str| -> u64 {
        let mine = all.iter().filter(|line| line.object == all[0].object);
        mine.map(|line| line.resources.get(name).0.unsigned_abs() * (line.end_ns - line.start_ns)).sum()
    };
    assert_eq!(held("CPU"), 100 * MS * 10_000);
    assert_eq!(held("GPU"), all.last().map_or(0, |last| last.end_ns - all[0].start_ns) * 10_000);
}
