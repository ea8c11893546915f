//! The writing end: writes what fits, keeps the rest in order in private memory, never waits.

use super::layout::{HEAD, HEADER, Header, Kind, LEVEL_MAX, LINE, MESSAGE_MAX, Ring, TAIL, WANT_SPACE, frame_len};
use crate::claim::Claims;
use crate::failpoint::point;
use crate::mapping::Mapping;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// What became of a message. Ring the doorbell after `Done` and `Queued` alike: a queued one may have been written in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Pushed {
    Done,
    /// Kept here, behind what was kept before; `flush` goes on when the consumer rings.
    Queued,
    /// Above `MESSAGE_MAX`: refused, nothing was written.
    TooLong,
}

/// A message, or the rest of one, that waits for room. `bytes[sent..]` are still to be written.
struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
    /// Where in the message `bytes` starts.
    origin: usize,
}

pub struct Producer {
    lane: Arc<Mapping>,
    ring: Ring,
    /// Offset of the tail in the ring.
    at: usize,
    tail: u64,
    /// The consumer's head when last looked at.
    head: u64,
    /// Where the ring goes once the consumer has taken the switch frame.
    switching: Option<Ring>,
    was_full: bool,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    pub(crate) scratch: Vec<u8>,
}

/// Progress of one message.
enum Written {
    All,
    /// So many bytes of the message are in the ring.
    Until(usize),
}

