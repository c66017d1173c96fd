//! Which sizes callers may request without a signature: steps and lists of sizes.

use serde_json::json;

use super::resize_urls::{assert_rejected, request_signatures, sign, upload};
use crate::harness::TestApp;
use crate::harness::pixels::Pixels;

#[tokio::test]
async fn sizes_and_qualities_are_rounded_to_steps_except_for_usual_values() {
    let app = TestApp::start().await;
    let id = upload(&app, "public").await;
    for (query, size) in [
        ("width=320", (320, 213)),
        ("width=321", (325, 217)),
        ("width=323", (325, 217)),
        ("width=326", (328, 219)),
        ("height=301", (456, 304)),
        ("width=101&height=99&fit=cover", (104, 100)),
        ("width=75&height=75&fit=cover", (75, 75)),
    ] {
        assert_eq!(Pixels::of(&app.get(&format!("/images/{id}/thumbnail?{query}")).await).size(), size, "{query}");
    }
    let tag = async |quality: u32| {
        app.get(&format!("/images/{id}/thumbnail?width=320&quality={quality}")).await.header("etag").to_owned()
    };
    assert_eq!(tag(78).await, tag(82).await);
    assert_ne!(tag(77).await, tag(78).await);
    // However many sizes are requested, only a few are created.
    let before = app.metric("variants_total{result=\"made\"}").await;
    for width in 40..80 {
        Pixels::of(&app.get(&format!("/images/{id}/thumbnail?width={width}")).await);
    }
    assert_eq!(app.metric("variants_total{result=\"made\"}").await - before, 10.0);
}

#[tokio::test]
async fn with_a_list_of_sizes_others_need_a_signature() {
    let app = TestApp::with(&["--resize=listed", "--resize-sizes=320x, x200,150x150"]).await;
    let id = upload(&app, "public").await;
    let get = async |query: &str| app.get(&format!("/images/{id}/thumbnail?{query}")).await;
    for (query, size) in [
        ("width=320", (320, 213)),
        ("width=320&format=png&quality=80", (320, 213)),
        ("height=200", (300, 200)),
        ("height=150&width=150&fit=cover", (150, 150)),
        ("height=150&width=150", (150, 100)),
    ] {
        assert_eq!(Pixels::of(&get(query).await).size(), size, "{query}");
    }
    for query in ["width=319", "width=321", "width=200", "height=320", "width=320&height=200", "width=150"] {
        assert_rejected(&get(query).await, "only these sizes are allowed (width x height): 320x, x200, 150x150.");
    }
    assert_rejected(&get("width=320&quality=81").await, "quality requires a signed URL");
    // Other users can sign what needs no signature; the owner can sign any size.
    for user in ["", "bob"] {
        let rejected = request_signatures(&app, user, &id, &json!({"sizes": [{"width": 320}, {"width": 321}]})).await;
        assert_rejected(&rejected, "320x, x200, 150x150");
        let paths = sign(&app, user, &id, &json!([{"width": 320}, {"height": 200, "format": "webp"}])).await;
        assert_eq!(Pixels::of(&app.get(&paths[1]).await).size(), (300, 200));
    }
    let paths = sign(&app, "alice", &id, &json!([{"width": 321, "quality": 33}])).await;
    assert_eq!(Pixels::of(&app.get(&paths[0]).await).size(), (321, 214));
    // Thumbnails are not affected.
    assert_eq!(app.get(&format!("/images/{id}/thumbnails/medium")).await.status, 200);
}
