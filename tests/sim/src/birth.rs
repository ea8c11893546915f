//! How a world begins: a GCS, its nodes, drivers on each.

use crate::check::Checks;
use crate::ghost::Ghost;
use crate::planted::Planted;
use crate::random::Random;
use crate::schedule::{Event, Schedule};
use crate::settings::Settings;
use crate::trace::Trace;
use crate::world::World;
use iosdk_gcs_core::Gcs;
use iosdk_types::{Map, Set, Span, Time};

impl World {
    pub fn new(settings: Settings, planted: Option<Planted>, trace: Trace) -> Self {
        let gcs = Gcs::new(settings.gcs_config());
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
            gcs_tick_at: None,
            gcs_restarted_at: None,
            log: Default::default(),
            submitter: Default::default(),
            supervisors: Map::new(),
            nodes: Map::new(),
            processes: Map::new(),
            lanes: Map::new(),
            next_pid: 100,
            next_body: 0,
            drivers: Vec::new(),
            arriving: None,
            notebook: Vec::new(),
            planted,
            scarce_actors: Set::new(),
            is_taking_turns: None,
            calls_run: 0,
            patience_until: Time::default(),
        };
        world.plant_in_gcs();
        world
    }

    pub(crate) fn begin(&mut self) {
        for number in 0..self.settings.nodes {
            let node = self.make_node(number, 1);
            self.nodes.insert(number, node);
            let span = self.delay(Span::from_millis(3));
            self.after(span, Event::GcsLinkUp { node: number });
            for _ in 0..self.settings.drivers {
                let most = if self.settings.drivers == 1 { 3 } else { 100 };
                let span = self.delay(Span::from_millis(most));
                self.expect_driver(number, None, span);
            }
        }
        self.step_gcs(iosdk_gcs_core::Input::Clock { now_ms: self.wall_ms() });
        self.arrange_faults();
        self.arrange_submissions();
    }
}
