//! The shell of a node: steps its raylet machine, forks and kills its processes, reads their status words and pins, and notes
//! for the checkers what it grants.

use crate::check::broken;
use crate::count;
use crate::process::{Process, Program};
use crate::schedule::{Event, How};
use crate::world::World;
use iosdk_raylet_core::{Effect, Input};
use iosdk_types::message::{GcsToRaylet, ProcessToRaylet, RayletToGcs, RayletToProcess};
use iosdk_types::{Address, Death, Exit, Machine, Span};

/// How often status words and pin rows are read.
const LOOK: Span = Span::from_millis(1);
const LOOK_AT_PINS: Span = Span::from_millis(10);
/// A process that was asked to end and has not is killed after this.
const GRACE: Span = Span::from_millis(200);

impl World {
    pub fn step_raylet(&mut self, number: u32, input: Input) {
        if self.nodes.get(&number).is_none_or(|node| node.lost) {
            return;
        }
        self.counts.add(count::raylet_input::of(&input));
        match &input {
            // Once a millisecond: it would be all there is to read.
            Input::Status { blocked } if blocked.is_empty() => {}
            Input::Status { blocked } => {
                self.trace.note(self.now, format_args!("node {number}: {} blocked", blocked.len()))
            }
            other => self.trace.note(self.now, format_args!("node {number} <- {other:?}")),
        }
        if let Input::ProcessDied { process, .. } = &input {
            self.raylet_learns_of_death(*process);
        }
        if let Input::JobEnded { number: job, .. } = &input {
            self.checks.sched_1.job_ends(number, *job);
        }
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let mut effects = Vec::new();
        node.raylet.step(self.now, input, &mut effects);
        self.perform_raylet(number, effects);
        self.settle_raylet(number);
    }

