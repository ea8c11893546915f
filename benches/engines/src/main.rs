//! What embedded engines cost as the event log: durable commits a second by the size of the group, opening again and
//! reading a million records, bytes on the disk. `cargo run --release --manifest-path benches/engines/Cargo.toml`; the folder is below TMPDIR.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use iosdk_gcs_log::{Entry, EventStore};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RECORD: usize = 200;
const RECORDS: usize = 1_000_000;
const GROUPS: [usize; 4] = [1, 10, 100, 1000];
/// How long commits of one size are counted in a round.
const SPAN: Duration = Duration::from_millis(500);
const ROUNDS: usize = 9;

trait Engine: Sized {
    const NAME: &str;
    fn open(dir: &Path) -> Self;
    /// All of them or none, durable on return.
    fn commit(&mut self, group: &[Vec<u8>]);
    /// Everything that was committed, in order. Given to whoever opens it.
    fn recover(dir: &Path) -> Vec<Vec<u8>>;
}

struct Plain(Box<dyn EventStore>);

impl Engine for Plain {
    const NAME: &str = "iosdk-gcs-log";

    fn open(dir: &Path) -> Self {
        Self(iosdk_gcs_log::open(dir).expect("opens").store)
    }

    fn commit(&mut self, group: &[Vec<u8>]) {
        let entries: Vec<Entry> = group.iter().cloned().map(Entry::Record).collect();
        self.0.append(&entries).expect("appended");
    }

    fn recover(dir: &Path) -> Vec<Vec<u8>> {
        iosdk_gcs_log::open(dir).expect("opens").records
    }
}

struct Redb {
    database: redb::Database,
    next: u64,
}

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

impl Engine for Redb {
    const NAME: &str = "redb 4.6";

    fn open(dir: &Path) -> Self {
        Self { database: redb::Database::create(dir.join("redb")).expect("opens"), next: 0 }
    }

    fn commit(&mut self, group: &[Vec<u8>]) {
        let write = self.database.begin_write().expect("begun");
        {
            let mut table = write.open_table(TABLE).expect("a table");
            for record in group {
                table.insert(self.next, record.as_slice()).expect("inserted");
                self.next += 1;
            }
        }
        write.commit().expect("committed");
    }

    fn recover(dir: &Path) -> Vec<Vec<u8>> {
        let opened = Self::open(dir);
        let read = opened.database.begin_read().expect("begun");
        let table = read.open_table(TABLE).expect("a table");
        table.iter().expect("a range").map(|row| row.expect("a row").1.value().to_vec()).collect()
    }
}

struct Fjall {
    database: Database,
    records: Keyspace,
    next: u64,
}

impl Engine for Fjall {
    const NAME: &str = "fjall 3.1";

    fn open(dir: &Path) -> Self {
        let database = Database::builder(dir).open().expect("opens");
        let records = database.keyspace("records", KeyspaceCreateOptions::default).expect("a keyspace");
        Self { database, records, next: 0 }
    }

    fn commit(&mut self, group: &[Vec<u8>]) {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for record in group {
            batch.insert(&self.records, self.next.to_be_bytes(), record.as_slice());
            self.next += 1;
        }
        batch.commit().expect("committed");
    }

    fn recover(dir: &Path) -> Vec<Vec<u8>> {
        let opened = Self::open(dir);
        opened.records.iter().map(|row| row.value().expect("a row").to_vec()).collect()
    }
}

struct Sqlite(rusqlite::Connection);

impl Engine for Sqlite {
    const NAME: &str = "SQLite (rusqlite 0.43)";

    fn open(dir: &Path) -> Self {
        let connection = rusqlite::Connection::open(dir.join("sqlite")).expect("opens");
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
            )
            .expect("a table");
        Self(connection)
    }

    fn commit(&mut self, group: &[Vec<u8>]) {
        let transaction = self.0.transaction().expect("begun");
        {
            let mut insert = transaction.prepare("INSERT INTO records (bytes) VALUES (?1)").expect("a statement");
            for record in group {
                insert.execute([record]).expect("inserted");
            }
        }
        transaction.commit().expect("committed");
    }

    fn recover(dir: &Path) -> Vec<Vec<u8>> {
        let opened = Self::open(dir);
        let mut select = opened.0.prepare("SELECT bytes FROM records ORDER BY number").expect("a statement");
        let rows = select.query_map([], |row| row.get(0)).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }
}

