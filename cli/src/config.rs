//! The daemon's configuration as `init` and `start` hand it over: JSON, checked, defaults filled in from this machine.

use iosdk_raylet::{Config, Environment, hardware};
use iosdk_types::{Amount, ResourceSet};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// What a node has, in both. Their fields are said again below: serde cannot flatten a struct and refuse unknown names too.
#[derive(Deserialize)]
struct Has {
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    resources: Option<BTreeMap<String, f64>>,
    memory: Option<u64>,
    object_store_memory: Option<u64>,
    infeasible_waits: Option<bool>,
    tmpdir: Option<PathBuf>,
}

/// A private cluster.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateGiven {
    python: PathBuf,
    #[serde(default)]
    sys_path: Vec<String>,
    namespace: Option<String>,
    log_to_driver: Option<bool>,
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    resources: Option<BTreeMap<String, f64>>,
    memory: Option<u64>,
    object_store_memory: Option<u64>,
    infeasible_waits: Option<bool>,
    tmpdir: Option<PathBuf>,
}

/// A head.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadGiven {
    data_dir: PathBuf,
    /// How to run this command line again.
    program: Vec<String>,
    port: Option<u16>,
    slots: Option<usize>,
    jobs_kept: Option<usize>,
    #[serde(default)]
    one_process: bool,
    labels: Option<BTreeMap<String, String>>,
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    resources: Option<BTreeMap<String, f64>>,
    memory: Option<u64>,
    object_store_memory: Option<u64>,
    infeasible_waits: Option<bool>,
    tmpdir: Option<PathBuf>,
}

pub(crate) struct PrivateConfig {
    pub(crate) node: Config,
    pub(crate) environment: Environment,
    pub(crate) namespace: String,
    pub(crate) log_to_driver: bool,
}

pub(crate) struct HeadConfig {
    pub(crate) node: Config,
    pub(crate) data: PathBuf,
    pub(crate) program: Vec<OsString>,
    pub(crate) port: u16,
    pub(crate) slots: usize,
    pub(crate) jobs_kept: usize,
    pub(crate) one_process: bool,
}

/// Names with an argument of their own.
const NAMED: [&str; 4] = ["CPU", "GPU", "memory", "object_store_memory"];
/// The address under which a node that is alone knows itself.
const NODE_IP: &str = "127.0.0.1";
/// Of the HTTP API: where Ray's dashboard is.
pub(crate) const PORT: u16 = 8265;
/// Jobs that are over and remembered.
pub(crate) const JOBS_KEPT: usize = 10_000;

fn given<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

pub(crate) fn private(json: &str) -> Result<PrivateConfig, String> {
    let given: PrivateGiven = given(json)?;
    let PrivateGiven { num_cpus, num_gpus, resources, memory, object_store_memory, infeasible_waits, tmpdir, .. } =
        given;
    let has = Has { num_cpus, num_gpus, resources, memory, object_store_memory, infeasible_waits, tmpdir };
    Ok(PrivateConfig {
        node: node(has)?,
        environment: Environment { python: given.python, sys_path: given.sys_path },
        namespace: given.namespace.unwrap_or_default(),
        log_to_driver: given.log_to_driver.unwrap_or(true),
    })
}

pub(crate) fn head(json: &str) -> Result<HeadConfig, String> {
    let given: HeadGiven = given(json)?;
    if given.labels.as_ref().is_some_and(|labels| !labels.is_empty()) {
        return Err("labels: scheduling by labels is not there yet".to_owned());
    }
    if given.program.is_empty() {
        return Err("program: the words that run this command line are missing".to_owned());
    }
    if !given.data_dir.is_absolute() {
        return Err(format!("data_dir: {} is not an absolute path", given.data_dir.display()));
    }
    let HeadGiven { num_cpus, num_gpus, resources, memory, object_store_memory, infeasible_waits, tmpdir, .. } = given;
    let has = Has { num_cpus, num_gpus, resources, memory, object_store_memory, infeasible_waits, tmpdir };
    Ok(HeadConfig {
        node: node(has)?,
        data: given.data_dir,
        program: given.program.into_iter().map(OsString::from).collect(),
        port: given.port.unwrap_or(PORT),
        slots: given.slots.unwrap_or(0),
        jobs_kept: given.jobs_kept.unwrap_or(JOBS_KEPT),
        one_process: given.one_process,
    })
}

