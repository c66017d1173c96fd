//! Permissions: sends every operation of the OpenAPI document as every kind of caller, in both modes, and checks the
//! result against tables.

mod callers;
mod requests;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use image_service::http::openapi;
use serde_json::Value;

use crate::harness::{Answer, assert_error};
use requests::Stage;
use table::{Column, Row, SEEN, STATUSES, rows};

#[test]
fn every_operation_has_a_row_and_every_row_an_operation() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let methods = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    let operations: BTreeSet<_> = document["paths"].as_object().unwrap().iter().flat_map(methods).collect();
    let rows = rows(STATUSES);
    let with_rows: BTreeSet<_> = rows.iter().map(|row| row.operation.to_owned()).collect();
    let difference = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(difference(&operations, &with_rows), [""; 0], "operations without a row: who may do this?");
    assert_eq!(difference(&with_rows, &operations), [""; 0], "rows without an operation");
    for operation in operations.iter().filter(|operation| operation.contains("{image_id}")) {
        for state in ["public", "private", "unknown"] {
            let has_row = rows.iter().any(|row| row.operation == operation && row.state == state);
            assert!(has_row, "{operation} has no row for an image that is {state}");
        }
    }
}

#[test]
fn no_row_is_duplicated() {
    for table in [STATUSES, SEEN] {
        let mut seen = BTreeSet::new();
        for row in rows(table) {
            assert!(seen.insert(row.to_string()), "{row}");
        }
    }
}

/// Returns whether the column applies in a mode.
fn applies_in(column: Column, mode: &str) -> bool {
    match column.group {
        "trusted" => mode == "trusted",
        "req" => mode == "required",
        _ => true,
    }
}

/// Sends every operation as every caller, and returns the responses that differ from the table.
async fn check_statuses(mode: &str) -> Vec<String> {
    let (mut stage, mut wrong) = (Stage::new(mode).await, Vec::new());
    // By operation, the 404 body for images that the caller may not see. It must always be the same.
    let mut missing = BTreeMap::<&str, String>::new();
    for row in rows(STATUSES) {
        let mut target = stage.create_target(&row).await;
        for (column, expected) in row.cells::<u16>().into_iter().filter(|(column, _)| applies_in(*column, mode)) {
            let expected = expected.expect("a status");
            for number in 0..stage.callers.credentials(column).len() {
                // Cloned for each request, because a request may have ended sessions.
                let way = stage.callers.credentials(column)[number].clone();
                let request = stage.request(&row, &target, &way);
                let answer = stage.app.send(request).await;
                let mut complain = |what: String| wrong.push(format!("{row}: {}/{} ({way}): {what}", column.group, column.name));
                if answer.status != expected {
                    let body = if answer.status < 400 { "" } else { answer.text() };
                    complain(format!("{} instead of {expected} {body}", answer.status));
                } else if expected >= 400 {
                    assert_error(&answer, expected, error_type(expected));
                }
                if answer.status == 404 {
                    let body = missing.entry(row.operation).or_insert_with(|| answer.text().to_owned());
                    if body != answer.text() {
                        complain(format!("{} differs from {body}", answer.text()));
                    }
                }
                if row.method() == "GET" {
                    let head = stage.app.send(stage.head(&target, &way)).await;
                    if head.status != answer.status {
                        complain(format!("{} for HEAD, {} for GET", head.status, answer.status));
                    }
                }
                if answer.status < 400 {
                    stage.reset(&row, &mut target).await;
                }
            }
        }
    }
    stage.app.assert_sound().await;
    wrong
}

fn error_type(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Gone",
        _ => panic!("unexpected status {status} in the table"),
    }
}

#[tokio::test]
async fn every_status_matches_the_table_behind_a_gateway() {
    assert_no_differences(&check_statuses("trusted").await);
}

#[tokio::test]
async fn every_status_matches_the_table_when_authentication_is_required() {
    assert_no_differences(&check_statuses("required").await);
}

#[track_caller]
fn assert_no_differences(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} responses differ from the table:\n{}", wrong.len(), wrong.join("\n"));
}

/// Requests every list as every caller, and returns the lists that differ from the table.
async fn check_lists(mode: &str) -> Vec<String> {
    let (mut stage, mut wrong) = (Stage::new(mode).await, Vec::new());
    stage.two_images().await;
    for row in rows(SEEN) {
        let target = stage.create_target(&row).await;
        for (column, expected) in row.cells::<u64>().into_iter().filter(|(column, _)| applies_in(*column, mode)) {
            for way in stage.callers.credentials(column) {
                let request = stage.request(&row, &target, &way);
                let answer = stage.app.send(request).await;
                let visible_images = if answer.status < 400 { Some(visible_images(&row, &answer)) } else { None };
                if visible_images != expected.map(Ok) {
                    wrong.push(format!(
                        "{row}: {}/{} ({way}): {visible_images:?} instead of {expected:?}",
                        column.group, column.name
                    ));
                }
            }
        }
    }
    wrong
}

/// Returns the number of images in a response, or an error if its parts disagree.
fn visible_images(row: &Row, answer: &Answer) -> Result<u64, String> {
    let answer = answer.ok();
    let length = |list: &Value| list.as_array().expect("a list").len() as u64;
    match row.path() {
        "/links" => Ok(length(&answer["uploaded"])),
        "/imports" => Ok(length(&answer["imports"])),
        "/stats" => Ok(answer["success"].as_u64().expect("a number")),
        _ => {
            let (listed, counted) = (length(&answer["images"]), answer["total_count"].as_u64().expect("a number"));
            if listed == counted { Ok(listed) } else { Err(format!("{listed} are listed, {counted} are counted")) }
        }
    }
}

#[tokio::test]
async fn private_images_are_listed_and_counted_only_for_their_owner_behind_a_gateway() {
    assert_no_differences(&check_lists("trusted").await);
}

#[tokio::test]
async fn private_images_are_listed_and_counted_only_for_their_owner_when_authentication_is_required() {
    assert_no_differences(&check_lists("required").await);
}
