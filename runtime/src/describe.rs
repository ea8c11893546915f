//! Rows about what is live in this process, for who asks its raylet. Taken under the owner lock by the event thread, so however
//! busy user code is; encoded and sent after it.

use crate::core::Core;
use crate::explain::explain;
use crate::title::Title;
use iosdk_types::message::ProcessToRaylet;
use iosdk_types::state::{Location, ObjectState, StateCount, StateQuery, StateRows, TaskState};
use iosdk_types::{Key, Map, ObjectId, TaskId, Time};

impl Core {
    pub(crate) fn describe(&mut self, now: Time, request: u64, query: StateQuery, limit: u32) {
        let limit = limit as usize;
        let (rows, total) = match query {
            StateQuery::Workers => (StateRows::None, 0),
            StateQuery::Tasks { only } => self.task_rows(only, limit),
            StateQuery::Objects { only } => self.object_rows(only, limit),
            StateQuery::CountTasks => self.count_tasks(limit),
            StateQuery::CountObjects => self.count_objects(limit),
            StateQuery::Explain(subject) => {
                let found = explain(self, now, subject);
                let total = found.len() as u64;
                (StateRows::Explained(found), total)
            }
        };
        self.outbox.push(ProcessToRaylet::Described { request, rows, total });
    }

    pub(crate) fn task_state(&self, key: Key) -> Option<TaskState> {
        let title = |function, actor| Title::of(&self.names, &self.actor_names, function, actor).to_string();
        self.owner.task_state(key, title, |peer| self.links.has_begun(peer, key))
    }

    pub(crate) fn object_state(&self, key: Key) -> Option<ObjectState> {
        self.owner.object_state(key, |payload| Some(self.payloads.bytes(payload).len() as u64))
    }

    fn task_rows(&self, only: Option<TaskId>, limit: usize) -> (StateRows, u64) {
        let running = self.owner.running_calls().filter(|call| only.is_none_or(|only| call.task == only)).collect();
        let (owned, total): (Vec<TaskState>, _) = match only {
            Some(only) => {
                let found: Vec<_> =
                    self.owner.find_task(&only).and_then(|key| self.task_state(key)).into_iter().collect();
                let total = found.len();
                (found, total)
            }
            None => {
                let rows = self.owner.tasks().filter_map(|key| self.task_state(key));
                (rows.take(limit).collect(), self.owner.live_tasks())
            }
        };
        (StateRows::Tasks { owned, running }, total as u64)
    }

    fn object_rows(&self, only: Option<ObjectId>, limit: usize) -> (StateRows, u64) {
        let (rows, total): (Vec<ObjectState>, _) = match only {
            Some(only) => {
                let found: Vec<_> = self.owner.find(&only).and_then(|key| self.object_state(key)).into_iter().collect();
                let total = found.len();
                (found, total)
            }
            None => {
                let rows = self.owner.object_keys().filter_map(|key| self.object_state(key));
                (rows.take(limit).collect(), self.owner.live_objects())
            }
        };
        (StateRows::Objects(rows), total as u64)
    }

    fn count_tasks(&self, limit: usize) -> (StateRows, u64) {
        let named = |function, actor| Title::of(&self.names, &self.actor_names, function, actor);
        let mut counts = Map::<_, u64>::new();
        let mut total = 0;
        for key in self.owner.tasks() {
            if let Some(group) = self.owner.task_group(key, named, |peer| self.links.has_begun(peer, key)) {
                *counts.entry(group).or_default() += 1;
                total += 1;
            }
        }
        let rows = counts.into_iter().take(limit).map(|((title, kind, phase), count)| StateCount {
            name: title.to_string(),
            kind: kind.as_str().to_owned(),
            state: phase.as_str().to_owned(),
            count,
        });
        (StateRows::Counts(rows.collect()), total)
    }

    fn count_objects(&self, limit: usize) -> (StateRows, u64) {
        let mut counts = Map::<_, u64>::new();
        let mut total = 0;
        for state in self.owner.object_keys().filter_map(|key| self.owner.object_state(key, |_| None)) {
            // Each once: at its owner.
            if state.owner == self.owner.address() {
                *counts.entry((state.location, state.state())).or_default() += 1;
                total += 1;
            }
        }
        let rows = counts.into_iter().take(limit).map(|((location, state), count)| StateCount {
            name: location.map_or("NOWHERE", Location::as_str).to_owned(),
            kind: "OBJECT".to_owned(),
            state: state.to_owned(),
            count,
        });
        (StateRows::Counts(rows.collect()), total)
    }
}
