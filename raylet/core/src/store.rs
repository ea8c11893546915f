//! The arena as processes see it: requests, refusals with a report, returns, and the extents of the dead.

use crate::arena::Granted;
use crate::{Effect, Raylet};
use iosdk_types::message::{RayletToProcess, StoreReport, StoreUse};
use iosdk_types::{Address, Map, Set, Time};

impl Raylet {
    pub(crate) fn extent_request(&mut self, now: Time, from: u32, request: u64, bytes: u64, out: &mut Vec<Effect>) {
        if let Some(granted) = self.arena.granted(from, request) {
            return self.say_granted(&granted, out);
        }
        match self.arena.request(from, request, bytes, now + self.config.extent_wait) {
            Ok(()) => {
                self.serve_extents(out);
                if self.arena.granted(from, request).is_none() {
                    self.ask_for_room(out);
                }
            }
            Err(()) => self.refuse_extent(from, request, out),
        }
    }

    pub(crate) fn extent_return(&mut self, now: Time, from: u32, offset: u64, out: &mut Vec<Effect>) {
        if self.arena.give_back(now, from, offset) {
            self.serve_extents(out);
        }
    }

    /// Holders keep freed extents for their next put; while somebody waits, nobody keeps any.
    fn ask_for_room(&self, out: &mut Vec<Effect>) {
        let holders: Set<u32> = self.arena.held.values().map(|held| held.holder).collect();
        for holder in holders {
            if self.processes.live.contains_key(&holder) {
                self.say(holder, RayletToProcess::MakeRoom, out);
            }
        }
    }

    fn serve_extents(&mut self, out: &mut Vec<Effect>) {
        let mut punched = Vec::new();
        while let Some(granted) = self.arena.serve(&mut punched) {
            out.extend(punched.drain(..).map(|(offset, bytes)| Effect::Punch { offset, bytes }));
            self.say_granted(&granted, out);
        }
    }

    fn say_granted(&self, granted: &Granted, out: &mut Vec<Effect>) {
        let Granted { process, request, offset, len } = *granted;
        self.say(process, RayletToProcess::ExtentGranted { request, offset, bytes: len }, out);
    }

    fn refuse_extent(&self, process: u32, request: u64, out: &mut Vec<Effect>) {
        let report = self.store_report();
        self.say(process, RayletToProcess::ExtentRefused { request, report }, out);
    }

    fn store_report(&self) -> StoreReport {
        let mut by_holder: Map<u32, u64> = Map::new();
        for held in self.arena.held.values() {
            *by_holder.entry(held.holder).or_default() += held.len;
        }
        let pid = |number| {
            let live = self.processes.live.get(&number).and_then(|process| process.pid);
            live.or_else(|| self.deaths.pid(number)).unwrap_or(0)
        };
        let mut by_process: Vec<StoreUse> = by_holder
            .into_iter()
            .map(|(number, bytes)| StoreUse { process: self.address(number), pid: pid(number), bytes })
            .collect();
        by_process.sort_by_key(|entry| std::cmp::Reverse(entry.bytes));
        StoreReport { limit: self.arena.limit, used: self.arena.used, by_process }
    }

    pub(crate) fn refuse_overdue(&mut self, now: Time, out: &mut Vec<Effect>) {
        let late = self.arena.overdue(now);
        for waiting in &late {
            self.refuse_extent(waiting.process, waiting.request, out);
        }
        if !late.is_empty() {
            // A big request may have held up smaller ones behind it.
            self.serve_extents(out);
        }
        out.extend(self.arena.cooled(now).into_iter().map(|(offset, bytes)| Effect::Punch { offset, bytes }));
    }

    pub(crate) fn unclaim(&mut self, from: u32, holder: Address, extent: u64, out: &mut Vec<Effect>) {
        let ours = self.address(holder.process) == holder;
        let orphan = if ours { self.arena.orphan_at(holder.process, extent) } else { None };
        if orphan.is_some_and(|orphan| orphan.claimed_by.remove(&from)) {
            self.watch_abandoned(out);
        }
    }

    /// Views may outlive every owner: the bytes are free once nobody looks at them.
    pub(crate) fn watch_abandoned(&mut self, out: &mut Vec<Effect>) {
        out.extend(self.arena.abandoned().into_iter().map(|(offset, bytes)| Effect::WatchPins { offset, bytes }));
    }

    pub(crate) fn unpinned(&mut self, now: Time, offset: u64, out: &mut Vec<Effect>) {
        let orphan = self.arena.held.get(&offset).and_then(|held| held.orphan.as_ref());
        if orphan.is_some_and(|orphan| orphan.watched && orphan.claimed_by.is_empty()) {
            self.arena.free_extent(now, offset);
            self.serve_extents(out);
        }
    }
}
