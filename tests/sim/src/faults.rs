//! Trouble: what goes wrong, when, and to whom.

use crate::schedule::{Event, Fault, How};
use crate::world::World;
use iosdk_runtime_core::Input as OwnerInput;
use iosdk_types::{Address, Span, Time};

impl World {
    /// Arranges the trouble of a run: each kind as often as the seed says, at moments spread over the time of trouble.
    pub fn arrange_faults(&mut self) {
        let faults = self.settings.faults.clone();
        let kinds = [
            (Fault::WorkerKilled, faults.worker_killed),
            (Fault::DriverKilled, faults.driver_killed),
            (Fault::NodeLost, if self.settings.nodes > 1 { faults.node_lost } else { 0 }),
            (Fault::GcsCut, faults.gcs_cut),
            (Fault::ForksFail, faults.fork_failed.div_ceil(4)),
            (Fault::SlowWorker, faults.slow_worker),
            (Fault::LaneStalled, faults.lane_stalled),
            (Fault::LanePoisoned, faults.lane_poisoned),
            (Fault::LateView, faults.late_view),
            (Fault::GcsRestarted, faults.gcs_restarted),
            (Fault::DaemonKilled, if self.settings.standing { faults.daemon_killed } else { 0 }),
            (Fault::SupervisorKilled, if self.settings.jobs > 0 { faults.supervisor_killed } else { 0 }),
        ];
        for (fault, times) in kinds {
            for _ in 0..times {
                let at = Time(self.random.below(faults.until.0));
                self.schedule.at(at, Event::Fault(fault));
            }
        }
    }

    pub fn make_trouble(&mut self, fault: Fault) {
        self.trace.note(self.now, format_args!("trouble: {fault:?}"));
        match fault {
            Fault::WorkerKilled => {
                if let Some(process) = self.somebody(false) {
                    self.counts.add("fault::worker killed");
                    self.kill(process, How::Trouble);
                }
            }
            Fault::DriverKilled => {
                if let Some(process) = self.somebody(true) {
                    self.counts.add("fault::driver killed");
                    self.kill(process, How::Trouble);
                }
            }
            Fault::NodeLost => self.lose_node(),
            Fault::GcsCut => self.cut_gcs_link(),
            Fault::ForksFail => {
                let most = self.settings.faults.fork_failed;
                let times = 1 + self.random.below(most);
                if let Some(number) = self.some_node()
                    && let Some(node) = self.nodes.get_mut(&number)
                {
                    node.forks_that_fail += times;
                }
            }
            Fault::SlowWorker => {
                let slowness = 2 + self.random.below(60);
                if let Some(process) = self.somebody(false).and_then(|at| self.processes.get_mut(&at)) {
                    process.slowness = slowness;
                    self.counts.add("fault::slow worker");
                }
            }
            Fault::LaneStalled => {
                let pick = self.random.index(self.lanes.len());
                let until = self.now + Span::from_millis(1 + self.random.below(300));
                if let Some(lane) = self.lanes.values_mut().nth(pick) {
                    lane.fifo.stall(until);
                    self.counts.add("fault::lane stalled");
                }
            }
            Fault::LanePoisoned => self.poison_lane(),
            Fault::LateView => self.repeat_view(),
            Fault::GcsRestarted => self.restart_gcs(),
            Fault::DaemonKilled => self.kill_some_daemon(),
            Fault::SupervisorKilled => self.kill_some_supervisor(),
        }
    }

    fn somebody(&mut self, driver: bool) -> Option<Address> {
        let fit: Vec<Address> = self
            .processes
            .values()
            .filter(|process| process.is_driver() == driver && process.welcomed && !process.ending)
            .map(|process| process.address)
            .collect();
        let pick = self.random.index(fit.len());
        fit.get(pick).copied()
    }

    fn some_node(&mut self) -> Option<u32> {
        let fit: Vec<u32> =
            self.nodes.iter().filter(|(_, node)| !node.shut_down && !node.lost).map(|(number, _)| *number).collect();
        let pick = self.random.index(fit.len());
        fit.get(pick).copied()
    }

    /// While a submitted job runs there, if one does in the time of trouble: few moments are like that.
    fn kill_some_daemon(&mut self) {
        let is_up = |node: &u32| self.nodes.get(node).is_some_and(|node| !node.shut_down && !node.lost);
        let busy: Vec<u32> = self.nodes_with_jobs().filter(is_up).collect();
        let may_come = self.settings.jobs > 0 && self.now.0 < self.settings.faults.until.0;
        if busy.is_empty() && may_come {
            return self.after(Span::from_millis(5), Event::Fault(Fault::DaemonKilled));
        }
        let pick = self.random.index(busy.len());
        let chosen = busy.get(pick).copied().or_else(|| self.some_node());
        if let Some(number) = chosen {
            self.kill_daemon(number);
        }
    }

    /// Power fails: its processes, its arena and its raylet are gone at once. The GCS notices later.
    fn lose_node(&mut self) {
        let alive = self.nodes.values().filter(|node| !node.shut_down && !node.lost).count();
        let Some(number) = self.some_node().filter(|_| alive > 1) else { return };
        self.counts.add("fault::node lost");
        self.ghost.dead_nodes.insert(number);
        self.processes.retain(|at, _| at.node != number);
        self.supervisors.retain(|(node, _), _| *node != number);
        self.checks.job_1.node_lost(number);
        if let Some(node) = self.nodes.get_mut(&number) {
            self.checks.use_1.ended(number, node.epoch, self.now);
            node.lost = true;
            node.shut_down = true;
            node.link_is_up = false;
            node.link += 1;
        }
        self.await_missing_nodes();
        let span = Span::from_millis(1 + self.random.below(3000));
        self.after(span, Event::NodeGivenUp { node: number });
    }

    fn cut_gcs_link(&mut self) {
        let Some(number) = self.some_node() else { return };
        if self.break_link(number, Span::from_millis(200)) {
            self.counts.add("fault::gcs link cut");
        }
    }

    /// A worker scribbles over a lane that it writes: its reader closes the lane, and the worker does not live much longer.
    fn poison_lane(&mut self) {
        let fit: Vec<(Address, Address)> = self
            .lanes
            .iter()
            .filter(|((from, to), lane)| {
                let writer = self.processes.get(from).is_some_and(|process| !process.is_driver() && !process.ending);
                let reader = self.processes.get(to).is_some_and(|process| process.attached.contains(from));
                writer && reader && !lane.poisoned
            })
            .map(|(pair, _)| *pair)
            .collect();
        let pick = self.random.index(fit.len());
        let Some((from, to)) = fit.get(pick).copied() else { return };
        self.counts.add("fault::lane poisoned");
        self.ghost.poisoned.insert(from);
        if let Some(lane) = self.lanes.get_mut(&(from, to)) {
            lane.poisoned = true;
            lane.queue.clear();
        }
        self.step_owner(to, OwnerInput::LanePoisoned { peer: from });
        let span = Span::from_millis(1 + self.random.below(5));
        self.after(span, Event::Killed { process: from, how: How::Trouble });
    }

    /// A report of what is free arrives a second time, after newer ones.
    fn repeat_view(&mut self) {
        let Some(number) = self.some_node() else { return };
        let pick = self.random.draw();
        let Some(node) = self.nodes.get(&number) else { return };
        if node.views.len() < 2 || !node.link_is_up {
            return;
        }
        let old = node.views[pick as usize % (node.views.len() - 1)].clone();
        self.counts.add("fault::late duplicate view");
        self.gcs_takes(number, old);
    }
}
