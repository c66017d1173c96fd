//! Password guessing: how failed attempts are counted, by account and by address, and how long callers must wait.

use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Login, PASSWORD, TestApp, assert_error};

const WRONG: &str = "incorrect horse battery";

/// Stops the clock, so that no wait ends by itself.
async fn start(settings: &[&str]) -> TestApp {
    let app = TestApp::with(settings).await;
    app.clock.stop();
    app
}

async fn log_in(app: &TestApp, email: &str, password: &str) -> Answer {
    app.post_json("/token", &json!({"email": email, "password": password})).await
}

/// Sends a login as if a proxy had forwarded it.
async fn log_in_from(app: &TestApp, forwarded_for: &str, email: &str, password: &str) -> Answer {
    let request = app.request(Method::POST, "/token").header("X-Forwarded-For", forwarded_for);
    app.send(request.json(&json!({"email": email, "password": password}))).await
}

/// Returns an administrator whose password is not in the cache of verified passwords.
async fn admin(app: &TestApp) -> Login {
    let login = app.admin().await;
    app.clock.advance(TimeDelta::minutes(2));
    login
}

async fn by_password(app: &TestApp, email: &str, password: &str) -> Answer {
    app.send(app.request(Method::GET, "/accounts/me").basic_auth(email, Some(password))).await
}

/// Returns the seconds until the next attempt is allowed; 0 if the attempt was made.
fn wait_of(answer: &Answer) -> u64 {
    if answer.status == 429 {
        assert_eq!(assert_error(answer, 429, "TooManyRequests"), json!({}));
        return answer.header("retry-after").parse().unwrap();
    }
    assert_error(answer, 401, "Unauthorized");
    0
}

/// Returns the status, the body and `Retry-After`.
fn response_of(answer: &Answer) -> (u16, Value, String) {
    (answer.status, answer.json(), answer.header("retry-after").to_owned())
}

#[tokio::test]
async fn the_twelfth_wrong_password_must_wait_whether_or_not_the_account_exists() {
    let app = start(&[]).await;
    let admin = admin(&app).await;
    for _ in 0..11 {
        let answers = (log_in(&app, &admin.email, WRONG).await, log_in(&app, "nobody@example.org", WRONG).await);
        assert_eq!((wait_of(&answers.0), response_of(&answers.0)), (0, response_of(&answers.1)));
    }
    for _ in 0..3 {
        let answers = (log_in(&app, &admin.email, WRONG).await, log_in(&app, "nobody@example.org", WRONG).await);
        assert_eq!(
            (wait_of(&answers.0), response_of(&answers.0)),
            (1, response_of(&answers.1)),
            "a rejected attempt does not extend the wait"
        );
    }
    // The wait applies to the address in any case, to every way of logging in, and to the right password too.
    assert_eq!(wait_of(&log_in(&app, "ROOT@example.org", WRONG).await), 1);
    assert_eq!(wait_of(&log_in(&app, &admin.email, PASSWORD).await), 1);
    assert_eq!(wait_of(&by_password(&app, &admin.email, PASSWORD).await), 1);
    assert_eq!(wait_of(&by_password(&app, "nobody@example.org", PASSWORD).await), 1);
    // Other accounts do not wait, nor do callers that are already logged in.
    assert_eq!(wait_of(&log_in(&app, "other@example.org", WRONG).await), 0);
    let key = app.key(&admin, &json!({})).await;
    assert_eq!(app.send(app.request_by_key(&key, Method::GET, "/accounts/me")).await.status, 200);
    assert_eq!(app.post_json("/token/refresh", &json!({"refresh": admin.refresh})).await.status, 201);
}

