//! Rules for the whole OpenAPI document. They are applied once the document is complete, so that no operation can omit one.

use std::collections::BTreeSet;

use utoipa::openapi::content::Content;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{Components, OpenApi, RefOr, Schema};

use super::error_responses;

/// Applies every rule.
pub fn apply(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for (name, response) in error_responses::components() {
        components.responses.insert(name.to_owned(), RefOr::T(response));
    }
    let mut forms = BTreeSet::new();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                parameter.schema.iter_mut().for_each(remove_null);
            }
        }
        if is_paged(operation) {
            describe_link(operation);
        }
        for (media_type, content) in contents(operation) {
            if media_type.starts_with("image/") {
                content.schema.get_or_insert_with(binary_schema);
            }
        }
        forms.extend(form_name(operation));
    }
    for name in &forms {
        if let Some(RefOr::T(Schema::Object(form))) = components.schemas.get_mut(name) {
            form.properties.values_mut().for_each(remove_null);
        }
    }
    close_request_bodies(document);
    require_response_fields(document);
}

pub(in crate::http) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, patch, delete, .. } = item;
    [get, put, post, patch, delete].into_iter().filter_map(Option::as_mut)
}

pub(super) fn is_paged(operation: &Operation) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "page_token"))
}

/// Describes the header that `request/link_header.rs` adds to every page except the last.
fn describe_link(operation: &mut Operation) {
    if let Some(RefOr::T(page)) = operation.responses.responses.get_mut("200") {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let about = "The URL of the next page, as `<…>; rel=\"next\"`. Absent on the last page.";
        let link = HeaderBuilder::new().schema(Some(text)).description(Some(about)).build();
        page.headers.insert("Link".to_owned(), RefOr::T(link));
    }
}

/// Returns the bodies of the responses that an operation defines itself.
fn contents(operation: &mut Operation) -> impl Iterator<Item = (&String, &mut Content)> {
    let responses = operation.responses.responses.values_mut().filter_map(|response| match response {
        RefOr::T(response) => Some(response),
        RefOr::Ref(_) => None,
    });
    let bodies = responses.flat_map(|response| response.content.iter_mut());
    bodies.filter_map(|(media_type, content)| match content {
        RefOr::T(content) => Some((media_type, content)),
        RefOr::Ref(_) => None,
    })
}

fn form_name(operation: &Operation) -> Option<String> {
    let RefOr::T(body) = operation.request_body.as_ref()? else { return None };
    let RefOr::T(form) = body.content.get("multipart/form-data")? else { return None };
    schema_name(form.schema.as_ref()?).map(str::to_owned)
}

/// Most generators ignore a body without a schema: their clients would return nothing.
fn binary_schema() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    RefOr::T(ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into())
}

/// Parameters and form parts are text. They can be absent but not null: clients would send the word "null".
fn remove_null(schema: &mut RefOr<Schema>) {
    let schema_type = match schema {
        RefOr::T(Schema::Object(object)) => &mut object.schema_type,
        RefOr::T(Schema::Array(array)) => &mut array.schema_type,
        _ => return,
    };
    if let SchemaType::Array(types) = schema_type {
        types.retain(|kind| *kind != Type::Null);
        if let [only] = types.as_slice() {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

/// Forbids unknown fields in request bodies, which the service rejects.
fn close_request_bodies(document: &mut OpenApi) {
    let mut received = BTreeSet::new();
    let Some(components) = &mut document.components else { return };
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let Some(RefOr::T(body)) = &operation.request_body else { continue };
        for content in body.content.values() {
            if let RefOr::T(Content { schema: Some(schema), .. }) = content {
                collect_names(schema, components, &mut received);
            }
        }
    }
    for name in received {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&name)
            && !object.properties.is_empty()
        {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// Marks all response fields as required. The service always sends them, with null for a missing value; a test forbids
/// `skip_serializing_if`. The macros require only fields that cannot be null, so clients would distinguish null from absent.
fn require_response_fields(document: &mut OpenApi) {
    let mut sent = BTreeSet::new();
    let Some(components) = &mut document.components else { return };
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for (_, content) in contents(operation) {
            if let Some(schema) = &mut content.schema {
                require_all(schema);
                collect_names(schema, components, &mut sent);
            }
        }
    }
    let error_bodies = components.responses.values().filter_map(|response| match response {
        RefOr::T(response) => response.content.get("application/json"),
        RefOr::Ref(_) => None,
    });
    let error_schemas: Vec<_> = error_bodies
        .filter_map(|content| match content {
            RefOr::T(content) => content.schema.clone(),
            RefOr::Ref(_) => None,
        })
        .collect();
    error_schemas.iter().for_each(|schema| collect_names(schema, components, &mut sent));
    for name in sent {
        if let Some(schema) = components.schemas.get_mut(&name) {
            require_all(schema);
        }
    }
}

fn require_all(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => object.required = object.properties.keys().cloned().collect(),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_all),
        _ => {}
    }
}

/// Adds the names of all components that a schema refers to, directly or indirectly.
fn collect_names(schema: &RefOr<Schema>, components: &Components, names: &mut BTreeSet<String>) {
    if let Some(name) = schema_name(schema) {
        if names.insert(name.to_owned())
            && let Some(schema) = components.schemas.get(name)
        {
            collect_names(schema, components, names);
        }
        return;
    }
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            object.properties.values().for_each(|property| collect_names(property, components, names));
            if let Some(AdditionalProperties::RefOr(values)) = object.additional_properties.as_deref() {
                collect_names(values, components, names);
            }
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &array.items {
                collect_names(items, components, names);
            }
        }
        Schema::OneOf(one) => one.items.iter().for_each(|item| collect_names(item, components, names)),
        Schema::AllOf(all) => all.items.iter().for_each(|item| collect_names(item, components, names)),
        Schema::AnyOf(any) => any.items.iter().for_each(|item| collect_names(item, components, names)),
        _ => {}
    }
}

fn schema_name(schema: &RefOr<Schema>) -> Option<&str> {
    match schema {
        RefOr::Ref(reference) => reference.ref_location.strip_prefix("#/components/schemas/"),
        RefOr::T(_) => None,
    }
}
