//! The program's commands: `migrate`, `doctor`, `openapi`, `healthcheck` and `help`.

use crate::harness::client::{Client, Upload};
use crate::harness::process::{Home, Process};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_creates_the_schema_and_exits() {
    let home = Home::new().await;
    if home.database_address().is_some() {
        home.empty_database().await;
    }
    for _ in 0..2 {
        let migrated = home.run(&["migrate"], &[]).await;
        assert!(migrated.status.success() && migrated.output == "the schema is up to date\n", "{migrated:?}");
    }
    if home.database_address().is_none() {
        assert!(home.data_dir().join("images.sqlite").is_file());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_reports_no_problems_in_sound_data_and_names_missing_objects() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let client = Client::new(process.address);
    let image = client.upload(&Upload::small("patient", 1)).await.image();
    let storage = home.storage(&process);
    let keys = storage.keys().await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    process.stop().await;
    let report = home.run(&["doctor"], &[]).await;
    assert_eq!(
        (report.status.code(), report.output.as_str()),
        (Some(0), "1 image, 3 objects\nno problems found\n"),
        "{report:?}"
    );

    let process = Process::start(&home, &[]).await;
    let original = keys.iter().find(|key| key.ends_with("/original")).expect("an original");
    assert!(original.contains(image["image_id"].as_str().expect("an id")));
    home.storage(&process).delete(original).await;
    home.storage(&process).put("not/ours", b"foreign").await;
    process.stop().await;
    let report = home.run(&["doctor"], &[]).await;
    assert_eq!(report.status.code(), Some(1), "{report:?}");
    assert!(report.output.contains(&format!("missing object: {original}\n")), "{report:?}");
    assert!(report.output.contains("1 object does not belong to this service: not/ours\n"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openapi_prints_the_document_without_a_database_or_storage() {
    let home = Home::embedded();
    let printed = home.run(&["openapi"], &[]).await;
    assert!(printed.status.success(), "{printed:?}");
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml")).expect("openapi.yaml");
    assert!(printed.output == kept, "openapi.yaml differs from what `image-service openapi` prints");
    assert!(!home.data_dir().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_of_healthcheck_tells_whether_the_service_is_up() {
    let home = Home::new().await;
    let process = Process::start(&home, &[]).await;
    let port = process.address.port().to_string();
    assert_eq!(home.run(&["healthcheck", "--port", &port], &[]).await.status.code(), Some(0));
    assert_eq!(home.run(&["healthcheck"], &[("PORT", &port)]).await.status.code(), Some(0));
    process.stop().await;
    let down = home.run(&["healthcheck", "--port", &port], &[]).await;
    assert_eq!(down.status.code(), Some(1), "{down:?}");
    assert!(down.log.starts_with("error: "), "{down:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_lists_every_command_and_every_setting() {
    let home = Home::embedded();
    let help = home.run(&["--help"], &[]).await;
    assert!(help.status.success());
    for command in ["serve", "adopt", "migrate", "openapi", "doctor", "healthcheck"] {
        assert!(help.output.contains(&format!("\n  {command} ")), "{}", help.output);
    }
    let help = home.run(&["serve", "--help"], &[]).await;
    assert!(help.status.success());
    let source = include_str!("../../../src/config.rs");
    let variables = source.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
    let variables: Vec<&str> = variables.collect();
    assert!(variables.len() > 25);
    // Long lines are wrapped.
    let help: Vec<&str> = help.output.split_whitespace().collect();
    let help = help.join(" ");
    for variable in variables {
        assert!(
            help.contains(&format!("[env: {variable}=")) || help.contains(&format!("[env: {variable}]")),
            "{variable} is not in the help"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_short_help_of_a_command_lists_only_the_settings_that_it_uses() {
    let home = Home::embedded();
    for command in ["adopt", "migrate", "doctor", "create-admin", "set-password"] {
        let help = async |flag| home.run(&[command, flag], &[]).await.output;
        let (short, long) = (help("-h").await, help("--help").await);
        let settings = ["--data-dir", "--database-url", "--log-level"];
        assert!(settings.iter().all(|setting| short.contains(setting)), "{command}: {short}");
        assert_eq!(short.contains("--s3-endpoint-url"), ["adopt", "doctor"].contains(&command), "{command}: {short}");
        for setting in ["--port", "--max-file-size", "--s3-public-endpoint-url"] {
            assert!(!short.contains(&format!("{setting} ")) && long.contains(&format!("{setting} ")), "{command}: {short}");
        }
    }
    assert!(home.run(&["serve", "-h"], &[]).await.output.contains("--port "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_without_a_command_gets_an_error_that_names_the_command() {
    let home = Home::embedded();
    for arguments in [&["--port", "9000"][..], &["--port=9000"]] {
        let refused = home.run(arguments, &[]).await;
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(refused.log.contains("tip: settings follow the command: 'image-service serve --port'"), "{refused:?}");
    }
    let unknown = home.run(&["--speed", "9000"], &[]).await;
    assert!(unknown.status.code() == Some(2) && !unknown.log.contains("serve"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_creates_nothing_without_existing_data() {
    let home = Home::new().await;
    if home.database_address().is_some() {
        home.empty_database().await;
    }
    let mut home_elsewhere = Home::embedded();
    home_elsewhere.set("DATA_DIR", "mistyped");
    for home in [home, home_elsewhere] {
        for _ in 0..2 {
            let report = home.run(&["doctor"], &[]).await;
            assert!(report.status.code() == Some(1) && report.output.is_empty(), "{report:?}");
            assert!(
                report.log.contains(" does not exist") || report.log.contains("migration 1 (images) has not run"),
                "{report:?}"
            );
        }
        assert!(!home.data_dir().exists() && !home.data_dir().with_file_name("mistyped").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_connects_to_the_address_of_the_service() {
    for host in ["127.0.0.2", "0.0.0.0"] {
        let mut home = Home::embedded();
        home.set("HOST", host);
        home.set("AUTH_MODE", "required");
        let process = Process::start(&home, &[]).await;
        let checked = home.run(&["healthcheck"], &[("PORT", &process.address.port().to_string())]).await;
        assert!(checked.status.success(), "{host}: {checked:?}");
        process.stop().await;
    }
}
