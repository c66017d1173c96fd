//! The trash: its size is limited by the owner's plan, the oldest images are purged first, and owners can purge an
//! image immediately.

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::{jpeg, padded};
use crate::harness::{Answer, Form, Login, TestApp, assert_error};

const MIN_AGE: TimeDelta = TimeDelta::seconds(3600);

struct Owner {
    app: TestApp,
    admin: Login,
    login: Login,
    /// An API key, because access tokens expire within the days that pass in these tests.
    key: String,
}

impl Owner {
    /// Creates an account whose plan allows two images.
    async fn with_quota_of_two() -> Self {
        Self::with(&json!({"original": true, "max_images": 2})).await
    }

    async fn with(features: &Value) -> Self {
        let app = TestApp::start().await;
        app.clock.stop();
        let admin = app.admin().await;
        let mut plan = json!({"name": "small"});
        plan.as_object_mut().unwrap().extend(features.as_object().unwrap().clone());
        assert_eq!(app.json_as(&admin, Method::POST, "/plans", &plan).await.status, 201);
        let login = app.account(&admin, "ann", &json!({"plan": "small"})).await;
        let key = app.key(&login, &json!({})).await;
        Self { app, admin, login, key }
    }

    async fn upload(&self) -> Answer {
        self.upload_file(&jpeg(60, 60, 1)).await
    }

    async fn upload_file(&self, file: &[u8]) -> Answer {
        self.app.send(self.app.upload(Form::new().file(file)).bearer_auth(&self.key)).await
    }

    /// Uploads an image and deletes it a second later.
    async fn upload_and_delete(&self) -> String {
        let id = self.upload().await.image_id();
        self.app.clock.advance(TimeDelta::seconds(1));
        self.delete(&id, "").await.ok();
        id
    }

    async fn delete(&self, id: &str, query: &str) -> Answer {
        self.app.send(self.app.request_by_key(&self.key, Method::DELETE, &format!("/images/{id}{query}"))).await
    }

    async fn restore(&self, id: &str) -> Answer {
        self.app.send(self.app.request_by_key(&self.key, Method::POST, &format!("/images/{id}/restore"))).await
    }

    async fn all_usage(&self) -> Value {
        self.app.send(self.app.request_by_key(&self.key, Method::GET, "/accounts/me")).await.ok()["usage"].clone()
    }

    /// Returns the numbers of images and of trashed images.
    async fn usage(&self) -> (u64, u64) {
        let usage = self.all_usage().await;
        (usage["images"].as_u64().unwrap(), usage["trash_images"].as_u64().unwrap())
    }
}

