//! Consistency of collections: limits, races, deletion of large collections, and repairs by the doctor.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use image_service::model::caller::UserId;
use image_service::model::clock::{Clock, SystemClock};
use image_service::model::collection::{Collection, CollectionId, CollectionItem, CollectionName, ItemVisibility};
use image_service::model::counter::{Counter, CounterKind};
use image_service::model::id::ImageId;
use image_service::model::image::{Image, Visibility};
use image_service::service::maintenance::doctor::Fix;
use image_service::service::maintenance::step::Outcome;
use image_service::store::database::db::{Run, Sql};
use image_service::store::{self, Db, Tx};
use reqwest::Method;
use serde_json::json;

use super::collections::{add_image, create_collection, list_image_ids, post_collection, public_image_ids, upload};
use crate::harness::{TestApp, assert_error};

async fn count_rows(db: &Db, sql: &'static str) -> i64 {
    db.fetch::<(i64,)>(Sql::new(sql)).await.unwrap()[0].0
}

async fn change(db: &Db, sql: Sql) {
    let mut tx = db.begin().await.unwrap();
    assert!(tx.execute(sql).await.unwrap() > 0);
    tx.commit().await.unwrap();
}

async fn find(db: &Db, name: &str) -> Collection {
    store::sharing::collections::find(db, &CollectionName::parse(name).unwrap()).await.unwrap().unwrap()
}

/// Puts an image in a collection.
async fn place(tx: &mut Tx, collection: CollectionId, image: &Image) {
    assert!(store::sharing::collection_items::insert(tx, collection, image, SystemClock.now()).await.unwrap());
    let place =
        CollectionItem { collection, image: image.id, owner: image.user_id.clone(), visibility: ItemVisibility::of(image) };
    store::images::counters::add(tx, image.id, Counter::of_item(&place).map(|counter| (counter, 1)));
}

