//! The thread that writes the event log. It takes what waits as one group, makes it durable, and only then lets go of what may
//! tell the outside. When the disk is full nothing is lost or told: it tries again.

use crate::data::DataDir;
use crate::event::{Event, Released};
use crate::journal::{Order, Work};
use crate::stored::{Stored, key, write_secrets};
use iosdk_complain::complain;
use iosdk_gcs_core::{Effect, Record};
use iosdk_gcs_log::{Entry, EventStore};
use iosdk_types::message::GcsToRaylet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::{mpsc as later, watch};

/// Between two tries to write what the disk did not take.
const RETRY: Duration = Duration::from_secs(1);
/// About how many bytes are made durable at once.
const GROUP: usize = 16 << 20;
/// A snapshot replaces so many records, or so many bytes.
const RECORDS_KEPT: usize = 200_000;
const BYTES_KEPT: usize = 64 << 20;

pub(crate) struct Writer {
    store: Box<dyn EventStore>,
    data: Arc<DataDir>,
    events: later::UnboundedSender<Event>,
    stuck: watch::Sender<Option<String>>,
    closed: mpsc::Receiver<()>,
    grown: Arc<AtomicBool>,
    /// Since the last snapshot.
    records: usize,
    bytes: usize,
    snapshot_asked: bool,
}

/// What becomes durable together.
#[derive(Default)]
struct Group {
    entries: Vec<Entry>,
    bytes: usize,
    held: Vec<Effect>,
    /// Jobs that are over: nobody needs their secrets.
    over: Vec<u64>,
}

/// The head ends, and the disk still takes nothing.
struct GivenUp;

impl Writer {
    pub(crate) fn new(
        store: Box<dyn EventStore>,
        records: usize,
        data: Arc<DataDir>,
        (events, stuck): (later::UnboundedSender<Event>, watch::Sender<Option<String>>),
        (closed, grown): (mpsc::Receiver<()>, Arc<AtomicBool>),
    ) -> Self {
        Self { store, data, events, stuck, closed, grown, records, bytes: 0, snapshot_asked: false }
    }

    pub(crate) fn run(mut self, queue: &mpsc::Receiver<Order>) {
        while let Ok(first) = queue.recv() {
            let mut group = Group::default();
            let mut reads = Vec::new();
            let mut written = Ok(());
            for order in std::iter::once(first).chain(queue.try_iter()) {
                match order {
                    Order::Write(work) => written = self.add(&mut group, work),
                    Order::Read { numbers, answer } => reads.push((numbers, answer)),
                }
                if written.is_err() || group.bytes >= GROUP {
                    break;
                }
            }
            if written.and_then(|()| self.commit(group)).is_err() {
                complain!("gcs: ends with a full disk; what was not acknowledged before is not kept");
                return;
            }
            for (numbers, answer) in reads {
                let found = numbers.into_iter().map(|number| self.stored(number).unwrap_or_else(report)).collect();
                let _client_went_away = answer.send(found);
            }
        }
    }

    fn add(&mut self, group: &mut Group, work: Work) -> Result<(), GivenUp> {
        if let Some((number, submitted)) = &work.accepted {
            self.until_written(|writer| write_secrets(&writer.data, *number, &submitted.secrets))?;
            group.push(Entry::PutBlob { key: key(*number), bytes: submitted.stored.encode() });
        }
        self.records += work.records.len();
        for record in work.records {
            match &record {
                Record::JobEnded { number, .. } => group.over.push(*number),
                Record::JobDeleted { number } => group.push(Entry::DropBlob { key: key(*number) }),
                _ => {}
            }
            let bytes = rmp_serde::to_vec_named(&record).expect("numbers and text always have a MessagePack form");
            group.push(Entry::Record(bytes));
        }
        group.held.extend(work.held);
        if let Some(state) = work.snapshot {
            self.append(group)?;
            let state = rmp_serde::to_vec_named(&state).expect("maps of numbers and text have a MessagePack form");
            self.until_written(|writer| writer.store.snapshot(&state).map_err(io::Error::other))?;
            (self.records, self.bytes, self.snapshot_asked) = (0, 0, false);
        }
        Ok(())
    }

