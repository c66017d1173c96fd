//! Who may do what: every operation of the OpenAPI document, asked by every kind of caller in both modes, is held against
//! tables that are written down.

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
    let known: BTreeSet<_> = rows.iter().map(|row| row.operation.to_owned()).collect();
    let difference = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(difference(&operations, &known), [""; 0], "operations without a row: who may do this?");
    assert_eq!(difference(&known, &operations), [""; 0], "rows without an operation");
    for operation in operations.iter().filter(|operation| operation.contains("{image_id}")) {
        for state in ["public", "private", "unknown"] {
            let is_there = rows.iter().any(|row| row.operation == operation && row.state == state);
            assert!(is_there, "{operation} has no row for an image that is {state}");
        }
    }
}

#[test]
fn no_row_is_there_twice() {
    for table in [STATUSES, SEEN] {
        let mut known = BTreeSet::new();
        for row in rows(table) {
            assert!(known.insert(row.to_string()), "{row}");
        }
    }
}

/// The columns that are of a mode.
fn is_of(column: Column, mode: &str) -> bool {
    match column.group {
        "trusted" => mode == "trusted",
        "req" => mode == "required",
        _ => true,
    }
}

/// Asks for everything in every way, and returns what was not answered as the table says.
async fn walk(mode: &str) -> Vec<String> {
    let (mut stage, mut wrong) = (Stage::new(mode).await, Vec::new());
    // What callers are told of what they may not know of, by operation.
    let mut missing = BTreeMap::<&str, String>::new();
    for row in rows(STATUSES) {
        let mut target = stage.create_target(&row).await;
        for (column, expected) in row.cells::<u16>().into_iter().filter(|(column, _)| is_of(*column, mode)) {
            let expected = expected.expect("a status");
            for number in 0..stage.callers.credentials(column).len() {
                // Anew each time: sessions may have been ended.
                let way = stage.callers.credentials(column)[number].clone();
                let request = stage.request(&row, &target, &way);
                let answer = stage.app.send(request).await;
                let mut complain = |what: String| wrong.push(format!("{row}: {}/{} ({way}): {what}", column.group, column.name));
                if answer.status != expected {
                    let told = if answer.status < 400 { "" } else { answer.text() };
                    complain(format!("{} instead of {expected} {told}", answer.status));
                } else if expected >= 400 {
                    assert_error(&answer, expected, error_type(expected));
                }
                if answer.status == 404 {
                    let body = missing.entry(row.operation).or_insert_with(|| answer.text().to_owned());
                    if body != answer.text() {
                        complain(format!("{} tells something else than {body}", answer.text()));
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
        _ => panic!("the table has {status}"),
    }
}

#[tokio::test]
async fn every_cell_holds_behind_a_gateway() {
    assert_none(&walk("trusted").await);
}

#[tokio::test]
async fn every_cell_holds_where_callers_must_show_who_they_are() {
    assert_none(&walk("required").await);
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} answers are not what the table says:\n{}", wrong.len(), wrong.join("\n"));
}

/// Asks for every list in every way, and returns which do not hold what the table says.
async fn look(mode: &str) -> Vec<String> {
    let (mut stage, mut wrong) = (Stage::new(mode).await, Vec::new());
    stage.two_images().await;
    for row in rows(SEEN) {
        let target = stage.create_target(&row).await;
        for (column, expected) in row.cells::<u64>().into_iter().filter(|(column, _)| is_of(*column, mode)) {
            for way in stage.callers.credentials(column) {
                let request = stage.request(&row, &target, &way);
                let answer = stage.app.send(request).await;
                let seen = if answer.status < 400 { Some(seen(&row, &answer)) } else { None };
                if seen != expected.map(Ok) {
                    wrong.push(format!("{row}: {}/{} ({way}): {seen:?} instead of {expected:?}", column.group, column.name));
                }
            }
        }
    }
    wrong
}

/// How many an answer tells of, where all of it tells of the same.
fn seen(row: &Row, answer: &Answer) -> Result<u64, String> {
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
async fn lists_and_counts_show_private_images_to_their_owner_alone_behind_a_gateway() {
    assert_none(&look("trusted").await);
}

#[tokio::test]
async fn lists_and_counts_show_private_images_to_their_owner_alone_where_callers_must_show_who_they_are() {
    assert_none(&look("required").await);
}
