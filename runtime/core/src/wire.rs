//! A call as it leaves: what is defined before it, which references it lends, and its frame.

use crate::tasks::{Phase, Task};
use crate::{Effect, Owner};
use iosdk_types::Key;
use iosdk_types::message::peer::{Claim, Payload, PeerMessage, Place, WireCall, WireDep};
use smallvec::SmallVec;

/// The arguments of a call that has none (`CallKind::Terminate`): no bytes, never dropped.
pub const NO_ARGS: Payload = Payload(u32::MAX);

impl Owner {
    /// References that the call's frame carries: each is lent in the step that asks for the push.
    fn lent_by(&self, task: &Task) -> SmallVec<[Key; 4]> {
        let mut lent = SmallVec::from_slice(&task.contains);
        for &dep in &task.deps {
            lent.extend_from_slice(self.contains(dep));
            if let Some((Place::Arena(_), _)) = self.objects.get(dep).and_then(|object| object.value) {
                lent.push(dep);
            }
        }
        lent
    }

    /// From here on the task is the peer's, until it replies, dies, or loses the claim word.
    pub(crate) fn push_call(&mut self, key: Key, peer: Key, lease: Key, out: &mut Vec<Effect>) {
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        task.phase = Phase::Pushed { peer, lease, retracting: false };
        let function = task.function;
        if !(task.deps.is_empty() && task.contains.is_empty())
            && let Some(task) = self.tasks.live.get(key)
        {
            for reference in self.lent_by(task) {
                self.lend(reference, peer);
            }
        }
        self.peers.take_slot(peer);
        let Some(entry) = self.peers.get_mut(peer) else { return };
        let to = entry.address;
        if entry.defined.get(function.index()) != Some(&true)
            && let Some(definition) = self.tasks.definitions.get(function.index())
        {
            let payload = definition.payload;
            entry.defined.resize(entry.defined.len().max(function.index() + 1), false);
            entry.defined[function.index()] = true;
            let message = PeerMessage::Define { function: function.index() as u32, payload };
            out.push(Effect::Send { to, message });
        }
        out.push(Effect::PushCall { to, task: key });
    }

    /// The frame of a call that `Effect::PushCall` asked for. `None` when the task is at no peer any more: push nothing.
    pub fn wire_call(&self, key: Key, claim: Claim) -> Option<WireCall> {
        let task = self.tasks.live.get(key)?;
        if !matches!(task.phase, Phase::Pushed { .. }) {
            return None;
        }
        let mut deps = SmallVec::new();
        for &dep in &task.deps {
            let value = self.wire_value(dep)?;
            let reference = match value.place {
                Place::Arena(_) => self.describe(dep),
                Place::Inline(_) => None,
            };
            deps.push(WireDep { value, reference });
        }
        Some(WireCall {
            key: key.0,
            task: task.id,
            function: task.function.index() as u32,
            depth: task.depth,
            returns: task.returns.len() as u16,
            kind: task.kind,
            claim,
            args: task.args,
            deps,
            contains: self.describe_all(&task.contains),
        })
    }
}
