//! The shell of the GCS machine.

use crate::check::broken;
use crate::count;
use crate::schedule::Event;
use crate::world::World;
use iosdk_gcs_core::{Effect, Input};
use iosdk_types::message::{Answer, GcsToRaylet, RayletToGcs};
use iosdk_types::{JobSpec, Machine, ResourceSet};

impl World {
    pub fn gcs_hears(&mut self, number: u32, link: u32, message: RayletToGcs) {
        if self.nodes.get(&number).is_none_or(|node| node.link != link) {
            self.counts.add("lost::raylet to gcs");
            return;
        }
        self.gcs_takes(number, message);
    }

    pub fn gcs_takes(&mut self, number: u32, message: RayletToGcs) {
        match &message {
            RayletToGcs::Join { node, epoch, record, version: _ } => {
                self.checks.gcs_1.joined(*node, *epoch, &record.resources)
            }
            RayletToGcs::View { version, available } => self.checks.gcs_1.reported(number, *version, available),
            RayletToGcs::AvailableResources { request, asker } => self.checks.gcs_1.asked(*asker, *request),
            _ => {}
        }
        self.step_gcs(Input::FromRaylet { node: number, message });
    }

    pub fn step_gcs(&mut self, input: Input) {
        self.counts.add(count::gcs_input::of(&input));
        self.trace.note(self.now, format_args!("gcs <- {input:?}"));
        if let Input::NodeLost { node } = &input {
            self.checks.gcs_1.lost(*node);
        }
        let mut effects = Vec::new();
        self.gcs.step(self.now, input, &mut effects);
        self.perform_gcs(effects);
        self.settle_gcs();
    }

    pub fn tick_gcs(&mut self) {
        if self.gcs_tick_at != Some(self.now) {
            return;
        }
        self.gcs_tick_at = None;
        if self.gcs.deadline().is_some_and(|deadline| deadline <= self.now) {
            let mut effects = Vec::new();
            self.gcs.tick(self.now, &mut effects);
            self.perform_gcs(effects);
        }
        self.settle_gcs();
    }

    fn settle_gcs(&mut self) {
        if self.trace.events.is_multiple_of(16)
            && let Err(text) = self.gcs.check()
        {
            self.hold(broken("GCS-1", text));
        }
        let deadline = self.gcs.deadline().filter(|deadline| self.gcs_tick_at.is_none_or(|at| *deadline < at));
        if let Some(deadline) = deadline {
            let deadline = deadline.max(self.now);
            self.gcs_tick_at = Some(deadline);
            self.schedule.at(deadline, Event::GcsTick);
        }
    }

    pub(crate) fn perform_gcs_effect(&mut self, effect: Effect) {
        match effect {
            Effect::ToRaylet { node, message } => self.gcs_says(node, message),
            Effect::Reply { request, reply } => self.submitter_hears(request, reply),
            Effect::StartJob { node, number, held } => {
                // What a shell keeps of the job; nothing here runs it.
                let spec = JobSpec {
                    submission_id: format!("job-{number}"),
                    entrypoint: "true".to_owned(),
                    env: Vec::new(),
                    secrets_file: None,
                    working_dir: None,
                    log_limit: 0,
                };
                self.gcs_says(node, GcsToRaylet::StartJob { number, held, spec });
            }
            // Written down by the log before anything is performed.
            Effect::Append(_) | Effect::Forgotten { .. } => {}
        }
    }

    fn gcs_says(&mut self, number: u32, message: GcsToRaylet) {
        if let GcsToRaylet::Answer { request, asker, answer: Answer::Resources(free) } = &message {
            let free: ResourceSet = free.clone();
            let verdict = self.checks.gcs_1.answered(*asker, *request, &free);
            self.hold(verdict);
        }
        let delay = self.delay(self.settings.gcs);
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let arrival = node.from_gcs.arrival(self.now, delay);
        self.schedule.at(arrival, Event::FromGcs { node: number, link: node.link, message });
    }
}