    pub fn tick_raylet(&mut self, number: u32) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number).filter(|node| !node.lost && node.tick_at == Some(now)) else {
            return;
        };
        node.tick_at = None;
        if node.raylet.deadline().is_some_and(|deadline| deadline <= now) {
            let mut effects = Vec::new();
            node.raylet.tick(now, &mut effects);
            self.perform_raylet(number, effects);
        }
        self.settle_raylet(number);
    }

    fn settle_raylet(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if self.settings.meters && !node.lost {
            self.checks.use_1.granted(number, node.epoch, self.now, node.raylet.granted());
        }
        let sane = if self.trace.events % 512 < 8 { node.raylet.check() } else { Ok(()) };
        let deadline = node.raylet.deadline().filter(|deadline| node.tick_at.is_none_or(|at| *deadline < at));
        if let Some(deadline) = deadline {
            let deadline = deadline.max(self.now);
            node.tick_at = Some(deadline);
            self.schedule.at(deadline, Event::RayletTick { node: number });
        }
        if let Err(text) = sane {
            self.hold(broken("SCHED-1", format!("raylet {number}: {text}")));
        }
    }

    fn perform_raylet(&mut self, number: u32, effects: Vec<Effect>) {
        for effect in effects {
            self.counts.add(count::raylet_effect::of(&effect));
            self.trace.note(self.now, format_args!("node {number} -> {effect:?}"));
            match effect {
                Effect::ToProcess { to, message } => self.say_to_process(number, to, message),
                Effect::ToGcs(message) => self.say_to_gcs(number, message),
                Effect::ForkWorker { process, job: _ } => self.fork(number, process),
                // Whose interpreter forks a worker, and who prints what it says, makes no difference here.
                Effect::OpenJob { .. } | Effect::CloseJob { .. } => {}
                Effect::StartJob { number: job, held, spec: _ } => self.start_job(number, job, held),
                Effect::StopJob { number: job, force } => self.stop_job(number, job, force),
                Effect::MeasureCpu { processes } => self.measure_cpu(number, &processes),
                Effect::ForgetJob { number: job } => self.forget_job(number, job),
                Effect::AdmitDriver { process } => self.admit(process),
                Effect::Kill { process, graceful } => {
                    let span = if graceful { GRACE } else { Span(1 + self.random.below(500_000)) };
                    self.after(span, Event::Killed { process, how: How::Intended });
                }
                Effect::OpenLanes { a, lane_in_a: _, b, lane_in_b: _ } => {
                    self.lanes.insert((a, b), Default::default());
                    self.lanes.insert((b, a), Default::default());
                }
                Effect::WatchStatus { on } => self.watch_status(number, on),
                Effect::Punch { offset, bytes } => self.nobodys(number, offset, bytes, "punched"),
                Effect::WatchPins { offset, bytes } => self.look_at_pins(number, offset, bytes),
                Effect::ShutDown => self.end_node(number),
            }
        }
    }

    fn say_to_process(&mut self, number: u32, to: Address, message: RayletToProcess) {
        match &message {
            RayletToProcess::Granted { class, lease, worker } => {
                let verdict = self.checks.sched_2.granted(*lease, to, *worker);
                self.hold(verdict);
                let class = self.nodes.get(&number).and_then(|node| node.classes.get(&(to, *class)).cloned());
                match class {
                    Some(class) => {
                        let verdict = self.checks.sched_1.granted(*worker, &class.resources);
                        self.hold(verdict);
                    }
                    None => self.hold(broken(
                        "SCHED-2",
                        format!("{to} is granted {worker} for class {class:?}, which it never asked for"),
                    )),
                }
            }
            RayletToProcess::ExtentGranted { request: _, offset, bytes } => {
                self.extent_granted(number, to, *offset, *bytes)
            }
            _ => {}
        }
        let delay = self.delay(self.settings.socket);
        let Some(process) = self.processes.get_mut(&to) else { return };
        let arrival = process.from_raylet.arrival(self.now, delay);
        self.schedule.at(arrival, Event::ToProcess { to, message });
    }

    fn extent_granted(&mut self, number: u32, to: Address, offset: u64, bytes: u64) {
        self.nobodys(number, offset, bytes, "given out again");
        let limit = self.settings.arena_limit;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let verdict = self.checks.store_1.granted(&node.arena, limit, to, offset, bytes);
        node.arena.granted.insert(offset, crate::memory::Granted { bytes, holder: to, is_returned: false });
        self.hold(verdict);
    }

    /// The raylet treats these bytes as nobody's. Extents of dead holders end here; somebody may still need what is in them.
    fn nobodys(&mut self, number: u32, offset: u64, bytes: u64, how: &str) {
        let Some(node) = self.nodes.get(&number) else { return };
        let end = offset + bytes;
        let dead: Vec<(u64, u64, Address)> = node
            .arena
            .granted
            .iter()
            .filter(|(at, extent)| **at < end && **at + extent.bytes > offset && self.ghost.is_gone(extent.holder))
            .map(|(at, extent)| (*at, extent.bytes, extent.holder))
            .collect();
        for (at, bytes, holder) in dead {
            let reader = self.who_needs(number, at, bytes);
            let verdict = self.checks.store_1.reclaimed(at, holder, reader);
            self.hold(verdict);
            if let Some(node) = self.nodes.get_mut(&number) {
                node.arena.granted.remove(&at);
                node.arena.forget(at, bytes);
            }
        }
        let held = self.nodes.get(&number).and_then(|node| {
            let (at, extent) = node.arena.granted.range(..end).next_back()?;
            (*at + extent.bytes > offset).then(|| format!("{at}..{} of {} is {how}", at + extent.bytes, extent.holder))
        });
        if let Some(text) = held {
            self.hold(broken("STORE-1", text));
        }
    }

    /// Somebody who reads in these bytes, or whose machine says that its object lies there.
    fn who_needs(&self, number: u32, offset: u64, bytes: u64) -> Option<String> {
        let pinned = self
            .processes
            .values()
            .filter(|process| process.address.node == number)
            .find(|process| process.pins.range(offset..offset + bytes).next().is_some());
        if let Some(process) = pinned {
            return Some(format!("{} reads in it", process.address));
        }
        let arena = &self.nodes.get(&number)?.arena;
        arena.within(offset, bytes).find_map(|(at, stored)| {
            let process = self.processes.get(&stored.owner)?;
            let key = process.owner.find(&stored.object?)?;
            let is_there = crate::user::arena_extent(&process.owner, key)
                .is_some_and(|extent| extent.offset == *at && extent.generation == stored.generation);
            is_there.then(|| format!("{} owns {} in it", stored.owner, stored))
        })
    }

    fn fork(&mut self, number: u32, process: Address) {
        let span = Span::from_micros(500 + self.random.below(3000));
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if node.forks_that_fail > 0 {
            node.forks_that_fail -= 1;
            self.counts.add("fault::fork failed");
            return self.after_at(span, number, Input::ForkFailed { process, why: "out of memory".to_owned() });
        }
        self.next_pid += 1;
        let pid = self.next_pid;
        self.processes.insert(process, Process::new(process, pid, None));
        self.after_at(span, number, Input::WorkerForked { process, pid });
        self.tell_raylet(process, ProcessToRaylet::Hello { version: iosdk_types::message::VERSION, pid, attach: None });
    }

    fn admit(&mut self, process: Address) {
        let pid = self.next_pid;
        let attach = self.arriving.take();
        let submission = attach.as_ref().and_then(|attach| attach.submission);
        self.processes.insert(process, Process::new(process, pid, Some(Program { submission })));
        self.drivers.push(process);
        if let Some(job) = submission.and_then(|job| self.supervisors.get_mut(&(process.node, job))) {
            job.driver = Some(process);
        }
        self.tell_raylet(process, ProcessToRaylet::Hello { version: iosdk_types::message::VERSION, pid, attach });
    }

    fn watch_status(&mut self, number: u32, on: bool) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.watch_status = on;
        // The look that was arranged before a short pause still comes.
        if on && !node.looks_at_status {
            node.looks_at_status = true;
            self.after(LOOK, Event::StatusTick { node: number });
        }
    }

    pub fn read_status(&mut self, number: u32) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.looks_at_status = node.watch_status && !node.lost;
        if !node.looks_at_status {
            return;
        }
        let blocked: Vec<Address> = self
            .processes
            .values()
            .filter(|process| process.address.node == number && !process.is_driver())
            .filter(|process| process.blocked_since.is_some_and(|since| since + LOOK <= now))
            .map(|process| process.address)
            .collect();
        self.checks.sched_1.status(number, &blocked);
        self.after(LOOK, Event::StatusTick { node: number });
        self.step_raylet(number, Input::Status { blocked });
    }

    pub fn look_at_pins(&mut self, number: u32, offset: u64, bytes: u64) {
        let pinned = self.processes.values().any(|process| {
            process.address.node == number && process.pins.range(offset..offset + bytes).next().is_some()
        });
        if !pinned {
            self.nobodys(number, offset, bytes, "taken back");
        }
        let Some(epoch) = self.nodes.get(&number).map(|node| node.epoch) else { return };
        if pinned {
            self.after(LOOK_AT_PINS, Event::PinsTick { node: number, epoch, offset, bytes });
        } else {
            self.after_at(Span(1), number, Input::Unpinned { offset });
        }
    }

    /// A message of a process reaches its raylet.
    pub fn raylet_hears(&mut self, from: Address, message: ProcessToRaylet) {
        let Some(node) = self.nodes.get_mut(&from.node).filter(|node| !node.lost) else { return };
        match &message {
            ProcessToRaylet::Demand { class, spec, want: _ } => {
                node.classes.insert((from, *class), spec.clone());
            }
            ProcessToRaylet::ReturnLease { lease, worker_usable: _ } => {
                if let Some(worker) = self.checks.sched_2.returned(*lease, from) {
                    self.checks.sched_1.released(worker);
                }
            }
            ProcessToRaylet::ExtentReturn { offset } => {
                if node.arena.granted.get(offset).is_some_and(|extent| extent.holder == from)
                    && let Some(extent) = node.arena.granted.remove(offset)
                {
                    node.arena.forget(*offset, extent.bytes);
                }
            }
            _ => {}
        }
        self.step_raylet(from.node, Input::FromProcess { from, message });
    }

    pub fn raylet_hears_gcs(&mut self, number: u32, link: u32, message: GcsToRaylet) {
        if !self.nodes.get(&number).is_some_and(|node| node.link == link && node.link_is_up && !node.lost) {
            self.counts.add("lost::gcs to raylet");
            return;
        }
        self.counts.add(count::from_gcs::of(&message));
        self.step_raylet(number, Input::FromGcs(message));
    }

    fn say_to_gcs(&mut self, number: u32, message: RayletToGcs) {
        self.counts.add(count::to_gcs::of(&message));
        if let RayletToGcs::ActorStarted { actor, address } = &message {
            let verdict = self.checks.act_2.born(*actor, *address);
            self.hold(verdict);
        }
        let delay = self.delay(self.settings.gcs);
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if matches!(message, RayletToGcs::View { .. }) {
            node.views.push(message.clone());
        }
        if !node.link_is_up {
            self.counts.add("lost::raylet to gcs");
            return;
        }
        let arrival = node.to_gcs.arrival(self.now, delay);
        self.schedule.at(arrival, Event::ToGcs { node: number, link: node.link, message });
    }

    pub fn link_up(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(&number).filter(|node| !node.link_is_up && !node.lost) else { return };
        if node.shut_down {
            return;
        }
        node.link_is_up = true;
        self.step_raylet(number, Input::GcsUp);
    }

    /// A process ends, whatever way.
    pub fn kill(&mut self, at: Address, how: How) {
        let Some(process) = self.processes.remove(&at) else { return };
        self.trace.note(self.now, format_args!("{at} ends: {how:?}"));
        let exit = if how == How::Leaves { Exit::Code(0) } else { Exit::Signal(9) };
        let death = Death { pid: process.pid, exit, intended: how == How::Intended, last_lines: Vec::new() };
        self.ghost.dead.insert(at, (death.clone(), self.now));
        self.checks.act_2.died(at);
        let span = Span(1 + self.random.below(2_000_000));
        self.after_at(span, at.node, Input::ProcessDied { process: at, death });
    }

    /// Notes for the checkers, at the moment at which the raylet learns of a death.
    fn raylet_learns_of_death(&mut self, process: Address) {
        for worker in self.checks.sched_2.died(process) {
            self.checks.sched_1.released(worker);
        }
        self.checks.sched_1.released(process);
    }

    /// The driver left: the cluster that it started ends. Its raylet is heard until it is gone, and refuses what it is asked.
    fn end_node(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.shut_down = true;
        self.await_missing_nodes();
        let everyone: Vec<Address> = self.processes.keys().copied().filter(|at| at.node == number).collect();
        for process in everyone {
            let span = Span(1 + self.random.below(1_000_000));
            self.after(span, Event::Killed { process, how: How::Intended });
        }
        let given_up = self.delay(Span::from_secs(1));
        self.after(given_up, Event::NodeGivenUp { node: number });
    }

    pub fn give_node_up(&mut self, number: u32) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.link_is_up = false;
            node.link += 1;
        }
        self.step_gcs(iosdk_gcs_core::Input::NodeLost { node: number });
    }
}
