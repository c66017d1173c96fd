//! The order of collections, which their owners change by moving images.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::clock::{Clock, SystemClock};
use image_service::model::collection::CollectionName;
use image_service::model::id::ImageId;
use image_service::model::image::Image;
use image_service::store::database::db::{Run, Sql};
use image_service::store::{self, Db};
use reqwest::Method;
use serde_json::{Value, json};

use super::collections::{add_image, create_collection, list_image_ids, public_image_ids, upload};
use crate::harness::app::ids_of;
use crate::harness::{Answer, TestApp, assert_error};

const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

async fn patch(app: &TestApp, user: &str, name: &str, id: &str, body: &Value) -> Answer {
    let path = format!("/collections/{name}/images/{id}");
    app.send(app.request(Method::PATCH, &path).header("X-User-Id", user).json(body)).await
}

/// Moves an image of Alice's collection `c` behind another one, or to the beginning.
async fn move_after(app: &TestApp, id: &str, after: Option<&str>) {
    let moved = patch(app, "alice", "c", id, &json!({"after": after})).await.ok();
    assert_eq!(moved["image_id"], id);
}

/// Returns a service with Alice's collection `c`, and the ids of its images, in their order.
async fn collection_of(count: u64) -> (TestApp, Vec<String>) {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let mut ids = Vec::new();
    for seed in 0..count {
        ids.push(upload(&app, "alice", seed, "public").await);
        add_image(&app, "alice", "c", &ids[ids.len() - 1]).await.ok();
    }
    (app, ids)
}

async fn positions(db: &Db) -> Vec<i64> {
    let rows = db.fetch::<(i64,)>(Sql::new("select position from collection_images order by position")).await.unwrap();
    rows.into_iter().map(|(position,)| position).collect()
}

#[tokio::test]
async fn images_are_moved_behind_others_to_the_beginning_and_to_the_end() {
    let (app, mut ids) = collection_of(5).await;
    // The image, and the one that it is moved behind.
    for (from, after) in [(3, None), (0, Some(4)), (2, Some(0)), (1, Some(3)), (4, Some(3)), (0, None), (2, Some(1)), (4, None)] {
        let (id, last) = (ids[from].clone(), after.map(|index: usize| ids[index].clone()));
        move_after(&app, &id, last.as_deref()).await;
        ids.retain(|other| *other != id);
        let index = last.map_or(0, |last| ids.iter().position(|other| *other == last).unwrap() + 1);
        ids.insert(index, id);
        assert_eq!(list_image_ids(&app, "alice", "c").await, ids, "{from} {after:?}");
        assert_eq!(public_image_ids(&app, "c").await, ids);
    }
    // Images are still appended behind all others, and one that is added again stays where it is.
    let added = upload(&app, "alice", 9, "public").await;
    for id in [&ids[1], &added] {
        add_image(&app, "alice", "c", id).await.ok();
    }
    ids.push(added);
    assert_eq!(list_image_ids(&app, "alice", "c").await, ids);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_move_changes_the_time_of_the_collection_unless_the_image_is_there_already() {
    let (app, ids) = collection_of(3).await;
    let updated = async || app.by("alice", Method::GET, "/collections/c").await.ok()["updated_at"].clone();
    let before = updated().await;
    app.clock.advance(TimeDelta::seconds(1));
    for (id, after) in [(0, None), (1, Some(0)), (2, Some(1))] {
        move_after(&app, &ids[id], after.map(|index: usize| ids[index].as_str())).await;
    }
    assert_eq!((updated().await, list_image_ids(&app, "alice", "c").await), (before.clone(), ids.clone()));
    move_after(&app, &ids[2], Some(&ids[0])).await;
    assert_ne!(updated().await, before);
}

#[tokio::test]
async fn only_images_of_the_users_own_collection_are_moved() {
    let (app, ids) = collection_of(2).await;
    create_collection(&app, "bob", "bobs").await;
    let (other, foreign) = (upload(&app, "alice", 7, "public").await, upload(&app, "bob", 8, "public").await);
    add_image(&app, "alice", "c", &foreign).await.ok();
    let first = json!({"after": null});
    assert_error(&patch(&app, "bob", "c", &ids[1], &first).await, 403, "Forbidden");
    assert_error(&patch(&app, "alice", "nope", &ids[1], &first).await, 404, "NotFound");
    for id in [other.as_str(), UNKNOWN_ID, "x"] {
        assert_error(&patch(&app, "alice", "c", id, &first).await, 404, "NotFound");
    }
    app.by("alice", Method::DELETE, &format!("/images/{}", ids[0])).await.ok();
    assert_error(&patch(&app, "alice", "c", &ids[0], &first).await, 404, "NotFound");
    // Public images of others can be moved, until they are private.
    move_after(&app, &foreign, None).await;
    app.patch("bob", &foreign, &json!({"visibility": "private"})).await.ok();
    assert_error(&patch(&app, "alice", "c", &foreign, &first).await, 404, "NotFound");
    let hidden = [other.as_str(), &foreign, &ids[0], &ids[1], UNKNOWN_ID];
    for after in hidden.map(|id| json!(id)).into_iter().chain([json!("x"), json!(7), json!(""), json!([])]) {
        let answer = patch(&app, "alice", "c", &ids[1], &json!({"after": after})).await;
        let details = assert_error(&answer, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), ["after"], "{after}");
    }
    for (body, field) in [(json!({}), "after"), (json!({"after": null, "before": null}), "before")] {
        let details = assert_error(&patch(&app, "alice", "c", &ids[1], &body).await, 422, "ValidationError");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), [field], "{body}");
    }
    assert_error(&patch(&app, "alice", "c", &ids[1], &json!([])).await, 422, "ValidationError");
    app.restore("alice", &ids[0]).await.ok();
    app.patch("bob", &foreign, &json!({"visibility": "public"})).await.ok();
    assert_eq!(list_image_ids(&app, "alice", "c").await, [foreign.as_str(), &ids[0], &ids[1]]);
}

