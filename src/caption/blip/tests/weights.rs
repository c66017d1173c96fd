//! Invalid `model.safetensors` files.

use serde_json::{Value, json};
use std::fs::{self, OpenOptions};

use super::super::{Blip, CaptionError, RgbImage};
use super::{assert_refused, copy, refusal};

const EMBEDDINGS: &str = "text_decoder.bert.embeddings.word_embeddings.weight";

/// Copies a tiny model and changes the header and the numbers of its `model.safetensors`.
fn weighted(change: impl Fn(&mut Value, &mut Vec<u8>)) -> tempfile::TempDir {
    let folder = copy("tied");
    let file = folder.path().join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let (header, numbers) = bytes[8..].split_at(u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize);
    let (mut header, mut numbers) = (serde_json::from_slice(header).unwrap(), numbers.to_vec());
    change(&mut header, &mut numbers);
    fs::write(file, safetensors(&header.to_string(), &numbers)).unwrap();
    folder
}

fn safetensors(header: &str, numbers: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), numbers].concat()
}

#[test]
fn a_tensor_that_is_not_as_expected_is_named() {
    let folder = weighted(|header, _| header[EMBEDDINGS]["shape"] = json!([16, 42]));
    assert_refused(folder.path(), "model.safetensors", "of shape [16, 42], expected [42, 16]");
    let folder = weighted(|header, _| header[EMBEDDINGS]["dtype"] = json!("I32"));
    assert_refused(folder.path(), "model.safetensors", "word_embeddings.weight of type I32, expected F32, F16 or BF16");
    let folder = weighted(|header, _| {
        let tensor = header.as_object_mut().unwrap().remove(EMBEDDINGS).unwrap();
        header["another"] = tensor;
    });
    assert_refused(folder.path(), "model.safetensors", &format!("has no tensor {EMBEDDINGS}"));
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let folder = weighted(|header, numbers| {
            let at = header[EMBEDDINGS]["data_offsets"][1].as_u64().unwrap() as usize;
            numbers[at - 4..at].copy_from_slice(&value.to_le_bytes());
        });
        assert_refused(folder.path(), "model.safetensors", &format!("{EMBEDDINGS} with values that are not finite"));
    }
}

#[test]
fn an_inconsistent_header_is_refused() {
    for (change, reason) in [
        (json!([0, 8]), "inconsistent header"),
        (json!([8, 0]), "inconsistent header"),
        (json!([0, u64::MAX]), "inconsistent header"),
        (json!([1_u64 << 62, 1_u64 << 63]), "inconsistent header"),
        (json!([-4, 0]), "inconsistent header"),
    ] {
        let folder = weighted(|header, _| header[EMBEDDINGS]["data_offsets"] = change.clone());
        assert_refused(folder.path(), "model.safetensors", reason);
    }
    for shape in [json!([u64::MAX, 16]), json!([1_u64 << 32, 1_u64 << 32]), json!([]), json!([42, 17]), json!([-1])] {
        let folder = weighted(|header, _| header[EMBEDDINGS]["shape"] = shape.clone());
        assert_refused(folder.path(), "model.safetensors", "inconsistent header");
    }
    let folder = weighted(|header, _| header[EMBEDDINGS]["dtype"] = json!("F31"));
    assert_refused(folder.path(), "model.safetensors", "inconsistent header");
}

#[test]
fn a_file_whose_length_does_not_match_its_header_is_refused() {
    let folder = weighted(|_, numbers| numbers.truncate(numbers.len() - 1));
    assert_refused(folder.path(), "model.safetensors", "according to its header");
    let folder = weighted(|_, numbers| numbers.push(0));
    assert_refused(folder.path(), "model.safetensors", "according to its header");
    let folder = weighted(|_, numbers| numbers.clear());
    assert_refused(folder.path(), "model.safetensors", "according to its header");
}

#[test]
fn a_truncated_file_is_refused() {
    let folder = copy("tied");
    let file = folder.path().join("model.safetensors");
    let length = fs::metadata(&file).unwrap().len();
    for kept in [40_000, 9368, 9000, 100, 9, 8, 7, 1, 0] {
        assert!(kept < length);
        OpenOptions::new().write(true).open(&file).unwrap().set_len(kept).unwrap();
        refusal(folder.path());
    }
}

#[test]
fn a_huge_header_length_allocates_no_memory() {
    for size in [u64::MAX, 1 << 62, 1 << 40, (16 << 20) + 1] {
        let folder = copy("tied");
        fs::write(folder.path().join("model.safetensors"), size.to_le_bytes()).unwrap();
        assert_refused(folder.path(), "model.safetensors", "its header exceeds the size limit");
    }
    let folder = copy("tied");
    fs::write(folder.path().join("model.safetensors"), (16_u64 << 20).to_le_bytes()).unwrap();
    assert_refused(folder.path(), "model.safetensors", "its header is longer than the file");
}

#[test]
fn a_duplicate_name_is_refused() {
    let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let folder = copy("tied");
    fs::write(folder.path().join("model.safetensors"), safetensors(header, &[0; 8])).unwrap();
    assert_refused(folder.path(), "model.safetensors", "inconsistent header");
}

#[test]
fn overflow_is_an_error() {
    let embeddings = [EMBEDDINGS, "text_decoder.cls.predictions.transform.LayerNorm.weight"];
    // Infinite scores make the attention weights NaN.
    let attention = ["vision_model.encoder.layers.0.self_attn.qkv.weight"];
    for (names, factor) in [(&embeddings[..], 1e38), (&attention[..], 1e30)] {
        let folder = weighted(|header, numbers| {
            for name in names {
                let offsets = &header[*name]["data_offsets"];
                let (from, to) = (offsets[0].as_u64().unwrap() as usize, offsets[1].as_u64().unwrap() as usize);
                for number in numbers[from..to].as_chunks_mut::<4>().0 {
                    *number = (f32::from_le_bytes(*number).signum() * factor).to_le_bytes();
                }
            }
        });
        let blip = Blip::open(folder.path()).unwrap();
        let caption = blip.caption(RgbImage { width: 1, height: 1, rgb: &[9, 9, 9] }, &|| false);
        assert!(matches!(caption, Err(CaptionError::Overflow)), "{names:?}: {caption:?}");
    }
}
