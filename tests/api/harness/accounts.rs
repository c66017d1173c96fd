//! Test accounts. The administrator is created by the function behind `create-admin`, other accounts through the API.

use image_service::model::account::Email;
use image_service::service::identity::passwords::Password;
use image_service::service::identity::registration;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Answer, Form, TestApp};

/// The password of every test account.
pub const PASSWORD: &str = "correct horse battery";

/// An account that has logged in.
#[derive(Debug, Clone)]
pub struct Login {
    pub id: String,
    pub email: String,
    pub user_id: String,
    pub access: String,
    pub refresh: String,
}

impl TestApp {
    /// Creates an administrator and logs in.
    pub async fn admin(&self) -> Login {
        let (email, password) = (Email::parse("root@example.org").unwrap(), Password::parse(PASSWORD).unwrap());
        let db = self.database().await;
        let admin =
            registration::create_admin(&db, &*self.clock, email, password, None).await.expect("the administrator is created");
        db.close().await;
        self.log_in("root@example.org", &admin.id.to_string(), admin.user_id.as_str()).await
    }

    /// Creates the account `{name}@example.org` with the user id `{name}` and logs in. `more` adds fields, such as the
    /// plan.
    pub async fn account(&self, admin: &Login, name: &str, more: &Value) -> Login {
        let mut body = json!({"email": format!("{name}@example.org"), "password": PASSWORD, "user_id": name, "plan": null});
        body.as_object_mut().unwrap().extend(more.as_object().expect("fields").clone());
        let created = self.send(self.request_as(admin, Method::POST, "/accounts").json(&body)).await;
        assert_eq!(created.status, 201, "{}", created.text());
        let created = created.json();
        self.log_in(created["email"].as_str().unwrap(), created["id"].as_str().unwrap(), created["user_id"].as_str().unwrap())
            .await
    }

    async fn log_in(&self, email: &str, id: &str, user_id: &str) -> Login {
        let tokens = self.post_json("/token", &json!({"email": email, "password": PASSWORD})).await;
        assert_eq!(tokens.status, 201, "{}", tokens.text());
        let tokens = tokens.json();
        let text = |name: &str| tokens[name].as_str().expect("a token").to_owned();
        let (access, refresh) = (text("access"), text("refresh"));
        Login { id: id.to_owned(), email: email.to_owned(), user_id: user_id.to_owned(), access, refresh }
    }

    /// Builds a request with an access token.
    pub fn request_as(&self, login: &Login, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&login.access)
    }

    pub async fn get_as(&self, login: &Login, path: &str) -> Answer {
        self.send(self.request_as(login, Method::GET, path)).await
    }

    pub async fn json_as(&self, login: &Login, method: Method, path: &str, body: &Value) -> Answer {
        self.send(self.request_as(login, method, path).json(body)).await
    }

    /// Uploads as the account's own user.
    pub async fn post_as(&self, login: &Login, form: Form) -> Answer {
        self.send(self.upload(form).bearer_auth(&login.access)).await
    }

    /// Creates an API key for the account. `fields` may hold its scopes.
    pub async fn key(&self, login: &Login, fields: &Value) -> String {
        let created = self.json_as(login, Method::POST, "/api-keys", fields).await;
        assert_eq!(created.status, 201, "{}", created.text());
        created.json()["key"].as_str().expect("a key").to_owned()
    }

    /// Builds a request with an API key.
    pub fn request_by_key(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).basic_auth("any", Some(key))
    }
}
