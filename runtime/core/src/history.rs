//! What is told of attempts that ended, where somebody keeps a history.

use crate::tasks::RunsOn;
use crate::{Effect, LocalError, Owner};
use iosdk_types::message::peer::{CallKind, ReplyStatus, WireReply};
use iosdk_types::{Address, Key, Outcome, Span, TaskKind, TaskRecord, Time};

/// The end of an attempt.
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// Which process had it, with its pid.
    pub(crate) on: Option<(Address, i32)>,
    /// How long the body ran, if it is known that it did.
    pub(crate) ran: Option<Span>,
}

impl End {
    /// It never came to a process, or nobody knows to which.
    pub(crate) fn nowhere(error: &LocalError) -> Self {
        let outcome = match error {
            LocalError::WorkerCrashed { .. } => Outcome::WorkerDied,
            LocalError::ActorDied { .. } => Outcome::ActorDied,
            LocalError::Cancelled { .. } => Outcome::Cancelled,
            LocalError::Infeasible { .. } => Outcome::Infeasible,
            // What a task needed was freed, went with its owner, or failed.
            LocalError::OwnerDied { .. } | LocalError::ObjectLost { .. } | LocalError::DependencyFailed { .. } => {
                Outcome::DependencyFailed
            }
        };
        Self { outcome, on: None, ran: None }
    }
}

impl Owner {
    /// From now on each attempt that ends is told with `Effect::AttemptEnded`.
    pub fn keep_history(&mut self) {
        self.keeps_history = true;
    }

    /// The address and pid of a peer, for a record.
    pub(crate) fn whereabouts(&self, peer: Key) -> Option<(Address, i32)> {
        self.peers.get(peer).map(|peer| (peer.address, peer.pid))
    }

    /// A reply came from the process that ran it.
    pub(crate) fn attempt_answered(
        &mut self,
        now: Time,
        key: Key,
        peer: Key,
        reply: &WireReply,
        out: &mut Vec<Effect>,
    ) {
        let cancelled = self.tasks.live.get(key).is_some_and(|task| task.cancelled.is_some());
        let outcome = match reply.status {
            ReplyStatus::Ok => Outcome::Finished,
            _ if cancelled => Outcome::Cancelled,
            _ => Outcome::Raised,
        };
        let end = End { outcome, on: self.whereabouts(peer), ran: Some(Span(reply.ran_ns)) };
        self.attempt_ended(now, key, end, out);
    }

    pub(crate) fn attempt_ended(&mut self, now: Time, key: Key, end: End, out: &mut Vec<Effect>) {
        if !self.keeps_history {
            return;
        }
        let Some(task) = self.tasks.live.get_mut(key) else { return };
        let kind = match task.kind {
            CallKind::Task => TaskKind::Task,
            CallKind::CreateActor => TaskKind::ActorCreation,
            CallKind::Method => TaskKind::ActorCall,
            // Nobody submitted it.
            CallKind::Terminate => return,
        };
        let attempt = task.ended_attempts;
        task.ended_attempts += 1;
        let actor = task.id.actor();
        let (worker, pid) = end.on.map_or((u32::MAX, 0), |(address, pid)| (address.process, pid));
        let record = TaskRecord {
            task: task.id,
            attempt,
            kind,
            outcome: end.outcome,
            job: actor.job(),
            name: task.function.index() as u32,
            actor: matches!(task.runs_on, RunsOn::Actor(_)).then_some(actor),
            worker,
            pid,
            node: end.on.map_or(self.me.node, |(address, _)| address.node),
            owner: self.me.process,
            submitted: task.submitted,
            // Its process does not tell when it began. What the reply took to come here counts as before that.
            started: end.ran.map(|ran| Time(now.0.saturating_sub(ran.0)).max(task.submitted)),
            ended: now,
        };
        out.push(Effect::AttemptEnded { function: task.function, record });
    }
}
