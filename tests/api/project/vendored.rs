//! Checks the third-party browser modules: their hashes, their licences and what they import.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

const LICENCES: [&str; 5] = ["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"];

/// Files of this project.
const OWN_FILES: [&str; 2] = ["fetch", "vendor.json"];

/// A classic script, which cannot import modules. Its texts contain code with imports.
const CLASSIC_SCRIPT: &str = "redoc/redoc.standalone.js";

#[derive(Deserialize)]
struct Lock {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    licence: String,
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    sha256: String,
}

#[test]
fn vendored_files_are_those_of_the_lock_file() {
    let listed: BTreeMap<String, String> =
        lock().packages.into_iter().flat_map(|package| package.files).map(|file| (file.path, file.sha256)).collect();
    assert!(!listed.is_empty(), "vendor.json lists no files");
    let mut found: BTreeMap<String, String> = files(&folder()).iter().map(|path| (relative(path), hash(path))).collect();
    found.retain(|path, _| !OWN_FILES.contains(&path.as_str()));
    for (path, sha256) in &found {
        let expected = listed.get(path).unwrap_or_else(|| panic!("{path} is not in vendor.json: add it, or delete the file"));
        assert_eq!(sha256, expected, "{path} is not the file of its package: run src/web/assets/vendor/fetch");
    }
    for path in listed.keys() {
        assert!(found.contains_key(path), "{path} is in vendor.json, but does not exist: run src/web/assets/vendor/fetch");
    }
}

#[test]
fn vendored_packages_have_a_permissive_licence_and_its_text() {
    for Package { name, licence, files } in lock().packages {
        assert!(LICENCES.contains(&licence.as_str()), "{name} has the licence {licence}, which is not in {LICENCES:?}");
        // A package without a licence text names its licence only in package.json.
        let states_it = |file: &File| ["LICENSE", "package.json"].iter().any(|name| Path::new(&file.path).ends_with(name));
        assert!(files.iter().any(states_it), "{name} has neither LICENSE nor package.json in vendor.json");
    }
}

#[test]
fn vendored_scripts_import_only_relative_paths() {
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "js" || extension == "mjs");
    let scripts: Vec<PathBuf> = files(&folder()).into_iter().filter(is_script).collect();
    assert!(!scripts.is_empty(), "no scripts were found");
    for path in scripts.into_iter().filter(|path| relative(path) != CLASSIC_SCRIPT) {
        let text = std::fs::read_to_string(&path).unwrap();
        let others = other_imports(&text);
        assert!(
            others.is_empty(),
            "{} imports {others:?}, which browsers cannot resolve: vendor another build of the package",
            relative(&path)
        );
    }
}

#[test]
fn the_scan_finds_every_form_of_import() {
    for import in [r#"import{h}from"preact";"#, "export * from 'preact'", r#"import "preact""#, r#"await import( "preact" )"#] {
        assert_eq!(other_imports(import), ["preact"], "{import}");
    }
    for other in [r#"import{h}from"./preact.js""#, r#"import("../preact.js")"#, r#"Array.from("preact")"#, r#"transform"a""#] {
        assert!(other_imports(other).is_empty(), "{other}");
    }
}

/// Returns what a script imports, except for relative paths. Text in a string or comment that looks like an import also counts.
fn other_imports(script: &str) -> Vec<&str> {
    let specifiers = ["from", "import"].into_iter().flat_map(|keyword| {
        script.match_indices(keyword).filter_map(move |(at, _)| {
            let before = script[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || ['_', '$', '.'].contains(&c)) {
                return None;
            }
            let rest = script[at + keyword.len()..].trim_start();
            let rest = if keyword == "import" { rest.trim_start_matches('(').trim_start() } else { rest };
            let quote = rest.chars().next().filter(|c| ['"', '\'', '`'].contains(c))?;
            rest[1..].split(quote).next()
        })
    });
    specifiers.filter(|specifier| !specifier.starts_with("./") && !specifier.starts_with("../")).collect()
}

fn lock() -> Lock {
    let text = std::fs::read_to_string(folder().join("vendor.json")).expect("vendor.json exists");
    serde_json::from_str(&text).expect("vendor.json lists packages with a name, a licence and files")
}

fn hash(path: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(path).unwrap()))
}

/// The path in the folder, as in the lock file.
fn relative(path: &Path) -> String {
    path.strip_prefix(folder()).expect("a path in the folder").to_str().expect("a path in UTF-8").replace('\\', "/")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/assets/vendor")
}
