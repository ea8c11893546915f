//! Daemons and links: a standing node's daemon is killed and comes back as its next incarnation, links to the GCS break and are
//! made again, drivers arrive.

use crate::schedule::{Event, How};
use crate::world::{Node, World};
use iosdk_raylet_core::{Config, Input, Raylet};
use iosdk_types::message::Attach;
use iosdk_types::{Address, Amount, Death, Exit, NodeId, ResourceSet, Span};

impl World {
    /// A node with a fresh daemon.
    pub(crate) fn make_node(&mut self, number: u32, epoch: u32) -> Node {
        let resources =
            ResourceSet::new().with("CPU", Amount::units(i64::from(self.settings.cpus))).with("slot", Amount::units(2));
        self.checks.sched_1.node(number, resources.clone());
        self.checks.use_1.born(number, epoch, self.now, resources.clone());
        let mut id = [0; 28];
        id[0] = number as u8 + 1;
        let config = Config {
            resources,
            arena_limit: self.settings.arena_limit,
            workers_ahead: self.settings.workers_ahead,
            infeasible_waits: self.settings.infeasible_waits,
            ends_with_driver: !self.settings.standing,
            meters: self.settings.meters,
            session: "simulated".to_owned(),
            extent_wait: Span::from_secs(1),
            ..Config::new(number, epoch, NodeId(id))
        };
        let mut raylet = Raylet::new(config);
        self.plant_in_raylet(&mut raylet);
        Node::new(raylet, epoch)
    }

    /// Something that the node's shell tells its raylet after a while, unless the daemon is killed before.
    pub(crate) fn after_at(&mut self, span: Span, node: u32, input: Input) {
        let Some(epoch) = self.nodes.get(&node).map(|node| node.epoch) else { return };
        self.after(span, Event::Raylet { node, epoch, input: Box::new(input) });
    }

    pub(crate) fn expect_driver(&mut self, number: u32, submission: Option<u64>, span: Span) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.drivers_to_come += 1;
            self.after(span, Event::DriverArrives { node: number, submission });
        }
    }

    pub(crate) fn driver_arrives(&mut self, number: u32, submission: Option<u64>) {
        let standing = self.settings.standing;
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if node.down {
            return self.after(Span::from_millis(5), Event::DriverArrives { node: number, submission });
        }
        node.drivers_to_come -= 1;
        if node.lost || node.shut_down {
            return;
        }
        self.next_pid += 1;
        self.arriving = standing.then(|| attach(submission));
        let namespace = (!standing).then(String::new);
        self.step_raylet(number, Input::DriverConnected { pid: self.next_pid, namespace });
    }

    /// The link is cut; it comes back within the given time.
    pub(crate) fn break_link(&mut self, number: u32, most: Span) -> bool {
        let Some(node) = self.nodes.get_mut(&number).filter(|node| node.link_is_up) else { return false };
        node.link_is_up = false;
        node.link += 1;
        self.step_raylet(number, Input::GcsDown);
        let span = self.delay(most);
        self.after(span, Event::GcsLinkUp { node: number });
        true
    }

    /// `kill -9` of a daemon that stands: its processes go with it, the supervisors of submitted jobs stay.
    pub(crate) fn kill_daemon(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(&number).filter(|node| !node.lost && !node.shut_down) else { return };
        self.counts.add("fault::daemon killed");
        node.lost = true;
        node.down = true;
        node.link_is_up = false;
        node.link += 1;
        let epoch = node.epoch;
        self.checks.use_1.ended(number, epoch, self.now);
        let here: Vec<(Address, i32)> = self
            .processes
            .values()
            .filter(|process| process.address.node == number)
            .map(|process| (process.address, process.pid))
            .collect();
        for (process, pid) in here {
            self.processes.remove(&process);
            let death = Death { pid, exit: Exit::Signal(9), intended: false, last_lines: Vec::new() };
            self.ghost.dead.insert(process, (death, self.now));
            self.checks.act_2.died(process);
            self.checks.sched_2.died(process);
        }
        let span = self.delay(Span::from_millis(60));
        self.after(span, Event::DaemonBack { node: number });
    }

    pub(crate) fn daemon_back(&mut self, number: u32) {
        let Some(epoch) = self.nodes.get(&number).map(|node| node.epoch + 1) else { return };
        let fresh = self.make_node(number, epoch);
        if let Some(old) = self.nodes.insert(number, fresh)
            && let Some(node) = self.nodes.get_mut(&number)
        {
            (node.link, node.to_gcs, node.from_gcs) = (old.link, old.to_gcs, old.from_gcs);
            (node.looks_at_status, node.drivers_to_come) = (old.looks_at_status, old.drivers_to_come);
        }
        self.find_jobs(number);
        let span = self.delay(Span::from_millis(20));
        self.after(span, Event::GcsLinkUp { node: number });
        let wait = self.delay(Span::from_millis(50));
        self.expect_driver(number, None, wait);
    }

    /// Every driver that is left asks for the end of its cluster, or leaves a node that stands.
    pub(crate) fn shut_down_all(&mut self) {
        for driver in self.drivers.clone() {
            if self.settings.standing {
                self.kill(driver, How::Leaves);
            } else if self.processes.contains_key(&driver) {
                self.tell_raylet(driver, iosdk_types::message::ProcessToRaylet::Shutdown);
            }
        }
    }

    /// The shell reads what the processes have used: here, a part of the time.
    pub(crate) fn measure_cpu(&mut self, number: u32, processes: &[Address]) {
        let alive = processes.iter().filter(|process| self.processes.contains_key(process));
        let used: Vec<(Address, u64)> =
            alive.map(|process| (*process, self.now.0 / (2 + u64::from(process.process) % 7))).collect();
        for (process, used_ns) in &used {
            self.checks.use_1.measured(*process, *used_ns);
        }
        let span = self.delay(Span::from_micros(20));
        self.after_at(span, number, Input::CpuUsed { used });
    }

    pub(crate) fn check_usage(&mut self) {
        let metered = self.settings.meters;
        let up = self.nodes.iter().filter(|(_, node)| metered && node.link_is_up && !node.lost && !node.shut_down);
        let nodes: Vec<(u32, u32)> = up.map(|(number, node)| (*number, node.epoch)).collect();
        for (number, epoch) in nodes {
            match self.checks.use_1.is_exact(number, epoch, self.now) {
                Ok(exact) => self.counts.add(if exact { "usage::exact" } else { "usage::not over" }),
                Err(violation) => self.hold(Err(violation)),
            }
        }
    }

    /// A node that stands is still there, and nothing on it outlives the drivers.
    pub(crate) fn check_left_alone(&mut self) {
        let stands = |address: &Address| self.nodes.get(&address.node).is_some_and(|node| !node.lost);
        if let Some(process) = self.processes.keys().find(|address| stands(address)) {
            self.hold(crate::check::broken("OWN-2", format!("process {process} outlives every driver")));
        }
        if let Some((number, _)) = self.nodes.iter().find(|(_, node)| node.shut_down && !node.lost) {
            self.hold(crate::check::broken("OWN-2", format!("node {number} ended with a driver that only visited")));
        }
    }
}

fn attach(submission: Option<u64>) -> Attach {
    Attach {
        namespace: String::new(),
        submission,
        package: String::new(),
        python: "python".to_owned(),
        sys_path: Vec::new(),
        cwd: "/".to_owned(),
        env: Vec::new(),
        log_to_driver: false,
    }
}
