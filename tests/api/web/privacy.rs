//! Compares all web pages with a model in memory: after many random requests of two users, no page, preview or list of tiles names an
//! image that its viewer may not see, and the lists name all others. The random numbers are the same in every run.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::{Random, jpeg};
use crate::harness::{Answer, Form, TestApp};

const USERS: [&str; 2] = ["ann", "bob"];
const OPERATIONS: usize = 160;
const OPERATIONS_BETWEEN_CHECKS: usize = 40;
const BROWSER: &str = "text/html,*/*;q=0.8";

struct ExpectedImage {
    id: String,
    user: &'static str,
    title: String,
    private: bool,
    deleted: bool,
}

struct ExpectedCollection {
    name: String,
    user: &'static str,
    private: bool,
    images: BTreeSet<String>,
}

/// A share of an image, or of a collection.
struct ExpectedShare {
    path: String,
    user: &'static str,
    image: Option<String>,
    collection: Option<String>,
    has_password: bool,
}

#[derive(Default)]
struct Expected {
    images: Vec<ExpectedImage>,
    collections: Vec<ExpectedCollection>,
    shares: Vec<ExpectedShare>,
}

impl Expected {
    /// Returns the ids of the images for which `condition` is true.
    fn ids(&self, condition: impl Fn(&ExpectedImage) -> bool) -> BTreeSet<&str> {
        self.images.iter().filter(|image| condition(image)).map(|image| image.id.as_str()).collect()
    }

    fn visible_to(&self, viewer: Option<&str>) -> BTreeSet<&str> {
        self.ids(|image| !image.deleted && (!image.private || viewer == Some(image.user)))
    }

    fn trash_of(&self, viewer: Option<&str>) -> BTreeSet<&str> {
        self.ids(|image| image.deleted && viewer == Some(image.user))
    }

    /// Returns the public images of a collection, if the viewer may see the collection.
    fn on_collection_page(&self, collection: &ExpectedCollection, viewer: Option<&str>) -> BTreeSet<&str> {
        let is_visible = !collection.private || viewer == Some(collection.user);
        self.ids(|image| is_visible && !image.deleted && !image.private && collection.images.contains(&image.id))
    }

    fn on_share_page(&self, share: &ExpectedShare) -> BTreeSet<&str> {
        let collection = self.collections.iter().find(|collection| Some(&collection.name) == share.collection.as_ref());
        let is_shared = |image: &ExpectedImage| match collection {
            Some(collection) => collection.images.contains(&image.id),
            None => share.image.as_ref() == Some(&image.id),
        };
        let is_seen = |image: &ExpectedImage| !image.deleted && (!image.private || image.user == share.user);
        self.ids(|image| !share.has_password && is_shared(image) && is_seen(image))
    }
}

async fn get(app: &TestApp, viewer: Option<&str>, path: &str, accept: &str) -> Answer {
    let request = app.request(Method::GET, path).header("accept", accept);
    app.send(if let Some(user) = viewer { request.header("x-user-id", user) } else { request }).await
}

async fn send(app: &TestApp, user: &str, method: Method, path: &str, body: &Value) -> Answer {
    app.send(app.request(method, path).header("x-user-id", user).json(body)).await
}

/// Changes something as a random user, in the service and in the model.
async fn change(app: &TestApp, random: &mut Random, expected: &mut Expected) {
    let user = *random.pick(&USERS);
    let number = expected.images.len();
    match random.below(10) {
        0..=3 => {
            let (title, private) = (format!("title-{number}-"), random.below(2) == 0);
            let form = Form::upload(user, &jpeg(160, 120, number as u64)).text("title", &title);
            let id = app.post(form.text("visibility", if private { "private" } else { "public" })).await.image_id();
            expected.images.push(ExpectedImage { id, user, title, private, deleted: false });
        }
        4 if number > 0 => {
            let image = &mut expected.images[random.below(number)];
            if image.deleted {
                app.restore(image.user, &image.id).await.ok();
            } else {
                app.delete(image.user, &image.id).await.ok();
            }
            image.deleted = !image.deleted;
        }
        5 if number > 0 => {
            let image = &mut expected.images[random.below(number)];
            if !image.deleted {
                image.private = !image.private;
                let visibility = if image.private { "private" } else { "public" };
                app.patch(image.user, &image.id, &json!({"visibility": visibility})).await.ok();
            }
        }
        6 => {
            let (name, private) = (format!("c{}", expected.collections.len()), random.below(2) == 0);
            let visibility = if private { "private" } else { "public" };
            let created = send(app, user, Method::POST, "/collections", &json!({"name": name, "visibility": visibility})).await;
            assert_eq!(created.status, 201);
            expected.collections.push(ExpectedCollection { name, user, private, images: BTreeSet::new() });
        }
        7 if !expected.collections.is_empty() => {
            let collection = random.below(expected.collections.len());
            let owner = expected.collections[collection].user;
            let visible: Vec<String> = expected.visible_to(Some(owner)).into_iter().map(str::to_owned).collect();
            for id in visible.into_iter().filter(|_| random.below(2) == 0) {
                let collection = &mut expected.collections[collection];
                app.by(owner, Method::PUT, &format!("/collections/{}/images/{id}", collection.name)).await.ok();
                collection.images.insert(id);
            }
        }
        _ => create_share(app, random, expected, user).await,
    }
}

