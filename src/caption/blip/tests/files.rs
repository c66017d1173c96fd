//! Models with missing, broken or mismatched files: each is refused with the file and the reason.

use serde_json::{Value, json};
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::path::Path;

use super::super::{Blip, CaptionError, OpenError, RgbImage};
use super::{assert_refused, copy, models, read};

#[test]
fn a_missing_file_is_named() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let folder = copy("tied");
        fs::remove_file(folder.path().join(file)).unwrap();
        assert_refused(folder.path(), file, "cannot be read: No such file");
        fs::create_dir(folder.path().join(file)).unwrap();
        assert_refused(folder.path(), file, "is not a regular file");
    }
    assert_refused(Path::new("/no/such/folder"), "config.json", "No such file");
}

#[test]
fn a_pipe_does_not_block() {
    let folder = copy("tied");
    let file = folder.path().join("config.json");
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    assert_refused(folder.path(), "config.json", "is not a regular file");
}

#[test]
fn a_malformed_file_is_refused() {
    for nonsense in ["", "[", "null", "7", "{\"a\":", "\u{0}", &"[".repeat(1_000_000)] {
        for (file, reason) in [("config.json", "JSON"), ("tokenizer.json", "tokenizer"), ("model.safetensors", "safetensors")] {
            let folder = copy("tied");
            fs::write(folder.path().join(file), nonsense).unwrap();
            assert_refused(folder.path(), file, reason);
        }
    }
}

#[test]
fn an_oversized_file_is_not_read() {
    for file in ["config.json", "tokenizer.json"] {
        let folder = copy("tied");
        OpenOptions::new().write(true).open(folder.path().join(file)).unwrap().set_len(1 << 40).unwrap();
        assert_refused(folder.path(), file, "has 1099511627776 bytes, limit");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let folder = copy("tied");
    fs::copy(models().join("sparse/tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    assert_refused(folder.path(), "tokenizer.json", "has the token id 107, but the model's vocabulary has only 42 tokens");
}

#[test]
fn a_tokenizer_without_the_models_tokens_is_refused() {
    let folder = copy("tied");
    let file = folder.path().join("tokenizer.json");
    let mut tokenizer = read(&file);
    tokenizer["model"]["vocab"] = json!({"[UNK]": 0});
    tokenizer["added_tokens"] = json!([]);
    fs::write(&file, tokenizer.to_string()).unwrap();
    assert_refused(
        folder.path(),
        "tokenizer.json",
        "has 1 tokens, but the model's vocabulary has 42: the files belong to different models",
    );
}

#[test]
fn a_broken_tokenizer_is_refused() {
    for change in [
        |tokenizer: &mut Value| tokenizer["model"]["type"] = json!("Nonsense"),
        |tokenizer: &mut Value| tokenizer["model"]["vocab"] = json!(7),
        |tokenizer: &mut Value| tokenizer["model"]["vocab"]["the"] = json!(-1),
        |tokenizer: &mut Value| tokenizer["decoder"] = json!({"type": "Nonsense"}),
        |tokenizer: &mut Value| drop(tokenizer.as_object_mut().unwrap().remove("model")),
    ] {
        let folder = copy("tied");
        let file = folder.path().join("tokenizer.json");
        let mut tokenizer = read(&file);
        change(&mut tokenizer);
        fs::write(&file, tokenizer.to_string()).unwrap();
        assert_refused(folder.path(), "tokenizer.json", "is not a tokenizer");
    }
}

#[test]
fn an_open_model_does_not_need_its_files() {
    let folder = copy("tied");
    let blip = Blip::open(folder.path()).unwrap();
    let caption = || blip.caption(RgbImage { width: 1, height: 1, rgb: &[9, 9, 9] }, &|| false).unwrap();
    let before = caption();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        OpenOptions::new().write(true).open(folder.path().join(file)).unwrap().set_len(0).unwrap();
    }
    assert_eq!(caption(), before);
}

#[test]
fn errors_are_send_and_sync() {
    fn assert_error<T: Error + Send + Sync + 'static>() {}
    assert_error::<OpenError>();
    assert_error::<CaptionError>();
}
