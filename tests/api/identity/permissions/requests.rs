//! The requests of the tables' rows. Each one succeeds for a permitted caller, so that only the caller can make it
//! fail.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::callers::{Callers, Credentials};
use super::table::Row;
use crate::harness::pictures::jpeg;
use crate::harness::world::picture;
use crate::harness::{Form, PASSWORD, TestApp, World};

/// An id that does not exist.
const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

/// A tag on all images of the owner.
const TAG: &str = "sea";

/// A service and all callers.
pub struct Stage {
    pub app: TestApp,
    pub callers: Callers,
    file: Vec<u8>,
    /// Makes names unique.
    count: u32,
}

/// The resource that a row's requests address. It stays the same until one of them succeeds.
#[derive(Debug, Clone)]
pub struct Target {
    pub path: String,
    /// The refresh token, for the operation that uses one up.
    refresh: Option<String>,
    /// The image to share, for the operation that shares one.
    image: Option<String>,
}

impl Stage {
    pub async fn new(mode: &str) -> Self {
        let world = World::new();
        world.site("pictures.test", |_, _| picture(&jpeg(60, 60, 1))).await;
        // Imports and captions are created but not processed.
        let mode = format!("--auth-mode={mode}");
        let captions = ["--caption-url=http://captions.test/v1", "--caption-model=any", "--caption-concurrency=0"];
        let app =
            TestApp::within(world, &[&[&mode, "--import-concurrency=0", "--max-open-uploads=1000"], &captions[..]].concat())
                .await;
        let callers = Callers::new(&app).await;
        Self { app, callers, file: jpeg(60, 60, 1), count: 0 }
    }

    /// Creates the resource that a row's requests address.
    pub async fn create_target(&mut self, row: &Row) -> Target {
        self.count += 1;
        let is_unknown = row.state == "unknown";
        let mut path = row.path().to_owned();
        if path.starts_with("/s/{token}") {
            path = self.shared_path(row).await;
        }
        if path.contains("{image_id}") || path.contains("{token}") {
            let (image, token) = self.image(row.state, path.contains("{token}")).await;
            path = path.replace("{image_id}", &image).replace("{token}", &token);
        }
        if path.contains("{jobId}") {
            let job = if is_unknown { UNKNOWN_ID.to_owned() } else { self.import("public").await };
            path = path.replace("{jobId}", &job);
        }
        if path.starts_with("/uploads/{id}") {
            let upload = if is_unknown { UNKNOWN_ID.to_owned() } else { self.create("/uploads", &new_upload(), "id").await };
            path = path.replace("{id}", &upload);
        }
        if path.starts_with("/shares/{id}") {
            let image = self.image("private", false).await.0;
            let share = self.create("/shares", &json!({"image_id": image}), "id").await;
            path = path.replace("{id}", if is_unknown { UNKNOWN_ID } else { &share });
        }
        if path.starts_with("/accounts/{id}") {
            path = path.replace("{id}", if is_unknown { UNKNOWN_ID } else { &self.callers.guest.id });
        }
        path = path.replace("/me/sessions/{id}", &format!("/me/sessions/{UNKNOWN_ID}"));
        if path.starts_with("/api-keys/{id}") {
            let key = if is_unknown { UNKNOWN_ID.to_owned() } else { self.create("/api-keys", &json!({}), "id").await };
            path = path.replace("{id}", &key);
        }
        if path.starts_with("/plans/{name}") {
            let plan = format!("plan-{}", self.count);
            if !is_unknown {
                let created = self.app.json_as(&self.callers.admin, Method::POST, "/plans", &json!({"name": plan})).await;
                assert_eq!(created.status, 201, "{}", created.text());
            }
            path = path.replace("{name}", &plan);
        }
        if path.starts_with("/collections/{name}") || path.starts_with("/c/{name}") {
            let name = self.collection(row, &path).await;
            path = path.replacen("{name}", &name, 1);
        }
        let plain = [("{name}", "picture.jpg"), ("{size}", "small"), ("{user_id}", &self.callers.owner.user_id), ("{tag}", TAG)];
        path = plain.iter().fold(path, |path, (name, value)| path.replace(name, value));
        match (row.operation, row.state) {
            ("GET /images/{image_id}/thumbnail", _) => path += "?width=32",
            ("GET /images", "filtered") => path += &format!("?user_id={}&tags={TAG}", self.callers.owner.user_id),
            _ => {}
        }
        assert!(!path.contains('{'), "{row}: {path} has a placeholder without a value");
        let refresh = if row.path() == "/token/refresh" { Some(self.refresh_token().await) } else { None };
        let image = if row.operation == "POST /shares" { Some(self.image(row.state, false).await.0) } else { None };
        Target { path, refresh, image }
    }

