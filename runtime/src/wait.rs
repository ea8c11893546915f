//! Waiting. Of the threads that wait, one leads: it sleeps on the doorbell and drives the machine; the others park. A leader
//! that leaves with its answer promotes another. A lost wake-up is a delay, never a hang: every sleep has an end.

use crate::core::Core;
use crate::process::Process;
use iosdk_runtime_core::Resolved;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a sleeping thread goes without looking at signals.
const SLICE: Duration = Duration::from_millis(100);
/// With nothing outstanding a worker's main thread sleeps this long before it looks again.
const IDLE_SLICE: Duration = Duration::from_secs(5);
/// With the interpreter's lock held, only this long.
const BRIEF: Duration = Duration::from_micros(5);

#[derive(Default)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    condition: Condvar,
}

impl Parker {
    fn park(&self, timeout: Duration) {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut woken, _) =
            self.condition.wait_timeout_while(woken, timeout, |woken| !*woken).unwrap_or_else(PoisonError::into_inner);
        *woken = false;
    }

    pub(crate) fn unpark(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.condition.notify_one();
    }
}

/// What a waiter waits for.
#[derive(Clone, Copy)]
enum For {
    /// So many of the objects it watches.
    Watched { missing: usize, stops_at_error: bool },
    /// So many objects having come to this process, whichever: earlier it makes no sense to look at all of its many.
    Arrivals(Resolved),
}

struct Waiter {
    awaits: For,
    parker: Option<Arc<Parker>>,
}

impl Waiter {
    fn is_done(&self, resolved: Resolved) -> bool {
        match self.awaits {
            For::Watched { missing, .. } => missing == 0,
            For::Arrivals(due) => resolved.values >= due.values || resolved.errors >= due.errors,
        }
    }
}

/// Who waits for objects, by the numbers the machine knows them under.
#[derive(Default)]
pub(crate) struct Waiters {
    slots: Vec<Option<Waiter>>,
    free: Vec<u32>,
    /// How many of them wait for arrivals.
    for_arrivals: usize,
    resolved: Resolved,
    pub(crate) has_leader: bool,
    /// Something came for the leader while another thread drove: it has to be woken.
    leader_called: bool,
    parked: Vec<Arc<Parker>>,
}

impl Waiters {
    pub(crate) fn open(&mut self, missing: usize, stops_at_error: bool) -> u32 {
        self.insert(For::Watched { missing, stops_at_error })
    }

    /// Waits until the counts of the process have reached one of these.
    pub(crate) fn open_for_arrivals(&mut self, due: Resolved) -> u32 {
        self.for_arrivals += 1;
        self.insert(For::Arrivals(due))
    }

    pub(crate) fn await_arrivals(&mut self, waiter: u32, due: Resolved) {
        if let Some(Some(slot)) = self.slots.get_mut(waiter as usize) {
            slot.awaits = For::Arrivals(due);
        }
    }

    /// What the machine has counted so far: who waits for that much is woken.
    pub(crate) fn arrived(&mut self, resolved: Resolved) {
        self.resolved = resolved;
        if self.for_arrivals == 0 {
            return;
        }
        for slot in self.slots.iter().flatten().filter(|slot| matches!(slot.awaits, For::Arrivals(_))) {
            if slot.is_done(resolved) {
                match &slot.parker {
                    Some(parker) => parker.unpark(),
                    None => self.leader_called |= self.has_leader,
                }
            }
        }
    }

    fn insert(&mut self, awaits: For) -> u32 {
        let waiter = Some(Waiter { awaits, parker: None });
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = waiter;
            return index;
        }
        self.slots.push(waiter);
        (self.slots.len() - 1) as u32
    }

    /// A number nobody waits under, for making a fetch begin.
    pub(crate) fn nobody(&self) -> u32 {
        u32::MAX
    }

    pub(crate) fn close(&mut self, waiter: u32) {
        if let Some(closed) = self.slots.get_mut(waiter as usize).and_then(Option::take) {
            self.for_arrivals -= usize::from(matches!(closed.awaits, For::Arrivals(_)));
            self.free.push(waiter);
        }
    }

    pub(crate) fn ready(&mut self, waiter: u32, is_error: bool) {
        let Some(Some(slot)) = self.slots.get_mut(waiter as usize) else { return };
        let For::Watched { missing, stops_at_error } = &mut slot.awaits else { return };
        *missing = if is_error && *stops_at_error { 0 } else { missing.saturating_sub(1) };
        if *missing == 0 {
            match &slot.parker {
                Some(parker) => parker.unpark(),
                None => self.leader_called |= self.has_leader,
            }
        }
    }

    pub(crate) fn is_done(&self, waiter: u32) -> bool {
        self.slots.get(waiter as usize).is_some_and(|slot| slot.as_ref().is_none_or(|slot| slot.is_done(self.resolved)))
    }

    fn attach(&mut self, waiter: Option<u32>, parker: &Arc<Parker>) {
        if let Some(Some(slot)) = waiter.map(|waiter| self.slots.get_mut(waiter as usize).and_then(Option::as_mut)) {
            slot.parker = Some(parker.clone());
        }
    }

    /// Everybody looks again: something happened that is no object.
    pub(crate) fn wake_all(&mut self) {
        self.parked.iter().for_each(|parker| parker.unpark());
        self.leader_called |= self.has_leader;
    }

    /// True once after something came for a leader that another thread must wake.
    pub(crate) fn take_leader_called(&mut self) -> bool {
        std::mem::take(&mut self.leader_called)
    }

    fn promote(&self) {
        if let Some(next) = self.parked.first() {
            next.unpark();
        }
    }
}

