//! `iosdk status`: nodes, resources, jobs, and where the head and its files are.

use crate::address::Address;
use crate::client::{Client, block_on};
use crate::data_dir::HeadFile;
use crate::failure::{DEGRADED, Done, Failure};
use crate::printing::{Cell, Screen, bytes, duration, print, print_json};
use clap::Args;
use iosdk_http::{ClusterInfo, NodeInfo, VersionInfo};
use iosdk_types::Amount;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

/// Show nodes, resources, jobs, and where the head is
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk status
  iosdk status --json | jq -r .url
  iosdk status >/dev/null && echo well")]
pub(crate) struct Status {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

impl Status {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let (version, cluster) = block_on(async {
            Ok((client.get::<VersionInfo>("/api/version").await?, client.get::<ClusterInfo>("/api/cluster").await?))
        })?;
        let seen = Seen { own: Own::of(&client)?, version, cluster };
        if self.json {
            print_json(&seen.json())?
        } else {
            print(&seen.text(Screen::stdout()))?
        }
        match seen.trouble() {
            None => Ok(0),
            Some(text) => {
                eprintln!("iosdk: {text}");
                Ok(DEGRADED)
            }
        }
    }
}

struct Seen {
    own: Own,
    version: VersionInfo,
    cluster: ClusterInfo,
}

/// What only the head's own machine knows.
enum Own {
    Local { data_dir: String, token_file: String, head: Option<HeadFile>, gcs: Option<i32> },
    Remote { url: String },
}

impl Own {
    fn of(client: &Client) -> Result<Self, Failure> {
        Ok(match client {
            Client::Local(dir) => Self::Local {
                data_dir: dir.path().display().to_string(),
                token_file: dir.token_file().display().to_string(),
                head: dir.head()?,
                gcs: dir.gcs()?.map(|server| server.pid),
            },
            Client::Remote { host, port, .. } => Self::Remote { url: format!("http://{host}:{port}") },
        })
    }
}

impl Seen {
    fn trouble(&self) -> Option<String> {
        let lost: Vec<&str> = self.dead().map(|node| node.node_id.as_str()).collect();
        if self.cluster.nodes.len() == lost.len() {
            return Some("the head answers, and no node is alive: jobs wait".to_owned());
        }
        (!lost.is_empty()).then(|| format!("nodes that are not alive: {}", lost.join(", ")))
    }

    fn dead(&self) -> impl Iterator<Item = &NodeInfo> {
        self.cluster.nodes.iter().filter(|node| !node.alive)
    }

    fn json(&self) -> Value {
        let mut all = json!({
            "versions": self.version, "nodes": self.cluster.nodes,
            "jobs_queued": self.cluster.jobs_queued, "jobs_running": self.cluster.jobs_running,
        });
        match &self.own {
            Own::Remote { url } => all["url"] = json!(url),
            Own::Local { data_dir, token_file, head, gcs } => {
                all["data_dir"] = json!(data_dir);
                all["token_file"] = json!(token_file);
                all["gcs_pid"] = json!(gcs);
                if let Some(head) = head {
                    all["url"] = json!(head.url);
                    all["pid"] = json!(head.pid);
                    all["started_ms"] = json!(head.started_ms);
                }
            }
        }
        all
    }

    fn text(&self, screen: Screen) -> String {
        let mut facts = Vec::new();
        match &self.own {
            Own::Remote { url } => facts.push(("address", url.clone())),
            Own::Local { data_dir, token_file, head, gcs } => {
                if let Some(head) = head {
                    let up = since(head.started_ms).map_or(String::new(), |up| format!(", up {}", duration(up)));
                    facts.push(("address", head.url.clone()));
                    let gcs = gcs.filter(|gcs| *gcs != head.pid).map_or(String::new(), |gcs| format!(" (GCS {gcs})"));
                    facts.push(("process", format!("{}{gcs}{up}", head.pid)));
                }
                facts.push(("data", data_dir.clone()));
                facts.push(("token", token_file.clone()));
            }
        }
        let VersionInfo { iosdk_version, ray_version, version, .. } = &self.version;
        facts.push(("version", format!("{iosdk_version}, job API {version} of Ray {ray_version}")));
        let jobs = &self.cluster;
        facts.push(("jobs", format!("{} running, {} queued", jobs.jobs_running, jobs.jobs_queued)));
        let rows = self.cluster.nodes.iter().flat_map(rows).collect();
        screen.facts(&facts) + "\n" + &screen.table(["NODE", "ADDRESS", "STATE", "RESOURCE", "USED", "TOTAL"], rows)
    }
}

/// A row for each resource of the node.
fn rows(node: &NodeInfo) -> Vec<[Cell; 6]> {
    let state = match (node.alive, node.is_head) {
        (false, _) => "lost",
        (true, true) => "alive, head",
        (true, false) => "alive",
    };
    let names: BTreeSet<&str> = node.resources_total.iter().map(|(name, _)| name).collect();
    // What marks a node is nothing that anybody uses up.
    let shown = names.into_iter().filter(|name| !name.starts_with("node:"));
    let row = |name: &str| -> [Cell; 6] {
        let total = node.resources_total.get(name);
        let used = Amount(total.0 - node.resources_available.get(name).0);
        let text = |amount: Amount| if name.ends_with("memory") { in_bytes(amount) } else { amount.to_string() };
        [
            node.node_id.get(..12).unwrap_or(&node.node_id).into(),
            node.address.as_str().into(),
            state.into(),
            name.into(),
            text(used).into(),
            text(total).into(),
        ]
    };
    shown.map(row).collect()
}

fn in_bytes(amount: Amount) -> String {
    bytes(u64::try_from(amount.0 / Amount::ONE.0).unwrap_or(0))
}

/// None when the clock says that it was not yet.
fn since(started_ms: u64) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis();
    u64::try_from(now).ok()?.checked_sub(started_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use iosdk_types::ResourceSet;

    fn seen(alive: &[bool]) -> Seen {
        let node = |alive: &bool| NodeInfo {
            node_id: format!("{alive}-0123456789abcdef"),
            address: "127.0.0.1".into(),
            is_head: true,
            alive: *alive,
            resources_total: ResourceSet::new().with("CPU", Amount::units(2)).with("memory", Amount::units(3 << 30)),
            resources_available: ResourceSet::new().with("CPU", Amount(5_000)).with("memory", Amount::units(1 << 30)),
        };
        let text = || "1".to_owned();
        Seen {
            own: Own::Remote { url: "http://localhost:1".into() },
            version: VersionInfo {
                version: text(),
                ray_version: text(),
                ray_commit: text(),
                session_name: text(),
                iosdk_version: text(),
            },
            cluster: ClusterInfo { nodes: alive.iter().map(node).collect(), jobs_queued: 5, jobs_running: 1 },
        }
    }

    #[test]
    fn what_is_used_is_what_is_not_available() {
        let rows = rows(&seen(&[true]).cluster.nodes[0]);
        let rows: Vec<[&str; 6]> = rows.iter().map(|row| row.each_ref().map(Cell::text)).collect();
        assert_eq!(rows[0][3..], ["CPU", "1.5", "2"]);
        assert_eq!(rows[1][3..], ["memory", "2.0 GiB", "3.0 GiB"]);
    }

    #[test]
    fn a_node_that_is_lost_is_trouble() {
        assert_eq!(seen(&[true, true]).trouble(), None);
        assert!(seen(&[true, false]).trouble().unwrap().contains("false-0123456789abcdef"));
        assert!(seen(&[false]).trouble().unwrap().contains("no node is alive"));
        assert!(seen(&[]).trouble().unwrap().contains("no node is alive"));
    }
}
