//! Invalid settings, and settings that count as unset.

use clap::Parser;

use super::captions::CaptionSetup;
use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

fn config(flags: &[&str]) -> Result<Config, String> {
    let flags = std::iter::once("image-service").chain(flags.iter().copied());
    let cli = Cli::try_parse_from(flags).map_err(|error| error.to_string())?;
    cli.config.validate().map_err(|error| error.to_string())
}

#[test]
fn an_invalid_setting_is_rejected_by_name() {
    for (flag, variable) in [
        ("--database-url=mysql://x", "DATABASE_URL"),
        ("--database-url=postgres://h1:1,h2:port/images", "DATABASE_URL"),
        ("--database-url=postgres://h1/images?target_session_attrs=standby", "DATABASE_URL"),
        ("--s3-bucket=UPPER", "S3_BUCKET"),
        ("--s3-endpoint-url=localhost:4566", "S3_ENDPOINT_URL"),
        ("--s3-public-endpoint-url=http://host/path", "S3_PUBLIC_ENDPOINT_URL"),
        ("--upload-memory-budget=1MiB", "UPLOAD_MEMORY_BUDGET"),
        ("--decode-memory-budget=1MiB", "DECODE_MEMORY_BUDGET"),
        ("--upload-disk-budget=1MiB", "UPLOAD_DISK_BUDGET"),
        ("--max-file-size=0", "MAX_FILE_SIZE"),
        ("--max-file-size=2GiB", "MAX_FILE_SIZE"),
        ("--min-file-size=0", "MIN_FILE_SIZE"),
        ("--min-file-size=11MiB", "MAX_FILE_SIZE"),
        ("--max-file-size=25", "MAX_FILE_SIZE"),
        ("--trusted-proxies=0.0.0.0/0", "TRUSTED_PROXIES"),
        ("--trusted-proxies=10.0.0.1,::/0", "TRUSTED_PROXIES"),
        ("--max-image-side=65501", "MAX_IMAGE_SIDE"),
        ("--min-image-side=0", "MIN_IMAGE_SIDE"),
        ("--min-image-side=4001", "MIN_IMAGE_SIDE"),
        ("--max-image-pixels=2499", "MAX_IMAGE_PIXELS"),
        ("--max-image-pixels=1000000001", "MAX_IMAGE_PIXELS"),
        ("--thumbnail-heights=15", "THUMBNAIL_HEIGHTS"),
        ("--thumbnail-heights=200,2001", "THUMBNAIL_HEIGHTS"),
        ("--thumbnail-heights=200,400,200", "THUMBNAIL_HEIGHTS"),
        ("--thumbnail-heights=20,30,40,50,60,70,80,90,100", "THUMBNAIL_HEIGHTS"),
        ("--thumbnail-heights=large", "--thumbnail-heights"),
        ("--max-variants-per-image=0", "MAX_VARIANTS_PER_IMAGE"),
        ("--resize=closed", "--resize"),
        ("--resize=listed", "RESIZE_SIZES"),
        ("--resize-sizes=320x,15x", "RESIZE_SIZES"),
        ("--url-signing-keys=tooshort", "URL_SIGNING_KEYS"),
        ("--url-lifetime=604800", "URL_LIFETIME"),
        ("--intent-grace=1", "INTENT_GRACE"),
        ("--retention-days=99999999", "RETENTION_DAYS"),
        ("--s3-timeout=4000", "INTENT_GRACE"),
        ("--database-timeout=300", "INTENT_GRACE"),
        ("--admission-timeout=4294967295", "INTENT_GRACE"),
        ("--cors-origins=example.org", "CORS_ORIGINS"),
        ("--cors-origins=*,https://example.org", "CORS_ORIGINS"),
        ("--public-url=here", "PUBLIC_URL"),
        ("--import-concurrency=65", "IMPORT_CONCURRENCY"),
        ("--import-host-concurrency=0", "IMPORT_HOST_CONCURRENCY"),
        ("--import-max-pending=99", "IMPORT_MAX_PENDING"),
        ("--import-attempts=0", "IMPORT_ATTEMPTS"),
        ("--import-retry-delay=0", "IMPORT_RETRY_DELAY"),
        ("--caption-url=localhost:11434", "CAPTION_URL"),
        ("--caption-url=http://localhost:11434/v1", "CAPTION_MODEL"),
        ("--caption-url=http://localhost/v1/chat/completions", "CAPTION_URL"),
        ("--caption-url=http://localhost/v1?key=1", "CAPTION_URL"),
        ("--caption-url=http://localhost/v1#part", "CAPTION_URL"),
        ("--caption-url=http://user:word@localhost/v1", "CAPTION_URL"),
        ("--caption-concurrency=65", "CAPTION_CONCURRENCY"),
        ("--caption-threads=257", "CAPTION_THREADS"),
        ("--caption-attempts=0", "CAPTION_ATTEMPTS"),
        ("--caption-timeout=0", "CAPTION_TIMEOUT"),
        ("--caption-retry-delay=3601", "CAPTION_RETRY_DELAY"),
        ("--caption-api-key=a\nb", "CAPTION_API_KEY"),
        ("--import-answer-timeout=3601", "IMPORT_ANSWER_TIMEOUT"),
        ("--import-timeout=0", "IMPORT_TIMEOUT"),
        ("--import-ports=80,0", "IMPORT_PORTS"),
        ("--import-ports=http", "--import-ports"),
        ("--allow-private-imports=perhaps", "--allow-private-imports"),
        ("--auth-mode=open", "--auth-mode"),
        ("--jwt-secret=tooshort", "JWT_SECRET"),
        ("--jwt-secret=01234567890123456789012345678901,short", "JWT_SECRET"),
        ("--trusted-proxies=10.0.0.0/33", "TRUSTED_PROXIES"),
        ("--trusted-proxies=127.0.0.1,proxy.example.org", "TRUSTED_PROXIES"),
        ("--rate-limit-reads-per-caller=1000001", "RATE_LIMIT_READS_PER_CALLER"),
        ("--rate-limit-logins-per-address=-1", "--rate-limit-logins-per-address"),
        ("--log-level=a=b=c", "LOG_LEVEL"),
        ("--log-level=loud", "LOG_LEVEL"),
        ("--port=99999", "--port"),
        ("--body-timeout=soon", "--body-timeout"),
        ("--body-timeout=0", "BODY_TIMEOUT"),
        ("--keep-alive-timeout=0", "KEEP_ALIVE_TIMEOUT"),
        ("--host=example.org", "--host"),
    ] {
        let error = config(&[flag]).expect_err(flag);
        assert!(error.contains(variable), "{flag}: {error}");
    }
}

