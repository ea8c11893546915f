//! Usage: each line is booked once and in order, whatever is repeated, lost or said in the wrong order, over restarts too.

use iosdk_gcs_core::{ApiCall, ApiReply, Config, Effect, Gcs, Input, NewJob, Record, UsageLine, Work};
use iosdk_types::message::{GcsToRaylet, NodeRecord, RayletToGcs, VERSION};
use iosdk_types::{Amount, JobId, Machine, NodeId, ResourceSet, Time, UsageObject, UsageRecord};
use proptest::prelude::*;

fn cpus(units: i64) -> ResourceSet {
    ResourceSet::new().with("CPU", Amount::units(units))
}

struct Books {
    gcs: Gcs,
    log: Vec<Record>,
}

impl Books {
    fn of(capacity: i64) -> Self {
        let mut books = Self { gcs: Gcs::new(Config::default()), log: Vec::new() };
        books.joins(1, capacity);
        books
    }

    fn joins(&mut self, epoch: u32, capacity: i64) {
        let (ip, hostname) = (String::new(), String::new());
        let record = NodeRecord { node: NodeId([0; 28]), alive: true, ip, hostname, resources: cpus(capacity) };
        self.step(Input::FromRaylet {
            node: 0,
            message: RayletToGcs::Join { version: VERSION, node: 0, epoch, record },
        });
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.gcs.step(Time(0), input, &mut out);
        self.log.extend(out.iter().filter_map(|effect| match effect {
            Effect::Append(record) => Some(record.clone()),
            _ => None,
        }));
        out
    }

    /// Up to where everything is booked, as the node hears it.
    fn says(&mut self, epoch: u32, records: Vec<UsageRecord>) -> Option<u64> {
        let out = self.step(Input::FromRaylet { node: 0, message: RayletToGcs::Usage { epoch, records } });
        out.into_iter().find_map(|effect| match effect {
            Effect::ToRaylet { message: GcsToRaylet::UsageNoted { epoch: of, seq }, .. } if of == epoch => Some(seq),
            _ => None,
        })
    }

    fn lines(&mut self, tenant: Option<&str>) -> Vec<UsageLine> {
        let call = ApiCall::Usage { tenant: tenant.map(str::to_owned) };
        match self.step(Input::Api { request: 1, call }).pop() {
            Some(Effect::Reply { reply: ApiReply::Usage(lines), .. }) => lines,
            other => panic!("{other:?}"),
        }
    }

    fn held(&mut self, resource: &str) -> u128 {
        self.lines(None).iter().filter_map(|line| line.sum.held.get(resource)).sum()
    }

    fn restarts(&mut self) {
        self.gcs = Gcs::recover(Config::default(), None, self.log.clone());
    }
}

fn line(seq: u64, object: u64, until: u64, open: bool) -> UsageRecord {
    UsageRecord {
        seq,
        object: UsageObject::Lease(object),
        job: JobId::from_index(1),
        submission: None,
        tenant: "default".to_owned(),
        name: "f".to_owned(),
        resources: cpus(1),
        start_ns: 100,
        end_ns: until,
        open,
        used_cpu_ns: until / 2,
        cause: String::new(),
    }
}

#[test]
fn later_lines_of_an_object_replace_the_earlier_ones() {
    let mut books = Books::of(4);
    assert_eq!(books.says(1, vec![line(1, 7, 150, true)]), Some(1));
    assert_eq!(books.held("CPU"), 50 * 10_000);
    assert_eq!(books.says(1, vec![line(2, 7, 300, true), line(3, 7, 400, false)]), Some(3));
    assert_eq!(books.held("CPU"), 300 * 10_000);
    assert_eq!(books.lines(None)[0].sum.used_cpu_ns, 200);
    assert_eq!(books.gcs.check(), Ok(()));
}

#[test]
fn repeated_lines_change_nothing_and_gaps_are_asked_for() {
    let mut books = Books::of(4);
    let all = vec![line(1, 1, 200, false), line(2, 2, 300, false), line(3, 3, 400, false)];
    assert_eq!(books.says(1, vec![all[0].clone(), all[2].clone()]), Some(1), "the second is missing");
    assert_eq!(books.held("CPU"), 100 * 10_000);
    assert_eq!(books.says(1, vec![all[2].clone(), all[1].clone()]), Some(3), "in any order");
    let written = books.log.len();
    assert_eq!(books.says(1, all.clone()), Some(3));
    assert_eq!((books.held("CPU"), books.log.len()), (600 * 10_000, written));
    books.restarts();
    assert_eq!(books.says(1, all), Some(3), "nor after a restart");
    assert_eq!(books.held("CPU"), 600 * 10_000);
}

#[test]
fn incarnations_have_accounts_of_their_own() {
    let mut books = Books::of(4);
    assert_eq!(books.says(1, vec![line(1, 1, 200, true)]), Some(1));
    books.joins(2, 4);
    assert_eq!(books.says(2, vec![line(1, 1, 150, false)]), Some(1));
    // What the old one could not deliver is delivered by the new one.
    assert_eq!(books.says(1, vec![line(2, 1, 300, false)]), Some(2));
    assert_eq!(books.says(3, vec![line(1, 1, 300, false)]), None, "nobody joined as that");
    assert_eq!(books.held("CPU"), 250 * 10_000);
    assert_eq!(books.gcs.check(), Ok(()));
}

