//! References that cross processes: lending, registering with the owner, acknowledging, returning, fetching.

use crate::objects::{Loan, Object, Origin, Waiter};
use crate::peers::Link;
use crate::planted::Bug;
use crate::{Effect, LocalError, Owner};
use iosdk_types::message::peer::{PeerMessage, Place, WireValue};
use iosdk_types::{Address, Key, ObjectId, RefDescriptor, Time};
use smallvec::SmallVec;

/// What a borrower knows about an object of somebody else's.
pub(crate) struct Borrow {
    pub(crate) owner: Key,
    pub(crate) address: Address,
    /// The owner's key.
    pub(crate) key: u64,
    /// How often the owner counts us, to be returned in one go.
    pub(crate) owed: u32,
    /// Asked the owner to count us; no answer yet. The entry stays until it comes.
    pub(crate) registering: bool,
    pub(crate) fetching: bool,
    pub(crate) owner_dead: bool,
    /// Lenders that keep their own hold until we are registered.
    pub(crate) acks: SmallVec<[Loan; 1]>,
}

pub(crate) fn add_loan(loans: &mut SmallVec<[Loan; 1]>, to: Key, times: u32) {
    match loans.iter_mut().find(|loan| loan.to == to) {
        Some(loan) => loan.times += times,
        None => loans.push(Loan { to, times }),
    }
}

impl Owner {
    /// A reference arrived in a message: returns its local key, with one hold for whoever got it.
    pub(crate) fn receive(&mut self, from: Key, reference: &RefDescriptor, out: &mut Vec<Effect>) -> Key {
        if reference.owner == self.me {
            let key = match self.ours(reference) {
                Some(key) => key,
                None => self.lost(reference.object, out),
            };
            self.hold(key);
            self.send(from, PeerMessage::LendAck { object: *reference, times: 1 }, out);
            return key;
        }
        let key = self.borrowed(reference, out);
        self.hold(key);
        let Some(borrow) = self.objects.get_mut(key).and_then(Object::borrow_mut) else { return key };
        if borrow.owner == from {
            borrow.owed += 1;
        } else if borrow.owed > 0 || borrow.owner_dead {
            self.send(from, PeerMessage::LendAck { object: *reference, times: 1 }, out);
        } else {
            add_loan(&mut borrow.acks, from, 1);
            self.ask_to_register(key, out);
        }
        key
    }

    /// A reference arrived in something nobody wants any more: settles it without taking it.
    pub(crate) fn decline(&mut self, from: Key, reference: &RefDescriptor, out: &mut Vec<Effect>) {
        let is_owner = self.peers.get(from).is_some_and(|peer| peer.address == reference.owner);
        let message = if is_owner {
            PeerMessage::Return { object: *reference, times: 1 }
        } else {
            PeerMessage::LendAck { object: *reference, times: 1 }
        };
        self.send(from, message, out);
    }

    pub(crate) fn decline_value(&mut self, from: Key, value: &WireValue, out: &mut Vec<Effect>) {
        for inner in &value.contains {
            self.decline(from, inner, out);
        }
        crate::peers::drop_bytes(value, out);
    }

    pub(crate) fn receive_all(
        &mut self,
        from: Key,
        references: &[RefDescriptor],
        out: &mut Vec<Effect>,
    ) -> SmallVec<[Key; 2]> {
        references.iter().map(|reference| self.receive(from, reference, out)).collect()
    }

    /// The entry for an object of somebody else's, made if need be.
    fn borrowed(&mut self, reference: &RefDescriptor, out: &mut Vec<Effect>) -> Key {
        let owner = self.peer_at(reference.owner);
        let known = self.peers.get(owner).and_then(|peer| peer.borrowed.get(&reference.key));
        if let Some(&key) = known {
            return key;
        }
        let borrow = Borrow {
            owner,
            address: reference.owner,
            key: reference.key,
            owed: 0,
            registering: false,
            fetching: false,
            owner_dead: false,
            acks: SmallVec::new(),
        };
        let key = self.objects.insert(Object::new(reference.object, Origin::Borrowed(Box::new(borrow))));
        if let Some(peer) = self.peers.get_mut(owner) {
            peer.borrowed.insert(reference.key, key);
        }
        if self.peers.get(owner).is_some_and(|peer| peer.link == Link::Poisoned) {
            self.owner_died(key, None, out);
        }
        key
    }

