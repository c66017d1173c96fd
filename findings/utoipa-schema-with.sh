#!/usr/bin/env bash
# utoipa's `IntoParams` ignores the doc comment, `required` and `style` of a parameter that has `schema_with`.
# So a path parameter becomes `required: false`. Such a document is invalid, and openapi-generator and orval reject it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
utoipa = "=6.0.0"
serde_json = "1"
TOML
cat > src/main.rs <<'RUST'
use utoipa::IntoParams;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{RefOr, Schema};

fn text() -> RefOr<Schema> {
    RefOr::T(ObjectBuilder::new().schema_type(Type::String).into())
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)]
struct Plain {
    /// The name of the tag.
    tag: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)]
struct WithSchema {
    /// The name of the tag.
    #[param(schema_with = text)]
    tag: String,
}

fn main() {
    for (name, parameters) in [
        ("plain      ", Plain::into_params(|| Some(ParameterIn::Path))),
        ("schema_with", WithSchema::into_params(|| Some(ParameterIn::Path))),
    ] {
        let parameter = serde_json::to_value(&parameters[0]).expect("JSON");
        println!("{name} required {} description {}", parameter["required"], parameter["description"]);
    }
}
RUST
echo "utoipa 6.0.0"
cargo run --quiet 2>/dev/null | tee output
grep -q '^plain       required true description "The name of the tag."$' output
grep -q '^schema_with required false description null$' output
