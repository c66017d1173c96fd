#!/usr/bin/env bash
# The HLG curve of moxcms is not the inverse OETF of BT.2100: it also applies the system gamma of 1.2 to each channel.
# BT.2100 applies the gamma to the luminance of a pixel, so saturated colours differ from those of conforming renderers.
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
moxcms = "=0.9.1"
TOML
cat > src/main.rs <<'RUST'
use moxcms::TransferCharacteristics::Hlg;

/// BT.2100, table 5: the inverse OETF.
fn inverse_oetf(signal: f64) -> f64 {
    let (a, b, c) = (0.17883277, 0.28466892, 0.55991073);
    if signal <= 0.5 { signal * signal / 3.0 } else { (((signal - c) / a).exp() + b) / 12.0 }
}

fn main() {
    for signal in [0.25, 0.5, 0.75, 1.0] {
        let (scene, given) = (inverse_oetf(signal), Hlg.linearize(signal));
        println!("signal {signal:.2}: BT.2100 {scene:.4}, moxcms {given:.4}, exponent {:.2}", given.ln() / scene.ln());
    }
}
RUST
echo "moxcms 0.9.1"
cargo run --quiet 2>/dev/null | tee output
test "$(grep -cE 'exponent (1\.20|NaN|-?inf)$' output)" = 4
