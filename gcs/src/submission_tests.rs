//! What becomes of a submission before the machine sees it.

use super::*;
use iosdk_http::Secret;
use serde_json::json;
use std::collections::BTreeMap;

fn submission() -> Submission {
    Submission {
        entrypoint: "true".to_owned(),
        submission_id: None,
        runtime_env: Map::new(),
        metadata: BTreeMap::new(),
        entrypoint_num_cpus: None,
        entrypoint_num_gpus: None,
        entrypoint_memory: None,
        entrypoint_resources: ResourceSet::new(),
        entrypoint_label_selector: BTreeMap::new(),
        user: None,
        secret_env: BTreeMap::new(),
    }
}

#[test]
fn resources_are_under_their_names() {
    let given = Submission {
        entrypoint_num_cpus: Some(Amount(5_000)),
        entrypoint_num_gpus: Some(Amount::default()),
        entrypoint_memory: Some(3),
        entrypoint_resources: ResourceSet::new().with("tpu", Amount::ONE),
        ..submission()
    };
    let expected =
        ResourceSet::new().with("CPU", Amount(5_000)).with("memory", Amount(30_000)).with("tpu", Amount::ONE);
    assert_eq!(resources(&given), Ok(expected));
    assert_eq!(resources(&submission()), Ok(ResourceSet::new()));
    let too_much = Submission { entrypoint_memory: Some(u64::MAX / 10_000), ..submission() };
    let error = resources(&too_much).unwrap_err();
    assert!(error.message().contains("at most 922337203685477 bytes"), "{error}");
}

#[test]
fn everything_but_the_id_is_in_the_digest() {
    let judge = |salt: &str| Judge { packages: PathBuf::new(), salt: salt.into() };
    let digest = |job: &Submission| judge("a").digest(job);
    let plain = digest(&submission());
    assert_eq!(plain, digest(&Submission { submission_id: Some("x".into()), ..submission() }));
    assert_ne!(plain, judge("b").digest(&submission()), "who does not know the salt can guess");
    let secret = |value: &str| BTreeMap::from([("KEY".to_owned(), Secret::new(value.to_owned()))]);
    let env = json!({"env_vars": {"A": "1"}}).as_object().unwrap().clone();
    let others = [
        Submission { entrypoint: "false".to_owned(), ..submission() },
        Submission { runtime_env: env, ..submission() },
        Submission { metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]), ..submission() },
        Submission { entrypoint_num_cpus: Some(Amount::ONE), ..submission() },
        Submission { entrypoint_num_gpus: Some(Amount::ONE), ..submission() },
        Submission { entrypoint_memory: Some(1), ..submission() },
        Submission { entrypoint_resources: ResourceSet::new().with("tpu", Amount::ONE), ..submission() },
        Submission { user: Some("ann".to_owned()), ..submission() },
        Submission { secret_env: secret("1"), ..submission() },
        Submission { secret_env: secret("2"), ..submission() },
    ];
    let mut seen = vec![plain];
    for other in &others {
        let one = digest(other);
        assert!(!seen.contains(&one), "{other:?}");
        seen.push(one);
    }
}
