//! `iosdk list`: rows of one kind, filtered by the head.

use super::tables::table;
use super::{Kind, Row, ask};
use crate::address::Address;
use crate::client::block_on;
use crate::failure::Done;
use crate::printing::{Screen, counted, print, print_json, visible};
use clap::Args;
use form_urlencoded::Serializer;
use serde::Deserialize;

/// List tasks, actors, objects, nodes, jobs or workers
#[derive(Args)]
#[command(after_help = "\
Examples:
  iosdk list tasks --filter state=RUNNING
  iosdk list tasks --filter name=train --filter state!=FINISHED
  iosdk list objects --limit 1000 --json | jq '[.[].object_size] | add'
  iosdk list workers | cut -f4                  in a pipe: columns with tabs between them, no header

`iosdk get KIND ID` shows everything about one of them, under the names that filters take.")]
pub(crate) struct List {
    kind: Kind,
    /// Only those whose field is that value, or with != is not; several must all hold
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = filter)]
    filters: Vec<Filter>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    key: String,
    predicate: &'static str,
    value: String,
}

fn filter(typed: &str) -> Result<Filter, String> {
    let expected = || format!("expected KEY=VALUE or KEY!=VALUE, got {typed:?}");
    let (left, value) = typed.split_once('=').ok_or_else(expected)?;
    let (key, predicate) = left.strip_suffix('!').map_or((left, "="), |key| (key, "!="));
    if key.is_empty() {
        return Err(expected());
    }
    Ok(Filter { key: key.to_owned(), predicate, value: value.to_owned() })
}

/// What the head has found, and how much of it came along.
#[derive(Deserialize)]
struct Found {
    total: u64,
    /// Of the total, those that were looked at.
    num_after_truncation: u64,
    /// Of those, the ones that pass the filters.
    num_filtered: u64,
    result: Vec<Row>,
    partial_failure_warning: String,
    warnings: Vec<String>,
}

impl List {
    pub(crate) fn run(self) -> Done {
        let client = self.address.client()?;
        let found: Found = block_on(ask(&client, &self.path()))?;
        let rows = &found.result;
        if self.json {
            print_json(rows)?;
        } else if rows.is_empty() {
            eprintln!("iosdk: no such {}", self.kind.name());
        } else {
            print(&table(self.kind, rows, Screen::stdout()))?;
        }
        for remark in found.remarks(!self.filters.is_empty()) {
            eprintln!("iosdk: {remark}");
        }
        Ok(0)
    }

    fn path(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        for Filter { key, predicate, value } in &self.filters {
            query.append_pair("filter_keys", key);
            query.append_pair("filter_predicates", predicate);
            query.append_pair("filter_values", value);
        }
        format!("{}?{}", self.kind.name(), query.finish())
    }
}

impl Found {
    /// What is missing in the list.
    fn remarks(&self, is_filtered: bool) -> Vec<String> {
        let shown = self.result.len() as u64;
        let all = if is_filtered { self.num_filtered } else { self.num_filtered.max(self.total) };
        let cut = (shown < all)
            .then(|| format!("{} of {} shown; --limit N shows more (at most 10,000)", counted(shown), counted(all)));
        let unseen = (is_filtered && self.num_after_truncation < self.total).then(|| {
            let (seen, total) = (counted(self.num_after_truncation), counted(self.total));
            format!("{seen} of {total} were compared with the filters; --limit N compares more")
        });
        let told = [&self.partial_failure_warning].into_iter().chain(&self.warnings);
        let told = told.filter(|text| !text.is_empty()).map(|text| visible(text));
        cut.into_iter().chain(unseen).chain(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_equalities_and_their_opposites() {
        let of = |key: &str, predicate, value: &str| Filter { key: key.into(), predicate, value: value.into() };
        assert_eq!(filter("state=RUNNING"), Ok(of("state", "=", "RUNNING")));
        assert_eq!(filter("name!=a=b!=c"), Ok(of("name", "!=", "a=b!=c")));
        assert_eq!(filter("actor_id="), Ok(of("actor_id", "=", "")));
        for wrong in ["state", "=x", "!=x", ""] {
            assert!(filter(wrong).unwrap_err().contains("KEY!=VALUE"), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let found = |total, num_after_truncation, num_filtered, rows| Found {
            total,
            num_after_truncation,
            num_filtered,
            result: vec![Row::new(); rows],
            partial_failure_warning: String::new(),
            warnings: Vec::new(),
        };
        assert!(found(3, 3, 3, 3).remarks(false).is_empty());
        assert!(found(9, 9, 3, 3).remarks(true).is_empty());
        let cut = found(2_345, 200, 200, 100).remarks(false);
        assert_eq!(cut, ["100 of 2,345 shown; --limit N shows more (at most 10,000)"]);
        let filtered = found(2_345, 200, 150, 100).remarks(true);
        assert!(filtered[0].starts_with("100 of 150 shown") && filtered[1].starts_with("200 of 2,345 were compared"));
        let partial = Found { partial_failure_warning: "process 7 did not answer\n".into(), ..found(0, 0, 0, 0) };
        assert_eq!(partial.remarks(false), ["process 7 did not answer\\n"]);
    }
}
