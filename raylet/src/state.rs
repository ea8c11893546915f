//! Questions of a head about what is live here. Nothing is recorded for them: each process is asked over its control socket, and
//! what came in time is the answer. Nobody waits: a process that does not answer is named.

use crate::gcs_link::GcsLink;
use crate::history::ahead;
use crate::node::{Node, Timer};
use iosdk_types::Span;
use iosdk_types::message::{GcsToRaylet, RayletToGcs, RayletToProcess};
use iosdk_types::state::{StatePart, StateQuery, StateReport, StateRows};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// How long processes may take to answer.
const PATIENCE: Span = Span::from_secs(2);
/// Questions under way at a time; one more is answered with what the node itself knows.
const OPEN_MAX: usize = 32;

#[derive(Default)]
pub(crate) struct Questions {
    open: BTreeMap<u64, Question>,
}

struct Question {
    query: StateQuery,
    /// Rows that may still be taken.
    left: usize,
    awaited: BTreeSet<u32>,
    report: StateReport,
}

/// Whether processes know anything of it.
fn concerns_processes(query: StateQuery) -> bool {
    match query {
        StateQuery::Workers => false,
        StateQuery::Tasks { .. }
        | StateQuery::Objects { .. }
        | StateQuery::CountTasks
        | StateQuery::CountObjects
        | StateQuery::Explain(_) => true,
    }
}

impl<G: GcsLink> Node<G> {
    /// Takes a question out of what the GCS says; anything else is for the machine.
    pub(crate) fn take_question(&mut self, message: GcsToRaylet) -> io::Result<Option<GcsToRaylet>> {
        let GcsToRaylet::Query { request, query, limit } = message else { return Ok(Some(message)) };
        let report = StateReport { workers: self.machine.workers(), ahead: ahead(), ..StateReport::default() };
        let mut question = Question { query, left: limit as usize, awaited: BTreeSet::new(), report };
        let members: Vec<u32> = if concerns_processes(query) { self.machine.members().collect() } else { Vec::new() };
        let is_full = self.questions.open.len() >= OPEN_MAX;
        for number in members {
            let Some(process) = self.processes.get(&number) else { continue };
            // One that does not even read what it was sent before would only be sent more.
            if is_full || process.control.as_ref().is_none_or(|control| control.is_behind()) {
                question.report.missing.push(process.pid);
                continue;
            }
            question.awaited.insert(number);
        }
        let asked: Vec<u32> = question.awaited.iter().copied().collect();
        if asked.is_empty() {
            self.report(request, question);
            return Ok(None);
        }
        self.questions.open.insert(request, question);
        self.after(PATIENCE, Timer::Question(request));
        for number in asked {
            self.tell(number, &RayletToProcess::Describe { request, query, limit })?;
        }
        Ok(None)
    }

    /// A process answered.
    pub(crate) fn described(&mut self, number: u32, request: u64, mut rows: StateRows, total: u64) {
        let Some(process) = self.processes.get(&number) else { return };
        let (process, pid) = (process.address, process.pid);
        let Some(question) = self.questions.open.get_mut(&request) else { return };
        if !question.awaited.remove(&number) {
            return;
        }
        rows.truncate(question.left);
        question.left -= rows.len();
        question.report.parts.push(StatePart { process, pid, rows, total });
        self.report_if_complete(request);
    }

    /// What a process that is gone knew is gone too: nobody waits for it.
    pub(crate) fn nobody_answers(&mut self, number: u32) {
        let open: Vec<u64> = self.questions.open.keys().copied().collect();
        for request in open {
            if let Some(question) = self.questions.open.get_mut(&request)
                && question.awaited.remove(&number)
            {
                self.report_if_complete(request);
            }
        }
    }

    /// Time is up.
    pub(crate) fn question_due(&mut self, request: u64) {
        let Some(mut question) = self.questions.open.remove(&request) else { return };
        let late = question.awaited.iter().filter_map(|number| self.processes.get(number));
        question.report.missing.extend(late.map(|process| process.pid));
        self.report(request, question);
    }

    fn report_if_complete(&mut self, request: u64) {
        if self.questions.open.get(&request).is_some_and(|question| question.awaited.is_empty())
            && let Some(question) = self.questions.open.remove(&request)
        {
            self.timers.retain(|(_, timer)| *timer != Timer::Question(request));
            self.report(request, question);
        }
    }

    fn report(&mut self, request: u64, mut question: Question) {
        if matches!(question.query, StateQuery::Explain(_)) {
            question.report.lines = self.machine.explain_capacity();
        }
        self.gcs.send(RayletToGcs::Report { request, report: question.report });
    }
}
