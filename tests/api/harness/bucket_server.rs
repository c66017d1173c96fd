//! An in-memory S3 server with the parts of S3 that the embedded server lacks: a missing bucket, object versions, and
//! rejected requests. It accepts every signature.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use http::{Method, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::chat::TlsListener;
use super::world::certified_for;

/// The server. It stops when dropped.
pub struct BucketServer {
    pub url: String,
    shared: Shared,
    server: AbortHandle,
}

type Shared = Arc<Mutex<Contents>>;

/// The server's contents and behaviour.
#[derive(Default)]
pub struct Contents {
    /// Whether the bucket exists.
    pub exists: bool,
    pub versioned: bool,
    /// Operations that are rejected: `versioning`, `list versions`, `delete version`.
    pub rejected: HashSet<&'static str>,
    /// The body of the request that created the bucket.
    pub creation_body: Option<String>,
    /// The requests so far, as method and the subresource in the query: `DELETE versionId`.
    pub requests: Vec<String>,
    objects: BTreeMap<String, Vec<Version>>,
    next_version: u64,
}

struct Version {
    id: String,
    /// `None` is a delete marker.
    bytes: Option<Bytes>,
}

impl BucketServer {
    /// Starts with a bucket `images`.
    pub async fn start() -> Self {
        let server = Self::without_bucket().await;
        server.contents().exists = true;
        server
    }

    pub async fn without_bucket() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, url)
    }

    /// Like [`BucketServer::start`], with TLS for `localhost`. Also returns the certificate to trust, in PEM.
    pub async fn start_secure() -> (Self, String) {
        let (certificate, acceptor) = certified_for("localhost");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let server = Self::serve(TlsListener { listener, acceptor }, url);
        server.contents().exists = true;
        (server, certificate.pem())
    }

    fn serve<L: Listener<Addr = SocketAddr>>(listener: L, url: String) -> Self {
        let shared = Shared::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared, server: server.abort_handle() }
    }

    pub fn contents(&self) -> MutexGuard<'_, Contents> {
        self.shared.lock().unwrap()
    }
}

impl Drop for BucketServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Contents {
    /// The number of live objects, and the number of object versions including delete markers.
    pub fn count(&self) -> (usize, usize) {
        let live = self.objects.values().filter(|versions| versions.last().is_some_and(|last| last.bytes.is_some()));
        (live.count(), self.objects.values().map(Vec::len).sum())
    }

