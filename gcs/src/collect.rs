//! Questions to the nodes about what is live: each is sent to all of them, and answered with what came in time. Reports never
//! reach the machine: nothing is decided by them.

use iosdk_types::message::GcsToRaylet;
use iosdk_types::{StateQuery, StateReport};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long nodes may take: longer than each gives its processes.
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions under way at a time.
const OPEN_MAX: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) reports: BTreeMap<u32, StateReport>,
    /// Nodes that did not answer in time.
    pub(crate) missing: Vec<u32>,
    /// It was not asked: too many others are.
    pub(crate) refused: bool,
}

struct Question {
    awaited: BTreeSet<u32>,
    collected: Collected,
    due: Instant,
    answer: oneshot::Sender<Collected>,
}

impl Question {
    fn end(self) {
        let Self { awaited, mut collected, answer, .. } = self;
        collected.missing.extend(awaited);
        let _client_went_away = answer.send(collected);
    }
}

pub(crate) struct Collecting {
    last: u64,
    open: BTreeMap<u64, Question>,
}

impl Collecting {
    /// Numbers go on from the wall clock's, so that an answer to an earlier head's question answers nothing.
    pub(crate) fn new(now_ms: u64) -> Self {
        Self { last: now_ms << 16, open: BTreeMap::new() }
    }

    pub(crate) fn ask<'a>(
        &mut self,
        query: StateQuery,
        limit: u32,
        answer: oneshot::Sender<Collected>,
        nodes: impl Iterator<Item = (u32, &'a mpsc::UnboundedSender<GcsToRaylet>)>,
    ) {
        if self.open.len() >= OPEN_MAX {
            let _client_went_away = answer.send(Collected { refused: true, ..Collected::default() });
            return;
        }
        self.last += 1;
        let request = self.last;
        let mut awaited = BTreeSet::new();
        for (node, outbox) in nodes {
            if outbox.send(GcsToRaylet::Query { request, query, limit }).is_ok() {
                awaited.insert(node);
            }
        }
        let question = Question { awaited, collected: Collected::default(), due: Instant::now() + PATIENCE, answer };
        if question.awaited.is_empty() {
            return question.end();
        }
        self.open.insert(request, question);
    }

    pub(crate) fn reported(&mut self, node: u32, request: u64, report: StateReport) {
        let Some(question) = self.open.get_mut(&request).filter(|question| question.awaited.contains(&node)) else {
            return;
        };
        question.awaited.remove(&node);
        question.collected.reports.insert(node, report);
        if question.awaited.is_empty()
            && let Some(question) = self.open.remove(&request)
        {
            question.end();
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|question| question.due).min()
    }

    pub(crate) fn give_up(&mut self, now: Instant) {
        let due: Vec<u64> =
            self.open.iter().filter(|(_, question)| question.due <= now).map(|(request, _)| *request).collect();
        due.into_iter().filter_map(|request| self.open.remove(&request)).for_each(Question::end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        collecting: &mut Collecting,
        nodes: &[(u32, mpsc::UnboundedSender<GcsToRaylet>)],
    ) -> oneshot::Receiver<Collected> {
        let (answer, answered) = oneshot::channel();
        collecting.ask(StateQuery::Workers, 10, answer, nodes.iter().map(|(node, outbox)| (*node, outbox)));
        answered
    }

    fn request(inbox: &mut mpsc::UnboundedReceiver<GcsToRaylet>) -> u64 {
        match inbox.try_recv() {
            Ok(GcsToRaylet::Query { request, .. }) => request,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn all_answers_end_a_question_and_late_ones_are_named() {
        let mut collecting = Collecting::new(5);
        let ((one, mut first), (two, mut second)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let nodes = [(1, one), (2, two)];
        let mut answered = ask(&mut collecting, &nodes);
        let number = request(&mut first);
        assert_eq!(request(&mut second), number);
        collecting.reported(1, number, StateReport::default());
        collecting.reported(1, number, StateReport::default());
        collecting.reported(2, number + 1, StateReport::default());
        assert!(answered.try_recv().is_err(), "node 2 has not answered");
        collecting.reported(2, number, StateReport::default());
        let collected = answered.try_recv().unwrap();
        assert_eq!((collected.reports.len(), collected.missing), (2, vec![]));

        let mut answered = ask(&mut collecting, &nodes);
        collecting.reported(2, number + 1, StateReport::default());
        let due = collecting.deadline().unwrap();
        collecting.give_up(due - Duration::from_millis(1));
        assert!(answered.try_recv().is_err(), "it is not due yet");
        collecting.give_up(due);
        assert_eq!(answered.try_recv().unwrap().missing, [1]);
        assert_eq!(collecting.deadline(), None);
    }

    #[tokio::test]
    async fn too_many_at_a_time_are_refused() {
        let mut collecting = Collecting::new(5);
        let (outbox, _inbox) = mpsc::unbounded_channel();
        let nodes = [(1, outbox)];
        let waiting: Vec<_> = (0..OPEN_MAX).map(|_| ask(&mut collecting, &nodes)).collect();
        assert!(ask(&mut collecting, &nodes).try_recv().unwrap().refused);
        assert_eq!(waiting.len(), collecting.open.len());
        let collected = ask(&mut Collecting::new(5), &[]).try_recv().unwrap();
        assert!(!collected.refused && collected.reports.is_empty());
    }
}
