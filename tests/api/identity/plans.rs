//! Plans: which features they include, and their quotas.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::{jpeg, padded};
use crate::harness::world::picture;
use crate::harness::{Answer, Form, Login, TestApp, World, assert_error};

/// Creates an account with a plan of its own that includes `features`.
async fn with_plan(app: &TestApp, admin: &Login, name: &str, features: &Value) -> Login {
    let mut plan = json!({"name": name});
    plan.as_object_mut().unwrap().extend(features.as_object().unwrap().clone());
    assert_eq!(app.json_as(admin, Method::POST, "/plans", &plan).await.status, 201);
    app.account(admin, name, &json!({"plan": name})).await
}

async fn upload(app: &TestApp, login: &Login, seed: u64) -> Value {
    app.post_as(login, Form::new().file(&jpeg(900, 700, seed))).await.image()
}

fn assert_not_in_plan(answer: &Answer) {
    assert_error(answer, 403, "Forbidden");
    assert!(answer.json()["message"].as_str().unwrap().starts_with("The plan of this image's owner does not include "));
}

/// Returns every path that serves a file of an image, and its status.
async fn served_files(app: &TestApp, id: &str) -> Vec<(String, u16)> {
    let below = ["thumbnails/small", "thumbnails/medium", "thumbnails/200", "thumbnails/400", "thumbnail?width=333", "download"];
    let mut statuses = Vec::new();
    for path in below.iter().map(|way| format!("/images/{id}/{way}")).chain([format!("/i/{id}"), format!("/i/{id}/x.jpg")]) {
        let answer = app.get(&path).await;
        if answer.status == 403 {
            assert_not_in_plan(&answer);
        }
        statuses.push((path.rsplit(id).next().unwrap().trim_start_matches('/').to_owned(), answer.status));
    }
    statuses
}

#[tokio::test]
async fn the_three_plans_allow_the_features_that_they_list_for_every_caller() {
    let app = TestApp::with(&["--auth-mode=required"]).await;
    let admin = app.admin().await;
    let statuses = |basic: u16, premium: u16, custom: u16| {
        let names = [
            "thumbnails/small",
            "thumbnails/medium",
            "thumbnails/200",
            "thumbnails/400",
            "thumbnail?width=333",
            "download",
            "",
            "x.jpg",
        ];
        let statuses = [200, premium, basic, premium, custom, premium, premium, premium];
        names.into_iter().map(str::to_owned).zip(statuses).collect::<Vec<_>>()
    };
    for (plan, expected) in
        [("Basic", statuses(200, 403, 403)), ("Premium", statuses(200, 200, 403)), ("Enterprise", statuses(200, 200, 403))]
    {
        let login = app.account(&admin, plan, &json!({"plan": plan})).await;
        let image = upload(&app, &login, 1).await;
        let id = image["image_id"].as_str().unwrap();
        assert_eq!(served_files(&app, id).await, expected, "{plan}");
        let basic = plan == "Basic";
        for image in [&image, &app.get(&format!("/images/{id}")).await.ok(), &app.get("/images?limit=1").await.ok()["images"][0]]
        {
            assert_eq!(image["image_id"], id);
            assert_eq!((image["download_url"].is_null(), image["thumbnails"]["medium"].is_null()), (basic, basic), "{plan}");
            assert!(image["thumbnail_url"].is_string() && image["thumbnails"]["small"]["url"].is_string());
        }
        let links = app.json_as(&login, Method::POST, &format!("/images/{id}/links"), &json!({"expires_in": 300})).await;
        match plan {
            "Enterprise" => assert_eq!(links.status, 201),
            _ => assert_not_in_plan(&links),
        }
    }
    // Without a plan, every feature is allowed.
    let image = upload(&app, &admin, 1).await;
    assert!(served_files(&app, image["image_id"].as_str().unwrap()).await.iter().all(|(_, status)| *status == 200));
}

#[tokio::test]
async fn a_new_plan_applies_immediately_to_all_images_and_links() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let login = app.account(&admin, "ann", &json!({"plan": "Enterprise"})).await;
    let image = upload(&app, &login, 1).await;
    let id = image["image_id"].as_str().unwrap();
    let link = app.json_as(&login, Method::POST, &format!("/images/{id}/links"), &json!({"expires_in": 3000})).await.json();
    let view = link["link"].as_str().unwrap().split_once("/view/").map(|(_, token)| format!("/view/{token}")).unwrap();
    assert_eq!(app.get(&view).await.status, 200);
    let path = format!("/accounts/{}", login.id);
    assert_eq!(app.json_as(&admin, Method::PATCH, &path, &json!({"plan": "Basic"})).await.ok()["plan"], "Basic");
    assert_not_in_plan(&app.get(&view).await);
    assert_not_in_plan(&app.get(&format!("/i/{id}")).await);
    app.json_as(&admin, Method::PATCH, &path, &json!({"plan": "Enterprise"})).await.ok();
    assert_eq!(app.get(&view).await.status, 200);
    // So does a change of the plan itself.
    let features = json!({"thumbnails": ["small", "200"], "original": true});
    app.json_as(&admin, Method::PUT, "/plans/Enterprise", &features).await.ok();
    assert_not_in_plan(&app.get(&view).await);
    assert_not_in_plan(&app.get(&format!("/images/{id}/thumbnails/400")).await);
    assert_eq!(app.get(&format!("/i/{id}")).await.status, 200);
}

