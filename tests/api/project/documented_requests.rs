//! The requests in the documentation work as they are written there.

use std::process::Command;

use tempfile::TempDir;

use crate::app::account_commands::account_command;
use crate::harness::client::Client;
use crate::harness::pictures;
use crate::harness::process::{Home, Process};

/// Runs the requests of a page's `sh` blocks as one script, in a folder with `photo.jpg`. Returns the folder, and what the script printed.
async fn run_requests(page: &str, process: &Process, password: &str) -> (TempDir, String) {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let requests: Vec<&str> =
        blocks.filter(|block| block.contains("http://localhost:8000") || block.contains("\"$SHARE")).collect();
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("photo.jpg"), pictures::jpeg(300, 200, 1)).expect("a photo");
    let script = requests.join("\n").replace("http://localhost:8000", &format!("http://{}", process.address));
    // An error response fails the script, as a command that fails does.
    let script = format!("curl() {{ command curl -fsS --noproxy '*' \"$@\"; }}\n{}", script.replace('…', password));
    let output = Command::new("sh").args(["-euc", &script]).current_dir(folder.path()).output().expect("a shell");
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}\n{out}");
    (folder, out.into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_the_readme_work() {
    let readme = include_str!("../../../README.md");
    assert!(readme.matches("curl ").count() >= 9, "{readme}");
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let (folder, _) = run_requests(readme, &process, "").await;
    let file = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
    assert!(file("small.jpg").starts_with(b"\xff\xd8") && file("small.jpg").len() > 500);
    // The photo has no location metadata, so every byte is as it was sent.
    assert!(file("original.jpg") == file("photo.jpg") && file("public.jpg") == file("photo.jpg"));
    let image = Client::new(process.address).list().await.remove(0);
    assert_eq!((&image["title"], &image["user_id"]), (&"Dusk".into(), &"user123".into()));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_the_api_guide_work() {
    let page = include_str!("../../../docs/api.md");
    assert!(page.matches("curl ").count() >= 30, "{page}");
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let (folder, _) = run_requests(page, &process, "").await;
    let file = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
    for name in ["original.jpg", "public.jpg", "shared.jpg", "visited.jpg"] {
        assert!(file(name) == file("photo.jpg"), "{name}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_the_upload_guide_work() {
    let page = include_str!("../../../docs/uploads.md");
    assert!(page.matches("curl ").count() >= 3, "{page}");
    let home = Home::embedded();
    let process = Process::start(&home, &[]).await;
    let (_, out) = run_requests(page, &process, "").await;
    assert!(out.contains("\"message\":\"Image uploaded successfully\""), "{out}");
    let images = Client::new(process.address).list().await;
    assert_eq!(images.len(), 3, "directly, with tus, and as a form in pieces");
    for image in images {
        assert_eq!((&image["title"], &image["file_name"]), (&"Sunset".into(), &"photo.jpg".into()));
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_the_authentication_guide_work() {
    let page = include_str!("../../../docs/authentication.md");
    for mode in ["trusted", "required"] {
        let home = Home::embedded();
        assert!(account_command(&home, "create-admin", "root@example.org", "a password of root\n").await.status.success());
        let process = Process::start(&home, &[("AUTH_MODE", mode)]).await;
        let (_, out) = run_requests(page, &process, "a password of root").await;
        assert!(out.contains("\"visibility\":\"private\"") && out.contains("\"images\":1,"), "{out}");
        // Private images are listed for their owner only.
        assert!(Client::new(process.address).list().await.is_empty());
        process.stop().await;
    }
}
