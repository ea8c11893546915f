#!/usr/bin/env bash
# What each engine adds to a stripped program, against one that appends the same bytes to a file without any:
# `benches/engines/size.sh`. It builds five small programs with the settings of the wheel in a temporary folder.
set -euo pipefail
log=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../gcs/log" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# program NAME DEPENDENCY MAIN
program() {
  mkdir -p "$dir/$1/src"
  cat >"$dir/$1/Cargo.toml" <<TOML
[package]
name = "$1"
edition = "2024"
[dependencies]
$2
[workspace]
[profile.release]
lto = "fat"
codegen-units = 1
strip = true
TOML
  printf 'use std::io::Write;\nfn main() {\n    let bytes = std::env::args().next().unwrap().into_bytes();\n' >"$dir/$1/src/main.rs"
  printf '    std::fs::File::create("file").unwrap().write_all(&bytes).unwrap();\n%s\n}\n' "$3" >>"$dir/$1/src/main.rs"
  (cd "$dir/$1" && CARGO_TARGET_DIR=$dir/target cargo build --quiet --release)
  stat -c %s "$dir/target/release/$1"
}

bare=$(program bare "" "")
report() { printf '%-16s %6d KiB\n' "$1" $((($(program "$1" "$2" "$3") - bare) / 1024)); }

report plain "iosdk-gcs-log = { path = \"$log\" }" '
    use iosdk_gcs_log::Entry;
    let mut opened = iosdk_gcs_log::open(".".as_ref()).unwrap();
    opened.store.append(&[Entry::Record(bytes.clone()), Entry::DropBlob { key: "key".to_owned() }]).unwrap();
    opened.store.snapshot(&bytes).unwrap();
    println!("{:?} {:?} {:?}", opened.store.blob("key").unwrap(), opened.records, opened.repairs);'
report redb 'redb = "4.6"' '
    use redb::{ReadableDatabase, ReadableTable, TableDefinition};
    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("records");
    let database = redb::Database::create("redb").unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(TABLE).unwrap().insert(1, bytes.as_slice()).unwrap();
    write.commit().unwrap();
    let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
    for row in table.iter().unwrap() { println!("{:?}", row.unwrap().1.value()); }'
report fjall 'fjall = { version = "3.1", default-features = false }' '
    let database = fjall::Database::builder("fjall").open().unwrap();
    let records = database.keyspace("records", fjall::KeyspaceCreateOptions::default).unwrap();
    let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
    batch.insert(&records, 1_u64.to_be_bytes(), bytes);
    batch.commit().unwrap();
    for row in records.iter() { println!("{:?}", row.value().unwrap()); }'
report sqlite 'rusqlite = { version = "0.43", default-features = false, features = ["bundled"] }' '
    let sqlite = rusqlite::Connection::open("sqlite").unwrap();
    sqlite.execute("INSERT INTO records (bytes) VALUES (?1)", [bytes]).unwrap();
    let mut select = sqlite.prepare("SELECT bytes FROM records").unwrap();
    for row in select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap() { println!("{:?}", row.unwrap()); }'
