//! The GCS's event log, as its shell keeps it: records are durable some time after they were asked for, effects that tell of
//! them are held until then, and a restart finds what was durable.

use crate::schedule::Event;
use crate::world::World;
use iosdk_gcs_core::{Effect, Gcs, Input, RETURN, Record, Snapshot, waits_for_log};
use iosdk_types::Span;
use std::collections::VecDeque;

#[derive(Default)]
pub struct Log {
    snapshot: Option<Snapshot>,
    /// Those after the snapshot.
    durable: Vec<Record>,
    /// Asked for, and lost with a restart.
    pending: VecDeque<Record>,
    /// How many were ever asked for, and how many of those are durable.
    asked: u64,
    safe: u64,
    /// Each with how many records must be durable first.
    held: VecDeque<(u64, Effect)>,
    writes: bool,
    /// Grows with each restart: a write that was under way is void.
    life: u32,
}

impl World {
    /// Performs what may be said at once, and holds the rest.
    pub(crate) fn perform_gcs(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.counts.add(crate::count::gcs_effect::of(&effect));
            self.trace.note(self.now, format_args!("gcs -> {effect:?}"));
            match effect {
                Effect::Append(record) => {
                    self.log.asked += 1;
                    self.log.pending.push_back(record);
                }
                other if self.must_wait(&other) => self.log.held.push_back((self.log.asked, other)),
                other => self.perform_gcs_effect(other),
            }
        }
        self.write_log();
    }

    fn must_wait(&self, effect: &Effect) -> bool {
        let behind = self.log.asked > self.log.safe || !self.log.held.is_empty();
        behind && waits_for_log(effect) && !self.answers_before_durable()
    }

    /// One write at a time, of everything asked for so far.
    fn write_log(&mut self) {
        if self.log.writes || self.log.pending.is_empty() {
            return;
        }
        self.log.writes = true;
        let (life, upto) = (self.log.life, self.log.asked);
        let span = self.delay(Span::from_millis(4));
        self.after(span, Event::LogDurable { life, upto });
    }

    pub(crate) fn log_durable(&mut self, life: u32, upto: u64) {
        if life != self.log.life {
            return;
        }
        self.log.writes = false;
        while self.log.safe < upto
            && let Some(record) = self.log.pending.pop_front()
        {
            self.log.safe += 1;
            let verdict = self.checks.job_1.written(&record);
            self.hold(verdict);
            let verdict = self.checks.use_1.written(self.now, &record);
            self.hold(verdict);
            self.log.durable.push(record);
        }
        while let Some((_, effect)) = self.log.held.pop_front_if(|(position, _)| *position <= upto) {
            self.perform_gcs_effect(effect);
        }
        if self.log.pending.is_empty() && self.random.chance(30) {
            self.counts.add("log::snapshot");
            self.log.snapshot = Some(self.gcs.snapshot());
            self.log.durable.clear();
        }
        self.write_log();
    }

    /// The GCS is killed and begins again with its records; every link is to be made anew.
    pub(crate) fn restart_gcs(&mut self) {
        self.counts.add("fault::gcs restarted");
        let log = &mut self.log;
        log.life += 1;
        log.pending.clear();
        log.held.clear();
        (log.asked, log.writes) = (log.safe, false);
        self.gcs = Gcs::recover(self.settings.gcs_config(), log.snapshot.clone(), log.durable.clone());
        self.plant_in_gcs();
        self.gcs_tick_at = None;
        self.gcs_restarted_at = Some(self.now);
        self.await_missing_nodes();
        let numbers: Vec<u32> = self.nodes.keys().copied().collect();
        for number in numbers {
            self.checks.gcs_1.lost(number);
            self.break_link(number, Span::from_millis(300));
        }
        self.step_gcs(Input::Clock { now_ms: self.wall_ms() });
        self.check_jobs_are_kept();
        self.submitter_was_cut_off();
    }

    /// A GCS that was restarted gives nodes that never come back their time, and places no actor until then.
    pub(crate) fn await_missing_nodes(&mut self) {
        if let Some(at) = self.gcs_restarted_at
            && self.nodes.values().any(|node| node.lost || node.shut_down)
        {
            self.patience_until = self.patience_until.max(at + RETURN);
        }
    }
}
