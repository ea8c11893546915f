//! `iosdk get`: every field of one task, actor, object, node, job or worker.

use super::cells::shown;
use super::{Kind, Row, ask};
use crate::address::Address;
use crate::client::{block_on, segment};
use crate::failure::Done;
use crate::printing::{Screen, print, print_json};
use clap::Args;

/// Show one task, actor, object, node, job or worker
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk get tasks 16310a0f0a45af5cffffffffffffffffffffffff01000000
  iosdk get jobs train-1 --json | jq -r .status

`iosdk list KIND` shows the ids, `iosdk explain ID` says why one is where it is.")]
pub(crate) struct Get {
    kind: Kind,
    /// As `iosdk list` shows it
    id: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

impl Get {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let path = format!("{}/{}", self.kind.name(), segment(&self.id));
        let row: Row = block_on(ask(&client, &path))?;
        if self.json {
            print_json(&row)?;
        } else {
            print(&Screen::stdout().facts(&facts(&row)))?;
        }
        Ok(0)
    }
}

/// Ids first, then the state, as people read them.
fn facts(row: &Row) -> Vec<(&str, String)> {
    let rank = |key: &str| match key {
        _ if key.ends_with("_id") => 0,
        "state" | "status" => 1,
        _ => 2,
    };
    let known = row.iter().filter_map(|(key, value)| Some((key.as_str(), shown(key, value)?)));
    let mut facts: Vec<(&str, String)> = known.collect();
    facts.sort_by_key(|(key, _)| rank(key));
    facts
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_known_is_shown_ids_first() {
        let row = serde_json::json!({"creation_time_ms": 0, "name": "f", "state": "RUNNING", "task_id": "07", "actor_id": null});
        let expected =
            [("task_id", "07"), ("state", "RUNNING"), ("creation_time_ms", "1970-01-01 00:00:00Z"), ("name", "f")];
        assert_eq!(super::facts(row.as_object().unwrap()), expected.map(|(key, text)| (key, text.to_owned())));
    }
}
