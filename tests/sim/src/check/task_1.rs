//! TASK-1: each submitted task ends exactly once at its owner: it does not run more often than its retries allow, and not
//! again after it ended. (That it ends at all is SCHED-3; that nobody sees two outcomes is checked at each get.)

use crate::check::{Verdict, broken};
use crate::ghost::Ghost;
use iosdk_types::{Address, Map, TaskId, TaskRecord};

const NAME: &str = "TASK-1";

#[derive(Default)]
pub struct Task1 {
    /// How many attempts of each task were told to the history.
    told: Map<TaskId, u32>,
}

impl Task1 {
    /// A worker won the claim of a call and is about to run it. `ended` says whether its live owner has an outcome already.
    pub fn started(&mut self, ghost: &mut Ghost, task: TaskId, on: Address, ended: bool) -> Verdict {
        let excused = !ghost.poisoned.is_empty();
        let Some(note) = ghost.tasks.get_mut(&task) else {
            return broken(NAME, format!("{on} runs {task}, which nobody submitted"));
        };
        note.started_on.push(on);
        if ended && !excused {
            return broken(NAME, format!("{on} runs {task}, which has ended"));
        }
        let most = usize::try_from(note.retries).map_or(usize::MAX, |retries| retries + 1);
        if note.started_on.len() > most && !excused {
            let text = format!(
                "{task} started {} times with {} retries: {:?}",
                note.started_on.len(),
                note.retries,
                note.started_on
            );
            return broken(NAME, text);
        }
        Ok(())
    }

    /// An owner told its history of an attempt that ended: each one once, in their order, and no more than its retries allow. One
    /// that fails while it is submitted is told before anybody knows of it.
    pub fn recorded(&mut self, ghost: &Ghost, record: &TaskRecord) -> Verdict {
        let told = self.told.entry(record.task).or_default();
        let retries = ghost.tasks.get(&record.task).map_or(0, |note| note.retries);
        let most = u32::try_from(retries).map_or(u32::MAX, |retries| retries + 1);
        if record.attempt != *told || *told >= most {
            return broken(
                NAME,
                format!("{told} attempts of {} were told, of {most}, and now {record:?}", record.task),
            );
        }
        *told += 1;
        Ok(())
    }
}
