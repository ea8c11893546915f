//! The fields of a JSON object, taken out by name with their types checked. A complaint names the field, the type that was
//! expected and the type that was given, never a value: it could be a secret. `null` is the same as absent, as in Ray.

use crate::ApiError;
use iosdk_types::Amount;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(crate) struct Fields {
    /// Put before the names in complaints: "" or "runtime_env.".
    within: &'static str,
    map: Map<String, Value>,
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn mistyped(name: &str, expected: &str, given: &Value) -> ApiError {
    ApiError::invalid(format!("{name} must be {expected}, got {}", type_of(given)))
}

impl Fields {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self { within: "", map }),
            Ok(other) => Err(mistyped("the body", "a JSON object", &other)),
            Err(error) => Err(ApiError::invalid(format!("the body must be a JSON object: {error}"))),
        }
    }

    pub(crate) fn inside(within: &'static str, map: Map<String, Value>) -> Self {
        Self { within, map }
    }

    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, ApiError> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                convert(value).map(Some).map_err(|given| mistyped(&format!("{}{name}", self.within), expected, &given))
            }
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.take(name, "a string", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        self.take(name, "an object", |value| match value {
            Value::Object(map) => Ok(map),
            other => Err(other),
        })
    }

    pub(crate) fn texts(&mut self, name: &str) -> Result<BTreeMap<String, String>, ApiError> {
        let within = self.within;
        let entries = self.object(name)?.unwrap_or_default().into_iter();
        entries
            .map(|(key, value)| match value {
                Value::String(text) => Ok((key, text)),
                other => Err(mistyped(&format!("{within}{name}.{key}"), "a string", &other)),
            })
            .collect()
    }

    pub(crate) fn amount(&mut self, name: &str) -> Result<Option<Amount>, ApiError> {
        let value = self.take(name, "a number", Ok)?;
        value.map(|value| amount(&format!("{}{name}", self.within), &value)).transpose()
    }

    pub(crate) fn amounts(&mut self, name: &str) -> Result<BTreeMap<String, Amount>, ApiError> {
        let within = self.within;
        let entries = self.object(name)?.unwrap_or_default().into_iter();
        entries.map(|(key, value)| Ok((amount(&format!("{within}{name}.{key}"), &value)?, key))).map(swap).collect()
    }

    pub(crate) fn bytes(&mut self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.take(name, "a number", Ok)? else { return Ok(None) };
        let Value::Number(number) = &value else { return Err(mistyped(name, "a whole number", &value)) };
        match number.as_u64() {
            Some(bytes) if bytes <= BYTES_MAX => Ok(Some(bytes)),
            _ => Err(ApiError::invalid(format!("{name} must be a whole number from 0 to {BYTES_MAX}, got {number}"))),
        }
    }
}

/// More would not fit an `Amount`.
const BYTES_MAX: u64 = i64::MAX as u64 / 10_000;

fn swap<A, B, E>(pair: Result<(A, B), E>) -> Result<(B, A), E> {
    pair.map(|(a, b)| (b, a))
}

/// Zero, or what is at least one ten-thousandth: anything smaller would silently be nothing.
fn amount(name: &str, value: &Value) -> Result<Amount, ApiError> {
    let Value::Number(number) = value else { return Err(mistyped(name, "a number", value)) };
    let amount = number.as_f64().and_then(Amount::from_f64);
    match amount {
        Some(amount) if amount.0 > 0 || number.as_f64() == Some(0.0) => Ok(amount),
        _ => {
            let most = Amount(i64::MAX);
            Err(ApiError::invalid(format!("{name} must be 0 or a number from 0.0001 to {most}, got {number}")))
        }
    }
}
