//! Uploads: what is accepted and what is rejected, to the exact character, byte and pixel.

use serde_json::{Value, json};

use crate::harness::pictures::{self, flat_jpeg, gif, jpeg, padded, png, webp};
use crate::harness::{Form, TestApp, assert_error};

const MIB: usize = 1024 * 1024;

fn keys(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_image_is_stored_and_fully_described() {
    let app = TestApp::start().await;
    let file = jpeg(640, 480, 1);
    app.clock.stop_at("2026-01-31T12:00:00.123456Z");
    let form = Form::new()
        .text("user_id", "alice")
        .text("title", "A title")
        .text("description", "Two\nlines")
        .text("tags", "Sea, sun")
        .file_named("sunset.jpg", "image/jpeg", &file);
    let answer = app.post(form).await;
    let mut body = answer.ok();
    let id = answer.image_id();
    for url in ["/image/download_url", "/image/thumbnail_url", "/image/thumbnails/small/url", "/image/thumbnails/medium/url"] {
        let url = body.pointer_mut(url).expect(url);
        assert!(url.as_str().is_some_and(|url| url.contains("X-Amz-Signature=") && url.contains(&id)), "{url}");
        *url = json!("(presigned)");
    }
    let colors = body["image"]["colors"].take();
    let colors: Vec<&str> = colors.as_array().unwrap().iter().map(|color| color.as_str().unwrap()).collect();
    assert!((3..=7).contains(&colors.len()), "{colors:?}");
    assert!(colors.iter().all(|color| color.len() == 7 && color.starts_with('#') && *color == color.to_lowercase()));
    let time = body["image"]["processing_time"].take();
    assert!(time.as_f64().is_some_and(|seconds| seconds > 0.0 && seconds < 60.0), "{time}");
    let placeholder = body["image"]["placeholder"].take();
    assert!(placeholder.as_str().is_some_and(|text| (20..=36).contains(&text.len())), "{placeholder}");
    assert_eq!(id[14..15], *"7", "{id}");
    let expected = json!({
        "message": "Image uploaded successfully",
        "image_id": id,
        "image": {
            "image_id": id,
            "created_at": "2026-01-31T12:00:00.123Z",
            "updated_at": "2026-01-31T12:00:00.123Z",
            "user_id": "alice",
            "visibility": "public",
            "title": "A title",
            "description": "Two\nlines",
            "tags": ["sea", "sun"],
            "file_name": "sunset.jpg",
            "file_size": file.len(),
            "content_type": "image/jpeg",
            "width": 640,
            "height": 480,
            "format": "jpeg",
            "download_url": "(presigned)",
            "thumbnail_url": "(presigned)",
            "thumbnails": {
                "small": {"width": 128, "height": 96, "url": "(presigned)"},
                "medium": {"width": 512, "height": 384, "url": "(presigned)"},
            },
            "colors": null,
            "placeholder": null,
            "sha256": hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&file)),
            "metadata": {
                "created_at": null, "modified_at": null, "camera": null, "orientation": 1,
                "has_alpha": false, "animated": false, "frames": 1, "credentials": "none", "shrunk_from": null,
            },
            "caption": null,
            "caption_status": "off",
            "caption_model": null,
            "caption_error": null,
            "processing_time": null,
        },
    });
    assert_eq!(body, expected);
    assert_eq!(app.get(&format!("/images/{id}")).await.ok(), answer.image(), "the stored image matches the response");
}

#[tokio::test]
async fn the_format_is_detected_from_the_content_not_from_name_or_type() {
    let app = TestApp::start().await;
    let files = [
        ("jpeg", "image/jpeg", jpeg(80, 60, 1)),
        ("png", "image/png", png(80, 60, 2)),
        ("gif", "image/gif", gif(80, 60, 1, 3)),
        ("webp", "image/webp", webp(80, 60, 4)),
    ];
    for (format, content_type, file) in &files {
        for (name, declared) in [("a.jpg", "image/jpeg"), ("a.png", "image/png"), ("a.txt", "text/plain"), ("a", "nonsense")] {
            let form = Form::new().text("user_id", "alice").file_named(name, declared, file);
            let image = app.post(form).await.image();
            assert_eq!((&image["format"], &image["content_type"]), (&json!(format), &json!(content_type)), "{name}");
            assert_eq!((&image["width"], &image["height"]), (&json!(80), &json!(60)));
            assert_eq!(image["file_name"], name);
        }
    }
}