#[test]
fn an_error_names_the_setting_once_and_the_rule() {
    for (flag, error) in [
        ("--s3-timeout=0", "invalid S3_TIMEOUT: must be at least 1 second"),
        ("--max-downloads=0", "invalid MAX_DOWNLOADS: must be at least 1"),
        ("--import-ports=80,0", "invalid IMPORT_PORTS: each port must be from 1 to 65535"),
        ("--database-url=mysql://x", "invalid DATABASE_URL: must start with postgres://"),
        ("--s3-endpoint-url=https://host/path", "invalid S3_ENDPOINT_URL: must have no path, query or credentials"),
        (
            "--resize-sizes=15x",
            "invalid RESIZE_SIZES: each size must be like 320x240, 320x or x240, with sides from 16 to 2000; found \"15x\"",
        ),
    ] {
        assert_eq!(config(&[flag]).unwrap_err(), error, "{flag}");
    }
}

#[test]
fn a_budget_too_small_for_one_file_or_image_is_rejected_with_both_settings_and_the_minimum() {
    for (flags, words) in [
        (&["--max-file-size=200MiB"][..], ["UPLOAD_MEMORY_BUDGET", "MAX_FILE_SIZE", "at least 201MiB"]),
        (
            &["--max-file-size=400MiB", "--upload-memory-budget=1GiB"],
            ["DECODE_MEMORY_BUDGET", "MAX_FILE_SIZE", "at least 424MiB"],
        ),
        (&["--max-image-pixels=300000000"], ["DECODE_MEMORY_BUDGET", "MAX_IMAGE_PIXELS", "at least 303MiB"]),
    ] {
        let error = config(flags).expect_err(words[0]);
        assert!(words.iter().all(|word| error.contains(word)), "{flags:?}: {error}");
    }
    let large = ["--max-file-size=200MiB", "--upload-memory-budget=256MiB", "--max-image-pixels=200000000"];
    assert_eq!(config(&large).unwrap().limits().imaging.max_pixels, 200_000_000);
    config(&["--max-file-size=201MiB", "--upload-memory-budget=202MiB", "--max-image-side=65500"]).unwrap();
}

