//! Health: liveness, readiness, and metrics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::error::{ErrorBody, ErrorDetails, ErrorType};
use crate::http::openapi::error_responses::NotReady;
use crate::http::server::middleware::REQUEST_ID;
use crate::metrics::CONTENT_TYPE;
use crate::service::error::{Dependency, Fields};
use crate::service::jobs::captions::Captions;
use crate::service::maintenance::readiness::UnavailableDependency;

/// The liveness of the process.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthStatus {
    /// Always `healthy`.
    #[schema(example = "healthy")]
    pub status: &'static str,
    /// The name of the service.
    #[schema(example = "instagram-image-service")]
    pub service: &'static str,
    /// The version of the service.
    #[schema(example = "1.0.0")]
    pub version: &'static str,
}

/// Check liveness
///
/// Succeeds while the process is running. Does not check the database or the storage.
#[utoipa::path(get, path = "/health", tag = "service", responses((status = 200, description = "The process is running.", body = HealthStatus)))]
pub async fn check_health() -> Json<HealthStatus> {
    Json(HealthStatus { status: "healthy", service: "instagram-image-service", version: env!("CARGO_PKG_VERSION") })
}

/// Whether the service is ready, and the state of its dependencies.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready` or `unavailable`.
    #[schema(example = "ready")]
    pub status: &'static str,
    /// The state of the database.
    pub database: DependencyStatus,
    /// The state of the object storage.
    pub storage: DependencyStatus,
    /// Whether captions are created, and where.
    #[schema(value_type = crate::http::openapi::enums::CaptionServiceSchema)]
    pub captions: &'static str,
    /// The model that creates captions on this instance; null unless `captions` is `on`.
    pub caption_model: Option<String>,
}

/// An error response with the state of the service's dependencies.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadinessError {
    #[serde(flatten)]
    pub readiness: Readiness,
    #[serde(flatten)]
    pub error: ErrorBody,
}

/// The state of a dependency.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DependencyStatus {
    Up,
    Down,
}

/// Check readiness
///
/// Checks whether the database responds and accepts writes, and whether the storage responds, each for at most three seconds.
#[utoipa::path(get, path = "/ready", tag = "service", responses(
    (status = 200, description = "The service is ready.", body = Readiness),
    NotReady))]
pub async fn check_readiness(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let down = app.service.unavailable_dependencies().await;
    let is_down = |dependency| down.iter().any(|down| down.dependency == dependency);
    let state = |dependency| if is_down(dependency) { DependencyStatus::Down } else { DependencyStatus::Up };
    let status = if down.is_empty() { "ready" } else { "unavailable" };
    let (captions, caption_model) = match &app.service.captions {
        Captions::Off => ("off", None),
        Captions::Elsewhere => ("elsewhere", None),
        Captions::On(captioner) => ("on", Some(captioner.model().to_owned())),
    };
    let (database, storage) = (state(Dependency::Database), state(Dependency::Storage));
    let readiness = Readiness { status, database, storage, captions, caption_model };
    if down.is_empty() {
        return Json(readiness).into_response();
    }
    let error = ErrorBody {
        error: ErrorType::ServiceUnavailable,
        message: not_ready(&down),
        details: ErrorDetails(request_id(&headers)),
    };
    let retry_after = [(header::RETRY_AFTER, HeaderValue::from_static("5"))];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, Json(ReadinessError { readiness, error })).into_response()
}

fn not_ready(down: &[UnavailableDependency]) -> String {
    let unreachable: Vec<String> =
        down.iter().filter(|down| down.advice.is_none()).map(|down| down.dependency.to_string()).collect();
    let unreachable = (!unreachable.is_empty())
        .then(|| format!("The service cannot reach its {} right now. Try again in a moment.", unreachable.join(" and its ")));
    let sentences: Vec<String> = unreachable.into_iter().chain(down.iter().filter_map(|down| down.advice.clone())).collect();
    sentences.join(" ")
}

/// Returns the details of every 5xx. `server/middleware.rs` has added the id to the request's headers.
fn request_id(headers: &HeaderMap) -> Fields {
    let id = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Fields::from([("request_id".to_owned(), id.to_owned())])
}

/// Get metrics
///
/// For Prometheus, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, description = "All metrics.", body = String, content_type = "application/openmetrics-text")))]
pub async fn get_metrics(State(app): State<AppState>) -> Response {
    app.service.refresh_metrics().await;
    ([(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))], app.service.metrics.render()).into_response()
}

/// Checks the health of the service on `host` and `port` of this machine, for the health check of a container.
///
/// # Errors
/// The service does not respond with 200 within three seconds.
pub async fn probe(host: IpAddr, port: u16) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // A service that listens on all addresses also listens on the loopback address.
    let host = match host {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host => host,
    };
    let address = SocketAddr::new(host, port);
    let probing = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line).await?;
        Ok::<_, std::io::Error>(status_line)
    };
    let unhealthy = |reason: String| std::io::Error::other(format!("http://{address}/health {reason}"));
    let answered = tokio::time::timeout(std::time::Duration::from_secs(3), probing).await;
    let status_line = answered.map_err(|_| unhealthy("did not respond within 3 seconds".to_owned()))?;
    match status_line.map_err(|error| unhealthy(format!("did not respond: {error}")))? {
        line if line.ends_with(b" 200") => Ok(()),
        line => {
            let status = String::from_utf8_lossy(&line[9..]).into_owned();
            Err(unhealthy(format!("responded with {status}; is ADMIN_PORT the same as that of the service?")))
        }
    }
}
