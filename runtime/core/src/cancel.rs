//! `cancel(ref)`: what has not started never does, what runs is interrupted by its executor.
//!
//! The owner of the reference decides: a cancel of a borrowed one is passed on to it.

use crate::planted::Bug;
use crate::tasks::Phase;
use crate::{Effect, LocalError, Owner};
use iosdk_types::Key;
use iosdk_types::message::peer::{CallKind, PeerMessage};

impl Owner {
    pub(crate) fn cancel(&mut self, object: Key, force: bool, out: &mut Vec<Effect>) {
        if self.is_borrowed(object) {
            if let Some(reference) = self.describe(object) {
                let owner = self.peer_at(reference.owner);
                self.send(owner, PeerMessage::CancelObject { object: reference, force }, out);
            }
            return;
        }
        let Some(key) = self.objects.get(object).and_then(|object| object.task()) else { return };
        let double = self.has_bug(Bug::DoubleFinish);
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        // An actor is ended by killing it, not by cancelling its birth.
        if !matches!(task.kind, CallKind::Task | CallKind::Method) {
            return;
        }
        let error = LocalError::Cancelled { task: task.id };
        match task.phase {
            Phase::Waiting { .. } | Phase::Queued => self.fail(key, error, out),
            Phase::Pushed { .. } => {
                task.cancelled = Some(force || task.cancelled == Some(true));
                if double {
                    let objects = task.returns.to_vec();
                    out.push(Effect::MakeError { objects, error });
                    self.tasks.ended += 1;
                }
                self.retract(key, out);
            }
            Phase::Failing { .. } => {}
        }
    }
}