#[tokio::test]
async fn files_of_other_formats_are_415_whatever_their_name_or_type() {
    let app = TestApp::start().await;
    let long = |start: &[u8]| padded(start.to_vec(), 4096);
    let files = [
        b"just text, and short".to_vec(),
        long(b"<svg xmlns=\"http://www.w3.org/2000/svg\">"),
        long(b"<!doctype html><script>alert(1)</script>"),
        long(b"BM\x36\x10\0\0"),
        long(b"II*\0\x08\0\0\0"),
        long(b"%PDF-1.7"),
        long(b"\0\0\0\x18ftypheic"),
        long(b"RIFF\xff\x0f\0\0WAVE"),
        long(b"\x89PNG\r\n\x1a\r"),
        long(b"GIF88a"),
        long(b"\xff\xd8"),
        long(b" \xff\xd8\xff\xe0"),
        long(b"\0"),
    ];
    for file in files {
        let form = Form::new().text("user_id", "alice").file_named("photo.jpg", "image/jpeg", &file);
        let details = assert_error(&app.post(form).await, 415, "UnsupportedMediaType");
        assert_eq!(details, json!({}));
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
}

#[tokio::test]
async fn titles_and_descriptions_are_counted_in_unicode_scalar_values() {
    let app = TestApp::start().await;
    let file = jpeg(50, 50, 1);
    for (field, limit) in [("title", 200), ("description", 1000)] {
        // Letters of one, two, three and four bytes of UTF-8. A letter of two scalar values counts as two.
        for letter in ["a", "é", "語", "🌅", "e\u{301}"] {
            let scalars = letter.chars().count();
            let longest = letter.repeat(limit / scalars);
            let image = app.post(Form::upload("alice", &file).text(field, &longest)).await.image();
            assert_eq!(image[field], longest, "{field} of {limit} × {letter}");
            let answer = app.post(Form::upload("alice", &file).text(field, &format!("{longest}{letter}"))).await;
            assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), [field], "{letter}");
        }
        // Far longer than any part that is read.
        let answer = app.post(Form::upload("alice", &file).text(field, &"x".repeat(40_000))).await;
        assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), [field]);
        let answer = app.post(Form::upload("alice", &file).text(field, "nul\0")).await;
        assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), [field]);
        let disposition = format!("form-data; name=\"{field}\"");
        let answer = app.post(Form::upload("alice", &file).raw(&disposition, None, b"no UTF-8: \xff\xfe")).await;
        assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), [field]);
        let odd = " \"quoted\" <b>\\ \u{202e}\t\r\n ' ; -- ";
        assert_eq!(
            app.post(Form::upload("alice", &file).text(field, odd)).await.image()[field],
            odd,
            "the text is kept unchanged"
        );
    }
}

#[tokio::test]
async fn empty_optional_fields_count_as_absent() {
    let app = TestApp::start().await;
    let form = Form::upload("alice", &jpeg(50, 50, 1)).text("title", "").text("description", "").text("tags", "");
    let image = app.post(form).await.image();
    assert_eq!((&image["title"], &image["description"], &image["tags"]), (&Value::Null, &Value::Null, &json!([])));
}

#[tokio::test]
async fn empty_form_inputs_count_as_absent() {
    let app = TestApp::start().await;
    let empty = |form: Form| ["title", "description", "tags", "visibility"].iter().fold(form, |form, name| form.text(name, ""));
    let image = app.post(empty(Form::upload("alice", &jpeg(50, 50, 1)))).await.image();
    assert_eq!((&image["title"], &image["visibility"]), (&Value::Null, &json!("public")));
    // An empty part next to a filled one still counts as absent; an empty required part counts as missing.
    let image =
        app.post(Form::upload("alice", &jpeg(50, 50, 1)).text("title", "").text("title", "t").text("user_id", "")).await.image();
    assert_eq!(image["title"], "t");
    let no_file = "form-data; name=\"file\"; filename=\"\"";
    let form = Form::new().text("user_id", "").raw(no_file, Some("application/octet-stream"), b"");
    assert_eq!(keys(&assert_error(&app.post(form).await, 422, "ValidationError")), ["file", "user_id"]);
}

