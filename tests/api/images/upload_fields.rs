//! The fields of an upload's form: what is accepted and what is rejected, to the exact character.

use serde_json::{Value, json};

use crate::harness::pictures::{jpeg, png};
use crate::harness::{Form, TestApp, assert_error};

fn keys(details: &Value) -> Vec<&str> {
    details.as_object().expect("details").keys().map(String::as_str).collect()
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
    let details = assert_error(&app.post(form().text("color", "blue")).await, 422, "ValidationError");
    assert_eq!(details["color"], "is not a field of this request");
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
