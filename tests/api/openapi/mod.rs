//! Tests of the OpenAPI document and of the pages that show it.

mod docs;
mod document;
mod schemas;
