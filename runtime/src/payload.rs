//! The bytes behind the machine's payload handles. A handle is dropped exactly once, by the machine; bytes that somebody is
//! still reading (a `get` that left the lock) live on by their own count.

use iosdk_types::message::peer::Payload;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Payloads {
    slots: Vec<Option<Arc<[u8]>>>,
    free: Vec<u32>,
}

impl Payloads {
    pub(crate) fn insert(&mut self, bytes: &[u8]) -> Payload {
        self.insert_shared(Arc::from(bytes))
    }

    pub(crate) fn insert_shared(&mut self, bytes: Arc<[u8]>) -> Payload {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(bytes);
            return Payload(index);
        }
        self.slots.push(Some(bytes));
        Payload((self.slots.len() - 1) as u32)
    }

    /// The bytes behind a handle that the machine has not dropped; empty for one it has, which a debug build refuses.
    pub(crate) fn bytes(&self, payload: Payload) -> &[u8] {
        let slot = self.slots.get(payload.0 as usize).and_then(|slot| slot.as_deref());
        debug_assert!(slot.is_some(), "payload {} was dropped while in use", payload.0);
        slot.unwrap_or_default()
    }

    pub(crate) fn shared(&self, payload: Payload) -> Option<Arc<[u8]>> {
        self.slots.get(payload.0 as usize)?.clone()
    }

    pub(crate) fn drop_payload(&mut self, payload: Payload) {
        let taken = self.slots.get_mut(payload.0 as usize).and_then(Option::take);
        debug_assert!(taken.is_some(), "payload {} dropped twice", payload.0);
        if taken.is_some() {
            self.free.push(payload.0);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_outlives_the_drop() {
        let mut table = Payloads::default();
        let payload = table.insert(b"abc");
        let reader = table.shared(payload).unwrap();
        table.drop_payload(payload);
        assert_eq!(&*reader, b"abc");
        assert!(table.is_empty());
        assert_eq!(table.insert(b"d"), payload, "slots are reused");
    }
}