#[test]
fn uploads_of_larger_files_and_images_time_out_later() {
    let longest = |flags: &[&str]| config(flags).unwrap().limits().longest_upload;
    let large = longest(&["--max-file-size=200MiB", "--upload-memory-budget=1GiB", "--max-image-pixels=200000000"]);
    assert!(large >= longest(&[]) + std::time::Duration::from_secs(190 + 12 * 60), "{large:?}");
    let error = config(&["--max-image-pixels=1000000000", "--decode-memory-budget=2GiB"]).unwrap_err();
    assert!(error.contains("INTENT_GRACE") && error.contains("MAX_IMAGE_PIXELS"), "{error}");
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let empty = ["--database-url=", "--s3-endpoint-url=", "--cors-origins=", "--jwt-secret=", "--trusted-proxies="];
    let config = config(&empty).unwrap();
    assert!(config.uses_data_dir() && config.database_url.is_none() && config.cors_origins.is_empty());
    assert!(config.access.jwt_secret.is_empty() && config.access.trusted_proxies.is_empty());
}

#[test]
fn spaces_are_accepted_around_each_value_of_a_list() {
    let secret = "01234567890123456789012345678901";
    for (setting, values) in [
        ("import-ports", [" 80", "443 "]),
        ("thumbnail-heights", [" 200", "400 "]),
        ("resize-sizes", [" 320x", "x240 "]),
        ("url-signing-keys", [&format!(" {secret}"), &format!("{secret} ")]),
        ("jwt-secret", [&format!(" {secret}"), &format!("{secret} ")]),
        ("trusted-proxies", [" 10.0.0.1", "10.1.0.0/16 "]),
        ("cors-origins", [" https://a.example.org", "https://b.example.org "]),
        ("log-level", [" image_service::fetch=debug", "warn "]),
    ] {
        let (spaced, plain) = (values.join(" , "), values.map(str::trim).join(","));
        let read =
            |values: &str| config(&[&format!("--{setting}={values}")]).unwrap_or_else(|error| panic!("{setting}: {error}"));
        assert_eq!(format!("{:?}", read(&spaced)), format!("{:?}", read(&plain)), "{setting}");
    }
}

#[test]
fn captions_have_one_source() {
    let both = config(&["--caption-model-dir=/models/blip", "--caption-url=http://localhost/v1", "--caption-model=m"]);
    assert!(both.unwrap_err().contains("CAPTION_MODEL_DIR is set as well"));
    let setup = |flags: &[&str]| config(flags).unwrap().captions.setup();
    assert!(matches!(setup(&[]), CaptionSetup::Off));
    assert!(matches!(setup(&["--caption-model-dir=", "--caption-url="]), CaptionSetup::Off));
    assert!(matches!(setup(&["--caption-model-dir=/models/blip", "--caption-concurrency=0"]), CaptionSetup::Elsewhere));
    let CaptionSetup::On { model, .. } = setup(&["--caption-model-dir=/models/blip/"]) else { panic!("it is on") };
    assert_eq!(model, "blip");
}

#[test]
fn only_a_gateway_can_act_as_any_user() {
    let refused = |flags: &[&str]| {
        let error = config(flags).unwrap().check_exposure().err()?.to_string();
        assert!(error.contains("AUTH_MODE=required") && error.contains("TRUSTED_PROXIES"), "{error}");
        Some(error)
    };
    for open in [&["--host=0.0.0.0"][..], &["--host=::", "--auth-mode=trusted"], &["--host=10.1.2.3", "--trusted-proxies= ,"]] {
        assert!(refused(open).is_some(), "{open:?}");
    }
    let proxy = "--trusted-proxies=10.0.0.1";
    for guarded in [&[][..], &["--host=::1"], &["--host=0.0.0.0", "--auth-mode=required"], &["--host=0.0.0.0", proxy]] {
        assert_eq!(refused(guarded), None, "{guarded:?}");
    }
}

#[test]
fn the_first_administrator_has_an_address_and_a_password() {
    for (flags, error) in [
        (&["--admin-password-file=/p"][..], "invalid ADMIN_EMAIL: must be set, because ADMIN_PASSWORD_FILE is set"),
        (&["--admin-email=root@example.org"], "invalid ADMIN_PASSWORD_FILE: must be set, because ADMIN_EMAIL is set"),
        (
            &["--admin-email=root", "--admin-password-file=/p"],
            "invalid ADMIN_EMAIL: must be like name@example.org, without spaces and colons",
        ),
    ] {
        assert_eq!(config(flags).unwrap_err(), error, "{flags:?}");
    }
    assert!(config(&["--admin-email=root@example.org", "--admin-password-file=/p"]).is_ok());
    assert!(config(&["--admin-email=", "--admin-password-file="]).is_ok());
}

