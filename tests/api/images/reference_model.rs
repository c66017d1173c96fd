//! Compares the service with a model in memory: after a few hundred random requests, every list, count and image
//! matches. The random numbers are the same in every run.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use image_service::model::clock::Clock;
use serde_json::{Value, json};

use crate::harness::app::ids_of;
use crate::harness::pictures::{Random, jpeg};
use crate::harness::{Form, TestApp};

const USERS: [&str; 3] = ["alice", "bob", "carol@example.org"];
const TAGS: [&str; 5] = ["sea", "sun", "sand", "日本", "new york"];
const OPERATIONS: usize = 250;
const RETENTION: TimeDelta = TimeDelta::days(10);

/// The expected state of an image.
#[derive(Debug, Clone)]
struct ExpectedImage {
    id: String,
    user: &'static str,
    title: Option<String>,
    tags: BTreeSet<&'static str>,
    private: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

impl ExpectedImage {
    /// Returns the status that another user gets for an attempt to change the image.
    fn rejection_status(&self) -> u16 {
        if self.private { 404 } else { 403 }
    }
}

/// The filters of a list.
#[derive(Debug, Clone, Default)]
struct Filter {
    user: Option<&'static str>,
    tags: BTreeSet<&'static str>,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    /// The user who sends the request.
    viewer: Option<&'static str>,
}

impl Filter {
    fn random(random: &mut Random, now: DateTime<Utc>) -> Self {
        let moment = |random: &mut Random| {
            let ago = i64::try_from(random.below(60 * 24 * 60)).expect("minutes");
            (random.below(3) == 0).then(|| now - TimeDelta::minutes(ago))
        };
        Self {
            user: (random.below(2) == 0).then(|| *random.pick(&USERS)),
            tags: some_tags(random, 2),
            start: moment(random),
            end: moment(random),
            viewer: (random.below(2) == 0).then(|| *random.pick(&USERS)),
        }
    }

    fn matches(&self, image: &ExpectedImage) -> bool {
        image.deleted_at.is_none()
            && (!image.private || self.viewer == Some(image.user))
            && self.user.is_none_or(|user| user == image.user)
            && self.tags.is_subset(&image.tags)
            && self.start.is_none_or(|start| image.created_at >= start)
            && self.end.is_none_or(|end| image.created_at <= end)
    }

    fn path(&self) -> String {
        let mut url = reqwest::Url::parse("http://x/images").expect("a URL");
        if let Some(user) = self.user {
            url.query_pairs_mut().append_pair("user_id", user);
        }
        if !self.tags.is_empty() {
            let tags: Vec<&str> = self.tags.iter().copied().collect();
            url.query_pairs_mut().append_pair("tags", &tags.join(","));
        }
        for (name, time) in [("start_date", self.start), ("end_date", self.end)] {
            if let Some(time) = time {
                url.query_pairs_mut().append_pair(name, &time.to_rfc3339());
            }
        }
        url.query().map_or_else(|| "/images".to_owned(), |query| format!("/images?{query}"))
    }
}

fn some_tags(random: &mut Random, at_most: usize) -> BTreeSet<&'static str> {
    (0..random.below(at_most + 1)).map(|_| *random.pick(&TAGS)).collect()
}

/// The service and its expected state.
struct World {
    app: TestApp,
    random: Random,
    images: Vec<ExpectedImage>,
}

impl World {
    async fn step(&mut self) {
        // Advances by up to twelve hours plus some milliseconds, so that the date changes and no two images have the
        // same time.
        self.app.clock.advance(TimeDelta::milliseconds(1 + i64::try_from(self.random.below(12 * 3_600_000)).expect("millis")));
        match self.random.below(100) {
            0..30 => self.upload().await,
            30..50 => self.change().await,
            50..65 => self.delete().await,
            65..80 => self.restore().await,
            80..85 => self.sweep().await,
            _ => {
                let filter = Filter::random(&mut self.random, self.app.clock.now());
                let limit = 1 + u32::try_from(self.random.below(30)).expect("a limit");
                self.check(&filter, limit).await;
            }
        }
    }

    async fn upload(&mut self) {
        let (user, tags) = (*self.random.pick(&USERS), some_tags(&mut self.random, 4));
        let title = (self.random.below(2) == 0).then(|| format!("title {}", self.random.next()));
        let list: Vec<&str> = tags.iter().copied().collect();
        let private = self.random.below(3) == 0;
        let form = Form::upload(user, &jpeg(50, 50, 1))
            .text("visibility", if private { "private" } else { "public" })
            .text("tags", &list.join(","))
            .text("title", title.as_deref().unwrap_or_default());
        let id = self.app.post(form).await.image_id();
        let now = self.app.clock.now();
        let created_at = DateTime::from_timestamp_millis(now.timestamp_millis()).expect("a time");
        self.images.push(ExpectedImage { id, user, title, tags, private, created_at, updated_at: created_at, deleted_at: None });
    }

    /// Picks any image and a user, who usually is its owner.
    fn pick(&mut self) -> Option<(usize, &'static str)> {
        if self.images.is_empty() {
            return None;
        }
        let index = self.random.below(self.images.len());
        let owner = self.images[index].user;
        Some((index, if self.random.below(10) == 0 { *self.random.pick(&USERS) } else { owner }))
    }

