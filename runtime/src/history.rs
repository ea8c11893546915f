//! What ended goes to the raylet's history, where it keeps one: records into the ring, names as users know them.

use crate::core::Core;
use crate::process::JoinError;
use crate::title::Title;
use iosdk_net::HistoryWriter;
use iosdk_types::{Key, TaskKind, TaskRecord};
use std::os::fd::{AsFd, OwnedFd};

/// What came with the welcome: nothing where there is no history, else the ring and its bell.
pub(crate) fn writer(fds: Vec<OwnedFd>) -> Result<Option<HistoryWriter>, JoinError> {
    if fds.is_empty() {
        return Ok(None);
    }
    let [ring, bell] = <[OwnedFd; 2]>::try_from(fds).map_err(|_| JoinError::Confused)?;
    Ok(Some(HistoryWriter::map(ring.as_fd(), bell)?))
}

impl Core {
    pub(crate) fn attempt_ended(&mut self, function: Key, record: &TaskRecord) {
        let (names, actor_names) = (&self.names, &self.actor_names);
        if let Some(history) = &mut self.history {
            let _counted_if_lost = history.write(record, || {
                let called = record.actor.filter(|_| record.kind == TaskKind::ActorCall);
                Title::of(names, actor_names, function, called).to_string()
            });
        }
    }
}