pub(crate) enum Blocked<T> {
    Done(T),
    TimedOut,
    Interrupted,
    Closed,
}

enum Turn<T> {
    Ended(Blocked<T>),
    Lead,
    Park(Arc<Parker>),
}

impl Process {
    /// Blocks until `check` has an answer. Comes back with `Interrupted` after each slice, for the caller to look at signals.
    pub(crate) fn block<T>(
        &self,
        deadline: Option<Instant>,
        waiter: Option<u32>,
        mut check: impl FnMut(&mut Core) -> Option<T>,
    ) -> Blocked<T> {
        let slice_ends = Instant::now() + SLICE;
        let mut led = false;
        let mut parker: Option<Arc<Parker>> = None;
        let status = self.say_blocked();
        let blocked = loop {
            match self.turn(deadline, slice_ends, waiter, &mut led, &mut parker, &mut check) {
                Turn::Ended(blocked) => break blocked,
                Turn::Lead => self.lead(deadline.map_or(slice_ends, |deadline| deadline.min(slice_ends))),
                Turn::Park(parker) => {
                    let until = deadline.map_or(slice_ends, |deadline| deadline.min(slice_ends));
                    parker.park(until.saturating_duration_since(Instant::now()));
                }
            }
        };
        drop(status);
        blocked
    }

    fn turn<T>(
        &self,
        deadline: Option<Instant>,
        slice_ends: Instant,
        waiter: Option<u32>,
        led: &mut bool,
        parker: &mut Option<Arc<Parker>>,
        check: &mut impl FnMut(&mut Core) -> Option<T>,
    ) -> Turn<T> {
        let mut core = if std::mem::take(led) { self.enter_from_lead() } else { self.enter() };
        let ended = match check(&mut core) {
            Some(answer) => Some(Blocked::Done(answer)),
            None if core.closed => Some(Blocked::Closed),
            None => {
                let now = Instant::now();
                let timed_out = deadline.is_some_and(|deadline| now >= deadline);
                if timed_out { Some(Blocked::TimedOut) } else { (now >= slice_ends).then_some(Blocked::Interrupted) }
            }
        };
        if let Some(parker) = parker.take() {
            core.waiters.parked.retain(|other| !Arc::ptr_eq(other, &parker));
        }
        let turn = match ended {
            Some(blocked) => {
                if !core.waiters.has_leader {
                    core.waiters.promote();
                    self.arm(&mut core);
                }
                Turn::Ended(blocked)
            }
            None if !core.waiters.has_leader => {
                core.waiters.has_leader = true;
                *led = true;
                Turn::Lead
            }
            None => {
                let mine = Arc::new(Parker::default());
                core.waiters.attach(waiter, &mine);
                core.waiters.parked.push(mine.clone());
                *parker = Some(mine.clone());
                Turn::Park(mine)
            }
        };
        self.leave_core(core);
        turn
    }

    /// Spins while an answer may come at once, then sleeps on the doorbell.
    fn lead(&self, until: Instant) {
        if !self.spin() {
            self.sleep(until.saturating_duration_since(Instant::now()));
        }
    }

    /// True while it pays to look once more with the interpreter's lock held.
    pub(crate) fn spin_briefly(&self, begun: Instant) -> bool {
        self.spin_for(BRIEF.saturating_sub(begun.elapsed()))
    }

    /// Waits, as the main thread of an idle worker, for a call or for the end.
    pub fn wait_for_call(&self) {
        let until = Instant::now() + IDLE_SLICE;
        let mut core = self.enter();
        if core.owner.has_ready_call() || core.exit.is_some() || core.closed {
            return self.leave_core(core);
        }
        if core.waiters.has_leader {
            let parker = Arc::new(Parker::default());
            core.waiters.parked.push(parker.clone());
            self.leave_core(core);
            parker.park(until.saturating_duration_since(Instant::now()));
            self.peek().waiters.parked.retain(|other| !Arc::ptr_eq(other, &parker));
            return;
        }
        core.waiters.has_leader = true;
        self.leave_core(core);
        self.lead(until);
        let mut core = self.enter_from_lead();
        core.waiters.promote();
        self.arm(&mut core);
        self.leave_core(core);
    }
}