    async fn change(&mut self) {
        let Some((index, user)) = self.pick() else { return };
        let (title, tags) = (self.random.below(3), some_tags(&mut self.random, 4));
        let mut change = serde_json::Map::new();
        let mut changed = self.images[index].clone();
        if title < 2 {
            changed.title = (title == 0).then(|| format!("title {}", self.random.next()));
            change.insert("title".to_owned(), json!(changed.title));
        }
        if self.random.below(2) == 0 {
            change.insert("tags".to_owned(), json!(tags));
            changed.tags = tags;
        }
        if self.random.below(4) == 0 {
            changed.private = self.random.below(2) == 0;
            change.insert("visibility".to_owned(), json!(if changed.private { "private" } else { "public" }));
        }
        changed.updated_at = self.app.clock.now();
        let status = self.app.patch(user, &changed.id, &Value::Object(change)).await.status;
        let expected = match self.images[index].deleted_at {
            Some(_) => 404,
            None if user != changed.user => self.images[index].rejection_status(),
            None => 200,
        };
        assert_eq!(status, expected, "{changed:?}");
        if status == 200 {
            self.images[index] = changed;
        }
    }

    async fn delete(&mut self) {
        let Some((index, user)) = self.pick() else { return };
        let image = &mut self.images[index];
        let expected = match image.deleted_at {
            _ if user != image.user => image.rejection_status(),
            Some(_) => 410,
            None => 200,
        };
        assert_eq!(self.app.delete(user, &image.id).await.status, expected, "{image:?}");
        if expected == 200 {
            image.deleted_at = Some(self.app.clock.now());
        }
    }

    async fn restore(&mut self) {
        let Some((index, user)) = self.pick() else { return };
        let image = &mut self.images[index];
        let expected = match image.deleted_at {
            _ if user != image.user => image.rejection_status(),
            Some(_) => 200,
            None => 409,
        };
        assert_eq!(self.app.restore(user, &image.id).await.status, expected, "{image:?}");
        if expected == 200 {
            image.deleted_at = None;
        }
    }

    async fn sweep(&mut self) {
        self.app.sweep_all().await;
        let now = self.app.clock.now();
        self.images.retain(|image| image.deleted_at.is_none_or(|deleted_at| deleted_at + RETENTION > now));
    }

    /// Pages through a list and checks every page and image against the model.
    async fn check(&self, filter: &Filter, limit: u32) {
        let path = filter.path();
        // In order of creation.
        let expected: Vec<&ExpectedImage> = self.images.iter().rev().filter(|image| filter.matches(image)).collect();
        let mut token = None;
        let mut at = 0;
        loop {
            let mut request = self.app.request(reqwest::Method::GET, &path).query(&[("limit", limit)]);
            if let Some(viewer) = filter.viewer {
                request = request.header("X-User-Id", viewer);
            }
            let page = self.app.send(request.query(&token.map(|token: String| [("page_token", token)]))).await.ok();
            assert_eq!(page["total_count"], expected.len(), "{path} by {:?}", filter.viewer);
            let length = ids_of(&page).len();
            assert_eq!(length, (expected.len() - at).min(limit as usize), "{path}");
            for (image, expected_image) in page["images"].as_array().unwrap().iter().zip(&expected[at..]) {
                assert_same(image, expected_image);
            }
            at += length;
            assert_eq!(page["has_more"], at < expected.len(), "{path}");
            token = page["next_page_token"].as_str().map(str::to_owned);
            if token.is_none() {
                assert_eq!(at, expected.len(), "{path}");
                return;
            }
        }
    }
}

fn assert_same(image: &Value, expected_image: &ExpectedImage) {
    let tags: BTreeSet<&str> = image["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    let time = |field: &str| image[field].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let shown = (
        (&image["image_id"], &image["user_id"], &image["visibility"]),
        &image["title"],
        tags,
        time("created_at"),
        time("updated_at").timestamp_millis(),
    );
    let expected = (
        (
            &json!(expected_image.id),
            &json!(expected_image.user),
            &json!(if expected_image.private { "private" } else { "public" }),
        ),
        &json!(expected_image.title),
        expected_image.tags.clone(),
        expected_image.created_at,
        expected_image.updated_at.timestamp_millis(),
    );
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn after_random_requests_every_list_and_count_matches_the_model() {
    let app = TestApp::with(&[&format!("--retention-days={}", RETENTION.num_days())]).await;
    app.clock.stop_at("2026-01-31T20:00:00.123456Z");
    let mut world = World { app, random: Random::new(20_260_131), images: Vec::new() };
    for _ in 0..OPERATIONS {
        world.step().await;
    }
    world.sweep().await;
    let live = world.images.iter().filter(|image| image.deleted_at.is_none()).count();
    assert!(live > 25 && live < world.images.len(), "{live} of {}: the mix of operations is off", world.images.len());
    for user in USERS.map(Some).into_iter().chain([None]) {
        for first in TAGS.map(Some).into_iter().chain([None]) {
            for second in [None, Some(TAGS[0])] {
                let tags: BTreeSet<&str> = first.into_iter().chain(second).collect();
                for viewer in [None, Some(USERS[0])] {
                    let filter = Filter { user, tags: BTreeSet::clone(&tags), viewer, ..Filter::default() };
                    world.check(&filter, 100).await;
                }
            }
        }
    }
    for _ in 0..40 {
        let filter = Filter::random(&mut world.random, world.app.clock.now());
        world.check(&filter, 17).await;
    }
    for image in &world.images {
        for viewer in [None, Some(USERS[0])] {
            let path = format!("/images/{}", image.id);
            let answer = match viewer {
                Some(viewer) => world.app.by(viewer, reqwest::Method::GET, &path).await,
                None => world.app.get(&path).await,
            };
            match image.deleted_at {
                None if !image.private || viewer == Some(image.user) => assert_same(&answer.ok(), image),
                _ => assert_eq!(answer.status, 404),
            }
        }
    }
    assert_eq!(world.app.storage().keys().await.len(), world.images.len() * 3);
    world.app.assert_sound().await;
}
