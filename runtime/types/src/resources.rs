//! Resources as fixed point: an amount is a whole number of ten-thousandths, the resolution Ray has too, so that fractions never drift.

use crate::Map;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Ten-thousandths of one unit (of a CPU, a GPU, a custom resource) or, for `memory` and `object_store_memory`, of one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Amount(pub i64);

impl Amount {
    pub const ONE: Self = Self(10_000);

    pub fn units(units: i64) -> Self {
        Self(units.saturating_mul(10_000))
    }

    /// The nearest amount; `None` for what is not a finite number or does not fit.
    pub fn from_f64(value: f64) -> Option<Self> {
        let scaled = (value * 10_000.0).round();
        (scaled.is_finite() && scaled.abs() < 9.2e18).then_some(Self(scaled as i64))
    }

    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 10_000.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_f64())
    }
}

/// Amounts by resource name. A name that is absent has amount zero; zeros are never stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceSet(Map<String, Amount>);

impl ResourceSet {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: &str, amount: Amount) -> Self {
        self.set(name, amount);
        self
    }

    pub fn set(&mut self, name: &str, amount: Amount) {
        if amount.0 == 0 {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), amount);
        }
    }

    pub fn get(&self, name: &str) -> Amount {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Amount)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when every amount asked for is there.
    pub fn covers(&self, request: &Self) -> bool {
        request.iter().all(|(name, amount)| self.get(name) >= amount)
    }

    pub fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.set(name, Amount(self.get(name).0 + amount.0));
        }
    }

    /// May go below zero: a blocked task's CPU is lent out and taken back before the borrower is done.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.set(name, Amount(self.get(name).0 - amount.0));
        }
    }

    /// Only the named resource.
    pub fn only(&self, name: &str) -> Self {
        Self::new().with(name, self.get(name))
    }
}

impl fmt::Display for ResourceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, amount)) in self.iter().enumerate() {
            write!(f, "{}{name}: {amount}", if index == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_tenths_are_one() {
        let tenth = ResourceSet::new().with("CPU", Amount::from_f64(0.1).unwrap());
        let mut sum = ResourceSet::new();
        for _ in 0..10 {
            sum.add(&tenth);
        }
        assert_eq!(sum.get("CPU"), Amount::ONE);
        sum.subtract(&ResourceSet::new().with("CPU", Amount::ONE));
        assert!(sum.is_empty());
        assert_eq!(Amount::from_f64(f64::NAN), None);
    }
}
