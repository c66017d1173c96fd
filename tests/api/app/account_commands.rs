//! The commands for accounts: `create-admin` and `set-password`.

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::process::{Finished, Home, Process};
use crate::harness::{Answer, PASSWORD};

/// Runs a command on an account. `input` holds the password.
pub async fn account_command(home: &Home, command: &str, email: &str, input: &str) -> Finished {
    home.run_with_input(&[command, "--email", email], &[], input.as_bytes()).await
}

async fn log_in(process: &Process, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    Client::new(process.address).post_json("/token", &body).await
}

/// Returns the status and account that an access token leads to.
async fn account_of(process: &Process, tokens: &Answer) -> (u16, Value) {
    let url = Client::new(process.address).url("/accounts/me");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.get(url).bearer_auth(tokens.json()["access"].as_str().expect("a token"));
    let answer = Answer::read(request.send().await.expect("an answer")).await;
    (answer.status, answer.json())
}

#[track_caller]
fn assert_failed(finished: &Finished, why: &str) {
    assert_eq!((finished.status.code(), finished.output.as_str()), (Some(1), ""), "{finished:?}");
    assert!(finished.log.contains("error: ") && finished.log.contains(why), "{finished:?}");
    assert!(!finished.log.contains("horse"), "the log contains the password: {finished:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_admin_creates_accounts_before_the_first_start_and_while_the_service_runs() {
    let home = Home::new().await;
    let first = account_command(&home, "create-admin", "Root@example.org", &format!("{PASSWORD}\r\nwhat follows\n")).await;
    assert!(first.status.success() && first.output.starts_with("created the administrator root@example.org: "), "{first:?}");
    let process = Process::start(&home, &[]).await;
    let tokens = log_in(&process, "root@example.org", PASSWORD).await;
    let (status, account) = account_of(&process, &tokens).await;
    assert_eq!((status, &account["admin"], &account["plan"]), (200, &json!(true), &Value::Null));
    let file = home.data_dir().join("images.sqlite").display().to_string();
    let database = if home.database.is_some() { "DATABASE_URL".to_owned() } else { file };
    assert!(first.output.contains(&database), "{first:?}");
    assert_eq!(first.output.contains("created a new database"), home.database.is_none(), "{first:?}");
    assert!(first.output.contains(account["id"].as_str().expect("an id")), "{first:?}");
    assert_eq!(account["user_id"], account["id"]);
    // While the service runs, and without a newline after the password.
    let arguments = ["create-admin", "--email", "second@example.org", "--user-id", "second"];
    let second = home.run_with_input(&arguments, &[], b" another horse battery ").await;
    assert!(second.status.success() && second.output.contains("user_id second"), "{second:?}");
    assert!(second.output.contains(&database) && !second.output.contains("created a new database"), "{second:?}");
    assert_eq!(log_in(&process, "second@example.org", "another horse battery").await.status, 401);
    let tokens = log_in(&process, "second@example.org", " another horse battery ").await;
    assert_eq!(account_of(&process, &tokens).await.1["user_id"], "second");
    for taken in ["root@example.org", "ROOT@EXAMPLE.ORG"] {
        let refused = account_command(&home, "create-admin", taken, PASSWORD).await;
        assert_failed(&refused, "error: an account with this e-mail address or user_id already exists");
    }
    let arguments = ["create-admin", "--email", "third@example.org", "--user-id", "second"];
    assert_failed(&home.run_with_input(&arguments, &[], PASSWORD.as_bytes()).await, "already exists");
    assert_eq!(log_in(&process, "root@example.org", PASSWORD).await.status, 201, "the password is unchanged");
    for log in [first.log, second.log, process.stop().await] {
        assert!(!log.contains("horse"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_admin_reads_the_password_only_from_standard_input() {
    let home = Home::embedded();
    for (input, why) in [
        ("", "must be 12 to 128 characters long"),
        ("\n", "must be 12 to 128 characters long"),
        ("short horse\n", "must be 12 to 128 characters long"),
        ("a horse with a\ttab\n", "must not contain control characters"),
        ("isk_horse_battery\n", "must not start with isk_"),
    ] {
        let finished = account_command(&home, "create-admin", "root@example.org", input).await;
        assert_failed(&finished, &format!("the password {why}"));
    }
    let latin_1 = home.run_with_input(&["create-admin", "--email", "root@example.org"], &[], b"\xfcber horses all\n").await;
    assert_eq!(latin_1.status.code(), Some(1), "{latin_1:?}");
    for arguments in [
        &["create-admin", "--email", "root@example.org", "--password", PASSWORD][..],
        &["create-admin", "--email", "root@example.org", PASSWORD],
        &["create-admin"],
        &["create-admin", "--email", "root"],
        &["create-admin", "--email", "root@example.org", "--user-id", "a b"],
    ] {
        let finished = home.run_with_input(arguments, &[("PASSWORD", PASSWORD)], PASSWORD.as_bytes()).await;
        assert!(finished.status.code() == Some(2) && finished.output.is_empty(), "{arguments:?}: {finished:?}");
    }
    assert!(!home.data_dir().exists(), "a rejected command creates nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_password_revokes_all_sessions_with_and_without_a_running_service() {
    let home = Home::new().await;
    let made = account_command(&home, "create-admin", "root@example.org", PASSWORD).await;
    assert!(made.status.success(), "{made:?}");
    let process = Process::start(&home, &[]).await;
    let before = log_in(&process, "root@example.org", PASSWORD).await;
    assert_failed(&account_command(&home, "set-password", "root@example.org", "short horse").await, "12 to 128 characters");
    let unknown = account_command(&home, "set-password", "nobody@example.org", PASSWORD).await;
    assert_failed(&unknown, "error: there is no account with the e-mail address nobody@example.org. The database is ");
    assert_eq!(account_of(&process, &before).await.0, 200);
    let set = account_command(&home, "set-password", "Root@example.org", "another horse battery\n").await;
    assert!(set.status.success() && set.output.starts_with("changed the password of root@example.org "), "{set:?}");
    assert!(set.output.contains("The database is "), "{set:?}");
    assert_eq!(account_of(&process, &before).await.0, 401);
    assert_eq!(log_in(&process, "root@example.org", PASSWORD).await.status, 401);
    let between = log_in(&process, "root@example.org", "another horse battery").await;
    assert_eq!(account_of(&process, &between).await.0, 200);
    process.stop().await;
    let set = account_command(&home, "set-password", "root@example.org", PASSWORD).await;
    assert!(set.status.success(), "{set:?}");
    let process = Process::start(&home, &[]).await;
    assert_eq!(account_of(&process, &between).await.0, 401);
    assert_eq!(account_of(&process, &log_in(&process, "root@example.org", PASSWORD).await).await.0, 200);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_password_creates_nothing_without_existing_data() {
    let home = Home::embedded();
    let finished = account_command(&home, "set-password", "root@example.org", PASSWORD).await;
    assert_failed(&finished, "");
    assert!(!home.data_dir().exists());
}
