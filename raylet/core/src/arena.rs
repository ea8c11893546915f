//! The arena's bytes: which extents are whose. Offsets come from a range much larger than the limit, so that holes never refuse
//! what fits; the limit counts the bytes handed out.

use iosdk_types::{Map, Set, Span, Time};
use std::collections::VecDeque;

/// Extents are whole multiples of a huge page.
pub const UNIT: u64 = 2 << 20;
/// The range of offsets, as a multiple of the limit.
const SPARSE: u64 = 16;
/// Pages of an extent that came back are kept this long for the next one.
const WARM: Span = Span::from_secs(10);
/// Requests one process may have waiting; more than that is nonsense.
const WAITING_MAX: usize = 1024;

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) len: u64,
    pub(crate) holder: u32,
    request: u64,
    pub(crate) orphan: Option<Orphan>,
}

/// What is known about an extent whose holder is dead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orphan {
    /// Those who have objects in it.
    pub(crate) claimed_by: Set<u32>,
    /// Everybody who could claim it has spoken.
    pub(crate) judged: bool,
    /// The shell was asked whether anybody still looks into it.
    pub(crate) watched: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) process: u32,
    pub(crate) request: u64,
    len: u64,
    until: Time,
}

#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) process: u32,
    pub(crate) request: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Arena {
    pub(crate) limit: u64,
    pub(crate) held: Map<u64, Held>,
    /// Runs of bytes that nobody has.
    free: Map<u64, u64>,
    /// Free bytes that still have pages: offset -> (length, since).
    warm: Map<u64, (u64, Time)>,
    pub(crate) used: u64,
    warm_bytes: u64,
    waiting: VecDeque<Waiting>,
    by_request: Map<(u32, u64), u64>,
    /// Set by a test that wants to be caught: the same bytes twice.
    pub(crate) overlaps: bool,
}

impl Arena {
    pub(crate) fn new(limit: u64) -> Self {
        let limit = limit / UNIT * UNIT;
        let range = limit.saturating_mul(SPARSE) / UNIT * UNIT;
        let free = if range > 0 { Map::from([(0, range)]) } else { Map::new() };
        Self {
            limit,
            held: Map::new(),
            free,
            warm: Map::new(),
            used: 0,
            warm_bytes: 0,
            waiting: VecDeque::new(),
            by_request: Map::new(),
            overlaps: false,
        }
    }

    /// Files a request. `Err` when it can never be granted.
    pub(crate) fn request(&mut self, process: u32, request: u64, bytes: u64, until: Time) -> Result<(), ()> {
        let len = bytes.max(1).checked_next_multiple_of(UNIT).filter(|len| *len <= self.limit).ok_or(())?;
        let mine = self.waiting.iter().filter(|waiting| waiting.process == process);
        let (mut count, mut repeated) = (0, false);
        for waiting in mine {
            count += 1;
            repeated |= waiting.request == request;
        }
        if count >= WAITING_MAX {
            return Err(());
        }
        if !repeated {
            self.waiting.push_back(Waiting { process, request, len, until });
        }
        Ok(())
    }

    /// What this request got before, if the sender still has it.
    pub(crate) fn granted(&self, process: u32, request: u64) -> Option<Granted> {
        let offset = *self.by_request.get(&(process, request))?;
        Some(Granted { process, request, offset, len: self.held.get(&offset)?.len })
    }

    /// Serves the first who waits, if there is room: nobody overtakes, so big requests get their turn.
    pub(crate) fn serve(&mut self, punched: &mut Vec<(u64, u64)>) -> Option<Granted> {
        let Waiting { process, request, len, .. } = self.waiting.front()?.clone();
        if self.used + len > self.limit {
            return None;
        }
        let (run, run_len) = self.free.iter().find(|(_, run_len)| **run_len >= len).map(|(at, len)| (*at, *len))?;
        self.waiting.pop_front();
        if !self.overlaps {
            self.free.remove(&run);
            if run_len > len {
                self.free.insert(run + len, run_len - len);
            }
        }
        self.cool(run, len);
        self.used += len;
        self.held.insert(run, Held { len, holder: process, request, orphan: None });
        self.by_request.insert((process, request), run);
        while self.used + self.warm_bytes > self.limit {
            let oldest = self.warm.iter().min_by_key(|(_, (_, since))| *since).map(|(at, (len, _))| (*at, *len));
            let Some((at, len)) = oldest else { break };
            self.warm.remove(&at);
            self.warm_bytes -= len;
            punched.push((at, len));
        }
        Some(Granted { process, request, offset: run, len })
    }