fn node(has: Has) -> Result<Config, String> {
    let arena_limit = match has.object_store_memory {
        Some(bytes) => bytes,
        None => hardware::default_arena_limit().map_err(|error| format!("object_store_memory: {error}"))?,
    };
    Ok(Config {
        resources: resources(&has, arena_limit)?,
        arena_limit,
        infeasible_waits: has.infeasible_waits.unwrap_or(false),
        tmpdir: has.tmpdir.unwrap_or_else(tmpdir),
    })
}

fn resources(has: &Has, arena_limit: u64) -> Result<ResourceSet, String> {
    let memory = match has.memory {
        Some(bytes) => bytes,
        None => hardware::memory().map_err(|error| format!("memory: {error}"))?.saturating_sub(arena_limit),
    };
    let mut all = ResourceSet::new()
        .with("CPU", amount("num_cpus", has.num_cpus.unwrap_or_else(|| f64::from(hardware::cpus())))?)
        .with("GPU", amount("num_gpus", has.num_gpus.unwrap_or(0.0))?)
        .with("memory", bytes("memory", memory)?)
        .with("object_store_memory", bytes("object_store_memory", arena_limit)?)
        .with(&format!("node:{NODE_IP}"), Amount::ONE)
        .with("node:__internal_head__", Amount::ONE);
    for (name, value) in has.resources.iter().flatten() {
        if NAMED.contains(&name.as_str()) || name.starts_with("node:") {
            return Err(format!("resources: {name:?} cannot be given here"));
        }
        all.set(name, amount(name, *value)?);
    }
    Ok(all)
}

fn amount(name: &str, value: f64) -> Result<Amount, String> {
    let amount = Amount::from_f64(value).filter(|amount| amount.0 >= 0);
    amount.ok_or_else(|| format!("{name}: {value} is not an amount, which is finite and not negative"))
}

fn bytes(name: &str, value: u64) -> Result<Amount, String> {
    let units = i64::try_from(value).ok().filter(|units| units.checked_mul(Amount::ONE.0).is_some());
    units.map(Amount::units).ok_or_else(|| format!("{name}: {value} bytes are too many"))
}

fn tmpdir() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("IOSDK_TMPDIR").or_else(|| set("TMPDIR")).map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_comes_from_the_machine() {
        let config = private(r#"{"python": "/usr/bin/python3", "num_cpus": null}"#).unwrap();
        let node = &config.node;
        assert!(node.resources.get("CPU") >= Amount::ONE);
        assert!(node.resources.get("memory").0 > 0);
        assert_eq!(node.resources.get("object_store_memory"), Amount::units(node.arena_limit as i64));
        assert_eq!(node.resources.get("GPU").0, 0);
        assert!(config.log_to_driver && !node.infeasible_waits);
    }

    #[test]
    fn what_is_given_is_checked() {
        let config = |more: &str| private(&format!(r#"{{"python": "p", {more}}}"#)).map(|config| config.node);
        let good = config(r#""num_cpus": 0.5, "resources": {"x": 2}, "object_store_memory": 1000"#).unwrap();
        assert_eq!(good.resources.get("CPU"), Amount(5_000));
        assert_eq!(good.resources.get("x"), Amount::units(2));
        assert_eq!(good.arena_limit, 1_000);
        let bad = [
            (r#""num_cpus": -1"#, "num_cpus: -1"),
            (r#""resources": {"CPU": 1}"#, "\"CPU\" cannot be given"),
            (r#""resources": {"x": -0.5}"#, "x: -0.5"),
            (r#""memory": 9223372036854775807"#, "too many"),
            (r#""colour": 1"#, "colour"),
        ];
        for (more, expected) in bad {
            let error = config(more).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_head_needs_a_place_and_a_program() {
        let config = |more: &str| head(&format!(r#"{{"data_dir": "/d", "program": ["iosdk"]{more}}}"#));
        let good = config("").unwrap();
        assert_eq!((good.port, good.slots, good.one_process), (PORT, 0, false));
        assert!(config(r#", "labels": {"a": "b"}"#).err().unwrap().contains("not there yet"));
        assert!(head(r#"{"data_dir": "d", "program": ["iosdk"]}"#).err().unwrap().contains("absolute"));
        assert!(head(r#"{"data_dir": "/d", "program": []}"#).err().unwrap().contains("program"));
    }
}
