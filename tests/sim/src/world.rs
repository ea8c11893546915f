//! The world: every machine of a cluster, what lies between them, and the loop that lets the next thing happen.

use crate::check::{Checks, Verdict, Violation};
use crate::count::Counts;
use crate::ghost::Ghost;
use crate::log::Log;
use crate::memory::{Arena, Claims};
use crate::process::Process;
use crate::random::Random;
use crate::schedule::{Event, Fifo, Frame, Schedule};
use crate::settings::Settings;
use crate::submitter::Submitter;
use crate::supervisors::Supervisor;
use crate::trace::Trace;
use iosdk_gcs_core::Gcs;
use iosdk_raylet_core::Raylet;
use iosdk_types::message::{Attach, RayletToGcs};
use iosdk_types::spec::ClassSpec;
use iosdk_types::{Address, Map, Set, Span, Time};
use std::collections::VecDeque;

/// One direction between two processes: frames on their way, and the claim words of the calls that went this way.
#[derive(Default)]
pub struct Lane {
    pub queue: VecDeque<Frame>,
    pub fifo: Fifo,
    pub claims: Claims,
    pub poisoned: bool,
}

pub struct Node {
    pub raylet: Raylet,
    pub epoch: u32,
    pub arena: Arena,
    pub watch_status: bool,
    /// The next look at the status words is arranged.
    pub looks_at_status: bool,
    /// Grows with each cut: what was on its way over an older link is lost.
    pub link: u32,
    pub link_is_up: bool,
    pub to_gcs: Fifo,
    pub from_gcs: Fifo,
    pub tick_at: Option<Time>,
    pub classes: Map<(Address, u32), ClassSpec>,
    pub views: Vec<RayletToGcs>,
    pub forks_that_fail: u64,
    pub shut_down: bool,
    /// Power failed, or the daemon was killed.
    pub lost: bool,
    /// The daemon is going to come back.
    pub down: bool,
    pub drivers_to_come: u32,
}

impl Node {
    pub fn new(raylet: Raylet, epoch: u32) -> Self {
        Self {
            raylet,
            epoch,
            arena: Arena::default(),
            watch_status: false,
            looks_at_status: false,
            link: 0,
            link_is_up: false,
            to_gcs: Fifo::default(),
            from_gcs: Fifo::default(),
            tick_at: None,
            classes: Map::new(),
            views: Vec::new(),
            forks_that_fail: 0,
            shut_down: false,
            lost: false,
            down: false,
            drivers_to_come: 0,
        }
    }
}

pub struct World {
    pub settings: Settings,
    pub now: Time,
    pub schedule: Schedule,
    pub random: Random,
    pub counts: Counts,
    pub trace: Trace,
    pub ghost: Ghost,
    pub checks: Checks,
    pub violation: Option<Violation>,
    pub gcs: Gcs,
    pub gcs_tick_at: Option<Time>,
    pub gcs_restarted_at: Option<Time>,
    pub log: Log,
    pub submitter: Submitter,
    /// By node and number of the job.
    pub supervisors: Map<(u32, u64), Supervisor>,
    pub nodes: Map<u32, Node>,
    pub processes: Map<Address, Process>,
    pub lanes: Map<(Address, Address), Lane>,
    pub next_pid: i32,
    pub next_body: u64,
    pub drivers: Vec<Address>,
    /// What the driver that connects in this moment says of itself.
    pub arriving: Option<Attach>,
    /// Descriptors that user code wrote down somewhere.
    pub notebook: Vec<iosdk_types::RefDescriptor>,
    pub planted: Option<crate::planted::Planted>,
    /// Actors that hold what there is little of.
    pub scarce_actors: Set<iosdk_types::ActorId>,
    /// The process whose user code runs now.
    pub is_taking_turns: Option<Address>,
    pub calls_run: u64,
    /// Until then it is no wonder that nothing moves.
    pub patience_until: Time,
}

/// How a run ended.
pub struct Outcome {
    pub violation: Option<Violation>,
    pub hash: u64,
    pub events: u64,
    pub calls_run: u64,
    pub simulated: Time,
    pub counts: Counts,
    pub tail: String,
}

impl World {
    /// Records the first broken promise; the run stops there.
    pub fn hold(&mut self, verdict: Verdict) {
        if let Err(violation) = verdict {
            self.violation.get_or_insert(violation);
        }
    }

    pub fn delay(&mut self, most: Span) -> Span {
        Span(1 + self.random.below(most.0))
    }

    pub fn after(&mut self, span: Span, event: Event) {
        self.schedule.at(self.now + span, event);
    }

    /// Runs until nothing happens any more, `steps` events have happened, or a promise is broken.
    pub fn run(mut self, steps: u64) -> Outcome {
        self.begin();
        self.run_while(steps, |world| !world.drivers_are_done());
        if self.is_sound() && self.trace.events < steps {
            self.run_for(steps, Span::from_secs(3));
            for round in 0..60 {
                // An attribute that leads back to its own actor would live for ever: a cycle, as in every count of references.
                self.forget_attributes();
                if round < 3 || self.is_busy() || !self.jobs_are_over() {
                    self.run_for(steps, Span::from_secs(2));
                }
            }
        }
        if self.is_sound() && self.trace.events < steps {
            self.check_quiet();
            self.check_usage();
            self.check_jobs_have_ended();
        }
        if self.is_sound() && self.trace.events < steps {
            self.shut_down_all();
            self.run_for(steps, Span::from_secs(3));
        }
        if self.is_sound() && self.trace.events < steps && self.settings.standing {
            self.check_left_alone();
        }
        Outcome {
            violation: self.violation.take(),
            hash: self.trace.hash(),
            events: self.trace.events,
            calls_run: self.calls_run,
            simulated: self.now,
            counts: std::mem::take(&mut self.counts),
            tail: self.trace.tail(),
        }
    }

