//! Which addresses imports may connect to: private ones are rejected however a URL, a name or a redirect leads to them.

use std::net::SocketAddr;
use std::sync::Arc;

use super::import_fetch::{ONCE, assert_reason, import, start};
use crate::harness::pictures::jpeg;
use crate::harness::world::{picture, reply};
use crate::harness::{TestApp, World};

fn ports(world: &World) -> Vec<SocketAddr> {
    world.connected()
}

#[tokio::test]
async fn a_name_is_resolved_once_and_only_the_checked_address_is_used() {
    let world = World::new();
    let public = world.site("rebinding.test", |_, _| picture(&jpeg(64, 64, 1))).await;
    let public_text = public.to_string();
    world.name("rebinding.test", &[&[public_text.as_str()], &["127.0.0.1"]]);
    let app = start(&world).await;
    assert_eq!(import(&app, "http://rebinding.test/1.jpg").await, None);
    assert_eq!(world.lookups("rebinding.test"), 1);
    // A second look-up gets the other address, and no connection is made.
    assert_reason(import(&app, "http://rebinding.test/2.jpg").await, "its host does not resolve to a public address");
    assert_eq!(ports(&world), [SocketAddr::new(public, 80)]);
}

#[tokio::test]
async fn names_that_resolve_to_non_public_addresses_are_rejected() {
    let world = World::new();
    let public = world.site("public.test", |_, _| picture(&jpeg(64, 64, 1))).await;
    let inner = [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.192",
        "198.18.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "100.100.100.200",
        "168.63.129.16",
    ];
    let app = start(&world).await;
    for (number, address) in inner.iter().enumerate() {
        world.name(&format!("inner{number}.test"), &[&[address]]);
        assert_reason(
            import(&app, &format!("http://inner{number}.test/x.jpg")).await,
            "its host does not resolve to a public address",
        );
    }
    // A name that does not exist gets the same message.
    assert_reason(import(&app, "http://nowhere.test/x.jpg").await, "its host does not resolve to a public address");
    assert_eq!(ports(&world), []);
    // Of several addresses, only the public ones are used.
    let public = public.to_string();
    world.name("mixed.test", &[&["127.0.0.1", "10.0.0.1", public.as_str(), "::1"]]);
    assert_eq!(import(&app, "http://mixed.test/x.jpg").await, None);
    assert_eq!(ports(&world), [SocketAddr::new(public.parse().unwrap(), 80)]);
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_connected_to() {
    let world = World::new();
    let app = start(&world).await;
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
        "[fd00:ec2::254]",
    ] {
        for scheme in ["http", "https"] {
            assert_reason(
                import(&app, &format!("{scheme}://{host}/latest/meta-data")).await,
                "its host does not resolve to a public address",
            );
        }
    }
    assert_eq!(ports(&world), []);
}

#[tokio::test]
async fn every_redirect_is_checked_by_the_same_rules() {
    let world = World::new();
    let public = world
        .site("public.test", |path, _| match path {
            "/picture" => picture(&jpeg(64, 64, 1)),
            "/relative" => reply("302 Found", &[("Location", "x/../picture")], b""),
            "/nowhere" => reply("302 Found", &[], b""),
            _ => {
                let to = percent_encoding::percent_decode_str(&path[1..]).decode_utf8().unwrap().into_owned();
                reply("307 Temporary Redirect", &[("Location", &to)], b"")
            }
        })
        .await;
    world.name("inner.test", &[&["10.0.0.7"]]);
    let app = start(&world).await;
    let to = |url: &str| {
        format!("http://public.test/{}", percent_encoding::utf8_percent_encode(url, percent_encoding::NON_ALPHANUMERIC))
    };
    for (url, reason) in [
        ("http://127.0.0.1/", "its host does not resolve to a public address"),
        ("http://0x7f.1/", "its host does not resolve to a public address"),
        ("http://[::1]/", "its host does not resolve to a public address"),
        ("https://inner.test/", "its host does not resolve to a public address"),
        ("//169.254.169.254/latest", "its host does not resolve to a public address"),
        ("http://public.test:6379/", "it redirects to a URL that is not allowed: the URL must use one of these ports: 80, 443"),
        ("ftp://public.test/", "it redirects to a URL that is not allowed: the URL must begin with http:// or https://"),
        ("file:///etc/passwd", "it redirects to a URL that is not allowed: the URL must begin with http:// or https://"),
        (
            "http://user:secret@public.test/",
            "it redirects to a URL that is not allowed: the URL must not contain a user name or a password",
        ),
    ] {
        assert_reason(import(&app, &to(url)).await, reason);
    }
    assert_reason(import(&app, "http://public.test/nowhere").await, "it redirects without a Location");
    assert_eq!(import(&app, "http://public.test/relative").await, None);
    assert_eq!(import(&app, &to("http://public.test/picture")).await, None);
    assert!(ports(&world).iter().all(|address| *address == SocketAddr::new(public, 80)));
}

#[tokio::test]
async fn at_most_five_redirects_are_followed() {
    let world = World::new();
    world
        .site("public.test", |path, _| match path.trim_start_matches('/').parse::<u32>() {
            Ok(0) => picture(&jpeg(64, 64, 1)),
            Ok(left) => reply("301 Moved Permanently", &[("Location", &format!("/{}", left - 1))], b"moved"),
            Err(_) => reply("308 Permanent Redirect", &[("Location", "/loop")], b""),
        })
        .await;
    let app = start(&world).await;
    assert_eq!(import(&app, "http://public.test/5").await, None);
    assert_reason(import(&app, "http://public.test/6").await, "it redirects more than 5 times");
    assert_eq!(world.requests().len(), 12);
    assert_reason(import(&app, "http://public.test/loop").await, "it redirects more than 5 times");
    assert_eq!(world.requests().len(), 18);
}

#[tokio::test]
async fn an_intranet_can_be_allowed_except_for_metadata_services() {
    let world = World::new();
    let app = TestApp::within(
        Arc::clone(&world) as _,
        &[&ONCE[..], &["--allow-private-imports=true", "--import-ports=80,9000"]].concat(),
    )
    .await;
    world.name("inner.test", &[&["10.0.0.7"]]);
    // The address is allowed and was tried, but no server listens on it.
    assert_reason(import(&app, "http://inner.test:9000/x.jpg").await, "its host refused the connection or did not respond");
    assert_eq!(ports(&world), ["10.0.0.7:9000".parse().unwrap()]);
    for secret in ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[fe80::1]"] {
        assert_reason(
            import(&app, &format!("http://{secret}/latest/meta-data")).await,
            "its host does not resolve to a public address",
        );
    }
    assert_eq!(ports(&world).len(), 1);
}
