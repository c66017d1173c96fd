//! Captions by the embedded model. The tests use a small model that only knows coloured shapes on coloured backgrounds,
//! trained by `tests/captions/train_drawings.py`. The images here are new to it: they are drawn differently, and show
//! combinations that were left out of the training.
#![cfg(feature = "captions")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::pictures::png_of;
use crate::harness::process::{Home, Process};
use crate::harness::{Answer, Form, TestApp};

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const BLACK: [u8; 3] = [0, 0, 0];
const YELLOW: [u8; 3] = [255, 255, 0];
const WHITE: [u8; 3] = [255, 255, 255];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captions").join(name)
}

/// A disc with hard edges, slightly off centre.
fn circle(size: (u32, u32), color: [u8; 3], ground: [u8; 3]) -> Vec<u8> {
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let (x0, y0, radius) = (width * 0.53, height * 0.48, width.min(height) * 0.3);
    draw(size, |x, y| if (x - x0).hypot(y - y0) < radius { color } else { ground })
}

fn square(size: (u32, u32), color: [u8; 3], ground: [u8; 3]) -> Vec<u8> {
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let side = width.min(height) * 0.5;
    let inside = |at: f64, from: f64| (from..from + side).contains(&at);
    draw(size, |x, y| if inside(x, width * 0.27) && inside(y, height * 0.24) { color } else { ground })
}

/// A triangle that points up.
fn triangle(size: (u32, u32), color: [u8; 3], ground: [u8; 3]) -> Vec<u8> {
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let (x0, top, rise) = (width * 0.45, height * 0.2, width.min(height) * 0.55);
    let inside = |x: f64, y: f64| (0.0..rise).contains(&(y - top)) && (x - x0).abs() * 3_f64.sqrt() < y - top;
    draw(size, |x, y| if inside(x, y) { color } else { ground })
}

fn draw((width, height): (u32, u32), color: impl Fn(f64, f64) -> [u8; 3]) -> Vec<u8> {
    let at = |x: u32, y: u32| color(f64::from(x) + 0.5, f64::from(y) + 0.5);
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| at(x, y)).collect();
    png_of(width, height, &pixels)
}

async fn service(folder: &Path) -> TestApp {
    TestApp::with(&[&format!("--caption-model-dir={}", folder.display()), "--caption-threads=1"]).await
}

async fn wait_for_caption(app: &TestApp, id: &str) -> Value {
    let image = app.get(&format!("/images/{id}?wait=30")).await.ok();
    assert_ne!(image["caption_status"], "pending", "{image:#}");
    image
}

