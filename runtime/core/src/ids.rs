//! Names for what this process makes: derived from its address and a counter, so that nothing random is needed.

use iosdk_types::{ActorId, Address, JobId, ObjectId, TaskId};

pub(crate) struct Ids {
    job: JobId,
    next: u64,
    /// Puts are named after a task that never runs, 2^31 of them each.
    put_task: TaskId,
    puts: u32,
}

/// Spreads addresses over all 64-bit numbers, so that the ranges in which two processes count do not meet.
fn spread(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Ids {
    pub(crate) fn new(me: Address, job: JobId) -> Self {
        let start = spread(spread(u64::from(me.node) << 32 | u64::from(me.epoch)) ^ u64::from(me.process));
        let mut ids = Self { job, next: start, put_task: TaskId::NIL, puts: 0 };
        ids.put_task = ids.task(ActorId::none(job));
        ids
    }

    fn unique(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    pub(crate) fn task(&mut self, actor: ActorId) -> TaskId {
        TaskId::derive(self.unique().to_be_bytes(), actor)
    }

    pub(crate) fn plain_task(&mut self) -> TaskId {
        self.task(ActorId::none(self.job))
    }

    pub(crate) fn actor(&mut self) -> ActorId {
        let mut unique = [0; 12];
        unique[4..].copy_from_slice(&self.unique().to_be_bytes());
        ActorId::derive(unique, self.job)
    }

    pub(crate) fn put(&mut self) -> ObjectId {
        self.puts += 1;
        if self.puts == ObjectId::PUT {
            self.put_task = self.plain_task();
            self.puts = 1;
        }
        ObjectId::derive(self.put_task, ObjectId::PUT | self.puts)
    }
}
