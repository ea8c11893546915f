//! What is held here, for whom and for how long: each lease, actor and submitted job as segments of constant resources, to the
//! nanosecond. Invariant: USE-1.
//!
//! Who is blocked and lends its CPU is not charged for it meanwhile. Who takes it back while the borrower still runs is charged
//! again from the moment at which the node's books are not below zero: so all together never pay for more than there is.
//!
//! While something is held, its lines are sent once a second. So what an open lease books after a `kill -9` of the node: at
//! most one second is missing (as long as the link to the GCS was up). The processor time of a process since it was measured
//! last goes with its death.

use crate::account::{Account, Line};
use crate::capacity::{Holder, Journal};
use crate::endings::{end_of_actor, end_of_job, end_of_process};
use crate::processes::Phase;
use crate::{Effect, Raylet};
use iosdk_types::message::{ActorDeath, RayletToGcs};
use iosdk_types::{
    Address, Amount, Death, JobId, JobReport, Map, ResourceSet, Set, Span, Time, UsageObject, UsageRecord,
};

const FLUSH: Span = Span::from_secs(1);
/// Of everybody, until somebody else is known.
const TENANT: &str = "default";

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Payer {
    object: UsageObject,
    job: JobId,
    submission: Option<u64>,
    name: String,
}

/// From `since` on, this much.
#[derive(Clone, Debug)]
struct Segment {
    payer: Payer,
    charged: ResourceSet,
    since: Time,
    used_cpu_ns: u64,
    /// An open line of it was sent.
    said: bool,
}

impl Segment {
    fn record(&self, end: Time, open: bool, cause: &str) -> UsageRecord {
        let Payer { object, job, submission, name } = self.payer.clone();
        UsageRecord {
            seq: 0,
            object,
            job,
            submission,
            tenant: TENANT.to_owned(),
            name,
            resources: self.charged.clone(),
            start_ns: self.since.0,
            end_ns: end.0,
            open,
            used_cpu_ns: self.used_cpu_ns,
            cause: cause.to_owned(),
        }
    }

    /// A lease that waits and holds nothing meanwhile needs no line.
    fn says_something(&self) -> bool {
        let is_lease = matches!(self.payer.object, UsageObject::Lease(_));
        self.said || !is_lease || !self.charged.is_empty() || self.used_cpu_ns > 0
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    open: Map<Holder, Segment>,
    /// They took something back that is not there yet.
    owed: Set<Holder>,
    /// Jobs that an earlier incarnation of the daemon began.
    found: Set<Holder>,
    /// Ended leases whose worker is just being measured.
    measured: Vec<(u32, Line)>,
    account: Account,
    /// Why those who hold nothing any more have ended, as of this moment.
    causes: Map<Holder, String>,
    /// Processor time of each process when it was last looked at.
    cpu: Map<u32, u64>,
    /// Submitted jobs by the jobs of their processes.
    submissions: Map<JobId, u64>,
    due: Option<Time>,
    /// The answer to a question for processor time sends the lines.
    sends_when_measured: bool,
    /// A submitted job has ended: not later than now.
    urgent: bool,
    /// The link is new: what is not noted is said again.
    again: bool,
}

impl Meter {
    /// Of a driver here, or of an actor that a process elsewhere owns.
    pub(crate) fn submitted(&mut self, job: JobId, submission: Option<u64>) {
        self.submissions.extend(submission.map(|number| (job, number)));
    }

    pub(crate) fn submission_of(&self, job: JobId) -> Option<u64> {
        self.submissions.get(&job).copied()
    }

    /// The last of its processes here is dead.
    pub(crate) fn job_closed(&mut self, job: JobId) {
        self.submissions.remove(&job);
    }

    pub(crate) fn process_died(&mut self, number: u32, death: &Death, actor: Option<&ActorDeath>) {
        self.cpu.remove(&number);
        let holder = Holder::Process(number);
        if self.open.contains_key(&holder) {
            self.causes.insert(holder, actor.map_or_else(|| end_of_process(death), end_of_actor));
        }
    }

    pub(crate) fn link_up(&mut self) {
        self.again = true;
    }