#[tokio::test]
async fn an_image_that_the_model_never_saw_is_captioned() {
    let app = service(&folder("drawings")).await;
    let ready = app.get("/ready").await.ok();
    assert_eq!((&ready["captions"], &ready["caption_model"]), (&json!("on"), &json!("drawings")));
    for (picture, caption) in [
        (circle((640, 480), RED, BLUE), "a red circle on a blue background"),
        (square((300, 300), GREEN, BLACK), "a green square on a black background"),
        (triangle((480, 640), YELLOW, BLACK), "a yellow triangle on a black background"),
        (square((1200, 900), BLACK, WHITE), "a black square on a white background"),
    ] {
        let uploaded = app.post(Form::upload("alice", &picture)).await.image();
        assert_eq!(uploaded["caption_status"], "pending");
        let image = wait_for_caption(&app, uploaded["image_id"].as_str().unwrap()).await;
        let actual = ["caption_status", "caption", "caption_model", "caption_error"].map(|field| &image[field]);
        assert_eq!(actual, [&json!("ready"), &json!(caption), &json!("drawings"), &Value::Null]);
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn only_caption_threads_run_with_idle_priority() {
    const SCHED_IDLE: &str = "5";
    let mut home = Home::embedded();
    home.set("CAPTION_MODEL_DIR", &folder("drawings").display().to_string());
    let process = Process::start(&home, &[("CAPTION_THREADS", "2")]).await;
    let id = upload_at(process.address, (64, 64)).await;
    assert_eq!(wait_for_caption_at(process.address, &id).await["caption_status"], "ready");
    let mut idle = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap() {
        // A thread that has just exited cannot be read.
        let Ok(stat) = std::fs::read_to_string(thread.unwrap().path().join("stat")) else { continue };
        // The name is in brackets. The first field after it is field 3, and the scheduling policy is field 41.
        let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        if fields.split_whitespace().nth(38) == Some(SCHED_IDLE) {
            idle.push(name.to_owned());
        }
    }
    idle.sort();
    assert_eq!(idle, ["caption-0", "caption-1"]);
    process.stop().await;
}

async fn upload_at(address: SocketAddr, size: (u32, u32)) -> String {
    let upload = reqwest::Client::new().post(format!("http://{address}/images")).header("Content-Type", Form::content_type());
    let answer = upload.body(Form::upload("alice", &circle(size, RED, BLUE)).finish()).send().await.unwrap();
    Answer::read(answer).await.image_id()
}

async fn wait_for_caption_at(address: SocketAddr, id: &str) -> Value {
    Answer::read(reqwest::get(format!("http://{address}/images/{id}?wait=30")).await.unwrap()).await.ok()
}

/// A copy of the model folder, to be damaged.
fn copy(name: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(folder(name).join(file), copy.path().join(file)).unwrap();
    }
    copy
}

#[tokio::test]
async fn damaged_model_files_do_not_affect_a_running_service() {
    let model = copy("drawings");
    let app = service(model.path()).await;
    let picture = circle((640, 480), RED, BLUE);
    let id = app.post(Form::upload("alice", &picture)).await.image_id();
    assert_eq!(wait_for_caption(&app, &id).await["caption"], "a red circle on a blue background");
    // One file is truncated in place, one overwritten, one removed.
    let file = model.path().join("model.safetensors");
    std::fs::File::options().write(true).open(&file).unwrap().set_len(100).unwrap();
    std::fs::write(model.path().join("tokenizer.json"), "nothing").unwrap();
    std::fs::remove_file(model.path().join("config.json")).unwrap();
    let asked = app.by("alice", Method::POST, &format!("/images/{id}/caption")).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let again = wait_for_caption(&app, &id).await;
    assert_eq!((&again["caption_status"], &again["caption"]), (&json!("ready"), &json!("a red circle on a blue background")));
}

#[tokio::test]
async fn an_invalid_model_folder_is_rejected_at_startup_with_the_reason() {
    type Spoil = fn(&Path);
    let spoilers: [(&str, Spoil); 6] = [
        ("config.json", |folder| std::fs::remove_file(folder.join("config.json")).unwrap()),
        ("hidden_size", |folder| {
            let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
            let mut config: Value = serde_json::from_str(&config).unwrap();
            config["text_config"]["hidden_size"] = json!(7);
            std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        }),
        ("according to its header", |folder| {
            let file = std::fs::File::options().write(true).open(folder.join("model.safetensors")).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("not a safetensors file", |folder| std::fs::write(folder.join("model.safetensors"), [0xff; 64]).unwrap()),
        ("tokenizer.json is not a tokenizer", |folder| std::fs::write(folder.join("tokenizer.json"), "{}").unwrap()),
        ("expected [", |folder| {
            // The weights of one model with the dimensions of another.
            let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
            let mut config: Value = serde_json::from_str(&config).unwrap();
            config["vision_config"]["intermediate_size"] = json!(48);
            std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        }),
    ];
    for (reason, spoil) in spoilers {
        let (home, model) = (Home::embedded(), copy("drawings"));
        spoil(model.path());
        let path = model.path().display().to_string();
        let finished = home.run(&["serve"], &[("CAPTION_MODEL_DIR", &path)]).await;
        assert!(!finished.status.success());
        assert!(
            finished.log.contains("invalid CAPTION_MODEL_DIR") && finished.log.contains(reason),
            "{reason}: {}",
            finished.log
        );
    }
}

#[tokio::test]
async fn captions_interrupted_by_a_kill_are_generated_by_the_next_process() {
    let mut home = Home::new().await;
    home.set("CAPTION_MODEL_DIR", &folder("drawings").display().to_string());
    let process = Process::start(&home, &[]).await;
    let uploads = (0..20).map(|number| upload_at(process.address, (400 + number, 300)));
    let mut ids = futures::future::join_all(uploads).await;
    // Uploads until a caption is certainly in progress.
    for number in 0.. {
        assert!(number < 50, "captions are ready before they can be observed");
        let id = upload_at(process.address, (2000 + number, 1500)).await;
        ids.push(id.clone());
        let image = reqwest::get(format!("http://{}/images/{id}", process.address)).await.unwrap();
        if Answer::read(image).await.ok()["caption_status"] == "pending" {
            break;
        }
    }
    process.kill().await;
    let running = home.start_ahead(chrono::TimeDelta::minutes(10)).await;
    for id in ids {
        assert_eq!(wait_for_caption_at(running.address, &id).await["caption"], "a red circle on a blue background");
    }
    running.shut_down().await.unwrap();
}
