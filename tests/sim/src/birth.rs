//! How a world begins: a GCS, its nodes, a driver on each.

use crate::check::Checks;
use crate::ghost::Ghost;
use crate::planted::Planted;
use crate::random::Random;
use crate::schedule::{Event, Fifo, Schedule};
use crate::settings::Settings;
use crate::trace::Trace;
use crate::world::{Node, World};
use iosdk_gcs_core::Gcs;
use iosdk_raylet_core::{Config, Input, Raylet};
use iosdk_types::{Amount, Map, NodeId, ResourceSet, Set, Span, Time};

impl World {
    pub fn new(settings: Settings, planted: Option<Planted>, trace: Trace) -> Self {
        let gcs = Gcs::new(iosdk_gcs_core::Config { infeasible_waits: settings.infeasible_waits, slots: 0 });
        let mut world = Self {
            random: Random::new(settings.seed ^ 0x5eed),
            ghost: Ghost { nodes: settings.nodes, ..Ghost::default() },
            settings,
            now: Time::default(),
            schedule: Schedule::default(),
            counts: Default::default(),
            trace,
            checks: Checks::default(),
            violation: None,
            gcs,
            nodes: Map::new(),
            processes: Map::new(),
            lanes: Map::new(),
            next_pid: 100,
            next_body: 0,
            drivers: Vec::new(),
            notebook: Vec::new(),
            planted,
            scarce_actors: Set::new(),
            is_taking_turns: None,
            calls_run: 0,
        };
        world.plant_in_gcs();
        world
    }

    pub(crate) fn begin(&mut self) {
        for number in 0..self.settings.nodes {
            let resources = ResourceSet::new()
                .with("CPU", Amount::units(i64::from(self.settings.cpus)))
                .with("slot", Amount::units(2));
            self.checks.sched_1.node(number, resources.clone());
            let mut id = [0; 28];
            id[0] = number as u8 + 1;
            let config = Config {
                resources,
                arena_limit: self.settings.arena_limit,
                workers_ahead: self.settings.workers_ahead,
                infeasible_waits: self.settings.infeasible_waits,
                session: "simulated".to_owned(),
                extent_wait: Span::from_secs(1),
                ..Config::new(number, 1, NodeId(id))
            };
            let mut raylet = Raylet::new(config);
            self.plant_in_raylet(&mut raylet);
            let node = Node {
                raylet,
                arena: Default::default(),
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
            };
            self.nodes.insert(number, node);
            let span = self.delay(Span::from_millis(3));
            self.after(span, Event::GcsLinkUp { node: number });
            self.next_pid += 1;
            let input = Input::DriverConnected { pid: self.next_pid, namespace: String::new() };
            let span = self.delay(Span::from_millis(3));
            self.after(span, Event::Raylet { node: number, input: Box::new(input) });
        }
        self.arrange_faults();
    }

    /// Every driver that is left asks for the end of its cluster.
    pub(crate) fn shut_down_all(&mut self) {
        for driver in self.drivers.clone() {
            if self.processes.contains_key(&driver) {
                self.tell_raylet(driver, iosdk_types::message::ProcessToRaylet::Shutdown);
            }
        }
    }
}
