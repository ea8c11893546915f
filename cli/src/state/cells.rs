//! How the fields of a row read for people: times, sizes, amounts of resources, and what is not known.

use super::Row;
use crate::printing::{Cell, bytes, duration, moment};
use serde_json::Value;

/// None when there is nothing to say.
pub(super) fn shown(key: &str, value: &Value) -> Option<String> {
    let is_time = key.ends_with("_time_ms") || key == "start_time" || key == "end_time";
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Number(number) => Some(match number.as_u64() {
            Some(ms) if is_time => moment(ms),
            Some(size) if key == "object_size" => bytes(size),
            _ => number.to_string(),
        }),
        Value::Object(amounts) if key.starts_with("resources") => Some(resources(amounts)),
        other => Some(other.to_string()),
    }
}

fn resources(amounts: &Row) -> String {
    let one = |(name, value): (&String, &Value)| format!("{name} {}", amount(name, value));
    let all: Vec<String> = amounts.iter().filter(|(name, _)| !is_mark(name)).map(one).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// What marks a node is nothing that anybody uses up.
fn is_mark(name: &str) -> bool {
    name.starts_with("node:")
}

fn amount(name: &str, value: &Value) -> String {
    match value.as_f64() {
        Some(count) if name.ends_with("memory") => bytes(count as u64),
        Some(count) => count.to_string(),
        None => value.to_string(),
    }
}

pub(super) fn field(row: &Row, key: &str) -> Cell {
    row.get(key).and_then(|value| shown(key, value)).unwrap_or_else(|| "-".to_owned()).into()
}

/// Of what has ended.
pub(super) fn took(row: &Row, start: &str, end: &str) -> Cell {
    let ms = |key| row.get(key).and_then(Value::as_u64);
    let took = ms(end).zip(ms(start)).map(|(end, start)| duration(end.saturating_sub(start)));
    took.unwrap_or_else(|| "-".to_owned()).into()
}

/// Of a node: what is in use, of what there is.
pub(super) fn in_use(row: &Row) -> Cell {
    let amounts = |key| row.get(key).and_then(Value::as_object);
    let Some(total) = amounts("resources_total") else { return "-".into() };
    let left = |name: &str| amounts("resources_available").and_then(|left| left.get(name)?.as_f64()).unwrap_or(0.0);
    let one = |(name, all): (&String, &Value)| {
        let used = all.as_f64().map(|all| amount(name, &Value::from(all - left(name))));
        format!("{name} {} of {}", used.unwrap_or_else(|| "?".to_owned()), amount(name, all))
    };
    total.iter().filter(|(name, _)| !is_mark(name)).map(one).collect::<Vec<String>>().join(", ").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_read_as_people_say_them() {
        for (key, value, expected) in [
            ("start_time_ms", json!(0), Some("1970-01-01 00:00:00Z")),
            ("end_time", json!(951_782_400_000_u64), Some("2000-02-29 00:00:00Z")),
            ("object_size", json!(1_536), Some("1.5 KiB")),
            ("pid", json!(7), Some("7")),
            ("retries_left", json!(-1), Some("-1")),
            ("is_head_node", json!(true), Some("true")),
            ("resources", json!({"CPU": 0.5, "memory": 1_536.0, "node:a": 1.0}), Some("CPU 0.5, memory 1.5 KiB")),
            ("resources", json!({}), Some("-")),
            ("name", json!(""), None),
            ("actor_id", json!(null), None),
        ] {
            assert_eq!(shown(key, &value).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn what_is_used_is_what_is_not_available() {
        let row = json!({
            "resources_total": {"CPU": 2.0, "memory": 3072.0, "node:a": 1.0}, "resources_available": {"CPU": 0.5},
        });
        assert_eq!(in_use(row.as_object().unwrap()).text(), "CPU 1.5 of 2, memory 3.0 KiB of 3.0 KiB");
        let task = json!({"start_time_ms": 1_000, "end_time_ms": 3_500});
        assert_eq!(took(task.as_object().unwrap(), "start_time_ms", "end_time_ms").text(), "2.5 s");
        assert_eq!(took(task.as_object().unwrap(), "start_time_ms", "none").text(), "-");
    }
}
