//! `iosdk start --head`: configures a head, starts it and says what to do with it.

use crate::client::{Client, block_on};
use crate::config::PORT;
use crate::data_dir::DataDir;
use crate::failure::{Done, Failure};
use crate::job::json_object as object;
use crate::printing::{Colour, Screen, print, print_json};
use crate::quoting::quoted;
use crate::ray_flags::RayFlags;
use crate::spawn::{Spawned, spawn, stay};
use clap::{Args, ValueEnum};
use iosdk_http::ClusterInfo;
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Start a head on this machine
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk start --head
  iosdk start --head --num-cpus 8 --num-gpus 1 --memory 32GiB
  iosdk start --head --data-dir ~/heads/test --port 0      a second head, on any free port
  iosdk start --head --block                               in the foreground, for systemd and containers

It keeps running when the terminal is closed. What it has accepted survives its end: started again with the same data
directory, it goes on.")]
pub(crate) struct Start {
    /// Start a head: the one that jobs are submitted to
    #[arg(long, required = true)]
    head: bool,
    /// Stay in the foreground until the head ends; SIGTERM and Ctrl-C end it
    #[arg(long)]
    block: bool,
    /// Of the HTTP API, on this machine alone; 0: any that is free [default: 8265]
    #[arg(long)]
    port: Option<u16>,
    /// [default: what the machine has]
    #[arg(long, value_name = "N")]
    num_cpus: Option<f64>,
    /// [default: 0]
    #[arg(long, value_name = "N")]
    num_gpus: Option<f64>,
    /// For tasks, in bytes or with a unit: 8GiB [default: what the machine has]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// For objects [default: a share of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    object_store_memory: Option<u64>,
    /// Custom resources: {"tpu": 1}
    #[arg(long, value_name = "JSON")]
    resources: Option<String>,
    /// Of this node: zone=a,disk=ssd
    #[arg(long, value_name = "KEY=VALUE,...")]
    labels: Option<String>,
    /// Where everything lies that must last [default: $IOSDK_DATA_DIR, then ~/.local/state/iosdk/head]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// More jobs than so many wait in a queue
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_running_jobs: Option<u32>,
    /// Jobs that are over and remembered with their output; older ones are forgotten [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_jobs: Option<u32>,
    /// What no node can ever run: an error at once, or waiting for a node that can
    #[arg(long, value_enum, default_value = "raise")]
    infeasible: Infeasible,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ray: RayFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Infeasible {
    Raise,
    Wait,
}

/// It takes milliseconds.
const JOINING: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Start {
    pub(crate) fn run(self, program: &[OsString]) -> Done {
        let (port, notes) = self.ray.judge(self.port)?;
        notes.iter().for_each(|note| eprintln!("iosdk: {note}"));
        let dir = DataDir::given(self.data_dir.as_deref())?;
        let config = self.config(&dir, port.unwrap_or(PORT), program)?;
        dir.create()?;
        if dir.node()?.is_some() || dir.locked()? {
            let url = dir.head()?.map_or("which has no address yet".to_owned(), |head| format!("at {}", head.url));
            let text = format!("a head runs in {} already, {url}. `iosdk status` shows it", dir.path().display());
            return Err(Failure::Failed(text));
        }
        let spawned = spawn(program, &dir, &config)?;
        block_on(joined(&Client::local(dir.clone())))?;
        self.announce(&dir, &spawned)?;
        if self.block { stay(spawned) } else { Ok(0) }
    }

    /// What `iosdk head` is told. What is absent the head finds out from the machine.
    fn config(&self, dir: &DataDir, port: u16, program: &[OsString]) -> Result<Value, Failure> {
        let text = |word: &OsString| {
            word.to_str().map(str::to_owned).ok_or_else(|| Failure::Failed(format!("{word:?} must be UTF-8")))
        };
        let data_dir = text(&dir.path().as_os_str().to_owned())?;
        let program = program.iter().map(text).collect::<Result<Vec<String>, Failure>>()?;
        let resources = object("--resources", self.resources.as_deref())?;
        if let Some((name, value)) = resources.iter().find(|(_, value)| !value.is_number()) {
            return Err(Failure::Usage(format!("--resources: {name} must be a number, got {value}")));
        }
        let mut config = Map::new();
        let mut put = |name: &str, value: Option<Value>| value.map(|value| config.insert(name.to_owned(), value));
        put("data_dir", Some(data_dir.into()));
        put("port", Some(port.into()));
        put("slots", self.max_running_jobs.map(Value::from));
        put("jobs_kept", self.keep_jobs.map(Value::from));
        put("num_cpus", self.num_cpus.map(Value::from));
        put("num_gpus", self.num_gpus.map(Value::from));
        put("resources", Some(resources.into()));
        put("labels", Some(labels(self.labels.as_deref())?.into()));
        put("memory", self.memory.map(Value::from));
        put("object_store_memory", self.object_store_memory.map(Value::from));
        put("infeasible_waits", Some((self.infeasible == Infeasible::Wait).into()));
        put("one_process", Some(false.into()));
        put("program", Some(program.into()));
        Ok(config.into())
    }

    fn announce(&self, dir: &DataDir, spawned: &Spawned) -> Result<(), Failure> {
        let (url, token) = (&spawned.url, dir.token_file().display().to_string());
        let shown = dir.path().display().to_string();
        if self.json {
            let pid = spawned.child.id();
            let version = env!("CARGO_PKG_VERSION");
            return print_json(&json!({
                "url": url, "data_dir": shown, "token_file": token, "pid": pid, "version": version,
            }));
        }
        let screen = Screen::stdout();
        let (address, flag, option) = match &self.data_dir {
            None => ("auto".to_owned(), String::new(), String::new()),
            Some(_) => {
                let quoted = quoted(&shown);
                (shown, format!(" --address {quoted}"), format!(" --data-dir {quoted}"))
            }
        };
        let facts = screen.facts(&[
            ("from Python", format!("iosdk.init(address={address:?})")),
            ("a job", format!("iosdk job submit{flag} --working-dir . -- python train.py")),
            ("what it does", format!("iosdk status{flag}")),
            ("in a browser", format!("iosdk dashboard{flag}")),
            ("HTTP API", format!("{url}/api/ with the token in {token}")),
            ("stop it", format!("iosdk stop{option}")),
        ]);
        let runs = screen.paint(Colour::Green, &format!("The head runs: {url}"));
        print(&format!("{runs}\n\n{facts}"))
    }
}

/// Waits until the head has a node: before that jobs would wait, and `status` would say that it is not well.
async fn joined(client: &Client) -> Result<(), Failure> {
    let began = Instant::now();
    while client.get::<ClusterInfo>("/api/cluster").await?.nodes.iter().all(|node| !node.alive) {
        if began.elapsed() >= JOINING {
            let seconds = JOINING.as_secs();
            eprintln!(
                "iosdk: the head runs, and its node has not joined it within {seconds} s: `iosdk status` says when"
            );
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn labels(text: Option<&str>) -> Result<Map<String, Value>, Failure> {
    let mut labels = Map::new();
    for pair in text.into_iter().flat_map(|text| text.split(',')).filter(|pair| !pair.is_empty()) {
        let split = pair.split_once('=').filter(|(key, _)| !key.is_empty());
        let wrong = || Failure::Usage(format!("--labels must be KEY=VALUE,KEY=VALUE, got {pair:?}"));
        let (key, value) = split.ok_or_else(wrong)?;
        labels.insert(key.to_owned(), value.into());
    }
    Ok(labels)
}

/// Bytes, or a number and a unit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let wrong = || format!("must be bytes, or a number with one of KiB, MiB, GiB, TiB, KB, MB, GB, TB, got {text:?}");
    let unit = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let Some((number, unit)) = unit else { return text.parse().map_err(|_| wrong()) };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number * unit as f64;
    // Beyond 2^53 it would not be exact any more.
    if (0.0..9e15).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cli, Command};
    use clap::Parser;
    use std::path::Path;

    fn start(words: &[&str]) -> Start {
        match Cli::try_parse_from([&["iosdk", "start", "--head"], words].concat()).map(|cli| cli.command) {
            Ok(Command::Start(start)) => *start,
            _ => panic!("{words:?}"),
        }
    }

    #[test]
    fn options_become_the_heads_configuration() {
        let dir = DataDir::given(Some(Path::new("/d"))).unwrap();
        let program = ["python", "-c", "x"].map(OsString::from);
        let words = [
            "--num-cpus",
            "2.5",
            "--memory=1GiB",
            "--resources",
            r#"{"tpu": 1}"#,
            "--labels",
            "zone=a,disk=",
            "--max-running-jobs",
            "7",
            "--keep-jobs",
            "8",
            "--infeasible",
            "wait",
            "--disable-usage-stats",
            "--min-worker-port=1",
        ];
        let expected = json!({
            "data_dir": "/d", "port": 9, "slots": 7, "jobs_kept": 8, "num_cpus": 2.5, "memory": 1 << 30, "resources": {"tpu": 1},
            "labels": {"zone": "a", "disk": ""}, "infeasible_waits": true, "one_process": false,
            "program": ["python", "-c", "x"],
        });
        assert_eq!(start(&words).config(&dir, 9, &program).unwrap(), expected);
        for (words, expected) in
            [(["--resources", r#"{"a": "1"}"#], "a must be a number"), (["--labels", "a"], "KEY=VALUE")]
        {
            let error = start(&words).config(&dir, 9, &program).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.code(), 2);
        }
    }

    #[test]
    fn sizes_have_units() {
        let sizes = [("0", 0), ("1024", 1024), ("1.5KiB", 1536), ("2 GB", 2_000_000_000), ("1TiB", 1 << 40)];
        for (text, expected) in sizes {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for text in ["", "-1", "-1GiB", "1.5", "GiB", "1 XB", "nanKiB", "1e30TB"] {
            assert!(size(text).unwrap_err().contains("got"), "{text}");
        }
    }
}
