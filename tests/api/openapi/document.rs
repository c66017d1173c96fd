//! Rules for the OpenAPI document, so that generators produce good clients from it. `tests/clients` tests some
//! generated clients.

use std::collections::BTreeSet;

use image_service::http::openapi;
use image_service::http::openapi::yaml;
use serde_json::{Map, Value};

pub fn document() -> Value {
    serde_json::to_value(openapi::document()).unwrap()
}

#[track_caller]
pub fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

/// Every operation with its method and path.
pub fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in object(&document["paths"]) {
        operations.extend(object(item).iter().map(|(method, operation)| (format!("{method} {path}"), operation)));
    }
    operations
}

/// Every parameter with the name of its operation.
fn parameters(document: &Value) -> Vec<(String, &Value)> {
    let mut parameters = Vec::new();
    for (name, operation) in operations(document) {
        let own = operation["parameters"].as_array().into_iter().flatten();
        parameters.extend(own.map(|parameter| (format!("{name}: {}", parameter["name"]), parameter)));
    }
    parameters
}

/// The schema itself, or the component that it refers to.
pub fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("a component"),
        None => schema,
    }
}

/// Calls `visit` with every schema within `schema` and its address.
pub fn walk<'a>(address: &str, schema: &'a Value, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(address, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{address}.{name}"), property, visit);
    }
    for keyword in ["items", "additionalProperties"] {
        if schema[keyword].is_object() {
            walk(&format!("{address}[]"), &schema[keyword], visit);
        }
    }
    for keyword in ["allOf", "oneOf", "anyOf"] {
        for part in schema[keyword].as_array().into_iter().flatten() {
            walk(address, part, visit);
        }
    }
}

/// Calls `visit` with every schema of the document: in components, parameters and bodies.
pub fn walk_all<'a>(document: &'a Value, visit: &mut impl FnMut(&str, &'a Value)) {
    for (name, schema) in object(&document["components"]["schemas"]) {
        walk(name, schema, visit);
    }
    for (name, parameter) in parameters(document) {
        walk(&name, &parameter["schema"], visit);
    }
    for (name, operation) in operations(document) {
        let bodies = object(&operation["responses"]).values().chain([&operation["requestBody"]]);
        for (media_type, content) in bodies.filter_map(|body| body["content"].as_object()).flatten() {
            walk(&format!("{name} {media_type}"), &content["schema"], visit);
        }
    }
}

fn may_be_null(schema: &Value) -> bool {
    let is_null = |value: &Value| *value == "null" || value["type"] == "null";
    schema["type"].as_array().is_some_and(|types| types.iter().any(is_null))
        || schema["oneOf"].as_array().is_some_and(|parts| parts.iter().any(is_null))
}

#[test]
fn every_path_parameter_is_required_and_no_parameter_can_be_null() {
    let document = document();
    let parameters = parameters(&document);
    assert!(parameters.len() > 50, "only {} parameters were found", parameters.len());
    for (name, parameter) in parameters {
        assert!(parameter["in"] != "path" || parameter["required"] == true, "{name}");
        assert!(!may_be_null(&parameter["schema"]), "{name}");
        assert!(parameter["schema"]["oneOf"].is_null(), "{name}: generators do not support a choice of strings");
    }
}

#[test]
fn no_form_part_can_be_null() {
    let document = document();
    let mut forms = 0;
    for (name, operation) in operations(&document) {
        let form = &operation["requestBody"]["content"]["multipart/form-data"]["schema"];
        for (part, schema) in resolved(&document, form)["properties"].as_object().into_iter().flatten() {
            forms += 1;
            assert!(!may_be_null(schema), "{name}: clients would send {part} as the text null or None");
        }
    }
    assert!(forms > 3, "no form was found");
}

/// Swagger UI fills its forms with examples and sends them. An unintended filter would make a list look empty.
#[test]
fn no_optional_parameter_has_an_example_that_swagger_ui_would_send() {
    let document = document();
    for (name, parameter) in parameters(&document).into_iter().filter(|(_, parameter)| parameter["required"] != true) {
        let schema = resolved(&document, &parameter["schema"]);
        let given = [&parameter["example"], &parameter["examples"], &schema["example"], &schema["examples"]];
        assert!(given.iter().all(|example| example.is_null()), "{name} has an example, which Swagger UI would send");
        assert!(schema["default"] != true, "{name} has the default true, which Swagger UI would send");
    }
    for (name, operation) in operations(&document) {
        let form = &operation["requestBody"]["content"]["multipart/form-data"]["schema"];
        let form = resolved(&document, form);
        let required: Vec<&Value> = form["required"].as_array().into_iter().flatten().collect();
        for (part, schema) in form["properties"].as_object().into_iter().flatten() {
            if !required.contains(&&Value::from(part.as_str())) {
                // Swagger UI invents a text for a form part without an example. An empty example is not sent.
                match schema["type"].as_str() {
                    Some("string") => assert_eq!(schema["example"], "", "{name}: {part} would be sent by Swagger UI"),
                    Some("boolean") => assert_eq!(schema["default"], false, "{name}: {part} would be sent as true by Swagger UI"),
                    _ => {
                        assert_eq!(resolved(&document, schema)["enum"][0], "public", "{name}: {part} would be sent by Swagger UI")
                    }
                }
            }
        }
    }
}