#[tokio::test]
async fn tags_can_be_sent_as_separate_parts() {
    let app = TestApp::start().await;
    for name in ["tags", "tags[]"] {
        let form =
            Form::upload("alice", &jpeg(50, 50, 1)).text(name, "Sea").text(name, "").text("tags", "sun,sea").text(name, "sky");
        assert_eq!(app.post(form).await.image()["tags"], json!(["sea", "sun", "sky"]), "{name}");
    }
    let many = (0..11).fold(Form::upload("alice", &jpeg(50, 50, 1)), |form, n| form.text("tags", &n.to_string()));
    assert_eq!(keys(&assert_error(&app.post(many).await, 422, "ValidationError")), ["tags"]);
    let long = (0..2000).fold(Form::upload("alice", &jpeg(50, 50, 1)), |form, _| form.text("tags", "a a a a a a a a a a"));
    assert!(keys(&assert_error(&app.post(long).await, 422, "ValidationError")).contains(&"tags"));
}

#[tokio::test]
async fn joiners_between_letters_are_part_of_a_tag() {
    let app = TestApp::start().await;
    let tag = "نیم\u{200c}فاصله";
    let image = app.post(Form::upload("alice", &jpeg(50, 50, 1)).text("tags", tag)).await.image();
    assert_eq!(image["tags"], json!([tag]));
    let found = app.send(app.request(reqwest::Method::GET, "/images").query(&[("tags", tag)])).await.ok();
    assert_eq!(found["total_count"], 1);
}

#[tokio::test]
async fn the_file_name_is_read_in_every_encoding_that_clients_use() {
    let app = TestApp::start().await;
    let file = png(50, 50, 1);
    for (disposition, name) in [
        ("form-data; name=\"file\"; filename*=UTF-8''%C3%A9t%C3%A9.png", "été.png"),
        ("form-data; name=\"file\"; filename*=UTF-8''%C3%A9t%C3%A9.png; filename=\"ete.png\"", "été.png"),
        (
            "form-data; name=file; filename=\"=?utf-8?B?5pel/pys6Kqe.png?=\"; filename*=utf-8''%E6%97%A5%E6%9C%AC%E8%AA%9E.png",
            "日本語.png",
        ),
        ("form-data; filename=\"say name=x.png\"; name=\"file\"", "say name=x.png"),
        ("form-data; filename=\"a; name=b.png\"; name=\"file\"", "a; name=b.png"),
        ("form-data; Name=\"file\"; fileName=\"a.png\"", "a.png"),
        ("FORM-DATA ;; filename-hint=\"x\" ;filename=my photo.png;name = file", "my photo.png"),
        ("form-data; name=\"file\"; filename*0=\"a\"; filename*1=\"b.png\"", "ab.png"),
    ] {
        let image = app.post(Form::new().text("user_id", "alice").raw(disposition, Some("image/png"), &file)).await.image();
        assert_eq!(image["file_name"], name, "{disposition}");
    }
}