#[tokio::test]
async fn a_plan_applies_behind_a_gateway_too() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    app.account(&admin, "ann", &json!({"plan": "Basic"})).await;
    for (user, allowed) in [("ann", false), ("bob", true)] {
        let image = app.post(Form::upload(user, &jpeg(900, 700, 1))).await.image();
        assert_eq!(image["download_url"].is_string(), allowed, "{user}");
        assert_eq!(app.get(&format!("/i/{}", image["image_id"].as_str().unwrap())).await.status, if allowed { 200 } else { 403 });
    }
}

#[tokio::test]
async fn imports_need_the_plan_feature_and_links_are_listed_if_the_plan_includes_originals() {
    let world = World::new();
    world.site("pictures.test", |path, _| picture(&jpeg(64, 64, path.len() as u64))).await;
    let app = TestApp::within(world, &["--import-concurrency=0"]).await;
    let admin = app.admin().await;
    let none = with_plan(&app, &admin, "none", &json!({"original": true})).await;
    let basic = app.account(&admin, "basic", &json!({"plan": "Basic"})).await;
    let premium = app.account(&admin, "premium", &json!({"plan": "Premium"})).await;
    let order = |name: &str| json!({"urls": [format!("http://pictures.test/{name}.jpg")]});
    assert_error(&app.json_as(&none, Method::POST, "/imports", &order("none")).await, 403, "Forbidden");
    for (login, name) in [(&basic, "basic"), (&premium, "premium")] {
        assert_eq!(app.json_as(login, Method::POST, "/imports", &order(name)).await.status, 202);
    }
    app.import_all().await;
    let links = app.get("/links").await.ok();
    assert_eq!(links["uploaded"].as_array().unwrap().len(), 1, "{links}");
    let link = links["uploaded"][0].as_str().unwrap();
    assert_eq!(app.get(&link[link.find("/i/").unwrap()..]).await.status, 200);
    assert_eq!(app.get("/users/basic/images").await.ok()["total_count"], 1);
}

#[tokio::test]
async fn an_image_quota_is_exact_under_concurrent_uploads() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let login = with_plan(&app, &admin, "five", &json!({"thumbnails": ["small"], "max_images": 5})).await;
    let answers = join_all((0..16).map(|seed| app.post_as(&login, Form::new().file(&jpeg(64, 64, seed))))).await;
    let stored: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(stored.len(), 5);
    for rejected in answers.iter().filter(|answer| answer.status != 200) {
        let details = assert_error(rejected, 403, "QuotaExceeded");
        assert_eq!(details, json!({"images": "5 of 5 used, 0 left, 1 required"}));
    }
    let me = app.get_as(&login, "/accounts/me").await.ok();
    assert_eq!((&me["usage"]["images"], &me["usage"]["images_left"]), (&json!(5), &json!(0)));
    // Deleting an image frees quota and restoring one needs it. Private images count like public ones.
    let id = stored[0].image_id();
    app.send(app.request_as(&login, Method::DELETE, &format!("/images/{id}"))).await.ok();
    app.post_as(&login, Form::new().file(&jpeg(64, 64, 99)).text("visibility", "private")).await.ok();
    let restored = app.send(app.request_as(&login, Method::POST, &format!("/images/{id}/restore"))).await;
    assert_error(&restored, 403, "QuotaExceeded");
    assert_eq!(app.get_as(&login, "/accounts/me").await.ok()["usage"]["images"], 5);
    app.assert_sound().await;
}

