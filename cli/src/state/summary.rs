//! `iosdk summary`: how many tasks, actors or objects there are, by name and state.

use super::ask;
use crate::address::Address;
use crate::client::block_on;
use crate::failure::{Done, failed};
use crate::printing::{Cell, Screen, counted, print, print_json, state_cell, visible};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Count tasks, actors or objects by name and state
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk summary tasks
  iosdk summary tasks --json | jq '.summary[].state_counts'
  iosdk summary actors | sort -t \"$(printf '\\t')\" -k1,1nr    in a pipe: columns with tabs between them, no header")]
pub(crate) struct Summary {
    kind: Counted,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

#[derive(Clone, Copy, ValueEnum)]
enum Counted {
    Tasks,
    Actors,
    Objects,
}

impl Counted {
    fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Actors => "actors",
            Self::Objects => "objects",
        }
    }
}

/// Ray's API counts by node or for the whole cluster; a head counts for the cluster.
#[derive(Deserialize)]
struct ByNode {
    node_id_to_summary: Whole,
    /// Who did not answer.
    #[serde(default)]
    partial_failure_warning: String,
}

#[derive(Deserialize)]
struct Whole {
    cluster: Value,
}

#[derive(Deserialize)]
struct Counts {
    summary: BTreeMap<String, Named>,
}

#[derive(Deserialize)]
struct Named {
    func_or_class_name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    state_counts: BTreeMap<String, u64>,
}

impl Summary {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let name = self.kind.name();
        let found: ByNode = block_on(ask(&client, &format!("{name}/summarize")))?;
        if !found.partial_failure_warning.is_empty() {
            eprintln!("iosdk: {}", visible(&found.partial_failure_warning));
        }
        let whole = found.node_id_to_summary.cluster;
        if self.json {
            print_json(&whole)?;
            return Ok(0);
        }
        let counts: Counts =
            serde_json::from_value(whole).map_err(|error| failed("the head's summary makes no sense", error))?;
        if counts.summary.is_empty() {
            eprintln!("iosdk: there are no {name}");
        } else {
            print(&table(&counts, Screen::stdout()))?;
        }
        Ok(0)
    }
}

/// A row for each state of each name, and their sum.
fn table(counts: &Counts, screen: Screen) -> String {
    let of = |named: &Named| -> Vec<[Cell; 4]> {
        let kind = named.kind.as_deref().unwrap_or("-");
        let row = |(state, count): (&String, &u64)| {
            [count_cell(screen, *count), state_cell(state), kind.into(), named.func_or_class_name.as_str().into()]
        };
        named.state_counts.iter().map(row).collect()
    };
    let mut rows: Vec<[Cell; 4]> = counts.summary.values().flat_map(of).collect();
    if rows.len() > 1 {
        let sum = counts.summary.values().flat_map(|named| named.state_counts.values()).sum();
        rows.push([count_cell(screen, sum), "-".into(), "-".into(), "all".into()]);
    }
    screen.table(["COUNT", "STATE", "TYPE", "NAME"], rows)
}

/// Programs read plain digits.
fn count_cell(screen: Screen, count: u64) -> Cell {
    if screen.is_terminal() { counted(count).into() } else { count.to_string().into() }
}
