//! Usage: books what nodes say was held, each line once and in order, and sums it as amount x nanoseconds.

use crate::{Effect, Gcs, Record};
use iosdk_types::message::GcsToRaylet;
use iosdk_types::{Amount, JobId, Map, ResourceSet, UsageObject, UsageRecord};
use serde::{Deserialize, Serialize};

/// Who pays for what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Account {
    pub tenant: String,
    /// Who submitted the job; empty for a driver that nobody submitted.
    pub user: String,
    pub work: Work,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Work {
    /// A submitted job and all its drivers.
    Submission(u64),
    Driver(JobId),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sum {
    /// Ten-thousandths of a unit (as in `Amount`) times nanoseconds, by resource.
    pub held: Map<String, u128>,
    pub used_cpu_ns: u128,
}

/// One line of the answer to who asks for usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    pub account: Account,
    /// While that job is not deleted.
    pub submission_id: Option<String>,
    pub sum: Sum,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Booked {
    accounts: Map<Account, Sum>,
    /// By node and incarnation.
    streams: Map<(u32, u32), Stream>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Stream {
    /// The last line that is booked.
    seq: u64,
    /// The node's own clock, as far as its lines reach.
    first_ns: u64,
    last_ns: u64,
    held: Map<String, u128>,
    /// What is booked of each object that may still say more. Of a submitted job's entrypoint, the next incarnation may: the
    /// processor time of its whole life, whoever told it before.
    open: Map<UsageObject, Sum>,
    /// The most this incarnation had; empty when it never joined.
    capacity: ResourceSet,
}

impl Booked {
    fn seq(&self, node: u32, epoch: u32) -> u64 {
        self.streams.get(&(node, epoch)).map_or(0, |stream| stream.seq)
    }

    pub(crate) fn capacity(&mut self, node: u32, epoch: u32, resources: &ResourceSet) {
        let stream = self.streams.entry((node, epoch)).or_default();
        for (name, amount) in resources.iter() {
            let most = stream.capacity.get(name).max(amount);
            stream.capacity.set(name, most);
        }
    }

    pub(crate) fn book<'a>(
        &mut self,
        node: u32,
        epoch: u32,
        records: &[UsageRecord],
        user_of: impl Fn(u64) -> Option<&'a str>,
    ) {
        for record in records {
            if record.seq <= self.seq(node, epoch) {
                continue;
            }
            let told = self.entrypoint_used(record.object);
            let (work, user) = match record.submission {
                Some(number) => (Work::Submission(number), user_of(number)),
                None => (Work::Driver(record.job), Some("")),
            };
            // The last lines may come after the job was deleted.
            let booked = |account: &&Account| account.work == work && account.tenant == record.tenant;
            let before = || self.accounts.keys().find(booked).map(|account| account.user.clone());
            let user = user.map(str::to_owned).or_else(before).unwrap_or_default();
            let account = Account { tenant: record.tenant.clone(), user, work };
            let stream = self.streams.entry((node, epoch)).or_default();
            stream.take(record, told, self.accounts.entry(account).or_default());
        }
    }

    fn entrypoint_used(&self, object: UsageObject) -> u128 {
        match object {
            UsageObject::Job(_) => {
                let told = self.streams.values().filter_map(|stream| stream.open.get(&object));
                told.map(|sum| sum.used_cpu_ns).max().unwrap_or(0)
            }
            UsageObject::Lease(_) | UsageObject::Actor(_) => 0,
        }
    }

    /// No node has given more than it had for as long as it was seen.
    pub(crate) fn check(&self) -> Result<(), String> {
        for ((node, epoch), stream) in self.streams.iter().filter(|(_, stream)| !stream.capacity.is_empty()) {
            let seen = u128::from(stream.last_ns.saturating_sub(stream.first_ns));
            for (name, held) in &stream.held {
                let most = amount_of(stream.capacity.get(name)).saturating_mul(seen);
                if *held > most {
                    return Err(format!(
                        "USE-1: node {node} (incarnation {epoch}) gave {held} of {name} in {seen} ns; it has {} at a time, {most} in all",
                        stream.capacity.get(name)
                    ));
                }
            }
        }
        Ok(())
    }
}

fn amount_of(amount: Amount) -> u128 {
    u128::try_from(amount.0).unwrap_or(0)
}

impl Stream {
    /// `told`: processor time of it that is booked, in whatever stream.
    fn take(&mut self, record: &UsageRecord, told: u128, sum: &mut Sum) {
        self.first_ns = if self.seq == 0 { record.start_ns } else { self.first_ns.min(record.start_ns) };
        self.last_ns = self.last_ns.max(record.end_ns);
        self.seq = record.seq;
        let mut booked = self.open.remove(&record.object).unwrap_or_default();
        let lasted = u128::from(record.end_ns.saturating_sub(record.start_ns));
        for (name, amount) in record.resources.iter() {
            let total = amount_of(amount).saturating_mul(lasted);
            let before = booked.held.get(name).copied().unwrap_or(0);
            let more = total.saturating_sub(before);
            add(&mut booked.held, name, more);
            add(&mut self.held, name, more);
            add(&mut sum.held, name, more);
        }
        let known = booked.used_cpu_ns.max(told);
        booked.used_cpu_ns = known.max(u128::from(record.used_cpu_ns));
        sum.used_cpu_ns += booked.used_cpu_ns - known;
        if !record.open {
            booked.held.clear();
        }
        if record.open || matches!(record.object, UsageObject::Job(_)) {
            self.open.insert(record.object, booked);
        }
    }
}

fn add(sums: &mut Map<String, u128>, name: &str, more: u128) {
    match sums.get_mut(name) {
        Some(sum) => *sum = sum.saturating_add(more),
        None => {
            sums.insert(name.to_owned(), more);
        }
    }
}

impl Gcs {
    /// Books what follows without a gap, and says how far it came: after a gap the node begins again there.
    pub(crate) fn usage(&mut self, node: u32, epoch: u32, mut records: Vec<UsageRecord>, out: &mut Vec<Effect>) {
        let known = self.kept.lasting.nodes.get(&node).map(|incarnation| incarnation.epoch);
        if known.is_none_or(|newest| epoch > newest) {
            return;
        }
        let before = self.kept.lasting.usage.seq(node, epoch);
        records.sort_by_key(|record| record.seq);
        let mut seq = before;
        records.retain(|record| {
            let next = seq.checked_add(1) == Some(record.seq);
            seq += u64::from(next);
            next
        });
        if !records.is_empty() {
            self.write(Record::UsageBooked { node, epoch, records }, out);
        }
        out.push(Effect::ToRaylet { node, message: GcsToRaylet::UsageNoted { epoch, seq } });
    }

    pub(crate) fn usage_lines(&self, tenant: Option<&str>) -> Vec<UsageLine> {
        let id_of = |work: Work| match work {
            Work::Submission(number) => self.kept.job(number).map(|job| job.submission_id.clone()),
            Work::Driver(_) => None,
        };
        self.kept
            .lasting
            .usage
            .accounts
            .iter()
            .filter(|(account, _)| tenant.is_none_or(|tenant| account.tenant == tenant))
            .map(|(account, sum)| UsageLine {
                account: account.clone(),
                submission_id: id_of(account.work),
                sum: sum.clone(),
            })
            .collect()
    }
}
