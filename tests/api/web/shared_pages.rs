//! The pages of shares and public collections: who gets them, what they reveal, and link previews.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::pictures::jpeg;
use crate::harness::{Answer, Form, TestApp, assert_error};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async fn upload(app: &TestApp, title: &str, visibility: &str) -> String {
    app.post(Form::upload("ann", &jpeg(900, 600, 1)).text("title", title).text("visibility", visibility)).await.image_id()
}

/// Creates a collection of ann's with these images.
async fn collect(app: &TestApp, name: &str, visibility: &str, ids: &[&str]) {
    let body = json!({"name": name, "visibility": visibility});
    let created = app.send(app.request(Method::POST, "/collections").header("X-User-Id", "ann").json(&body)).await;
    assert_eq!(created.status, 201, "{}", created.text());
    for id in ids {
        app.by("ann", Method::PUT, &format!("/collections/{name}/images/{id}")).await.ok();
    }
}

/// Shares something of ann's. Returns the path of the page.
async fn share(app: &TestApp, terms: &Value) -> String {
    let answer = app.send(app.request(Method::POST, "/shares").header("X-User-Id", "ann").json(terms)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let url = answer.json()["url"].as_str().unwrap().to_owned();
    format!("/s/{}", url.rsplit('/').next().unwrap())
}

async fn open(app: &TestApp, path: &str) -> Answer {
    app.get_with(path, "accept", BROWSER).await
}

fn varies_by_accept(answer: &Answer) -> bool {
    answer.header("vary").split(',').any(|name| name.trim() == "accept")
}

/// Returns the content of a meta tag.
fn meta<'a>(page: &'a str, name: &str) -> &'a str {
    let start = ["property", "name"].iter().find_map(|kind| page.split_once(&format!("<meta {kind}=\"{name}\" content=\"")));
    start.and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
}

async fn send_password(app: &TestApp, path: &str, password: &str) -> Answer {
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("password", password).finish();
    let request = app.request(Method::POST, &format!("{path}/enter")).header("accept", BROWSER);
    app.send(request.header("content-type", "application/x-www-form-urlencoded").body(form)).await
}