#[test]
fn the_processor_time_of_an_entrypoint_is_booked_once_whoever_saw_its_end() {
    let mut books = Books::of(4);
    let of_entrypoint = |seq, until, open| UsageRecord {
        object: UsageObject::Job(1),
        submission: Some(1),
        used_cpu_ns: 70,
        ..line(seq, 0, until, open)
    };
    books.says(1, vec![of_entrypoint(1, 200, false)]);
    books.joins(2, 4);
    books.says(2, vec![UsageRecord { start_ns: 200, ..of_entrypoint(1, 250, false) }]);
    let lines = books.lines(None);
    assert_eq!((lines[0].sum.held["CPU"], lines[0].sum.used_cpu_ns), (150 * 10_000, 70));
    books.restarts();
    assert_eq!(books.lines(None), lines);
}

#[test]
fn who_submitted_the_job_pays_and_tenants_are_apart() {
    let mut books = Books::of(4);
    let new = NewJob { submission_id: Some("a".to_owned()), user: "ann".to_owned(), ..NewJob::default() };
    let new = NewJob { tenant: "lab".to_owned(), ..new };
    books.step(Input::Api { request: 1, call: ApiCall::Submit(new) });
    let submitted = UsageRecord { submission: Some(1), tenant: "lab".to_owned(), ..line(1, 1, 200, false) };
    let second = UsageRecord { job: JobId::from_index(2), ..UsageRecord { seq: 2, ..submitted.clone() } };
    assert_eq!(books.says(1, vec![submitted, second, line(3, 3, 200, false)]), Some(3));
    let lab = books.lines(Some("lab"));
    assert_eq!(lab.len(), 1, "both drivers of the job are one account");
    assert_eq!((lab[0].account.user.as_str(), lab[0].account.work), ("ann", Work::Submission(1)));
    assert_eq!((lab[0].submission_id.as_deref(), lab[0].sum.held["CPU"]), (Some("a"), 200 * 10_000));
    let default = books.lines(Some("default"));
    assert_eq!(default[0].account.work, Work::Driver(JobId::from_index(1)));
    assert_eq!(books.lines(Some("nobody")), []);
}

#[test]
fn lines_that_come_after_the_job_was_deleted_are_still_its_own() {
    let mut books = Books::of(4);
    let new = NewJob { submission_id: Some("a".to_owned()), user: "ann".to_owned(), ..NewJob::default() };
    books.step(Input::Api { request: 1, call: ApiCall::Submit(new) });
    let of_it = |line: UsageRecord| UsageRecord { submission: Some(1), ..line };
    books.says(1, vec![of_it(line(1, 1, 200, true))]);
    let stop = ApiCall::Stop { id: "a".to_owned(), force: false, by: String::new(), now_ms: 1 };
    books.step(Input::Api { request: 2, call: stop });
    books.step(Input::Api { request: 3, call: ApiCall::Delete { id: "a".to_owned() } });
    books.says(1, vec![of_it(line(2, 1, 300, false))]);
    let lines = books.lines(None);
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].account.user.as_str(), lines[0].sum.held["CPU"]), ("ann", 200 * 10_000));
    assert_eq!(lines[0].submission_id, None);
}

#[test]
fn a_node_that_gave_more_than_it_has_is_noticed() {
    let mut books = Books::of(2);
    books.says(1, vec![line(1, 1, 200, false), line(2, 2, 200, false)]);
    assert_eq!(books.gcs.check(), Ok(()), "both at once, all the time");
    books.says(1, vec![line(3, 3, 200, false)]);
    let broken = books.gcs.check().unwrap_err();
    assert!(broken.starts_with("USE-1: node 0 (incarnation 1) gave 3000000 of CPU in 100 ns"), "{broken}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A node whose lines come in pieces that are lost, repeated and mixed, to a GCS that restarts: the sums are those of the
    /// lines, once all have come.
    #[test]
    fn the_sums_do_not_depend_on_the_way(
        ends in prop::collection::vec((0..4u64, 1..50u64), 1..30),
        pieces in prop::collection::vec((0..30usize, 0..8usize, any::<bool>(), any::<bool>()), 0..40),
    ) {
        let mut books = Books::of(4);
        let mut until = [100; 4];
        let all: Vec<UsageRecord> = (1..).zip(&ends).map(|(seq, (object, more))| {
            until[*object as usize] += more;
            line(seq, *object, until[*object as usize], true)
        }).collect();
        for (from, count, backwards, restarts) in pieces {
            let mut piece: Vec<UsageRecord> = all.iter().skip(from).take(count).cloned().collect();
            if backwards {
                piece.reverse();
            }
            books.says(1, piece);
            if restarts {
                let before = books.gcs.snapshot();
                books.restarts();
                prop_assert_eq!(books.gcs.snapshot(), before);
            }
            prop_assert_eq!(books.gcs.check(), Ok(()));
        }
        prop_assert_eq!(books.says(1, all.clone()), Some(all.len() as u64));
        let expected: u64 = until.iter().map(|until| until - 100).sum();
        prop_assert_eq!(books.held("CPU"), u128::from(expected) * 10_000);
    }
}