#[tokio::test]
async fn a_byte_quota_is_exact_and_the_error_reports_the_remainder() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let login = with_plan(&app, &admin, "small", &json!({"thumbnails": ["small"], "max_bytes": 10_000})).await;
    let file = |seed: u64, length: usize| Form::new().file(&padded(jpeg(50, 50, seed), length));
    app.post_as(&login, file(1, 6_000)).await.ok();
    let rejected = app.post_as(&login, file(2, 4_001)).await;
    let details = assert_error(&rejected, 403, "QuotaExceeded");
    assert_eq!(details, json!({"bytes": "6000 of 10000 used, 4000 left, 4001 required"}));
    assert!(rejected.json()["message"].as_str().unwrap().contains("what is used and what is left"));
    app.post_as(&login, file(3, 4_000)).await.ok();
    let usage = app.get_as(&login, "/accounts/me").await.ok()["usage"].clone();
    assert_eq!(
        usage,
        json!({"images": 2, "bytes": 10_000, "images_left": null, "bytes_left": 0, "trash_images": 0, "trash_bytes": 0, "variant_bytes": 0})
    );
    let answers = join_all((0..4).map(|seed| app.post_as(&login, file(seed, 3_000)))).await;
    assert!(answers.iter().all(|answer| answer.status == 403));
    app.assert_sound().await;
}

#[tokio::test]
async fn a_repeated_upload_is_answered_even_when_the_quota_is_used_up() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let login = with_plan(&app, &admin, "one", &json!({"max_images": 1})).await;
    let file = jpeg(64, 64, 1);
    let send = async || {
        let request = app.upload(Form::new().file(&file)).bearer_auth(&login.access).header("Idempotency-Key", "k");
        app.send(request).await
    };
    let first = send().await.image_id();
    assert_eq!(send().await.image_id(), first);
    // An upload that exceeded the quota releases its key.
    let other = app.upload(Form::new().file(&jpeg(64, 64, 2))).bearer_auth(&login.access).header("Idempotency-Key", "other");
    assert_error(&app.send(other).await, 403, "QuotaExceeded");
    app.send(app.request_as(&login, Method::DELETE, &format!("/images/{first}"))).await.ok();
    let other = app.upload(Form::new().file(&jpeg(64, 64, 2))).bearer_auth(&login.access).header("Idempotency-Key", "other");
    assert_eq!(app.send(other).await.status, 200);
}

#[tokio::test]
async fn an_import_item_that_exceeds_the_quota_fails_and_the_others_do_not() {
    let world = World::new();
    world.site("pictures.test", |path, _| picture(&jpeg(64, 64, path.len() as u64))).await;
    let app = TestApp::within(world, &["--import-concurrency=0"]).await;
    let admin = app.admin().await;
    let login = with_plan(&app, &admin, "two", &json!({"imports": true, "max_images": 2})).await;
    let urls: Vec<String> = (0..3).map(|number| format!("http://pictures.test/{}.jpg", "a".repeat(number + 1))).collect();
    let job = app.json_as(&login, Method::POST, "/imports", &json!({"urls": urls})).await.json();
    app.import_all().await;
    let job = app.get_as(&login, &format!("/imports/{}", job["jobId"].as_str().unwrap())).await.ok();
    assert_eq!(job["uploaded"]["complete"].as_array().unwrap().len(), 2);
    let reason = job["errors"][&urls[2]].as_str().unwrap();
    assert_eq!(reason, "the quota is exhausted (images: 2 of 2 used, 0 left, 1 required)");
}

#[tokio::test]
async fn imports_of_a_disabled_account_fail_without_a_request() {
    let world = World::new();
    world.site("pictures.test", |_, _| picture(&jpeg(64, 64, 1))).await;
    let app = TestApp::within(world.clone(), &["--import-concurrency=0"]).await;
    let admin = app.admin().await;
    let login = app.account(&admin, "ann", &json!({})).await;
    let urls = ["http://pictures.test/a.jpg", "http://pictures.test/b.jpg"];
    let job = app.json_as(&login, Method::POST, "/imports", &json!({"urls": urls})).await.json();
    app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", login.id), &json!({"disabled": true})).await.ok();
    app.import_all().await;
    app.json_as(&admin, Method::PATCH, &format!("/accounts/{}", login.id), &json!({"disabled": false})).await.ok();
    let job = app.by("ann", Method::GET, &format!("/imports/{}", job["jobId"].as_str().unwrap())).await.ok();
    assert_eq!(job["errors"][urls[0]], "The account of this user is disabled.");
    assert_eq!((job["uploaded"]["failed"].as_array().unwrap().len(), world.requests().len()), (2, 0));
}

#[tokio::test]
async fn an_account_created_for_a_user_keeps_the_users_images_and_usage() {
    let app = TestApp::start().await;
    let image = app.post(Form::upload("ann", &jpeg(64, 64, 1))).await.image();
    let admin = app.admin().await;
    let login = with_plan(&app, &admin, "ann", &json!({"thumbnails": ["small"], "max_images": 1})).await;
    let usage = app.get_as(&login, "/accounts/me").await.ok()["usage"].clone();
    assert_eq!((&usage["images"], &usage["bytes"]), (&json!(1), &image["file_size"]));
    assert_error(&app.post_as(&login, Form::new().file(&jpeg(64, 64, 2))).await, 403, "QuotaExceeded");
}