    /// Creates a share of the owner, of a collection if visitors add images to it. Returns the row's path with the token, and with
    /// the image if it names one. The image is shared before it reaches its state.
    async fn shared_path(&self, row: &Row) -> String {
        let has_image = row.path().contains("{image_id}");
        if row.state == "unknown" && !has_image {
            return row.path().replace("{token}", &"A".repeat(22));
        }
        let visibility = if row.state == "public" { "public" } else { "private" };
        let (image, _) = self.image(visibility, false).await;
        let fields = match row.path() {
            "/s/{token}/images" => {
                let name = self.create("/collections", &json!({"name": format!("shared-{}", self.count)}), "name").await;
                json!({"collection": name, "max_guest_images": 10})
            }
            "/s/{token}/password" => json!({"image_id": image, "password": PASSWORD}),
            _ => json!({"image_id": image}),
        };
        let link = self.create("/shares", &fields, "url").await;
        self.bring_to(row.state, &image).await;
        let image = if row.state == "unknown" { UNKNOWN_ID } else { &image };
        row.path().replace("{token}", link.rsplit('/').next().expect("a token")).replace("{image_id}", image)
    }

    /// Creates a collection of the owner and returns its name. Its state is the row's, unless the path names an image:
    /// then the image has the state and is in the collection.
    async fn collection(&self, row: &Row, path: &str) -> String {
        let name = format!("collection-{}", self.count);
        let image = path.strip_prefix("/collections/{name}/images/");
        if row.state == "unknown" && image.is_none() {
            return name;
        }
        let visibility = if row.state == "private" && image.is_none() { "private" } else { "public" };
        self.create("/collections", &json!({"name": name, "visibility": visibility}), "name").await;
        if let Some(image) = image.filter(|_| row.state != "unknown" && row.method() != "PUT") {
            let path = format!("/collections/{name}/images/{image}");
            self.app.send(self.app.request_as(&self.callers.owner, Method::PUT, &path)).await.ok();
        }
        name
    }

    /// Creates something as the owner. Returns a field of the response.
    async fn create(&self, path: &str, body: &Value, field: &str) -> String {
        let created = self.app.json_as(&self.callers.owner, Method::POST, path, body).await;
        assert!([201, 202].contains(&created.status), "{path}: {}", created.text());
        created.json()[field].as_str().expect(field).to_owned()
    }

    /// Creates an image of the owner. Returns its id and the token of an expiring link, created before the image
    /// reached its state.
    async fn image(&self, state: &str, with_link: bool) -> (String, String) {
        if state == "unknown" {
            return (UNKNOWN_ID.to_owned(), "A".repeat(43));
        }
        let visibility = if state.starts_with("private") { "private" } else { "public" };
        let form = Form::new().file(&self.file).text("tags", TAG).text("visibility", visibility);
        let id = self.app.post_as(&self.callers.owner, form).await.image_id();
        let path = format!("/images/{id}");
        let mut token = String::new();
        if with_link {
            let max_views = if state == "used up" { json!(1) } else { Value::Null };
            let link = self.create(&format!("{path}/links"), &json!({"expires_in": 300, "max_views": max_views}), "link").await;
            token = link.rsplit('/').next().expect("a token").to_owned();
        }
        if state == "used up" {
            assert_eq!(self.app.get(&format!("/view/{token}")).await.status, 200);
        } else {
            self.bring_to(state, &id).await;
        }
        (id, token)
    }

    /// Deletes a new image if it is to be in such a state.
    async fn bring_to(&self, state: &str, id: &str) {
        let by = match state.strip_prefix("private ").unwrap_or(state) {
            "" | "public" | "private" | "unknown" => return,
            "deleted" => &self.callers.owner,
            "taken down" => &self.callers.admin,
            _ => panic!("unknown image state: {state}"),
        };
        self.app.send(self.app.request_as(by, Method::DELETE, &format!("/images/{id}"))).await.ok();
    }