#[tokio::test]
async fn browsers_get_a_page_and_other_clients_json_at_the_same_address() {
    let app = TestApp::start().await;
    let id = upload(&app, "Sea", "public").await;
    collect(&app, "trip", "public", &[&id]).await;
    for path in ["/c/trip".to_owned(), share(&app, &json!({"collection": "trip"})).await] {
        let page = open(&app, &path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        let other = app.get(&path).await;
        assert_eq!((other.status, other.header("content-type")), (200, "application/json"), "{path}");
        assert!(varies_by_accept(&page) && varies_by_accept(&other), "{path}");
        // Links that were copied with a slash: the page's own links are relative to the address without it.
        let with_slash = open(&app, &format!("{path}/?image=x")).await;
        let name = path.rsplit('/').next().unwrap();
        assert_eq!((with_slash.status, with_slash.header("location")), (307, format!("../{name}?image=x").as_str()));
        assert_eq!(app.get(&format!("{path}/")).await.status, 200);
    }
    // The route of the page has no address of its own, and a name in the path leads nowhere else.
    for path in ["/c/trip/page", "/c/trip/slash", "/s/%0a/", "/c/%0a/", "/s/..%2f..%2f%2fevil.example/", "/c/a%3Fb/"] {
        let answer = open(&app, path).await;
        assert_eq!((answer.status, answer.header("location")), (404, ""), "{path}");
    }
    for path in ["/c/none", "/c/a%20b", "/s/none", "/s/3q2-7wAAAAAAAAAAAAAAAA"] {
        let page = open(&app, path).await;
        assert_eq!((page.status, page.header("content-type")), (404, "text/html; charset=utf-8"), "{path}");
        assert!(varies_by_accept(&page) && page.text().contains("Not found"), "{path}");
        let other = app.get(path).await;
        assert_error(&other, 404, "NotFound");
        assert!(varies_by_accept(&other), "{path}");
    }
}

#[tokio::test]
async fn programs_that_make_link_previews_get_the_page() {
    let app = TestApp::start().await;
    let id = upload(&app, "Sea", "public").await;
    let path = share(&app, &json!({"image_id": id})).await;
    for accept in ["*/*", ""] {
        let request = app.request(Method::GET, &path).header("accept", accept).header("user-agent", "facebookexternalhit/1.1");
        let page = app.send(request).await;
        assert_eq!((page.status, meta(page.text(), "og:title")), (200, "Sea"), "{accept}");
        assert!(page.header("vary").contains("user-agent"), "{}", page.header("vary"));
    }
}

#[tokio::test]
async fn without_pages_everyone_gets_json() {
    let app = TestApp::with(&["--pages=false"]).await;
    let id = upload(&app, "Sea", "public").await;
    collect(&app, "trip", "public", &[&id]).await;
    for path in ["/c/trip".to_owned(), share(&app, &json!({"image_id": id})).await] {
        let answer = open(&app, &path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{path}");
        for below in ["page", "tiles"] {
            assert_error(&app.get(&format!("{path}/{below}")).await, 404, "NotFound");
        }
    }
}

#[tokio::test]
async fn everything_on_the_page_of_a_share_is_below_s() {
    let app = TestApp::start().await;
    let id = upload(&app, "Sea", "private").await;
    collect(&app, "trip", "private", &[&id]).await;
    let path = share(&app, &json!({"collection": "trip"})).await;
    let page = open(&app, &path).await;
    let base = reqwest::Url::parse(&app.url(&path)).unwrap();
    let links = [" src=\"", " href=\""].into_iter().flat_map(|start| page.text().split(start).skip(1));
    let links: Vec<_> = links.map(|rest| base.join(rest.split('"').next().unwrap()).unwrap()).collect();
    assert!(links.len() > 3, "{links:?}");
    for link in links {
        assert!(link.path().starts_with("/s/"), "{link}");
        let file = app.get(&format!("{}?{}", link.path(), link.query().unwrap_or_default())).await;
        assert_eq!(file.status, 200, "{link}");
    }
    let tiles = app.get(&format!("{path}/tiles")).await.ok();
    assert_eq!((&tiles["total"], &tiles["next"]), (&json!(1), &Value::Null));
    let tile = &tiles["tiles"][0];
    // Visitors do not learn whose it is.
    assert_eq!((&tile["user_id"], &tile["private"], &tile["title"]), (&json!(""), &json!(false), &json!("Sea")));
    let sizes = [&tile["sizes"], &tile["large"]].into_iter().flat_map(|sizes| sizes.as_array().unwrap());
    let sizes: Vec<_> = sizes.map(|size| (size["url"].as_str().unwrap(), size["width"].as_u64().unwrap())).collect();
    assert_eq!(sizes.iter().map(|(_, width)| *width).collect::<Vec<_>>(), [128, 300, 512, 600, 900]);
    for (url, width) in sizes {
        assert!(url.starts_with(&path[1..]), "{url}");
        let file = app.get(&format!("/{url}")).await;
        assert_eq!((file.status, file.header("content-type")), (200, "image/jpeg"), "{url}");
        let size = image::load_from_memory(&file.body).unwrap();
        assert_eq!(u64::from(size.width()), width, "{url}");
    }
    assert_eq!(app.get(&format!("{path}/tiles/{id}")).await.ok(), *tile);
    assert_eq!(app.get("/s/limits").await.ok(), app.get("/limits").await.ok());
    let original = app.get(&format!("/{}", tile["original"].as_str().unwrap())).await;
    assert!(original.status == 200 && original.body == jpeg(900, 600, 1));
    // Elsewhere it is still private.
    assert_error(&app.get(&format!("/images/{id}")).await, 404, "NotFound");
    assert_error(&app.get(&format!("/i/{id}")).await, 404, "NotFound");
    let other = upload(&app, "Other", "public").await;
    assert_error(&app.get(&format!("{path}/tiles/{other}")).await, 404, "NotFound");
}

#[tokio::test]
async fn the_page_of_a_collection_shows_its_public_images_in_order() {
    let app = TestApp::start().await;
    let (last, secret, first) =
        (upload(&app, "Last", "public").await, upload(&app, "Secret", "private").await, upload(&app, "First", "public").await);
    collect(&app, "trip", "public", &[&first, &secret, &last]).await;
    let page = app.get("/c/trip/tiles?limit=1").await.ok();
    assert_eq!((&page["total"], &page["tiles"][0]["title"]), (&json!(2), &json!("First")));
    let next = format!("/c/trip/tiles?limit=1&page_token={}", page["next"].as_str().unwrap());
    let page = app.get(&next).await.ok();
    assert_eq!((&page["next"], &page["tiles"][0]["title"]), (&Value::Null, &json!("Last")));
    for answer in [open(&app, "/c/trip").await, app.get("/c/trip/tiles").await] {
        assert!(!answer.text().contains("Secret") && !answer.text().contains(&secret), "{}", answer.text());
    }
    assert_eq!(app.get(&format!("/c/trip/tiles/{last}")).await.ok(), page["tiles"][0]);
    let outside = upload(&app, "Outside", "public").await;
    for id in [&secret, &outside] {
        assert_error(&app.get(&format!("/c/trip/tiles/{id}")).await, 404, "NotFound");
    }
    // A private collection is visible only to its owner.
    collect(&app, "hidden", "private", &[&first]).await;
    assert_eq!(open(&app, "/c/hidden").await.status, 404);
    assert_error(&app.get("/c/hidden/tiles").await, 404, "NotFound");
    let own = app.request(Method::GET, "/c/hidden").header("accept", BROWSER).header("x-user-id", "ann");
    assert_eq!(app.send(own).await.status, 200);
}

#[tokio::test]
async fn a_page_asks_for_the_password_and_reveals_nothing_before() {
    let app = TestApp::start().await;
    app.clock.stop_at("2026-01-31T12:00:00Z");
    let id = upload(&app, "Secret garden", "private").await;
    collect(&app, "secret-trip", "private", &[&id]).await;
    let path = share(&app, &json!({"collection": "secret-trip", "password": "between us"})).await;
    let asked = open(&app, &path).await;
    assert_eq!(asked.status, 403);
    for part in ["Secret", "secret-trip", "og:", "oembed", &id] {
        assert!(!asked.text().contains(part), "{part} is in {}", asked.text());
    }
    assert!(asked.text().contains("<form method=\"post\" action=\"") && asked.text().contains("type=\"password\""));
    assert_error(&app.get(&format!("{path}/tiles")).await, 403, "Forbidden");
    assert_error(&app.get(&format!("/s/oembed?url={}", app.url(&path))).await, 403, "Forbidden");

    let wrong = send_password(&app, &path, "<b>\"wrong\"</b>").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (403, ""));
    assert!(wrong.text().contains("The password is wrong.") && !wrong.text().contains("<b>"), "{}", wrong.text());

    // Below another segment, browsers would not send the cookie to the share.
    for path in [format!("{path}/enter/"), format!("{path}/password/")] {
        assert_error(&app.send(app.request(Method::POST, &path).body("password=between+us")).await, 404, "NotFound");
    }
    // A link to a picture leads to it.
    let page = open(&app, &format!("{path}?image=x&y=\"z")).await;
    assert!(page.text().contains("/enter?image=x&#38;y=%22z\">"), "{}", page.text());

    let right = send_password(&app, &path, "between us").await;
    let name = path.rsplit('/').next().unwrap();
    assert_eq!((right.status, right.header("location")), (303, format!("../{name}").as_str()));
    let (cookie, attributes) = right.header("set-cookie").split_once("; ").unwrap();
    // Without a path, browsers send it only to /s/{token}.
    assert_eq!(attributes, "Max-Age=86400; HttpOnly; Secure; SameSite=Lax");
    let page = app.send(app.request(Method::GET, &path).header("accept", BROWSER).header("cookie", cookie)).await;
    assert_eq!((page.status, meta(page.text(), "og:title")), (200, "secret-trip"));
    let tiles = app.get_with(&format!("{path}/tiles"), "cookie", cookie).await.ok();
    let size = format!("/{}", tiles["tiles"][0]["sizes"][0]["url"].as_str().unwrap());
    let file = app.get_with(&size, "cookie", cookie).await;
    assert_eq!((file.status, file.header("cache-control")), (200, "private, no-cache"));
    // The files of the page end with the cookie.
    assert_error(&app.get(&size).await, 403, "Forbidden");
    app.clock.advance(TimeDelta::hours(25));
    assert_error(&app.get_with(&size, "cookie", cookie).await, 403, "Forbidden");
}

#[tokio::test]
async fn guessing_a_password_becomes_slow() {
    let app = TestApp::start().await;
    let id = upload(&app, "Sea", "private").await;
    let path = share(&app, &json!({"image_id": id, "password": "between us"})).await;
    let mut statuses = Vec::new();
    for guess in 0..12 {
        statuses.push(send_password(&app, &path, &format!("guess {guess}")).await.status);
    }
    assert!(statuses.starts_with(&[403; 10]) && statuses.ends_with(&[429]), "{statuses:?}");
    let refused = send_password(&app, &path, "between us").await;
    assert!(refused.status == 429 && !refused.header("retry-after").is_empty());
    assert!(refused.text().contains("Too many requests."), "{}", refused.text());
}

#[tokio::test]
async fn malformed_password_forms_are_rejected() {
    let app = TestApp::start().await;
    let id = upload(&app, "Sea", "private").await;
    let path = format!("{}/enter", share(&app, &json!({"image_id": id, "password": "between us"})).await);
    let send = async |body: Vec<u8>| app.send(app.request(Method::POST, &path).body(body)).await;
    for (body, status) in [(vec![], 422), (b"pass=between+us".to_vec(), 422), (vec![b'a'; 5000], 413)] {
        assert_eq!(send(body).await.status, status);
    }
    for wrong in [&b"password=%FF%FE"[..], b"password=", b"password"] {
        assert_eq!(send(wrong.to_vec()).await.status, 403);
    }
}

#[tokio::test]
async fn a_page_says_that_its_share_has_expired() {
    let app = TestApp::start().await;
    let id = upload(&app, "Sea", "public").await;
    let path = share(&app, &json!({"image_id": id, "expires_in": 60})).await;
    assert_eq!(open(&app, &path).await.status, 200);
    app.clock.advance(TimeDelta::seconds(61));
    let page = open(&app, &path).await;
    assert_eq!((page.status, page.header("content-type")), (403, "text/html; charset=utf-8"));
    assert!(page.text().contains("has expired") && !page.text().contains("Sea"), "{}", page.text());
}

#[tokio::test]
async fn link_previews_have_absolute_urls_and_escape_texts() {
    let app = TestApp::with(&["--public-url=https://pictures.example.org/base"]).await;
    let id = upload(&app, "\"><script>alert(1)</script>", "public").await;
    let path = share(&app, &json!({"image_id": id})).await;
    let page = open(&app, &path).await;
    assert!(!page.text().contains("<script>") && page.text().matches("<script").count() == 2, "{}", page.text());
    let url = format!("https://pictures.example.org/base{path}");
    assert_eq!(meta(page.text(), "og:url"), url);
    assert_eq!(meta(page.text(), "og:image"), format!("{url}/images/{id}/thumbnails/large"));
    assert_eq!((meta(page.text(), "og:image:width"), meta(page.text(), "og:image:height")), ("900", "600"));
    assert_eq!(meta(page.text(), "twitter:card"), "summary_large_image");
    let oembed = app.get(&format!("/s/oembed?format=json&url={url}")).await.ok();
    let expected = json!({
        "version": "1.0", "type": "photo", "title": "\"><script>alert(1)</script>", "width": 900, "height": 600,
        "url": format!("{url}/images/{id}/thumbnails/large"),
        "provider_name": "Pictures", "provider_url": "https://pictures.example.org/base/",
    });
    assert_eq!(oembed, expected);
    let small = app.get(&format!("/s/oembed?maxwidth=500&maxheight=150&url={url}")).await.ok();
    assert_eq!((&small["width"], &small["height"]), (&json!(128), &json!(85)));

    collect(&app, "trip", "public", &[&id]).await;
    let page = open(&app, "/c/trip").await;
    assert_eq!((meta(page.text(), "og:title"), meta(page.text(), "og:description")), ("trip", "1 picture"));
    assert!(meta(page.text(), "og:image").starts_with("https://pictures.example.org/base/images/"));
    let oembed = app.get("/s/oembed?url=http://other.example/c/trip/").await.ok();
    assert_eq!((&oembed["type"], &oembed["thumbnail_width"]), (&json!("link"), &json!(900)));
    for (query, status) in
        [("", 422), ("url=x", 404), ("url=http://a/c/none", 404), ("url=http://a/s/none", 404), ("format=xml", 422)]
    {
        assert_eq!(app.get(&format!("/s/oembed?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn search_engines_are_asked_not_to_list_pages_unless_the_operator_permits_it() {
    for (setting, expected) in [("--noindex=true", "noindex"), ("--noindex=false", "")] {
        let app = TestApp::with(&[setting]).await;
        let id = upload(&app, "Sea", "public").await;
        collect(&app, "trip", "public", &[&id]).await;
        for path in ["/c/trip".to_owned(), share(&app, &json!({"image_id": id})).await] {
            let page = open(&app, &path).await;
            assert_eq!((page.header("x-robots-tag"), meta(page.text(), "robots")), (expected, expected), "{setting} {path}");
        }
        assert_eq!(app.get("/app/").await.header("x-robots-tag"), "noindex");
    }
}

#[tokio::test]
async fn unknown_pages_are_pages_for_browsers() {
    let app = TestApp::start().await;
    for (path, home) in [("/app/none", "./"), ("/app/none/at/all", "../../")] {
        let page = open(&app, path).await;
        assert_eq!((page.status, page.header("content-type")), (404, "text/html; charset=utf-8"), "{path}");
        assert!(
            page.text().contains(&format!("href=\"{home}\""))
                && page.text().contains(&format!("href=\"{}assets/", home.trim_start_matches("./"))),
            "{}",
            page.text()
        );
        assert_error(&app.get(path).await, 404, "NotFound");
    }
}

/// Returns what a page has as its first page of tiles.
fn first_page(page: &str) -> Option<Value> {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"first-page\">")?;
    serde_json::from_str(rest.split("</script>").next()?).ok()
}

#[tokio::test]
async fn the_first_pictures_are_in_the_first_response() {
    let app = TestApp::start().await;
    let ids = [upload(&app, "</script><b>", "private").await, upload(&app, "Sky", "public").await];
    collect(&app, "trip", "public", &[&ids[0], &ids[1]]).await;
    let path = share(&app, &json!({"collection": "trip"})).await;
    for (path, tiles, user, count) in [
        (path.as_str(), format!("{path}/tiles"), None, 2),
        ("/c/trip", "/c/trip/tiles".to_owned(), None, 1),
        ("/app/", "/app/tiles?user_id=ann".to_owned(), Some("ann"), 2),
    ] {
        let get = async |path: &str| {
            let request = app.request(Method::GET, path).header("accept", BROWSER);
            app.send(if let Some(user) = user { request.header("x-user-id", user) } else { request }).await
        };
        let page = get(path).await;
        let first = first_page(page.text()).unwrap_or_else(|| panic!("{path}: {}", page.text()));
        assert_eq!((&first["source"], &first["page"]), (&json!(tiles[1..]), &get(&tiles).await.ok()), "{path}");
        assert_eq!(first["page"]["tiles"].as_array().map(Vec::len), Some(count), "{path}");
        // The pictures of the first page, requested together with the scripts.
        let preloaded: Vec<_> = page.text().split("<link rel=\"preload\" as=\"image\" imagesrcset=\"").skip(1).collect();
        assert_eq!(preloaded.len(), count, "{path}");
        let base = reqwest::Url::parse(&app.url(path)).unwrap();
        for (link, sizes) in preloaded.iter().zip(first["sizes"].as_array().unwrap()) {
            let srcset = link.split('"').next().unwrap().replace("&#38;", "&");
            for candidate in srcset.split(", ") {
                let url = base.join(candidate.split(' ').next().unwrap()).unwrap();
                let file = app.get(&format!("{}?{}", url.path(), url.query().unwrap_or_default())).await;
                assert_eq!(file.status, 200, "{url}");
            }
            assert!(link.contains(&format!("imagesizes=\"{}\"", sizes.as_str().unwrap())), "{link}");
        }
    }
    // Whose pictures to show is not known before the scripts run, or the URL has filters.
    assert_eq!(first_page(app.get("/app/").await.text()), None);
    assert_eq!(first_page(app.get_with("/app/?tags=sea", "x-user-id", "ann").await.text()), None);
}
