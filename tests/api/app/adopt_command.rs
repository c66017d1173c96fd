//! The command `adopt`: makes images of all objects with a prefix.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::pictures::{jpeg, png};
use crate::harness::process::{Finished, Home, Process};

/// The arguments for a prefix in the service's bucket.
fn arguments<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["adopt", url, "--user-id", "alice"], more].concat()
}

/// Puts objects into the storage while the service runs, then stops it: with SQLite, only one process can use the data.
async fn prepare(home: &Home, objects: &[(&str, &[u8])]) {
    let process = Process::start(home, &[]).await;
    let storage = home.storage(&process);
    for (key, bytes) in objects {
        storage.put(key, bytes).await;
    }
    process.stop().await;
}

fn lines(finished: &Finished) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    finished.output.lines().map(parse).collect()
}

/// The images of a user, by file name.
async fn images(home: &Home, user: &str) -> BTreeMap<String, Value> {
    let process = Process::start(home, &[]).await;
    let page = Client::new(process.address).get(&format!("/users/{user}/images?limit=100")).await.json();
    process.stop().await;
    let images = page["images"].as_array().expect("images").iter();
    images.map(|image| (image["file_name"].as_str().expect("a name").to_owned(), image.clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopt_makes_images_of_a_prefix_and_names_what_it_rejects() {
    let home = Home::new().await;
    let (one, two) = (jpeg(100, 80, 1), png(60, 60, 2));
    let objects: [(&str, &[u8]); 6] = [
        ("old/one.jpg", &one),
        ("old/deep/two.png", &two),
        ("old/notes.txt", &[b'a'; 2000]),
        ("old/folder/", b""),
        ("old/broken.jpg", &one[..one.len() / 2]),
        ("other/three.jpg", &jpeg(60, 60, 3)),
    ];
    prepare(&home, &objects).await;
    let url = format!("s3://{}/old/", home.bucket());

    let dry = home.run(&arguments(&url, &["--dry-run"]), &[]).await;
    assert_eq!(dry.status.code(), Some(1), "{dry:?}");
    assert!(dry.output.starts_with("2 objects can be adopted, 0 adopted before, 2 rejected\n"), "{dry:?}");
    assert!(images(&home, "alice").await.is_empty());

    let more = ["--tags", "old, site", "--visibility", "public", "--parallel", "2"];
    let run = home.run(&arguments(&url, &more), &[]).await;
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let mut output: Vec<_> = run.output.lines().collect();
    output[1..].sort_unstable();
    assert_eq!(output[0], "2 objects adopted, 0 adopted before, 2 rejected", "{run:?}");
    assert!(output[1].starts_with("rejected: old/broken.jpg: the image is damaged: "), "{run:?}");
    assert_eq!(
        output[2],
        "rejected: old/notes.txt: the file is not a JPEG, PNG, GIF or WebP image, whatever its name or declared type"
    );
    let found = images(&home, "alice").await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["one.jpg", "two.png"]);
    assert_eq!((&found["one.jpg"]["tags"], &found["one.jpg"]["width"]), (&json!(["old", "site"]), &json!(100)));

    // Repeating it stores nothing twice.
    let again = home.run(&arguments(&url, &["--json"]), &[]).await;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let mut printed = lines(&again);
    assert_eq!(printed.pop(), Some(json!({"adopted": 0, "already_adopted": 2, "rejected": 2})));
    printed.sort_by_key(|line| line["key"].to_string());
    let results: Vec<_> = printed.iter().map(|line| (line["key"].as_str().unwrap(), line["result"].as_str().unwrap())).collect();
    let expected = [
        ("old/broken.jpg", "rejected"),
        ("old/deep/two.png", "already_adopted"),
        ("old/notes.txt", "rejected"),
        ("old/one.jpg", "already_adopted"),
    ];
    assert_eq!(results, expected);
    assert_eq!(printed[3]["image_id"], found["one.jpg"]["image_id"]);
    assert!(printed[0]["reason"].as_str().is_some_and(|reason| reason.starts_with("The image is damaged: ")), "{again:?}");

    let clean = home.run(&arguments(&format!("s3://{}/other/", home.bucket()), &[]), &[]).await;
    assert_eq!(
        (clean.status.code(), clean.output.as_str()),
        (Some(0), "1 object adopted, 0 adopted before, 0 rejected\n"),
        "{clean:?}"
    );
    // The service's own objects are left out.
    let whole = home.run(&arguments(&format!("s3://{}", home.bucket()), &[]), &[]).await;
    assert!(whole.output.starts_with("0 objects adopted, 3 adopted before, 2 rejected\n"), "{whole:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adoption_that_was_killed_continues() {
    const OBJECTS: usize = 30;
    let home = Home::new().await;
    let objects: Vec<_> = (0..OBJECTS).map(|number| (format!("old/{number}.jpg"), jpeg(600, 400, number as u64))).collect();
    let objects: Vec<_> = objects.iter().map(|(key, file)| (key.as_str(), file.as_slice())).collect();
    prepare(&home, &objects).await;
    let url = format!("s3://{}/old/", home.bucket());
    let mut child = home.command(&arguments(&url, &["--json"]), &[]).spawn().unwrap();
    {
        use std::io::{BufRead, BufReader};
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..5 {
            output.next().expect("a line").expect("a line");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let finished = home.run(&arguments(&url, &["--json"]), &[]).await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let totals = lines(&finished).pop().unwrap();
    let (adopted, before) = (totals["adopted"].as_u64().unwrap(), totals["already_adopted"].as_u64().unwrap());
    assert!(before >= 5 && adopted + before == OBJECTS as u64, "{totals}");
    assert_eq!(images(&home, "alice").await.len(), OBJECTS);
    // What the killed run left behind is removed like the objects of any upload that was cut off.
    let running = home.start_ahead(chrono::TimeDelta::hours(26)).await;
    while image_service::worker::sweeper::sweep(&running.service).await.unwrap()
        == image_service::service::maintenance::step::Outcome::Done
    {}
    running.shut_down().await.unwrap();
    let report = home.run(&["doctor"], &[]).await;
    assert!(report.output.starts_with(&format!("{OBJECTS} images, ")), "{report:?}");
    assert!(report.output.ends_with("\nno problems found\n"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopt_explains_what_it_cannot_do() {
    let home = Home::new().await;
    let unused = home.run(&arguments("s3://images/old/", &[]), &[("DATA_DIR", "nowhere")]).await;
    if home.has_embedded_storage() {
        assert_eq!(unused.status.code(), Some(1), "{unused:?}");
        assert!(unused.log.contains("DATA_DIR contains no data of this service"), "{unused:?}");
    }
    prepare(&home, &[]).await;
    let missing = home.run(&arguments("s3://no-such-bucket/old/", &[]), &[]).await;
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(missing.log.ends_with("error: there is no bucket named \"no-such-bucket\".\n"), "{missing:?}");
    let wrong = home.run(&arguments("images/old/", &[]), &[]).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(wrong.log.contains("must be like s3://bucket/prefix"), "{wrong:?}");
}