    /// Creates an import as the owner.
    pub async fn import(&self, visibility: &str) -> String {
        let order = json!({"urls": [format!("http://pictures.test/{visibility}")], "tags": [TAG], "visibility": visibility});
        self.create("/imports", &order, "jobId").await
    }

    async fn refresh_token(&self) -> String {
        let tokens = self.app.post_json("/token", &self.guests_login()).await;
        tokens.json()["refresh"].as_str().expect("a token").to_owned()
    }

    fn guests_login(&self) -> Value {
        json!({"email": self.callers.guest.email, "password": PASSWORD})
    }

    /// Builds a request for a target with the caller's credentials.
    pub fn request(&mut self, row: &Row, target: &Target, credentials: &Credentials) -> RequestBuilder {
        self.count += 1;
        let method = Method::from_bytes(row.method().as_bytes()).expect("a method");
        let request = credentials.add_to(self.app.request(method.clone(), &target.path));
        let user = match row.state {
            "for owner" => &self.callers.owner.user_id,
            "for disabled" => self.callers.disabled_user(),
            _ => &credentials.user,
        };
        let body = match row.operation {
            "POST /s/{token}/images" => {
                let form = Form::new().file(&self.file);
                return request.header("Content-Type", Form::content_type()).body(form.finish());
            }
            "POST /images" => {
                let form = Form::upload(user, &self.file);
                return request.header("Content-Type", Form::content_type()).body(form.finish());
            }
            "POST /uploads" => {
                let mut body = new_upload();
                body["user_id"] = json!(user);
                body
            }
            "POST /imports" => json!({"urls": ["http://pictures.test/1"], "user_id": user}),
            "PATCH /images/{image_id}" => json!({"title": "new"}),
            "POST /images/{image_id}/links" => json!({"expires_in": 300}),
            "POST /images/{image_id}/urls" => json!({"sizes": [{"width": 32}]}),
            "POST /token" => self.guests_login(),
            "POST /token/refresh" => json!({"refresh": target.refresh}),
            "POST /accounts" => json!({"email": format!("{}@example.org", self.count), "password": PASSWORD}),
            "PATCH /accounts/{id}" => json!({"plan": null}),
            "PUT /accounts/me/password" => {
                json!({"current_password": PASSWORD, "new_password": PASSWORD})
            }
            "POST /collections" => json!({"name": format!("made-{}", self.count)}),
            "PATCH /collections/{name}" => json!({"visibility": "public"}),
            "PUT /collections/{name}/images/{image_id}" => return request,
            "PATCH /collections/{name}/images/{image_id}" => json!({"after": null}),
            "POST /shares" => json!({"image_id": target.image}),
            "PATCH /shares/{id}" => json!({"expires_in": 60}),
            "POST /s/{token}/password" => json!({"password": PASSWORD}),
            "POST /api-keys" | "PUT /api-keys/{id}" => json!({"description": "made by a test"}),
            "POST /plans" => json!({"name": format!("made-{}", self.count)}),
            "PUT /plans/{name}" => json!({"custom_sizes": true}),
            "POST /images/{image_id}/restore" | "POST /images/{image_id}/caption" | "POST /uploads/{id}/complete" => {
                return request;
            }
            operation => {
                assert!([Method::GET, Method::DELETE].contains(&method), "{operation} has no request body in this test");
                return request;
            }
        };
        request.json(&body)
    }

    /// Builds the same request with the method HEAD.
    pub fn head(&self, target: &Target, credentials: &Credentials) -> RequestBuilder {
        credentials.add_to(self.app.request(Method::HEAD, &target.path))
    }

    /// Restores what a successful request changed.
    pub async fn reset(&mut self, row: &Row, target: &mut Target) {
        if ["PUT /accounts/me/password", "DELETE /accounts/me/sessions"].contains(&row.operation) {
            self.callers.log_in_again(&self.app).await;
        }
        if row.method() != "GET" {
            *target = self.create_target(row).await;
        }
    }

    /// Imports two images for the owner, one public and one private.
    pub async fn two_images(&self) {
        self.import("public").await;
        self.import("private").await;
        self.app.import_all().await;
    }
}

fn new_upload() -> Value {
    json!({"file_size": 2000, "content_type": "image/jpeg"})
}
