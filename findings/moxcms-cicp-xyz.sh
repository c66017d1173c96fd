#!/usr/bin/env bash
# moxcms builds an unusable profile from the CICP colour primaries 10 (CIE 1931 XYZ, SMPTE ST 428-1).
# H.273 defines them and the crate has an enum variant for them, but it converts every colour to the same green, without an error.
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
use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, Layout, MatrixCoefficients, TransferCharacteristics, TransformOptions,
};

fn shown(primaries: CicpColorPrimaries, pixel: [u8; 3]) -> [u8; 3] {
    let points = CicpProfile {
        color_primaries: primaries,
        transfer_characteristics: TransferCharacteristics::Srgb,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    };
    let transform = ColorProfile::new_from_cicp(points)
        .create_transform_8bit(Layout::Rgb, &ColorProfile::new_srgb(), Layout::Rgb, TransformOptions::default())
        .expect("a transform");
    let mut out = [0; 3];
    transform.transform(&pixel, &mut out).expect("a pixel");
    out
}

fn main() {
    for (name, primaries) in [("BT.2020", CicpColorPrimaries::Bt2020), ("XYZ", CicpColorPrimaries::Xyz)] {
        for pixel in [[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 200]] {
            println!("{name} {pixel:?} -> {:?}", shown(primaries, pixel));
        }
    }
}
RUST
echo "moxcms 0.9.1"
cargo run --quiet 2>/dev/null | tee output
# Equal amounts of X, Y and Z are nearly white, but every colour becomes the same green.
test "$(grep -c '^XYZ .* -> \[0, 255, 0\]$' output)" = 4
