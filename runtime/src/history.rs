//! What ended goes to the raylet's history, where it keeps one: records into the ring, names as users know them.

use crate::core::Core;
use crate::process::JoinError;
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
                let name = names.get(&function.0).map_or("", String::as_str);
                let class = record.actor.filter(|_| record.kind == TaskKind::ActorCall);
                match class.and_then(|actor| actor_names.get(&actor)) {
                    Some(class) => format!("{class}.{name}"),
                    None => name.to_owned(),
                }
            });
        }
    }
}
