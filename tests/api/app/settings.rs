//! Settings that stop the start: each error names its setting.

use crate::harness::process::Home;
use clap::Args;
use image_service::config::Config;

#[tokio::test]
async fn the_open_files_limit_is_raised_and_an_insufficient_one_is_logged() {
    let home = Home::embedded();
    // The limit is logged before the program fails to listen.
    let serve = home.command(&[], &[("HOST", "192.0.2.1"), ("AUTH_MODE", "required")]);
    for (soft, hard, settings, explained) in [
        (200, 1500, "--max-connections=100", "limit of open files limit=1500 needed=967"),
        (1500, 1500, "--max-connections=1024", "the limit of open files is too low for MAX_CONNECTIONS"),
    ] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" serve {settings}")]);
        shell.arg(serve.get_program()).env_clear().current_dir(home.data_dir().parent().unwrap());
        shell.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains(explained), "{settings}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_setting_stops_the_start_and_is_named() {
    let home = Home::embedded();
    let mut wrong = Vec::new();
    for (variable, value) in [
        ("HOST", "nowhere"),
        ("PORT", "99999"),
        ("DATA_DIR", "/proc/no/such/place"),
        ("DATABASE_URL", "mysql://alice:hunter2@localhost/images"),
        ("DATABASE_URL", "postgres://alice:hunter2@localhost:port/images"),
        ("DATABASE_CONNECTIONS", "0"),
        ("DATABASE_TIMEOUT", "0"),
        ("S3_BUCKET", "No Bucket"),
        ("S3_ENDPOINT_URL", "localhost:4566"),
        ("S3_PUBLIC_ENDPOINT_URL", "https://host/path"),
        ("S3_TIMEOUT", "soon"),
        ("UPLOAD_MEMORY_BUDGET", "1MiB"),
        ("DECODE_MEMORY_BUDGET", "much"),
        ("MAX_ANIMATION_PIXELS", "-1"),
        ("THUMBNAIL_HEIGHTS", "200,400,200"),
        ("MAX_VARIANTS_PER_IMAGE", "0"),
        ("VARIANT_RETENTION_DAYS", "-1"),
        ("URL_LIFETIME", "604800"),
        ("INTENT_GRACE", "1"),
        ("SWEEP_INTERVAL", "0"),
        ("CORS_ORIGINS", "example.org"),
        ("PUBLIC_URL", "here"),
        ("MAX_CONNECTIONS", "0"),
        ("HEAD_TIMEOUT", "0"),
        ("BODY_IDLE_TIMEOUT", "0"),
        ("BODY_TIMEOUT", "1.5"),
        ("SHUTDOWN_TIMEOUT", "1.5"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "a=b=c"),
    ] {
        let refused = home.run(&[], &[(variable, value)]).await;
        let explained =
            matches!(refused.status.code(), Some(1 | 2)) && refused.output.is_empty() && refused.log.contains(variable);
        if !explained || refused.log.contains("hunter2") || refused.log.contains("panicked") {
            wrong.push(format!("{variable}={value}: {refused:?}"));
        }
    }
    assert!(wrong.is_empty(), "not rejected, not named, or a password logged:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_access_settings_are_rejected_at_startup() {
    let home = Home::embedded();
    let long = "0123456789abcdef0123456789abcdef";
    for (variable, value) in [
        ("JWT_SECRET", "0123456789abcdef0123456789abcde"),
        ("JWT_SECRET", &format!("{long},short-secret")),
        ("AUTH_MODE", "none"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "proxy.example.org"),
        ("RATE_LIMIT_READS_PER_CALLER", "1000001"),
        ("RATE_LIMIT_LOGINS_PER_ADDRESS", "-1"),
    ] {
        let finished = home.run(&["serve"], &[(variable, value)]).await;
        assert!(!finished.status.success() && finished.output.is_empty(), "{variable}={value}: {finished:?}");
        let named = finished.log.contains(variable) || finished.log.contains(&variable.to_lowercase().replace('_', "-"));
        assert!(named, "{variable}={value}: {finished:?}");
        assert!(!finished.log.contains("0123456789abcde") && !finished.log.contains("short-secret"), "{finished:?}");
    }
    let help = home.run(&["serve", "--help"], &[("JWT_SECRET", long)]).await;
    assert!(help.status.success() && help.output.contains("JWT_SECRET") && !help.output.contains(long), "{help:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_a_variable_names_it_and_an_empty_variable_counts_as_unset() {
    let home = Home::embedded();
    let refused = home.run(&[], &[("PORT", "web")]).await;
    assert_eq!(refused.log, "error: invalid PORT: must be a whole number; found \"web\"\n");
    for (name, other) in [("ADMIN_EMAIL", "ADMIN_PASSWORD_FILE"), ("ADMIN_PASSWORD_FILE", "ADMIN_EMAIL")] {
        let refused = home.run(&["serve"], &[(name, "root@example.org")]).await;
        assert_eq!(refused.log, format!("error: invalid {other}: must be set, because {name} is set\n"));
    }
    let command = Config::augment_args(clap::Command::new("tests"));
    let names: Vec<String> =
        command.get_arguments().filter_map(clap::Arg::get_env).map(|name| name.to_string_lossy().into()).collect();
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let migrated = home.run(&["migrate"], &empty).await;
    assert!(migrated.status.success() && migrated.output == "the schema is up to date\n", "{migrated:?}");
}
