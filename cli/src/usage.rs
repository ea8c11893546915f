//! `iosdk usage`: what jobs held over time, in the units that people pay for.

use crate::address::Address;
use crate::client::block_on;
use crate::failure::Done;
use crate::printing::{Cell, Screen, print, print_json};
use clap::Args;
use form_urlencoded::Serializer;
use iosdk_http::UsageRow;
use serde_json::{Value, json};

/// Show CPU-, GPU- and memory-hours by job and user
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk usage                      every job, and the sum
  iosdk usage train-1              one job
  iosdk usage --user ann --csv > ann.csv

CPU-, GPU- and GiB-hours are what a job held, used or not. CPU-hours used are processor time.")]
pub(crate) struct Usage {
    /// Only this job (submission id)
    job: Option<String>,
    /// Only jobs of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// With a header, for a spreadsheet
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    address: Address,
}

const NS_PER_HOUR: u128 = 3_600_000_000_000;
/// Amounts are in ten-thousandths.
const PARTS: u128 = 10_000;
const GIB: u128 = 1 << 30;

/// Hours in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hours {
    cpu: u128,
    gpu: u128,
    memory_gib: u128,
    cpu_used: u128,
}

fn millionths(amount: u128, unit: u128) -> u128 {
    (amount / unit).saturating_mul(1_000_000).saturating_add(amount % unit * 1_000_000 / unit)
}

impl Hours {
    fn of(row: &UsageRow) -> Self {
        Self {
            cpu: millionths(row.cpu_amount_ns, NS_PER_HOUR * PARTS),
            gpu: millionths(row.gpu_amount_ns, NS_PER_HOUR * PARTS),
            memory_gib: millionths(row.memory_amount_ns, NS_PER_HOUR * PARTS * GIB),
            cpu_used: millionths(row.cpu_used_ns, NS_PER_HOUR),
        }
    }

    fn columns(self) -> [u128; 4] {
        [self.cpu, self.gpu, self.memory_gib, self.cpu_used]
    }
}

/// Of the amounts, so that small ones are not rounded away one by one.
fn sum(rows: &[UsageRow]) -> UsageRow {
    let add = |field: fn(&UsageRow) -> u128| rows.iter().map(field).fold(0, u128::saturating_add);
    UsageRow {
        user: String::new(),
        submission_id: "all".to_owned(),
        cpu_amount_ns: add(|row| row.cpu_amount_ns),
        gpu_amount_ns: add(|row| row.gpu_amount_ns),
        memory_amount_ns: add(|row| row.memory_amount_ns),
        cpu_used_ns: add(|row| row.cpu_used_ns),
    }
}

/// Exact to the last of `places` (at most 6), rounded down.
fn decimal(millionths: u128, places: usize) -> String {
    let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
    text[..text.len() - (6 - places)].to_owned()
}

fn csv(rows: &[UsageRow]) -> String {
    let field = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let line = |row: &UsageRow| {
        let hours = Hours::of(row).columns().map(|hours| decimal(hours, 6)).join(",");
        format!("{},{},{hours}\n", field(&row.submission_id), field(&row.user))
    };
    let header = "job,user,cpu_hours,gpu_hours,memory_gib_hours,cpu_hours_used\n";
    header.to_owned() + &rows.iter().map(line).collect::<String>()
}

/// The head's figures as they are, and the hours beside them.
fn with_hours(row: &UsageRow) -> Value {
    let [cpu, gpu, memory, used] = Hours::of(row).columns().map(|hours| hours as f64 / 1e6);
    json!({
        "user": row.user, "submission_id": row.submission_id,
        "cpu_hours": cpu, "gpu_hours": gpu, "memory_gib_hours": memory, "cpu_hours_used": used,
        "cpu_amount_ns": row.cpu_amount_ns.to_string(), "gpu_amount_ns": row.gpu_amount_ns.to_string(),
        "memory_amount_ns": row.memory_amount_ns.to_string(), "cpu_used_ns": row.cpu_used_ns.to_string(),
    })
}

impl Usage {
    pub(crate) fn run(self) -> Done {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.user.iter().map(|user| ("user", user)));
        query.extend_pairs(self.job.iter().map(|job| ("job", job)));
        let client = self.address.client()?;
        let rows: Vec<UsageRow> = block_on(client.get(&format!("/api/usage?{}", query.finish())))?;
        if self.json {
            print_json(&rows.iter().map(with_hours).collect::<Vec<Value>>())?;
        } else if self.csv {
            print(&csv(&rows))?;
        } else if rows.is_empty() {
            eprintln!("iosdk: no usage has been recorded for that yet");
        } else {
            print(&table(&rows, Screen::stdout()))?;
        }
        Ok(0)
    }
}

fn table(rows: &[UsageRow], screen: Screen) -> String {
    let total = (rows.len() > 1).then(|| sum(rows));
    let cells = |row: &UsageRow| -> [Cell; 6] {
        let [cpu, gpu, memory, used] = Hours::of(row).columns().map(|hours| decimal(hours, 3));
        [
            row.submission_id.as_str().into(),
            row.user.as_str().into(),
            cpu.into(),
            gpu.into(),
            memory.into(),
            used.into(),
        ]
    };
    let header = ["JOB", "USER", "CPU-HOURS", "GPU-HOURS", "GIB-HOURS", "CPU-HOURS USED"];
    screen.table(header, rows.iter().chain(&total).map(cells).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(job: &str) -> UsageRow {
        UsageRow {
            user: "Ann, \"A\"".into(),
            submission_id: job.into(),
            // Half a CPU for an hour, two GPUs for 90 minutes, 3 GiB for 20 minutes, 9 seconds of processor time.
            cpu_amount_ns: 5_000 * NS_PER_HOUR,
            gpu_amount_ns: 20_000 * NS_PER_HOUR * 3 / 2,
            memory_amount_ns: 3 * GIB * PARTS * NS_PER_HOUR / 3,
            cpu_used_ns: 9_000_000_000,
        }
    }

    #[test]
    fn amounts_become_hours() {
        assert_eq!(Hours::of(&row("a")).columns(), [500_000, 3_000_000, 1_000_000, 2_500]);
        assert_eq!(Hours::of(&sum(&[row("a"), row("b")])).columns(), [1_000_000, 6_000_000, 2_000_000, 5_000]);
        assert_eq!(decimal(2_500, 3), "0.002");
        assert_eq!(decimal(12_345_678, 6), "12.345678");
        assert_eq!(millionths(u128::MAX, 1), u128::MAX);
    }

    #[test]
    fn csv_can_be_read_back() {
        let expected = "job,user,cpu_hours,gpu_hours,memory_gib_hours,cpu_hours_used\n\
                        a,\"Ann, \"\"A\"\"\",0.500000,3.000000,1.000000,0.002500\n";
        assert_eq!(csv(&[row("a")]), expected);
        assert_eq!(with_hours(&row("a"))["cpu_hours"], 0.5);
        assert_eq!(with_hours(&row("a"))["cpu_amount_ns"], (5_000 * NS_PER_HOUR).to_string());
    }
}
