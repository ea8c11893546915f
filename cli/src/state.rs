//! `iosdk list`, `get`, `summary` and `explain`: what is alive on a head now, and how these commands ask for it.

mod cells;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod summary;
mod tables;

use crate::client::Client;
use crate::failure::Failure;
use clap::ValueEnum;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One thing as the head tells it: the names of its fields are those of filters.
type Row = serde_json::Map<String, serde_json::Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[value(alias = "task")]
    Tasks,
    #[value(alias = "actor")]
    Actors,
    #[value(alias = "object")]
    Objects,
    #[value(alias = "node")]
    Nodes,
    #[value(alias = "job")]
    Jobs,
    #[value(alias = "worker")]
    Workers,
}

impl Kind {
    /// In paths and in sentences.
    fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Actors => "actors",
            Self::Objects => "objects",
            Self::Nodes => "nodes",
            Self::Jobs => "jobs",
            Self::Workers => "workers",
        }
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: T,
}

#[derive(Deserialize)]
struct Refusal {
    msg: String,
}

async fn ask<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, Failure> {
    let answer: Answer<T> = client.get(&format!("/api/v0/{path}")).await.map_err(refused)?;
    Ok(answer.data.result)
}

fn refused(failure: Failure) -> Failure {
    let Failure::Answer { status, text } = failure else { return failure };
    match (status, serde_json::from_str::<Refusal>(&text)) {
        (503, Ok(refusal)) => Failure::Degraded(refusal.msg),
        (_, Ok(refusal)) => Failure::Answer { status, text: refusal.msg },
        // Of the state API a 404 is JSON, too.
        (404, Err(_plain_text)) => Failure::Failed(
            "the head is of an older version, which does not tell of tasks, actors, objects or workers. `iosdk status` \
             shows its version; `iosdk stop` and `iosdk start --head` replace it by this one"
                .to_owned(),
        ),
        (_, Err(_plain_text)) => Failure::Answer { status, text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_the_head_said() {
        let answer = |status, text: &str| refused(Failure::Answer { status, text: text.to_owned() });
        let json = r#"{"result": false, "msg": "no task 07", "data": {}}"#;
        assert_eq!(answer(404, json), Failure::Answer { status: 404, text: "no task 07".into() });
        assert_eq!(answer(503, json), Failure::Degraded("no task 07".into()));
        assert!(answer(404, "there is nothing at /api/v0/tasks").to_string().contains("older version"));
        assert_eq!(answer(500, "why"), Failure::Answer { status: 500, text: "why".into() });
        assert_eq!(refused(Failure::NoHead("none".into())), Failure::NoHead("none".into()));
    }
}