/// A folder that is gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("iosdk-log-bench-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a new folder");
        Self(dir)
    }

    fn bytes(&self) -> u64 {
        fn below(path: &Path) -> u64 {
            let meta = std::fs::metadata(path).expect("there");
            if meta.is_file() {
                return meta.len();
            }
            std::fs::read_dir(path).expect("a folder").map(|entry| below(&entry.expect("an entry").path())).sum()
        }
        below(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("removed");
    }
}

/// No two are alike, and no two words of one: nothing to gain for what compresses.
fn records(from: usize, count: usize) -> Vec<Vec<u8>> {
    let word =
        |n: usize| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let record = |n: usize| (0..RECORD / 8).flat_map(|at| word(n * RECORD + at).to_le_bytes()).collect();
    (from..from + count).map(record).collect()
}

/// Commits a second of groups of this size.
fn commits<E: Engine>(size: usize) -> f64 {
    let scratch = Scratch::new();
    let mut engine = E::open(&scratch.0);
    let group = records(0, size);
    let start = Instant::now();
    let mut commits = 0_u32;
    while start.elapsed() < SPAN {
        engine.commit(&group);
        commits += 1;
    }
    f64::from(commits) / start.elapsed().as_secs_f64()
}

/// How long opening and reading takes, and how many bytes a record takes on the disk.
fn recovery<E: Engine>() -> (Duration, f64) {
    let scratch = Scratch::new();
    let mut engine = E::open(&scratch.0);
    for start in (0..RECORDS).step_by(1000) {
        engine.commit(&records(start, 1000));
    }
    drop(engine);
    let bytes = scratch.bytes();
    let start = Instant::now();
    let found = E::recover(&scratch.0);
    let took = start.elapsed();
    assert!(found.len() == RECORDS && found[RECORDS - 1] == records(RECORDS - 1, 1)[0], "{} lost some", E::NAME);
    (took, bytes as f64 / RECORDS as f64)
}

struct Row {
    name: &'static str,
    commits: fn(usize) -> f64,
    recovery: fn() -> (Duration, f64),
}

fn row<E: Engine>() -> Row {
    Row { name: E::NAME, commits: commits::<E>, recovery: recovery::<E> }
}

fn main() {
    let rows = [row::<Plain>(), row::<Redb>(), row::<Fjall>(), row::<Sqlite>()];
    println!("commits a second by records of {RECORD} bytes in a group: middle (least to most) of {ROUNDS} rounds");
    print!("{:<24}", "");
    GROUPS.iter().for_each(|size| print!("{size:>24}"));
    println!();
    let mut rates = [[[0.0; ROUNDS]; GROUPS.len()]; 4];
    // In turns: a disk that others use is fast and slow by the minute.
    for round in 0..ROUNDS {
        for (group, size) in GROUPS.into_iter().enumerate() {
            for (rates, row) in rates.iter_mut().zip(&rows) {
                rates[group][round] = (row.commits)(size);
            }
        }
    }
    for (rates, row) in rates.iter_mut().zip(&rows) {
        print!("{:<24}", row.name);
        for rates in rates {
            rates.sort_by(f64::total_cmp);
            let text = format!("{:.0} ({:.0} to {:.0})", rates[ROUNDS / 2], rates[0], rates[ROUNDS - 1]);
            print!("{text:>24}");
        }
        println!();
    }
    println!("opening and reading {RECORDS} records, bytes of the disk for each");
    for row in &rows {
        let (took, bytes) = (row.recovery)();
        println!("{:<24}{:>12.2} s{bytes:>12.1}", row.name, took.as_secs_f64());
    }
}