#[tokio::test]
async fn hidden_images_keep_the_places_to_which_they_were_moved() {
    let (app, ids) = collection_of(4).await;
    let [a, b, c, d] = [0, 1, 2, 3].map(|index: usize| ids[index].as_str());
    move_after(&app, d, Some(a)).await;
    for is_deleted in [true, false] {
        match is_deleted {
            true => app.delete("alice", d).await.ok(),
            false => app.patch("alice", d, &json!({"visibility": "private"})).await.ok(),
        };
        assert_eq!(public_image_ids(&app, "c").await, [a, b, c]);
        // Others are moved next to its place meanwhile.
        move_after(&app, c, Some(a)).await;
        move_after(&app, c, Some(b)).await;
        match is_deleted {
            true => app.restore("alice", d).await.ok(),
            false => app.patch("alice", d, &json!({"visibility": "public"})).await.ok(),
        };
        assert_eq!(public_image_ids(&app, "c").await, [a, d, b, c]);
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn hundreds_of_images_are_moved_into_the_same_gap() {
    let (app, mut ids) = collection_of(6).await;
    let last = ids.pop().unwrap();
    for round in 0..200 {
        // In turns, the image behind the first is the one that was there last, or the one before it.
        let moved = ids.remove(if round % 3 == 0 { 2 } else { 4 });
        move_after(&app, &moved, Some(&ids[0])).await;
        ids.insert(1, moved);
        if round % 40 == 0 {
            ids.push(last.clone());
            assert_eq!(list_image_ids(&app, "alice", "c").await, ids, "{round}");
            ids.pop();
        }
    }
    ids.push(last);
    assert_eq!(list_image_ids(&app, "alice", "c").await, ids);
    let db = app.database().await;
    assert!(positions(&db).await.is_sorted_by(|one, other| one < other));
    db.close().await;
}

#[tokio::test]
async fn images_can_be_moved_to_the_beginning_again_and_again() {
    let (app, mut ids) = collection_of(3).await;
    // As after millions of moves.
    let db = app.database().await;
    let mut tx = db.begin().await.unwrap();
    let sql = Sql::new("update collection_images set position = position - (select min(position) from collection_images) + 7");
    assert_eq!(tx.execute(sql).await.unwrap(), 3);
    tx.commit().await.unwrap();
    for _ in 0..7 {
        ids.rotate_right(1);
        move_after(&app, &ids[0], None).await;
        assert_eq!(list_image_ids(&app, "alice", "c").await, ids);
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!("/c/c?limit=1{token}")).await.ok();
            seen.push(page["images"][0]["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
            let Some(next) = page["next_page_token"].as_str() else { break };
            token = format!("&page_token={next}");
        }
        assert_eq!(seen, ids, "tokens with negative positions");
    }
    assert!(positions(&db).await[0] < 0);
    db.close().await;
}

#[tokio::test]
async fn paging_misses_no_image_while_others_are_moved() {
    let (app, ids) = collection_of(9).await;
    let (mut seen, mut token) = (BTreeSet::new(), String::new());
    for round in 0.. {
        let page = app.by("alice", Method::GET, &format!("/collections/c/images?limit=2{token}")).await.ok();
        seen.extend(ids_of(&page));
        let Some(next) = page["next_page_token"].as_str() else { break };
        token = format!("&page_token={next}");
        // An image that was seen is moved behind one that was not, so often that there is no gap there.
        for number in 0..30 {
            move_after(&app, &ids[(round + number) % 2], Some(&ids[6])).await;
        }
    }
    assert_eq!(seen, ids.iter().cloned().collect());
}

#[tokio::test]
async fn concurrent_moves_never_give_two_images_the_same_position() {
    let (app, ids) = collection_of(6).await;
    let moves = (0..60).map(|number: usize| {
        let (app, id, other) = (&app, &ids[number % 6], &ids[(number * 5 + 1) % 6]);
        let after = if number.is_multiple_of(4) || id == other { Value::Null } else { json!(other) };
        async move {
            match number % 10 {
                7 => app.delete("alice", id).await.status,
                8 => app.restore("alice", id).await.status,
                _ => patch(app, "alice", "c", id, &json!({"after": after})).await.status,
            }
        }
    });
    let statuses = join_all(moves).await;
    assert!(statuses.iter().all(|status| *status < 500), "{statuses:?}");
    let db = app.database().await;
    let positions = positions(&db).await;
    assert_eq!(positions.len(), 6);
    assert!(positions.is_sorted_by(|one, other| one < other), "{positions:?}");
    db.close().await;
    app.assert_sound().await;
}

#[tokio::test]
async fn a_move_spreads_only_some_images_of_a_dense_collection() {
    let (app, ids) = collection_of(3).await;
    let db = app.database().await;
    let template = store::images::find(&db, ImageId::parse(&ids[0]).unwrap()).await.unwrap().unwrap();
    let name = CollectionName::parse("c").unwrap();
    let collection = store::sharing::collections::find(&db, &name).await.unwrap().unwrap().id;
    let mut tx = db.begin().await.unwrap();
    for _ in 0..1500 {
        let image = Image { id: ImageId::new(&SystemClock), tags: Vec::new(), ..template.clone() };
        store::images::insert(&mut tx, &image).await.unwrap();
        assert!(store::sharing::collection_items::insert(&mut tx, collection, &image, SystemClock.now()).await.unwrap());
    }
    tx.commit().await.unwrap();
    let before = positions(&db).await;
    // Images that are added at the same time leave space between them.
    assert!(before.is_sorted_by(|one, other| one + 1000 < *other));
    for round in 0..40 {
        move_after(&app, &ids[1 + round % 2], Some(&ids[0])).await;
    }
    let after: BTreeSet<i64> = positions(&db).await.into_iter().collect();
    let kept = before.iter().filter(|position| after.contains(position)).count();
    assert!((1400..=1501).contains(&kept), "{kept}");
    // As an older version left it, whose clock was set back.
    let mut tx = db.begin().await.unwrap();
    let dense = Sql::new(
        "update collection_images set position = number from (select image_id as numbered, \
         row_number() over (order by position) as number from collection_images) numbers where image_id = numbered",
    );
    tx.execute(dense).await.unwrap();
    tx.commit().await.unwrap();
    for round in 0..4 {
        move_after(&app, &ids[1 + round % 2], Some(&ids[0])).await;
    }
    let first = app.by("alice", Method::GET, "/collections/c/images?limit=3").await.ok();
    assert_eq!(ids_of(&first), [ids[0].as_str(), &ids[2], &ids[1]]);
    let positions = positions(&db).await;
    assert!(positions.len() == 1503 && positions.is_sorted_by(|one, other| one < other));
    db.close().await;
}