#[test]
fn no_name_is_reserved_in_a_language_with_generated_clients() {
    let document = document();
    // Names in Python, TypeScript, Go, Rust, Java and Kotlin, and in their standard preludes.
    let reserved = [
        "error",
        "import",
        "object",
        "string",
        "type",
        "class",
        "date",
        "file",
        "map",
        "list",
        "set",
        "array",
        "record",
        "result",
        "option",
        "number",
        "boolean",
        "integer",
        "float",
        "double",
        "long",
        "void",
        "package",
        "module",
        "interface",
        "enum",
        "function",
        "default",
        "public",
        "private",
        "static",
        "return",
        "exception",
        "thread",
        "system",
        "response",
        "request",
        "promise",
        "box",
        "vec",
        "future",
        "blob",
        "symbol",
        "btreemap",
        "hashmap",
        "uuid",
    ];
    let names: BTreeSet<&str> = object(&document["components"]["schemas"]).keys().map(String::as_str).collect();
    for name in &names {
        assert!(!reserved.contains(&name.to_lowercase().as_str()), "{name} is reserved");
        assert!(name.starts_with(|first: char| first.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric()));
        let constructor = format!("New{name}");
        assert!(!names.contains(constructor.as_str()), "{constructor} is the constructor of {name} in Go");
    }
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is used twice");
        assert!(id.contains('_') && !reserved.contains(&id), "{name}: {id} is not a verb and a noun");
    }
}

#[test]
fn every_operation_parameter_schema_and_property_is_described() {
    let document = document();
    let has_text = |schema: &Value| schema["description"].as_str().is_some_and(|text| text.len() > 5);
    // A nullable schema has its description beside the reference.
    let is_described =
        |schema: &Value| has_text(schema) || schema["oneOf"].as_array().is_some_and(|parts| parts.iter().any(has_text));
    let mut missing = Vec::new();
    for (name, operation) in operations(&document) {
        if !is_described(operation) {
            missing.push(name);
        }
    }
    missing.extend(parameters(&document).into_iter().filter(|(_, parameter)| !is_described(parameter)).map(|(name, _)| name));
    for (name, schema) in object(&document["components"]["schemas"]) {
        if !is_described(schema) {
            missing.push(name.clone());
        }
        walk(name, schema, &mut |address, schema| {
            for (property, schema) in schema["properties"].as_object().into_iter().flatten() {
                if !is_described(schema) && !is_described(resolved(&document, schema)) {
                    missing.push(format!("{address}.{property}"));
                }
            }
        });
    }
    assert_eq!(missing, [""; 0], "items without a description");
}

#[test]
fn every_body_has_a_schema_and_image_bodies_are_binary() {
    let document = document();
    let mut binary = 0;
    for (name, operation) in operations(&document) {
        for (status, response) in object(&operation["responses"]) {
            for (media_type, content) in response["content"].as_object().into_iter().flatten() {
                let schema = &content["schema"];
                assert!(schema.is_object(), "{name} {status}: {media_type} has no schema, so clients would return nothing");
                if media_type.starts_with("image/") {
                    binary += 1;
                    assert_eq!((&schema["type"], &schema["format"]), (&"string".into(), &"binary".into()), "{name} {status}");
                }
            }
        }
    }
    assert!(binary > 10, "only {binary} binary bodies were found");
}

#[test]
fn every_error_response_is_a_reference_to_a_component_with_an_example() {
    let document = document();
    let mut references = 0;
    for (name, operation) in operations(&document) {
        for (status, response) in object(&operation["responses"]).iter().filter(|(status, _)| status.as_str() >= "400") {
            let component = resolved(&document, response);
            assert!(!std::ptr::eq(component, response), "{name} {status} is not a reference");
            references += 1;
        }
    }
    assert!(references > 300, "only {references} error responses were found");
    let types = &document["components"]["schemas"]["ErrorType"]["enum"];
    for (name, response) in object(&document["components"]["responses"]) {
        let content = &response["content"]["application/json"];
        if name == "NotReady" {
            assert_eq!(content["schema"]["$ref"], "#/components/schemas/ReadinessError");
            continue;
        }
        assert_eq!(content["schema"]["$ref"], "#/components/schemas/ApiError", "{name}");
        let error = &content["example"]["error"];
        assert!(types.as_array().unwrap().contains(error), "{name}: {error}");
        let description = response["description"].as_str().unwrap();
        assert!(description.contains(&format!("`{}`", error.as_str().unwrap())), "{name} does not name {error}: {description}");
        let used = document["paths"].to_string().contains(&format!("#/components/responses/{name}\""));
        assert!(used, "no operation returns {name}");
    }
}

#[test]
fn the_yaml_quotes_words_that_yaml_1_1_reads_as_booleans() {
    let yaml = yaml::to_yaml(&openapi::document()).unwrap();
    let words = ["y", "n", "yes", "no", "on", "off", "~"];
    for line in yaml.lines() {
        let value = line.trim_start().trim_start_matches("- ");
        let value = value.rsplit_once(": ").map_or(value, |(_, value)| value);
        assert!(!words.contains(&value.trim_end_matches(':').to_lowercase().as_str()), "{line}");
    }
    assert!(yaml.contains("\n      - 'off'\n"), "the document no longer contains a word to test");
}

#[test]
fn security_schemes_keep_the_names_that_clients_use() {
    let document = document();
    let names: Vec<&String> = object(&document["components"]["securitySchemes"]).keys().collect();
    for name in ["basicAuth", "bearerAuth", "gatewayUser"] {
        assert!(names.contains(&&name.to_owned()), "{names:?}");
    }
}

#[test]
fn the_first_server_url_is_the_path_of_the_public_url() {
    let servers = |public_url| {
        let document = openapi::for_server(openapi::document(), public_url);
        document.servers.unwrap().into_iter().map(|server| server.url).collect::<Vec<_>>()
    };
    assert_eq!(servers(None), ["/"]);
    assert_eq!(servers(Some("https://example.org")), ["/", "https://example.org"]);
    assert_eq!(servers(Some("https://example.org:8443/images-api/")), ["/images-api", "https://example.org:8443/images-api/"]);
}
