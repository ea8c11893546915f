//! The processes this one talks to: whether lanes are open, what waits for them, what each knows of the other.
//!
//! Lanes are opened on demand: the first message for a peer asks the raylet to connect, once, and everything for that peer waits
//! in order until it is attached. A raylet that attaches on its own beforehand saves the round trip.

use crate::{Effect, Owner, drop_payload};
use iosdk_types::message::ProcessToRaylet;
use iosdk_types::message::peer::{Payload, PeerMessage, Place, WireValue};
use iosdk_types::{Address, Death, Key, Map, Slab, Time};

/// Unanswered calls per lane: as many as its claim table has slots.
pub(crate) const SLOTS: u32 = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Closed,
    Asked,
    Open,
    /// Its lane broke a rule: nothing is sent or believed any more, until the raylet says that it died.
    Poisoned,
}

pub(crate) struct Peer {
    pub(crate) address: Address,
    /// 0 until the raylet said it.
    pub(crate) pid: i32,
    pub(crate) link: Link,
    /// First phase of its death: gets no new calls.
    pub(crate) dying: bool,
    /// Second phase: waits for its claim words to be judged.
    pub(crate) death: Option<Death>,
    /// Claim slots in use.
    pub(crate) slots: u32,
    pub(crate) outbox: Vec<PeerMessage>,
    /// Our functions that it knows, by index.
    pub(crate) defined: Vec<bool>,
    /// Its functions that we know.
    pub(crate) definitions: Map<u32, Payload>,
    /// What we borrow from it: its key to ours.
    pub(crate) borrowed: Map<u64, Key>,
    pub(crate) leases: Vec<Key>,
    pub(crate) actors: Vec<Key>,
}

impl Peer {
    fn new(address: Address) -> Self {
        Self {
            address,
            pid: 0,
            link: Link::Closed,
            dying: false,
            death: None,
            slots: 0,
            outbox: Vec::new(),
            defined: Vec::new(),
            definitions: Map::new(),
            borrowed: Map::new(),
            leases: Vec::new(),
            actors: Vec::new(),
        }
    }

    pub(crate) fn takes_calls(&self) -> bool {
        self.link == Link::Open && !self.dying && self.death.is_none() && self.slots < SLOTS
    }
}

#[derive(Default)]
pub(crate) struct Peers {
    pub(crate) all: Slab<Peer>,
    by_address: Map<Address, Key>,
    /// The peer looked up last: replies come in runs.
    recent: Option<(Address, Key)>,
    pub(crate) slots_total: usize,
}

impl Peers {
    pub(crate) fn find(&self, address: Address) -> Option<Key> {
        self.by_address.get(&address).copied()
    }

    pub(crate) fn get(&self, peer: Key) -> Option<&Peer> {
        self.all.get(peer)
    }

    pub(crate) fn get_mut(&mut self, peer: Key) -> Option<&mut Peer> {
        self.all.get_mut(peer)
    }

    pub(crate) fn slots_in_use(&self) -> usize {
        self.slots_total
    }

    /// A dead peer has been drained before it was declared dead: nothing can come from it afterwards.
    pub(crate) fn may_speak(&self, peer: Key) -> bool {
        self.all.get(peer).is_some_and(|peer| peer.death.is_none() && peer.link != Link::Poisoned)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Peer> {
        let peer = self.all.remove(key)?;
        self.by_address.remove(&peer.address);
        self.recent = None;
        self.slots_total -= peer.slots as usize;
        Some(peer)
    }

    /// Nothing is in flight there any more.
    pub(crate) fn reset_slots(&mut self, peer: Key) {
        if let Some(peer) = self.all.get_mut(peer) {
            self.slots_total -= peer.slots as usize;
            peer.slots = 0;
        }
    }

    pub(crate) fn take_slot(&mut self, peer: Key) {
        if let Some(peer) = self.all.get_mut(peer) {
            peer.slots += 1;
            self.slots_total += 1;
        }
    }

    pub(crate) fn free_slot(&mut self, peer: Key) {
        if let Some(peer) = self.all.get_mut(peer) {
            peer.slots -= 1;
            self.slots_total -= 1;
        }
    }
}

impl Owner {
    pub(crate) fn peer_at(&mut self, address: Address) -> Key {
        if let Some((recent, key)) = self.peers.recent
            && recent == address
        {
            return key;
        }
        let key = match self.peers.find(address) {
            Some(key) => key,
            None => {
                let key = self.peers.all.insert(Peer::new(address));
                self.peers.by_address.insert(address, key);
                key
            }
        };
        self.peers.recent = Some((address, key));
        key
    }