    /// A reference that leads nowhere: an entry that holds the error.
    fn lost(&mut self, object: ObjectId, out: &mut Vec<Effect>) -> Key {
        let key = self.objects.insert(Object::new(object, Origin::Lost));
        out.push(Effect::MakeError { objects: vec![key], error: LocalError::ObjectLost { object } });
        key
    }

    fn ask_to_register(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(object) = self.describe(key) else { return };
        let Some(borrow) = self.objects.get_mut(key).and_then(Object::borrow_mut) else { return };
        if !borrow.registering {
            borrow.registering = true;
            let owner = borrow.owner;
            self.asked += 1;
            self.send(owner, PeerMessage::Register { object, token: key.0 }, out);
        }
    }

    /// A descriptor that came by a way of the user's own.
    pub(crate) fn adopt(&mut self, reference: RefDescriptor, out: &mut Vec<Effect>) {
        let key = if reference.owner == self.me {
            match self.ours(&reference) {
                Some(key) => key,
                None => self.lost(reference.object, out),
            }
        } else {
            let key = self.borrowed(&reference, out);
            if self
                .objects
                .get(key)
                .and_then(Object::borrow)
                .is_some_and(|borrow| borrow.owed == 0 && !borrow.owner_dead)
            {
                self.ask_to_register(key, out);
            }
            key
        };
        self.retain(key);
        out.push(Effect::Opened { object: key });
    }

    /// Counts a reference that is about to be sent.
    pub(crate) fn lend(&mut self, key: Key, to: Key) {
        let forgets = self.has_bug(Bug::DropLoanOnForward);
        if let Some(object) = self.objects.get_mut(key)
            && !(forgets && object.borrow().is_some())
        {
            add_loan(&mut object.lent, to, 1);
        }
    }

    /// Takes back at most so many loans; returns how many there were not.
    fn unlend(&mut self, key: Key, from: Key, times: u32) -> u32 {
        let Some(object) = self.objects.get_mut(key) else { return times };
        let Some(at) = object.lent.iter().position(|loan| loan.to == from) else { return times };
        let taken = times.min(object.lent[at].times);
        object.lent[at].times -= taken;
        if object.lent[at].times == 0 {
            object.lent.swap_remove(at);
        }
        self.doom(key);
        times - taken
    }

    pub(crate) fn register(&mut self, peer: Key, object: RefDescriptor, token: u64, out: &mut Vec<Effect>) {
        let key = self.ours(&object);
        if let Some(key) = key {
            self.lend(key, peer);
        }
        self.send(peer, PeerMessage::Registered { token, known: key.is_some() }, out);
    }

    pub(crate) fn registered(&mut self, peer: Key, token: u64, known: bool, out: &mut Vec<Effect>) {
        let key = Key(token);
        let Some(borrow) = self.objects.get_mut(key).and_then(Object::borrow_mut) else { return };
        if borrow.owner != peer || !borrow.registering {
            return;
        }
        borrow.registering = false;
        borrow.owed += u32::from(known);
        self.asked -= 1;
        self.acknowledge(key, out);
        if !known {
            self.fail_borrowed(key, |object| LocalError::ObjectLost { object: object.id }, out);
        }
        self.doom(key);
    }

    /// Registered, or never to be: the lenders may let go.
    pub(crate) fn acknowledge(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(object) = self.describe(key) else { return };
        let Some(borrow) = self.objects.get_mut(key).and_then(Object::borrow_mut) else { return };
        for ack in std::mem::take(&mut borrow.acks) {
            self.send(ack.to, PeerMessage::LendAck { object, times: ack.times }, out);
        }
    }

    fn fail_borrowed(&mut self, key: Key, error: impl Fn(&Object) -> LocalError, out: &mut Vec<Effect>) {
        if let Some(object) = self.objects.get(key)
            && object.value.is_none()
        {
            out.push(Effect::MakeError { objects: vec![key], error: error(object) });
        }
    }

    pub(crate) fn returned(&mut self, peer: Key, object: RefDescriptor, times: u32) {
        if let Some(key) = self.ours(&object) {
            let _a_dead_borrower_was_forgotten = self.unlend(key, peer, times);
        }
    }

