//! Compares numbers, tokens and captions with those of transformers.

use base64::Engine;
use serde_json::Value;

use super::super::preprocess::Patches;
use super::super::tensors::values;
use super::super::{Blip, RgbImage};
use super::{models, read};

const MODELS: [&str; 7] = ["tied", "untied", "hub", "half", "deep", "wide", "sparse"];

fn rgb(picture: &Value) -> Vec<u8> {
    base64::prelude::BASE64_STANDARD.decode(picture["rgb"].as_str().unwrap()).unwrap()
}

fn side(picture: &Value, name: &str) -> u32 {
    picture[name].as_u64().unwrap() as u32
}

fn numbers(list: &Value) -> Vec<f32> {
    match list {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

fn max_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

#[test]
fn tokens_numbers_and_captions_match_transformers() {
    for model in MODELS {
        let blip = Blip::open(&models().join(model)).unwrap();
        let reference = read(&models().join(model).join("reference.json"));
        for expected in reference["pictures"].as_array().unwrap() {
            let rgb = rgb(expected);
            let image = RgbImage { width: side(expected, "width"), height: side(expected, "height"), rgb: &rgb };
            let encoded = blip.encode(image, &|| false).unwrap();
            let encoded_difference = max_difference(&values(&encoded).unwrap(), &numbers(&expected["encoded"]));
            let mut logits = vec![];
            let tokens = blip.decoder.generate(&encoded, &|| false, |each| logits.extend_from_slice(each)).unwrap();
            let logits_difference = max_difference(&logits, &numbers(&expected["logits"]));
            println!("{model}: encoded within {encoded_difference:e}, logits within {logits_difference:e}");
            assert!(encoded_difference < 1e-4 && logits_difference < 1e-4);

            let ids: Vec<u32> = expected["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            let end = blip.config.text.end;
            let wanted: Vec<u32> = ids[1..].iter().copied().take_while(|id| *id != end).collect();
            assert_eq!(tokens, wanted, "{model}");
            assert_eq!(blip.caption(image, &|| false).unwrap(), expected["caption"].as_str().unwrap(), "{model}");
        }
    }
}

#[test]
fn preprocessing_matches_transformers() {
    for expected in read(&models().join("preprocess.json")).as_array().unwrap() {
        let rgb = rgb(expected);
        let image = RgbImage { width: side(expected, "width"), height: side(expected, "height"), rgb: &rgb };
        let size = side(expected, "size") as usize;
        let patches = Patches::new(image, size, size / 2).unwrap();
        let wanted = numbers(&expected["pixel_values"]);
        let patch = size / 2;
        let mut found = vec![0.0; 3 * patch * patch];
        for index in 0..4 {
            patches.write(index, &mut found);
            for (at, found) in found.iter().enumerate() {
                let (channel, y, x) = (at / (patch * patch), at / patch % patch, at % patch);
                let (y, x) = (y + index / 2 * patch, x + index % 2 * patch);
                let wanted = wanted[(channel * size + y) * size + x];
                // A difference of 1 in a byte is 0.015 in the channel with the smallest standard deviation.
                assert!((found - wanted).abs() < 0.02, "{found} for {wanted} at {x}, {y}, channel {channel}");
            }
        }
    }
}