#[tokio::test]
async fn a_full_trash_rejects_uploads_until_its_oldest_images_can_be_purged() {
    let owner = Owner::with_quota_of_two().await;
    let mut thrown = Vec::new();
    for _ in 0..3 {
        thrown.push(owner.upload_and_delete().await);
    }
    assert_eq!(owner.usage().await, (0, 3), "a deletion is never rejected");
    let rejected = owner.upload().await;
    assert_error(&rejected, 403, "QuotaExceeded");
    let rule = rejected.json()["details"]["trash_images"].as_str().unwrap().to_owned();
    assert_eq!(rule, "the trash has 3, and the limit is 2; purge images with DELETE /images/{image_id}?purge=true");
    // Images are purged in the order of their deletion, and no more than necessary.
    owner.app.clock.advance(MIN_AGE);
    owner.upload().await.ok();
    assert_eq!(owner.usage().await, (1, 2));
    assert_error(&owner.restore(&thrown[0]).await, 404, "NotFound");
    owner.restore(&thrown[1]).await.ok();
    assert_eq!(owner.usage().await, (2, 1));
    owner.app.sweep_all().await;
    assert_eq!(owner.app.storage().keys().await.len(), 9, "the objects of three images are left");
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn an_upload_purges_a_limited_number_of_images_and_the_next_one_continues() {
    let owner = Owner::with(&json!({"original": true, "max_images": 25})).await;
    for _ in 0..25 {
        owner.upload_and_delete().await;
    }
    let smaller = json!({"original": true, "max_images": 2});
    owner.app.json_as(&owner.admin, Method::PUT, "/plans/small", &smaller).await.ok();
    owner.app.clock.advance(MIN_AGE);
    let rejected = owner.upload().await;
    assert_error(&rejected, 503, "ServiceUnavailable");
    assert_eq!((rejected.header("retry-after"), owner.usage().await), ("1", (0, 5)));
    owner.upload().await.ok();
    assert_eq!(owner.usage().await, (1, 2));
    owner.app.sweep_all().await;
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn a_full_trash_purges_no_image_that_an_administrator_took_down() {
    let owner = Owner::with_quota_of_two().await;
    let oldest = owner.upload_and_delete().await;
    let key = owner.app.key(&owner.admin, &json!({})).await;
    let by_admin = async |method: Method, path: String| owner.app.send(owner.app.request_by_key(&key, method, &path)).await;
    by_admin(Method::DELETE, format!("/images/{oldest}")).await.ok();
    for _ in 0..3 {
        owner.upload_and_delete().await;
    }
    owner.app.clock.advance(MIN_AGE);
    owner.upload().await.ok();
    assert_eq!(owner.usage().await, (1, 2));
    assert_eq!(by_admin(Method::POST, format!("/images/{oldest}/restore")).await.status, 204);
    owner.restore(&oldest).await.ok();
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn recently_deleted_images_are_never_purged_for_an_upload() {
    let owner = Owner::with_quota_of_two().await;
    let precious = owner.upload_and_delete().await;
    owner.upload_and_delete().await;
    owner.upload_and_delete().await;
    owner.app.clock.advance(MIN_AGE - TimeDelta::seconds(3));
    for _ in 0..3 {
        assert_error(&owner.upload().await, 403, "QuotaExceeded");
    }
    owner.restore(&precious).await.ok();
    assert_eq!(owner.usage().await, (1, 2));
    owner.upload().await.ok();
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn the_trash_is_limited_in_bytes_too() {
    let owner = Owner::with(&json!({"original": true, "max_bytes": 50_000})).await;
    for _ in 0..2 {
        let id = owner.upload_file(&padded(jpeg(60, 60, 1), 30_000)).await.image_id();
        owner.delete(&id, "").await.ok();
    }
    let rejected = owner.upload().await;
    assert_error(&rejected, 403, "QuotaExceeded");
    assert_eq!(
        rejected.json()["details"]["trash_bytes"],
        "the trash has 60000, and the limit is 50000; purge images with DELETE /images/{image_id}?purge=true"
    );
    let usage = owner.all_usage().await;
    assert_eq!((&usage["bytes"], &usage["trash_bytes"]), (&json!(0), &json!(60_000)));
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn concurrent_uploads_and_deletions_keep_the_trash_limited() {
    let owner = Owner::with_quota_of_two().await;
    let upload_and_delete_repeatedly = |_| async {
        let mut taken = 0;
        for _ in 0..4 {
            let answer = owner.upload().await;
            if answer.status == 200 {
                owner.delete(&answer.image_id(), "").await.ok();
                taken += 1;
            }
        }
        taken
    };
    let taken: u64 = join_all((0..6).map(upload_and_delete_repeatedly)).await.into_iter().sum();
    let (images, trash) = owner.usage().await;
    assert_eq!((images, trash), (0, taken));
    assert!((3..=4).contains(&trash), "at most two over the limit: {trash}");
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn without_a_quota_the_trash_has_no_limit() {
    let owner = Owner::with(&json!({"original": true})).await;
    for number in 1..=4 {
        owner.upload_and_delete().await;
        assert_eq!(owner.usage().await, (0, number));
    }
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn an_owner_can_purge_an_image_immediately() {
    let owner = Owner::with_quota_of_two().await;
    let (live, deleted) = (owner.upload().await.image(), owner.upload_and_delete().await);
    let url = live["download_url"].as_str().unwrap();
    let id = live["image_id"].as_str().unwrap();
    assert_eq!(owner.app.fetch(url).await.status, 200);
    let answer = owner.delete(id, "?purge=true").await.ok();
    assert_eq!(answer, json!({"message": "Image purged successfully", "image_id": id}));
    assert!(matches!(owner.app.fetch(url).await.status, 403 | 404), "the URL no longer works");
    assert_error(&owner.restore(id).await, 404, "NotFound");
    owner.delete(&deleted, "?purge=true").await.ok();
    assert_error(&owner.delete(&deleted, "?purge=true").await, 404, "NotFound");
    assert_eq!(owner.usage().await, (0, 0));
    assert_eq!(owner.app.storage().keys().await, [""; 0], "the objects are removed without the sweeper");
    assert_error(&owner.delete(&deleted, "?purge=soon").await, 422, "ValidationError");
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn only_the_owner_can_purge_an_image_and_not_after_a_takedown() {
    let owner = Owner::with_quota_of_two().await;
    let id = owner.upload().await.image_id();
    let path = format!("/images/{id}?purge=true");
    for other_user in [&owner.admin, &owner.app.account(&owner.admin, "bob", &json!({})).await] {
        assert_error(&owner.app.send(owner.app.request_as(other_user, Method::DELETE, &path)).await, 403, "Forbidden");
    }
    let reading = owner.app.key(&owner.login, &json!({"scopes": ["read"]})).await;
    assert_error(&owner.app.send(owner.app.request_by_key(&reading, Method::DELETE, &path)).await, 403, "Forbidden");
    assert_error(&owner.app.send(owner.app.request(Method::DELETE, &path)).await, 401, "Unauthorized");
    let take_down = owner.app.request_as(&owner.admin, Method::DELETE, &format!("/images/{id}"));
    owner.app.send(take_down).await.ok();
    assert_eq!(owner.usage().await, (0, 0), "an image that an administrator took down is in no trash");
    assert_error(&owner.delete(&id, "?purge=true").await, 403, "Forbidden");
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn taking_down_a_deleted_image_removes_it_from_the_trash_until_restored() {
    let owner = Owner::with_quota_of_two().await;
    let id = owner.upload_and_delete().await;
    let by_admin = |method: Method, path: String| {
        let request = owner.app.request_as(&owner.admin, method, &path);
        owner.app.send(request)
    };
    by_admin(Method::DELETE, format!("/images/{id}")).await.ok();
    assert_eq!(owner.usage().await, (0, 0));
    assert_eq!(by_admin(Method::POST, format!("/images/{id}/restore")).await.status, 204);
    assert_eq!(owner.usage().await, (0, 1));
    owner.restore(&id).await.ok();
    assert_eq!(owner.usage().await, (1, 0));
    // The takedown of an image that was not deleted.
    by_admin(Method::DELETE, format!("/images/{id}")).await.ok();
    assert_eq!(owner.usage().await, (0, 0));
    by_admin(Method::POST, format!("/images/{id}/restore")).await;
    assert_eq!(owner.usage().await, (1, 0));
    owner.app.assert_sound().await;
}

#[tokio::test]
async fn concurrent_deletions_and_purges_are_counted_once() {
    let owner = Owner::with_quota_of_two().await;
    for _ in 0..3 {
        let id = owner.upload().await.image_id();
        let ways = ["", "?purge=true", "", "?purge=true"].map(|query| owner.delete(&id, query));
        let statuses: Vec<u16> = join_all(ways).await.iter().map(|answer| answer.status).collect();
        assert!(statuses.contains(&200) && statuses.iter().all(|status| [200, 404, 410].contains(status)), "{statuses:?}");
        assert_eq!(owner.usage().await, (0, 0));
    }
    owner.app.sweep_all().await;
    owner.app.assert_sound().await;
}