impl Producer {
    pub(crate) fn new(lane: Arc<Mapping>) -> Self {
        Self {
            lane,
            ring: Ring::SMALLEST,
            at: 0,
            tail: 0,
            head: 0,
            switching: None,
            was_full: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Sends the concatenation of `parts` as one message.
    pub fn push(&mut self, parts: &[&[u8]]) -> Pushed {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total > MESSAGE_MAX {
            return Pushed::TooLong;
        }
        let sent = if self.waiting.is_empty() {
            match self.write(parts, 0, total, 0) {
                Written::All => return Pushed::Done,
                Written::Until(sent) => sent,
            }
        } else {
            0
        };
        let mut bytes = Vec::with_capacity(total - sent);
        let mut skip = sent;
        for part in parts {
            let skipped = skip.min(part.len());
            bytes.extend_from_slice(&part[skipped..]);
            skip -= skipped;
        }
        self.waiting_bytes += bytes.len();
        self.waiting.push_back(Waiting { bytes, sent: 0, origin: sent });
        Pushed::Queued
    }

    /// Goes on with what waits. True: nothing waits any more. Ring the doorbell afterwards if there had been a backlog.
    pub fn flush(&mut self) -> bool {
        while let Some(mut front) = self.waiting.pop_front() {
            let (origin, total) = (front.origin, front.origin + front.bytes.len());
            match self.write(&[&front.bytes], origin, total, origin + front.sent) {
                Written::All => self.waiting_bytes -= front.bytes.len(),
                Written::Until(sent) => {
                    front.sent = sent - origin;
                    self.waiting.push_front(front);
                    return false;
                }
            }
        }
        true
    }

    pub fn has_backlog(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Bytes of messages that wait here, at most (a message counts until all of it is in the ring).
    pub fn backlog_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The ring takes more than the lane's first page.
    pub fn is_grown(&self) -> bool {
        self.ring.level > 0
    }

    /// For a lane that was idle for long: back to the ring within its first page, if it is empty now. The consumer gives
    /// the memory back when it takes the switch. True: ring the doorbell.
    pub fn shrink(&mut self) -> bool {
        let idle = self.switching.is_none() && self.waiting.is_empty() && self.is_grown();
        if !idle || !self.drained() {
            return false;
        }
        self.switch(Ring::SMALLEST);
        true
    }

    pub fn claims(&self) -> Claims {
        Claims::new(Arc::clone(&self.lane))
    }

    /// Writes the message from byte `sent` on. `parts` hold its bytes from `origin` on.
    fn write(&mut self, parts: &[&[u8]], origin: usize, total: usize, mut sent: usize) -> Written {
        loop {
            if self.switching.is_some() && !self.adopt_switch() {
                if self.stalled() {
                    return Written::Until(sent);
                }
                continue;
            }
            let need = frame_len(total - sent);
            if let Some(ring) = self.better_ring(need) {
                self.switch(ring);
                continue;
            }
            let contiguous = self.ring.capacity - self.at;
            let free = self.free(need);
            if need <= contiguous.min(free) {
                let (kind, second) = if sent == 0 { (Kind::Whole, 0) } else { (Kind::More, sent as u64) };
                self.frame(kind, second, parts, sent - origin, total - sent);
                return Written::All;
            }
            if need <= self.ring.capacity / 4 {
                // Small enough to be worth keeping in one piece.
                if contiguous < need && self.free(contiguous + need) >= contiguous + need {
                    self.frame(Kind::Pad, 0, &[], 0, contiguous - HEADER);
                } else if self.stalled() {
                    return Written::Until(sent);
                }
            } else {
                let room = contiguous.min(free);
                if room >= LINE {
                    let len = room - HEADER;
                    let (kind, second) = if sent == 0 { (Kind::First, total) } else { (Kind::More, sent) };
                    self.frame(kind, second as u64, parts, sent - origin, len);
                    sent += len;
                } else if self.stalled() {
                    return Written::Until(sent);
                }
            }
        }
    }

    /// A larger ring, if this one is empty and either was full before or can never hold a frame of `need` bytes.
    #[inline]
    fn better_ring(&mut self, need: usize) -> Option<Ring> {
        let small = self.was_full || need > self.ring.capacity;
        if !small || self.ring.level == LEVEL_MAX || !self.drained() {
            return None;
        }
        let wanted = need.max(self.waiting_bytes);
        let mut larger = (self.ring.level + 1..=LEVEL_MAX).filter_map(Ring::at_level);
        larger.find(|ring| ring.capacity >= wanted || ring.level == LEVEL_MAX)
    }

    fn drained(&mut self) -> bool {
        self.look_at_head();
        self.head == self.tail
    }

    /// Free bytes; looks at the consumer's head only if what is known is less than `enough`.
    #[inline]
    fn free(&mut self, enough: usize) -> usize {
        let known = self.ring.capacity - (self.tail - self.head) as usize;
        if known >= enough {
            return known;
        }
        self.look_at_head();
        self.ring.capacity - (self.tail - self.head) as usize
    }

    /// A head that goes back or beyond the tail is not believed: such a consumer gets nothing more, and harms nobody else.
    #[inline]
    fn look_at_head(&mut self) {
        let head = self.lane.word64(HEAD).load(Ordering::Acquire);
        if (self.head..=self.tail).contains(&head) && head.is_multiple_of(LINE as u64) {
            self.head = head;
        }
    }

    /// No room: asks the consumer to ring. False if the consumer moved meanwhile, so that it is worth trying again.
    fn stalled(&mut self) -> bool {
        self.was_full = true;
        point();
        self.lane.word32(WANT_SPACE).store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let before = self.head;
        self.look_at_head();
        self.head == before
    }

    fn switch(&mut self, ring: Ring) {
        self.frame(Kind::Switch, u64::from(ring.level), &[], 0, LINE - HEADER);
        self.switching = Some(ring);
    }

    fn adopt_switch(&mut self) -> bool {
        if !self.drained() {
            return false;
        }
        if let Some(ring) = self.switching.take() {
            self.ring = ring;
            self.at = 0;
            self.was_full = false;
        }
        true
    }

    /// Writes one frame, for which there is room: `len` bytes of `parts` after the first `skip`.
    #[inline]
    fn frame(&mut self, kind: Kind, second: u64, parts: &[&[u8]], mut skip: usize, len: usize) {
        let start = self.ring.start + self.at;
        let mut to = start + HEADER;
        let end = to + len;
        for part in parts {
            if skip >= part.len() {
                skip -= part.len();
                continue;
            }
            let take = (part.len() - skip).min(end - to);
            point();
            self.lane.copy_in(to, &part[skip..skip + take]);
            to += take;
            skip = 0;
        }
        let header = Header { kind, len: len as u32, second };
        point();
        self.lane.word64(start).store(header.first_word(), Ordering::Relaxed);
        point();
        self.lane.word64(start + 8).store(second, Ordering::Relaxed);
        let taken = frame_len(len);
        self.at += taken;
        if self.at == self.ring.capacity {
            self.at = 0;
        }
        self.tail += taken as u64;
        point();
        self.lane.word64(TAIL).store(self.tail, Ordering::Release);
        point();
    }
}
