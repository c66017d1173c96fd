//! Compares the model with transformers, and tests invalid models.

mod config;
mod files;
mod reference;
mod threads;
mod weights;

use std::error::Error;
use std::path::{Path, PathBuf};

use super::Blip;

/// Returns the directory of tiny models with random weights and transformers' results for them.
fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captions/models")
}

/// Copies a model, so that its files can be changed.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(models().join(name).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn read(file: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Returns the error of opening a model, with all its causes.
fn refusal(folder: &Path) -> String {
    let Err(error) = Blip::open(folder) else { panic!("opened") };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[track_caller]
fn assert_refused(folder: &Path, file: &str, reason: &str) {
    let text = refusal(folder);
    assert!(text.starts_with(&format!("{}", folder.join(file).display())), "{text}");
    assert!(text.contains(reason), "{text}");
}
