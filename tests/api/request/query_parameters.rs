//! Query parameters: none is silently ignored, and all invalid ones are reported together.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Form, TestApp, assert_error};
use crate::server::routing::{method, routes};

const UNKNOWN_ID: &str = "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a";

fn keys(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn unknown_query_parameters_are_422_in_every_route() {
    let app = TestApp::start().await;
    for (path, methods) in routes(UNKNOWN_ID) {
        for name in &methods {
            if name == "GET" && is_shared(&path) {
                continue;
            }
            let request = app.request(method(name), &format!("{path}?colour=blue&Limit=1")).header("X-User-Id", "alice");
            let details = assert_error(&app.send(request).await, 422, "ValidationError");
            assert_eq!(keys(&details), ["Limit", "colour"], "{name} {path}");
        }
    }
    // A parameter of one list may be unknown to another: here, the user is in the path.
    for (path, parameter) in
        [("/users/alice/images", "user_id"), ("/users/alice/images", "tags"), ("/tags/sea/images", "start_date")]
    {
        let details = assert_error(&app.get(&format!("{path}?{parameter}=2026-01-01")).await, 422, "ValidationError");
        assert_eq!(keys(&details), [parameter]);
    }
}

/// URLs that people share, embed in pages, or monitor. Other services add parameters to them.
fn is_shared(path: &str) -> bool {
    let pictures = path.contains("/thumbnail") && path.starts_with("/images/");
    pictures || ["/i/", "/view/", "/c/", "/s/", "/health", "/ready", "/metrics"].iter().any(|start| path.starts_with(start))
}

#[tokio::test]
async fn shared_urls_accept_any_query_parameters() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1))).await.image_id();
    let by_alice = |path: &str| app.request(Method::POST, path).header("X-User-Id", "alice");
    let link = app.send(by_alice(&format!("/images/{id}/links")).json(&json!({"expires_in": 300}))).await.json();
    let view = link["link"].as_str().unwrap().split_once("/view/").unwrap().1.to_owned();
    assert_eq!(app.send(by_alice("/collections").json(&json!({"name": "trip"}))).await.status, 201);
    let share = app.send(by_alice("/shares").json(&json!({"image_id": id}))).await.json();
    let share = share["url"].as_str().unwrap().split_once("/s/").unwrap().1.to_owned();
    let paths = [
        format!("/i/{id}"),
        format!("/i/{id}.json"),
        format!("/i/{id}/sunset.jpg"),
        format!("/view/{view}"),
        "/c/trip".to_owned(),
        format!("/s/{share}"),
        format!("/s/{share}/images/{id}"),
        format!("/s/{share}/images/{id}/thumbnails/small"),
        format!("/images/{id}/thumbnails/small"),
        format!("/images/{id}/thumbnail"),
        "/health".to_owned(),
        "/ready".to_owned(),
        "/metrics".to_owned(),
        "/docs/".to_owned(),
        "/redoc".to_owned(),
        "/openapi.json".to_owned(),
    ];
    for path in paths {
        for query in ["fbclid=IwAR0abc", "utm_source=a&utm_source=b", "1690000000000", "v=", "_=%ff&limits[]=1"] {
            let own = if path.ends_with("/thumbnail") { "width=20&" } else { "" };
            assert_eq!(app.get(&format!("{path}?{own}{query}")).await.status, 200, "{path} {query}");
        }
    }
    // Their own parameters are still validated, and a misspelt size parameter would silently return a different image.
    assert_eq!(keys(&assert_error(&app.get("/c/trip?limit=0&fbclid=1").await, 422, "ValidationError")), ["limit"]);
    for (query, named) in
        [("width=20&heigth=20", "heigth"), ("Width=20&width=30", "Width"), ("fbclid=1", "width"), ("width=x&_=1", "width")]
    {
        let answer = app.get(&format!("/images/{id}/thumbnail?{query}")).await;
        assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), [named], "{query}");
    }
}

