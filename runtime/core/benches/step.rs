//! Nanoseconds a plain task costs in the owner machine: submit, reply, release, each averaged over many, at two depths.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads the clock, the machine does not"
)]

use iosdk_runtime_core::{Draft, Effect, Input, Owner, Target};
use iosdk_types::message::RayletToProcess;
use iosdk_types::message::peer::{Payload, PeerMessage, Place, ReplyStatus, WireReply, WireValue};
use iosdk_types::spec::ClassSpec;
use iosdk_types::{Address, JobId, Key, Machine, ResourceSet, Time};
use smallvec::{SmallVec, smallvec};
use std::time::{Duration, Instant};

const WORKER: Address = Address { node: 0, epoch: 1, process: 2 };

struct Run {
    owner: Owner,
    out: Vec<Effect>,
    class: Key,
    function: Key,
    now: u64,
}

impl Run {
    fn new() -> Self {
        let mut owner = Owner::new(Address { node: 0, epoch: 1, process: 1 }, JobId::from_index(1));
        let class = owner.class(ClassSpec { resources: ResourceSet::new(), depth: 0 });
        let function = owner.define(Payload(0));
        let mut run = Self { owner, out: Vec::new(), class, function, now: 0 };
        let attach = RayletToProcess::Attach { peer: WORKER, pid: 1, lane_in: 0, lane_out: 0 };
        run.step(Input::FromRaylet(attach));
        run.step(Input::FromRaylet(RayletToProcess::Granted { class: 0, lease: 1, worker: WORKER }));
        run
    }

    fn step(&mut self, input: Input) {
        self.now += 100;
        self.out.clear();
        self.owner.step(Time(self.now), input, &mut self.out);
    }

    fn submit(&mut self) -> (Key, Key) {
        self.step(Input::Submit(Draft {
            target: Target::Task { class: self.class },
            function: self.function,
            args: Payload(1),
            deps: SmallVec::new(),
            contains: SmallVec::new(),
            returns: 1,
            retries: 3,
        }));
        match self.out[0] {
            Effect::Submitted { task, first } => (task, first),
            ref other => panic!("{other:?} instead of Submitted"),
        }
    }

    fn reply(&mut self, task: Key) {
        let value = WireValue { place: Place::Inline(Payload(2)), is_error: false, contains: Vec::new() };
        let reply = WireReply { key: task.0, status: ReplyStatus::Ok, ran_ns: 200, returns: smallvec![value] };
        self.step(Input::FromPeer { from: WORKER, message: PeerMessage::Reply(reply) });
    }

    /// `rounds` times `batch` tasks; the time in submits, replies and releases.
    fn measure(&mut self, rounds: usize, batch: usize) -> [Duration; 3] {
        let mut spent = [Duration::ZERO; 3];
        let mut keys = Vec::with_capacity(batch);
        for _ in 0..rounds {
            keys.clear();
            let begun = Instant::now();
            for _ in 0..batch {
                keys.push(self.submit());
            }
            let submitted = Instant::now();
            for (task, _) in &keys {
                self.reply(*task);
            }
            let replied = Instant::now();
            for (_, object) in &keys {
                self.step(Input::release(*object));
            }
            spent[0] += submitted - begun;
            spent[1] += replied - submitted;
            spent[2] += replied.elapsed();
        }
        assert!(self.owner.idle(), "tasks are left over");
        spent
    }
}

fn main() {
    println!("{:>8} {:>10} {:>10} {:>10} {:>10}", "batch", "submit ns", "reply ns", "release ns", "sum ns");
    for batch in [1, 100, 10_000] {
        let mut run = Run::new();
        let rounds = 1_000_000 / batch;
        run.measure(rounds / 10, batch);
        let spent = run.measure(rounds, batch);
        let each = spent.map(|time| time.as_nanos() as f64 / (rounds * batch) as f64);
        let sum: f64 = each.iter().sum();
        println!("{batch:>8} {:>10.0} {:>10.0} {:>10.0} {sum:>10.0}", each[0], each[1], each[2]);
    }
}