    fn push(&mut self, key: &str, bytes: Option<Bytes>) -> Option<String> {
        self.next_version += 1;
        let id = format!("v{}", self.next_version);
        let versions = self.objects.entry(key.to_owned()).or_default();
        if !self.versioned {
            versions.clear();
        }
        if self.versioned || bytes.is_some() {
            versions.push(Version { id: id.clone(), bytes });
        }
        self.versioned.then_some(id)
    }
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut contents = shared.lock().unwrap();
    let path = percent_encoding::percent_decode_str(uri.path()).decode_utf8().unwrap().into_owned();
    let key = path.trim_start_matches("/images").trim_start_matches('/');
    let query: HashMap<String, String> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let subresource =
        ["versioning", "versions", "versionId"].into_iter().find(|name| query.contains_key(*name)).unwrap_or_default();
    contents.requests.push(format!("{method} {subresource}").trim().to_owned());
    let creates_bucket = key.is_empty() && method == Method::PUT;
    if !contents.exists && !creates_bucket {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let operation = match (key.is_empty(), &method) {
        (true, _) if query.contains_key("versioning") => "versioning",
        (true, _) if query.contains_key("versions") => "list versions",
        (true, &Method::PUT) => return create_bucket(&mut contents, &body),
        (true, &Method::HEAD) => "",
        (true, _) => return list(&contents, &query),
        (false, &Method::DELETE) if query.contains_key("versionId") => "delete version",
        (false, _) => return object(&mut contents, &method, key, body),
    };
    if contents.rejected.contains(operation) {
        return error(StatusCode::FORBIDDEN, "AccessDenied");
    }
    match operation {
        "versioning" if contents.versioned => xml("VersioningConfiguration", "<Status>Enabled</Status>"),
        "versioning" => xml("VersioningConfiguration", ""),
        "list versions" => list_versions(&contents, &query),
        "delete version" => {
            if let Some(versions) = contents.objects.get_mut(key) {
                versions.retain(|version| version.id != query["versionId"]);
            }
            contents.objects.retain(|_, versions| !versions.is_empty());
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::OK.into_response(),
    }
}

fn create_bucket(contents: &mut Contents, body: &Bytes) -> Response {
    if contents.exists {
        return error(StatusCode::CONFLICT, "BucketAlreadyOwnedByYou");
    }
    contents.exists = true;
    contents.creation_body = Some(String::from_utf8(body.to_vec()).unwrap());
    StatusCode::OK.into_response()
}

fn object(contents: &mut Contents, method: &Method, key: &str, body: Bytes) -> Response {
    let (bytes, status, is_delete_marker) = match *method {
        Method::PUT => (Some(body), StatusCode::OK, false),
        Method::DELETE => (None, StatusCode::NO_CONTENT, true),
        _ => {
            let last = contents.objects.get(key).and_then(|versions| versions.last()?.bytes.clone());
            return last.map_or_else(|| error(StatusCode::NOT_FOUND, "NoSuchKey"), IntoResponse::into_response);
        }
    };
    let mut response = status.into_response();
    if let Some(id) = contents.push(key, bytes) {
        response.headers_mut().insert("x-amz-version-id", id.parse().unwrap());
        if is_delete_marker {
            response.headers_mut().insert("x-amz-delete-marker", "true".parse().unwrap());
        }
    }
    response
}

fn list(contents: &Contents, query: &HashMap<String, String>) -> Response {
    let after = query.get("start-after").map(String::as_str).unwrap_or_default();
    let mut text = "<IsTruncated>false</IsTruncated>".to_owned();
    for (key, versions) in &contents.objects {
        if let Some(Version { bytes: Some(bytes), .. }) = versions.last()
            && key.as_str() > after
        {
            let size = bytes.len();
            write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>2020-01-01T00:00:00Z</LastModified><Size>{size}</Size></Contents>"
            )
            .unwrap();
        }
    }
    xml("ListBucketResult", &text)
}

/// Returns two versions per page, so that clients must follow pages.
fn list_versions(contents: &Contents, query: &HashMap<String, String>) -> Response {
    let empty = String::new();
    let get = |name: &str| query.get(name).unwrap_or(&empty).as_str();
    let (prefix, after) = (get("prefix"), (get("key-marker"), get("version-id-marker")));
    let all = contents.objects.iter().filter(|(key, _)| key.starts_with(prefix));
    let all = all.flat_map(|(key, versions)| versions.iter().map(move |version| (key.as_str(), version)));
    let mut rest: Vec<_> = all.collect();
    if let Some(at) = rest.iter().position(|(key, version)| (*key, version.id.as_str()) == after) {
        rest.drain(..=at);
    }
    let is_truncated = rest.len() > 2;
    rest.truncate(2);
    let mut text = format!("<IsTruncated>{is_truncated}</IsTruncated>");
    if let Some((key, version)) = rest.last().filter(|_| is_truncated) {
        let id = &version.id;
        write!(text, "<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{id}</NextVersionIdMarker>").unwrap();
    }
    for (key, Version { id, bytes }) in rest {
        let element = if bytes.is_some() { "Version" } else { "DeleteMarker" };
        write!(text, "<{element}><Key>{key}</Key><VersionId>{id}</VersionId></{element}>").unwrap();
    }
    xml("ListVersionsResult", &text)
}

fn xml(element: &str, content: &str) -> Response {
    Body::from(format!("<?xml version=\"1.0\"?><{element}>{content}</{element}>")).into_response()
}

fn error(status: StatusCode, code: &str) -> Response {
    let text = format!("<Code>{code}</Code><Message>No.</Message>");
    (status, xml("Error", &text)).into_response()
}