#[tokio::test]
async fn each_failure_doubles_the_wait_up_to_five_minutes() {
    let app = start(&[]).await;
    for _ in 0..11 {
        assert_eq!(wait_of(&log_in(&app, "nobody@example.org", WRONG).await), 0);
    }
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        assert_eq!(wait_of(&log_in(&app, "nobody@example.org", WRONG).await), wait);
        app.clock.advance(TimeDelta::seconds(wait as i64) - TimeDelta::milliseconds(1));
        assert_eq!(wait_of(&log_in(&app, "nobody@example.org", WRONG).await), 1, "the last of {wait} s");
        app.clock.advance(TimeDelta::milliseconds(1));
        assert_eq!(wait_of(&log_in(&app, "nobody@example.org", WRONG).await), 0, "after {wait} s");
    }
}

#[tokio::test]
async fn a_successful_login_resets_the_failures_of_the_account() {
    let app = start(&[]).await;
    let admin = admin(&app).await;
    for way in ["token", "basic"] {
        for round in 0..2 {
            for _ in 0..11 {
                assert_eq!(wait_of(&log_in(&app, &admin.email, WRONG).await), 0, "{way} {round}");
            }
            assert_eq!(wait_of(&log_in(&app, &admin.email, PASSWORD).await), 1, "{way} {round}");
            app.clock.advance(TimeDelta::seconds(1));
            let status = match way {
                "token" => log_in(&app, &admin.email, PASSWORD).await.status,
                _ => by_password(&app, &admin.email, PASSWORD).await.status,
            };
            assert!([200, 201].contains(&status), "{way} {round}: {status}");
            app.clock.advance(TimeDelta::minutes(2));
        }
        // Wait until the failures of this address expire too, because those of other accounts would add to them.
        app.clock.advance(TimeDelta::minutes(20));
    }
}

#[tokio::test]
async fn failures_expire() {
    let app = start(&[]).await;
    for _ in 0..2 {
        for _ in 0..11 {
            assert_eq!(wait_of(&log_in(&app, "nobody@example.org", WRONG).await), 0);
        }
        assert_eq!(wait_of(&log_in(&app, "nobody@example.org", WRONG).await), 1);
        app.clock.advance(TimeDelta::minutes(16));
    }
}

#[tokio::test]
async fn basic_authentication_counts_as_an_attempt() {
    let app = start(&[]).await;
    let admin = admin(&app).await;
    for number in 0..11 {
        let path = ["/images", "/accounts/me", "/plans"][number % 3];
        let request = app.request(Method::GET, path).basic_auth(&admin.email, Some(WRONG));
        assert_eq!(wait_of(&app.send(request).await), 0);
    }
    assert_eq!(wait_of(&by_password(&app, &admin.email, WRONG).await), 1);
    assert_eq!(wait_of(&log_in(&app, &admin.email, PASSWORD).await), 1);
    // The right password never has to wait, however often it is sent.
    app.clock.advance(TimeDelta::seconds(1));
    for _ in 0..20 {
        assert_eq!(by_password(&app, &admin.email, PASSWORD).await.status, 200);
    }
}

#[tokio::test]
async fn a_throttled_guess_is_not_confirmed_even_if_the_password_is_cached() {
    let app = start(&["--trusted-proxies=127.0.0.1"]).await;
    let admin = admin(&app).await;
    let (here, there) = ("198.51.100.1", "198.51.100.2");
    assert_eq!(log_in_from(&app, here, &admin.email, PASSWORD).await.status, 201);
    for number in 0..12 {
        let wait = wait_of(&log_in_from(&app, there, &admin.email, WRONG).await);
        assert_eq!(wait, u64::from(number == 11), "{number}");
    }
    // The guesser does not learn that a guess is right, although the password is cached for the other address.
    assert_eq!(wait_of(&log_in_from(&app, there, &admin.email, PASSWORD).await), 1);
    assert_eq!(log_in_from(&app, here, &admin.email, PASSWORD).await.status, 201);
    // The same holds at the address where it is cached.
    for number in 0..12 {
        let wait = wait_of(&log_in_from(&app, here, &admin.email, WRONG).await);
        assert_eq!(wait, u64::from(number == 11), "{number}");
    }
    assert_eq!(wait_of(&log_in_from(&app, here, &admin.email, PASSWORD).await), 1);
}

