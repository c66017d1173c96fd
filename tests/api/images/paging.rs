//! Pages of a list: their size, links to the next page, page tokens, and paging during concurrent writes.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::listing::{upload, write};
use crate::harness::app::ids_of;
use crate::harness::{TestApp, assert_error};

#[tokio::test]
async fn every_page_except_the_last_links_to_the_next() {
    let app = TestApp::with(&["--public-url=https://example.org/pictures"]).await;
    for _ in 0..3 {
        upload(&app, "alice", "sea side").await;
    }
    for list in ["/images?tags=sea%20side&user_id=alice", "/users/alice/images?", "/tags/sea%20side/images?"] {
        let whole = ids_of(&app.get(list).await.ok());
        let (mut path, mut ids, mut pages) = (format!("{list}&limit=2"), Vec::new(), 0);
        loop {
            let page = app.get(&path).await;
            ids.extend(ids_of(&page.ok()));
            pages += 1;
            let link = page.header("link");
            if link.is_empty() {
                assert_eq!(page.json()["has_more"], false, "{path}");
                break;
            }
            let next = link.strip_prefix("<https://example.org/pictures").and_then(|link| link.strip_suffix(">; rel=\"next\""));
            path = next.unwrap_or_else(|| panic!("{link}")).to_owned();
        }
        assert_eq!((ids, pages), (whole, 2), "{list}");
    }
}

#[tokio::test]
async fn a_page_has_1_to_100_images_and_20_by_default() {
    let app = TestApp::start().await;
    for _ in 0..21 {
        upload(&app, "alice", "sea").await;
    }
    for list in ["/images", "/users/alice/images", "/tags/sea/images"] {
        for (query, images, has_more) in
            [("", 20, true), ("?limit=1", 1, true), ("?limit=20", 20, true), ("?limit=21", 21, false), ("?limit=100", 21, false)]
        {
            let page = app.get(&format!("{list}{query}")).await.ok();
            assert_eq!(
                (ids_of(&page).len(), &page["has_more"], &page["total_count"]),
                (images, &json!(has_more), &json!(21)),
                "{list}{query}"
            );
            assert_eq!(page["next_page_token"].is_string(), has_more);
        }
        for bad in ["0", "101", "-1", "1.0", "abc", "%20", "1e1", "18446744073709551617"] {
            let details = assert_error(&app.get(&format!("{list}?limit={bad}")).await, 422, "ValidationError");
            assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), ["limit"], "{bad}");
        }
    }
}

#[tokio::test]
async fn paging_ends_after_the_last_image_without_an_empty_page() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.insert(0, upload(&app, "alice", "sea").await);
    }
    for path in ["/images", "/users/alice/images", "/tags/sea/images", "/images?tags=sea&end_date=2999-01-01"] {
        for limit in [1, 2, 3, 4, 5, 6, 7] {
            assert_eq!(app.walk(path, limit).await, ids, "{path} by {limit}");
        }
    }
    // The limit is not a filter, so it may differ from page to page.
    let first = app.get("/images?limit=2").await.ok();
    let second = app.get(&format!("/images?limit=3&page_token={}", first["next_page_token"].as_str().unwrap())).await.ok();
    assert_eq!(ids_of(&second), ids[2..5]);
}

