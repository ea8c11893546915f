//! USE-1: what is booked for a node never exceeds its capacity times the time, and is what was granted: to the nanosecond, once
//! all is quiet. What was granted is read off the scheduler's books after each step and added up here. Each line of a node's
//! account is booked once, in order.

use crate::check::{Verdict, broken};
use iosdk_gcs_core::Record;
use iosdk_types::{Address, Amount, Map, ResourceSet, Set, Span, Time, UsageObject, UsageRecord};

const NAME: &str = "USE-1";
/// The last line of what was held is booked by then, if the link is up.
const BOOKED_WITHIN: Span = Span(2_500_000_000);

/// A grant by its number, or a submitted job.
type Holder = Result<u64, u64>;
type Sums = Map<String, i128>;

/// One incarnation of a node.
#[derive(Default)]
struct Book {
    capacity: ResourceSet,
    born: Time,
    /// As of the last look.
    seen: Time,
    rate: ResourceSet,
    /// Since when nothing is held.
    idle_since: Time,
    took_back: Map<Holder, u32>,
    /// They took back what others still use.
    owed: Set<Holder>,
    granted: Sums,
    booked: Sums,
    open: Map<UsageObject, (Sums, u64)>,
    last_seq: u64,
    /// Processor time of each process when it was measured last, and of ended jobs.
    measured: Map<Address, u64>,
    of_jobs: u64,
    booked_cpu: u64,
}

#[derive(Default)]
pub struct Use1 {
    books: Map<(u32, u32), Book>,
}

impl Use1 {
    pub fn born(&mut self, node: u32, epoch: u32, now: Time, capacity: ResourceSet) {
        let book = Book { capacity, born: now, seen: now, idle_since: now, ..Book::default() };
        self.books.insert((node, epoch), book);
    }

    /// After a step of the raylet: who has what for itself, and how often it took back what it lent.
    pub fn granted(&mut self, node: u32, epoch: u32, now: Time, granted: Vec<(Holder, ResourceSet, u32)>) {
        if let Some(book) = self.books.get_mut(&(node, epoch)) {
            book.pass(now);
            book.look(now, granted);
        }
    }

    /// The daemon was killed: nothing is granted any more.
    pub fn ended(&mut self, node: u32, epoch: u32, now: Time) {
        self.granted(node, epoch, now, Vec::new());
    }

    pub fn measured(&mut self, process: Address, used_ns: u64) {
        if let Some(book) = self.books.get_mut(&(process.node, process.epoch)) {
            book.measured.insert(process, used_ns);
        }
    }

    pub fn job_used(&mut self, node: u32, epoch: u32, used_ns: u64) {
        if let Some(book) = self.books.get_mut(&(node, epoch)) {
            book.of_jobs += used_ns;
        }
    }

    /// A record is durable.
    pub fn written(&mut self, now: Time, record: &Record) -> Verdict {
        let Record::UsageBooked { node, epoch, records } = record else { return Ok(()) };
        let Some(book) = self.books.get_mut(&(*node, *epoch)) else {
            return broken(NAME, format!("lines of node {node}, incarnation {epoch}, which never was"));
        };
        book.pass(now);
        for line in records {
            if line.seq != book.last_seq + 1 {
                let text = format!("line {} of node {node} is booked after line {}", line.seq, book.last_seq);
                return broken(NAME, text);
            }
            book.last_seq = line.seq;
            book.add(line);
        }
        book.is_within(now).or_else(|text| broken(NAME, format!("node {node}, incarnation {epoch}: {text}")))
    }

    /// When all is quiet: true when everything that was granted had the time to be booked, and is.
    pub fn is_exact(&mut self, node: u32, epoch: u32, now: Time) -> Result<bool, crate::check::Violation> {
        let Some(book) = self.books.get_mut(&(node, epoch)) else { return Ok(false) };
        book.pass(now);
        if !book.rate.is_empty() || book.idle_since + BOOKED_WITHIN > now {
            return Ok(false);
        }
        let differs = book.granted.iter().find(|(name, granted)| book.booked.get(*name).unwrap_or(&0) != *granted);
        match differs {
            Some((name, granted)) => {
                let booked = book.booked.get(name).copied().unwrap_or(0);
                broken(NAME, format!("node {node} granted {granted} of {name}, booked are {booked}")).map(|()| false)
            }
            None => Ok(!book.granted.is_empty()),
        }
    }
}

impl Book {
    fn pass(&mut self, now: Time) {
        let span = i128::from((now - self.seen).0);
        self.seen = now;
        for (name, amount) in self.rate.iter() {
            *self.granted.entry(name.to_owned()).or_default() += i128::from(amount.0) * span;
        }
    }

    fn look(&mut self, now: Time, granted: Vec<(Holder, ResourceSet, u32)>) {
        let mut running = ResourceSet::new();
        granted.iter().for_each(|(_, has, _)| running.add(has));
        let too_much = |name: &str| running.get(name) > self.capacity.get(name);
        let in_debt = running.iter().any(|(name, _)| too_much(name));
        let mut owed = Set::new();
        let mut rate = ResourceSet::new();
        for (holder, has, times) in &granted {
            let came_back = self.took_back.get(holder).copied().unwrap_or(0) < *times;
            let mut charged = has.clone();
            if in_debt && (came_back || self.owed.contains(holder)) {
                for (name, _) in has.iter().filter(|(name, _)| too_much(name)) {
                    charged.set(name, Amount(0));
                    owed.insert(*holder);
                }
            }
            rate.add(&charged);
        }
        if !rate.is_empty() {
            self.idle_since = Time(u64::MAX);
        } else if self.idle_since == Time(u64::MAX) {
            self.idle_since = now;
        }
        self.rate = rate;
        self.owed = owed;
        self.took_back = granted.into_iter().map(|(holder, _, times)| (holder, times)).collect();
    }

    fn add(&mut self, line: &UsageRecord) {
        let (mut before, used_before) = self.open.remove(&line.object).unwrap_or_default();
        let span = i128::from(line.end_ns - line.start_ns);
        for (name, amount) in line.resources.iter() {
            let total = i128::from(amount.0) * span;
            let known = before.insert(name.to_owned(), total).unwrap_or(0);
            *self.booked.entry(name.to_owned()).or_default() += total - known;
        }
        self.booked_cpu += line.used_cpu_ns - used_before;
        if line.open {
            self.open.insert(line.object, (before, line.used_cpu_ns));
        }
    }

    fn is_within(&self, now: Time) -> Result<(), String> {
        let lived = i128::from((now - self.born).0);
        for (name, booked) in &self.booked {
            let granted = self.granted.get(name).copied().unwrap_or(0);
            let most = i128::from(self.capacity.get(name).0) * lived;
            if *booked > granted || *booked > most {
                return Err(format!("{booked} of {name} is booked, granted was {granted}, and there was {most}"));
            }
        }
        let used = self.measured.values().sum::<u64>() + self.of_jobs;
        if self.booked_cpu > used {
            return Err(format!("{} ns of processor time are booked, measured were {used}", self.booked_cpu));
        }
        Ok(())
    }
}
