//! The links to peers: for each, the lane we write, the lane we read, and the claim words of the calls in flight on ours.

use iosdk_net::claim::{ClaimSlots, ClaimState, Claims};
use iosdk_net::doorbell::{Ringer, Urgency};
use iosdk_net::frame;
use iosdk_net::lane::{Consumer, Producer, Pushed};
use iosdk_net::mailbox::{OwnMailbox, PeerMailbox};
use iosdk_types::message::peer::{Claim, Payload, PeerMessage};
use iosdk_types::{Address, Key};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub(crate) struct Link {
    pub(crate) peer: Address,
    ringer: Ringer,
    producer: Producer,
    pub(crate) consumer: Consumer,
    /// Words of my calls, in the lane I write.
    mine: Claims,
    /// Words of the peer's calls, in the lane I read.
    theirs: Claims,
    slots: ClaimSlots,
    /// Which task a slot is for, `Key::NIL` for none.
    slot_tasks: Vec<Key>,
    lane_in: u32,
    lane_out: u32,
}

/// Links by dense index, by lane number and by address.
pub(crate) struct Links {
    links: Vec<Option<Link>>,
    by_lane: Vec<u32>,
    by_address: HashMap<Address, u32>,
    /// The link looked up last: calls come in runs.
    last: (Address, u32),
    /// Claims by task index.
    claims: Vec<Claim>,
    backlogged: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Default for Links {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            by_lane: Vec::new(),
            by_address: HashMap::new(),
            last: (Address::NIL, NONE),
            claims: Vec::new(),
            backlogged: Vec::new(),
        }
    }
}

impl Links {
    pub(crate) fn attach(
        &mut self,
        own: &OwnMailbox,
        peer: Address,
        mailbox: OwnedFd,
        lane_in: u32,
        lane_out: u32,
    ) -> io::Result<()> {
        if self.index(peer).is_some() {
            // The raylet answers a repeated request again; the lanes are the same.
            return Ok(());
        }
        let theirs = PeerMailbox::map(mailbox.as_fd())?;
        let producer = theirs.producer(mailbox.as_fd(), lane_out)?;
        let consumer = own.open_lane(lane_in)?;
        let link = Link {
            peer,
            ringer: theirs.ringer().clone(),
            mine: producer.claims(),
            theirs: consumer.claims(),
            producer,
            consumer,
            slots: ClaimSlots::default(),
            slot_tasks: Vec::new(),
            lane_in,
            lane_out,
        };
        let index = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        if index == self.links.len() {
            self.links.push(None);
        }
        self.links[index] = Some(link);
        if self.by_lane.len() <= lane_in as usize {
            self.by_lane.resize(lane_in as usize + 1, NONE);
        }
        self.by_lane[lane_in as usize] = index as u32;
        self.by_address.insert(peer, index as u32);
        Ok(())
    }

    pub(crate) fn detach(&mut self, peer: Address) {
        let Some(index) = self.by_address.remove(&peer) else { return };
        if let Some(link) = self.links[index as usize].take() {
            self.by_lane[link.lane_in as usize] = NONE;
        }
        self.backlogged.retain(|other| *other != index);
        self.last = (Address::NIL, NONE);
    }

    fn index(&self, peer: Address) -> Option<usize> {
        if self.last.0 == peer && self.last.1 != NONE {
            return Some(self.last.1 as usize);
        }
        self.by_address.get(&peer).map(|index| *index as usize)
    }

    pub(crate) fn by_lane(&mut self, lane: u32) -> Option<&mut Link> {
        let index = *self.by_lane.get(lane as usize)?;
        self.links.get_mut(index as usize)?.as_mut()
    }

    pub(crate) fn get_mut(&mut self, peer: Address) -> Option<&mut Link> {
        let index = self.index(peer)?;
        self.last = (peer, index as u32);
        self.links[index].as_mut()
    }

    pub(crate) fn lane_of(&self, peer: Address) -> Option<u32> {
        self.links[self.index(peer)?].as_ref().map(|link| link.lane_in)
    }

    pub(crate) fn lanes(&self) -> Vec<u32> {
        self.links.iter().flatten().map(|link| link.lane_in).collect()
    }