#[tokio::test]
async fn content_types_with_whitespace_and_unquoted_boundaries_are_accepted() {
    let app = TestApp::start().await;
    let send = async |content_type: &str, boundary: &str| {
        let body = Form::upload("alice", &jpeg(50, 50, 1)).finish();
        let mark = Form::content_type().rsplit('=').next().unwrap().to_owned();
        // The bytes of the image do not contain the boundary.
        let body: Vec<u8> = replace(&body, mark.as_bytes(), boundary.as_bytes());
        app.send(app.request(reqwest::Method::POST, "/images").header("Content-Type", content_type).body(body)).await
    };
    for content_type in [
        "multipart/form-data ; boundary=X123",
        "multipart/form-data;\tboundary=X123",
        "multipart/form-data; charset=UTF-8   ;    boundary=X123",
        "Multipart/Form-Data; BOUNDARY=\"X123\" ; charset=utf-8",
        "multipart/form-data;; boundary=X123",
    ] {
        assert_eq!(send(content_type, "X123").await.status, 200, "{content_type}");
    }
    for boundary in ["===1616056691487===", "b/Q.eEb", "gc0p:2Y/t0", "a b"] {
        let answer = send(&format!("multipart/form-data; boundary={boundary}"), boundary).await;
        assert_eq!(answer.status, 200, "{boundary}: {}", answer.text());
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[tokio::test]
async fn a_text_is_decoded_with_the_charset_and_encoding_of_its_part() {
    let app = TestApp::start().await;
    let title = |head: &str, bytes: &[u8]| {
        let disposition = format!("form-data; name=\"title\"{head}");
        app.post(Form::upload("alice", &jpeg(50, 50, 1)).raw(&disposition, None, bytes))
    };
    for (head, bytes) in [
        ("\r\nContent-Type: text/plain; charset=ISO-8859-1", &b"Gr\xf6\xdfe"[..]),
        ("\r\nContent-Type: text/plain;charset=\"Windows-1252\"", b"Gr\xf6\xdfe"),
        ("\r\nContent-Type: text/plain; charset=UTF-16LE", b"G\0r\0\xf6\0\xdf\0e\0"),
        ("\r\nContent-Transfer-Encoding: base64", b"R3LDtsOf\r\nZQ=="),
        ("\r\nContent-Transfer-Encoding: quoted-printable", b"Gr=C3=B6=C3=\r\n=9Fe"),
        ("\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: Quoted-Printable", b"Gr=F6=DFe"),
        ("\r\nContent-Transfer-Encoding: 8bit", "Größe".as_bytes()),
    ] {
        assert_eq!(title(head, bytes).await.image()["title"], "Größe", "{head}");
    }
    for (head, bytes) in [
        ("\r\nContent-Type: text/plain; charset=nonsense", &b"a"[..]),
        ("\r\nContent-Type: text/plain; charset=UTF-8", b"Gr\xf6\xdfe"),
        ("\r\nContent-Transfer-Encoding: base64", b"not base64!"),
        ("\r\nContent-Transfer-Encoding: x-uuencode", b"a"),
    ] {
        assert_eq!(keys(&assert_error(&title(head, bytes).await, 422, "ValidationError")), ["title"], "{head}");
    }
    // A transfer encoding is not supported for the file.
    let disposition = "form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Transfer-Encoding: base64";
    let form = Form::new().text("user_id", "alice").raw(disposition, None, b"iVBORw0KGgo=");
    assert_eq!(keys(&assert_error(&app.post(form).await, 422, "ValidationError")), ["file"]);
}

#[tokio::test]
async fn parts_can_be_sent_in_any_order() {
    let app = TestApp::start().await;
    let file = jpeg(50, 50, 1);
    type Add<'a> = &'a dyn Fn(Form) -> Form;
    let add_file: Add = &|form| form.file(&file);
    let add_user: Add = &|form| form.text("user_id", "alice");
    let add_title: Add = &|form| form.text("title", "t");
    let add_tags: Add = &|form| form.text("tags", "a");
    let orders: [[Add; 4]; 4] = [
        [add_file, add_user, add_title, add_tags],
        [add_tags, add_title, add_user, add_file],
        [add_title, add_file, add_tags, add_user],
        [add_user, add_tags, add_file, add_title],
    ];
    for order in orders {
        let form = order.into_iter().fold(Form::new(), |form, add| add(form));
        let image = app.post(form).await.image();
        assert_eq!((&image["user_id"], &image["title"], &image["tags"]), (&json!("alice"), &json!("t"), &json!(["a"])));
    }
}

#[tokio::test]
async fn tags_are_trimmed_lower_cased_unique_and_in_the_order_given() {
    let app = TestApp::start().await;
    let file = jpeg(50, 50, 1);
    let fifty = "é".repeat(50);
    let ten = "1,2,3,4,5,6,7,8,9,10";
    for (sent, kept) in [
        ("Sea,Sun", json!(["sea", "sun"])),
        (" sun , SEA,,sea,\tSea , ", json!(["sun", "sea"])),
        (",,, ,", json!([])),
        ("new york,a-b_c,2024", json!(["new york", "a-b_c", "2024"])),
        ("日本,हिन्दी,Ελλάδα,ไทย,עִבְרִית", json!(["日本", "हिन्दी", "ελλάδα", "ไทย", "עִבְרִית"])),
        // Equivalent spellings become one: composed and in lower case.
        ("CAFE\u{301},café", json!(["café"])),
        ("ÅNGSTRÖM", json!(["ångström"])),
        (&fifty, json!([fifty])),
        (ten, json!(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"])),
        // Duplicate and empty tags do not count.
        (&format!("{ten},,1,2,"), json!(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"])),
    ] {
        let image = app.post(Form::upload("alice", &file).text("tags", sent)).await.image();
        assert_eq!(image["tags"], kept, "{sent}");
    }
}

#[tokio::test]
async fn invalid_tags_are_422() {
    let app = TestApp::start().await;
    let file = jpeg(50, 50, 1);
    let eleven = "1,2,3,4,5,6,7,8,9,10,11";
    for bad in [eleven, &"é".repeat(51), "a/b", "#a", "a.b", "😀", "a;b", "a\nb", "good,b@d", "a\u{200b}b", "nul\0"] {
        let answer = app.post(Form::upload("alice", &file).text("tags", bad)).await;
        assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), ["tags"], "{bad:?}");
    }
}

#[tokio::test]
async fn a_user_id_has_1_to_255_plain_characters() {
    let app = TestApp::start().await;
    let file = jpeg(50, 50, 1);
    let longest = "u".repeat(255);
    for good in ["a", "A-Z_a.z@0:9", "..", "auth0|5f7c8ec7c33c6c004bbafe82", "ann+photos@example.org", "~=", &longest] {
        assert_eq!(app.post(Form::upload(good, &file)).await.image()["user_id"], good);
    }
    let too_long = "u".repeat(256);
    for bad in ["", " ", "a b", "a/b", "a,b", "ü", "a\0", "a\n", "😀", "a%20b", &too_long] {
        let answer = app.post(Form::upload(bad, &file)).await;
        assert_eq!(keys(&assert_error(&answer, 422, "ValidationError")), ["user_id"], "{bad:?}");
    }
}

#[tokio::test]
async fn a_caller_cannot_upload_for_another_user() {
    let app = TestApp::start().await;
    let by = async |caller: &str, user: &str| {
        app.send(app.upload(Form::upload(user, &jpeg(50, 50, 1))).header("X-User-Id", caller)).await
    };
    assert_error(&by("alice", "bob").await, 403, "Forbidden");
    assert_eq!(keys(&assert_error(&by("not a user", "no user").await, 422, "ValidationError")), ["X-User-Id", "user_id"]);
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
    assert_eq!(by("alice", "alice").await.image()["user_id"], "alice");
}

#[tokio::test]
async fn all_invalid_fields_are_reported_together() {
    let app = TestApp::start().await;
    let form = Form::new()
        .text("user_id", "no spaces")
        .text("title", &"t".repeat(201))
        .text("description", &"d".repeat(1001))
        .text("tags", "a/b")
        .text("color", "blue")
        .text("Title", "case matters");
    let request = app.upload(form).header("Idempotency-Key", "no spaces");
    let details = assert_error(&app.send(request).await, 422, "ValidationError");
    let all = ["Idempotency-Key", "Title", "color", "description", "file", "tags", "title", "user_id"];
    assert_eq!(keys(&details), all, "{details}");
}

#[tokio::test]
async fn missing_parts_are_422_and_are_named() {
    let app = TestApp::start().await;
    let file = jpeg(50, 50, 1);
    for (form, missing) in [
        (Form::new().file(&file), vec!["user_id"]),
        (Form::new().text("user_id", "alice"), vec!["file"]),
        (Form::new().text("title", "t"), vec!["file", "user_id"]),
        (Form::new(), vec!["file", "user_id"]),
    ] {
        assert_eq!(keys(&assert_error(&app.post(form).await, 422, "ValidationError")), missing);
    }
}

#[tokio::test]
async fn unknown_or_repeated_parts_are_422_and_are_named() {
    let app = TestApp::start().await;
    let form = || Form::upload("alice", &jpeg(50, 50, 1));
    for (form, named) in [
        (form().text("color", "blue"), "color"),
        (form().text("image_id", "x"), "image_id"),
        (form().raw("form-data; name=\"upload\"; filename=\"a.jpg\"", Some("image/jpeg"), &jpeg(50, 50, 2)), "upload"),
        (form().raw("form-data", None, b"x"), "(unnamed)"),
        (form().text("user_id", "alice"), "user_id"),
        (form().text("title", "a").text("title", "a"), "title"),
        (form().file(&jpeg(50, 50, 2)), "file"),
    ] {
        assert_eq!(keys(&assert_error(&app.post(form).await, 422, "ValidationError")), [named]);
    }
    assert_eq!(app.get("/images").await.ok()["total_count"], 0);
}

#[tokio::test]
async fn a_file_name_is_sanitised() {
    let app = TestApp::start().await;
    let file = png(50, 50, 1);
    let long = format!("{}.png", "é".repeat(300));
    let cut: String = long.chars().take(255).collect();
    for (sent, kept) in [
        ("sunset.png", "sunset.png"),
        ("Été à Zürich 日本 🌅.png", "Été à Zürich 日本 🌅.png"),
        ("../../etc/passwd", "passwd"),
        ("/absolute/path.png", "path.png"),
        (r"C:\\photos\\me.png", "me.png"),
        ("a\u{85}b\u{9f}c.png", "abc.png"),
        ("tab\there.png", "tabhere.png"),
        // Browsers encode a quote as %22; other clients percent-encode everything outside ASCII. A name that is not
        // fully encoded is not decoded.
        ("it's %22it%22.png", "it's \"it\".png"),
        ("my%20photo.png", "my photo.png"),
        ("%C3%A9t%C3%A9.png", "été.png"),
        ("100 %20.png", "100 %20.png"),
        (r"C:\photos\unescaped.png", "unescaped.png"),
        (r"backslash.png\", "backslash.png"),
        (r#"a \"quoted\" name.png"#, r#"a "quoted" name.png"#),
        ("..", "image.png"),
        ("folder/", "image.png"),
        ("   ", "image.png"),
        ("", "image.png"),
        // The name that browsers send for a `Blob` without one.
        ("blob", "image.png"),
        ("blob.png", "blob.png"),
        (&long, &cut),
    ] {
        let form = Form::new().text("user_id", "alice").file_named(sent, "image/png", &file);
        let image = app.post(form).await.image();
        assert_eq!(image["file_name"], kept, "{sent:?}");
        assert_eq!(app.get(&format!("/images/{}", image["image_id"].as_str().unwrap())).await.ok()["file_name"], kept);
    }
    for disposition in ["form-data; name=\"file\"", "form-data; name=file"] {
        let form = Form::new().text("user_id", "alice").raw(disposition, None, &file);
        assert_eq!(app.post(form).await.image()["file_name"], "image.png", "{disposition}");
    }
    assert!(
        app.storage().keys().await.iter().all(|key| key.is_ascii() && !key.contains("png")),
        "file names are not part of keys"
    );
}

#[tokio::test]
async fn phone_formats_that_are_not_accepted_are_named_in_the_error() {
    let app = TestApp::start().await;
    let cases = [(&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC"), (b"\0\0\0\x14ftypavif\0\0\0\0mif1", "AVIF")];
    for (head, name) in cases {
        let answer = app.post(Form::upload("alice", &padded(head.to_vec(), 4096))).await;
        assert_error(&answer, 415, "UnsupportedMediaType");
        let message = format!("The file is {name}, which is not accepted. Convert it to JPEG first.");
        assert_eq!(answer.json()["message"], message);
    }
}

#[tokio::test]
async fn a_file_has_1024_bytes_to_10_mib() {
    let app = TestApp::start().await;
    let small = flat_jpeg(50, 50);
    for (length, taken) in [(1023, false), (1024, true), (10 * MIB, true), (10 * MIB + 1, false), (10 * MIB + 50_000, false)] {
        let answer = app.post(Form::upload("alice", &padded(small.clone(), length))).await;
        if taken {
            assert_eq!(answer.image()["file_size"], length);
        } else {
            let details = assert_error(&answer, 400, "InvalidFile");
            assert_eq!(keys(&details), ["file"], "{length}");
            assert!(details["file"].as_str().unwrap().contains(if length < MIB { "1024" } else { "10485760" }), "{details}");
        }
    }
    for file in [&b""[..], b"\xff\xd8\xff"] {
        assert_eq!(keys(&assert_error(&app.post(Form::upload("alice", file)).await, 400, "InvalidFile")), ["file"]);
    }
}

#[tokio::test]
async fn a_file_of_10_mib_can_be_sent_with_every_other_field_at_its_longest() {
    let app = TestApp::start().await;
    let tags = (0..10_u8).map(|n| format!("{n}{}", "語".repeat(49))).collect::<Vec<_>>().join(",");
    let form = Form::upload(&"u".repeat(255), &padded(flat_jpeg(50, 50), 10 * MIB))
        .text("title", &"🌅".repeat(200))
        .text("description", &"🌅".repeat(1000))
        .text("tags", &tags);
    assert_eq!(app.post(form).await.image()["file_size"], 10 * MIB);
}

#[tokio::test]
async fn each_side_has_50_to_4000_pixels() {
    let app = TestApp::start().await;
    type Make = fn(u32, u32) -> Vec<u8>;
    let gif_of: Make = |width, height| gif(width.try_into().unwrap(), height.try_into().unwrap(), 1, 1);
    let formats: [(&str, Make); 4] = [
        ("jpeg", |width, height| padded(flat_jpeg(width, height), 200_000)),
        ("png", |width, height| png(width, height, 1)),
        ("gif", gif_of),
        ("webp", |width, height| webp(width, height, 1)),
    ];
    for (format, make) in formats {
        for (width, height) in [(50, 50), (4000, 50), (50, 4000)] {
            let image = app.post(Form::upload("alice", &make(width, height))).await.image();
            assert_eq!((&image["width"], &image["height"]), (&json!(width), &json!(height)), "{format}");
        }
        for (width, height) in [(49, 50), (50, 49), (4001, 50), (50, 4001), (1, 1), (4000, 49)] {
            let file = make(width, height);
            let file = if file.len() < 1024 { padded(file, 1024) } else { file };
            let details = assert_error(&app.post(Form::upload("alice", &file)).await, 400, "InvalidFile");
            let reason = details["file"].as_str().unwrap();
            assert!(reason.contains(&format!("{width}×{height}")), "{format}: {reason}");
        }
    }
    let image = app.post(Form::upload("alice", &flat_jpeg(4000, 4000))).await.image();
    assert_eq!((&image["width"], &image["height"]), (&json!(4000), &json!(4000)));
    assert_eq!(image["thumbnails"]["medium"]["width"], 512);
}

#[tokio::test]
async fn width_and_height_are_as_displayed() {
    let app = TestApp::start().await;
    for orientation in 1..=8 {
        let file = pictures::jpeg_with_exif(300, 50, orientation, &[]);
        let image = app.post(Form::upload("alice", &file)).await.image();
        let turned = orientation >= 5;
        let (width, height) = if turned { (50, 300) } else { (300, 50) };
        assert_eq!((&image["width"], &image["height"]), (&json!(width), &json!(height)), "orientation {orientation}");
        let small = &image["thumbnails"]["small"];
        let (width, height) = if turned { (21, 128) } else { (128, 21) };
        assert_eq!((&small["width"], &small["height"]), (&json!(width), &json!(height)), "orientation {orientation}");
        assert_eq!(image["metadata"]["orientation"], orientation);
    }
    // The limits apply to the displayed dimensions too: 4001 pixels are too many in either direction.
    let answer = app.post(Form::upload("alice", &pictures::jpeg_with_exif(4001, 50, 6, &[]))).await;
    assert_error(&answer, 400, "InvalidFile");
}

#[tokio::test]
async fn thumbnails_keep_the_aspect_ratio_and_are_never_enlarged() {
    let app = TestApp::start().await;
    for (width, height, small, medium) in [
        (50, 50, (50, 50), (50, 50)),
        (128, 64, (128, 64), (128, 64)),
        (512, 300, (128, 75), (512, 300)),
        (300, 900, (43, 128), (171, 512)),
        (4000, 50, (128, 2), (512, 6)),
    ] {
        let image = app.post(Form::upload("alice", &png(width, height, 1))).await.image();
        let size = |name: &str| {
            let thumbnail = &image["thumbnails"][name];
            (thumbnail["width"].as_u64().unwrap(), thumbnail["height"].as_u64().unwrap())
        };
        assert_eq!((size("small"), size("medium")), (small, medium), "{width}×{height}");
    }
}

#[tokio::test]
async fn metadata_of_the_file_is_returned() {
    let app = TestApp::start().await;
    let texts = [(0x010f, "Canon"), (0x0110, "Canon EOS 80D"), (0x0132, "2019:04:16 18:19:50")];
    let image = app.post(Form::upload("alice", &pictures::jpeg_with_exif(60, 60, 1, &texts))).await.image();
    let expected = json!({
        "created_at": null, "modified_at": "2019-04-16T18:19:50", "camera": "Canon EOS 80D", "orientation": 1,
        "has_alpha": false, "animated": false, "frames": 1, "credentials": "none", "shrunk_from": null,
    });
    assert_eq!(image["metadata"], expected);
    let image = app.post(Form::upload("alice", &pictures::transparent_png(60, 60, 1))).await.image();
    assert_eq!(image["metadata"]["has_alpha"], true);
    for file in [gif(60, 60, 3, 1), pictures::animated_webp(60, 60, 3)] {
        let metadata = &app.post(Form::upload("alice", &file)).await.image()["metadata"];
        assert_eq!((&metadata["animated"], &metadata["frames"]), (&json!(true), &json!(3)));
    }
}

#[tokio::test]
async fn an_animated_gif_has_a_limited_number_of_pixels() {
    let app = TestApp::with(&["--max-animation-pixels=16000000"]).await;
    // The limit is 400 × 400 × 100 frames.
    let image = app.post(Form::upload("alice", &gif(400, 400, 100, 1))).await.image();
    assert_eq!(image["metadata"]["frames"], 100);
    let details = assert_error(&app.post(Form::upload("alice", &gif(400, 400, 101, 1))).await, 400, "InvalidFile");
    assert!(details["file"].as_str().unwrap().contains("16000000"), "{details}");
}

#[tokio::test]
async fn an_animated_webp_has_a_limited_number_of_pixels() {
    let app = TestApp::with(&["--max-animation-pixels=16000000"]).await;
    let image = app.post(Form::upload("alice", &pictures::animated_webp(2000, 2000, 4))).await.image();
    assert_eq!(image["metadata"]["frames"], 4);
    let answer = app.post(Form::upload("alice", &pictures::animated_webp(2000, 2000, 5))).await;
    assert_error(&answer, 400, "InvalidFile");
}

#[tokio::test]
async fn a_truncated_file_is_rejected_wherever_it_is_cut() {
    let app = TestApp::start().await;
    for file in [jpeg(400, 300, 1), png(400, 300, 1), gif(400, 300, 1, 1), webp(400, 300, 1), gif(100, 100, 5, 1)] {
        let cuts = (1..20).map(|twentieth| file.len() * twentieth / 20).chain([file.len() - 100, file.len() - 20]);
        for cut in cuts.filter(|cut| *cut >= 1024) {
            let details = assert_error(&app.post(Form::upload("alice", &file[..cut])).await, 400, "InvalidFile");
            assert_eq!(keys(&details), ["file"], "cut to {cut} of {} bytes", file.len());
        }
        app.post(Form::upload("alice", &file)).await.ok();
    }
}

#[tokio::test]
async fn a_file_that_lacks_only_its_end_marker_is_accepted_and_stored_unchanged() {
    let app = TestApp::start().await;
    for (file, end_bytes) in [(jpeg(400, 300, 1), 2), (png(400, 300, 1), 12), (gif(400, 300, 1, 1), 1)] {
        for missing in 1..=end_bytes {
            let image = app.post(Form::upload("alice", &file[..file.len() - missing])).await.image();
            assert_eq!(image["file_size"], file.len() - missing, "{missing} bytes are missing");
        }
    }
    app.assert_sound().await;
}

#[tokio::test]
async fn a_jpeg_with_missing_data_is_rejected() {
    let app = TestApp::start().await;
    let file = jpeg(400, 300, 1);
    for tenth in 3..9 {
        let at = file.len() * tenth / 10;
        let without = [&file[..at], &file[at + 500..]].concat();
        assert_error(&app.post(Form::upload("alice", &without)).await, 400, "InvalidFile");
        let mut blanked = file.clone();
        blanked[at..at + 500].fill(0);
        assert_error(&app.post(Form::upload("alice", &blanked)).await, 400, "InvalidFile");
    }
}

#[tokio::test]
async fn a_damaged_png_gif_or_webp_is_rejected() {
    let app = TestApp::start().await;
    // Damages the header or the pixel data. Between the two a GIF has a palette, in which every byte is valid.
    for (file, header) in [(png(400, 300, 1), 20), (webp(400, 300, 1), 20), (gif(400, 300, 1, 1), 13 + 768)] {
        for at in [header, file.len() / 2] {
            let mut damaged = file.clone();
            damaged[at..at + 200].fill(0xff);
            assert_error(&app.post(Form::upload("alice", &damaged)).await, 400, "InvalidFile");
        }
    }
}

#[tokio::test]
async fn a_header_alone_is_rejected() {
    let app = TestApp::start().await;
    for start in [&b"\xff\xd8\xff\xe0"[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xf8\x0f\0\0WEBPVP8 "] {
        let answer = app.post(Form::upload("alice", &padded(start.to_vec(), 4096))).await;
        assert_eq!(keys(&assert_error(&answer, 400, "InvalidFile")), ["file"], "{start:?}");
    }
}

#[tokio::test]
async fn a_rejected_upload_leaves_nothing() {
    let app = TestApp::start().await;
    let file = jpeg(400, 300, 1);
    for file in [&file[..file.len() / 2], b"text", &jpeg(49, 50, 1)] {
        assert_ne!(app.post(Form::upload("alice", file).text("tags", "a")).await.status, 200);
    }
    app.post(Form::upload("no spaces", &file)).await;
    for list in ["/images", "/users/alice/images", "/tags/a/images"] {
        assert_eq!(app.get(list).await.ok()["total_count"], 0);
    }
    assert!(app.storage().keys().await.is_empty());
    app.assert_sound().await;
}

#[tokio::test]
async fn the_same_file_twice_is_two_images() {
    let app = TestApp::start().await;
    let file = jpeg(60, 60, 1);
    let (first, second) =
        (app.post(Form::upload("alice", &file)).await.image(), app.post(Form::upload("alice", &file)).await.image());
    assert_ne!(first["image_id"], second["image_id"]);
    assert_eq!(first["sha256"], second["sha256"]);
    assert_eq!(app.get("/images").await.ok()["total_count"], 2);
}
