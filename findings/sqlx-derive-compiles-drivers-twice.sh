#!/usr/bin/env bash
# The feature `derive` of sqlx only adds derive macros, which need no database. But the crate of the macros depends on all drivers that
# the program enables, so a build compiles the drivers twice: for the program, and for the compiler, which runs the macros. In a release
# build, that includes the TLS stack and SQLite's C code, because both are compiled with other options for the compiler. A `FromRow`
# written by hand avoids that.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
echo 'fn main() {}' > src/main.rs

# Prints the crates that are compiled both for the program and for the build, with the given features of sqlx.
compiled_twice() {
    cat > Cargo.toml <<TOML
[package]
name = "twice"
version = "0.0.0"
edition = "2024"
[dependencies]
sqlx = { version = "=0.9.0", default-features = false, features = [$1] }
TOML
    cargo tree --quiet --duplicates --depth 0 --prefix none --edges normal | awk '/^[a-z]/ {print $1, $2}' | sort | uniq -c |
        awk '$1 > 1 {print $2}' | grep -E '^sqlx-' || true
}

drivers='"postgres", "sqlite-bundled", "runtime-tokio", "tls-rustls-aws-lc-rs"'
echo "sqlx 0.9.0, crates of sqlx that are compiled twice"
echo "without derive:" $(compiled_twice "$drivers")
echo "with derive:" $(compiled_twice "$drivers, \"derive\"") | tee with.out
test -z "$(compiled_twice "$drivers")"
for crate in sqlx-core sqlx-postgres sqlx-sqlite; do
    grep -qw "$crate" with.out
done