    /// Pushes a message; what does not fit follows when there is room. False: no lane carries a message that long.
    pub(crate) fn push<'a>(
        &mut self,
        peer: Address,
        message: &PeerMessage,
        bytes: impl Fn(Payload) -> &'a [u8],
        urgency: Urgency,
    ) -> bool {
        // The machine sends to attached peers only; one that just died is attached no more and needs no message.
        let Some(index) = self.index(peer) else { return true };
        self.last = (peer, index as u32);
        let Some(link) = self.links[index].as_mut() else { return true };
        let pushed = frame::push(&mut link.producer, message, bytes);
        link.ringer.ring(link.lane_out, urgency);
        if pushed == Pushed::Queued && !self.backlogged.contains(&(index as u32)) {
            self.backlogged.push(index as u32);
        }
        pushed != Pushed::TooLong
    }

    /// Continues what did not fit. True when something still waits.
    pub(crate) fn flush(&mut self) -> bool {
        let links = &mut self.links;
        self.backlogged.retain(|index| {
            let Some(link) = links[*index as usize].as_mut() else { return false };
            let waits = !link.producer.flush();
            link.ringer.ring(link.lane_out, Urgency::Urgent);
            waits
        });
        !self.backlogged.is_empty()
    }

    /// Some lane that we write takes more than its first page.
    pub(crate) fn any_grown(&self) -> bool {
        self.links.iter().flatten().any(|link| link.producer.is_grown())
    }

    /// Lanes that are empty go back to their first page; the peers, woken once for it, give the rest back.
    pub(crate) fn shrink(&mut self) {
        for link in self.links.iter_mut().flatten() {
            if link.producer.shrink() {
                link.ringer.ring(link.lane_out, Urgency::Urgent);
            }
        }
    }

    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlogged.is_empty()
    }

    /// A claim word for a call to this peer, set READY.
    pub(crate) fn open_claim(&mut self, peer: Address, task: Key) -> Option<Claim> {
        let link = self.get_mut(peer)?;
        let claim = link.slots.allocate()?;
        link.mine.ready(claim);
        let slot = claim.slot as usize;
        if link.slot_tasks.len() <= slot {
            link.slot_tasks.resize(slot + 1, Key::NIL);
        }
        link.slot_tasks[slot] = task;
        if self.claims.len() <= task.index() {
            self.claims.resize(task.index() + 1, Claim { slot: 0, generation: 0 });
        }
        self.claims[task.index()] = claim;
        Some(claim)
    }

    fn claim_of(&self, task: Key) -> Option<Claim> {
        self.claims.get(task.index()).copied()
    }

    pub(crate) fn free_claim(&mut self, peer: Address, task: Key) {
        let Some(claim) = self.claim_of(task) else { return };
        let Some(link) = self.get_mut(peer) else { return };
        if link.slot_tasks.get(claim.slot as usize) == Some(&task) {
            link.slot_tasks[claim.slot as usize] = Key::NIL;
            link.slots.free(claim);
        }
    }

    pub(crate) fn retract(&mut self, peer: Address, task: Key) -> bool {
        let Some(claim) = self.claim_of(task) else { return false };
        let Some(link) = self.get_mut(peer) else { return false };
        link.slot_tasks.get(claim.slot as usize) == Some(&task) && link.mine.try_retract(claim)
    }

    /// Whether the peer has taken this call, of ours and in flight there.
    pub(crate) fn has_begun(&self, peer: Address, task: Key) -> bool {
        let link = self.by_address.get(&peer).and_then(|index| self.links[*index as usize].as_ref());
        let (Some(link), Some(claim)) = (link, self.claim_of(task)) else { return false };
        link.slot_tasks.get(claim.slot as usize) == Some(&task) && link.mine.read(claim) != ClaimState::Ready
    }

    /// Which calls in flight at this dead peer surely never started.
    pub(crate) fn judge(&mut self, peer: Address) -> Vec<u64> {
        let Some(index) = self.index(peer) else { return Vec::new() };
        let Some(link) = self.links[index].as_ref() else { return Vec::new() };
        let claims = &self.claims;
        let in_flight = link.slot_tasks.iter().filter(|task| **task != Key::NIL);
        in_flight
            .filter(|task| claims.get(task.index()).is_some_and(|claim| link.mine.read(*claim) == ClaimState::Ready))
            .map(|task| task.0)
            .collect()
    }

    /// The peer's call is ours to run: false when the peer took it back.
    pub(crate) fn try_take(&mut self, peer: Address, claim: Claim) -> bool {
        self.get_mut(peer).is_some_and(|link| link.theirs.try_take(claim))
    }

    /// The lane to this peer was emptied and it waits for room: tell it.
    pub(crate) fn tell_of_room(&mut self, lane: u32) {
        if let Some(link) = self.by_lane(lane)
            && link.consumer.drained_wants_space()
        {
            link.ringer.ring(link.lane_out, Urgency::Urgent);
        }
    }

    /// Where the peer we talked to last runs, for the spinner.
    pub(crate) fn last_cpu(&self) -> Option<u32> {
        let link = self.links.get(self.last.1 as usize)?.as_ref()?;
        Some(link.ringer.cpu())
    }
}