    pub(crate) fn job_found(&mut self, number: u64) {
        self.found.insert(Holder::Job(number));
    }

    pub(crate) fn job_over(&mut self, number: u64, report: &JobReport) {
        let holder = Holder::Job(number);
        if let Some(segment) = self.open.get_mut(&holder) {
            segment.used_cpu_ns = report.cpu_ns;
            self.causes.insert(holder, end_of_job(report));
            self.urgent = true;
        }
    }

    pub(crate) fn noted(&mut self, seq: u64) {
        self.account.noted(seq);
    }

    fn is_idle(&self) -> bool {
        let quiet = self.open.is_empty() && self.measured.is_empty();
        quiet && !self.account.has_unsent() && !self.account.has_unnoted()
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Ends the holder's segment. A line of no length is none.
    fn close(&mut self, now: Time, holder: Holder, cause: &str) -> Option<Line> {
        let segment = self.open.remove(&holder)?;
        let has_length = segment.since < now || segment.said || segment.used_cpu_ns > 0;
        let says = has_length && segment.says_something();
        says.then(|| Line { record: segment.record(now, false, cause), said: segment.said })
    }

    /// The difference goes to the segment of this moment: that of a lease that has just ended, or the open one.
    fn book_cpu(&mut self, number: u32, used_ns: u64) {
        let more = self.cpu.insert(number, used_ns).map_or(0, |before| used_ns.saturating_sub(before));
        if let Some(at) = self.measured.iter().position(|(process, _)| *process == number) {
            let (_, mut line) = self.measured.remove(at);
            line.record.used_cpu_ns += more;
            self.account.add(line);
        } else if let Some(segment) = self.open.get_mut(&Holder::Process(number)) {
            segment.used_cpu_ns += more;
        }
    }

    fn number_lines(&mut self, now: Time) {
        // Who was not measured by now is dead.
        std::mem::take(&mut self.measured).into_iter().for_each(|(_, line)| self.account.add(line));
        let open = self.open.values_mut().filter(|segment| segment.says_something() && segment.since < now);
        self.account.send(open.map(|segment| {
            segment.said = true;
            segment.record(now, true, "")
        }));
    }
}

impl Raylet {
    /// After everything that happened in this moment: charges follow what is held now, and what is due is sent.
    pub(crate) fn meter(&mut self, now: Time, out: &mut Vec<Effect>) {
        if !self.config.meters {
            return;
        }
        let Journal { mut touched, mut took_back } = self.capacity.take_journal();
        took_back.append(&mut self.meter.found);
        let in_debt = self.capacity.available.iter().any(|(_, amount)| amount < Amount(0));
        if !in_debt {
            touched.extend(std::mem::take(&mut self.meter.owed));
        }
        for holder in touched {
            self.recharge(now, holder, took_back.contains(&holder), out);
        }
        if self.gcs.is_up() {
            self.send_usage(now, out);
        }
        if self.meter.is_idle() {
            self.meter.due = None;
        } else {
            self.meter.due.get_or_insert(now + FLUSH);
        }
    }

    fn recharge(&mut self, now: Time, holder: Holder, took_back: bool, out: &mut Vec<Effect>) {
        let was_owed = self.meter.owed.remove(&holder);
        let open = self.meter.open.get(&holder);
        let full = self.capacity.charged(holder, self.charges_lenders());
        let Some((payer, full)) = self.payer(holder).zip(full) else {
            return self.stop_charging(now, holder, out);
        };
        let is_same = open.is_some_and(|open| open.payer.object == payer.object);
        if !is_same {
            self.stop_charging(now, holder, out);
        }
        // What was granted was there. What is taken back, or found taken by an earlier daemon, may not be.
        let may_be_missing = took_back || (was_owed && is_same);
        let mut charged = full;
        for (name, _) in self.capacity.available.iter().filter(|(_, amount)| *amount < Amount(0)) {
            if may_be_missing && charged.get(name) > Amount(0) {
                charged.set(name, Amount(0));
                self.meter.owed.insert(holder);
            }
        }
        if self.meter.open.get(&holder).is_some_and(|open| open.charged == charged) {
            return;
        }
        let payer = self.meter.open.get(&holder).map_or(payer, |open| open.payer.clone());
        if let Some(line) = self.meter.close(now, holder, "another amount") {
            self.meter.account.add(line);
        }
        let segment = Segment { payer, charged, since: now, used_cpu_ns: 0, said: false };
        self.meter.open.insert(holder, segment);
        if let Holder::Process(number) = holder
            && !self.meter.cpu.contains_key(&number)
        {
            // What it has used before is nobody's.
            out.push(Effect::MeasureCpu { processes: vec![self.address(number)] });
        }
    }

