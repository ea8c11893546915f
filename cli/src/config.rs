//! The daemon's configuration as `init` hands it over: JSON, checked, defaults filled in from this machine.

use iosdk_raylet::{Config, hardware};
use iosdk_types::{Amount, ResourceSet};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    python: PathBuf,
    #[serde(default)]
    sys_path: Option<Vec<String>>,
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    resources: Option<BTreeMap<String, f64>>,
    memory: Option<u64>,
    object_store_memory: Option<u64>,
    namespace: Option<String>,
    infeasible_waits: Option<bool>,
    log_to_driver: Option<bool>,
    tmpdir: Option<PathBuf>,
}

/// Names with an argument of their own.
const NAMED: [&str; 4] = ["CPU", "GPU", "memory", "object_store_memory"];
/// The address under which a node that is alone knows itself.
const NODE_IP: &str = "127.0.0.1";

pub(crate) fn read(json: &str) -> Result<Config, String> {
    let given: Given = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let arena_limit = match given.object_store_memory {
        Some(bytes) => bytes,
        None => hardware::default_arena_limit().map_err(|error| format!("object_store_memory: {error}"))?,
    };
    Ok(Config {
        resources: resources(&given, arena_limit)?,
        arena_limit,
        python: given.python,
        sys_path: given.sys_path.unwrap_or_default(),
        namespace: given.namespace.unwrap_or_default(),
        infeasible_waits: given.infeasible_waits.unwrap_or(false),
        log_to_driver: given.log_to_driver.unwrap_or(true),
        tmpdir: given.tmpdir.unwrap_or_else(tmpdir),
    })
}

fn resources(given: &Given, arena_limit: u64) -> Result<ResourceSet, String> {
    let memory = match given.memory {
        Some(bytes) => bytes,
        None => hardware::memory().map_err(|error| format!("memory: {error}"))?.saturating_sub(arena_limit),
    };
    let mut all = ResourceSet::new()
        .with("CPU", amount("num_cpus", given.num_cpus.unwrap_or_else(|| f64::from(hardware::cpus())))?)
        .with("GPU", amount("num_gpus", given.num_gpus.unwrap_or(0.0))?)
        .with("memory", bytes("memory", memory)?)
        .with("object_store_memory", bytes("object_store_memory", arena_limit)?)
        .with(&format!("node:{NODE_IP}"), Amount::ONE)
        .with("node:__internal_head__", Amount::ONE);
    for (name, value) in given.resources.iter().flatten() {
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
        let config = read(r#"{"python": "/usr/bin/python3", "num_cpus": null}"#).unwrap();
        assert!(config.resources.get("CPU") >= Amount::ONE);
        assert!(config.resources.get("memory").0 > 0);
        assert_eq!(config.resources.get("object_store_memory"), Amount::units(config.arena_limit as i64));
        assert_eq!(config.resources.get("GPU").0, 0);
        assert!(config.log_to_driver && !config.infeasible_waits);
    }

    #[test]
    fn what_is_given_is_checked() {
        let config = |more: &str| read(&format!(r#"{{"python": "p", {more}}}"#));
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
}
