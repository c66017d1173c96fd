//! What can drift is held against what it must match: the floors, the two schemas, `openapi.yaml`, the README's table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use image_service::config::Config;
use image_service::http::identity::authentication::UNRESTRICTED_PATHS;
use image_service::http::openapi;
use image_service::http::openapi::yaml;

/// The floor of each room, and of each file at the top.
const FLOORS: [(&str, u8); 13] = [
    ("app", 5),
    ("config", 5),
    ("data_dir", 5),
    ("http", 4),
    ("worker", 4),
    ("service", 3),
    ("store", 2),
    ("objects", 2),
    ("imaging", 2),
    ("fetch", 2),
    ("caption", 2),
    ("metrics", 2),
    ("model", 1),
];

#[test]
fn every_file_imports_only_from_floors_below_or_its_own_room() {
    let floors = BTreeMap::from(FLOORS);
    let mut imports = 0;
    for file in rust_files(&root().join("src")) {
        let room = room_of(&file);
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (position, _) in line.match_indices("crate::") {
                let imported: String = line[position + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let (Some(own), Some(other)) = (floors.get(room.as_str()), floors.get(imported.as_str())) else { continue };
                imports += 1;
                let allowed = imported == room || other < own || (*own == 5 && *other == 5);
                assert!(
                    allowed,
                    "{}: room {room} (floor {own}) must not import {imported} (floor {other}): {line}",
                    file.display()
                );
            }
        }
    }
    assert!(imports > 50, "only {imports} imports were found: does this test still read them?");
}

#[test]
fn container_images_are_pinned_by_digest() {
    let is_pinned = |line: &str| {
        let digest = line.split_once("@sha256:").map(|(_, rest)| rest.split('}').next().unwrap_or_default()).unwrap_or_default();
        digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    for (file, keyword) in [("Dockerfile", "FROM "), ("docker-compose.yml", "image:")] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let images: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with(keyword)).collect();
        assert_eq!(images.len(), 2, "{file}: {images:?}");
        assert!(images.iter().all(|line| is_pinned(line)), "{file}: {images:?}");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for file in rust_files(&root().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with //!", file.display());
    }
}

#[test]
fn sql_is_written_in_the_store_alone() {
    let words = ["select ", "insert into ", "update images", "delete from "];
    for file in rust_files(&root().join("src")).into_iter().filter(|file| room_of(file) != "store") {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in words {
            assert!(!text.contains(&format!("\"{word}")), "{} holds SQL: {word}", file.display());
        }
    }
}

#[test]
fn both_databases_have_the_same_tables_columns_and_indexes() {
    let names = |folder: &str| {
        let mut names: Vec<_> = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("migrations/postgres"), names("migrations/sqlite"));
    for name in names("migrations/postgres") {
        let read = |folder: &str| std::fs::read_to_string(root().join(folder).join(&name)).unwrap();
        assert_eq!(shape(&read("migrations/postgres")), shape(&read("migrations/sqlite")), "{name:?}");
    }
}

/// A schema's lines without the types' names, which differ, and what only one database has. Rows are changed in each database's
/// own way.
fn shape(sql: &str) -> Vec<String> {
    let mut is_update = false;
    let types = [
        ("jsonb", "text"),
        ("uuid", "blob"),
        ("bytea", "blob"),
        ("timestamptz", "text"),
        ("bigint", "integer"),
        (" collate \"C\"", ""),
        (" with (fillfactor = 50)", ""),
        (" without rowid", ""),
    ];
    let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default().trim_end());
    let of_schema = code.filter(|line| !line.is_empty()).filter(|line| {
        is_update |= line.starts_with("update ");
        let kept = !is_update;
        is_update &= !line.ends_with(';');
        kept
    });
    of_schema.map(|line| types.iter().fold(line.to_owned(), |line, (from, to)| line.replace(from, to))).collect()
}

#[test]
fn openapi_yaml_is_the_document_that_the_service_serves() {
    let kept = std::fs::read_to_string(root().join("openapi.yaml")).unwrap();
    let served = yaml::to_yaml(&openapi::document()).unwrap();
    assert!(kept == served, "openapi.yaml is not current: image-service openapi > openapi.yaml");
}

#[test]
fn every_operation_has_an_id_a_summary_and_the_errors_that_any_can_give() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{name}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                ["200", "201", "202", "204"].iter().any(|status| responses.contains_key(*status))
                    && (responses.contains_key("422") || UNRESTRICTED_PATHS.contains(&path.as_str())),
                "{name} refuses unknown parameters with 422"
            );
            if !operation["requestBody"].is_null() {
                for status in ["400", "408", "413", "415"] {
                    assert!(responses.contains_key(status), "{name} reads a body and may answer {status}");
                }
            }
            if operation["tags"][0] == "images" {
                assert!(responses.contains_key("500") && responses.contains_key("503"), "{name}");
            }
        }
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let text = document.to_string();
    let references: Vec<&str> = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 10, "only {} references were found", references.len());
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference} is not in the document");
    }
}

#[test]
fn the_readme_tells_every_setting_with_its_true_default() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let table = settings_table();
    assert!(readme.contains(&table), "the README's table of settings should be:\n\n{table}");
}

/// The settings as a table in Markdown, from what the command line knows of itself.
fn settings_table() -> String {
    let command = Config::augment_args(Command::new("serve"));
    let mut table = "| variable | default | what it is |\n|---|---|---|\n".to_owned();
    for setting in command.get_arguments() {
        let Some(variable) = setting.get_env().and_then(|name| name.to_str()) else { continue };
        let default =
            setting.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect::<String>();
        let help = setting.get_help().map(ToString::to_string).unwrap_or_default();
        let values =
            setting.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect::<Vec<_>>().join(", ");
        let values = if values.is_empty() || values.contains("true") { String::new() } else { format!(": {values}") };
        table += &format!("| `{variable}` | {default} | {help}{values} |\n");
    }
    table
}

#[test]
fn the_files_that_the_readme_names_exist() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for path in ["tests/run", "docker-compose.yml", "benches/README.md", "openapi.yaml"] {
        assert!(readme.contains(path) && root().join(path).exists(), "{path}");
    }
}

fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