    fn stop_charging(&mut self, now: Time, holder: Holder, out: &mut Vec<Effect>) {
        let alive = match holder {
            Holder::Process(number) => self.processes.live.contains_key(&number).then_some(number),
            Holder::Job(_) => None,
        };
        let cause = self.meter.causes.remove(&holder).unwrap_or_else(|| "returned".to_owned());
        let Some(line) = self.meter.close(now, holder, &cause) else { return };
        match alive {
            Some(number) => {
                self.meter.measured.push((number, line));
                out.push(Effect::MeasureCpu { processes: vec![self.address(number)] });
            }
            None => self.meter.account.add(line),
        }
    }

    fn payer(&self, holder: Holder) -> Option<Payer> {
        let number = match holder {
            Holder::Job(number) => {
                let (object, name) = (UsageObject::Job(number), self.jobs.name(number).to_owned());
                return Some(Payer { object, job: JobId::NIL, submission: Some(number), name });
            }
            Holder::Process(number) => number,
        };
        let (object, name) = match self.processes.phase(number) {
            Some(Phase::Leased(lease)) => (UsageObject::Lease(lease), String::new()),
            Some(Phase::Actor(actor)) => (UsageObject::Actor(actor), self.actors.class_of(actor)),
            // It ends, and holds what it held until it is dead.
            Some(Phase::Ending) => return self.meter.open.get(&holder).map(|open| open.payer.clone()),
            Some(Phase::Starting | Phase::Driver | Phase::Idle | Phase::Retiring) | None => return None,
        };
        let job = self.job_of(number)?;
        Some(Payer { object, job, submission: self.meter.submission_of(job), name })
    }

    fn send_usage(&mut self, now: Time, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.meter.again) {
            if self.renumbers_usage() {
                self.meter.account.renumber();
            }
            self.say_usage(out);
        }
        let is_due = self.meter.due.is_some_and(|due| due <= now);
        let may_begin = !self.meter.account.has_unnoted() && !self.meter.sends_when_measured;
        if is_due {
            self.meter.due = Some(now + FLUSH);
            if self.meter.account.has_unnoted() {
                return self.say_usage(out);
            }
        }
        let begins = is_due || (self.meter.urgent && may_begin);
        if !begins {
            return;
        }
        let unanswered = std::mem::take(&mut self.meter.sends_when_measured);
        let holders = self.meter.open.keys().filter_map(|holder| match holder {
            Holder::Process(number) => Some(self.address(*number)),
            Holder::Job(_) => None,
        });
        let processes: Vec<Address> = holders.collect();
        if processes.is_empty() || unanswered {
            return self.send_lines(now, out);
        }
        self.meter.sends_when_measured = true;
        out.push(Effect::MeasureCpu { processes });
    }

    pub(crate) fn cpu_used(&mut self, now: Time, used: &[(Address, u64)], out: &mut Vec<Effect>) {
        for (process, used_ns) in used {
            if let Some(number) = self.live(*process) {
                self.meter.book_cpu(number, *used_ns);
            }
        }
        if std::mem::take(&mut self.meter.sends_when_measured) && self.gcs.is_up() {
            self.send_lines(now, out);
        }
    }

    fn send_lines(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.meter.urgent = false;
        self.meter.number_lines(now);
        self.say_usage(out);
    }

    fn say_usage(&self, out: &mut Vec<Effect>) {
        let epoch = self.config.epoch;
        let messages = self.meter.account.unnoted().into_iter();
        out.extend(messages.map(|records| Effect::ToGcs(RayletToGcs::Usage { epoch, records })));
    }
}
