//! Routing: unknown paths, methods and IDs, `HEAD`, and a slash at the end of a path.

use image_service::http::openapi;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};

const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

/// Every route in the OpenAPI document: its path with an image id, and its methods except HEAD and OPTIONS.
pub fn routes(id: &str) -> Vec<(String, Vec<String>)> {
    let document = serde_json::to_value(openapi::document()).expect("the document");
    let route = |(path, operations): (&String, &Value)| {
        let path = path.replace("{size}", "small").replace("{user_id}", "alice").replace("{tag}", "sea");
        let path = path.replace("{name}", "name").replace("{token}", "token");
        let path = ["{image_id}", "{jobId}", "{id}"].iter().fold(path, |path, parameter| path.replace(parameter, id));
        let operations = operations.as_object().expect("operations").keys();
        (path, operations.map(|method| method.to_uppercase()).collect())
    };
    document["paths"].as_object().expect("paths").iter().map(route).collect()
}

pub fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

#[tokio::test]
async fn an_unknown_path_is_404_for_every_method() {
    let app = TestApp::start().await;
    for path in
        ["/nope", "/images//", "/Images", "/images/a/b/c", "//images", "/users/a", "/tags/a", "/v1/images", "/favicon.ico"]
    {
        for name in ["GET", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            let answer = app.send(app.request(method(name), path)).await;
            assert_eq!(assert_error(&answer, 404, "NotFound"), json!({}), "{name} {path}");
        }
    }
    for path in ["/users/%ff/images", "/docs/nope", "/docs/swagger-ui.nope"] {
        assert_error(&app.get(path).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_with_the_allowed_ones() {
    let app = TestApp::start().await;
    let mut paths = routes(UNKNOWN_ID);
    paths.extend(["/", "/docs", "/redoc", "/openapi.json"].map(|path| (path.to_owned(), vec!["GET".to_owned()])));
    for (path, methods) in paths {
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if methods.iter().any(|method| method == name) {
                continue;
            }
            let answer = app.send(app.request(method(name), &path)).await;
            assert_eq!(assert_error(&answer, 405, "MethodNotAllowed"), json!({}), "{name} {path}");
            let mut allowed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
            allowed.retain(|name| !["HEAD", "OPTIONS"].contains(name));
            allowed.sort_unstable();
            let mut expected = methods.clone();
            expected.sort_unstable();
            assert_eq!(allowed, expected, "{name} {path}");
        }
    }
}

#[tokio::test]
async fn head_works_wherever_get_does() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea")).await.image_id();
    let mut paths: Vec<String> = routes(&id)
        .into_iter()
        .filter(|(_, methods)| methods.iter().any(|method| method == "GET"))
        .map(|(path, _)| path)
        .collect();
    paths.extend(["/", "/redoc", "/openapi.json", "/docs/", "/images?limit=0", "/images/x"].map(str::to_owned));
    for path in paths {
        let (get, head) = (app.get(&path).await, app.send(app.request(Method::HEAD, &path)).await);
        assert_eq!((get.status, get.header("content-type")), (head.status, head.header("content-type")), "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert!(path == "/" || !get.body.is_empty(), "{path}");
        if !["/metrics"].contains(&path.as_str()) {
            assert_eq!(get.header("content-length"), head.header("content-length"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_malformed_or_unknown_id_is_404_in_every_route() {
    let app = TestApp::start().await;
    let simple = UNKNOWN_ID.replace('-', "");
    let braced = format!("%7B{UNKNOWN_ID}%7D");
    let ids = [UNKNOWN_ID, "1", "abc", "0", "%20", "%00", "..%2f..%2fetc", &simple, &braced, "urn:uuid:x", "null"];
    let long = "a".repeat(5000);
    for id in
        ids.into_iter().chain([long.as_str(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
    {
        for (name, path) in [
            ("GET", format!("/images/{id}")),
            ("GET", format!("/images/{id}?include_url=false")),
            ("GET", format!("/images/{id}/download?expires_in=60")),
            ("GET", format!("/images/{id}/thumbnails/small")),
            ("GET", format!("/images/{id}/thumbnail?width=100")),
            ("GET", format!("/i/{id}")),
            ("GET", format!("/i/{id}.json")),
            ("DELETE", format!("/images/{id}")),
            ("POST", format!("/images/{id}/restore")),
            ("POST", format!("/images/{id}/caption")),
        ] {
            assert_error(&app.by("alice", method(name), &path).await, 404, "NotFound");
        }
        assert_error(&app.patch("alice", id, &json!({"title": "t"})).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn a_path_may_end_with_a_slash() {
    let app = TestApp::start().await;
    let image = app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea")).await.image_id();
    let made =
        app.send(app.request(Method::POST, "/collections/").header("X-User-Id", "alice").json(&json!({"name": "all"}))).await;
    assert_eq!(made.status, 201, "{}", made.text());
    for path in [
        "/images/?limit=1".to_owned(),
        format!("/images/{image}/"),
        format!("/i/{image}/"),
        "/c/all/".to_owned(),
        "/tags/sea/images/".to_owned(),
        "/health/".to_owned(),
    ] {
        assert_eq!(app.get(&path).await.status, 200, "{path}");
    }
    assert_eq!(app.by("alice", Method::DELETE, &format!("/images/{image}/")).await.status, 200);
    for path in ["/images//", "/nothing/", "/docs/nothing/", "//"] {
        assert_error(&app.get(path).await, 404, "NotFound");
    }
    // The page's links are relative to its URL.
    let redoc = app.get("/redoc/").await;
    assert_eq!((redoc.status, redoc.header("location")), (307, "../redoc"));
}
