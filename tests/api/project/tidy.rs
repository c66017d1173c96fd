//! Checks what can drift against what it must match: `openapi.yaml`, the settings in the documentation, the wording.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use image_service::config::Config;
use image_service::http::identity::authentication::UNRESTRICTED_PATHS;
use image_service::http::openapi;
use image_service::http::openapi::yaml;

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
        assert!(text.starts_with("//!") || text.starts_with("#![doc"), "{} does not open with //!", file.display());
    }
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let files = ["src", "tests"].iter().flat_map(|folder| rust_files(&root().join(folder)));
    let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap().lines().count();
    let long: Vec<_> = files.map(|file| (lines(&file), file)).filter(|(lines, _)| *lines > 400).collect();
    assert!(long.is_empty(), "move one of their responsibilities to another file: {long:?}");
}

#[test]
fn sql_is_written_in_the_store_alone() {
    let words = ["select ", "insert into ", "update images", "delete from "];
    for file in rust_files(&root().join("src")).into_iter().filter(|file| !file.starts_with(root().join("src/store"))) {
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
fn the_documentation_lists_every_setting_with_its_default() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let is_listed = |heading: &str, table: &str| {
        page.split("\n## ").any(|section| section.starts_with(&format!("{heading}\n")) && section.contains(table))
    };
    let stale: Vec<String> = settings_tables()
        .iter()
        .filter(|(heading, table)| !is_listed(heading, table))
        .map(|(heading, table)| format!("## {heading}\n\n{table}"))
        .collect();
    assert!(stale.is_empty(), "docs/configuration.md should have these tables:\n\n{}", stale.join("\n"));
}

/// A table for each group of settings.
fn settings_tables() -> Vec<(String, String)> {
    let command = Config::augment_args(Command::new("serve"));
    let mut tables: Vec<(String, String)> = Vec::new();
    for setting in command.get_arguments() {
        let Some(variable) = setting.get_env() else { continue };
        let heading = setting.get_help_heading().expect("a heading");
        let default =
            setting.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect::<String>();
        let help = setting.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> = setting.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        let is_named = values.iter().all(|value| help.contains(&format!("`{value}`")));
        let is_flag = values.iter().any(|value| value == "true");
        let values = if is_flag || is_named { String::new() } else { format!(": `{}`", values.join("`, `")) };
        // clap drops the full stop at the end.
        let stop = if help.contains(". ") { "." } else { "" };
        let row = format!("| `{}` | {default} | {help}{values}{stop} |\n", variable.to_string_lossy());
        match tables.iter_mut().find(|(of, _)| of == heading) {
            Some((_, table)) => *table += &row,
            None => tables.push((heading.to_owned(), format!("| variable | default | what it sets |\n|---|---|---|\n{row}"))),
        }
    }
    tables
}

#[test]
fn relative_links_of_the_documentation_lead_to_files() {
    let mut links = 0;
    for page in prose() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            links += 1;
            assert!(page.parent().unwrap().join(file).exists(), "{} links to {target}", page.display());
        }
    }
    assert!(links > 50, "only {links} links were found");
}

#[test]
fn the_architecture_names_files_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let names = page.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && !name.contains("favourites"));
    let files: Vec<PathBuf> =
        names.map(|name| root().join(if name.starts_with("tests/") { "" } else { "src" }).join(name)).collect();
    assert!(files.len() > 25, "only {} files were found", files.len());
    let missing: Vec<&PathBuf> = files.iter().filter(|file| !file.exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Phrases that readers stumble over, and what to write instead.
const PLAIN_WORDS: [(&str, &str); 22] = [
    ("anew", "again, or rebuild"),
    ("as it stands", "unchanged"),
    ("come in by", "authenticate with"),
    ("comes in by", "authenticates with"),
    ("for ever", "forever"),
    ("for themself", "for themselves"),
    ("gives way", "yields"),
    ("half as long again", "50% slower"),
    ("in the way of", "compatible with"),
    ("is told once", "is shown only once"),
    ("its kin", "related"),
    ("lately", "recently"),
    ("look at the credentials", "check the credentials"),
    ("may pass", "transient"),
    ("picture of any size", "resized image"),
    ("pictures of any size", "resized images"),
    ("taken back", "revoked"),
    ("told of", "reported"),
    ("what is known of", "metadata of"),
    ("whoever", "callers, clients"),
    ("who is known to", "authenticated"),
    ("held against", "checked against"),
];

#[test]
fn the_wording_is_plain() {
    let texts = prose().into_iter().chain(rust_files(&root().join("src"))).chain([root().join("openapi.yaml")]);
    let mut found = Vec::new();
    for path in texts {
        let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
        for (number, line) in text.lines().enumerate() {
            let is_word = |at: usize, phrase: &str| {
                let ends = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                ends(line[..at].chars().next_back()) && ends(line[at + phrase.len()..].chars().next())
            };
            for (phrase, instead) in PLAIN_WORDS {
                if line.match_indices(phrase).any(|(at, _)| is_word(at, phrase)) {
                    found.push(format!("{}:{}: {phrase:?}: write {instead}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} phrases:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let words = std::fs::read_to_string(root().join("README.md")).unwrap().split_whitespace().count();
    assert!(words <= 900, "{words} words: move the rest to docs/");
}

/// Every page that people read.
fn prose() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in [".", "docs", "benches", "findings"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
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