/// Waits until this many transactions wait for a lock. SQLite allows one writer at a time and does not report waiters.
async fn wait_for_blocked_transactions(db: &Db, number: i64) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..2000 {
        if db.system() != "postgresql" || count_rows(db, waiting).await >= number {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("fewer than {number} transactions wait for a lock");
}

#[tokio::test]
async fn a_concurrent_purge_removes_nothing_from_a_restored_image() {
    // The restore is blocked before it reaches the collection items, and after.
    for counter in ["all", "collection"] {
        let app = TestApp::start().await;
        create_collection(&app, "alice", "c").await;
        let id = upload(&app, "alice", 1, "public").await;
        add_image(&app, "alice", "c", &id).await.ok();
        let link = app.request(Method::POST, &format!("/images/{id}/links")).header("X-User-Id", "alice");
        assert_eq!(app.send(link.json(&json!({"expires_in": 300}))).await.status, 201);
        app.delete("alice", &id).await.ok();
        app.clock.advance(TimeDelta::days(31));
        let db = app.database().await;
        let mut held = db.begin().await.unwrap();
        assert!(held.execute(Sql::new("update counters set n = n where kind = $1").bind(counter)).await.unwrap() > 0);
        let purge = async {
            wait_for_blocked_transactions(&db, 1).await;
            app.service().purge_next().await
        };
        let release = async {
            wait_for_blocked_transactions(&db, 2).await;
            held.commit().await.unwrap();
        };
        let (restored, purged, ()) = tokio::join!(app.restore("alice", &id), purge, release);
        purged.unwrap();
        // On SQLite, either operation may come first.
        if db.system() == "postgresql" || restored.status == 200 {
            restored.ok();
            assert_eq!(list_image_ids(&app, "alice", "c").await, [id]);
            assert_eq!(count_rows(&db, "select count(*) from image_links").await, 1);
        } else {
            assert_error(&restored, 404, "NotFound");
            assert_eq!(list_image_ids(&app, "alice", "c").await, [""; 0]);
        }
        db.close().await;
        app.sweep_all().await;
        app.assert_sound().await;
    }
}

/// Fills a collection with images of its owner. Every fifth is private, every seventh deleted.
async fn fill(app: &TestApp, db: &Db, name: &str, number: usize) {
    let template = ImageId::parse(&upload(app, "alice", 1, "public").await).unwrap();
    let template = store::images::find(db, template).await.unwrap().unwrap();
    let collection = find(db, name).await;
    let mut tx = db.begin().await.unwrap();
    for number in 0..number {
        let visibility = if number % 5 == 0 { Visibility::Private } else { Visibility::Public };
        let deleted_at = (number % 7 == 0).then(|| SystemClock.now());
        let image = Image { id: ImageId::new(&SystemClock), tags: Vec::new(), visibility, deleted_at, ..template.clone() };
        store::images::insert(&mut tx, &image).await.unwrap();
        place(&mut tx, collection.id, &image).await;
        let moved = if deleted_at.is_none() { Counter::of_live(&image) } else { Counter::of_trash(&image).to_vec() };
        store::images::counters::add(&mut tx, image.id, moved);
    }
    tx.commit().await.unwrap();
}

async fn assert_counted(db: &Db) {
    for kind in CounterKind::CURRENT {
        assert_eq!(store::images::counters::differences(db, kind).await.unwrap(), [], "{kind:?}");
    }
}

#[tokio::test]
async fn a_large_collection_disappears_immediately_and_is_removed_in_steps() {
    let app = TestApp::start().await;
    let db = app.database().await;
    for name in ["c", "d"] {
        create_collection(&app, "alice", name).await;
    }
    fill(&app, &db, "c", 2500).await;
    let kept = upload(&app, "alice", 2, "private").await;
    for name in ["c", "d"] {
        add_image(&app, "alice", name, &kept).await.ok();
    }
    let before = app.by("alice", Method::GET, "/images").await.ok()["total_count"].clone();
    assert_counted(&db).await;
    assert_eq!(app.by("alice", Method::DELETE, "/collections/c").await.status, 204);
    for path in ["/c/c", "/collections/c", "/collections/c/images", "/images?collection=c"] {
        assert_error(&app.by("alice", Method::GET, path).await, 404, "NotFound");
    }
    assert_error(&add_image(&app, "alice", "c", &kept).await, 404, "NotFound");
    let listed = app.by("alice", Method::GET, "/collections").await.ok();
    assert_eq!((&listed["collections"][0]["name"], listed["collections"].as_array().unwrap().len()), (&json!("d"), 1));
    // Another collection may use the name while the first is still being removed.
    create_collection(&app, "bob", "c").await;
    let places = "select count(*) from collection_images";
    for left in [1502, 502, 1] {
        assert_counted(&db).await;
        assert_eq!(app.service().remove_collections().await.unwrap(), Outcome::Done);
        assert_eq!(count_rows(&db, places).await, left);
        // Changes to its images are counted meanwhile.
        app.delete("alice", &kept).await.ok();
        assert_counted(&db).await;
        app.restore("alice", &kept).await.ok();
    }
    assert_eq!(app.service().remove_collections().await.unwrap(), Outcome::NothingToDo);
    assert_counted(&db).await;
    assert_eq!(count_rows(&db, "select count(*) from collections").await, 2);
    let counters = "select count(*) from counters where kind in ('collection', 'private_collection') and n <> 0";
    assert_eq!(count_rows(&db, counters).await, 1);
    assert_eq!(app.by("alice", Method::GET, "/images").await.ok()["total_count"], before);
    assert_eq!(list_image_ids(&app, "alice", "d").await, [kept]);
    assert_eq!(list_image_ids(&app, "bob", "c").await, [""; 0]);
    db.close().await;
}

#[tokio::test]
async fn concurrent_changes_leave_no_duplicates_and_correct_counts() {
    let app = TestApp::start().await;
    for name in ["c", "d"] {
        create_collection(&app, "alice", name).await;
    }
    let mut ids = Vec::new();
    for seed in 0..4 {
        ids.push(upload(&app, "alice", seed, "public").await);
    }
    let adding = (0..24).map(|number| add_image(&app, "alice", ["c", "d"][number % 2], &ids[number / 2 % 4]));
    assert!(join_all(adding).await.iter().all(|answer| answer.status == 200));
    for name in ["c", "d"] {
        let mut found = list_image_ids(&app, "alice", name).await;
        found.sort();
        assert_eq!(found, ids, "{name}");
    }
    let (c, delete) = ("/collections/c", Method::DELETE);
    let change = |number: usize| {
        let (app, id) = (&app, &ids[number % 4]);
        async move {
            match number % 3 {
                0 => {
                    app.patch("alice", id, &json!({"visibility": if number.is_multiple_of(2) { "public" } else { "private" }}))
                        .await
                        .status
                }
                1 => app.delete("alice", id).await.status,
                _ => app.restore("alice", id).await.status,
            }
        }
    };
    let (statuses, deleted) = tokio::join!(join_all((0..24).map(change)), app.by("alice", delete, c));
    assert!(statuses.iter().all(|status| *status < 500), "{statuses:?}");
    assert_eq!(deleted.status, 204);
    app.assert_sound().await;
}

#[tokio::test]
async fn collections_can_be_removed_while_their_images_are_deleted_and_restored() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for seed in 0..6 {
        ids.push(upload(&app, "alice", seed, "public").await);
    }
    for round in 0..3 {
        let names = ["a", "b", "c", "d"].map(|name| format!("{name}{round}"));
        for (turned, name) in names.iter().enumerate() {
            create_collection(&app, "alice", name).await;
            for number in 0..ids.len() {
                add_image(&app, "alice", name, &ids[if turned % 2 == 0 { number } else { ids.len() - 1 - number }]).await.ok();
            }
        }
        let deletions = join_all(names.iter().map(|name| {
            let (app, path) = (&app, format!("/collections/{name}"));
            async move { app.by("alice", Method::DELETE, &path).await.status }
        }));
        let changes = join_all(ids.iter().enumerate().map(|(number, id)| {
            let (app, visibility) = (&app, if number % 2 == 0 { "private" } else { "public" });
            async move {
                let deleted = app.delete("alice", id).await.status;
                let restored = app.restore("alice", id).await.status;
                [deleted, restored, app.patch("alice", id, &json!({"visibility": visibility})).await.status]
            }
        }));
        let sweeps = join_all((0..4).map(|_| async {
            for _ in 0..4 {
                app.service().remove_collections().await.unwrap();
            }
        }));
        let (deleted, changed, _) = tokio::join!(deletions, changes, sweeps);
        assert_eq!(deleted, [204; 4]);
        assert!(changed.iter().all(|statuses| *statuses == [200; 3]), "{changed:?}");
        app.assert_sound().await;
    }
    app.sweep_all().await;
    app.assert_sound().await;
    let db = app.database().await;
    assert_eq!(count_rows(&db, "select count(*) from collections").await, 0);
    db.close().await;
}

