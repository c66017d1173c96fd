//! Folders whose files are missing, broken, or not what they are named: each is refused, with the file and the reason.

use serde_json::{Value, json};
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::path::Path;

use super::super::{Blip, CaptionError, OpenError, Picture};
use super::{assert_refused, copy, models, read};

#[test]

fn a_missing_file_is_named() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let folder = copy("tied");
        fs::remove_file(folder.path().join(file)).unwrap();
        assert_refused(folder.path(), file, "cannot be read: No such file");
        fs::create_dir(folder.path().join(file)).unwrap();
        assert_refused(folder.path(), file, "is no regular file");
    }
    assert_refused(Path::new("/no/such/folder"), "config.json", "No such file");
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = copy("tied");
    let file = folder.path().join("config.json");
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    assert_refused(folder.path(), "config.json", "is no regular file");
}

#[test]
fn a_file_of_nonsense_is_refused() {
    for nonsense in ["", "[", "null", "7", "{\"a\":", "\u{0}", &"[".repeat(1_000_000)] {
        for (file, reason) in [("config.json", "JSON"), ("tokenizer.json", "tokenizer"), ("model.safetensors", "safetensors")] {
            let folder = copy("tied");
            fs::write(folder.path().join(file), nonsense).unwrap();
            assert_refused(folder.path(), file, reason);
        }
    }
}

#[test]
fn a_small_file_that_is_huge_is_not_read() {
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
    assert_refused(folder.path(), "tokenizer.json", "has a word of id 107, but the model knows only 42 of them");
}

#[test]
fn a_tokenizer_that_lacks_the_models_words_is_refused() {
    let folder = copy("tied");
    let file = folder.path().join("tokenizer.json");
    let mut tokenizer = read(&file);
    tokenizer["model"]["vocab"] = json!({"[UNK]": 0});
    tokenizer["added_tokens"] = json!([]);
    fs::write(&file, tokenizer.to_string()).unwrap();
    assert_refused(folder.path(), "tokenizer.json", "has 1 words, but the model knows 42: they do not belong together");
}

#[test]
fn a_tokenizer_that_is_broken_is_refused() {
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
fn a_model_outlives_its_files() {
    let folder = copy("tied");
    let blip = Blip::open(folder.path()).unwrap();
    let caption = || blip.caption(Picture { width: 1, height: 1, rgb: &[9, 9, 9] }, &|| false).unwrap();
    let before = caption();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        OpenOptions::new().write(true).open(folder.path().join(file)).unwrap().set_len(0).unwrap();
    }
    assert_eq!(caption(), before);
}

#[test]
fn an_error_can_be_sent_to_another_thread() {
    fn assert_error<T: Error + Send + Sync + 'static>() {}
    assert_error::<OpenError>();
    assert_error::<CaptionError>();
}