    /// What the drivers have let go of still runs.
    fn is_busy(&self) -> bool {
        self.processes.values().any(|process| process.body.is_some() || process.owner.live_tasks() > 0)
    }

    fn is_sound(&self) -> bool {
        self.violation.is_none()
    }

    fn run_while(&mut self, steps: u64, goes_on: impl Fn(&Self) -> bool) {
        while self.is_sound() && self.trace.events < steps && goes_on(self) {
            if !self.happen() {
                let waiting = self.who_waits();
                self.hold(crate::check::broken("SCHED-3", format!("nothing will ever happen again: {waiting}")));
                return;
            }
            let faults_until = self.patience_until.max(Time(self.settings.faults.until.0));
            let verdict = self.checks.sched_3.stands_still(self.now, faults_until, || self.who_waits());
            self.hold(verdict);
        }
    }

    fn run_for(&mut self, steps: u64, span: Span) {
        let until = self.now + span;
        while self.is_sound() && self.trace.events < steps && self.schedule.next_at().is_some_and(|at| at <= until) {
            self.happen();
        }
        self.now = self.now.max(until);
    }

    /// The next thing happens. False when there is none.
    fn happen(&mut self) -> bool {
        let Some((at, event)) = self.schedule.pop() else { return false };
        debug_assert!(at >= self.now, "time goes back");
        self.now = at;
        match event {
            Event::ToRaylet { from, message } => self.raylet_hears(from, message),
            Event::ToProcess { to, message } => self.process_hears(to, message),
            Event::Raylet { node, epoch, input } => {
                if self.nodes.get(&node).is_some_and(|node| node.epoch == epoch) {
                    self.step_raylet(node, *input);
                }
            }
            Event::ToGcs { node, link, message } => self.gcs_hears(node, link, message),
            Event::FromGcs { node, link, message } => self.raylet_hears_gcs(node, link, message),
            Event::GcsLinkUp { node } => self.link_up(node),
            Event::GcsTick => self.tick_gcs(),
            Event::LogDurable { life, upto } => self.log_durable(life, upto),
            Event::DriverArrives { node, submission } => self.driver_arrives(node, submission),
            Event::DaemonBack { node } => self.daemon_back(node),
            Event::Supervisor { node, number, moment } => self.supervisor_goes_on(node, number, moment),
            Event::Submitter(act) => self.submitter_acts(act),
            Event::NodeGivenUp { node } => self.give_node_up(node),
            Event::Lane { from, to } => self.drain_lane(from, to, false),
            Event::OwnerTick { process } => self.tick_owner(process),
            Event::RayletTick { node } => self.tick_raylet(node),
            Event::StatusTick { node } => self.read_status(node),
            Event::PinsTick { node, epoch, offset, bytes } => {
                if self.nodes.get(&node).is_some_and(|node| node.epoch == epoch) {
                    self.look_at_pins(node, offset, bytes);
                }
            }
            Event::Run { process, turn } => self.run_body(process, turn),
            Event::Killed { process, how } => self.kill(process, how),
            Event::Fault(fault) => self.make_trouble(fault),
        }
        true
    }

    pub fn drivers_are_done(&self) -> bool {
        // A node may be lost before its driver was let in.
        let has_begun = |node: &Node| !node.down && (node.lost || node.shut_down || node.drivers_to_come == 0);
        self.nodes.values().all(has_begun)
            && self.drivers.iter().all(|driver| {
                self.processes.get(driver).is_none_or(|process| process.welcomed && process.body.is_none())
            })
    }

    /// Where user code stands, for a failure's text.
    pub fn who_waits(&self) -> String {
        let mut lines = Vec::new();
        for process in self.processes.values() {
            let Some(body) = &process.body else { continue };
            let object = body.waiting.and_then(|waiting| process.owner.describe(waiting.object));
            let task = object.and_then(|object| self.ghost.task_of(&object.object));
            lines.push(format!(
                "{} runs {:?}, waits for {object:?} of {task:?}",
                process.address,
                body.running.map(|running| running.task)
            ));
        }
        lines.truncate(8);
        lines.join("; ")
    }

    fn check_quiet(&mut self) {
        use crate::check::own_2::{arena_is_empty, process_is_empty};
        if !self.ghost.poisoned.is_empty() {
            // A process that writes rubbish may keep what it likes; it was killed for it, and others judged by their lanes.
            return;
        }
        let verdicts: Vec<Verdict> = self
            .processes
            .values()
            .filter(|process| process.welcomed && !process.ending)
            .map(|process| process_is_empty(process, &self.ghost))
            .chain(
                self.nodes
                    .iter()
                    .filter(|(_, node)| !node.shut_down)
                    .map(|(number, node)| arena_is_empty(*number, &node.arena)),
            )
            .collect();
        for verdict in verdicts {
            self.hold(verdict);
        }
    }
}