#[tokio::test]
async fn failures_from_one_address_do_not_block_another_address() {
    let app = start(&["--trusted-proxies=127.0.0.1"]).await;
    let admin = admin(&app).await;
    for number in 0..12 {
        let wait = wait_of(&log_in_from(&app, "198.51.100.1", &admin.email, WRONG).await);
        assert_eq!(wait, u64::from(number == 11), "{number}");
    }
    assert_eq!(log_in_from(&app, "198.51.100.2", &admin.email, PASSWORD).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_attempts_are_limited_like_consecutive_ones() {
    let app = start(&[]).await;
    let admin = admin(&app).await;
    let answers = join_all((0..40).map(|_| log_in(&app, &admin.email, WRONG))).await;
    let made = answers.iter().filter(|answer| wait_of(answer) == 0).count();
    assert_eq!(made, 11);
}

#[tokio::test]
async fn an_address_that_guesses_at_many_accounts_must_wait() {
    let app = start(&[]).await;
    let admin = admin(&app).await;
    for number in 0..31 {
        assert_eq!(wait_of(&log_in(&app, &format!("{number}@example.org"), WRONG).await), 0, "{number}");
    }
    assert_eq!(wait_of(&log_in(&app, "another@example.org", WRONG).await), 1);
    assert_eq!(wait_of(&log_in(&app, &admin.email, PASSWORD).await), 1);
    assert_eq!(wait_of(&by_password(&app, &admin.email, PASSWORD).await), 1);
    assert_eq!(app.get_as(&admin, "/accounts/me").await.status, 200, "a logged-in caller does not wait");
    // Headers that the client forges change nothing.
    for forged in ["198.51.100.1", "127.0.0.1, 198.51.100.2", "::1"] {
        assert_eq!(wait_of(&log_in_from(&app, forged, "another@example.org", WRONG).await), 1, "{forged}");
    }
    let request = app.request(Method::POST, "/token").header("Forwarded", "for=198.51.100.1").header("X-Real-IP", "198.51.100.1");
    assert_eq!(wait_of(&app.send(request.json(&json!({"email": "a@b", "password": WRONG}))).await), 1);
    app.clock.advance(TimeDelta::seconds(1));
    // A successful login causes no wait.
    assert_eq!(log_in(&app, &admin.email, PASSWORD).await.status, 201);
    assert_eq!(wait_of(&log_in(&app, "another@example.org", WRONG).await), 0);
    assert_eq!(wait_of(&log_in(&app, "another@example.org", WRONG).await), 2);
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_counted_separately() {
    let app = start(&["--trusted-proxies=127.0.0.1"]).await;
    let mut number = 0;
    let mut attempt = |forwarded_for: String| {
        number += 1;
        let email = format!("{number}@example.org");
        let app = &app;
        async move { wait_of(&log_in_from(app, &forwarded_for, &email, WRONG).await) }
    };
    for number in 0..31 {
        // The client can forge everything to the left of that address.
        let forwarded_for = if number % 2 == 0 { "198.51.100.1".to_owned() } else { format!("203.0.113.{number}, 198.51.100.1") };
        assert_eq!(attempt(forwarded_for).await, 0, "{number}");
    }
    for waiting in [
        "198.51.100.1",
        "192.0.2.9, 198.51.100.1",
        "192.0.2.9,127.0.0.1,198.51.100.1, 127.0.0.1",
        "::ffff:198.51.100.1",
        "198.51.100.1:4711",
    ] {
        assert_eq!(attempt(waiting.to_owned()).await, 1, "{waiting}");
    }
    for other in ["198.51.100.2", "198.51.100.1, 198.51.100.3", "2001:db8::1"] {
        assert_eq!(attempt(other.to_owned()).await, 0, "{other}");
    }
    assert_eq!(wait_of(&log_in(&app, "last@example.org", WRONG).await), 0, "the proxy itself");
}