#[tokio::test]
async fn collections_of_other_users_do_not_use_up_the_owners_limit_for_an_image() {
    let app = TestApp::start().await;
    let id = upload(&app, "alice", 1, "public").await;
    let db = app.database().await;
    let image = store::images::find(&db, ImageId::parse(&id).unwrap()).await.unwrap().unwrap();
    let mallory = UserId::parse("mallory").unwrap();
    let mut tx = db.begin().await.unwrap();
    for number in 0..1000 {
        let name = CollectionName::parse(&format!("m-{number}")).unwrap();
        let (id, visibility) = (CollectionId::new(&SystemClock), Visibility::Private);
        let made = Collection { id, name, user_id: mallory.clone(), visibility, updated_at: SystemClock.now() };
        assert!(store::sharing::collections::insert(&mut tx, &made).await.unwrap());
        place(&mut tx, id, &image).await;
        store::images::counters::add_in_slot(&mut tx, 0, [(Counter::user_collections(&mallory), 1)]);
    }
    tx.commit().await.unwrap();
    db.close().await;
    for user in ["mallory", "bob"] {
        create_collection(&app, user, user).await;
        assert_error(&add_image(&app, user, user, &id).await, 409, "Conflict");
    }
    // Adding an image again does not count.
    add_image(&app, "mallory", "m-7", &id).await.ok();
    for name in ["c", "d"] {
        create_collection(&app, "alice", name).await;
        add_image(&app, "alice", name, &id).await.ok();
    }
    assert_eq!(app.by("mallory", Method::DELETE, &format!("/collections/m-7/images/{id}")).await.status, 204);
    add_image(&app, "bob", "bob", &id).await.ok();
    app.delete("alice", &id).await.ok();
    app.assert_sound().await;
    app.restore("alice", &id).await.ok();
    assert_eq!(public_image_ids(&app, "bob").await, [id]);
    app.assert_sound().await;
}

#[tokio::test]
async fn concurrent_creation_does_not_exceed_the_collection_limit() {
    let app = TestApp::start().await;
    let db = app.database().await;
    let mut tx = db.begin().await.unwrap();
    let others = [(Counter::user_collections(&UserId::parse("alice").unwrap()), 9_999)];
    store::images::counters::add_in_slot(&mut tx, 0, others);
    tx.commit().await.unwrap();
    db.close().await;
    let names = ["a", "b", "c", "d"];
    let made = join_all(names.map(|name| {
        let app = &app;
        async move { post_collection(app, "alice", &json!({"name": name})).await }
    }))
    .await;
    let (done, refused): (Vec<_>, Vec<_>) = names.iter().zip(&made).partition(|(_, answer)| answer.status == 201);
    assert_eq!(done.len(), 1);
    refused.iter().for_each(|(_, answer)| drop(assert_error(answer, 409, "Conflict")));
    create_collection(&app, "bob", refused[0].0).await;
    assert_eq!(app.by("alice", Method::DELETE, &format!("/collections/{}", done[0].0)).await.status, 204);
    create_collection(&app, "alice", "e").await;
    assert_error(&post_collection(&app, "alice", &json!({"name": "f"})).await, 409, "Conflict");
}