#[tokio::test]
async fn a_forged_page_token_or_one_of_another_list_is_400() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        upload(&app, "alice", "sea,sun").await;
    }
    let filters = [
        "/images?limit=1",
        "/images?limit=1&user_id=alice",
        "/images?limit=1&user_id=bob",
        "/images?limit=1&tags=sea",
        "/images?limit=1&tags=sea,sun",
        "/images?limit=1&start_date=2020-01-01",
        "/images?limit=1&end_date=2999-01-01",
        "/images?limit=1&start_date=2020-01-01&end_date=2999-01-01",
        "/tags/sun/images?limit=1",
    ];
    let mut tokens = Vec::new();
    for filter in filters {
        tokens.push(app.get(filter).await.ok()["next_page_token"].as_str().map(str::to_owned));
    }
    let is_url_safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    for (made_for, token) in filters.into_iter().zip(&tokens) {
        let Some(token) = token else { continue };
        assert!(token.bytes().all(is_url_safe), "{token} is not base64url");
        for filter in filters {
            let answer = app.get(&format!("{filter}&page_token={token}")).await;
            if filter == made_for {
                answer.ok();
            } else {
                let details = assert_error(&answer, 400, "BadRequest");
                assert!(details["page_token"].is_string(), "{made_for} for {filter}: {details}");
            }
        }
    }
    let token = tokens[0].as_deref().unwrap();
    let altered = (0..token.len()).map(|at| {
        let mut bytes = token.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    });
    let foreign = [
        "x",
        "null",
        "eyJsYXN0IjoxfQ",
        "%00",
        "%F0%9F%8C%85",
        "01929b2e-7d3c-7a51-8f00-5a5a5a5a5a5a",
        &token[1..],
        &format!("{token}A"),
        &format!("{token}="),
        &"A".repeat(5000),
    ]
    .map(str::to_owned);
    for token in altered.chain(foreign) {
        let answer = app.get(&format!("/images?limit=1&page_token={token}")).await;
        assert!(assert_error(&answer, 400, "BadRequest")["page_token"].is_string(), "{token}");
    }
}

#[tokio::test]
async fn a_page_token_is_valid_for_the_same_filters_in_any_order() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.insert(0, upload(&app, "alice", "sea,sun").await);
    }
    let page = app.get("/images?tags=sea,sun&user_id=alice&limit=1").await.ok();
    let token = page["next_page_token"].as_str().unwrap();
    let page = app.get(&format!("/images?page_token={token}&limit=1&user_id=alice&tags=SUN,sea")).await.ok();
    assert_eq!(ids_of(&page), ids[1..]);
}

#[tokio::test]
async fn a_page_token_stays_valid_after_the_last_image_of_its_page_is_deleted() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.insert(0, upload(&app, "alice", "sea").await);
    }
    let first = app.get("/images?limit=2").await.ok();
    app.delete("alice", &ids[1]).await.ok();
    upload(&app, "alice", "sea").await;
    let second = app.get(&format!("/images?limit=2&page_token={}", first["next_page_token"].as_str().unwrap())).await.ok();
    assert_eq!((ids_of(&second), &second["has_more"], &second["total_count"]), (ids[2..].to_vec(), &json!(false), &json!(4)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn paging_during_concurrent_writes_neither_repeats_nor_skips_images() {
    let app = Arc::new(TestApp::start().await);
    // Some images stay throughout; between them, others are deleted and restored.
    let (mut kept, mut moving) = (Vec::new(), Vec::new());
    for index in 0..24 {
        let id = upload(&app, "alice", "sea").await;
        if index % 3 == 0 { moving.push(id) } else { kept.insert(0, id) }
    }
    let (stop, writes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = |seed| write(Arc::clone(&app), moving.clone(), seed, Arc::clone(&stop), Arc::clone(&writes));
    let writers: Vec<_> = (0..3_u64).map(|seed| tokio::spawn(writer(seed))).collect();
    let kept_ids: HashSet<&String> = kept.iter().collect();
    // Enough must be written meanwhile, however fast either side is.
    for round in (0..).take_while(|&round| round < 12 || writes.load(Ordering::Relaxed) < 50) {
        let path = ["/images", "/users/alice/images", "/tags/sea/images"][round % 3];
        let walked = app.walk(path, [3, 7, 11][round % 3]).await;
        let distinct: HashSet<&String> = walked.iter().collect();
        assert_eq!(distinct.len(), walked.len(), "{path}: an image was repeated");
        assert!(walked.is_sorted_by(|newer, older| newer > older), "{path}: out of order");
        let found: Vec<String> = walked.into_iter().filter(|id| kept_ids.contains(id)).collect();
        assert_eq!(found, kept, "{path}: an image was skipped");
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("the writer finishes without an error");
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], app.walk("/images", 100).await.len());
    app.assert_sound().await;
}
