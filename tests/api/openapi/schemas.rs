//! Rules for the schemas of the OpenAPI document: patterns, enums, required fields and examples.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::document::{document, object, operations, resolved, walk, walk_all};

#[test]
fn patterns_work_in_every_regular_expression_library() {
    let document = document();
    walk_all(&document, &mut |address, schema| {
        let pattern = schema["pattern"].as_str().unwrap_or_default();
        assert!(pattern.is_ascii() && !pattern.contains("\\u") && !pattern.contains("\\p"), "{address}: {pattern}");
    });
}

#[test]
fn every_enum_is_a_separate_component() {
    let document = document();
    let mut lists = BTreeSet::new();
    walk_all(&document, &mut |address, schema| {
        if let Some(values) = schema["enum"].as_array() {
            assert!(object(&document["components"]["schemas"]).contains_key(address), "{address} is an inline enum: {values:?}");
            lists.insert(values.iter().map(Value::to_string).collect::<Vec<_>>());
        }
    });
    assert!(lists.len() > 5, "only {} enums were found", lists.len());
}

#[test]
fn every_field_of_a_response_is_required() {
    let document = document();
    let mut sent = BTreeSet::new();
    let own = operations(&document).into_iter().flat_map(|(_, operation)| object(&operation["responses"]).values());
    for response in own.chain(object(&document["components"]["responses"]).values()) {
        for content in response["content"].as_object().into_iter().flat_map(Map::values) {
            collect_references(&document, &content["schema"], &mut sent);
        }
    }
    assert!(sent.len() > 30, "only {} schemas of responses were found", sent.len());
    for name in sent {
        walk(&name, &document["components"]["schemas"][&name], &mut |address, schema| {
            for property in schema["properties"].as_object().into_iter().flat_map(Map::keys) {
                let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|name| name == property));
                assert!(required, "{address}.{property} is always sent but not required");
            }
        });
    }
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/http")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            let skips = text.lines().any(|line| line.trim_start().starts_with("#[serde(") && line.contains("skip_serializing"));
            assert!(!skips, "{}: responses must always contain all fields", path.display());
        }
    }
}

fn collect_references(document: &Value, schema: &Value, names: &mut BTreeSet<String>) {
    let mut found = Vec::new();
    walk("", schema, &mut |_, schema| found.extend(schema["$ref"].as_str()));
    for reference in found {
        let name = reference.trim_start_matches("#/components/schemas/").to_owned();
        if names.insert(name) {
            collect_references(document, resolved(document, &serde_json::json!({"$ref": reference})), names);
        }
    }
}

#[test]
fn user_id_is_not_required() {
    let document = document();
    for schema in ["UploadForm", "CreateImportRequest"] {
        let required = &document["components"]["schemas"][schema]["required"];
        assert!(!required.as_array().unwrap().contains(&"user_id".into()), "{schema}: an account's uploads need no user_id");
    }
    assert_eq!(document["components"]["schemas"]["UploadForm"]["required"], serde_json::json!(["file"]));
}

#[test]
fn complete_examples_have_exactly_the_fields_of_their_schemas() {
    let document = document();
    for name in ["Image", "ImagePage"] {
        let schema = &document["components"]["schemas"][name];
        let example = &schema["example"];
        assert!(example.is_object(), "{name} has no example");
        compare(&document, name, schema, example);
    }
}

fn compare(document: &Value, address: &str, schema: &Value, example: &Value) {
    let schema = resolved(document, schema);
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), example.as_object()) {
        assert!(properties.keys().eq(fields.keys()), "{address}: {:?}", fields.keys());
        for (name, schema) in properties {
            let choice = schema["oneOf"].as_array().and_then(|parts| parts.iter().find(|part| part["$ref"].is_string()));
            compare(document, &format!("{address}.{name}"), choice.unwrap_or(schema), &fields[name]);
        }
    }
    for item in example.as_array().into_iter().flatten() {
        compare(document, address, &schema["items"], item);
    }
}