    /// To a peer that is gone: nothing, since its death settles what the message would have said.
    pub(crate) fn send(&mut self, to: Key, message: PeerMessage, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(to) else { return };
        if peer.death.is_some() {
            return;
        }
        match peer.link {
            Link::Open => out.push(Effect::Send { to: peer.address, message }),
            Link::Closed | Link::Asked => {
                peer.outbox.push(message);
                self.connect(to, out);
            }
            Link::Poisoned => {}
        }
    }

    pub(crate) fn connect(&mut self, peer: Key, out: &mut Vec<Effect>) {
        if let Some(peer) = self.peers.get_mut(peer)
            && peer.link == Link::Closed
        {
            peer.link = Link::Asked;
            out.push(Effect::ToRaylet(ProcessToRaylet::Connect { peer: peer.address }));
        }
    }

    /// Lanes are open (said by the raylet, or seen by a message that came through them).
    pub(crate) fn opened(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !matches!(peer.link, Link::Closed | Link::Asked) {
            return;
        }
        peer.link = Link::Open;
        let to = peer.address;
        for message in std::mem::take(&mut peer.outbox) {
            out.push(Effect::Send { to, message });
        }
        self.pump_peer(now, key, out);
    }

    fn pump_peer(&mut self, now: Time, key: Key, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get(key) else { return };
        let (leases, actors) = (peer.leases.clone(), peer.actors.clone());
        for lease in leases {
            if let Some(lease) = self.classes.leases.get(lease) {
                self.pump(now, lease.class, out);
            }
        }
        for actor in actors {
            self.pump_actor(actor, out);
        }
    }

    pub(crate) fn learn_definition(&mut self, peer: Key, function: u32, payload: Payload, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(peer) else { return };
        if let Some(before) = peer.definitions.insert(function, payload) {
            drop_payload(before, out);
        }
    }

    /// What that peer calls `function`.
    pub fn definition_of(&self, from: Address, function: u32) -> Option<Payload> {
        self.peers.get(self.peers.find(from)?)?.definitions.get(&function).copied()
    }

    /// Only the bytes need dropping: whoever sent this is dead, and its death settles the references.
    pub(crate) fn discard_message(&mut self, message: PeerMessage, out: &mut Vec<Effect>) {
        match message {
            PeerMessage::Define { payload, .. } => drop_payload(payload, out),
            PeerMessage::Call(call) => {
                drop_payload(call.args, out);
                call.deps.iter().for_each(|dep| drop_bytes(&dep.value, out));
            }
            PeerMessage::Reply(reply) => reply.returns.iter().for_each(|value| drop_bytes(value, out)),
            PeerMessage::Value { value, .. } => value.iter().for_each(|value| drop_bytes(value, out)),
            PeerMessage::Fetch { .. }
            | PeerMessage::Register { .. }
            | PeerMessage::Registered { .. }
            | PeerMessage::Return { .. }
            | PeerMessage::LendAck { .. }
            | PeerMessage::Free { .. }
            | PeerMessage::Cancel { .. }
            | PeerMessage::CancelObject { .. } => {}
        }
    }
}

pub(crate) fn drop_bytes(value: &WireValue, out: &mut Vec<Effect>) {
    if let Place::Inline(payload) = value.place {
        drop_payload(payload, out);
    }
}