    /// These bytes are somebody's again: what was warm of them is not free any more.
    fn cool(&mut self, offset: u64, len: u64) {
        let end = offset + len;
        let before = self.warm.range(..offset).next_back().map(|(at, _)| *at);
        let touched: Vec<u64> = before.into_iter().chain(self.warm.range(offset..end).map(|(at, _)| *at)).collect();
        for at in touched {
            let Some((warm_len, since)) = self.warm.get(&at).copied() else { continue };
            let warm_end = at + warm_len;
            if warm_end <= offset {
                continue;
            }
            self.warm.remove(&at);
            self.warm_bytes -= warm_len;
            for (from, to) in [(at, offset.min(warm_end)), (end.max(at), warm_end)] {
                if from < to {
                    self.warm.insert(from, (to - from, since));
                    self.warm_bytes += to - from;
                }
            }
        }
    }

    /// The holder gives it back. False when it is not this process's to give.
    pub(crate) fn give_back(&mut self, now: Time, process: u32, offset: u64) -> bool {
        let own = self.held.get(&offset).is_some_and(|held| held.holder == process && held.orphan.is_none());
        if own {
            self.free_extent(now, offset);
        }
        own
    }

    pub(crate) fn free_extent(&mut self, now: Time, offset: u64) {
        let Some(held) = self.held.remove(&offset) else { return };
        self.by_request.remove(&(held.holder, held.request));
        self.used -= held.len;
        self.warm.insert(offset, (held.len, now));
        self.warm_bytes += held.len;
        let (mut start, mut end) = (offset, offset + held.len);
        if let Some((before, len)) = self.free.range(..start).next_back().map(|(at, len)| (*at, *len))
            && before + len == start
        {
            self.free.remove(&before);
            start = before;
        }
        if let Some(len) = self.free.remove(&end) {
            end += len;
        }
        self.free.insert(start, end - start);
    }

    /// Its extents stay until everybody has spoken; its requests are void.
    pub(crate) fn holder_died(&mut self, process: u32) {
        self.waiting.retain(|waiting| waiting.process != process);
        for held in self.held.values_mut().filter(|held| held.holder == process) {
            held.orphan = Some(Orphan::default());
        }
    }

    /// The extent of this dead holder around `offset`.
    pub(crate) fn orphan_at(&mut self, holder: u32, offset: u64) -> Option<&mut Orphan> {
        let (start, held) = self.held.range_mut(..=offset).next_back()?;
        let inside = offset - start < held.len && held.holder == holder;
        held.orphan.as_mut().filter(|_| inside)
    }

    /// Orphans that everybody has judged, nobody claims and nobody was asked about: `(offset, bytes)`.
    pub(crate) fn abandoned(&mut self) -> Vec<(u64, u64)> {
        let mut abandoned = Vec::new();
        for (offset, held) in &mut self.held {
            if let Some(orphan) = &mut held.orphan
                && orphan.judged
                && orphan.claimed_by.is_empty()
                && !orphan.watched
            {
                orphan.watched = true;
                abandoned.push((*offset, held.len));
            }
        }
        abandoned
    }

    pub(crate) fn overdue(&mut self, now: Time) -> Vec<Waiting> {
        let (late, waiting) = self.waiting.drain(..).partition(|waiting: &Waiting| waiting.until <= now);
        self.waiting = waiting;
        Vec::from(late)
    }

    /// Pages that nobody has wanted for a while.
    pub(crate) fn cooled(&mut self, now: Time) -> Vec<(u64, u64)> {
        let cold: Vec<(u64, u64)> =
            self.warm.iter().filter(|(_, (_, since))| *since + WARM <= now).map(|(at, (len, _))| (*at, *len)).collect();
        for (at, len) in &cold {
            self.warm.remove(at);
            self.warm_bytes -= len;
        }
        cold
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let refuse = self.waiting.iter().map(|waiting| waiting.until).min();
        let punch = self.warm.values().map(|(_, since)| *since + WARM).min();
        refuse.into_iter().chain(punch).min()
    }

    /// STORE-1, and that free, warm and held bytes add up.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut end = 0;
        let mut used = 0;
        for (offset, held) in &self.held {
            if *offset < end {
                return Err(format!("STORE-1: the extent at {offset} overlaps the one before it"));
            }
            end = offset + held.len;
            used += held.len;
            let free_before = self.free.range(..end).next_back();
            if free_before.is_some_and(|(at, len)| at + len > *offset) {
                return Err(format!("STORE-1: bytes of the extent at {offset} count as free"));
            }
        }
        if used != self.used || used > self.limit {
            return Err(format!("STORE-1: {used} bytes handed out, {} counted, limit {}", self.used, self.limit));
        }
        let free: u64 = self.free.values().sum();
        if free + used != self.limit.saturating_mul(SPARSE) / UNIT * UNIT {
            return Err(format!("STORE-1: {free} free and {used} used bytes are not the whole range"));
        }
        if self.warm.values().map(|(len, _)| len).sum::<u64>() != self.warm_bytes {
            return Err("warm bytes are miscounted".to_owned());
        }
        Ok(())
    }
}
