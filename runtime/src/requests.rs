//! Questions to the raylet and their answers, workers' output, and the end of the cluster.

use crate::core::{Core, Reply};
use crate::objects::StoreError;
use crate::process::Process;
use crate::wait::Blocked;
use iosdk_types::message::raylet_to_process::LogLine;
use iosdk_types::message::{Answer, ProcessToRaylet, Query};
use std::time::{Duration, Instant};

const QUERY_LIMIT: Duration = Duration::from_secs(30);

impl Process {
    /// `None` when nobody answered in time.
    pub fn query(&self, query: Query) -> Option<Answer> {
        let request = self.ask(|request| ProcessToRaylet::Query { request, query }, Reply::Pending);
        match self.await_reply(request, Some(Instant::now() + QUERY_LIMIT), &mut || false) {
            Ok(Reply::Answer(answer)) => Some(answer),
            _ => None,
        }
    }

    pub(crate) fn ask(&self, message: impl FnOnce(u64) -> ProcessToRaylet, pending: Reply) -> u64 {
        let mut core = self.enter();
        core.next_request += 1;
        let request = core.next_request;
        core.replies.insert(request, pending);
        core.outbox.push(message(request));
        self.leave_core(core);
        request
    }

    pub(crate) fn say(&self, message: ProcessToRaylet) {
        let mut core = self.enter();
        core.outbox.push(message);
        self.leave_core(core);
    }

    pub(crate) fn await_reply(
        &self,
        request: u64,
        deadline: Option<Instant>,
        stop: &mut impl FnMut() -> bool,
    ) -> Result<Reply, StoreError> {
        let answered = |core: &mut Core| match core.replies.get(&request) {
            Some(Reply::Pending) => None,
            _ => core.replies.remove(&request),
        };
        loop {
            match self.block(deadline, None, answered) {
                Blocked::Done(reply) => return Ok(reply),
                Blocked::Interrupted if !stop() => {}
                Blocked::Interrupted => {
                    self.peek().replies.remove(&request);
                    return Err(StoreError::Interrupted);
                }
                Blocked::TimedOut | Blocked::Closed => {
                    self.peek().replies.remove(&request);
                    return Err(StoreError::Closed);
                }
            }
        }
    }

    /// Waits for lines that workers printed; `None` once the session is over and all were handed out.
    pub fn next_log_lines(&self) -> Option<Vec<LogLine>> {
        let mut lines = self.lock_logs();
        loop {
            if !lines.queue.is_empty() {
                return Some(lines.queue.drain(..).collect());
            }
            if lines.ended {
                return None;
            }
            lines = self.wait_logs(lines);
        }
    }

    /// Ends the cluster that this driver started; true when the daemon hung up in time.
    pub fn shut_down_cluster(&self, limit: Duration) -> bool {
        self.say(ProcessToRaylet::Shutdown);
        let ends = Instant::now() + limit;
        let mut lines = self.lock_logs();
        while !lines.ended {
            let left = ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            lines = self.wait_logs_for(lines, left);
        }
        true
    }
}
