//! Valid and invalid `config.json` files.

use serde_json::{Value, json};
use std::fs;

use super::super::Blip;
use super::{assert_refused, copy, read};

/// Copies a tiny model and changes its `config.json`.
fn configured(change: impl Fn(&mut Value)) -> tempfile::TempDir {
    let folder = copy("tied");
    let file = folder.path().join("config.json");
    let mut config = read(&file);
    change(&mut config);
    fs::write(file, config.to_string()).unwrap();
    folder
}

#[test]
fn every_setting_has_limits() {
    for (setting, value, reason) in [
        ("vocab_size", json!(0), "vocab_size is 0, but it must be from 1 to 262144"),
        ("vocab_size", json!(u64::MAX), "from 1 to"),
        ("vocab_size", json!(-1), "invalid value"),
        ("vocab_size", json!(1e300), "invalid type"),
        ("vocab_size", json!(null), "invalid type: null"),
        ("hidden_size", json!(0), "hidden_size is 0"),
        ("hidden_size", json!(1_u64 << 40), "from 1 to 4096"),
        ("hidden_size", json!(15), "num_attention_heads is 2, but it must divide the hidden_size of 15"),
        ("intermediate_size", json!(0), "intermediate_size is 0"),
        ("intermediate_size", json!(1 << 30), "from 1 to"),
        ("num_hidden_layers", json!(0), "num_hidden_layers is 0"),
        ("num_hidden_layers", json!(1_000_000_000), "from 1 to 64"),
        ("num_attention_heads", json!(0), "num_attention_heads is 0"),
        ("num_attention_heads", json!(17), "num_attention_heads is 17, but it must be from 1 to 16"),
        ("max_position_embeddings", json!(19), "from 20 to"),
        ("max_position_embeddings", json!(1_u64 << 40), "from 20 to"),
        ("hidden_act", json!("gelu_new"), "hidden_act is gelu_new, but only gelu"),
        ("layer_norm_eps", json!(-1e-5), "from 0 to 1"),
        ("layer_norm_eps", json!(1e39), "layer_norm_eps is inf"),
        ("layer_norm_eps", json!("1e-5"), "invalid type"),
        ("bos_token_id", json!(42), "bos_token_id is 42, but it must be from 0 to 41"),
        ("bos_token_id", json!(null), "invalid type: null"),
        ("sep_token_id", json!(1000), "sep_token_id is 1000"),
    ] {
        let folder = configured(|config| config["text_config"][setting] = value.clone());
        assert_refused(folder.path(), "config.json", reason);
    }
    for (setting, value, reason) in [
        ("hidden_size", json!(0), "vision_config.hidden_size is 0"),
        ("num_attention_heads", json!(5), "must divide"),
        ("num_hidden_layers", json!(65), "from 1 to 64"),
        ("image_size", json!(0), "image_size is 0"),
        ("image_size", json!(18), "patch_size is 4, but it must divide the image_size of 18"),
        ("image_size", json!(1 << 20), "from 1 to 1024"),
        ("image_size", json!([16, 20]), "image_size is [16, 20], but it must be square"),
        ("image_size", json!([16]), "did not match"),
        ("image_size", json!(1024), "may have at most 64 × 64 patches"),
        ("patch_size", json!(0), "patch_size is 0"),
        ("patch_size", json!(32), "from 1 to 16"),
        ("hidden_act", json!("quick_gelu"), "quick_gelu"),
    ] {
        let folder = configured(|config| config["vision_config"][setting] = value.clone());
        assert_refused(folder.path(), "config.json", reason);
    }
}

#[test]
fn sides_may_be_height_and_width() {
    let folder = configured(|config| {
        config["vision_config"]["image_size"] = json!([16, 16]);
        config["vision_config"]["patch_size"] = json!([4, 4]);
    });
    assert_eq!(Blip::open(folder.path()).unwrap().image_size(), 16);
}

#[test]
fn settings_of_another_model_do_not_fit_the_weights() {
    for (part, setting, value, reason) in [
        ("text_config", "hidden_size", 32, "word_embeddings.weight of shape [42, 16], expected [42, 32]"),
        ("text_config", "num_hidden_layers", 3, "has no tensor text_decoder.bert.encoder.layer.2.attention"),
        ("text_config", "vocab_size", 43, "of shape [42, 16], expected [43, 16]"),
        ("text_config", "max_position_embeddings", 25, "of shape [24, 16], expected [25, 16]"),
        ("vision_config", "patch_size", 8, "patch_embedding.weight of shape [12, 3, 4, 4], expected [12, 3, 8, 8]"),
        ("vision_config", "image_size", 32, "position_embedding of shape [1, 17, 12], expected [1, 65, 12]"),
        ("vision_config", "num_hidden_layers", 64, "has no tensor vision_model.encoder.layers.1."),
    ] {
        let folder = configured(|config| config[part][setting] = json!(value));
        assert_refused(folder.path(), "model.safetensors", reason);
    }
    let folder = configured(|config| config["model_type"] = json!("blip-2"));
    assert_refused(folder.path(), "config.json", "model_type is blip-2, but only blip is supported");
    // Without settings, the defaults are those of BLIP-base.
    let folder = configured(|config| *config = json!({}));
    assert_refused(folder.path(), "model.safetensors", "expected [768, 3, 16, 16]");
}

#[test]
fn untied_weights_are_required() {
    let folder = configured(|config| {
        config["tie_word_embeddings"] = json!(false);
        config["text_config"]["tie_word_embeddings"] = json!(false);
    });
    assert_refused(folder.path(), "model.safetensors", "has no tensor text_decoder.cls.predictions.decoder.weight");
}