    fn append(&mut self, group: &mut Group) -> Result<(), GivenUp> {
        let entries = std::mem::take(&mut group.entries);
        self.bytes += std::mem::take(&mut group.bytes);
        if entries.is_empty() {
            Ok(())
        } else {
            self.until_written(|writer| writer.store.append(&entries).map_err(io::Error::other))
        }
    }

    fn commit(&mut self, mut group: Group) -> Result<(), GivenUp> {
        self.append(&mut group)?;
        for number in group.over {
            let path = self.data.secrets(number);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    complain!("gcs: the secrets of job {number} stay in {}: {error}", path.display());
                }
                _ => {}
            }
        }
        if !group.held.is_empty() {
            let released = group.held.into_iter().map(|effect| self.release(effect)).collect();
            let _the_head_ends = self.events.send(Event::Released(released));
        }
        if !self.snapshot_asked && (self.records >= RECORDS_KEPT || self.bytes >= BYTES_KEPT) {
            self.snapshot_asked = true;
            self.grown.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A disk that is full now has room later; until then nobody is told anything.
    fn until_written(&mut self, mut write: impl FnMut(&mut Self) -> io::Result<()>) -> Result<(), GivenUp> {
        while let Err(error) = write(self) {
            if self.stuck.send_replace(Some(error.to_string())).is_none() {
                complain!("gcs: nothing can be written down, so nothing is accepted; trying every second: {error}");
            }
            match self.closed.recv_timeout(RETRY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Err(GivenUp),
            }
        }
        if self.stuck.send_if_modified(|why| why.take().is_some()) {
            complain!("gcs: what waited is written down; jobs are accepted again");
        }
        Ok(())
    }

    fn release(&self, effect: Effect) -> Released {
        if let Effect::Forgotten { number } = effect {
            self.remove_files(number);
        }
        let Effect::StartJob { node, number, held } = effect else { return Released::Effect(Box::new(effect)) };
        match self.stored(number) {
            Ok(Some(stored)) => {
                let spec = stored.start(&self.data, number);
                let message = GcsToRaylet::StartJob { number, held, spec };
                Released::Effect(Box::new(Effect::ToRaylet { node, message }))
            }
            Ok(None) => {
                Released::CannotStart { node, number, why: "the event log does not have what to run".to_owned() }
            }
            Err(why) => Released::CannotStart { node, number, why },
        }
    }

    /// On a thread of its own: the next group does not wait for a large directory.
    fn remove_files(&self, number: u64) {
        let directory = self.data.job(number);
        let removing = std::thread::Builder::new().name("iosdk-remove".to_owned()).spawn(move || {
            match std::fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    complain!(
                        "gcs: the files of job {number}, which is forgotten, stay: {}: {error}",
                        directory.display()
                    );
                }
                _ => {}
            }
        });
        if let Err(error) = removing {
            complain!("gcs: the files of job {number}, which is forgotten, stay until the next start: {error}");
        }
    }

    fn stored(&self, number: u64) -> Result<Option<Stored>, String> {
        let Some(bytes) = self.store.blob(&key(number)).map_err(|error| error.to_string())? else { return Ok(None) };
        let stored = Stored::decode(&bytes);
        stored.map(Some).map_err(|error| format!("what the event log has of job {number} cannot be read: {error}"))
    }
}

impl Group {
    fn push(&mut self, entry: Entry) {
        self.bytes += match &entry {
            Entry::Record(bytes) | Entry::PutBlob { bytes, .. } => bytes.len(),
            Entry::DropBlob { key } => key.len(),
        };
        self.entries.push(entry);
    }
}

fn report(error: String) -> Option<Stored> {
    complain!("gcs: {error}");
    None
}