#[tokio::test]
async fn repeated_query_parameters_are_422() {
    let app = TestApp::start().await;
    for (path, parameter) in [
        ("/images?limit=1&limit=1", "limit"),
        ("/images?user_id=a&user_id=a", "user_id"),
        ("/users/alice/images?limit=1&limit=2", "limit"),
        (&format!("/images/{UNKNOWN_ID}?include_url=true&include_url=true"), "include_url"),
        (&format!("/images/{UNKNOWN_ID}/download?expires_in=60&expires_in=60"), "expires_in"),
    ] {
        assert_eq!(keys(&assert_error(&app.get(path).await, 422, "ValidationError")), [parameter], "{path}");
    }
}

#[tokio::test]
async fn all_invalid_parameters_are_reported_together() {
    let app = TestApp::start().await;
    let query = "limit=0&user_id=no%20spaces&tags=a/b&start_date=yesterday&end_date=2026-02-30&user=x&page_token=";
    let details = assert_error(&app.get(&format!("/images?{query}")).await, 422, "ValidationError");
    let named = keys(&details);
    for parameter in ["end_date", "limit", "start_date", "tags", "user", "user_id"] {
        assert!(named.contains(&parameter), "{parameter} is not in {details}");
    }
    let details = assert_error(
        &app.get(&format!("/images/{UNKNOWN_ID}/download?expires_in=59&attachment=yes&x=1")).await,
        422,
        "ValidationError",
    );
    assert_eq!(keys(&details), ["attachment", "expires_in", "x"]);
    // Errors in the path and in the query together.
    let details = assert_error(&app.get("/users/no%20spaces/images?limit=101").await, 422, "ValidationError");
    assert_eq!(keys(&details), ["limit", "user_id"]);
    let details = assert_error(&app.get("/tags/a%2Fb/images?limit=101&x").await, 422, "ValidationError");
    assert_eq!(keys(&details), ["limit", "tag", "x"]);
}

#[tokio::test]
async fn empty_query_parameters_are_ignored_and_common_spellings_of_booleans_and_times_are_accepted() {
    let app = TestApp::start().await;
    let id = app.post(Form::upload("alice", &jpeg(60, 60, 1)).text("tags", "sea,sun")).await.image_id();
    app.post(Form::upload("bob", &jpeg(60, 60, 2)).text("tags", "sea")).await.image_id();
    for query in ["", "tags=&user_id=&collection=&start_date=&end_date=&limit=&page_token=", "tags=sea", "tags=&tags=sea"] {
        assert_eq!(app.get(&format!("/images?{query}")).await.ok()["total_count"], 2, "{query}");
    }
    for query in ["tags=sea&tags=sun", "tags[]=sea&tags[]=sun", "tags=sea,sun", "tags=sea&tags%5B%5D=sun"] {
        assert_eq!(app.get(&format!("/images?{query}")).await.ok()["total_count"], 1, "{query}");
    }
    for (value, given) in [("True", true), ("TRUE", true), ("1", true), ("", true), ("False", false), ("0", false)] {
        let image = app.get(&format!("/images/{id}?include_url={value}")).await.ok();
        assert_eq!(image["download_url"].is_string(), given, "{value}");
    }
    for time in ["2026-01-31T12:00Z", "2026-01-31T12:00%2B01", "2026-01-31T12:00:00%2B0100", "2026-01-31t12:00z"] {
        app.get(&format!("/images?start_date={time}")).await.ok();
    }
}

#[tokio::test]
async fn a_message_names_each_invalid_field_with_its_rule() {
    let app = TestApp::start().await;
    let message = async |path: &str| app.get(path).await.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(message("/images?limit=0").await, "limit must be a whole number from 1 to 100.");
    let two = "limit must be a whole number from 1 to 100. user is not a parameter of this request.";
    assert_eq!(message("/images?limit=0&user=x").await, two);
    let many: String = (0..40).map(|number| format!("&x{number}{}=1", "x".repeat(100))).collect();
    let long = message(&format!("/images?limit=0{many}")).await;
    assert!(long.ends_with(" See details for more.") && long.len() < 1000, "{long}");
}