#[tokio::test]
async fn rejected_writes_take_no_locks() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let (id, other) = (upload(&app, "alice", 1, "public").await, upload(&app, "alice", 2, "private").await);
    add_image(&app, "alice", "c", &id).await.ok();
    let db = app.database().await;
    // A write would wait for these locks.
    let mut held = db.begin().await.unwrap();
    for sql in ["update images set updated_at = updated_at", "update collections set updated_at = updated_at"] {
        assert!(held.execute(Sql::new(sql)).await.unwrap() > 0);
    }
    let within = |id: &str| format!("/collections/c/images/{id}");
    for (user, method, path, status) in [
        ("bob", Method::PUT, "/collections/nope/images/".to_owned() + &id, 404),
        ("bob", Method::PUT, within(&id), 403),
        ("bob", Method::DELETE, within(&id), 403),
        ("bob", Method::DELETE, "/collections/c".to_owned(), 403),
        ("alice", Method::PUT, within("01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a"), 404),
        ("alice", Method::DELETE, within(&other), 404),
        // The image is in the collection already.
        ("alice", Method::PUT, within(&id), 200),
        ("bob", Method::PATCH, within(&id), 403),
        ("alice", Method::PATCH, within(&other), 404),
    ] {
        let request = app.request(method.clone(), &path).header("X-User-Id", user);
        let request = if method == Method::PATCH { request.json(&json!({"after": null})) } else { request };
        assert_eq!(app.send(request).await.status, status, "{method} {path}");
    }
    drop(held);
    db.close().await;
}

#[tokio::test]
async fn the_doctor_repairs_collection_items_that_disagree_with_their_images() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let mut ids = Vec::new();
    for (seed, visibility) in [(1, "public"), (2, "public"), (3, "private"), (4, "public")] {
        ids.push(upload(&app, "alice", seed, visibility).await);
        add_image(&app, "alice", "c", &ids[ids.len() - 1]).await.ok();
    }
    let db = app.database().await;
    let of = |number: usize| ImageId::parse(&ids[number]).unwrap();
    // As an old version without collections would do.
    change(&db, Sql::new("update images set visibility = 'private' where id = $1").bind(of(0).uuid())).await;
    change(&db, Sql::new("update images set deleted_at = updated_at where id = $1").bind(of(1).uuid())).await;
    change(&db, Sql::new("update images set visibility = 'public' where id = $1").bind(of(2).uuid())).await;
    db.close().await;
    // Hidden images are not shown despite the inconsistent rows.
    assert_eq!(public_image_ids(&app, "c").await, [ids[3].as_str()]);
    let mut found = app.examine().await.collection_items;
    found.sort_unstable();
    assert_eq!(found, [of(0), of(1), of(2)]);
    let report = app.service().examine(Fix { rest: true, originals: false }).await.unwrap();
    assert!(report.is_healthy() && report.to_string().contains("repaired"), "{report}");
    app.assert_sound().await;
    assert_eq!(list_image_ids(&app, "alice", "c").await, [ids[0].as_str(), &ids[2], &ids[3]]);
    assert_eq!(public_image_ids(&app, "c").await, [ids[2].as_str(), &ids[3]]);
}

#[tokio::test]
async fn the_doctor_repairs_the_counts_of_a_collection() {
    let app = TestApp::start().await;
    create_collection(&app, "alice", "c").await;
    let (public, hidden) = (upload(&app, "alice", 1, "public").await, upload(&app, "alice", 2, "private").await);
    for id in [&public, &hidden] {
        add_image(&app, "alice", "c", id).await.ok();
    }
    let db = app.database().await;
    let mut tx = db.begin().await.unwrap();
    tx.execute(Sql::new("update counters set n = n + 5 where kind in ('collection', 'private_collection')")).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    let report = app.service().examine(Fix { rest: true, originals: false }).await.unwrap();
    let mut found: Vec<(&str, i64)> = report.counters.iter().map(|(counter, off)| (counter.kind.name(), *off)).collect();
    found.sort_unstable();
    assert_eq!(found, [("collection", -5), ("private_collection", -5)]);
    app.assert_sound().await;
    assert_eq!(list_image_ids(&app, "alice", "c").await, [public, hidden]);
}
