//! The reading end. It believes nothing: every word of the producer's is read once, copied, and checked; a lane that
//! breaks a rule is poisoned and never read again.

use super::layout::{HEAD, HEADER, Header, Kind, LINE, MESSAGE_MAX, Ring, TAIL, WANT_SPACE, frame_len};
use crate::claim::Claims;
use crate::failpoint::point;
use crate::mapping::Mapping;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// The producer broke the lane's rules: report it, fail its calls, close the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lane is corrupt at byte {position}: {reason}")]
pub struct Poisoned {
    pub reason: &'static str,
    pub position: u64,
}

pub struct Consumer {
    lane: Arc<Mapping>,
    ring: Ring,
    /// Offset of the head in the ring.
    at: usize,
    head: u64,
    /// The producer's tail when last looked at, checked.
    tail: u64,
    /// A message of which parts have come, and its full length.
    partial: Option<(Vec<u8>, usize)>,
    message_max: usize,
    poisoned: Option<Poisoned>,
}

impl Consumer {
    pub(crate) fn new(lane: Arc<Mapping>) -> Self {
        Self {
            lane,
            ring: Ring::SMALLEST,
            at: 0,
            head: 0,
            tail: 0,
            partial: None,
            message_max: MESSAGE_MAX,
            poisoned: None,
        }
    }

    /// Longer messages poison the lane.
    pub fn limit(&mut self, message_max: usize) {
        self.message_max = message_max.min(MESSAGE_MAX);
    }

    /// The next message into `out` (which is cleared). False: none is there in full; parts of one may have been taken.
    /// Reads what was there when it was called: a producer that goes on writing cannot keep it busy forever.
    #[inline]
    pub fn pop(&mut self, out: &mut Vec<u8>) -> Result<bool, Poisoned> {
        out.clear();
        let mut looked = false;
        loop {
            if self.head == self.tail {
                if looked || !self.look_at_tail()? {
                    return Ok(false);
                }
                looked = true;
            }
            match self.frame(out) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(reason) => return Err(self.poison(reason)),
            }
        }
    }

    /// True when nothing (more) is there to pop.
    pub fn is_empty(&self) -> bool {
        self.poisoned.is_some() || self.lane.word64(TAIL).load(Ordering::Acquire) == self.head
    }

    /// After popping all there is: does the producer wait for room? If so, ring its doorbell.
    pub fn drained_wants_space(&mut self) -> bool {
        // Pairs with the producer's store and second look: either it sees our head, or we see its wish.
        fence(Ordering::SeqCst);
        let want = self.lane.word32(WANT_SPACE);
        if want.load(Ordering::SeqCst) == 0 {
            return false;
        }
        point();
        want.swap(0, Ordering::SeqCst) != 0
    }

    pub fn claims(&self) -> Claims {
        Claims::new(Arc::clone(&self.lane))
    }

    #[cold]
    fn poison(&mut self, reason: &'static str) -> Poisoned {
        let poisoned = Poisoned { reason, position: self.head };
        self.poisoned = Some(poisoned);
        // From here on it looks empty to `pop`, which then looks at the tail and finds the poison.
        self.tail = self.head;
        self.partial = None;
        poisoned
    }

    /// True: there is more.
    #[inline]
    fn look_at_tail(&mut self) -> Result<bool, Poisoned> {
        if let Some(poisoned) = self.poisoned {
            return Err(poisoned);
        }
        let tail = self.lane.word64(TAIL).load(Ordering::Acquire);
        if tail == self.head {
            return Ok(false);
        }
        if tail.wrapping_sub(self.head) > self.ring.capacity as u64 {
            return Err(self.poison("tail went back or beyond the ring"));
        }
        if !tail.is_multiple_of(LINE as u64) {
            return Err(self.poison("tail is not at a frame"));
        }
        self.tail = tail;
        Ok(true)
    }

    /// Takes one frame. True: `out` holds a message.
    #[inline]
    fn frame(&mut self, out: &mut Vec<u8>) -> Result<bool, &'static str> {
        let start = self.ring.start + self.at;
        let first = self.lane.word64(start).load(Ordering::Relaxed);
        let second = self.lane.word64(start + 8).load(Ordering::Relaxed);
        let header = Header::parse(first, second).ok_or("unknown kind or reserved bits set")?;
        let len = header.len as usize;
        let taken = frame_len(len);
        if taken as u64 > self.tail - self.head || taken > self.ring.capacity - self.at {
            return Err("frame is longer than what is there");
        }
        let payload = start + HEADER;
        let complete = match header.kind {
            Kind::Whole => {
                self.whole(header)?;
                self.lane.copy_out(payload, len, out);
                true
            }
            Kind::First => {
                self.begin(header)?;
                self.part(payload, len, out)?
            }
            Kind::More => {
                self.proceed(header)?;
                self.part(payload, len, out)?
            }
            Kind::Pad => {
                if header.second != 0 || taken != self.ring.capacity - self.at {
                    return Err("padding does not end with the ring");
                }
                false
            }
            Kind::Switch => {
                self.switch(header, taken)?;
                return Ok(false);
            }
        };
        self.advance(taken);
        Ok(complete)
    }

    #[inline]
    fn whole(&self, header: Header) -> Result<(), &'static str> {
        if header.second != 0 {
            return Err("reserved word set");
        }
        if self.partial.is_some() {
            return Err("a message within another");
        }
        if header.len as usize > self.message_max { Err("message too long") } else { Ok(()) }
    }

    fn begin(&mut self, header: Header) -> Result<(), &'static str> {
        if self.partial.is_some() {
            return Err("a message within another");
        }
        match usize::try_from(header.second) {
            Ok(total) if total <= self.message_max => {
                // The length is the producer's claim: memory follows what really comes.
                self.partial = Some((Vec::with_capacity(total.min(1 << 20)), total));
                Ok(())
            }
            _ => Err("message too long"),
        }
    }

    fn proceed(&self, header: Header) -> Result<(), &'static str> {
        match &self.partial {
            Some((bytes, _)) if bytes.len() as u64 == header.second => Ok(()),
            Some(_) => Err("parts out of order"),
            None => Err("a part of nothing"),
        }
    }

    fn part(&mut self, payload: usize, len: usize, out: &mut Vec<u8>) -> Result<bool, &'static str> {
        let Some((bytes, total)) = &mut self.partial else { return Err("a part of nothing") };
        if len == 0 || len > *total - bytes.len() {
            return Err("part does not fit its message");
        }
        self.lane.copy_out(payload, len, bytes);
        if bytes.len() < *total {
            return Ok(false);
        }
        if let Some((bytes, _)) = self.partial.take() {
            *out = bytes;
        }
        Ok(true)
    }

    fn switch(&mut self, header: Header, taken: usize) -> Result<(), &'static str> {
        let ring = u8::try_from(header.second).ok().and_then(Ring::at_level).ok_or("no such ring")?;
        if taken != LINE || self.tail - self.head != LINE as u64 || ring.level == self.ring.level {
            return Err("switch is not the last frame");
        }
        if ring.level == 0 {
            self.lane
                .punch(self.ring.start, self.ring.capacity)
                .map_err(|_| "memory of the old ring cannot be returned")?;
        }
        self.ring = ring;
        self.advance(taken);
        self.at = 0;
        Ok(())
    }

    #[inline]
    fn advance(&mut self, taken: usize) {
        self.at += taken;
        if self.at == self.ring.capacity {
            self.at = 0;
        }
        self.head += taken as u64;
        point();
        self.lane.word64(HEAD).store(self.head, Ordering::Release);
        point();
    }
}