#[test]
fn a_public_url_with_presigned_urls_to_this_machine_causes_a_warning() {
    let warned = |flags: &[&str]| {
        let warnings = config(flags).unwrap().warnings();
        warnings.iter().filter(|warning| warning.contains("S3_PUBLIC_ENDPOINT_URL")).count()
    };
    for local in [&[][..], &["--public-url=http://localhost:9000"], &["--public-url=http://127.0.0.1/pictures"]] {
        assert_eq!(warned(local), 0, "{local:?}");
    }
    assert_eq!(warned(&["--public-url=https://images.example.org"]), 1);
    let public = ["--public-url=https://images.example.org", "--s3-public-endpoint-url=https://s3.example.org"];
    assert_eq!(warned(&public), 0);
    let foreign = ["--public-url=https://images.example.org", "--s3-endpoint-url=https://s3.example.org"];
    assert_eq!(warned(&foreign), 0);
}

#[test]
fn a_public_url_with_trusted_headers_causes_a_warning() {
    let warned = |flags: &[&str]| {
        config(flags).unwrap().warnings().iter().any(|warning| warning.contains("AUTH_MODE=trusted is safe only if"))
    };
    assert!(warned(&["--public-url=https://images.example.org"]));
    for guarded in [&[][..], &["--public-url=http://localhost:9000"]] {
        assert!(!warned(guarded), "{guarded:?}");
    }
    assert!(!warned(&["--public-url=https://images.example.org", "--auth-mode=required"]));
}

#[test]
fn a_warning_says_which_part_of_the_data_is_on_this_machine() {
    let warned = |flags: &[&str]| {
        let warnings = config(flags).unwrap().warnings();
        warnings.into_iter().find(|warning| warning.contains("in DATA_DIR on this machine"))
    };
    let (database, storage) = ("--database-url=postgres://db/images", "--s3-endpoint-url=http://s3:9000");
    assert_eq!((warned(&[]), warned(&[database, storage])), (None, None));
    let images = warned(&[database]).unwrap();
    assert!(images.starts_with("S3_ENDPOINT_URL is not set, so the images are in DATA_DIR"), "{images}");
    let rows = warned(&[storage]).unwrap();
    assert!(rows.starts_with("DATABASE_URL is not set, so the database is in DATA_DIR"), "{rows}");
}

#[test]
fn public_links_start_with_the_public_url_or_the_listening_address() {
    for (flags, address, base) in [
        (&["--public-url=https://images.example.org/"][..], "0.0.0.0:8000", "https://images.example.org"),
        (&["--public-url=https://example.org/images"], "127.0.0.1:8000", "https://example.org/images"),
        (&[], "127.0.0.1:8000", "http://localhost:8000"),
        (&["--public-url="], "[::]:9000", "http://localhost:9000"),
        (&[], "10.1.2.3:8000", "http://10.1.2.3:8000"),
        (&[], "[fd00::1]:8000", "http://[fd00::1]:8000"),
    ] {
        assert_eq!(config(flags).unwrap().http(address.parse().unwrap()).link_base, base, "{flags:?} {address}");
    }
}

#[test]
fn the_body_timeout_allows_the_largest_upload_at_the_minimum_rate() {
    let http = |flags: &[&str]| config(flags).unwrap();
    for (flags, seconds) in [
        (&[][..], None),
        (&["--body-min-rate=1KiB"], None),
        (&["--body-min-rate=100MiB"], Some(120)),
        (&["--body-min-rate=0"], Some(3600)),
        (&["--body-timeout=7"], Some(7)),
    ] {
        let config = http(flags);
        let body = config.http("127.0.0.1:8000".parse().unwrap()).body;
        match seconds {
            Some(seconds) => assert_eq!(body.total_timeout.as_secs(), seconds, "{flags:?}"),
            None => {
                let upload = config.limits().max_file_bytes + body.fields_bytes;
                assert!(body.total_timeout.as_secs() * body.min_bytes_per_second >= upload, "{flags:?}: {body:?}");
            }
        }
    }
}

#[test]
fn idle_connections_outlive_those_of_load_balancers() {
    let server = config(&[]).unwrap().server();
    assert!(server.keep_alive_timeout.as_secs() > 60 && server.head_timeout.as_secs() < 60);
}
