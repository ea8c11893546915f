//! Maps with a fixed order, so that a pure machine never depends on a hasher's seed. Hot tables are slabs, not maps.

pub type Map<K, V> = std::collections::BTreeMap<K, V>;
pub type Set<K> = std::collections::BTreeSet<K>;