async fn create_share(app: &TestApp, random: &mut Random, expected: &mut Expected, user: &'static str) {
    let own_images: Vec<&ExpectedImage> = expected.images.iter().filter(|image| image.user == user && !image.deleted).collect();
    let own_collections: Vec<_> = expected.collections.iter().filter(|collection| collection.user == user).collect();
    let has_password = random.below(4) == 0;
    let (image, collection) = match random.below(2) {
        0 if !own_images.is_empty() => (Some(random.pick(&own_images).id.clone()), None),
        _ if !own_collections.is_empty() => (None, Some(random.pick(&own_collections).name.clone())),
        _ => return,
    };
    let mut body = json!({"password": has_password.then_some("between us")});
    match (&image, &collection) {
        (Some(id), _) => body["image_id"] = json!(id),
        (_, name) => body["collection"] = json!(name),
    }
    let created = send(app, user, Method::POST, "/shares", &body).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let path = format!("/s/{}", created.json()["url"].as_str().unwrap().rsplit('/').next().unwrap());
    expected.shares.push(ExpectedShare { path, user, image, collection, has_password });
}

/// Checks that a response names no other images than these, neither by id nor by title.
fn assert_names_only(allowed: &BTreeSet<&str>, expected: &Expected, path: &str, answer: &Answer) {
    for image in &expected.images {
        let is_named = answer.text().contains(&image.id) && !path.contains(&image.id) || answer.text().contains(&image.title);
        assert!(!is_named || allowed.contains(image.id.as_str()), "{path} names {}: {}", image.title, answer.text());
    }
}

/// Checks a list of tiles: it has exactly these images, and the URLs of its pictures are of these.
async fn assert_lists(app: &TestApp, viewer: Option<&str>, path: &str, allowed: &BTreeSet<&str>, expected: &Expected) {
    let answer = get(app, viewer, &format!("{path}?limit=100"), "application/json").await;
    assert_names_only(allowed, expected, path, &answer);
    let tiles = answer.json()["tiles"].as_array().cloned().unwrap_or_default();
    let listed: BTreeSet<&str> = tiles.iter().map(|tile| tile["id"].as_str().unwrap()).collect();
    assert_eq!(&listed, allowed, "{path} for {viewer:?}");
    for tile in &tiles {
        let id = tile["id"].as_str().unwrap();
        for size in [&tile["sizes"], &tile["large"]].into_iter().flat_map(|sizes| sizes.as_array().unwrap()) {
            assert!(size["url"].as_str().unwrap().contains(id), "{path}: {tile}");
        }
    }
}

async fn check_viewer(app: &TestApp, viewer: Option<&str>, expected: &Expected) {
    let visible = expected.visible_to(viewer);
    assert_lists(app, viewer, "/app/tiles", &visible, expected).await;
    if viewer.is_some() {
        assert_lists(app, viewer, "/app/trash/tiles", &expected.trash_of(viewer), expected).await;
    }
    for image in &expected.images {
        let status = get(app, viewer, &format!("/app/tiles/{}", image.id), "*/*").await.status;
        assert_eq!(status == 200, visible.contains(image.id.as_str()), "{} for {viewer:?}", image.title);
        let path = format!("/app/images/{}", image.id);
        assert_names_only(&visible, expected, &path, &get(app, viewer, &path, BROWSER).await);
    }
    for path in ["/", "/app/", "/app/trash", "/app/none"] {
        assert_names_only(&visible, expected, path, &get(app, viewer, path, BROWSER).await);
    }
    for collection in &expected.collections {
        let allowed = expected.on_collection_page(collection, viewer);
        let path = format!("/c/{}", collection.name);
        assert_names_only(&allowed, expected, &path, &get(app, viewer, &path, BROWSER).await);
        assert_lists(app, viewer, &format!("{path}/tiles"), &allowed, expected).await;
        let oembed = get(app, viewer, &format!("/s/oembed?url={}", app.url(&path)), "*/*").await;
        assert_names_only(&expected.on_collection_page(collection, None), expected, &path, &oembed);
    }
    for share in &expected.shares {
        let allowed = expected.on_share_page(share);
        assert_names_only(&allowed, expected, &share.path, &get(app, viewer, &share.path, BROWSER).await);
        assert_lists(app, viewer, &format!("{}/tiles", share.path), &allowed, expected).await;
        let oembed = get(app, viewer, &format!("/s/oembed?url={}", app.url(&share.path)), "*/*").await;
        assert_names_only(&allowed, expected, &share.path, &oembed);
    }
}

#[tokio::test]
async fn no_page_names_an_image_that_its_viewer_may_not_see() {
    let app = TestApp::start().await;
    let (mut random, mut expected) = (Random::new(7), Expected::default());
    for operation in 1..=OPERATIONS {
        change(&app, &mut random, &mut expected).await;
        if operation % OPERATIONS_BETWEEN_CHECKS == 0 {
            for viewer in [None, Some("ann"), Some("bob")] {
                check_viewer(&app, viewer, &expected).await;
            }
        }
    }
    let kinds = [expected.images.len() > 40, expected.collections.len() > 5, expected.shares.len() > 10];
    assert_eq!(kinds, [true; 3]);
}