    pub(crate) fn lend_acked(&mut self, peer: Key, object: RefDescriptor, times: u32) {
        let owner = self.peers.find(object.owner).and_then(|owner| self.peers.get(owner));
        let borrowed = owner.and_then(|owner| owner.borrowed.get(&object.key)).copied();
        let mut left = borrowed.map_or(times, |key| self.unlend(key, peer, times));
        if left == 0 {
            return;
        }
        // Nothing is kept of an owner that is dead: a reference that came before its death and one that came after have an
        // entry each, and the receiver does not know from which it was lent.
        let same = self.objects.iter().filter(|(_, other)| other.id == object.object);
        for key in same.map(|(key, _)| key).collect::<SmallVec<[Key; 2]>>() {
            left = self.unlend(key, peer, left);
        }
    }

    /// The last hold of a borrowed object went.
    pub(crate) fn borrow_ended(&mut self, id: ObjectId, borrow: &Borrow, out: &mut Vec<Effect>) {
        if let Some(owner) = self.peers.get_mut(borrow.owner) {
            owner.borrowed.remove(&borrow.key);
        }
        if borrow.fetching {
            self.asked -= 1;
        }
        if borrow.owed > 0 && !self.has_bug(Bug::ForgetReturn) {
            let object = RefDescriptor { object: id, owner: borrow.address, key: borrow.key };
            self.send(borrow.owner, PeerMessage::Return { object, times: borrow.owed }, out);
        }
    }

    /// Asks the owner for the value, unless it is ours, here, or asked for.
    pub(crate) fn fetch(&mut self, key: Key, out: &mut Vec<Effect>) {
        let Some(reference) = self.describe(key) else { return };
        let Some(object) = self.objects.get_mut(key) else { return };
        if object.value.is_some() {
            return;
        }
        let Some(borrow) = object.borrow_mut() else { return };
        if borrow.fetching || borrow.owner_dead {
            return;
        }
        borrow.fetching = true;
        let owner = borrow.owner;
        self.asked += 1;
        self.send(owner, PeerMessage::Fetch { object: reference, token: key.0 }, out);
    }

    /// A borrower asks for a value of ours.
    pub(crate) fn fetched(&mut self, peer: Key, object: RefDescriptor, token: u64, out: &mut Vec<Effect>) {
        let Some(key) = self.ours(&object) else {
            self.send(peer, PeerMessage::Value { token, value: None }, out);
            return;
        };
        match self.objects.get_mut(key) {
            Some(object) if object.value.is_none() => object.waiters.push(Waiter::Borrower { peer, token }),
            Some(_) | None => self.send_value(peer, key, token, out),
        }
    }

    pub(crate) fn value_came(
        &mut self,
        now: Time,
        peer: Key,
        token: u64,
        value: Option<WireValue>,
        out: &mut Vec<Effect>,
    ) {
        let key = Key(token);
        let borrow = self.objects.get_mut(key).and_then(Object::borrow_mut);
        let Some(borrow) = borrow.filter(|borrow| borrow.owner == peer && borrow.fetching) else {
            // Given up before the answer came: the references in it were lent all the same.
            if let Some(value) = value {
                self.decline_value(peer, &value, out);
            }
            return;
        };
        borrow.fetching = false;
        self.asked -= 1;
        match value {
            Some(value) => {
                let contains = self.receive_all(peer, &value.contains, out);
                self.resolve(now, key, (value.place, value.is_error), contains, out);
            }
            None => self.fail_borrowed(key, |object| LocalError::ObjectLost { object: object.id }, out),
        }
    }

    /// The owner died: what is only known there cannot be had any more. Copies that are here stay good.
    pub(crate) fn owner_died(&mut self, key: Key, death: Option<&iosdk_types::Death>, out: &mut Vec<Effect>) {
        let Some(object) = self.objects.get_mut(key) else { return };
        if matches!(object.value, Some((Place::Arena(_), _))) {
            // Nobody keeps those bytes for us now. References inside go with them.
            object.value = None;
            for inner in std::mem::take(&mut object.contains) {
                self.release(inner);
            }
        }
        let Some(borrow) = self.objects.get_mut(key).and_then(Object::borrow_mut) else { return };
        let (registering, fetching) = (borrow.registering, borrow.fetching);
        let address = borrow.address;
        borrow.owner_dead = true;
        borrow.owed = 0;
        borrow.registering = false;
        borrow.fetching = false;
        self.asked -= usize::from(registering) + usize::from(fetching);
        self.acknowledge(key, out);
        let error =
            |object: &Object| LocalError::OwnerDied { object: object.id, owner: address, death: death.cloned() };
        self.fail_borrowed(key, error, out);
        self.doom(key);
    }
}
